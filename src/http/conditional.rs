//! Conditional requests (RFC 9110 13): whether a request is to be carried out, given what the asset is now. Pure.

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::header::{AsHeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

/// What names the asset's present state (RFC 9110 8.8).
#[derive(Debug, Clone, Copy)]
pub(super) struct Validators<'a> {
    /// The strong entity tag, with its quotes.
    pub(super) etag: &'a str,
    /// `Last-Modified`, in whole seconds and not in the future.
    pub(super) modified: SystemTime,
}

/// What the preconditions of a GET or HEAD come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Carry it out.
    Proceed,
    /// The client has it already: 304.
    NotModified,
    /// What the client insists on is not so: 412.
    Failed,
}

impl Validators<'_> {
    /// Evaluates the preconditions of a GET or HEAD in the order of RFC 9110 13.2.2.
    pub(super) fn judge(&self, request: &HeaderMap) -> Verdict {
        let as_asked = if request.contains_key(IF_MATCH) {
            self.listed(request, IF_MATCH, Comparison::Strong)
        } else {
            date(request, IF_UNMODIFIED_SINCE).is_none_or(|since| self.modified <= since)
        };
        if !as_asked {
            return Verdict::Failed;
        }
        let known = if request.contains_key(IF_NONE_MATCH) {
            self.listed(request, IF_NONE_MATCH, Comparison::Weak)
        } else {
            date(request, IF_MODIFIED_SINCE).is_some_and(|since| self.modified <= since)
        };
        if known { Verdict::NotModified } else { Verdict::Proceed }
    }

    /// Whether a `Range` field is to be heeded (RFC 9110 13.1.5): without `If-Range`, or when that names the present state.
    ///
    /// A date does only when a second has passed since: within that second the asset may yet change again without a
    /// change of the date (RFC 9110 8.8.2.2).
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

    /// Whether the asset's tag is in the list of the fields `name`, or they are `*`.
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
    /// A weak tag equals none.
    Strong,
    /// Weak or strong, the opaque part decides.
    Weak,
}

/// The entity tags of a list: whether each is weak, and its opaque part with the quotes. Ends at what is no tag.
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

/// The date of the field `name`; `None` where there is none that can be read, or more than one (RFC 9110 13.1.3 has
/// such a field ignored).
fn date(request: &HeaderMap, name: impl AsHeaderName) -> Option<SystemTime> {
    let mut fields = request.get_all(name).iter();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    httpdate::parse_http_date(field.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests;
