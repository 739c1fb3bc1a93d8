//! The options of a request, each read whole.

use std::collections::BTreeMap;

use dhcproto::v4::OptionCode;
use dhcproto::v4::borrowed::{DhcpOptionIterator, Message};

/// The field of the server's name and that of the boot file (RFC 2131 2), which may hold options too.
const SERVER_NAME: std::ops::Range<usize> = 44..108;
const BOOT_FILE: std::ops::Range<usize> = 108..236;
/// Option 52 (RFC 2132 9.3): which of these fields hold options.
const OVERLOAD: u8 = 52;
const BOOT_FILE_HOLDS_OPTIONS: u8 = 1;
const SERVER_NAME_HOLDS_OPTIONS: u8 = 2;

/// The options of a request by their codes. An option that is split is put together (RFC 3396 7).
#[derive(Debug, Default)]
pub(super) struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    /// The options of a message, and those in the fields that it says hold options too, in this order (RFC 3396 5).
    pub(super) fn read(datagram: &[u8], message: &Message<'_>) -> Self {
        let mut options = Self::default();
        options.append(message.opts());
        let overload = options.number(OVERLOAD).and_then(|value| value.first().copied()).unwrap_or_default();
        for (bit, field) in [(BOOT_FILE_HOLDS_OPTIONS, BOOT_FILE), (SERVER_NAME_HOLDS_OPTIONS, SERVER_NAME)] {
            if overload & bit != 0 {
                options.append(DhcpOptionIterator::new(&datagram[field]));
            }
        }
        options
    }

    /// The value of an option, if the request has it.
    pub(super) fn get(&self, code: OptionCode) -> Option<&[u8]> {
        self.number(code.into())
    }

    /// The value of the option with this code, if the request has it.
    pub(super) fn number(&self, code: u8) -> Option<&[u8]> {
        self.0.get(&code).map(Vec::as_slice)
    }

    fn append(&mut self, options: DhcpOptionIterator<'_>) {
        for option in options {
            self.0.entry(option.code().into()).or_default().extend_from_slice(option.data());
        }
    }
}
