//! Boot programs of a newer Debian, which tests/run unpacks and does not install.

use std::path::PathBuf;

use super::Tool;
use super::program::root;

/// Where tests/run unpacks them.
const UNPACKED: &str = "tests/.cache/tools/newer-debian";

/// Finds a file of such a package, such as `usr/lib/ipxe/snponly.efi`. `None` as for [`Tool::file`].
pub(crate) fn file(path: &str) -> Option<PathBuf> {
    let file = root().join(UNPACKED).join(path);
    Tool::file(file.to_str().expect("the path is text"))?;
    Some(file)
}
