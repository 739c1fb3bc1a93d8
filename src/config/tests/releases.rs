use super::*;

fn release(name: &str, rest: &str) -> String {
    format!("[[release]]\nname = \"{name}\"\n{rest}\n")
}

#[test]
fn releases_are_what_is_written() {
    let assets = asset("okd/4.19/kernel") + &asset("okd/4.19/rootfs.img") + &asset("memtest");
    let okd = release(
        "okd-4.19",
        "channel = \"okd\"\nactive = true\nassets = [\"okd/4.19/kernel\", \"okd/4.19/rootfs.img\"]",
    );
    let config = Site::new(&format!("{assets}{okd}{}", release("memtest", "assets = [\"memtest\"]"))).load().unwrap();
    let [okd, memtest] = config.releases.as_slice() else { panic!("{:?}", config.releases) };
    assert_eq!((okd.name.as_str(), okd.channel.as_deref(), okd.active), ("okd-4.19", Some("okd"), true));
    assert_eq!(okd.short_names().collect::<Vec<_>>(), ["kernel", "rootfs.img"]);
    assert_eq!((memtest.name.as_str(), &memtest.channel, memtest.active), ("memtest", &None, false));
}

#[test]
fn all_that_is_wrong_with_releases_is_told() {
    let site = Site::new(&format!(
        "include = [\"more.toml\"]\n{}{}{}{}{}",
        asset("okd/kernel"),
        asset("okd/rootfs.img"),
        release(
            "a",
            "channel = \"okd\"\nactive = true\nassets = [\"okd/kernel\", \"okd/rootfs\", \"okd/kernel\", \"/x\"]"
        ),
        release("b c", "assets = []\nchanel = \"okd\""),
        release("", "channel = \"o:k\"\nactive = \"yes\"\nassets = \"okd/kernel\""),
    ))
    .file(
        "more.toml",
        &format!(
            "{}{}{}",
            release("a", "assets = [\"okd/kernel\"]"),
            release("b", "channel = \"okd\"\nactive = true\nassets = [\"okd/kernel\"]"),
            release("-c", "channel = \"other\"\nactive = true"),
        ),
    );
    assert_snapshot!(site.errors(), @r#"
        the configuration has 14 errors
        bootdepot.toml:14: release[0].assets[1] (a): there is no asset "okd/rootfs"; the nearest is "okd/rootfs.img"
        bootdepot.toml:14: release[0].assets[2] (a): "okd/kernel" is in this list already
        bootdepot.toml:14: release[0].assets[3] (a): found "/x", expected an asset's name such as "okd/4.19/rootfs.img" (an asset name must not begin or end with '/', nor contain '//')
        bootdepot.toml:16: release[1].name (b c): found "b c", expected a name of letters, digits, '.', '_' and '-' such as "okd-4.19" (' ' is not allowed)
        bootdepot.toml:17: release[1].assets (b c): found [], expected a list, each element an asset's name such as "okd/4.19/rootfs.img" (it is empty)
        bootdepot.toml:18: release[1].chanel (b c): there is no such key; the nearest is channel
        bootdepot.toml:20: release[2].name (): found "", expected a name of letters, digits, '.', '_' and '-' such as "okd-4.19" (it is empty)
        bootdepot.toml:21: release[2].channel (): found "o:k", expected a name of letters, digits, '.', '_' and '-' such as "okd-4.19" (':' is not allowed)
        bootdepot.toml:22: release[2].active (): found "yes", expected true or false
        bootdepot.toml:23: release[2].assets (): found a text, expected a list, each element an asset's name such as "okd/4.19/rootfs.img"
        more.toml:2: release[0].name (a): a is already used in bootdepot.toml:11; names must be unique
        more.toml:7: release[1].active (b): release a of channel okd is already active (bootdepot.toml:13); only one release of a channel can be active
        more.toml:9: release[2].assets (-c): this is missing; expected a list, each element an asset's name such as "okd/4.19/rootfs.img"
        more.toml:10: release[2].name (-c): found "-c", expected a name of letters, digits, '.', '_' and '-' such as "okd-4.19" (it must begin with a letter, a digit or '_')
    "#);
}
