//! Characters that no script may contain, whatever its language.

/// Why a value cannot be written in a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::boot) enum EscapeError {
    /// A control character. A line break would begin a new command.
    #[error("a value contains the control character {0:?}; a script's line cannot")]
    Control(char),
    /// `${`, which iPXE expands and cannot escape.
    #[error("a value makes \"${{\", which iPXE would expand")]
    Expansion,
    /// A double quote in a kernel argument.
    #[error("a value contains a double quote; a kernel's arguments cannot")]
    Quote,
    /// A character that the kernel treats as a space.
    #[error("a value contains {0:?}, which the kernel takes for a space")]
    Space(char),
    /// A list, map or null in place of a text.
    #[error("a list, a map or none was written out; write its elements one by one")]
    Structure,
    /// The first line of an iPXE script is missing.
    #[error("a script for iPXE must begin with the line #!ipxe")]
    Magic,
}

/// Fails if `value` contains a control character.
pub(super) fn reject_control(value: &str) -> Result<(), EscapeError> {
    value.chars().find(|c| c.is_control()).map_or(Ok(()), |c| Err(EscapeError::Control(c)))
}

/// Returns a script without the byte order mark and the carriage returns that editors write: no boot loader needs them, and GRUB
/// takes them for a part of its words.
pub(super) fn plain_text(script: &str) -> String {
    script.trim_start_matches('\u{feff}').replace("\r\n", "\n")
}

/// Returns a number or flag as text. Fails for lists, maps and null.
pub(super) fn scalar(json: &str) -> Result<&str, EscapeError> {
    if json.starts_with(['[', '{']) || json == "null" { Err(EscapeError::Structure) } else { Ok(json) }
}

/// Fails if a `${` straddles the offset `at`.
pub(super) fn reject_expansion_at(text: &str, at: usize) -> Result<(), EscapeError> {
    let straddles = text.get(..at).is_some_and(|before| before.ends_with('$'))
        && text.get(at..).is_some_and(|after| after.starts_with('{'));
    if straddles { Err(EscapeError::Expansion) } else { Ok(()) }
}
