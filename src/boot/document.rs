//! Files of a known syntax: their values are escaped for the place where they stand, and the result is parsed.
//!
//! | module | syntax |
//! |---|---|
//! | `json` | JSON (RFC 8259), Ignition |
//! | `yaml` | YAML 1.2, cloud-init's documents |
//! | `toml` | TOML 1.1 |
//! | `xml` | XML 1.0 |
//! | `shell` | scripts for a POSIX shell |
//! | `kickstart` | Anaconda's kickstart |

mod error;
mod format;
pub(super) mod json;
mod kickstart;
mod plain;
pub(super) mod shell;
pub(super) mod toml;
pub(super) mod xml;
pub(super) mod yaml;

pub(super) use error::DocumentError;
pub(super) use format::Format;

use super::piece::Piece;

/// Joins the pieces of a file of this format. Fails if a value cannot stand in its place, or if the result is not valid.
pub(super) fn join(format: Format, pieces: &[Piece]) -> Result<String, DocumentError> {
    match format {
        Format::Plain => plain::join(pieces),
        Format::Json => json::join(pieces),
        Format::Yaml => yaml::join(pieces),
        Format::Toml => toml::join(pieces),
        Format::Xml => xml::join(pieces),
        Format::Shell => shell::join(pieces),
        Format::Kickstart => kickstart::join(pieces),
    }
}
