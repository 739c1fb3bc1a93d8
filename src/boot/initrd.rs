//! The files that a kernel gets from the boot loader, and the programs that are loaded in place of a kernel.

use super::settings::InitrdSettings;

/// The kind of a program that is loaded like a kernel, by the name of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loader {
    /// Linux, or any other: it gets archives of an initramfs.
    Linux,
    /// wimboot: Windows' boot manager and its image, which it finds by their names. It stops at an unknown argument.
    Wimboot,
    /// memdisk: one image of a disk.
    Memdisk,
    /// iPXE itself: its arguments are commands, and its one file is a script.
    Ipxe,
    /// memtest86+: no files.
    Memtest,
}

impl Loader {
    /// The kind of the program that `reference` names.
    pub(super) fn of(reference: &str) -> Self {
        let name = file_name(reference).to_ascii_lowercase();
        let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        match name.as_str() {
            name if name.starts_with("wimboot") => Self::Wimboot,
            name if name.starts_with("memdisk") => Self::Memdisk,
            name if name.starts_with("memtest") || name.starts_with("mt86") => Self::Memtest,
            _ if suffix == "lkrn" => Self::Ipxe,
            _ => Self::Linux,
        }
    }

    /// Its name in messages.
    fn name(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Wimboot => "wimboot",
            Self::Memdisk => "memdisk",
            Self::Ipxe => "iPXE",
            Self::Memtest => "memtest86+",
        }
    }

    /// Why GRUB cannot boot it; `None` if it can.
    pub(super) fn unsupported_by_grub(self) -> Option<&'static str> {
        match self {
            Self::Wimboot => Some("wimboot gets its files by name from iPXE alone"),
            Self::Memdisk => Some("memdisk is started by iPXE alone"),
            Self::Linux | Self::Ipxe | Self::Memtest => None,
        }
    }

    /// The `initrd=` arguments that a UEFI kernel finds its files by.
    ///
    /// iPXE has all of them as one archive under the name `initrd.magic` since 2021; by their own names, files with a place
    /// have no header of an archive.
    pub(super) fn initrd_args(self, initrds: &[Initrd]) -> Vec<String> {
        if self != Self::Linux {
            return Vec::new();
        }
        if initrds.iter().any(|initrd| initrd.path.is_some()) {
            return vec!["initrd.magic".to_owned()];
        }
        initrds.iter().map(|initrd| initrd.label.clone()).collect()
    }
}

/// A file that a kernel gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Initrd {
    /// The asset, by reference.
    pub(super) asset: String,
    /// The name by which iPXE and the kernel know it.
    pub(super) label: String,
    /// Its name in the archive that the boot loader wraps it in; `None` if it is an archive itself.
    pub(super) path: Option<String>,
}

/// Returns the files for `loader`, or everything that cannot work, a sentence for each.
pub(super) fn initrds(loader: Loader, settings: &[InitrdSettings]) -> Result<Vec<Initrd>, Vec<String>> {
    let mut problems = Vec::new();
    let initrds: Vec<_> = settings
        .iter()
        .enumerate()
        .map(|(index, settings)| {
            problems.extend(settings.path.as_deref().and_then(|path| wrong_path(loader, path)));
            problems.extend(settings.name.as_deref().and_then(wrong_name));
            let own = || {
                if loader == Loader::Wimboot { file_name(&settings.asset).to_owned() } else { format!("initrd{index}") }
            };
            let label = settings.name.clone().unwrap_or_else(own);
            // wimboot reads the names of an archive if a BIOS started it.
            let path = if loader == Loader::Wimboot { Some(label.clone()) } else { settings.path.clone() };
            Initrd { asset: settings.asset.clone(), label, path }
        })
        .collect();
    let repeated = initrds
        .iter()
        .enumerate()
        .find(|(index, initrd)| initrds[..*index].iter().any(|other| other.label.eq_ignore_ascii_case(&initrd.label)));
    if let Some((_, initrd)) = repeated {
        problems.push(format!("two files have the name {:?}; set another `name` for one of them", initrd.label));
    }
    let places: Vec<_> = initrds.iter().filter_map(|initrd| initrd.path.as_deref()).collect();
    if let Some(path) = places.iter().enumerate().find_map(|(at, path)| places[..at].contains(path).then_some(path))
        && repeated.is_none()
    {
        problems.push(format!("two files have the path {path:?}"));
    }
    let is_image = |initrd: &Initrd| initrd.label.to_ascii_lowercase().ends_with(".wim");
    match loader {
        Loader::Wimboot if !initrds.iter().any(is_image) => {
            problems.push("wimboot boots an image of Windows: one file needs a name that ends with .wim".to_owned());
        }
        Loader::Memdisk if initrds.len() != 1 => {
            problems.push(format!("memdisk boots one image of a disk, and this names {} files", initrds.len()));
        }
        Loader::Ipxe if initrds.len() > 1 => problems.push("iPXE takes one file, a script".to_owned()),
        Loader::Memtest if !initrds.is_empty() => problems.push("memtest86+ takes no files".to_owned()),
        _ => {}
    }
    if problems.is_empty() { Ok(initrds) } else { Err(problems) }
}

/// The last segment of a reference: an asset's name, or CHANNEL:SHORT.
fn file_name(reference: &str) -> &str {
    reference.rsplit(['/', ':']).next().unwrap_or(reference)
}

/// Whether a text is a name in iPXE's scripts, GRUB's configurations and archives alike.
fn is_file_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+@%=,~".contains(&b))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_')
        && !matches!(name, "." | "..")
}

fn wrong_path(loader: Loader, path: &str) -> Option<String> {
    if loader != Loader::Linux {
        return Some(format!(
            "{} has no initramfs, so that no file has a path in it; set `name` instead",
            loader.name()
        ));
    }
    let segments = path.strip_prefix('/').map(|path| path.split('/').all(is_file_name));
    (segments != Some(true)).then(|| {
        format!("{path:?} is not a path in the initramfs: begin with a slash, and use letters, digits and ._-+@%=,~")
    })
}

fn wrong_name(name: &str) -> Option<String> {
    (!is_file_name(name)).then(|| format!("{name:?} is not a file name: use letters, digits and ._-+@%=,~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(asset: &str, path: Option<&str>, name: Option<&str>) -> InitrdSettings {
        InitrdSettings { asset: asset.to_owned(), path: path.map(str::to_owned), name: name.map(str::to_owned) }
    }

    /// The name and the path of each file.
    fn found(kernel: &str, files: &[InitrdSettings]) -> Result<Vec<(String, Option<String>)>, String> {
        let found = initrds(Loader::of(kernel), files).map_err(|problems| problems.join("; "))?;
        Ok(found.into_iter().map(|initrd| (initrd.label, initrd.path)).collect())
    }

    #[test]
    fn file_name_decides_loader() {
        for (reference, loader) in [
            ("debian/linux", Loader::Linux),
            ("debian:linux", Loader::Linux),
            ("win/wimboot", Loader::Wimboot),
            ("win:wimboot.x86_64", Loader::Wimboot),
            ("boot/memdisk", Loader::Memdisk),
            ("boot/ipxe.lkrn", Loader::Ipxe),
            ("memtest86+x64.bin", Loader::Memtest),
            ("wimboot/linux", Loader::Linux),
        ] {
            assert_eq!(Loader::of(reference), loader, "{reference}");
        }
    }

    #[test]
    fn files_get_names_of_their_loader() {
        let plain = [file("ucode/intel.img", None, None), file("d/initrd.gz", None, Some("main"))];
        let named = |names: &[(&str, Option<&str>)]| {
            Ok(names.iter().map(|(name, path)| ((*name).to_owned(), path.map(str::to_owned))).collect())
        };
        assert_eq!(found("linux", &plain), named(&[("initrd0", None), ("main", None)]));
        let iso = [file("pve/initrd", None, None), file("pve/pve.iso", Some("/proxmox.iso"), None)];
        assert_eq!(found("linux", &iso), named(&[("initrd0", None), ("initrd1", Some("/proxmox.iso"))]));
        let windows = [file("win:BCD", None, None), file("win/x/w.wim", None, Some("boot.wim"))];
        assert_eq!(found("wimboot", &windows), named(&[("BCD", Some("BCD")), ("boot.wim", Some("boot.wim"))]));
        let arguments = |kernel: &str, files: &[InitrdSettings]| {
            let loader = Loader::of(kernel);
            loader.initrd_args(&initrds(loader, files).unwrap())
        };
        assert_eq!(arguments("linux", &plain), ["initrd0", "main"]);
        assert_eq!(arguments("linux", &iso), ["initrd.magic"]);
        assert_eq!(arguments("wimboot", &windows), [""; 0]);
        assert_eq!(arguments("memdisk", &plain[..1]), [""; 0]);
        assert_eq!(arguments("ipxe.lkrn", &plain[..1]), [""; 0]);
    }

    #[test]
    fn files_that_cannot_work_are_refused() {
        let wim = || file("a/boot.wim", None, None);
        for (kernel, files, reason) in [
            ("linux", vec![file("a", Some("x.iso"), None)], "not a path in the initramfs"),
            ("linux", vec![file("a", Some("/a/../b"), None)], "not a path in the initramfs"),
            ("linux", vec![file("a", Some("/a b"), None)], "not a path in the initramfs"),
            ("linux", vec![file("a", Some("/a:b"), None)], "not a path in the initramfs"),
            ("linux", vec![file("a", Some("/"), None)], "not a path in the initramfs"),
            ("linux", vec![file("a", None, Some("a/b"))], "not a file name"),
            ("linux", vec![file("a", None, Some("--x"))], "not a file name"),
            (
                "linux",
                vec![file("a", None, None), file("b", None, Some("initrd0"))],
                "two files have the name \"initrd0\"",
            ),
            ("linux", vec![file("a", Some("/a"), None), file("b", Some("/a"), None)], "two files have the path \"/a\""),
            ("wimboot", vec![wim(), file("b/Boot.WIM", None, None)], "two files have the name \"Boot.WIM\""),
            ("wimboot", vec![file("a/BCD", None, None)], "ends with .wim"),
            ("wimboot", vec![wim(), file("a/BCD", Some("/BCD"), None)], "wimboot has no initramfs"),
            ("memdisk", vec![], "memdisk boots one image"),
            ("memdisk", vec![wim(), wim()], "memdisk boots one image"),
            ("ipxe.lkrn", vec![file("a", None, None), file("b", None, None)], "iPXE takes one file"),
            ("memtest.bin", vec![wim()], "takes no files"),
        ] {
            let problems = found(kernel, &files).unwrap_err();
            assert!(problems.contains(reason), "{kernel}: {problems}");
        }
    }
}
