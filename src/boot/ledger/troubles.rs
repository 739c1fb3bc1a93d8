//! The failures of a step that no later request made good.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::trouble::Trouble;

/// The most files of a step whose failures are kept apart. Only the step for further files has several.
const MAX_FILES: usize = 8;
/// The name of the failures of further files. No request is for it, so that none makes them good.
const OTHERS: &str = "(others)";

/// The failures of a step, one for each file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Troubles(Vec<Trouble>);

impl Troubles {
    /// The memory that they take besides their list, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.0.iter().map(Trouble::weight).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The worst one; the last of several.
    pub(super) fn worst(&self) -> Option<&Trouble> {
        self.0.iter().max_by_key(|trouble| (trouble.severity(), trouble.ended))
    }

    /// Adds a failure.
    pub(super) fn add(&mut self, mut trouble: Trouble) {
        let is_known = |name: &str| self.0.iter().any(|other| other.name == name);
        if !is_known(&trouble.name) && self.0.len() >= MAX_FILES {
            OTHERS.clone_into(&mut trouble.name);
        }
        if let Some(index) = self.0.iter().position(|other| other.name == trouble.name) {
            let before = self.0.swap_remove(index);
            self.0.push(before.with(trouble));
        } else {
            // Most steps have one.
            self.0.reserve_exact(1);
            self.0.push(trouble);
        }
    }

    /// Adds those of another record of the same step.
    pub(super) fn merge(&mut self, others: &Self) {
        for trouble in &others.0 {
            self.add(trouble.clone());
        }
    }

    /// Removes what a request for the file `name` made good, see [`Trouble::is_repeated`].
    pub(super) fn remove_repeated(&mut self, name: &str, whole: bool, began: Timestamp) {
        self.0.retain(|trouble| trouble.name != name || !trouble.is_repeated(whole, began));
    }

    /// Removes failures of the file `name` that began before it was sent whole.
    pub(super) fn remove_before(&mut self, name: &str, whole: Timestamp) {
        self.0.retain(|trouble| trouble.name != name || whole <= trouble.began);
    }
}
