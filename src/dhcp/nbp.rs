//! Network boot programs (NBPs): which platform gets which file.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::platform::Platform;

/// Everything but what the path of a URL holds unescaped: the unreserved characters of RFC 3986 and slashes.
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A network boot program: the first file that firmware loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nbp {
    /// The name that TFTP clients request.
    pub file: String,
    /// The asset that the name refers to.
    pub asset: String,
}

impl Nbp {
    /// Its URL. `base` is the base of this server's URLs, such as `http://boot.lab:8080`.
    pub fn url(&self, base: &str) -> String {
        format!("{base}/assets/{}", utf8_percent_encode(&self.asset, &PATH))
    }

    /// The boot file name for firmware of this platform: a TFTP file name, or a URL for HTTP Boot.
    pub fn boot_file(&self, platform: Platform, base: &str) -> String {
        if platform.boots_over_http() { self.url(base) } else { self.file.clone() }
    }
}

/// The NBP of each platform. A platform without one gets no answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NbpTable(BTreeMap<Platform, Nbp>);

impl NbpTable {
    /// The NBP of a platform, if it has one.
    pub fn get(&self, platform: Platform) -> Option<&Nbp> {
        self.0.get(&platform)
    }

    /// All NBPs, in the order of [`Platform::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Platform, &Nbp)> {
        self.0.iter().map(|(platform, nbp)| (*platform, nbp))
    }
}

impl FromIterator<(Platform, Nbp)> for NbpTable {
    fn from_iter<I: IntoIterator<Item = (Platform, Nbp)>>(nbps: I) -> Self {
        Self(nbps.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_boot_file_is_escaped_url() {
        let nbp = Nbp { file: "snponly.efi".to_owned(), asset: "boot/a b#?.efi".to_owned() };
        assert_eq!(nbp.boot_file(Platform::EfiX64, "http://h"), "snponly.efi");
        assert_eq!(nbp.boot_file(Platform::HttpX64, "http://h"), "http://h/assets/boot/a%20b%23%3F.efi");
    }
}
