//! Unwraps values as written into plain values.

use crate::config::written::{Format, Written};

pub(super) fn value<F: Format>(written: Written<F>) -> F::Value {
    written.value
}

pub(super) fn values<F: Format>(written: Vec<Written<F>>) -> Vec<F::Value> {
    written.into_iter().map(value).collect()
}
