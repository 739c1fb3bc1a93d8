//! Configuration errors, worded so that an operator can correct all of them at once.

use std::fmt;
use std::path::PathBuf;

use super::key::KeyPath;
use super::place::Place;
use super::size::Size;
use crate::boot::RosterProblem;

/// One error in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the value was set.
    pub place: Place,
    /// The key, with list indices counted within `place`; the root if the error concerns no key.
    pub key: KeyPath,
    /// Name of the list element (asset, origin, …) that the key belongs to.
    pub of: Option<String>,
    /// The problem.
    pub problem: Problem,
}

/// The problem of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("this file cannot be read: {reason}{hint}")]
    Unreadable {
        /// The operating system's message.
        reason: String,
        /// Advice, if any.
        hint: &'static str,
    },
    /// The file is not valid TOML.
    #[error("{}", syntax(*.column, .reason, .line.as_deref()))]
    Syntax {
        /// The column, counted from 1 in characters.
        column: usize,
        /// The parser's message.
        reason: String,
        /// The line; `None` if it may hold a secret.
        line: Option<String>,
    },
    /// The key does not exist.
    #[error("there is no such {}; {}", if *.variable { "variable" } else { "key" }, alternatives(.nearest.as_deref(), .known))]
    Unknown {
        /// Whether it was set by an environment variable.
        variable: bool,
        /// The most similar known key.
        nearest: Option<String>,
        /// The known keys, if none is similar.
        known: Vec<String>,
    },
    /// A required key is missing.
    #[error("this is missing; expected {expected}")]
    Missing {
        /// The expected value.
        expected: String,
    },
    /// A key requires another key that is missing.
    #[error("this requires {other}")]
    Alone {
        /// The other key.
        other: String,
    },
    /// The value does not have the expected form.
    #[error("found {found}, expected {expected}{}", in_brackets(.reason))]
    Wrong {
        /// The value, unless it is a secret.
        found: String,
        /// The expected form.
        expected: String,
        /// The reason, if it is not obvious.
        reason: String,
    },
    /// Two files set the same key.
    #[error("this is set in {other} too; keep one of them")]
    Twice {
        /// Where the other one is set.
        other: Place,
    },
    /// Two elements of a list have the same name.
    #[error("{name} is already used in {other}; names must be unique")]
    Taken {
        /// The name.
        name: String,
        /// Where the other one is.
        other: Place,
    },
    /// Two assets with the same digest have different sizes.
    #[error("found {found}, but {other} gives {size} to the same sha256")]
    Sizes {
        /// The size set here.
        found: Size64,
        /// The size set there.
        size: Size64,
        /// Where the other one is.
        other: Place,
    },
    /// No asset has this name.
    #[error("there is no asset {name:?}{}", .nearest.as_ref().map(|n| format!("; the nearest is {n:?}")).unwrap_or_default())]
    NoAsset {
        /// The name.
        name: String,
        /// The most similar asset name.
        nearest: Option<String>,
    },
    /// TFTP serves no file of this name.
    #[error(
        "TFTP serves no file {name:?}{}; name a key of [tftp.files] or an asset",
        .nearest.as_ref().map(|n| format!(" (the nearest is {n:?})")).unwrap_or_default()
    )]
    NoFile {
        /// The name.
        name: String,
        /// The most similar file name.
        nearest: Option<String>,
    },
    /// A list names the same thing twice.
    #[error("{name:?} is in this list already")]
    Repeated {
        /// The name.
        name: String,
    },
    /// Two releases of a channel are active.
    #[error(
        "release {release} of channel {channel} is already active ({other}); only one release of a channel can be active"
    )]
    BothActive {
        /// The channel.
        channel: String,
        /// The other release.
        release: String,
        /// Where the other one is set active.
        other: Place,
    },
    /// A window of the largest blocks exceeds the limit.
    #[error(
        "a window of {windowsize} blocks of {blksize} bytes is more than 4 MiB; lower max_windowsize or max_blksize"
    )]
    Window {
        /// `max_blksize`.
        blksize: u64,
        /// `max_windowsize`.
        windowsize: u64,
    },
    /// An included file has an `include`.
    #[error("include is allowed in {main} only; included files cannot include others")]
    NestedInclude {
        /// The settings file.
        main: PathBuf,
    },
    /// A table or key that is not allowed in a shared catalog.
    #[error("not allowed in a shared catalog: {}; set it in the configuration of each node", .why)]
    NotShared {
        /// The reason.
        why: &'static str,
    },
    /// A shared catalog names a secret of this machine.
    #[error("a shared catalog may not use this secret of the node; to allow it, add {name:?} to catalog_secrets")]
    SecretNotShared {
        /// The secret's reference.
        name: String,
    },
    /// A shared catalog names a file of this machine as a source.
    #[error("a shared catalog may not read this file of the node; to allow it, add {directory:?} to catalog_files")]
    FileNotShared {
        /// The file's directory.
        directory: PathBuf,
    },
    /// A shared catalog names a file by a path with `..`.
    #[error("a shared catalog may not name a file by a path with '..'; write the plain path")]
    FileClimbs,
    /// A shared catalog names a file of this machine as a template.
    #[error(
        "a shared catalog cannot name files of the node, and there is no [[template]] of the name {name:?}; \
         add one with its text"
    )]
    NoTemplate {
        /// The name.
        name: String,
    },
    /// A host or profile is invalid.
    #[error(transparent)]
    Roster(RosterProblem),
    /// A `--set` flag has no `=`.
    #[error("found {found:?}, expected KEY=VALUE such as fill.connections=4")]
    Set {
        /// The text.
        found: String,
    },
    /// The target of `env:` or `file:` does not exist.
    #[error("{0}")]
    Absent(String),
    /// The configuration passed validation but cannot be used: a bug in bootdepot.
    #[error("this passed validation but cannot be used; please report this bug: {0}")]
    Internal(String),
}

/// A number of bytes in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size64(pub u64);

impl fmt::Display for Size64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Size(self.0).to_string();
        let unit = if text.ends_with('B') { "" } else { " bytes" };
        write!(f, "{text}{unit}")
    }
}

impl Problem {
    pub(super) fn unreadable(error: &std::io::Error) -> Self {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            std::io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
            _ => error.to_string(),
        };
        Self::Unreadable { reason, hint: "" }
    }
}

fn syntax(column: usize, reason: &str, line: Option<&str>) -> String {
    match line {
        Some(line) => {
            // Tabs stay tabs, so that the marker stands below the character at every tab width.
            let indent: String =
                line.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            format!("invalid TOML: column {column}: {reason}\n    {line}\n    {indent}^")
        }
        None if column == 0 => format!("invalid TOML: {reason}"),
        None => format!("invalid TOML: column {column}: {reason}"),
    }
}

fn alternatives(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("the nearest is {nearest}"),
        None => format!("known here: {}", known.join(", ")),
    }
}

fn in_brackets(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        // The name of an unknown variable is its key, and `--set` includes the key.
        let named_already = match &self.place {
            Place::Environment { .. } => matches!(self.problem, Problem::Unknown { variable: true, .. }),
            Place::Flag { flag } => flag.ends_with(&format!(" {}", self.key)),
            _ => false,
        };
        if !self.key.is_root() && !named_already {
            write!(f, "{}", self.key)?;
            if let Some(of) = &self.of {
                write!(f, " ({of})")?;
            }
            f.write_str(": ")?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for ConfigError {}

/// All errors of a configuration, at least one, ordered by file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Returns the errors, sorted; `Ok` if there are none.
    pub(super) fn of(mut errors: Vec<ConfigError>) -> Result<(), Self> {
        errors.sort_by(|a, b| (&a.place, &a.key).cmp(&(&b.place, &b.key)));
        errors.dedup();
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// Iterates over the errors.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl<'e> IntoIterator for &'e ConfigErrors {
    type Item = &'e ConfigError;
    type IntoIter = std::slice::Iter<'e, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [_] => writeln!(f, "the configuration has an error")?,
            errors => writeln!(f, "the configuration has {} errors", errors.len())?,
        }
        for (position, error) in self.0.iter().enumerate() {
            let newline = if position == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}
