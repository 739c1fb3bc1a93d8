//! A directory of a source: the beginning of source URLs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::source::{SourceTarget, SourceUrl};

/// Characters that have a meaning in a URL, or none in its path (RFC 3986 section 3.3).
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Escapes what has a meaning in a URL: the path of a file becomes part of an `http://` or `https://` URL.
pub fn escape_path(path: &str) -> String {
    utf8_percent_encode(path, ESCAPED).to_string()
}

/// A directory: `s3://BUCKET/PREFIX/`, `https://HOST/PATH/`, `http://…/` or `file:///PATH/`. It ends with a slash.
///
/// ```
/// use bootdepot::asset::SourceDirectory;
///
/// let isos: SourceDirectory = "s3://boot/isos/".parse()?;
/// assert_eq!(isos.file("debian/a.iso").unwrap().as_str(), "s3://boot/isos/debian/a.iso");
/// # Ok::<(), bootdepot::asset::SourceDirectoryError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SourceDirectory {
    text: String,
    /// A file directly below it, as an example.
    example: SourceUrl,
}

/// Where a directory of a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryTarget {
    /// The keys of a bucket that begin with a prefix.
    Bucket {
        /// The bucket.
        bucket: String,
        /// Empty, or ending with a slash.
        prefix: String,
    },
    /// A directory of this machine.
    Machine {
        /// The directory itself.
        path: PathBuf,
        /// The directory that it must not lead out of.
        root: PathBuf,
    },
    /// A directory of a web server.
    Web,
}

/// Why a text is not a directory of a source. The messages say what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceDirectoryError {
    /// It does not end with a slash.
    #[error("a directory ends with '/'")]
    NoSlash,
    /// It has a query or a fragment.
    #[error("it has a query or a fragment, which cannot be used for every file of a directory")]
    Query,
    /// It is not a source URL.
    #[error("it is not a directory such as s3://BUCKET/PREFIX/, https://HOST/PATH/ or file:///PATH/")]
    Url,
}

impl SourceDirectory {
    /// The URL of a file below it. `None` if `path` cannot be part of such a URL. `path` must not have `.` or `..` segments.
    ///
    /// A local file may not be a link that leads out of the directory.
    pub fn file(&self, path: &str) -> Option<SourceUrl> {
        let url = match self.example.target() {
            SourceTarget::S3 { bucket, key, .. } => {
                let prefix = &key[..key.len() - EXAMPLE.len()];
                SourceUrl::s3(bucket, &format!("{prefix}{path}")).ok()?
            }
            SourceTarget::Http(_) => format!("{}{}", self.text, escape_path(path)).parse().ok()?,
            SourceTarget::File(_) => format!("{}{path}", self.text).parse().ok()?,
        };
        let directory = self.example.as_file().and_then(Path::parent);
        Some(match directory {
            Some(directory) => url.confined_to(directory),
            None => url,
        })
    }

    /// Where a directory below it is. `path` is empty or ends with a slash, and has no `.` or `..` segments.
    pub fn directory(&self, path: &str) -> DirectoryTarget {
        match self.example.target() {
            SourceTarget::S3 { bucket, key, .. } => {
                let prefix = format!("{}{path}", &key[..key.len() - EXAMPLE.len()]);
                DirectoryTarget::Bucket { bucket: bucket.clone(), prefix }
            }
            SourceTarget::File(example) => {
                let root = example.parent().unwrap_or(example).to_owned();
                DirectoryTarget::Machine { path: root.join(path), root }
            }
            SourceTarget::Http(_) => DirectoryTarget::Web,
        }
    }

    /// The path of an object of a bucket below it. `None` if the object is elsewhere.
    pub fn path_of<'k>(&self, bucket: &str, key: &'k str) -> Option<&'k str> {
        match self.example.target() {
            SourceTarget::S3 { bucket: own, key: example, .. } if own == bucket => {
                key.strip_prefix(&example[..example.len() - EXAMPLE.len()])
            }
            _ => None,
        }
    }

    /// A URL below it, by which its origin is found.
    pub fn example(&self) -> &SourceUrl {
        &self.example
    }

    /// The directory as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The name of the file that stands for all.
const EXAMPLE: &str = "file";

impl FromStr for SourceDirectory {
    type Err = SourceDirectoryError;

    fn from_str(text: &str) -> Result<Self, SourceDirectoryError> {
        if text.contains(['?', '#']) {
            return Err(SourceDirectoryError::Query);
        }
        if !text.ends_with('/') {
            return Err(SourceDirectoryError::NoSlash);
        }
        let example = format!("{text}{EXAMPLE}").parse().map_err(|_| SourceDirectoryError::Url)?;
        Ok(Self { text: text.to_owned(), example })
    }
}

impl fmt::Display for SourceDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for SourceDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceDirectory({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &str, path: &str) -> String {
        directory.parse::<SourceDirectory>().unwrap().file(path).unwrap().as_str().to_owned()
    }

    #[test]
    fn file_url_escapes_by_scheme() {
        assert_eq!(file("s3://b/", "a b.iso"), "s3://b/a b.iso");
        assert_eq!(file("s3://b/p/", "x?y"), "s3://b/p/x%3Fy");
        assert_eq!(file("https://h/p/", "a b#c?d%.iso"), "https://h/p/a%20b%23c%3Fd%25.iso");
        assert_eq!(file("file:///srv/isos/", "debian/a.iso"), "file:///srv/isos/debian/a.iso");
    }

    #[test]
    fn local_file_stays_in_directory() {
        let directory: SourceDirectory = "file:///srv/isos/".parse().unwrap();
        assert_eq!(directory.file("debian/a.iso").unwrap().directory(), Some(Path::new("/srv/isos")));
    }

    #[test]
    fn directory_below_source_is_found() {
        let directory = |source: &str, path: &str| source.parse::<SourceDirectory>().unwrap().directory(path);
        let bucket = |prefix: &str| DirectoryTarget::Bucket { bucket: "b".to_owned(), prefix: prefix.to_owned() };
        assert_eq!(directory("s3://b/", ""), bucket(""));
        assert_eq!(directory("s3://b/isos/", "debian/"), bucket("isos/debian/"));
        let machine = |path: &str| DirectoryTarget::Machine { path: path.into(), root: "/srv/isos".into() };
        assert_eq!(directory("file:///srv/isos/", ""), machine("/srv/isos"));
        assert_eq!(directory("file:///srv/isos/", "debian/"), machine("/srv/isos/debian"));
        assert_eq!(directory("https://h/isos/", ""), DirectoryTarget::Web);
    }

    #[test]
    fn other_texts_are_refused() {
        let refused = |text: &str| text.parse::<SourceDirectory>().unwrap_err();
        assert_eq!(refused("s3://b/isos"), SourceDirectoryError::NoSlash);
        assert_eq!(refused("https://h/?a=b/"), SourceDirectoryError::Query);
        for text in ["s3:///", "isos/", "ftp://h/", "/"] {
            assert_eq!(refused(text), SourceDirectoryError::Url, "{text}");
        }
    }
}
