//! The boot files: which platform is given which.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::platform::Platform;

/// What stands for itself in the path of a URL: RFC 3986's unreserved characters, and the slash between segments.
const PATH: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A network boot program: the first file that firmware loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nbp {
    /// What TFTP clients ask for.
    pub file: String,
    /// The asset behind it.
    pub asset: String,
}

impl Nbp {
    /// Where it is over HTTP; `base` is this server's, such as `http://boot.lab:8080`.
    pub fn url(&self, base: &str) -> String {
        format!("{base}/assets/{}", utf8_percent_encode(&self.asset, &PATH))
    }

    /// What firmware of this platform is told: a name for TFTP, or a URL.
    pub fn told_to(&self, platform: Platform, base: &str) -> String {
        if platform.boots_over_http() { self.url(base) } else { self.file.clone() }
    }
}

/// Which platform is given which boot file. A platform that is not here gets no answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firmware(BTreeMap<Platform, Nbp>);

impl Firmware {
    /// The boot file of a platform.
    pub fn of(&self, platform: Platform) -> Option<&Nbp> {
        self.0.get(&platform)
    }

    /// All of them, in the order of [`Platform::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Platform, &Nbp)> {
        self.0.iter().map(|(platform, nbp)| (*platform, nbp))
    }
}

impl FromIterator<(Platform, Nbp)> for Firmware {
    fn from_iter<I: IntoIterator<Item = (Platform, Nbp)>>(files: I) -> Self {
        Self(files.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tftp_has_names_and_http_has_urls() {
        let nbp = Nbp { file: "snponly.efi".to_owned(), asset: "boot/a b#?.efi".to_owned() };
        assert_eq!(nbp.told_to(Platform::EfiX64, "http://h"), "snponly.efi");
        assert_eq!(nbp.told_to(Platform::HttpX64, "http://h"), "http://h/assets/boot/a%20b%23%3F.efi");
    }
}
