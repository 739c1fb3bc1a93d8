use clap::Parser as _;
use insta::assert_snapshot;

use super::*;
use crate::cli::Cli;
use crate::cli::dhcp_config::site::HostNbp;
use crate::config::Config;
use crate::dhcp::{InterfaceAddress, Nbp, NbpTable, Platform};

fn site() -> Site {
    let nbp = |file: &str, asset: &str| Nbp { file: file.to_owned(), asset: asset.to_owned() };
    let files = [
        (Platform::Bios, nbp("undionly.kpxe", "boot/undionly.kpxe")),
        (Platform::EfiX64, nbp("snponly.efi", "boot/snponly.efi")),
        (Platform::EfiArm64, nbp("snponly-arm64.efi", "boot/arm64/snponly.efi")),
        (Platform::HttpX64, nbp("snponly.efi", "boot/snponly.efi")),
    ];
    Site {
        address: Ipv4Addr::new(10, 77, 0, 1),
        base: "http://10.77.0.1:8080".to_owned(),
        firmware: NbpTable::new(files, []),
        hosts: vec![
            HostNbp {
                name: "r630-01".to_owned(),
                macs: ["24:6e:96:00:00:01", "24:6e:96:00:00:02"].map(|mac| mac.parse().unwrap()).to_vec(),
                nbp: nbp("shimx64.efi", "boot/shimx64.efi"),
            },
            HostNbp { name: "by-serial".to_owned(), macs: Vec::new(), nbp: nbp("x.efi", "boot/x.efi") },
        ],
    }
}

#[test]
fn host_without_mac_is_reported() {
    let [said] = unknown_hosts(&site()).try_into().unwrap();
    assert_snapshot!(said, @"the nbp of the host by-serial is left out: a DHCP server knows machines by their MAC address, and its match has none");
}

#[test]
fn host_nbp_comes_from_settings() {
    let settings = format!(
        "[tftp.files]\n\"s.efi\" = \"boot/s.efi\"\n[[asset]]\nname = \"boot/s.efi\"\nsources = [\"s3://b/s\"]\nsha256 = \"{}\"\n\
         [[profile]]\nname = \"p\"\nlocal = true\n[[host]]\nname = \"a\"\nmatch = {{ mac = \"24-6e-96-00-00-01\" }}\nprofile = \"p\"\n\
         nbp = \"s.efi\"\n[[host]]\nname = \"b\"\nmatch = {{ serial = \"X1\" }}\nprofile = \"p\"\n",
        "0".repeat(64)
    );
    let site = Site::of(&config(&settings), [10, 0, 0, 1].into()).unwrap();
    let [host] = site.hosts.try_into().unwrap();
    assert_eq!((host.name.as_str(), host.macs.len(), host.nbp.asset.as_str()), ("a", 1, "boot/s.efi"));
}

#[test]
fn each_server_is_told_in_its_own_words() {
    assert_snapshot!("dnsmasq", dnsmasq::settings(&site()));
    assert_snapshot!("kea", kea::settings(&site()));
    assert_snapshot!("isc", isc::settings(&site()));
    assert_snapshot!("opnsense", opnsense::settings(&site()));
}

#[test]
fn what_is_for_kea_is_json() {
    let settings: serde_json::Value = serde_json::from_str(&kea::settings(&site())).unwrap();
    assert_eq!(settings["Dhcp4"]["client-classes"].as_array().unwrap().len(), 7);
}

#[test]
fn odd_names_stay_one_value() {
    let nbp = Nbp { file: "a \"b\",c\\d.efi".to_owned(), asset: "a".to_owned() };
    let site = Site { firmware: NbpTable::new([(Platform::EfiX64, nbp)], []), hosts: Vec::new(), ..site() };
    let (dnsmasq, isc) = (dnsmasq::settings(&site), isc::settings(&site));
    assert!(dnsmasq.contains(r#",tag:!bootdepot-ipxe,"a \"b\",c\\d.efi",,10.77.0.1"#), "{dnsmasq}");
    assert!(isc.contains(r#"filename "a \"b\",c\\d.efi";"#), "{isc}");
}

fn config(settings: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.toml");
    std::fs::write(&path, settings).unwrap();
    Config::load(&Flags { config: Some(path), ..Flags::default() }, []).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn unambiguous_address_is_chosen() {
    let of = |last: u8| InterfaceAddress { address: [10, 0, 0, last].into(), mask: [255, 255, 255, 0].into() };
    let named = |settings: &str, all: &[InterfaceAddress]| {
        here(&config(settings), all, |name| Ok(if name == "eno1" { vec![of(7)] } else { Vec::new() }))
    };
    let proxy = "[dhcp]\nmode = \"proxy\"\ninterface = \"eno1\"\n";
    assert_eq!(named(proxy, &[of(1), of(2)]), Ok([10, 0, 0, 7].into()));
    assert_eq!(named("[tftp]\nlisten = [\"10.0.0.9:69\"]\n", &[of(1), of(2)]), Ok([10, 0, 0, 9].into()));
    assert_eq!(named("[http]\nlisten = [\"127.0.0.1:80\", \"10.0.0.8:80\"]\n", &[]), Ok([10, 0, 0, 8].into()));
    assert_eq!(named("", &[of(1)]), Ok([10, 0, 0, 1].into()));
    assert_snapshot!(named("", &[of(1), of(2)]).unwrap_err(), @"which address do machines reach this server at? Say so with --address; this machine has 10.0.0.1, 10.0.0.2");
    assert_snapshot!(named("", &[]).unwrap_err(), @"which address do machines reach this server at? Say so with --address; this machine has none but the loopback's");
}

#[test]
fn the_files_are_those_of_the_settings() {
    let digest = "0".repeat(64);
    let asset =
        |name: &str| format!("[[asset]]\nname = \"{name}\"\nsources = [\"s3://b/{name}\"]\nsha256 = \"{digest}\"\n");
    let site = Site::of(
        &config(&format!(
            "[http]\nlisten = [\"[::]:80\"]\n[tftp.files]\n\"snponly.efi\" = \"boot/x.efi\"\n\
             [dhcp.nbp]\nefi-arm64 = \"boot/arm.efi\"\n{}{}",
            asset("boot/x.efi"),
            asset("boot/arm.efi")
        )),
        [10, 0, 0, 1].into(),
    )
    .unwrap();
    assert_eq!(site.base, "http://10.0.0.1");
    let told: Vec<_> =
        site.firmware.iter().map(|(on, nbp)| (on.name(), nbp.boot_file(on.boots_over_http(), &site.base))).collect();
    let told: Vec<_> = told.iter().map(|(on, file)| (*on, file.as_str())).collect();
    assert_eq!(
        told,
        [("efi-x64", "snponly.efi"), ("efi-arm64", "boot/arm.efi"), ("http-x64", "http://10.0.0.1/assets/boot/x.efi")]
    );
}

#[test]
fn urls_have_port_of_their_listener() {
    let base = |settings: &str| Site::of(&config(settings), [10, 0, 0, 8].into()).map(|site| site.base);
    assert_eq!(base("[http]\nlisten = [\"127.0.0.1:80\", \"10.0.0.8:8080\"]\n").unwrap(), "http://10.0.0.8:8080");
    assert_eq!(base("[http]\nlisten = [\"[::]:0\"]\nadvertise = \"http://b\"\n").unwrap(), "http://b");
    assert_snapshot!(base("[http]\nlisten = [\"[::]:0\"]\n").unwrap_err(), @"http.listen leaves the port to the system; set one, or http.advertise, so that machines can be sent there");
}

#[test]
fn the_server_must_be_one_that_is_known() {
    assert!(Cli::try_parse_from(["bootdepot", "dhcp-config", "kea", "--address", "10.0.0.1"]).is_ok());
    for wrong in [&["bootdepot", "dhcp-config"][..], &["bootdepot", "dhcp-config", "udhcpd"]] {
        assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn who_would_find_nobody_is_told() {
    let said = |settings: &str| nobody_there(&config(settings), [10, 0, 0, 5].into());
    assert_eq!(said(""), [""; 0], "the defaults hear everybody");
    assert_eq!(said("[tftp]\nlisten = [\"10.0.0.5:69\"]\n[http]\nlisten = [\"0.0.0.0:80\"]\n"), [""; 0]);
    assert_eq!(
        said("[tftp]\nlisten = [\"127.0.0.1:69\"]\n[http]\nlisten = [\"127.0.0.1:80\", \"[::1]:80\"]\n"),
        [
            "nobody hears TFTP at 10.0.0.5: tftp.listen is 127.0.0.1:69",
            "nobody hears HTTP at 10.0.0.5: http.listen is 127.0.0.1:80, [::1]:80",
        ]
    );
    assert_eq!(
        said(
            "[tftp]\nlisten = [\"[::]:6969\"]\n[http]\nlisten = [\"127.0.0.1:80\"]\nadvertise = \"http://boot.lab\"\n"
        ),
        ["firmware asks for its boot file at port 69 alone, and tftp.listen is [::]:6969"]
    );
}
