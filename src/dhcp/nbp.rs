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

    /// The boot file name for firmware: a URL for HTTP Boot, or a TFTP file name.
    pub fn boot_file(&self, http: bool, base: &str) -> String {
        if http { self.url(base) } else { self.file.clone() }
    }
}

/// The NBPs by platform, and by the number of an architecture. Firmware without one gets no answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NbpTable {
    platforms: BTreeMap<Platform, Nbp>,
    numbers: BTreeMap<u16, Nbp>,
}

impl NbpTable {
    /// A table of these NBPs. `numbers` are architecture types (DHCP option 93); they take precedence.
    pub fn new(
        platforms: impl IntoIterator<Item = (Platform, Nbp)>,
        numbers: impl IntoIterator<Item = (u16, Nbp)>,
    ) -> Self {
        Self { platforms: platforms.into_iter().collect(), numbers: numbers.into_iter().collect() }
    }

    /// The NBP of a platform, if it has one.
    pub fn get(&self, platform: Platform) -> Option<&Nbp> {
        self.platforms.get(&platform)
    }

    /// The NBP for a client of these architecture types, in its order of preference, with the type that decided. `http` is
    /// whether it boots over HTTP.
    pub fn find(&self, architectures: &[u16], http: bool) -> Option<(u16, &Nbp)> {
        architectures.iter().find_map(|architecture| {
            let by_platform = || {
                let platform = Platform::from_architecture(*architecture)?;
                if platform.boots_over_http() == http { self.get(platform) } else { None }
            };
            Some((*architecture, self.numbers.get(architecture).or_else(by_platform)?))
        })
    }

    /// The NBPs of platforms, in the order of [`Platform::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Platform, &Nbp)> {
        self.platforms.iter().map(|(platform, nbp)| (*platform, nbp))
    }

    /// The NBPs of architecture types.
    pub fn numbers(&self) -> impl Iterator<Item = (u16, &Nbp)> {
        self.numbers.iter().map(|(architecture, nbp)| (*architecture, nbp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_boot_file_is_escaped_url() {
        let nbp = Nbp { file: "snponly.efi".to_owned(), asset: "boot/a b#?.efi".to_owned() };
        assert_eq!(nbp.boot_file(false, "http://h"), "snponly.efi");
        assert_eq!(nbp.boot_file(true, "http://h"), "http://h/assets/boot/a%20b%23%3F.efi");
    }

    #[test]
    fn first_architecture_with_nbp_counts() {
        let nbp = |file: &str| Nbp { file: file.to_owned(), asset: file.to_owned() };
        let table = NbpTable::new(
            [(Platform::Bios, nbp("bios")), (Platform::EfiX64, nbp("x64")), (Platform::HttpX64, nbp("web"))],
            [(22, nbp("uboot")), (9, nbp("nine"))],
        );
        let find =
            |architectures: &[u16], http| table.find(architectures, http).map(|(on, nbp)| (on, nbp.file.as_str()));
        assert_eq!(find(&[7], false), Some((7, "x64")));
        assert_eq!(find(&[9], false), Some((9, "nine")), "the number before the platform");
        assert_eq!(find(&[6, 7, 0], false), Some((7, "x64")), "no NBP for the first");
        assert_eq!(find(&[22], true), Some((22, "uboot")));
        assert_eq!(find(&[16], true), Some((16, "web")));
        assert_eq!(find(&[16], false), None, "HTTP's architecture over PXE");
        assert_eq!(find(&[], false), None);
    }
}
