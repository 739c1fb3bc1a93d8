//! The kind of a script: its effect on the machine.

use serde::{Deserialize, Serialize};

/// The effect of a script on its machine, as far as this server knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptKind {
    /// It fetches the files that the script names.
    Files,
    /// It uses the ISO image that the script names as a disk, and reads what it needs.
    Image,
    /// The person at its screen, or a timeout, chooses which of the named files it fetches.
    Menu,
    /// It boots its local disks.
    Local,
    /// It goes on to another server: a URL or an iSCSI disk.
    Elsewhere,
    /// It waits, because no host matches it and there is no default profile.
    Unknown,
    /// It waits for this, and requests its script again.
    Waits(String),
    /// Its script could not be made: why. It requests the script again.
    Failed(String),
}

impl ScriptKind {
    /// Whether the machine stays in its boot loader and requests its script again.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Unknown | Self::Waits(_) | Self::Failed(_))
    }

    /// Whether a script for iPXE or GRUB lets a person choose: iPXE's `choose` (which ends the list of a `menu`), or GRUB's
    /// `menuentry`.
    pub(in crate::boot) fn has_choice(script: &str) -> bool {
        script
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .any(|word| matches!(word, "choose" | "menuentry"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn menu_is_recognised_by_command() {
        assert!(ScriptKind::has_choice(
            "#!ipxe\nmenu Boot\nitem a A\n  choose --timeout 5000 target && goto ${target}\n"
        ));
        assert!(ScriptKind::has_choice("menuentry 'Install' {\n linux /k\n}\n"));
        assert!(!ScriptKind::has_choice("#!ipxe\necho choose a disk\n# menuentry\nkernel k\n"));
        assert!(ScriptKind::Unknown.waits() && !ScriptKind::Local.waits());
    }
}
