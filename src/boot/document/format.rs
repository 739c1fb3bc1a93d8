//! The format of a file: its name decides, then its media type, then its first line.

use crate::boot::piece::Piece;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::boot) enum Format {
    /// Any other: values are written as they are.
    Plain,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// TOML.
    Toml,
    /// XML.
    Xml,
    /// A script for a POSIX shell.
    Shell,
    /// A kickstart file.
    Kickstart,
}

impl Format {
    /// The format of the file `name` of this media type, whose text begins with `pieces`.
    ///
    /// The files of cloud-init have no suffix: `meta-data` and `network-config` are YAML, and `user-data` is what its first
    /// line says (cloud-init, user data formats).
    pub(in crate::boot) fn of(name: &str, content_type: &str, pieces: &[Piece]) -> Self {
        let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        let suffix = file.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        match (suffix, file.as_str(), media_type) {
            ("json" | "ign", ..) => Self::Json,
            ("yaml" | "yml", ..) | (_, "meta-data" | "network-config", _) => Self::Yaml,
            ("toml", ..) => Self::Toml,
            ("xml", ..) => Self::Xml,
            ("sh" | "bash", ..) => Self::Shell,
            ("ks", ..) | (_, "ks.cfg", _) => Self::Kickstart,
            (_, _, "application/json") => Self::Json,
            (_, _, "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml") => Self::Yaml,
            (_, _, "application/toml") => Self::Toml,
            (_, _, "application/xml" | "text/xml") => Self::Xml,
            _ => Self::of_first_line(pieces),
        }
    }

    fn of_first_line(pieces: &[Piece]) -> Self {
        let Some(Piece::Literal(text)) = pieces.first() else { return Self::Plain };
        let line = text.lines().next().unwrap_or_default().trim_end();
        let interpreter = || line.strip_prefix("#!")?.split_whitespace().next()?.rsplit('/').next();
        match interpreter() {
            Some("sh" | "bash" | "dash" | "ash") => Self::Shell,
            _ if line == "#cloud-config" => Self::Yaml,
            _ => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_then_type_then_first_line_decide() {
        let text = "text/plain; charset=utf-8";
        for (name, content_type, first, format) in [
            ("config.ign", text, "", Format::Json),
            ("a/config.JSON", text, "#!/bin/sh\n", Format::Json),
            ("answer.toml", text, "", Format::Toml),
            ("machine.yaml", text, "", Format::Yaml),
            ("autounattend.xml", text, "", Format::Xml),
            ("web.ks", text, "", Format::Kickstart),
            ("ks.cfg", text, "", Format::Kickstart),
            ("setup.sh", text, "", Format::Shell),
            ("meta-data", text, "", Format::Yaml),
            ("user-data", text, "#cloud-config\nhostname: a\n", Format::Yaml),
            ("user-data", text, "#!/bin/bash\n", Format::Shell),
            ("user-data", text, "#!/usr/bin/python3\n", Format::Plain),
            ("preseed.cfg", text, "# Preseed\n", Format::Plain),
            ("autoyast", "text/xml", "", Format::Xml),
            ("answers", "application/json; charset=utf-8", "", Format::Json),
        ] {
            let pieces = [Piece::Literal(first.to_owned())];
            assert_eq!(Format::of(name, content_type, &pieces), format, "{name}");
        }
    }
}
