//! Disks that machines boot after the network. Their boot prints a line.

use std::ffi::OsStr;
use std::path::Path;

use super::Tool;

/// The line that the boot of a disk prints on the console.
pub(crate) const DISK_BOOTED: &str = "the disk has booted";

/// A GRUB that does what its configuration says at once, for a disk or for a chain.
const MODULES: [&str; 3] = ["echo", "sleep", "minicmd"];
const SHIM: &str = "/usr/lib/shim/shimx64.efi.signed";
const GRUB: &str = "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed";

/// A disk in QEMU's notation.
pub(crate) struct Disk(String);

impl Disk {
    /// A disk for a BIOS.
    pub(crate) fn bios(dir: &Path) -> Self {
        let path = dir.join("bios.img");
        std::fs::write(&path, image()).expect("a file can be written");
        Self(path.display().to_string())
    }

    /// A disk with only a loader for removable media. `None` if GRUB is missing: the test is skipped.
    pub(crate) fn removable(dir: &Path) -> Option<Self> {
        let root = dir.join("removable");
        std::fs::create_dir_all(root.join("EFI/BOOT")).expect("a directory can be made");
        let program = uefi_program(dir, &format!("echo '{DISK_BOOTED}'\nsleep 1000\n"))?;
        std::fs::write(root.join("EFI/BOOT/BOOTX64.EFI"), program).expect("a file can be written");
        Some(Self(format!("fat:{}", root.display())))
    }

    /// A disk with Debian's signed loaders, and none for removable media. `None` if a package is missing: the test is skipped.
    pub(crate) fn debian(dir: &Path) -> Option<Self> {
        let root = dir.join("debian");
        std::fs::create_dir_all(root.join("EFI/debian")).expect("a directory can be made");
        for (name, package) in [("shimx64.efi", SHIM), ("grubx64.efi", GRUB)] {
            std::fs::copy(Tool::file(package)?, root.join("EFI/debian").join(name)).expect("a file can be copied");
        }
        let settings = format!("echo '{DISK_BOOTED}'\nsleep 1000\n");
        std::fs::write(root.join("EFI/debian/grub.cfg"), settings).expect("a file can be written");
        Some(Self(format!("fat:{}", root.display())))
    }

    /// QEMU's arguments for it, in this PCI slot, with these further properties.
    pub(super) fn args(&self, slot: u8, properties: &str) -> [String; 4] {
        [
            "-drive".to_owned(),
            format!("if=none,id=disk,format=raw,readonly=on,file={}", self.0),
            "-device".to_owned(),
            format!("virtio-blk-pci,drive=disk,addr={slot:#x}{properties}"),
        ]
    }
}

/// A program for UEFI on x86-64: GRUB, which runs these commands and ends. `None` if GRUB is missing: the test is skipped.
pub(crate) fn uefi_program(dir: &Path, commands: &str) -> Option<Vec<u8>> {
    let (mkimage, _) = (Tool::find("grub-mkimage")?, Tool::file("/usr/lib/grub/x86_64-efi/echo.mod")?);
    let (config, image) = (dir.join("program.cfg"), dir.join("program.efi"));
    std::fs::write(&config, commands).expect("a file can be written");
    let options = ["-O", "x86_64-efi", "-p", "/none", "-c"].map(OsStr::new);
    let files = [config.as_os_str(), OsStr::new("-o"), image.as_os_str()];
    mkimage.succeed(options.into_iter().chain(files).chain(MODULES.map(OsStr::new)));
    Some(std::fs::read(image).expect("the file can be read"))
}

/// An image of a disk for a BIOS: its boot sector writes the line to the first serial port and halts.
pub(crate) fn image() -> Vec<u8> {
    // The BIOS loads it to 0x7c00. The text follows the program.
    let program = [
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xfc, // cld
        0xbe, 0x17, 0x7c, // mov si, 0x7c17
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xac, // next: lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x03, // jz halt
        0xee, // out dx, al
        0xeb, 0xf8, // jmp next
        0xf4, // halt: hlt
        0xeb, 0xfd, // jmp halt
        0x90, // nop
    ];
    let mut sector = [&program[..], DISK_BOOTED.as_bytes(), b"\r\n\0"].concat();
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    // A disk of 1 MiB: some BIOSes ignore smaller ones.
    sector.resize(1 << 20, 0);
    sector
}
