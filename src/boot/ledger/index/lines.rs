//! The index as lines of the journal.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Index;
use crate::boot::ledger::attempt::{Attempt, lost_with_server};
use crate::boot::ledger::identity::Identity;
use crate::boot::ledger::key::MachineKey;
use crate::boot::ledger::line::Line;
use crate::boot::ledger::reported::Reported;
use crate::boot::ledger::state::State;

impl Index {
    /// Returns the changes since the last call.
    pub(in crate::boot::ledger) fn take_changes(&mut self) -> Vec<Line> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|(id, key)| key.and_then(|key| self.line(key, id)).unwrap_or(Line::Gone(id))).collect()
    }

    /// Enables the recording of changes.
    pub(in crate::boot::ledger) fn with_changes(mut self) -> Self {
        self.records_changes = true;
        self
    }

    /// Returns all attempts, and discards the recorded changes.
    pub(in crate::boot::ledger) fn all_lines(&mut self) -> Vec<Line> {
        self.changed.clear();
        let ids =
            self.machines.iter().flat_map(|(key, machine)| machine.attempts.iter().map(|attempt| (*key, attempt.id)));
        ids.filter_map(|(key, id)| self.line(key, id)).collect()
    }

    /// Rebuilds the index from the lines of a journal, in their order.
    pub(in crate::boot::ledger) fn from_lines(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut last = BTreeMap::new();
        let mut index = Self::default();
        for line in lines {
            let (Line::Boot { boot: Attempt { id, .. }, .. } | Line::Gone(id)) = line;
            index.last_id = index.last_id.max(id);
            last.insert(id, line);
        }
        let mut found: Vec<_> = last.into_values().collect();
        found.sort_by_key(|line| match line {
            Line::Boot { boot, .. } => boot.last,
            Line::Gone(_) => Timestamp::MIN,
        });
        let lost = lost_with_server();
        for line in found {
            let Line::Boot { machine, host, address, identity, mut boot } = line else { continue };
            // The process that served its open transfers has ended.
            boot.close_all(Some(&lost));
            let record = index.machines.entry(machine).or_default();
            record.host = host.or(record.host.take());
            // The line of the last boot has all that was known at the end.
            record.identity = identity;
            if record.identity == Identity::default() {
                record.identity.macs.extend(machine.mac());
                record.identity.addresses.extend(address);
            }
            if let (MachineKey::Mac(mac), Some(address)) = (machine, record.identity.address()) {
                index.bindings.by_script(address, mac, boot.last);
            }
            if boot.number == 0 {
                // A version wrote it that neither counted boots nor logged their ends.
                boot.number = record.last_number + 1;
                boot.reported = Some(Reported { state: State::Quiet, last: boot.last });
            }
            record.last_number = record.last_number.max(boot.number);
            record.attempts.push_back(boot);
            index.settle(machine);
        }
        index.restore_cards();
        index
    }

    /// Records that an attempt changed; `key` is its machine, `None` if the attempt is gone.
    pub(in crate::boot::ledger) fn mark(&mut self, attempt: u64, key: Option<MachineKey>) {
        if self.records_changes {
            self.changed.insert(attempt, key);
        }
    }

    fn line(&self, machine: MachineKey, id: u64) -> Option<Line> {
        let record = self.machines.get(&machine)?;
        let boot = record.attempts.iter().find(|attempt| attempt.id == id)?.clone();
        let (host, identity) = (record.host.clone(), record.identity.clone());
        Some(Line::Boot { machine, host, address: None, identity, boot })
    }
}
