//! Where the redirects of a source led, so that all requests of one fill go to the same server.

use parking_lot::Mutex;
use url::Url;

/// The target of a source's redirects. Empty until a request was redirected.
#[derive(Debug, Default)]
pub(super) struct KeptTarget(Mutex<Option<Target>>);

/// A redirect target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) url: Url,
    /// Whether the origin's own header fields may be sent to it.
    pub(super) takes_fields: bool,
}

impl KeptTarget {
    /// Returns the target. `None` if it is to be resolved from the source's URL.
    pub(super) fn get(&self) -> Option<Target> {
        self.0.lock().clone()
    }

    /// Keeps a target that has answered.
    pub(super) fn keep(&self, target: Target) {
        *self.0.lock() = Some(target);
    }

    /// Forgets a target that answers no more, unless another request has resolved a new one already.
    pub(super) fn forget(&self, target: &Target) {
        let mut kept = self.0.lock();
        if kept.as_ref() == Some(target) {
            *kept = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_target_survives_forget() {
        let target = |url: &str| Target { url: url.parse().unwrap(), takes_fields: false };
        let (kept, first, second) = (KeptTarget::default(), target("http://a/1"), target("http://b/1"));
        kept.keep(first.clone());
        kept.keep(second.clone());
        kept.forget(&first);
        assert_eq!(kept.get(), Some(second.clone()));
        kept.forget(&second);
        assert_eq!(kept.get(), None);
    }
}
