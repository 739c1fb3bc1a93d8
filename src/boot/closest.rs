//! Suggestions for misspelled names.

/// Returns the name in `known` that is most similar to `name`; `None` if none is similar enough to be a likely typo.
pub(crate) fn closest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    // The threshold for setting keys as well: below it, a suggestion reads as a guess.
    const MIN_SIMILARITY: f64 = 0.75;
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| y.cmp(x)));
    best.map(|(_, known)| known.to_owned())
}

/// The end of an error message about an unknown name: the suggestion, or nothing.
pub(super) fn suggestion(closest: Option<&str>) -> String {
    closest.map(|closest| format!("; the nearest is {closest:?}")).unwrap_or_default()
}
