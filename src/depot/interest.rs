//! Which callers need a fill: those that need it to complete, and those that can cancel. Pure.

/// How a caller needs a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InterestKind {
    /// The fill continues to its end, whether the caller waits for it or not.
    Permanent,
    /// The caller may withdraw its interest with [`Interest::withdraw`].
    Cancellable,
}

/// The interest in one fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Interest {
    /// A client requested the asset, or a release needs it.
    permanent: bool,
    /// How many jobs need it; jobs can be cancelled.
    cancellable: usize,
}

impl Interest {
    /// Adds the interest of one caller.
    pub(super) fn add(&mut self, kind: InterestKind) {
        match kind {
            InterestKind::Permanent => self.permanent = true,
            InterestKind::Cancellable => self.cancellable += 1,
        }
    }

    /// Withdraws one cancellable interest. Returns `true` if no interest is left.
    pub(super) fn withdraw(&mut self) -> bool {
        self.cancellable = self.cancellable.saturating_sub(1);
        self.cancellable == 0 && !self.permanent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interest_ends_with_last_withdrawal() {
        let mut interest = Interest::default();
        interest.add(InterestKind::Cancellable);
        interest.add(InterestKind::Cancellable);
        assert!(!interest.withdraw());
        assert!(interest.withdraw());
    }

    #[test]
    fn permanent_interest_survives_withdrawal() {
        let mut interest = Interest::default();
        interest.add(InterestKind::Cancellable);
        interest.add(InterestKind::Permanent);
        assert!(!interest.withdraw());
    }
}
