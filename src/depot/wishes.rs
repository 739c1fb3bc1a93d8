//! Who wants a fill: those whose wish outlives them, and those who may take it back. Pure.

/// The wishes for one fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wishes {
    /// A client asked, or a release needs it: the fill goes on whether they wait or not.
    lasting: bool,
    /// Wishes that end with whoever has them: jobs, which can be cancelled.
    revocable: usize,
}

impl Wishes {
    /// Somebody wants it for good.
    pub(super) fn lasting(&mut self) {
        self.lasting = true;
    }

    /// Somebody wants it who may take that back, by [`Wishes::revoke`].
    pub(super) fn revocable(&mut self) {
        self.revocable += 1;
    }

    /// One such wish is taken back. Returns whether nobody wants it any more.
    pub(super) fn revoke(&mut self) -> bool {
        self.revocable = self.revocable.saturating_sub(1);
        self.revocable == 0 && !self.lasting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_is_wanted_until_the_last_wish_is_taken_back_and_for_ever_by_a_client() {
        let mut wishes = Wishes::default();
        wishes.revocable();
        wishes.revocable();
        assert!(!wishes.revoke());
        assert!(wishes.revoke());
        wishes.revocable();
        wishes.lasting();
        assert!(!wishes.revoke());
    }
}
