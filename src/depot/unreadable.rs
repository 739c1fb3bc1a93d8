//! Blobs of which the kernel could not read a page while it sent the page.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::blob::Blob;
use super::facade::Depot;
use super::transfer::Transfer;
use crate::asset::ByteRange;

impl Depot {
    /// Has the blob of an unfinished transfer verified again, because a system call that sent mapped pages of it failed with
    /// `EFAULT` (write(2)). The kernel can always read memory of this process, so that a page of the blob is missing: the disk
    /// or the blob's seal refuses it. It moves to quarantine if that is still so. The caller ends the transfer.
    pub fn report_unreadable(&self, transfer: &Transfer) {
        let Some(asset) = self.find(transfer.name()) else { return };
        // If it is closed, a reader has noticed the same. Without a runtime the process is exiting.
        let open = || self.cache().get_if_open(&asset.digest);
        if let Some(entry) = Handle::try_current().ok().and_then(|_| open()) {
            let (whole, error) = (ByteRange::whole(entry.size()), io::Error::from_raw_os_error(libc::EIO));
            Blob::new(self.clone(), Arc::clone(&asset), entry).suspect(whole, &error);
        }
    }
}
