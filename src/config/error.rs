//! What can be wrong with settings, told so that an operator can mend all of it at once.

use std::fmt;
use std::path::PathBuf;

use super::key::KeyPath;
use super::place::Place;
use super::size::Size;
use crate::boot::RosterProblem;

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it was set.
    pub place: Place,
    /// The key, counted within that place; the root where no key is meant.
    pub key: KeyPath,
    /// The asset or origin that the key belongs to, where its list has names.
    pub of: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("this file cannot be read: {reason}{hint}")]
    Unreadable {
        /// The system's words.
        reason: String,
        /// What to do, if that is known.
        hint: &'static str,
    },
    /// The file is no TOML.
    #[error("{}", syntax(*.column, .reason, .line.as_deref()))]
    Syntax {
        /// The column, counted from 1 in characters.
        column: usize,
        /// The parser's words.
        reason: String,
        /// The line, unless it may hold a secret.
        line: Option<String>,
    },
    /// There is no such key.
    #[error("there is no such {}; {}", if *.variable { "variable" } else { "key" }, alternatives(.nearest.as_deref(), .known))]
    Unknown {
        /// Whether an environment variable names it.
        variable: bool,
        /// The known one that is written most alike.
        nearest: Option<String>,
        /// Those that there are, where none is alike.
        known: Vec<String>,
    },
    /// A key is missing.
    #[error("this is missing; expected {expected}")]
    Missing {
        /// What to write.
        expected: String,
    },
    /// A key is missing that another makes necessary.
    #[error("this needs {other} beside it")]
    Alone {
        /// The other key.
        other: String,
    },
    /// The value is not what it must be.
    #[error("found {found}, expected {expected}{}", in_brackets(.reason))]
    Wrong {
        /// The value, unless it is a secret.
        found: String,
        /// What it must be.
        expected: String,
        /// What is wrong with it, where that is not plain.
        reason: String,
    },
    /// Two files set the same key.
    #[error("this is set in {other} too; keep one of them")]
    Twice {
        /// The other place.
        other: Place,
    },
    /// Two elements of a list have the same name.
    #[error("{name} is taken by {other}; names are unique")]
    Taken {
        /// The name.
        name: String,
        /// Where the other is.
        other: Place,
    },
    /// The same bytes cannot have two lengths.
    #[error("found {found}, but {other} gives {size} to the same sha256")]
    Sizes {
        /// The length here.
        found: Size64,
        /// The length there.
        size: Size64,
        /// Where the other is.
        other: Place,
    },
    /// There is no asset of this name.
    #[error("there is no asset {name:?}{}", .nearest.as_ref().map(|n| format!("; the nearest is {n:?}")).unwrap_or_default())]
    NoAsset {
        /// The name.
        name: String,
        /// The known one that is written most alike.
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
        /// The known one that is written most alike.
        nearest: Option<String>,
    },
    /// A list names the same thing twice.
    #[error("{name:?} is in this list already")]
    Repeated {
        /// The name.
        name: String,
    },
    /// Two releases of a channel are active.
    #[error("of the channel {channel} the release {release} is active already ({other}); one at a time can be")]
    BothActive {
        /// The channel.
        channel: String,
        /// The other release.
        release: String,
        /// Where it is made active.
        other: Place,
    },
    /// A window of the largest blocks is too large.
    #[error(
        "a window of {windowsize} blocks of {blksize} bytes is more than 4 MiB; lower max_windowsize or max_blksize"
    )]
    Window {
        /// `max_blksize`.
        blksize: u64,
        /// `max_windowsize`.
        windowsize: u64,
    },
    /// An `include` in an included file.
    #[error("include belongs in {main} alone; included files include no others")]
    NestedInclude {
        /// The settings file.
        main: PathBuf,
    },
    /// A table or a key that a shared catalog may not have.
    #[error("a shared catalog cannot have this: {}; it belongs in the settings of each node", .why)]
    NotShared {
        /// Why not.
        why: &'static str,
    },
    /// A secret of this machine that a shared catalog names.
    #[error("a shared catalog may not name this secret of the node's; if it may, add {name:?} to catalog_secrets")]
    SecretNotShared {
        /// What it names.
        name: String,
    },
    /// A file of this machine that a shared catalog names as a source.
    #[error("a shared catalog that came over the network cannot name files of the node; use s3:// or https://")]
    LocalSource,
    /// A file of this machine that a shared catalog names as a template.
    #[error(
        "a shared catalog cannot name files of the node, and there is no [[template]] of the name {name:?}; \
         add one with its text"
    )]
    NoTemplate {
        /// The name.
        name: String,
    },
    /// A host or a profile that is wrong.
    #[error(transparent)]
    Roster(RosterProblem),
    /// A flag without `=`.
    #[error("found {found:?}, expected KEY=VALUE such as fill.connections=4")]
    Set {
        /// The text.
        found: String,
    },
    /// What `env:` or `file:` names is not there.
    #[error("{0}")]
    Absent(String),
    /// The settings passed the checks but cannot be taken: a mistake of this program.
    #[error("this was checked and still cannot be used (please report it): {0}")]
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
            // Tabs stay tabs, so that the mark stands below the character whatever a terminal makes of them.
            let indent: String =
                line.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            format!("this is not TOML: column {column}: {reason}\n    {line}\n    {indent}^")
        }
        None if column == 0 => format!("this is not TOML: {reason}"),
        None => format!("this is not TOML: column {column}: {reason}"),
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
        // An unknown variable is its own key, and --set was followed by it.
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

/// All that is wrong with the settings: at least one thing, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The errors, sorted; nothing where there is none.
    pub(super) fn of(mut errors: Vec<ConfigError>) -> Result<(), Self> {
        errors.sort_by(|a, b| (&a.place, &a.key).cmp(&(&b.place, &b.key)));
        errors.dedup();
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// Each of them.
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
            [_] => writeln!(f, "the settings have an error")?,
            errors => writeln!(f, "the settings have {} errors", errors.len())?,
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
