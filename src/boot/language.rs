//! The script languages of boot loaders.

/// The language of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// iPXE.
    Ipxe,
    /// GRUB 2.
    Grub,
    /// PXELINUX, `syslinux.efi`, and U-Boot, which reads the same configurations.
    Pxelinux,
}

impl Language {
    /// All languages: a machine may request its script in any of them.
    pub(super) const ALL: [Self; 3] = [Self::Ipxe, Self::Grub, Self::Pxelinux];

    /// The name of the boot loader in messages.
    pub(super) const fn loader(self) -> &'static str {
        match self {
            Self::Ipxe => "iPXE",
            Self::Grub => "GRUB",
            Self::Pxelinux => "PXELINUX",
        }
    }
}
