use super::*;
use crate::boot::fixtures::{self, host, mac, okd};
use crate::boot::settings::{HostSettings, Keys, RosterSettings};

/// A roster of these hosts.
fn roster(hosts: Vec<HostSettings>) -> Roster {
    fixtures::roster(RosterSettings { hosts, profiles: vec![okd()], ..RosterSettings::default() }).unwrap()
}

/// The name of the host that a request matches.
fn found(roster: &Roster, query: &str) -> Option<String> {
    roster.find(&Machine::from_query(query)).map(|host| host.name.clone())
}

#[test]
fn host_matches_by_any_key() {
    let keys = Keys {
        macs: vec!["24:6e:96:00:00:01".parse().unwrap(), "24:6e:96:00:00:02".parse().unwrap()],
        uuid: "4c4c4544-0042-3110-8043-b2c04f564232".parse().ok(),
        serial: Some("ABC1234".to_owned()),
        asset_tag: Some("Rack 7".to_owned()),
    };
    let roster = roster(vec![host("other", mac("000000000001")), host("r630-01", keys)]);
    for query in [
        "mac=24-6E-96-00-00-01",
        "mac=246e.9600.0002",
        "uuid=44454c4c-4200-1031-8043-b2c04f564232",
        "uuid=4C4C4544-0042-3110-8043-B2C04F564232",
        "serial=abc1234",
        "serial=+ABC1234+",
        "asset=rack+7",
        "mac=24:6e:96:00:00:99&serial=ABC1234",
    ] {
        assert_eq!(found(&roster, query).as_deref(), Some("r630-01"), "{query}");
    }
    for query in ["", "mac=24:6e:96:00:00:99", "serial=ABC123", "hostname=r630-01", "asset=ABC1234"] {
        assert_eq!(found(&roster, query), None, "{query}");
    }
}

#[test]
fn near_miss_names_host_and_value() {
    let keys = |serial: &str, mac: &str| Keys {
        serial: Some(serial.to_owned()),
        macs: vec![mac.parse().unwrap()],
        ..Keys::default()
    };
    let with_uuid = Keys { uuid: "4c4c4544-0042-3110-8043-b2c04f564232".parse().ok(), ..Keys::default() };
    let tagged = Keys { asset_tag: Some("Rack 7".to_owned()), serial: Some("42".to_owned()), ..Keys::default() };
    let roster = roster(vec![
        host("r630-06", keys("XYZ9876", "24:6e:96:00:00:01")),
        host("r630-07", keys("ABC1234", "24:6e:96:11:22:33")),
        host("by-uuid", with_uuid),
        host("by-tag", tagged),
    ]);
    let near = |query: &str| roster.near_miss(&Machine::from_query(query)).unwrap_or_default();
    for serial in ["ABC1235", "abc123", "ABC12344", "BAC1234", "1ABC1234"] {
        assert_eq!(near(&format!("serial={serial}")), "its serial number is one character from r630-07's", "{serial}");
    }
    // A serial number says more than the MAC of a neighbour.
    assert_eq!(near("serial=ABC1235&mac=24:6e:96:00:00:02"), "its serial number is one character from r630-07's");
    assert_eq!(near("mac=24:6e:96:00:00:02"), "its MAC address is one character from r630-06's");
    assert_eq!(near("asset=Rack+8"), "its asset tag is one character from by-tag's");
    for uuid in ["4c4c4544-0042-3110-8043-b2c04f564233", "44454c4c-4200-1031-8043-b2c04f564233"] {
        assert_eq!(near(&format!("uuid={uuid}")), "its UUID is one character from by-uuid's", "{uuid}");
    }
    for query in ["", "serial=ABC1256", "serial=43", "asset=ABC1235", "mac=24:6e:96:00:11:02", "hostname=r630-08"] {
        assert_eq!(near(query), "", "{query}");
    }
}

#[test]
fn host_ambiguous_match_prefers_mac() {
    let uuid = "4c4c4544-0042-3110-8043-b2c04f564232";
    let roster = roster(vec![
        host("by-tag", Keys { asset_tag: Some("T".to_owned()), ..Keys::default() }),
        host("by-serial", Keys { serial: Some("S".to_owned()), ..Keys::default() }),
        host("by-uuid", Keys { uuid: uuid.parse().ok(), ..Keys::default() }),
        host("by-mac", mac("24:6e:96:00:00:01")),
    ]);
    let keys = ["mac=246e96000001", &format!("uuid={uuid}"), "serial=S", "asset=T"];
    for (first, name) in ["by-mac", "by-uuid", "by-serial", "by-tag"].into_iter().enumerate() {
        let query: Vec<_> = keys[first..].iter().rev().copied().collect();
        assert_eq!(found(&roster, &query.join("&")).as_deref(), Some(name));
    }
}

#[test]
fn roster_ambiguous_matches_are_logged_once() {
    let with =
        |n: u32| host(&format!("node{n}"), Keys { serial: Some(format!("S{n}")), ..mac(&format!("0200{n:08x}")) });
    let roster = roster((0..20).map(with).collect());
    for first in 0..20_u32 {
        for second in 0..20 {
            assert!(found(&roster, &format!("mac=0200{first:08x}&serial=S{second}")).is_some());
        }
    }
    assert!((1..=20).contains(&roster.warned()));
}

#[test]
fn roster_thousand_hosts_all_match() {
    let hosts: Vec<_> = (0..1000_u32).map(|n| host(&format!("node{n}"), mac(&format!("0200{n:08x}")))).collect();
    let roster = roster(hosts);
    for n in [0, 1, 500, 999] {
        assert_eq!(found(&roster, &format!("mac=0200{n:08x}")), Some(format!("node{n}")));
    }
}
