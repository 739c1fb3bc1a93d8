//! `bootdepot check` reads the directories of ISO images that profiles boot.

use std::path::Path;

use serde_json::Value;

use crate::support::{CommandExt, FakeOrigin, TestSite, Tool, random_bytes};

/// An ISO image with these files, made by xorriso with these options. It has 4 MB that are no directory.
fn image(xorriso: &Tool, options: &[&str], files: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (tree, image) = (dir.path().join("tree"), dir.path().join("image.iso"));
    for (name, length) in files.iter().map(|name| (*name, 10)).chain([("padding", 4_000_000)]) {
        let file = tree.join(name);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory can be made");
        std::fs::write(file, random_bytes(3, length)).expect("a file can be written");
    }
    let shown = |path: &Path| path.display().to_string();
    let (image_path, tree) = (shown(&image), shown(&tree));
    xorriso.succeed([&["-as", "mkisofs", "-quiet"], options, &["-o", &image_path, &tree]].concat());
    std::fs::read(&image).expect("the image can be read")
}

#[test]
fn check_warns_of_live_iso() {
    let Some(xorriso) = Tool::find("xorriso") else { return };
    let origin = FakeOrigin::start();
    let live = origin.put("ubuntu.iso", image(&xorriso, &["-R", "-J"], &["casper/filesystem.squashfs"]));
    let agent = origin.put("agent.iso", image(&xorriso, &[], &["images/pxeboot/rootfs.img", "isolinux/boot.cat"]));
    let tool = origin.put("tool.iso", image(&xorriso, &["-R"], &["isolinux/isolinux.cfg", "kernel"]));
    let other = origin.put("disk.iso", random_bytes(9, 100_000));
    let objects = [&live, &agent, &tool, &other];
    let profiles: String = objects
        .each_ref()
        .map(|object| format!("[[profile]]\nname = \"of {0}\"\niso = \"{0}\"\n", object.key))
        .concat();
    let site = objects.into_iter().fold(TestSite::new(&origin), TestSite::asset);
    let site = site.tables(profiles.parse().expect("the settings are TOML"));
    let output = site.command_line(&["check", "--json"]).run_to_end();
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = report["checks"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["check"] == "isos").expect("a row about ISO images");
    let findings: Vec<_> = row["findings"].as_array().expect("findings").iter().collect();
    let found = |name: &str| {
        let finding = findings.iter().find(|finding| finding["what"] == name).expect("a finding of each image");
        (finding["trouble"].as_str(), finding["found"].as_str().expect("a text").to_owned())
    };
    for (name, system) in [("ubuntu.iso", "a live system of Ubuntu"), ("agent.iso", "a live system of CoreOS")] {
        let (trouble, text) = found(name);
        assert!(trouble == Some("live system") && text.contains(system), "{name}: {trouble:?} {text}");
    }
    for name in ["tool.iso", "disk.iso"] {
        assert_eq!(found(name).0, None, "{name}");
    }
    // Only directories were read, beside the ends that the check of objects reads.
    for object in [&live, &agent, &tool] {
        assert!(origin.sent(&object.key) < 1_000_000, "{} bytes of {}", origin.sent(&object.key), object.key);
    }
    let text = site.command_line(&["check"]).run_to_end();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("2 of 4 ISO images will not boot"), "{text}");
}
