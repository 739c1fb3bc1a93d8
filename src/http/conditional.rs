//! Conditional requests (RFC 9110 13): evaluates preconditions against the asset's current validators. Pure.

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::header::{AsHeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

/// The validators of the asset's current state (RFC 9110 8.8).
#[derive(Debug, Clone, Copy)]
pub(super) struct Validators<'a> {
    /// The strong entity tag, with its quotes.
    pub(super) etag: &'a str,
    /// `Last-Modified`, in whole seconds and not in the future.
    pub(super) modified: SystemTime,
}

/// The result of the preconditions of a GET or HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precondition {
    /// The request is carried out.
    Proceed,
    /// The client already has the current state: 304.
    NotModified,
    /// A precondition is false: 412.
    Failed,
}

impl Validators<'_> {
    /// Evaluates the preconditions of a GET or HEAD in the order of RFC 9110 13.2.2.
    pub(super) fn evaluate(&self, request: &HeaderMap) -> Precondition {
        let holds = if request.contains_key(IF_MATCH) {
            self.listed(request, IF_MATCH, Comparison::Strong)
        } else {
            date(request, IF_UNMODIFIED_SINCE).is_none_or(|since| self.modified <= since)
        };
        if !holds {
            return Precondition::Failed;
        }
        let unmodified = if request.contains_key(IF_NONE_MATCH) {
            self.listed(request, IF_NONE_MATCH, Comparison::Weak)
        } else {
            date(request, IF_MODIFIED_SINCE).is_some_and(|since| self.modified <= since)
        };
        if unmodified { Precondition::NotModified } else { Precondition::Proceed }
    }

    /// Returns whether the `Range` field applies (RFC 9110 13.1.5): without `If-Range`, or if it matches the current state.
    ///
    /// A date matches only if it is at least one second old: within that second the asset may change again without a new
    /// date (RFC 9110 8.8.2.2).
    pub(super) fn allow_range(&self, request: &HeaderMap, now: SystemTime) -> bool {
        let mut fields = request.get_all(IF_RANGE).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return !request.contains_key(IF_RANGE);
        };
        let Ok(text) = field.to_str() else { return false };
        let text = text.trim();
        if text.starts_with('"') || text.starts_with("W/") {
            return text == self.etag;
        }
        let strong = now.duration_since(self.modified).is_ok_and(|age| age >= Duration::from_secs(1));
        strong && httpdate::parse_http_date(text).is_ok_and(|date| date == self.modified)
    }

    /// Returns whether the fields `name` list the asset's entity tag, or are `*`.
    fn listed(&self, request: &HeaderMap, name: impl AsHeaderName, comparison: Comparison) -> bool {
        request.get_all(name).iter().filter_map(|field| field.to_str().ok()).any(|field| {
            field.trim() == "*"
                || Tags(field).any(|(weak, tag)| tag == self.etag && (!weak || comparison == Comparison::Weak))
        })
    }
}

/// How entity tags are compared (RFC 9110 8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// A weak tag matches no tag.
    Strong,
    /// Only the opaque parts are compared.
    Weak,
}

/// Iterates over a list of entity tags: whether each is weak, and its opaque part with the quotes. Ends at the first syntax
/// error.
struct Tags<'a>(&'a str);

impl<'a> Iterator for Tags<'a> {
    type Item = (bool, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.trim_start_matches([' ', '\t', ',']);
        let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |rest| (true, rest));
        let length = quoted.strip_prefix('"')?.find('"')? + 2;
        let (tag, rest) = quoted.split_at(length);
        self.0 = rest;
        Some((weak, tag))
    }
}

/// Returns the date of the field `name`; `None` if it is missing, invalid or repeated (RFC 9110 13.1.3: such a field is
/// ignored).
fn date(request: &HeaderMap, name: impl AsHeaderName) -> Option<SystemTime> {
    let mut fields = request.get_all(name).iter();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    httpdate::parse_http_date(field.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests;
