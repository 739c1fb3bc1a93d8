//! One row of the table: a name and a function.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::outcome::Outcome;
use crate::server::Server;

/// One row of the table.
pub(crate) struct Row {
    /// The feature, as the table shows it.
    pub(crate) name: &'static str,
    /// Tries it. It panics if the program fails.
    pub(crate) try_it: fn(&Server) -> Outcome,
}

impl Row {
    /// Tries the row. A panic is a failure of the program.
    pub(crate) fn run(&self, server: &Server) -> Outcome {
        // No other row uses the objects of a row that failed.
        catch_unwind(AssertUnwindSafe(|| (self.try_it)(server))).unwrap_or_else(|panic| Outcome::Failed(text(&*panic)))
    }
}

fn text(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
