//! The script languages of boot loaders.

/// The language of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// iPXE.
    Ipxe,
    /// GRUB 2.
    Grub,
}

impl Language {
    /// All languages: a machine may request its script in any of them.
    pub(super) const ALL: [Self; 2] = [Self::Ipxe, Self::Grub];
}
