//! Hosts that a machine nearly matches: a typing error in their `match`, or a neighbour of theirs.

use super::{MatchKey, Roster};
use crate::boot::machine::Machine;

impl Roster {
    /// Says which host has a value in its `match` that differs from the machine's by one character: of several, one with its
    /// serial number or asset tag, since the MACs of neighbours are often close. `None` if there is none.
    pub(in crate::boot) fn near_miss(&self, machine: &Machine) -> Option<String> {
        let mut own: Vec<_> = MatchKey::of_machine(machine).collect();
        own.reverse();
        own.iter().find_map(|own| {
            let is_near = |keys: &_| MatchKey::of_host(keys).any(|(theirs, _)| near(own, &theirs));
            let host = self.hosts.iter().find(|host| is_near(&host.keys))?;
            Some(format!("its {} is one character from {}'s", own.noun(), host.name))
        })
    }
}

/// Whether two values differ by one character.
fn near(a: &MatchKey, b: &MatchKey) -> bool {
    match (a, b) {
        (MatchKey::Mac(a), MatchKey::Mac(b)) => differing_digits(&a.0, &b.0) == 1,
        (MatchKey::Uuid(a), MatchKey::Uuid(b)) => {
            differing_digits(&a.0, &b.0) == 1 || differing_digits(&a.swapped().0, &b.0) == 1
        }
        (MatchKey::Serial(a), MatchKey::Serial(b)) | (MatchKey::AssetTag(a), MatchKey::AssetTag(b)) => {
            // Shorter ones are near each other by chance.
            a.len() > 3 && a.len().abs_diff(b.len()) < 4 && strsim::osa_distance(a, b) == 1
        }
        _ => false,
    }
}

/// How many hexadecimal digits differ.
fn differing_digits(a: &[u8], b: &[u8]) -> usize {
    let digits = |byte: u8| usize::from(byte >> 4 != 0) + usize::from(byte & 15 != 0);
    a.iter().zip(b).map(|(a, b)| digits(a ^ b)).sum()
}
