//! Whether the addresses of the settings can be listened on, or who has them.

use std::io;
use std::net::{IpAddr, SocketAddr};

use procfs::net::{TcpState, tcp, tcp6, udp, udp6};
use procfs::process::{FDTarget, all_processes};
use socket2::{Domain, Protocol, Socket, Type};

use crate::cache::Inspection;
use crate::config::{Config, Place};
use crate::dhcp::{DhcpError, DhcpServer};
use crate::jobs::{CheckResult, CheckRow, Finding};
use crate::units::count;

/// Looks at every address that the server would listen on. Blocks. Within a tokio runtime.
pub(super) fn check(config: &Config, survey: &Inspection) -> CheckRow {
    let mut findings = Vec::new();
    let place = |keys: &[&str]| (keys.join("."), config.place(keys));
    let listeners = [
        ("http", Type::STREAM, config.http.listen.clone(), place(&["http", "listen"])),
        (
            "https",
            Type::STREAM,
            config.http.tls.as_ref().map(|tls| tls.listen.clone()).unwrap_or_default(),
            place(&["http", "tls", "listen"]),
        ),
        ("tftp", Type::DGRAM, config.tftp.listen.clone(), place(&["tftp", "listen"])),
        ("admin", Type::STREAM, config.admin.iter().map(|admin| admin.listen).collect(), place(&["admin", "listen"])),
    ];
    // Kept until all are looked at: two that are in each other's way are found.
    let mut held = Vec::new();
    for (name, kind, addresses, setting) in listeners {
        for address in &addresses {
            findings.push(one(name, kind, *address, &addresses, &setting, survey, &mut held));
        }
    }
    if let Some(dhcp) = &config.dhcp {
        findings.push(match DhcpServer::bind(dhcp.clone()) {
            Ok(_) => Finding::ok("dhcp", format!("udp 67 and 4011 on {} are free", dhcp.interface)),
            Err(error) => dhcp_in_use(error, survey, config),
        });
    }
    let summary = summary(&findings);
    CheckRow { check: "ports", place: "this machine".to_owned(), summary, findings }
}

fn summary(findings: &[Finding]) -> String {
    let bad = findings.iter().filter(|finding| finding.trouble.is_some()).count();
    if bad > 0 {
        return format!("{bad} of {} in trouble", count(findings.len(), "listener"));
    }
    let use_of = |finding: &Finding| match finding.result {
        CheckResult::Unverified => HIDDEN,
        _ => [HELD, ACTIVATED].into_iter().find(|used| finding.found.starts_with(used)).unwrap_or("free"),
    };
    let listed = |used| {
        let all: Vec<_> = findings.iter().filter(|it| use_of(it) == used).map(|it| it.what.as_str()).collect();
        (!all.is_empty()).then(|| format!("{}: {used}", all.join(", ")))
    };
    [HELD, ACTIVATED, HIDDEN, "free"].into_iter().filter_map(listed).collect::<Vec<_>>().join("; ")
}

/// The uses of a port that are no trouble. Findings begin with them.
const HELD: &str = "held by the running bootdepot";
const ACTIVATED: &str = "held by the service manager";
const HIDDEN: &str = "in use by a process that this user may not see";

type Setting = (String, Place);

fn one(
    name: &str,
    kind: Type,
    address: SocketAddr,
    beside: &[SocketAddr],
    (key, place): &Setting,
    survey: &Inspection,
    held: &mut Vec<Socket>,
) -> Finding {
    let protocol = if kind == Type::DGRAM { "udp" } else { "tcp" };
    let what = format!("{name} {address}");
    let setting = format!("`{key}` ({place})");
    let wrong = |trouble, found: String, remedy: String| Finding::failed(&what, trouble, found, remedy);
    if address.port() == 0 {
        return Finding::ok(what, "the system chooses a port");
    }
    let error = match bind(kind, address, beside) {
        Ok(socket) => {
            held.push(socket);
            return Finding::ok(what, "free");
        }
        Err(error) => error,
    };
    // Without the right to a port the system does not say whether it is in use.
    let holders = match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => holders(kind, address),
        _ => None,
    };
    let used = format!("{protocol} port {} is in use", address.port());
    match (error.kind(), holders) {
        (io::ErrorKind::AddrInUse, None) if !held.is_empty() && held.iter().any(|socket| is_at(socket, address)) => {
            wrong("twice", format!("{used} by another address of these settings"), format!("correct {setting}"))
        }
        (io::ErrorKind::AddrInUse, None) => in_use(&what, &used, &[], survey, &setting),
        (_, Some(holders)) => in_use(&what, &used, &holders, survey, &setting),
        (io::ErrorKind::PermissionDenied, None) => wrong(
            "permission denied",
            format!("this user (id {}) may not listen below port 1024", rustix::process::geteuid().as_raw()),
            format!(
                "start it with the capability CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=), or with sockets of \
                 systemd's, or as root; or lower the sysctl net.ipv4.ip_unprivileged_port_start to {}; or choose another \
                 port: {setting}",
                address.port()
            ),
        ),
        (io::ErrorKind::AddrNotAvailable, None) => wrong(
            "no such address",
            format!("no interface of this machine has the address {} now", address.ip()),
            format!("bring the interface up, or correct {setting}"),
        ),
        (_, None) => wrong("cannot listen", error.to_string(), format!("correct {setting}")),
    }
}

/// The finding for a port in use, with the visible processes that use it.
fn in_use(what: &str, used: &str, holders: &[Holder], survey: &Inspection, setting: &str) -> Finding {
    let is_ours = |holder: &&Holder| holder.name == "bootdepot" || holder.pid.cast_unsigned() == std::process::id();
    if let Some(Holder { pid, .. }) = holders.iter().find(is_ours) {
        let cache = match &survey.holder {
            Some(cache) if *cache == pid.to_string() => {
                return Finding::ok(what, format!("{HELD}, pid {pid}"));
            }
            Some(cache) => format!("is not the one with this cache (pid {cache})"),
            None => "has another cache than this".to_owned(),
        };
        return Finding::warning(
            what,
            "in use",
            format!("{used} by a bootdepot (pid {pid}) that {cache}"),
            format!("stop it before this one is started, or correct {setting}"),
        );
    }
    if holders.iter().any(|holder| holder.pid == 1) {
        return Finding::ok(what, format!("{ACTIVATED} (socket activation)"));
    }
    match (holders.first(), &survey.holder) {
        (Some(Holder { pid, name }), _) => Finding::failed(
            what,
            "in use",
            format!("{used} by {name} (pid {pid})"),
            format!("stop {name}, or choose another port: {setting}"),
        ),
        // A process sees its own sockets.
        (None, Some(pid)) if *pid != std::process::id().to_string() => {
            Finding::unverified(what, format!("{HIDDEN}, perhaps the running bootdepot with this cache, pid {pid}"))
        }
        (None, _) => Finding::failed(
            what,
            "in use",
            format!("{used} by a process of another user"),
            format!("run this as root to see by which, and stop it; or choose another port: {setting}"),
        ),
    }
}

fn dhcp_in_use(error: DhcpError, survey: &Inspection, config: &Config) -> Finding {
    let place = config.place(&["dhcp", "mode"]);
    if let DhcpError::Bind { port, source: cause, .. } = &error
        && matches!(cause.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
    {
        let address = SocketAddr::from(([0, 0, 0, 0], *port));
        if let Some(holders) = holders(Type::DGRAM, address).filter(|all| all.iter().any(|it| it.name == "bootdepot")) {
            let setting = format!("`dhcp.mode` ({place})");
            return in_use("dhcp", &format!("udp port {port} is in use"), &holders, survey, &setting);
        }
    }
    // Its words say what to do.
    Finding::failed(
        "dhcp",
        "cannot listen",
        format!("{:#}", anyhow::Error::new(error)),
        format!("see `[dhcp]` ({place})"),
    )
}

fn is_at(socket: &Socket, address: SocketAddr) -> bool {
    socket.local_addr().ok().and_then(|bound| bound.as_socket()).is_some_and(|bound| bound.port() == address.port())
}

/// Binds as the server would.
fn bind(kind: Type, address: SocketAddr, beside: &[SocketAddr]) -> io::Result<Socket> {
    let protocol = if kind == Type::DGRAM { Protocol::UDP } else { Protocol::TCP };
    let socket = Socket::new(Domain::for_address(address), kind.cloexec(), Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(beside.iter().any(|other| other.is_ipv4() && other.port() == address.port()))?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(1)?;
    }
    Ok(socket)
}

/// A process that has a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    pid: i32,
    name: String,
}

/// The processes that have a port, as far as this user may see them; `None` where no socket has it.
fn holders(kind: Type, address: SocketAddr) -> Option<Vec<Holder>> {
    let fits = |local: SocketAddr| local.port() == address.port() && overlap(local.ip(), address.ip());
    let inodes: Vec<u64> = if kind == Type::DGRAM {
        let sockets = [udp(), udp6()].into_iter().flatten().flatten();
        sockets.filter(|socket| fits(socket.local_address)).map(|socket| socket.inode).collect()
    } else {
        let sockets = [tcp(), tcp6()].into_iter().flatten().flatten();
        let listening = sockets.filter(|socket| socket.state == TcpState::Listen && fits(socket.local_address));
        listening.map(|socket| socket.inode).collect()
    };
    if inodes.is_empty() {
        return None;
    }
    let has = |target: &FDTarget| matches!(target, FDTarget::Socket(inode) if inodes.contains(inode));
    let processes = all_processes().into_iter().flatten().filter_map(Result::ok);
    let holders = processes.filter_map(|process| {
        // The files of other users' processes are not visible.
        process.fd().ok()?.filter_map(Result::ok).find(|fd| has(&fd.target))?;
        Some(Holder { pid: process.pid, name: process.stat().ok()?.comm })
    });
    Some(holders.collect())
}

/// Whether sockets at these two addresses are in each other's way.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    let covers = |a: IpAddr, b: IpAddr| a.is_unspecified() && (a.is_ipv6() || b.is_ipv4() || b.is_unspecified());
    a == b || covers(a, b) || covers(b, a)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn survey(holder: Option<&str>) -> Inspection {
        Inspection {
            blobs: HashMap::new(),
            unverified: HashMap::new(),
            sealed: 0,
            partials: HashMap::new(),
            quarantined: 0,
            free: 0,
            holder: holder.map(str::to_owned),
        }
    }

    #[test]
    fn the_process_with_a_port_is_found() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let is_ours = |kind, address| holders(kind, address).unwrap().iter().any(|holder| holder.pid == pid);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(is_ours(Type::STREAM, address));
        assert!(is_ours(Type::STREAM, ([0, 0, 0, 0], address.port()).into()));
        drop(listener);
        assert_eq!(holders(Type::STREAM, address), None);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(is_ours(Type::DGRAM, socket.local_addr().unwrap()));
    }

    #[test]
    fn ports_in_use_and_free_are_distinguished() {
        let (held, free) = (Finding::ok("tftp", "held by the running bootdepot, pid 7"), Finding::ok("http", "free"));
        assert_eq!(summary(&[held.clone(), free.clone()]), "tftp: held by the running bootdepot; http: free");
        assert_eq!(summary(&[free.clone(), free]), "http, http: free");
        assert_eq!(summary(&[held]), "tftp: held by the running bootdepot");
        let hidden =
            Finding::unverified("http", format!("{HIDDEN}, perhaps the running bootdepot with this cache, pid 7"));
        let activated = Finding::ok("tftp", "held by the service manager (socket activation)");
        assert_eq!(
            summary(&[hidden, activated]),
            "tftp: held by the service manager; http: in use by a process that this user may not see"
        );
    }

    #[test]
    fn whose_the_port_is_makes_the_difference() {
        let holder = |name: &str, pid| vec![Holder { pid, name: name.to_owned() }];
        let said = |holders: &[Holder], cache| {
            let finding = in_use("tftp", "udp port 69 is in use", holders, &survey(cache), "`tftp.listen` (b.toml:3)");
            let warning =
                if finding.result == CheckResult::Ok && finding.trouble.is_some() { " (warning)" } else { "" };
            format!("{}{warning} {}", finding.result.as_str(), finding.found)
        };
        assert_eq!(said(&holder("bootdepot", 7), Some("7")), "ok held by the running bootdepot, pid 7");
        let other = "ok (warning) udp port 69 is in use by a bootdepot (pid 7) that ";
        assert_eq!(said(&holder("bootdepot", 7), None), format!("{other}has another cache than this"));
        assert_eq!(said(&holder("bootdepot", 7), Some("8")), format!("{other}is not the one with this cache (pid 8)"));
        assert_eq!(said(&holder("systemd", 1), None), "ok held by the service manager (socket activation)");
        assert_eq!(said(&holder("dnsmasq", 71), Some("7")), "failed udp port 69 is in use by dnsmasq (pid 71)");
        let hidden =
            "in use by a process that this user may not see, perhaps the running bootdepot with this cache, pid 7";
        assert_eq!(said(&[], Some("7")), format!("unverified {hidden}"));
        let foreign = "failed udp port 69 is in use by a process of another user";
        let this = std::process::id().to_string();
        assert_eq!(said(&[], Some(&this)), foreign, "its own sockets would be visible");
        assert_eq!(said(&[], None), foreign);
    }

    #[test]
    fn unspecified_addresses_are_in_the_way_of_others() {
        let overlap = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(overlap("0.0.0.0", "10.0.0.1") && overlap("10.0.0.1", "::") && overlap("::", "0.0.0.0"));
        assert!(!overlap("10.0.0.1", "10.0.0.2") && !overlap("0.0.0.0", "fe80::1"));
    }
}
