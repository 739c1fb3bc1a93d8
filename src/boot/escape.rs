//! Escaping of values for the languages that scripts are written in: no value can add a command or a word.

pub(super) mod grub;
pub(super) mod ipxe;
pub(super) mod kernel;
pub(super) mod pxelinux;
mod rules;

pub(super) use rules::EscapeError;

use super::language::Language;
use super::piece::Piece;

/// Joins the pieces of a script and escapes its values.
pub(super) fn script(language: Language, pieces: &[Piece]) -> Result<String, EscapeError> {
    match language {
        Language::Ipxe => ipxe::script(pieces),
        Language::Grub => grub::script(pieces),
        Language::Pxelinux => pxelinux::script(pieces),
    }
}
