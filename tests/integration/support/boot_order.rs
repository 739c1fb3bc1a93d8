//! The boot order of OVMF, written into its variables before the machine starts: PXE of each network card in turn, then a disk. The
//! order that QEMU hands over has HTTP Boot and IPv6 between them, and each waits for a minute.

use std::path::Path;

/// The namespace of UEFI's own variables, `EFI_GLOBAL_VARIABLE` (UEFI 2.10 3.3).
const GLOBAL: [u8; 16] =
    [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c];
/// Where the variables begin: after the headers of the volume and of the store.
const FIRST: usize = 100;
/// The numbers of the boot options. The firmware uses small ones for its own.
const FIRST_OPTION: u16 = 0x1000;
/// The last node of a device path (UEFI 2.10 10.3.1).
const PATH_END: [u8; 4] = [0x7f, 0xff, 4, 0];

/// Writes the boot order into a file of default variables, which holds none: PXE over IPv4 of the cards in these PCI slots with
/// these MAC addresses, then the disk in this PCI slot.
pub(super) fn write(variables: &Path, cards: &[(u8, [u8; 6])], disk: u8) {
    let mut options: Vec<_> = cards.iter().map(|(slot, mac)| pxe(*slot, *mac)).collect();
    options.push(pci(disk));
    let numbers: Vec<u16> = (FIRST_OPTION..).take(options.len()).collect();
    let order: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut written = variable("BootOrder", &order);
    for (number, path) in numbers.iter().zip(options) {
        written.extend(variable(&format!("Boot{number:04X}"), &boot_option(&[path, PATH_END.to_vec()].concat())));
    }
    let mut store = std::fs::read(variables).expect("the file can be read");
    let place = &mut store[FIRST..FIRST + written.len()];
    assert!(place.iter().all(|byte| *byte == 0xff), "the firmware's default variables are not empty");
    place.copy_from_slice(&written);
    std::fs::write(variables, store).expect("the file can be written");
}

/// An `EFI_LOAD_OPTION` (UEFI 2.10 3.1.3): active, without a description.
fn boot_option(path: &[u8]) -> Vec<u8> {
    let length = u16::try_from(path.len()).expect("a device path is short");
    [&1_u32.to_le_bytes()[..], &length.to_le_bytes(), &[0, 0], path].concat()
}

/// A variable with its header, padded to the next: EDK2's `AUTHENTICATED_VARIABLE_HEADER`.
fn variable(name: &str, data: &[u8]) -> Vec<u8> {
    // Complete; kept over restarts, and visible before and after the boot.
    let (state, attributes) = (0x3f, 7_u32);
    let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a variable is short").to_le_bytes();
    // The monotonic count, the time and the index of the key belong to signed variables.
    let mut bytes = [&[0xaa, 0x55, state, 0][..], &attributes.to_le_bytes(), &[0; 8 + 16 + 4]].concat();
    bytes.extend([&size(&name)[..], &size(data), &GLOBAL, &name, data].concat());
    bytes.resize(bytes.len().next_multiple_of(4), 0xff);
    bytes
}

/// The device path of a PCI device behind the root bridge of QEMU's machine q35 (UEFI 2.10 10.3).
fn pci(slot: u8) -> Vec<u8> {
    vec![2, 1, 12, 0, 0xd0, 0x41, 3, 10, 0, 0, 0, 0, 1, 1, 6, 0, 0, slot]
}

/// The device path of PXE over IPv4 on a network card.
fn pxe(slot: u8, mac: [u8; 6]) -> Vec<u8> {
    [&pci(slot)[..], &[3, 11, 37, 0], &mac, &[0; 26], &[1, 3, 12, 27, 0], &[0; 23]].concat()
}
