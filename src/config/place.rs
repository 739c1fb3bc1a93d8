//! Where a value was set: a file and line, a variable, a flag, or the program's default.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Place {
    /// In a configuration file.
    File {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1; `None` for the file as a whole.
        line: Option<usize>,
    },
    /// In the shared catalog.
    Url {
        /// Its URL, without secrets.
        url: String,
        /// The line, counted from 1; `None` for the catalog as a whole.
        line: Option<usize>,
    },
    /// In an environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// In a command-line flag.
    Flag {
        /// The flag as written, without its value.
        flag: String,
    },
    /// Not set: the program's default.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: Some(line) } => write!(f, "{}:{line}", file.display()),
            Self::File { file, line: None } => write!(f, "{}", file.display()),
            Self::Url { url, line: Some(line) } => write!(f, "{url} line {line}"),
            Self::Url { url, line: None } => f.write_str(url),
            Self::Environment { variable } => f.write_str(variable),
            Self::Flag { flag } => f.write_str(flag),
            Self::Default => f.write_str("default"),
        }
    }
}
