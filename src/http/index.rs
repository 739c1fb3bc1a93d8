//! The index of a directory of assets: a page of links, or JSON in the form of nginx's `autoindex_format json`. Pure.

use std::fmt::Write as _;
use std::time::SystemTime;

use quick_xml::escape::escape;
use serde::Serialize;

use crate::asset::escape_path;
use crate::depot::{Directory, DirectoryFile};

/// When the year 10000 begins, in seconds since 1970.
const YEAR_10000: u64 = 253_402_300_800;

/// An entry of the JSON form.
#[derive(Serialize)]
struct Entry<'d> {
    name: &'d str,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// The JSON form. The SHA-256 is missing before the first request for a file.
pub(super) fn json(directory: &Directory) -> String {
    let directories = directory.directories.iter().map(|name| Entry {
        name,
        r#type: "directory",
        mtime: None,
        size: None,
        sha256: None,
    });
    let files = directory.files.iter().map(|file| Entry {
        name: &file.name,
        r#type: "file",
        mtime: file.modified.and_then(http_date),
        size: file.size,
        sha256: sha256(file),
    });
    let entries: Vec<_> = directories.chain(files).collect();
    // A list of texts and numbers.
    serde_json::to_string(&entries).unwrap_or_default()
}

/// The page of a directory with this path.
pub(super) fn html(path: &str, directory: &Directory) -> String {
    let title = format!("Index of {}", escape(path));
    let mut rows = String::new();
    let mut row = |name: &str, slash: &str, cells: [String; 3]| {
        let (link, name) = (escape_path(name), escape(name));
        let [size, modified, sha256] = cells;
        // Writing to a string does not fail.
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"./{link}{slash}\">{name}{slash}</a></td><td>{size}</td><td>{modified}</td><td>{sha256}</td></tr>",
            link = escape(&link)
        );
    };
    for name in &directory.directories {
        row(name, "/", Default::default());
    }
    for file in &directory.files {
        let size = file.size.map(|size| size.to_string()).unwrap_or_default();
        let modified = file.modified.and_then(http_date).unwrap_or_default();
        row(&file.name, "", [size, modified, sha256(file).unwrap_or_default()]);
    }
    let rest = if directory.is_complete { "" } else { "<p>There may be more files.</p>\n" };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <style>body{{font-family:sans-serif}}td,th{{padding:0 1em 0 0;text-align:left}}td:nth-child(2){{text-align:right}}\
         td:nth-child(4){{font-family:monospace}}</style></head>\n\
         <body>\n<h1>{title}</h1>\n<table>\n<tr><th>Name</th><th>Bytes</th><th>Modified</th><th>SHA-256</th></tr>\n\
         {rows}</table>\n{rest}</body>\n</html>"
    )
}

/// The date of a file as HTTP writes it. `None` for one before 1970 or after 9999, which it cannot write.
fn http_date(time: SystemTime) -> Option<String> {
    let age = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (age.as_secs() < YEAR_10000).then(|| httpdate::fmt_http_date(time))
}

fn sha256(file: &DirectoryFile) -> Option<String> {
    file.asset.as_ref().map(|asset| asset.digest.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::asset::{AssetName, Digest};
    use crate::catalog::Asset;

    fn directory() -> Directory {
        let modified = Some(SystemTime::UNIX_EPOCH + Duration::from_hours(490_896));
        let asset = Asset::new(AssetName::parse("isos/a.iso").unwrap(), Digest::of(b"a"), Vec::new());
        let file = |name: &str, asset| DirectoryFile { name: name.to_owned(), size: Some(4), modified, asset };
        Directory {
            directories: vec!["deep".to_owned()],
            files: vec![file("a.iso", Some(Arc::new(asset))), file("b&c <d>.iso", None)],
            is_complete: false,
        }
    }

    #[test]
    fn json_index_has_form_of_nginx() {
        let sha256 = Digest::of(b"a");
        let time = "Thu, 01 Jan 2026 00:00:00 GMT";
        let expected = format!(
            r#"[{{"name":"deep","type":"directory"}},{{"name":"a.iso","type":"file","mtime":"{time}","size":4,"sha256":"{sha256}"}},{{"name":"b&c <d>.iso","type":"file","mtime":"{time}","size":4}}]"#
        );
        assert_eq!(json(&directory()), expected);
    }

    #[test]
    fn dates_that_http_cannot_write_are_left_out() {
        assert_eq!(http_date(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None);
        assert_eq!(http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(YEAR_10000)), None);
        assert!(http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(YEAR_10000 - 1)).is_some());
    }

    #[test]
    fn names_in_page_are_escaped() {
        let page = html("/assets/<isos>/", &directory());
        assert!(page.contains("<h1>Index of /assets/&lt;isos&gt;/</h1>"), "{page}");
        assert!(page.contains(r#"<a href="./b&amp;c%20%3Cd%3E.iso">b&amp;c &lt;d&gt;.iso</a>"#), "{page}");
        assert!(page.contains(r#"<a href="./deep/">deep/</a>"#), "{page}");
        assert!(page.contains("There may be more files."), "{page}");
    }
}
