//! Fuzzes the configuration file: it is accepted, or refused with an error message, without a panic.
#![no_main]

use std::io::{Seek as _, Write as _};

use bootdepot::config::{Config, Flags};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text).and_then(|()| file.rewind()).expect("the file can be written");
    let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
    if let Err(errors) = Config::load(&flags, std::iter::empty::<(String, String)>()) {
        assert!(!errors.to_string().is_empty(), "an error has a message");
    }
});
