//! URLs of the paths that upstreams publish.

use crate::asset::escape_path;

/// The URL of `path` below `base`, which is a directory with or without a `/` at its end.
pub fn join(base: &str, path: &str) -> String {
    let (base, query) = base.split_once('?').unwrap_or((base, ""));
    let path =
        if base.starts_with("http://") || base.starts_with("https://") { escape_path(path) } else { path.to_owned() };
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    format!("{}/{path}{query}", base.trim_end_matches('/'))
}

/// The URL of the directory that holds the file or directory `url`.
pub fn parent(url: &str) -> &str {
    let url = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    match url[start..].rfind('/') {
        Some(slash) => &url[..start + slash],
        None => url,
    }
}

/// The last segment of the URL's path.
pub fn last_segment(url: &str) -> &str {
    let url = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
    url.rsplit('/').next().unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_escapes_what_urls_reserve() {
        assert_eq!(join("https://h/d/", "a b#c?d%.iso"), "https://h/d/a%20b%23c%3Fd%25.iso");
        assert_eq!(join("https://h/d", "20230607+deb12u15/linux"), "https://h/d/20230607+deb12u15/linux");
        assert_eq!(join("file:///srv/d", "a b"), "file:///srv/d/a b");
    }

    #[test]
    fn parent_keeps_the_host() {
        assert_eq!(parent("https://h/a/SHA256SUMS"), "https://h/a");
        assert_eq!(parent("https://h/a/"), "https://h");
        assert_eq!(parent("https://h"), "https://h");
        assert_eq!(last_segment("https://h/a/stable-4.18/"), "stable-4.18");
    }
}
