//! Whether the kernel seals blobs of the cache, and how many are.

use crate::cache::{Inspection, SealPolicy, SealSupport};
use crate::config::Config;
use crate::jobs::Finding;
use crate::units::count;

/// Looks at the seals of the cache of these settings. Seals a file in its directory, and removes it again. Blocks.
pub(super) fn check(config: &Config, survey: &Inspection) -> Finding {
    let (dir, policy) = (&config.cache.dir, config.cache.seal);
    let sealed = format!("{} of {} sealed", survey.sealed, count(survey.blobs.len(), "blob"));
    let existing = dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(dir);
    match SealSupport::probe(existing) {
        _ if policy == SealPolicy::Off => Finding::ok("seals", format!("{sealed}; `cache.seal` is off")),
        SealSupport::Supported => Finding::ok("seals", sealed),
        SealSupport::Unsupported(reason) if policy == SealPolicy::Require => Finding::failed(
            "seals",
            "not supported",
            format!("blobs in {} cannot be sealed: {reason}", dir.display()),
            format!("use another file system, or set `cache.seal` to \"auto\" ({})", config.place(&["cache", "seal"])),
        ),
        SealSupport::Unsupported(reason) | SealSupport::Unknown(reason) => {
            Finding::ok("seals", format!("{sealed}: {reason}"))
        }
    }
}
