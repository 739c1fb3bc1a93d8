//! Directories of ISO 9660 images (ECMA-119), with the names of Rock Ridge where an image has them.

/// The size of a logical sector, in bytes (ECMA-119 6.1.2).
const SECTOR: u64 = 2048;

/// Where the descriptor of the volume is, and its length in bytes (ECMA-119 6.2.1 and 8.4).
pub(super) const DESCRIPTOR: (u64, u64) = (16 * SECTOR, SECTOR);

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name in lower case, without the version.
    pub(super) name: String,
    /// Whether it is a directory.
    pub(super) is_directory: bool,
    /// The offset of its bytes.
    pub(super) start: u64,
    /// Its length in bytes.
    pub(super) length: u64,
}

/// Returns the root directory. `None` if the image is not of this format.
pub(super) fn root(descriptor: &[u8]) -> Option<Entry> {
    let is_primary = descriptor.get(..6)? == b"\x01CD001";
    is_primary.then(|| entry(descriptor.get(156..190)?))?
}

/// Returns the entries of a directory but itself and its parent.
pub(super) fn entries(directory: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    // A record never spans two sectors; the rest of a sector is zero.
    for sector in directory.chunks(usize::try_from(SECTOR).unwrap_or(usize::MAX)) {
        let mut rest = sector;
        while let Some((&length, _)) = rest.split_first().filter(|(length, _)| **length > 0) {
            let Some((record, after)) = rest.split_at_checked(usize::from(length)) else { break };
            entries.extend(entry(record).filter(|entry| !entry.name.is_empty()));
            rest = after;
        }
    }
    entries
}

/// Reads a record (ECMA-119 9.1). The names of a directory itself and of its parent are empty.
fn entry(record: &[u8]) -> Option<Entry> {
    let number = |at: usize| Some(u64::from(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?)));
    let name_length = usize::from(*record.get(32)?);
    let name = record.get(33..33 + name_length)?;
    let is_own = matches!(name, [0 | 1]);
    // A byte follows if the name would leave the next field at an odd offset (9.1.12).
    let system_use = record.get(33 + name_length + (name_length + 1) % 2..).unwrap_or_default();
    let plain = || {
        let text = String::from_utf8_lossy(name).into_owned();
        text.split(';').next().unwrap_or_default().trim_end_matches('.').to_owned()
    };
    let name = if is_own { String::new() } else { rock_ridge_name(system_use).unwrap_or_else(plain) };
    Some(Entry {
        name: name.to_ascii_lowercase(),
        is_directory: record.get(25)? & 2 != 0,
        start: number(2)? * SECTOR,
        length: number(10)?,
    })
}

/// The name of Rock Ridge (RRIP 4.1.4), if it is in one piece.
fn rock_ridge_name(mut fields: &[u8]) -> Option<String> {
    while let [first, second, length, _version, ..] = *fields {
        let (field, after) = fields.split_at_checked(usize::from(length).max(4))?;
        if [first, second] == *b"NM" && field.get(4) == Some(&0) {
            return Some(String::from_utf8_lossy(field.get(5..)?).into_owned());
        }
        fields = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of a directory.
    fn record(name: &[u8], flags: u8, sector: u32, length: u32, system_use: &[u8]) -> Vec<u8> {
        let mut record = vec![0; 33];
        record[2..6].copy_from_slice(&sector.to_le_bytes());
        record[10..14].copy_from_slice(&length.to_le_bytes());
        (record[25], record[32]) = (flags, u8::try_from(name.len()).unwrap());
        record.extend(name);
        record.resize(record.len().next_multiple_of(2), 0);
        record.extend(system_use);
        record[0] = u8::try_from(record.len()).unwrap();
        record
    }

    #[test]
    fn directory_lists_names_and_places() {
        let mut descriptor = vec![0; 2048];
        descriptor[..6].copy_from_slice(b"\x01CD001");
        descriptor[156..190].copy_from_slice(&record(&[0], 2, 20, 4096, b""));
        let found = root(&descriptor).unwrap();
        assert_eq!((found.name.as_str(), found.is_directory, found.start, found.length), ("", true, 40960, 4096));
        descriptor[0] = 2;
        assert_eq!(root(&descriptor), None);
        assert_eq!(root(b"\x01CD001"), None);

        let mut directory = [record(&[0], 2, 20, 2048, b""), record(&[1], 2, 20, 2048, b"")].concat();
        directory.extend(record(b"LIVE", 2, 30, 2048, b"RR\x05\x01\x81NM\x0b\x01\0LiveOS"));
        directory.resize(2048, 0);
        directory.extend(record(b"ISOLINUX.BIN;1", 0, 40, 5, b""));
        let names: Vec<_> = entries(&directory).into_iter().map(|it| (it.name, it.is_directory, it.start)).collect();
        assert_eq!(names, [("liveos".to_owned(), true, 61440), ("isolinux.bin".to_owned(), false, 81920)]);
        // Random bytes end in no panic.
        for length in 0..255 {
            let _ = entries(&vec![length; 4096]);
            let _ = entry(&vec![length; usize::from(length)]);
        }
    }
}
