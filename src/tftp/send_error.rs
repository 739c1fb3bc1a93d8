//! Why a packet could not be sent, with advice. Such a packet counts as lost, and the retransmit timer repeats it: a firewall that
//! is loaded again, a link that flaps and a full queue are over soon.

use std::io;

/// The reason in words for the log and the ledger.
pub(super) fn describe(error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(libc::EMSGSIZE) => {
            "; the blocks do not fit the MTU of the route: lower tftp.max_blksize, or mend the MTU of the link"
        }
        Some(libc::EPERM) => "; a firewall of the server rejects them: allow UDP from the server's ports",
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EHOSTDOWN) => {
            "; the server has no way to the client: check its routes and links"
        }
        Some(libc::ENOBUFS | libc::EAGAIN) => "; the network device of the server does not keep up",
        _ => "",
    };
    format!("packets to the client cannot be sent: {error}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_comes_with_advice() {
        for (code, advice) in [
            (libc::EMSGSIZE, "lower tftp.max_blksize"),
            (libc::EPERM, "firewall"),
            (libc::ENETUNREACH, "routes"),
            (libc::EHOSTDOWN, "routes"),
            (libc::ENOBUFS, "network device"),
        ] {
            let text = describe(&io::Error::from_raw_os_error(code));
            assert!(text.contains(advice) && text.contains(&format!("os error {code}")), "{text}");
        }
    }
}
