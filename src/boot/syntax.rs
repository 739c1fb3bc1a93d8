//! The syntaxes in which filters quote values.

/// A syntax in which a filter of a template has quoted a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Part of a word of an iPXE script.
    Ipxe,
    /// An argument of the kernel.
    Kernel,
    /// A word of a POSIX shell.
    Shell,
    /// A value of JSON.
    Json,
    /// A value of YAML in its flow style.
    Yaml,
    /// A value of TOML.
    Toml,
    /// Text of XML, in an element or an attribute.
    Xml,
}

impl Syntax {
    /// All syntaxes.
    pub(super) const ALL: [Self; 7] =
        [Self::Ipxe, Self::Kernel, Self::Shell, Self::Json, Self::Yaml, Self::Toml, Self::Xml];
}
