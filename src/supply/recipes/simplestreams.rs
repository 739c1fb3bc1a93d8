//! `simplestreams`: the image streams of Ubuntu and MAAS.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::release::{Release, UpstreamFile};
use super::url_path::join;
use super::version::Version;
use crate::asset::Digest;
use crate::proof::sums::file_path;
use crate::proof::{Document, DocumentError};
use crate::proof::{Expected, Sha512Digest};

#[derive(Deserialize)]
struct Index {
    index: BTreeMap<String, IndexEntry>,
}

#[derive(Deserialize)]
struct IndexEntry {
    #[serde(default)]
    format: String,
    path: String,
    #[serde(default)]
    products: Vec<String>,
}

#[derive(Deserialize)]
struct Products {
    products: BTreeMap<String, Product>,
}

#[derive(Deserialize)]
struct Product {
    #[serde(default)]
    arch: Option<String>,
    versions: BTreeMap<String, ProductVersion>,
}

#[derive(Deserialize)]
struct ProductVersion {
    items: BTreeMap<String, Item>,
}

#[derive(Deserialize)]
struct Item {
    path: Option<String>,
    size: Option<u64>,
    sha256: Option<Digested>,
    sha512: Option<String>,
}

/// A digest that is parsed with the document, so that an error has its line.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Digested(Digest);

impl TryFrom<String> for Digested {
    type Error = crate::asset::DigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// A list of products that an index names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductList {
    /// Its path below the root of the stream.
    pub path: String,
    /// The products in it. Empty if the index does not list them.
    pub products: Vec<String>,
}

/// The root of the stream to which paths relate: the URL before `streams/v1/`.
pub fn root(index: &str) -> &str {
    index.rfind("/streams/v1/").map_or_else(|| super::url_path::parent(index), |end| &index[..end])
}

/// Reads the index of a stream.
pub fn index(document: &Document) -> Result<Vec<ProductList>, DocumentError> {
    let index: Index = document.json("the index of a simplestreams stream (index:1.0)")?;
    let lists = index.index.into_values().filter(|entry| entry.format == "products:1.0");
    let lists = lists.map(|entry| match file_path(&entry.path) {
        Some(path) => Ok(ProductList { path: path.to_owned(), products: entry.products }),
        None => Err(document.error("the path of a list of products", format!("{:?}", entry.path))),
    });
    let lists = lists.collect::<Result<Vec<_>, _>>()?;
    if lists.is_empty() {
        return Err(document.error("lists of products (products:1.0)", "none"));
    }
    Ok(lists)
}

/// Reads a list of products: one release for each version that any product has. Labels are `PRODUCT/ITEM`, such as
/// `com.ubuntu.maas.stable:v3:boot:24.04:amd64:ga-24.04/boot-kernel`; names are the last part of the path.
pub fn products(document: &Document, root: &str, arch: Option<&str>) -> Result<Vec<Release>, DocumentError> {
    let list: Products = document.json("a list of products (products:1.0)")?;
    let mut releases: BTreeMap<String, Vec<UpstreamFile>> = BTreeMap::new();
    for (product, described) in list.products {
        if arch.is_some_and(|arch| described.arch.as_deref().is_some_and(|it| it != arch)) {
            continue;
        }
        for (version, described) in described.versions {
            let files = releases.entry(version).or_default();
            for (name, item) in described.items {
                let Some(path) = &item.path else { continue };
                let path = file_path(path)
                    .ok_or_else(|| document.error(format!("the path of {product}/{name}"), format!("{path:?}")))?;
                let sha512 = item
                    .sha512
                    .as_deref()
                    .map(str::parse::<Sha512Digest>)
                    .transpose()
                    .map_err(|error| document.error(format!("a sha512 of {product}/{name}"), error.to_string()))?;
                let expected = Expected { size: item.size, sha256: item.sha256.map(|it| it.0), sha512 };
                let file = UpstreamFile::new(path.rsplit('/').next().unwrap_or(path), join(root, path), expected);
                files.push(file.labelled(format!("{product}/{name}")));
            }
        }
    }
    let release = |(version, files)| Release { version: Version::new(version), prerelease: false, files };
    Ok(releases.into_iter().map(release).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = r#"{
      "format": "index:1.0",
      "index": {
        "com.ubuntu.maas:stable:v3:download": {
          "datatype": "image-ids", "format": "products:1.0",
          "path": "streams/v1/com.ubuntu.maas:stable:v3:download.sjson",
          "products": [ "com.ubuntu.maas.stable:v3:boot:24.04:amd64:ga-24.04" ] },
        "other": { "format": "other:1.0", "path": "streams/v1/other.json" }
      } }"#;
    const PRODUCTS: &str = r#"{
      "content_id": "com.ubuntu.maas:stable:v3:download", "format": "products:1.0",
      "products": {
        "com.ubuntu.maas.stable:v3:boot:24.04:amd64:ga-24.04": { "arch": "amd64", "kflavor": "generic", "versions": {
          "20250716": { "items": {
            "boot-kernel": { "ftype": "boot-kernel", "path": "noble/amd64/20250716/ga-24.04/generic/boot-kernel",
              "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "size": 14932360 },
            "manifest": { "ftype": "squashfs.manifest" } } },
          "20250605": { "items": {} } } },
        "com.ubuntu.maas.stable:v3:boot:24.04:arm64:ga-24.04": { "arch": "arm64", "versions": { "20250801": { "items": {} } } }
      } }"#;

    #[test]
    fn index_lists_products_files() {
        let lists = index(&Document::new("index.sjson", INDEX)).unwrap();
        assert_eq!(lists.len(), 1);
        assert_eq!(lists[0].path, "streams/v1/com.ubuntu.maas:stable:v3:download.sjson");
        assert_eq!(
            root("https://images.maas.io/ephemeral-v3/stable/streams/v1/index.sjson"),
            "https://images.maas.io/ephemeral-v3/stable"
        );
    }

    #[test]
    fn products_of_architecture_become_releases() {
        let releases =
            products(&Document::new("products", PRODUCTS), "https://images.maas.io/e", Some("amd64")).unwrap();
        assert_eq!(releases.iter().map(|it| it.version.as_str()).collect::<Vec<_>>(), ["20250605", "20250716"]);
        let kernel = &releases[1].files[0];
        assert_eq!(kernel.name, "boot-kernel");
        assert_eq!(kernel.label, "com.ubuntu.maas.stable:v3:boot:24.04:amd64:ga-24.04/boot-kernel");
        assert_eq!(kernel.url, "https://images.maas.io/e/noble/amd64/20250716/ga-24.04/generic/boot-kernel");
        assert_eq!(kernel.expected.size, Some(14_932_360));
        assert_eq!(releases[1].files.len(), 1);
    }

    #[test]
    fn damaged_stream_names_line() {
        let error = products(&Document::new("p", PRODUCTS.replace("ba78", "zz78")), "https://h", None).unwrap_err();
        assert_eq!(error.line, Some(7));
        assert!(error.to_string().contains("hexadecimal digits only"), "{error}");
        let error = products(&Document::new("p", PRODUCTS.replace("noble/", "../../")), "https://h", None).unwrap_err();
        assert!(error.to_string().contains("expected the path of"), "{error}");
        let error = index(&Document::new("i", INDEX.replace("products:1.0", "x"))).unwrap_err();
        assert_eq!(error.to_string(), "i: expected lists of products (products:1.0), found none");
    }
}
