//! Fault injection for tests of durable writes: code that changes a disk passes a fault point before each change, and
//! a test records these points or makes them fail, which simulates a power cut or a failing disk.
//!
//! Outside of tests a fault point does nothing and costs nothing.

use std::io;
use std::path::Path;

/// The fault points of one cache or one file.
#[cfg(not(test))]
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultPoints {}

#[cfg(not(test))]
impl FaultPoints {
    /// Passes the fault point before `action` on `path`. Fails only in tests.
    #[inline]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the tests' version records and fails")]
    pub(crate) fn pass(&self, _action: &'static str, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) use scripted::FaultPoints;

#[cfg(test)]
mod scripted {
    use std::fmt;
    use std::ops::Range;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::{Path, io};

    type Hook = Arc<dyn Fn(&'static str, &Path) -> io::Result<()> + Send + Sync>;

    /// The fault points of one cache or one file: recorded, and failing where the test says. Clones share one record.
    #[derive(Clone, Default)]
    pub(crate) struct FaultPoints {
        script: Arc<Mutex<Script>>,
        hook: Option<Hook>,
    }

    #[derive(Debug, Default)]
    struct Script {
        passed: Vec<String>,
        failing: Option<(Range<usize>, i32)>,
    }

    impl FaultPoints {
        /// Fault points that call `hook` first, which may block (a slow disk) or fail.
        pub(crate) fn with_hook(hook: impl Fn(&'static str, &Path) -> io::Result<()> + Send + Sync + 'static) -> Self {
            Self { script: Arc::default(), hook: Some(Arc::new(hook)) }
        }

        pub(crate) fn pass(&self, action: &'static str, path: &Path) -> io::Result<()> {
            if let Some(hook) = &self.hook {
                hook(action, path)?;
            }
            let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
            let number = script.passed.len();
            script.passed.push(format!("{action} {}", path.display()));
            match &script.failing {
                Some((points, errno)) if points.contains(&number) => Err(io::Error::from_raw_os_error(*errno)),
                _ => Ok(()),
            }
        }

        /// Makes the fault points of these numbers (counted from now) fail with `errno`.
        pub(crate) fn fail(&self, points: Range<usize>, errno: i32) {
            let mut script = self.script.lock().unwrap();
            let now = script.passed.len();
            let end = points.end.saturating_add(now);
            script.failing = Some((points.start + now..end, errno));
        }

        /// Stops all failures.
        pub(crate) fn heal(&self) {
            self.script.lock().unwrap().failing = None;
        }

        /// Returns what was recorded, as `"ACTION PATH"`, and clears the record.
        pub(crate) fn record(&self) -> Vec<String> {
            std::mem::take(&mut self.script.lock().unwrap().passed)
        }
    }

    impl fmt::Debug for FaultPoints {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("FaultPoints").field("script", &self.script).finish_non_exhaustive()
        }
    }
}
