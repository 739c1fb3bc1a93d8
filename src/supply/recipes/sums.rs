//! `sums`: files of digests.

use super::release::UpstreamFile;
use super::url_path::join;
pub use crate::proof::sums::{Line, parse};

/// The files of the lines, below the directory `base`.
pub fn files(lines: Vec<Line>, base: &str) -> Vec<UpstreamFile> {
    lines.into_iter().map(|line| UpstreamFile::new(&*line.path, join(base, &line.path), line.expected)).collect()
}
