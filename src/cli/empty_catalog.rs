//! A server without assets: the next steps of its operator.

/// The next steps, for commands and the log.
pub(super) const NEXT_STEPS: &str = "mirror an operating system (bootdepot mirror; recipes are in \
    /usr/share/doc/bootdepot/examples/recipes), or publish files (bootdepot publish), and include the catalog in the settings";
