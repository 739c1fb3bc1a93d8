//! A host, as the ledger distinguishes its machine from others.

use crate::boot::mac::Mac;

/// The name of a host and the network cards that the operator listed for it.
///
/// Any client can send the serial number, the UUID or the asset tag of a host. So only a listed card joins the record of a
/// machine that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCards {
    /// The name.
    pub name: String,
    /// The MACs in its `match`.
    pub macs: Vec<Mac>,
}
