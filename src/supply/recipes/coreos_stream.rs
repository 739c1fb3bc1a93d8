//! `coreos-stream`: stream metadata of Fedora CoreOS, SCOS and RHCOS, as `openshift-install coreos print-stream-json` prints
//! it too.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::release::{Release, UpstreamFile};
use super::version::Version;
use crate::asset::Digest;
use crate::proof::Expected;
use crate::proof::{Document, DocumentError};

#[derive(Deserialize)]
struct Stream {
    architectures: BTreeMap<String, Architecture>,
}

#[derive(Deserialize)]
struct Architecture {
    artifacts: BTreeMap<String, Artifact>,
}

#[derive(Deserialize)]
struct Artifact {
    release: String,
    formats: BTreeMap<String, BTreeMap<String, Part>>,
}

#[derive(Deserialize)]
struct Part {
    location: String,
    signature: Option<String>,
    sha256: String,
    // `uncompressed-sha256` is of the unpacked file, never of the bytes that are served.
}

/// Reads the bare metal artifacts of an architecture. Labels are `FORMAT/PART`, such as `pxe/kernel` and `iso/disk`; names
/// are the same in each release: `kernel`, `initramfs.img`, `rootfs.img`, `live.iso`, `metal.raw.xz`, `metal4k.raw.xz`.
pub fn parse(document: &Document, arch: &str) -> Result<Release, DocumentError> {
    let stream: Stream = document.json("the stream metadata of a CoreOS")?;
    let known = || stream.architectures.keys().cloned().collect::<Vec<_>>().join(", ");
    let architecture =
        stream.architectures.get(arch).ok_or_else(|| document.error(format!("the architecture {arch}"), known()))?;
    let metal = architecture.artifacts.get("metal").ok_or_else(|| {
        let found = architecture.artifacts.keys().cloned().collect::<Vec<_>>().join(", ");
        document.error(format!("artifacts \"metal\" of {arch}"), found)
    })?;
    let mut files = Vec::new();
    for (format, parts) in &metal.formats {
        for (part, file) in parts {
            let sha256: Digest = file.sha256.parse().map_err(|error| {
                document.error(format!("a sha256 of {format}/{part}"), format!("{:?} ({error})", file.sha256))
            })?;
            let expected = Expected { sha256: Some(sha256), ..Expected::default() };
            let mirrored = UpstreamFile::new(name(format, part), &*file.location, expected);
            let mirrored = mirrored.labelled(format!("{format}/{part}"));
            files.push(match &file.signature {
                Some(signature) => mirrored.signed_at(signature),
                None => mirrored,
            });
        }
    }
    Ok(Release { version: Version::new(&*metal.release), prerelease: false, files })
}

fn name(format: &str, part: &str) -> String {
    match (format, part) {
        ("pxe", "kernel") => "kernel".to_owned(),
        ("pxe", part) => format!("{part}.img"),
        ("iso", _) => "live.iso".to_owned(),
        ("4k.raw.xz" | "4k.raw.gz", _) => format!("metal{format}"),
        (format, "disk") => format!("metal.{format}"),
        (format, part) => format!("{part}.{format}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An excerpt in the form of `builds.coreos.fedoraproject.org/streams/stable.json`.
    const STREAM: &str = r#"{
      "stream": "stable",
      "metadata": { "last-modified": "2025-02-05T00:00:00Z" },
      "architectures": {
        "x86_64": {
          "artifacts": {
            "aws": { "release": "41.20250117.3.0", "formats": { "vmdk.xz": { "disk": {
              "location": "https://h/aws.vmdk.xz", "signature": "https://h/aws.vmdk.xz.sig",
              "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" } } } },
            "metal": { "release": "41.20250117.3.0", "formats": {
              "iso": { "disk": { "location": "https://h/live.x86_64.iso",
                "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" } },
              "pxe": {
                "kernel": { "location": "https://h/live-kernel-x86_64", "signature": "https://h/live-kernel-x86_64.sig",
                  "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
                "initramfs": { "location": "https://h/live-initramfs.x86_64.img",
                  "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
                "rootfs": { "location": "https://h/live-rootfs.x86_64.img",
                  "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" } },
              "raw.xz": { "disk": { "location": "https://h/metal.x86_64.raw.xz", "signature": "https://h/metal.x86_64.raw.xz.sig",
                "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "uncompressed-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" } } } }
          },
          "images": {}
        }
      }
    }"#;

    #[test]
    fn metal_artifacts_have_stable_names() {
        let release = parse(&Document::new("stable.json", STREAM), "x86_64").unwrap();
        assert_eq!(release.version.as_str(), "41.20250117.3.0");
        let files: Vec<_> = release.files.iter().map(|file| (file.label.as_str(), file.name.as_str())).collect();
        let expected = [
            ("iso/disk", "live.iso"),
            ("pxe/initramfs", "initramfs.img"),
            ("pxe/kernel", "kernel"),
            ("pxe/rootfs", "rootfs.img"),
            ("raw.xz/disk", "metal.raw.xz"),
        ];
        assert_eq!(files, expected);
        let kernel = &release.files[2];
        assert_eq!(kernel.signature_url.as_deref(), Some("https://h/live-kernel-x86_64.sig"));
        // Not the digest of the unpacked file.
        assert!(release.files[4].expected.sha256.unwrap().to_string().starts_with("ba78"));
    }

    #[test]
    fn unknown_architecture_lists_known_ones() {
        let error = parse(&Document::new("stable.json", STREAM), "riscv64").unwrap_err();
        assert_eq!(error.to_string(), "stable.json: expected the architecture riscv64, found x86_64");
    }

    #[test]
    fn damaged_stream_names_line_and_field() {
        let damaged = STREAM.replace("\"location\": \"https://h/live.x86_64.iso\",", "");
        let error = parse(&Document::new("stable.json", damaged), "x86_64").unwrap_err();
        assert_eq!(error.line, Some(12));
        assert!(error.to_string().contains("missing field `location`"), "{error}");
        let damaged = STREAM.replace("ba7816bf", "xx7816bf");
        let error = parse(&Document::new("stable.json", damaged), "x86_64").unwrap_err();
        assert!(error.to_string().contains("expected a sha256 of iso/disk"), "{error}");
    }
}
