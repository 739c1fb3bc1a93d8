//! Files that the server reads when it starts, and boot files that firmware asks for.

use super::certificate::certificate;
use crate::admin::check_token_files;
use crate::boot::Host;
use crate::config::{Config, Summary};
use crate::error_chain::error_chain;
use crate::jobs::{CheckRow, Finding};
use crate::transport::check_certificate;
use crate::units::count;

/// The TLS listener's certificate and key, as the server would read them. None without such a listener. Blocks.
pub(super) fn tls(config: &Config) -> Option<CheckRow> {
    let tls = config.http.tls.as_ref()?;
    let place = config.place(&["http", "tls", "cert"]);
    let remedy = "renew the certificate; a running server takes the new one by itself";
    let (finding, summary) = match check_certificate(&tls.cert, &tls.key) {
        Ok(Some(until)) => certificate("certificate", until, remedy),
        Ok(None) => (Finding::ok("certificate", "it fits its key"), "it fits its key".to_owned()),
        Err(error) => {
            let remedy = format!("correct [http.tls] ({place}), or let the user that runs bootdepot read both files");
            let error = error_chain(&error).to_string();
            let wrong = Finding::failed("certificate", "cannot be used", error, remedy);
            (wrong, "it cannot be used".to_owned())
        }
    };
    Some(CheckRow { check: "tls", place: tls.cert.display().to_string(), summary, findings: vec![finding] })
}

/// The token files of the admin listener, as the server would read them. None where the settings name none. Blocks.
pub(super) fn tokens(config: &Config) -> Option<CheckRow> {
    let admin = config.admin.as_ref().filter(|admin| admin.has_tokens())?;
    let files = [&admin.operator_token_file, &admin.viewer_token_file];
    let files: Vec<_> = files.into_iter().flatten().map(|file| file.display().to_string()).collect();
    let (finding, summary) = match check_token_files(admin) {
        Ok(()) => (Finding::ok("token files", "they hold tokens"), "they can be read".to_owned()),
        Err(error) => {
            let place = config.place(&["admin"]);
            let remedy = format!("let the user that runs bootdepot read the file, or correct [admin] ({place})");
            let error = error_chain(&error).to_string();
            let wrong = Finding::failed("token files", "cannot be used", error, remedy);
            (wrong, "they cannot be used".to_owned())
        }
    };
    Some(CheckRow { check: "tokens", place: files.join(", "), summary, findings: vec![finding] })
}

/// The boot files: which kinds of firmware find one, and whether hosts are offered theirs.
pub(super) fn firmware(config: &Config) -> CheckRow {
    let mut findings: Vec<_> =
        config.firmware.iter().map(|(platform, nbp)| Finding::ok(platform.name(), nbp.file.clone())).collect();
    findings.extend(config.firmware.numbers().map(|(number, nbp)| Finding::ok(number.to_string(), nbp.file.clone())));
    let summary = match findings.len() {
        0 => "no boot file is in the catalog, so only iPXE finds its way here".to_owned(),
        some => format!(
            "a boot file for {} of firmware",
            if some == 1 { "1 kind".to_owned() } else { format!("{some} kinds") }
        ),
    };
    if let (true, Some(dhcp)) = (findings.is_empty(), &config.dhcp) {
        findings.push(Finding::warning(
            "proxyDHCP",
            "no boot file",
            format!("firmware on {} is answered nothing: no file of [dhcp.nbp] is in the catalog", dhcp.interface),
            format!(
                "add an [[asset]] such as boot/snponly.efi and name it in [tftp.files]; see [dhcp] ({})",
                config.place(&["dhcp", "mode"])
            ),
        ));
    }
    findings.extend(config.roster.hosts().iter().filter_map(|host| host_nbp(config, host)));
    CheckRow { check: "firmware", place: "[dhcp.nbp]".to_owned(), summary, findings }
}

/// Whether a machine is offered the boot file of its host. `None`: the host has none of its own.
fn host_nbp(config: &Config, host: &Host) -> Option<Finding> {
    let file = host.nbp.as_deref()?;
    let place = config.place_in("host", &host.name, "nbp");
    if !config.tftp.files.contains_key(file) && config.catalog.by_name(file).is_none() {
        return Some(Finding::warning(
            host.name.clone(),
            "no such boot file",
            format!("TFTP serves no file {file:?}"),
            format!(
                "add it to [tftp.files] or as an [[asset]], or correct `nbp` of [[host]] {:?} ({place})",
                host.name
            ),
        ));
    }
    // A DHCP request has a MAC address and a UUID. The lines that `dhcp-config` prints compare MAC addresses only.
    let (is_known, offers, needs) = match config.dhcp {
        Some(_) => (!host.keys.macs.is_empty() || host.keys.uuid.is_some(), "proxyDHCP offers it", "`mac` or `uuid`"),
        None => (!host.keys.macs.is_empty(), "your DHCP server must offer it: see `bootdepot dhcp-config`", "`mac`"),
    };
    if is_known {
        return Some(Finding::ok(host.name.clone(), format!("{file}: {offers}")));
    }
    Some(Finding::warning(
        host.name.clone(),
        "boot file not offered",
        format!("DHCP does not recognise the machine: `match` has no {needs}, so it is offered the file of [dhcp.nbp]"),
        format!("add {needs} to `match` of [[host]] {:?}, or remove its `nbp` ({place})", host.name),
    ))
}

/// A summary of the configuration, and its warnings. `in_force`: what a running server has loaded.
pub(super) fn settings(config: &Config, in_force: Option<&Summary>) -> CheckRow {
    let warned = config
        .warnings
        .iter()
        .map(|warning| Finding::warning("settings", "hardly meant", warning.clone(), "correct it, if it is not meant"));
    let mut findings: Vec<_> = warned.collect();
    if in_force.is_some_and(|in_force| !in_force.is_same(&Summary::of(config))) {
        findings.push(Finding::warning(
            "settings",
            "not loaded",
            "they are not those that the server has loaded; this check is of the new ones",
            "load them: `systemctl reload bootdepot`, or POST /api/v1/reload; some apply after a restart",
        ));
    }
    let hosts = config.roster.hosts().len();
    let parts = [
        count(config.catalog.len(), "asset"),
        count(config.releases.len(), "release"),
        count(config.origins.len(), "origin"),
        count(hosts, "host"),
    ];
    let files: Vec<_> = config.files().collect();
    let place = match files.as_slice() {
        [] => "-".to_owned(),
        [one] => one.display().to_string(),
        [first, others @ ..] => format!("{} and {}", first.display(), count(others.len(), "more file")),
    };
    CheckRow { check: "settings", place, summary: parts.join(", "), findings }
}
