//! Lists a directory of a source: of a bucket or of this machine. Web servers have no common form of listing.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Stat, statat};

use super::bucket_client::BucketClient;
use super::call::Call;
use super::confined_file;
use super::error::OriginError;
use super::file;
use super::listing::ListPage;
use super::stall::with_timeout;
use crate::task;

/// Entries of a directory that are listed at most: ten pages of a bucket. A person reads no more, and a listing has 1 MB at most.
const MAX_FILES: usize = 10_000;

/// The content of a directory, without that of its directories.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirectoryListing {
    /// The names of directories in it, without a slash at the end.
    pub directories: Vec<String>,
    /// The files in it.
    pub files: Vec<ListedFile>,
    /// Whether these are all. At most 10,000 are listed.
    pub is_complete: bool,
}

/// A file in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its name, without a directory.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last modified.
    pub modified: Option<SystemTime>,
}

impl DirectoryListing {
    fn add_page(&mut self, prefix: &str, page: ListPage) {
        let name = |key: &str| key.strip_prefix(prefix).filter(|name| !name.is_empty()).map(str::to_owned);
        self.directories.extend(page.prefixes.iter().filter_map(|key| name(key.trim_end_matches('/'))));
        self.files.extend(page.objects.into_iter().filter_map(|object| {
            let modified = object.last_modified.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            Some(ListedFile { name: name(&object.key)?, size: object.size, modified: modified.map(SystemTime::from) })
        }));
    }
}

/// Lists the keys of a bucket that begin with `prefix`, which is empty or ends with a slash. `url` is shown in errors.
pub(super) async fn of_bucket(client: &BucketClient, prefix: &str, url: &str) -> Result<DirectoryListing, OriginError> {
    let mut listing = DirectoryListing::default();
    let mut from = None;
    // A page has 1,000 entries at most; a server that sends the same one again does not go on for ever.
    for _ in 0..MAX_FILES / 1_000 {
        let reply = client.call(&Call::list(prefix, Some("/"), from.as_deref())).await.map_err(|error| error.error)?;
        let bad = |reason| OriginError::BadReply { source_url: url.to_owned(), reason, source: None };
        let mut page = ListPage::parse(&reply.body, client.endpoint()).map_err(bad)?;
        from = page.next.take();
        listing.add_page(prefix, page);
        if from.is_none() {
            listing.is_complete = true;
            break;
        }
    }
    Ok(listing)
}

/// Lists `path`, which is `root` or a directory below it. Files that lead out of `root` are left out.
pub(super) async fn of_machine(
    (root, path): (&Path, &Path),
    url: &str,
    stall: Duration,
) -> Result<DirectoryListing, OriginError> {
    let (root, path) = (root.to_owned(), path.to_owned());
    let listed = with_timeout(
        stall,
        url,
        task::blocking({
            let root = root.clone();
            move || read(&root, &path)
        }),
    )
    .await?;
    listed.map_err(|error| file::classify(error, url, Some(&root), "file:///"))
}

fn read(root: &Path, path: &Path) -> io::Result<DirectoryListing> {
    let directory = confined_file::open(root, path)?;
    let mut listing = DirectoryListing { is_complete: true, ..DirectoryListing::default() };
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name == "." || name == ".." {
            continue;
        }
        // Deleted in between.
        let Ok(mut found) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
            let target = confined_file::open(root, &path.join(OsStr::from_bytes(name.as_bytes())));
            let Some(stat) = target.ok().and_then(|file| rustix::fs::fstat(file).ok()) else { continue };
            found = stat;
        }
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory | FileType::RegularFile
                if listing.files.len() + listing.directories.len() == MAX_FILES =>
            {
                listing.is_complete = false;
                break;
            }
            FileType::Directory => listing.directories.push(name.to_owned()),
            FileType::RegularFile => {
                let (name, size) = (name.to_owned(), u64::try_from(found.st_size).unwrap_or(0));
                listing.files.push(ListedFile { name, size, modified: modified(&found) });
            }
            _ => {}
        }
    }
    Ok(listing)
}

fn modified(stat: &Stat) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(stat.st_mtime).ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::listing::ListedObject;
    use super::*;

    fn names(listing: &DirectoryListing) -> Vec<&str> {
        let mut names: Vec<_> = listing.files.iter().map(|file| file.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn directory_of_machine_stays_inside() {
        let site = tempfile::tempdir().unwrap();
        let root = site.path().join("srv");
        fs::create_dir_all(root.join("deep")).unwrap();
        fs::write(root.join("a.iso"), "four").unwrap();
        fs::write(site.path().join("secret"), "hush").unwrap();
        symlink("a.iso", root.join("latest.iso")).unwrap();
        symlink("../secret", root.join("outside")).unwrap();
        symlink("..", root.join("up")).unwrap();
        let listing = read(&root, &root).unwrap();
        assert_eq!(names(&listing), ["a.iso", "latest.iso"]);
        assert_eq!((listing.directories.clone(), listing.is_complete), (vec!["deep".to_owned()], true));
        assert!(listing.files.iter().all(|file| file.size == 4 && file.modified.is_some()));
        assert!(confined_file::is_outside(&read(&root, &root.join("up")).unwrap_err()));
        assert_eq!(read(&root, &root.join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn page_of_bucket_has_plain_names() {
        let object = |key: &str| ListedObject {
            key: key.to_owned(),
            size: 4,
            etag: None,
            last_modified: Some("2026-01-01T00:00:00.000Z".to_owned()),
            storage_class: None,
        };
        let page = ListPage {
            objects: vec![object("isos/"), object("isos/a.iso")],
            prefixes: vec!["isos/deep/".to_owned()],
            next: None,
        };
        let mut listing = DirectoryListing::default();
        listing.add_page("isos/", page);
        assert_eq!((names(&listing), listing.directories.as_slice()), (vec!["a.iso"], &["deep".to_owned()][..]));
        assert_eq!(listing.files[0].modified, Some(SystemTime::UNIX_EPOCH + Duration::from_hours(490_896)));
    }
}
