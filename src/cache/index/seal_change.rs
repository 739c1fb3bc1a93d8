//! What sealing does to the identity of a blob's file. ext4 sets its times (measured with Linux 6.1), and not a byte changes:
//! the kernel lets no process write to the file while it builds the tree, nor later.

use crate::cache::identity::Identity;

/// The last time that this process sealed a blob's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) struct SealChange {
    /// The identity of the file before.
    pub(in crate::cache) before: Identity,
    /// The identity of the file since. `None` while the kernel seals it.
    pub(in crate::cache) after: Option<Identity>,
}

impl SealChange {
    /// Whether a file that had the identity `known` has the same bytes under the identity `found`.
    pub(in crate::cache) fn explains(&self, known: &Identity, found: &Identity) -> bool {
        *known == self.before
            && match &self.after {
                Some(after) => found == after,
                None => found.is_same_but_times(known),
            }
    }
}
