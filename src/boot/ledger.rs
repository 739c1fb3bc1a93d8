//! The ledger: what each machine did in its last boots, step by step.

use std::net::IpAddr;
use std::sync::Arc;

use super::Machine;
use crate::depot::Depot;

/// What a step of a boot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A DHCP answer.
    Dhcp,
    /// The firmware's first file.
    Nbp,
    /// A script or a GRUB configuration.
    Script,
    /// The kernel.
    Kernel,
    /// An initramfs.
    Initrd,
    /// Another asset that its script named: a root file system, an ISO.
    Asset,
    /// A file that was made for the host.
    File,
}

/// The ledger. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Ledger {
    books: Arc<()>,
}

impl Ledger {
    /// A ledger that is kept nowhere.
    pub fn in_memory() -> Self {
        Self { books: Arc::new(()) }
    }

    /// A DHCP answer went out to this machine: the architecture it said it has (RFC 4578 2.1) and the file it was given.
    pub fn offered(&self, machine: &Machine, arch: u16, file: &str) {
        let _ = (&self.books, machine, arch, file);
    }

    /// A script was made for this machine at `peer`: for which host and profile, and what it names.
    pub fn scripted(
        &self,
        machine: &Machine,
        peer: IpAddr,
        host: Option<&str>,
        profile: Option<&str>,
        named: &[(Role, String)],
    ) {
        let _ = (machine, peer, host, profile, named);
    }

    /// Takes note of transfers until the depot is gone.
    pub async fn follow(&self, depot: &Depot) {
        let mut transfers = depot.transfers();
        while transfers.recv().await.is_ok() {}
    }
}
