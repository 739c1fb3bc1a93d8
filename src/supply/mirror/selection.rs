//! Which files of a release are mirrored.

use std::collections::HashMap;

use globset::{GlobBuilder, GlobMatcher};

use super::error::MirrorError;
use crate::supply::recipes::{Release, UpstreamFile};

/// How many labels an error lists.
const LISTED: usize = 20;

/// The globs of `select`, compared with the labels of files. `*` matches anything but a slash, `**` anything. Members of an
/// archive are selected as `ARCHIVE/MEMBER`.
#[derive(Debug, Clone)]
pub struct Selection {
    mirror: String,
    globs: Vec<String>,
}

/// A file that is mirrored, or an archive with the members that are.
#[derive(Debug, Clone)]
pub struct PickedFile {
    /// The file.
    pub file: UpstreamFile,
    /// For an archive, the globs of its members; else empty.
    pub members: Vec<GlobMatcher>,
}

impl PickedFile {
    /// Whether this member of the archive is mirrored.
    pub fn takes(&self, member: &str) -> bool {
        self.members.iter().any(|glob| glob.is_match(member))
    }
}

impl Selection {
    /// The selection of a mirror.
    pub fn new(mirror: &str, globs: Vec<String>) -> Result<Self, MirrorError> {
        let selection = Self { mirror: mirror.to_owned(), globs };
        for glob in &selection.globs {
            selection.matcher(glob)?;
        }
        Ok(selection)
    }

    /// The selected files of a release, at least one.
    pub fn pick(&self, release: &Release) -> Result<Vec<PickedFile>, MirrorError> {
        let mut picked: Vec<PickedFile> = Vec::new();
        for file in &release.files {
            let members = if file.is_archive { self.members(&file.label)? } else { Vec::new() };
            let is_selected = if file.is_archive { !members.is_empty() } else { self.matches(&file.label)? };
            if is_selected {
                picked.push(PickedFile { file: file.clone(), members });
            }
        }
        if picked.is_empty() {
            let labels: Vec<_> = release.files.iter().map(|file| file.label.as_str()).collect();
            let more = labels.len().saturating_sub(LISTED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            return Err(MirrorError::NothingSelected {
                mirror: self.mirror.clone(),
                version: release.version.to_string(),
                offered: labels[..labels.len().min(LISTED)].join(", ") + &more,
            });
        }
        let mut names: HashMap<&str, &str> = HashMap::new();
        for PickedFile { file, .. } in &picked {
            if let Some(first) = names.insert(&file.name, &file.label) {
                return Err(MirrorError::SameName {
                    version: release.version.to_string(),
                    name: file.name.clone(),
                    first: first.to_owned(),
                    second: file.label.clone(),
                });
            }
        }
        Ok(picked)
    }

    /// Whether the file of this label is selected.
    pub fn matches(&self, label: &str) -> Result<bool, MirrorError> {
        for glob in &self.globs {
            if self.matcher(glob)?.is_match(label) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a file whose label begins with `group` and a slash may be selected.
    pub fn matches_group(&self, group: &str) -> Result<bool, MirrorError> {
        for glob in &self.globs {
            if glob.starts_with("**") || self.matcher(&split(glob, group).0)?.is_match(group) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The globs of the members of the archive `label`.
    fn members(&self, label: &str) -> Result<Vec<GlobMatcher>, MirrorError> {
        let mut members = Vec::new();
        for glob in &self.globs {
            let (head, tail) = split(glob, label);
            if !tail.is_empty() && self.matcher(&head)?.is_match(label) {
                members.push(self.matcher(&tail)?);
            }
        }
        Ok(members)
    }

    fn matcher(&self, glob: &str) -> Result<GlobMatcher, MirrorError> {
        let built = GlobBuilder::new(glob).literal_separator(true).build();
        built.map(|glob| glob.compile_matcher()).map_err(|error| MirrorError::Glob {
            mirror: self.mirror.clone(),
            glob: glob.to_owned(),
            reason: error.kind().to_string(),
        })
    }
}

/// The first segments of a glob, as many as `label` has, and the rest.
fn split(glob: &str, label: &str) -> (String, String) {
    let mut segments = glob.split('/');
    let head: Vec<_> = segments.by_ref().take(label.split('/').count()).collect();
    (head.join("/"), segments.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::Expected;
    use crate::supply::recipes::Version;

    fn release(labels: &[&str], is_archive: bool) -> Release {
        let file = |label: &&str| {
            let name = label.rsplit('/').next().unwrap();
            UpstreamFile { is_archive, ..UpstreamFile::new(name, "https://h", Expected::default()).labelled(*label) }
        };
        Release { version: Version::new("1"), prerelease: false, files: labels.iter().map(file).collect() }
    }

    fn pick(globs: &[&str], release: &Release) -> Result<Vec<String>, String> {
        let selection = Selection::new("m", globs.iter().map(|glob| (*glob).to_owned()).collect());
        let picked = selection.and_then(|selection| selection.pick(release)).map_err(|error| error.to_string())?;
        Ok(picked.into_iter().map(|picked| picked.file.label).collect())
    }

    #[test]
    fn globs_match_labels_by_segment() {
        let release = release(&["pxe/kernel", "pxe/rootfs", "iso/disk"], false);
        assert_eq!(pick(&["pxe/*"], &release).unwrap(), ["pxe/kernel", "pxe/rootfs"]);
        assert_eq!(pick(&["**"], &release).unwrap().len(), 3);
        assert!(pick(&["*"], &release).unwrap_err().ends_with("it offers: pxe/kernel, pxe/rootfs, iso/disk"));
        assert!(pick(&["[z-a]"], &release).unwrap_err().starts_with("select of mirror m: \"[z-a]\" is not a glob"));
    }

    #[test]
    fn same_name_twice_is_error() {
        let error = pick(&["**"], &release(&["a:1/boot-kernel", "a:2/boot-kernel"], false)).unwrap_err();
        assert_eq!(
            error,
            "two selected files of 1 have the name boot-kernel (a:1/boot-kernel and a:2/boot-kernel); narrow select to one of them"
        );
    }

    #[test]
    fn archive_members_are_selected_below_label() {
        let globs = vec!["alpine-netboot/boot/{vmlinuz,modloop}-lts".to_owned()];
        let picked = Selection::new("m", globs).unwrap().pick(&release(&["alpine-netboot"], true)).unwrap();
        assert!(picked[0].takes("boot/vmlinuz-lts") && picked[0].takes("boot/modloop-lts"));
        assert!(!picked[0].takes("boot/initramfs-lts") && !picked[0].takes("boot/dtbs/vmlinuz-lts"));
        assert!(pick(&["alpine-netboot"], &release(&["alpine-netboot"], true)).is_err(), "names no member");
    }

    #[test]
    fn group_is_wanted_by_its_segments() {
        let matches =
            |glob: &str| Selection::new("m", vec![glob.to_owned()]).unwrap().matches_group("a:24.04").unwrap();
        assert!(matches("a:24.04/boot-kernel") && matches("*:24.04/*") && matches("**"));
        assert!(!matches("a:22.04/boot-kernel"));
    }
}
