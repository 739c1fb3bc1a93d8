//! Where settings were made, for those who tell operators what to change.

use figment::value::Value;

use super::check::name_of;
use super::key::KeyPath;
use super::layer::{self, Place};
use super::{Config, format};

impl Config {
    /// Where the key of these names, such as `cache`, `dir`, was set.
    pub fn place(&self, keys: &[&str]) -> Place {
        let path = KeyPath::of(keys.iter().copied());
        let tag = self.layers.values().find_ref(&keys.join(".")).map(Value::tag);
        tag.map_or(Place::Default, |tag| self.layers.place(tag, &path))
    }

    /// Where `key` was set of the element of `list` (such as `asset`) that is called `name`, by its name or its `match`; where
    /// the element begins, if the key is not set in it.
    pub fn place_in(&self, list: &str, name: &str, key: &str) -> Place {
        let name = format::shown("source-prefix", name);
        let named = |element: &Value| name_of(element).as_ref() == Some(&name);
        let list_path = KeyPath::of([list]);
        let mut elements = layer::elements(&list_path, self.layers.list(list));
        let found = elements.find(|(_, element)| named(element));
        found.map_or(Place::Default, |(path, element)| self.layers.place(element.tag(), &path.key(key)))
    }
}
