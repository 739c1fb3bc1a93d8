//! The ladder of a source: how it is requested, from the fastest way to the plainest, and when to step down. Pure.
//!
//! Ranges, validators, lengths, labels and redirects are means to be fast. If a source contradicts itself about them, it is
//! requested in a plainer way; only wrong bytes, or none, are a verdict on it.

use strum::{IntoStaticStr, VariantNames};

use crate::origin::OriginError;

/// How a source is requested. Each is plainer than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Rung {
    /// Ranged parts over several connections; each requires the validator of the first reply (`If-Match`).
    Conditional,
    /// The same without conditions.
    Ranges,
    /// One plain GET of the whole.
    Stream,
    /// One plain GET whose length is learnt at its end.
    Measured,
}

/// The behaviour of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Replies disagree about the object: another validator or length, or a condition that failed.
    Disagreement,
    /// A refusal or an invalid reply, which the same request would get again.
    Refusal {
        /// Whether the request had a condition.
        conditional: bool,
    },
    /// Failures that outlasted their retries, of a source that has sent bytes before and still answers.
    Exhausted,
    /// A reply without the object's length, which is not known otherwise.
    NoLength,
    /// The object has another length than expected.
    WrongLength,
    /// The bytes do not have the digest.
    WrongBytes {
        /// Whether all of them came from one plain GET of this source.
        single_stream: bool,
    },
    /// It cannot be reached, or does not give the object to this server.
    Unreachable,
}

/// The next step with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Request it in this plainer way. Bytes that were written stay: the digest decides about them.
    Lower(Rung),
    /// Discard every byte, and request it as one plain GET.
    Afresh,
    /// Try the next source.
    GiveUp,
}

impl Seen {
    /// Classifies an error that is not retried (any more). `conditional`: the request had a condition. `read_before`: the
    /// source has sent bytes before.
    pub(super) fn of(error: &OriginError, conditional: bool, read_before: bool) -> Self {
        match error {
            OriginError::Changed { .. } => Self::Disagreement,
            // It existed a moment ago: another node, or a condition that is answered like this.
            OriginError::NotFound { .. } | OriginError::DeleteMarker { .. } | OriginError::AccessDenied { .. }
                if read_before =>
            {
                Self::Disagreement
            }
            OriginError::BadReply { .. } => Self::Refusal { conditional },
            OriginError::Status { .. } if !error.is_transient() => Self::Refusal { conditional },
            OriginError::Status { .. } | OriginError::Truncated { .. } if read_before => Self::Exhausted,
            _ => Self::Unreachable,
        }
    }
}

/// Decides what to do with a source that was requested like `rung` and did what was `seen`.
pub(super) fn next(rung: Rung, seen: Seen) -> Next {
    match (rung, seen) {
        (_, Seen::Unreachable | Seen::WrongBytes { single_stream: true }) => Next::GiveUp,
        (_, Seen::WrongBytes { single_stream: false }) => Next::Afresh,
        (Rung::Conditional, Seen::Disagreement | Seen::Refusal { conditional: true }) => Next::Lower(Rung::Ranges),
        (Rung::Conditional | Rung::Ranges, _) => Next::Lower(Rung::Stream),
        (Rung::Stream, Seen::NoLength) => Next::Lower(Rung::Measured),
        (Rung::Stream | Rung::Measured, _) => Next::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNGS: [Rung; 4] = [Rung::Conditional, Rung::Ranges, Rung::Stream, Rung::Measured];

    fn status(status: u16) -> OriginError {
        let transient = matches!(status, 500 | 502..=504);
        OriginError::Status { source_url: "http://h/k".into(), status, message: None, transient }
    }

    fn changed() -> OriginError {
        OriginError::Changed { source_url: "http://h/k".into(), seen: "another ETag".into() }
    }

    #[test]
    fn disagreement_drops_condition_then_ranges() {
        let seen = Seen::of(&changed(), true, true);
        assert_eq!(next(Rung::Conditional, seen), Next::Lower(Rung::Ranges));
        assert_eq!(next(Rung::Ranges, seen), Next::Lower(Rung::Stream));
        assert_eq!(next(Rung::Stream, seen), Next::GiveUp);
    }

    #[test]
    fn refused_condition_keeps_ranges() {
        for error in [status(400), status(501), status(304)] {
            assert_eq!(next(Rung::Conditional, Seen::of(&error, true, true)), Next::Lower(Rung::Ranges), "{error}");
            assert_eq!(next(Rung::Conditional, Seen::of(&error, false, false)), Next::Lower(Rung::Stream), "{error}");
            assert_eq!(next(Rung::Ranges, Seen::of(&error, false, true)), Next::Lower(Rung::Stream), "{error}");
            assert_eq!(next(Rung::Stream, Seen::of(&error, false, true)), Next::GiveUp, "{error}");
        }
    }

    #[test]
    fn first_refusal_of_object_gives_up() {
        let denied = |read_before| {
            let missing = OriginError::NotFound { source_url: "http://h/k".into(), answer: None };
            Seen::of(&missing, false, read_before)
        };
        assert_eq!(next(Rung::Conditional, denied(false)), Next::GiveUp);
        assert_eq!(next(Rung::Conditional, denied(true)), Next::Lower(Rung::Ranges));
    }

    #[test]
    fn outage_is_not_blamed_on_ranges() {
        let refused = OriginError::Connect { host: "h:80".into(), reason: "refused".into(), source: None };
        for rung in RUNGS {
            assert_eq!(next(rung, Seen::of(&refused, true, true)), Next::GiveUp);
            assert_eq!(next(rung, Seen::of(&status(500), false, false)), Next::GiveUp);
        }
        assert_eq!(next(Rung::Ranges, Seen::of(&status(500), false, true)), Next::Lower(Rung::Stream));
    }

    #[test]
    fn only_plain_stream_proves_wrong_bytes() {
        for rung in RUNGS {
            assert_eq!(next(rung, Seen::WrongBytes { single_stream: false }), Next::Afresh);
            assert_eq!(next(rung, Seen::WrongBytes { single_stream: true }), Next::GiveUp);
        }
    }

    #[test]
    fn unknown_length_is_measured_last() {
        assert_eq!(next(Rung::Conditional, Seen::NoLength), Next::Lower(Rung::Stream));
        assert_eq!(next(Rung::Stream, Seen::NoLength), Next::Lower(Rung::Measured));
        assert_eq!(next(Rung::Measured, Seen::NoLength), Next::GiveUp);
        assert_eq!(next(Rung::Stream, Seen::WrongLength), Next::GiveUp);
    }

    /// No source is asked forever: each step ends lower, or discards what is mixed.
    #[test]
    fn every_step_leads_down() {
        let all = [
            Seen::Disagreement,
            Seen::Refusal { conditional: true },
            Seen::Refusal { conditional: false },
            Seen::Exhausted,
            Seen::NoLength,
            Seen::WrongLength,
            Seen::Unreachable,
        ];
        for (rung, seen) in RUNGS.iter().flat_map(|rung| all.map(|seen| (*rung, seen))) {
            if let Next::Lower(lower) = next(rung, seen) {
                assert!(lower > rung, "{rung:?} {seen:?}");
            }
        }
    }
}
