//! The seam at which tests cut the power: every change of the file system takes one step first, and so does the scrub's
//! reading of a blob.
//!
//! Outside of tests a step is nothing, and costs nothing.

use std::io;
use std::path::Path;

/// The steps of one cache.
#[cfg(not(test))]
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {}

#[cfg(not(test))]
impl Steps {
    /// Takes the step `action` on `path`.
    #[inline]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the tests' version records and fails")]
    pub(super) fn take(&self, _action: &'static str, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(super) use scripted::Steps;

#[cfg(test)]
mod scripted {
    use std::ops::Range;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::{Path, io};

    /// The steps of one cache: recorded, and failing where the test says.
    #[derive(Debug, Clone, Default)]
    pub(in super::super) struct Steps(Arc<Mutex<Script>>);

    #[derive(Debug, Default)]
    struct Script {
        taken: Vec<String>,
        failing: Option<(Range<usize>, i32)>,
    }

    impl Steps {
        pub(in super::super) fn take(&self, action: &'static str, path: &Path) -> io::Result<()> {
            let mut script = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let number = script.taken.len();
            script.taken.push(format!("{action} {}", path.display()));
            match &script.failing {
                Some((steps, errno)) if steps.contains(&number) => Err(io::Error::from_raw_os_error(*errno)),
                _ => Ok(()),
            }
        }

        /// From now on, the steps of these numbers (counted from now) fail with `errno`.
        pub(in super::super) fn fail(&self, steps: Range<usize>, errno: i32) {
            let mut script = self.0.lock().unwrap();
            let now = script.taken.len();
            let end = steps.end.saturating_add(now);
            script.failing = Some((steps.start + now..end, errno));
        }

        /// No step fails any more.
        pub(in super::super) fn heal(&self) {
            self.0.lock().unwrap().failing = None;
        }

        /// Forgets what was recorded, and returns it.
        pub(in super::super) fn record(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap().taken)
        }
    }
}
