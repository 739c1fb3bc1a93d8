//! Systems that virtual machines boot: kernels, initrds and an ISO from Debian's packages. Their first process reports on the
//! console that it runs.

use super::{FakeOrigin, Object, Tool};

/// The line that the first process of a booted machine prints, followed by ` as ` and the `hostname` of its kernel's arguments.
pub(crate) const UP: &str = "bootdepot: the machine is up";
/// The first output of every Linux kernel.
pub(crate) const KERNEL: &str = "Linux version";

/// Where a file of Debian's installer for this architecture is.
fn installer(architecture: &str, name: &str) -> String {
    format!("/usr/lib/debian-installer/images/12/{architecture}/text/debian-installer/{architecture}/{name}")
}

/// Shows that the package is `busybox-static`. The program of the package `busybox` has the same path and needs libraries.
pub(super) const BUSYBOX_STATIC: &str = "/usr/share/doc/busybox-static/copyright";

/// The modes of a program, a directory and a symbolic link.
pub(super) const PROGRAM: u32 = 0o100_755;
pub(super) const DIRECTORY: u32 = 0o040_755;
const LINK: u32 = 0o120_777;

/// A kernel and an initrd.
pub(crate) struct Guest {
    pub(crate) kernel: Vec<u8>,
    pub(crate) initrd: Vec<u8>,
}

impl Guest {
    /// Returns Debian's kernel and an initrd of 2 MB with a shell.
    ///
    /// `None` if a package is missing: the test is skipped.
    pub(crate) fn small() -> Option<Self> {
        let kernel = installer("amd64", "linux");
        let files = [&kernel, "/bin/busybox", BUSYBOX_STATIC].map(Tool::file);
        let [Some(kernel), Some(busybox), Some(_)] = files else { return None };
        let [kernel, busybox] = [kernel, busybox].map(|path| std::fs::read(path).expect("the file can be read"));
        let mut files = vec![("bin", DIRECTORY, &b""[..]), ("dev", DIRECTORY, b""), ("proc", DIRECTORY, b"")];
        files.push(("bin/busybox", PROGRAM, &busybox));
        files.extend(["bin/sh", "bin/mount", "bin/cat", "bin/sleep"].map(|name| (name, LINK, &b"busybox"[..])));
        let init = init();
        files.push(("init", PROGRAM, init.as_bytes()));
        Some(Self { kernel, initrd: cpio(&files) })
    }

    /// Returns the kernel of Debian's installer and its initrd of 40 MB, with an `/init` that replaces the installer's.
    ///
    /// `None` if the package `debian-installer-12-netboot-amd64` is missing: the test is skipped.
    pub(crate) fn installer() -> Option<Self> {
        Self::from_installer("amd64")
    }

    /// Returns the same for ARM64, of the package `debian-installer-12-netboot-arm64`.
    pub(crate) fn arm64_installer() -> Option<Self> {
        Self::from_installer("arm64")
    }

    fn from_installer(architecture: &str) -> Option<Self> {
        let read =
            |name| Some(std::fs::read(Tool::file(&installer(architecture, name))?).expect("the file can be read"));
        let (kernel, mut initrd) = (read("linux")?, read("initrd.gz")?);
        initrd.resize(initrd.len().next_multiple_of(4), 0);
        initrd.extend(cpio(&[("init", PROGRAM, init().as_bytes())]));
        Some(Self { kernel, initrd })
    }

    /// Builds an ISO for a BIOS, with ISOLINUX, this kernel and initrd, and `arguments` for the kernel. Writes its parts to `dir`.
    ///
    /// `None` if a package is missing: the test is skipped.
    pub(crate) fn iso(&self, dir: &std::path::Path, arguments: &str) -> Option<Vec<u8>> {
        let xorriso = Tool::find("xorriso")?;
        let loader = ["/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"].map(Tool::file);
        let [Some(isolinux), Some(library)] = loader else { return None };
        let read = |path| std::fs::read(path).expect("the file can be read");
        let settings =
            format!("default linux\nprompt 0\nlabel linux\nkernel /linux\ninitrd /initrd\nappend {arguments}\n");
        let tree = dir.join("tree");
        std::fs::create_dir_all(tree.join("isolinux")).expect("a directory can be made");
        for (name, bytes) in [
            ("linux", &self.kernel),
            ("initrd", &self.initrd),
            ("isolinux/isolinux.bin", &read(isolinux)),
            ("isolinux/ldlinux.c32", &read(library)),
            ("isolinux/isolinux.cfg", &settings.into_bytes()),
        ] {
            std::fs::write(tree.join(name), bytes).expect("a file can be written");
        }
        let iso = dir.join("made.iso");
        // The loader is not a floppy image. The BIOS reads four sectors of 512 bytes of it, and the loader finds the rest by the
        // table that xorriso writes into it.
        let boot = ["-b", "isolinux/isolinux.bin", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"];
        let output =
            ["-as", "mkisofs", "-quiet", "-o"].map(Into::into).into_iter().chain([iso.clone().into_os_string()]);
        xorriso.succeed(output.chain(boot.map(Into::into)).chain([tree.into_os_string()]));
        Some(std::fs::read(iso).expect("the file can be read"))
    }

    /// Uploads both under these keys.
    pub(crate) fn upload(&self, origin: &FakeOrigin, kernel: &str, initrd: &str) -> [Object; 2] {
        [origin.put(kernel, self.kernel.clone()), origin.put(initrd, self.initrd.clone())]
    }
}

/// Returns what the console shows after a boot with the kernel argument `hostname=NAME`.
pub(crate) fn up(name: &str) -> String {
    format!("{UP} as {name}\r\n")
}

/// Returns the script of the first process.
fn init() -> String {
    format!(
        "#!/bin/sh
mount -t devtmpfs none /dev
mount -t proc none /proc
for word in $(cat /proc/cmdline); do case $word in hostname=*) name=${{word#hostname=}} ;; esac; done
for file in /note /of/the/depot/note; do
    if read -r note <$file; then echo \"bootdepot: $file says $note\" >/dev/console; fi 2>/dev/null
done
echo '{UP}' as $name >/dev/console
exec sleep 1000
"
    )
}

/// Returns an archive in the kernel's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst). The kernel
/// unpacks any number of them in sequence; later files replace earlier ones.
pub(super) fn cpio(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (inode, (name, mode, bytes)) in (1_usize..).zip(files.iter().chain([&("TRAILER!!!", 0, &b""[..])])) {
        let (mode, links) = (*mode as usize, 1);
        // inode, mode, uid, gid, links, mtime, size, device (2), represented device (2), length of the name, checksum
        let fields = [inode, mode, 0, 0, links, 0, bytes.len(), 0, 0, 0, 0, name.len() + 1, 0];
        archive.extend(b"070701");
        archive.extend(fields.iter().flat_map(|field| format!("{field:08X}").into_bytes()));
        archive.extend(name.bytes().chain([0]));
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(*bytes);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}
