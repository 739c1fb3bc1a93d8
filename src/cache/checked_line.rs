//! Lines of an append-only log, each with a checksum: a torn or damaged line is recognized and never misread.

use crate::asset::Digest;

/// A line of the log for `context` that carries `text`, which has no line break. It is valid in a log of that context only.
pub(super) fn write(context: &str, text: &str) -> String {
    format!("{} {text}\n", checksum(context, text))
}

/// The text of a line of the log for `context`. `None` if the line is torn or damaged.
pub(super) fn read<'line>(context: &str, line: &'line [u8]) -> Option<&'line str> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, text) = line.split_once(' ')?;
    (sum == checksum(context, text)).then_some(text)
}

/// Eight hexadecimal digits of a SHA-256.
fn checksum(context: &str, text: &str) -> String {
    let mut sum = Digest::of(format!("{context} {text}").as_bytes()).to_string();
    sum.truncate(8);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_line_is_not_read() {
        let line = write("log", "{\"a\":1}");
        assert_eq!(read("log", line.as_bytes()), Some("{\"a\":1}"));
        assert_eq!(read("other log", line.as_bytes()), None);
        for at in 0..line.len() {
            assert_eq!(read("log", &line.as_bytes()[..at]), None, "cut at {at}");
            let mut damaged = line.clone().into_bytes();
            damaged[at] ^= 1;
            assert_eq!(read("log", &damaged), None, "damaged at {at}");
        }
    }
}
