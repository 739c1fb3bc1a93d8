//! Looks up where settings were set, for messages that say what to change.

use figment::value::Value;

use super::check::name_of;
use super::key::KeyPath;
use super::layer;
use super::place::Place;
use super::settings::Config;
use super::written::Format as _;
use crate::asset::SourcePrefix;

impl Config {
    /// Where the key with this path, such as `cache`, `dir`, was set.
    pub fn place(&self, keys: &[&str]) -> Place {
        let path = KeyPath::of(keys.iter().copied());
        let tag = self.layers.values().find_ref(&keys.join(".")).map(Value::tag);
        tag.map_or(Place::Default, |tag| self.layers.place(tag, &path))
    }

    /// Where `key` of the element `name` (its name or `match`) of `list` was set; the start of the element if the key
    /// is not set in it.
    pub fn place_in(&self, list: &str, name: &str, key: &str) -> Place {
        let name = SourcePrefix::shown(name);
        let named = |element: &Value| name_of(element).as_ref() == Some(&name);
        let list_path = KeyPath::of([list]);
        let mut elements = layer::elements(&list_path, self.layers.list(list));
        let found = elements.find(|(_, element)| named(element));
        found.map_or(Place::Default, |(path, element)| self.layers.place(element.tag(), &path.key(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn says_where_to_change_what() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.toml");
        let digest = crate::asset::Digest::of(b"");
        let text = format!(
            "[cache]\ndir = \"/c\"\n[[origin]]\nmatch = \"s3://a/\"\n[[origin]]\nmatch = \"s3://b/\"\nregion = \"lab\"\n\
             [[asset]]\nname = \"k\"\nsha256 = \"{digest}\"\nsources = [\"s3://b/k\"]\n"
        );
        std::fs::write(&path, text).unwrap();
        let set = vec!["cache.min_free=0".to_owned()];
        let config = Config::load(&Flags { config: Some(path.clone()), set, ..Flags::default() }, []).unwrap();
        let line = |line| Place::File { file: path.clone(), line: Some(line) };
        assert_eq!(config.place(&["cache", "dir"]), line(2));
        assert_eq!(config.place(&["cache", "min_free"]).to_string(), "--set cache.min_free");
        assert_eq!(config.place(&["cache", "max_size"]), Place::Default);
        assert_eq!(config.place_in("origin", "s3://b/", "region"), line(7));
        assert_eq!(config.place_in("origin", "s3://b/", "endpoint"), line(5));
        assert_eq!(config.place_in("asset", "k", "sources"), line(11));
        assert_eq!(config.place_in("asset", "l", "sources"), Place::Default);
    }
}
