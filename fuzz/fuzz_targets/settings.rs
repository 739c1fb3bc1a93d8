//! Whatever a settings file holds, it is taken or refused with a reason, and never makes the program panic.
#![no_main]

use std::io::{Seek as _, Write as _};

use bootdepot::config::{Config, Flags};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    file.write_all(text).and_then(|()| file.rewind()).expect("it can be written");
    let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
    if let Err(errors) = Config::load(&flags, std::iter::empty::<(String, String)>()) {
        assert!(!errors.to_string().is_empty(), "every error has words");
    }
});
