//! Injection tests: with any value, a script has the same commands and words as with a harmless value. The parsers here
//! follow the sources of iPXE and GRUB.

use proptest::prelude::*;

use super::*;

/// Parses the commands of an iPXE script: split at white space, ended by comments, divided by `||`, `&&` and `;`, and only then
/// expanded (`src/core/exec.c`, `src/image/script.c`).
fn ipxe_commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let script = script.replace("\\\n", "");
    for line in script.split('\n') {
        let line = line.trim_start();
        let (label, line) = match line.strip_prefix(':') {
            Some(rest) => (true, rest.split_once(char::is_whitespace).map_or("", |(_, command)| command)),
            None => (false, line),
        };
        let words = line.split(|c: char| c.is_ascii_whitespace() || c == '\u{b}').filter(|word| !word.is_empty());
        let mut command = Vec::new();
        if label {
            commands.push(vec![":".to_owned()]);
        }
        for word in words.take_while(|word| !word.starts_with('#')) {
            if ["||", "&&", ";"].contains(&word) {
                commands.push(std::mem::take(&mut command));
                commands.push(vec![word.to_owned()]);
            } else {
                command.push(word.replace("${sp:string}", " ").replace("${nil}", ""));
            }
        }
        commands.push(command);
    }
    commands
}

/// Parses the commands of a GRUB configuration: unquoted words, separated by line ends and semicolons.
fn grub_commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut characters = script.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            '\'' => word.get_or_insert_default().extend(characters.by_ref().take_while(|c| *c != '\'')),
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(character) = characters.next().filter(|c| *c != '"') {
                    match character {
                        '\\' if matches!(characters.peek(), Some('\\' | '"' | '$')) => word.extend(characters.next()),
                        '$' => word.push_str("<EXPANDED>"),
                        character => word.push(character),
                    }
                }
            }
            '#' if word.is_none() => drop(characters.by_ref().find(|c| *c == '\n')),
            ' ' | '\t' | '\n' | ';' | '|' | '&' | '<' | '>' => {
                commands.last_mut().unwrap().extend(word.take());
                if character != ' ' && character != '\t' {
                    commands.push(Vec::new());
                }
            }
            '$' => word.get_or_insert_default().push_str("<EXPANDED>"),
            character => word.get_or_insert_default().push(character),
        }
    }
    commands.last_mut().unwrap().extend(word);
    commands
}

/// Parses the commands of a PXELINUX configuration: a keyword and the rest of the line.
fn pxelinux_commands(script: &str) -> Vec<Vec<String>> {
    let command = |line: &str| {
        let (keyword, rest) = line.trim_start().split_once(' ').unwrap_or((line.trim_start(), ""));
        vec![keyword.to_owned(), rest.to_owned()]
    };
    script.split(['\n', '\r']).map(command).collect()
}

fn commands(script: &str, language: Language) -> Vec<Vec<String>> {
    match language {
        Language::Ipxe => ipxe_commands(script),
        Language::Grub => grub_commands(script),
        Language::Pxelinux => pxelinux_commands(script),
    }
}

/// The commands without the one that defines iPXE's setting for a space.
fn plain_commands(script: &str, language: Language) -> Vec<Vec<String>> {
    commands(script, language).into_iter().filter(|command| command.join(" ") != "set sp:hex 20").collect()
}

const IPXE: &str = "#!ipxe\necho a {{ host.vars.v }} b\necho {{ host.vars.v }}{{ host.vars.v }}\nset x y{{ host.vars.v }}\n\
                    kernel {{ asset_url('okd:kernel') }} v={{ host.vars.v }} || shell\nboot\n";
const GRUB: &str = "echo a {{ host.vars.v }} b\necho x{{ host.vars.v }}\necho \"q {{ host.vars.v }}\" 'q {{ host.vars.v }}'\n\
                    linux {{ asset_path('okd:kernel') }} v={{ host.vars.v }}; boot\n";

/// Rosters whose host has this variable, one with templates and one with kernel arguments; `None` if it is rejected.
fn with_value(value: &str) -> [Option<Roster>; 2] {
    let vars = BTreeMap::from([("v".to_owned(), serde_json::Value::from(value))]);
    let own = ProfileSettings {
        template: Some(template(IPXE)),
        grub_template: Some(TemplateText { file: "b.j2".to_owned(), text: GRUB.to_owned() }),
        vars: vars.clone(),
        ..named("own")
    };
    let args = ["quiet v={{ host.vars.v }} w={{ host.vars.v }}{{ host.name }}", "{{ host.vars.v }}"]
        .map(str::to_owned)
        .to_vec();
    let kernel = ProfileSettings { args, vars, ..okd() };
    [own, kernel].map(|profile| roster(one_host(profile, |_| {})).ok())
}

/// Texts with characters that are special in some language.
fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("${net0/mac}"),
        Just("$"),
        Just("{"),
        Just("}"),
        Just("||"),
        Just("&&"),
        Just(";"),
        Just("#"),
        Just(":"),
        Just("\\"),
        Just("\n"),
        Just("\r"),
        Just("\t"),
        Just(" "),
        Just("'"),
        Just("\""),
        Just("|"),
        Just("&"),
        Just("<"),
        Just(">"),
        Just("reboot"),
        Just("`id`"),
        Just("$(id)"),
        Just("%0a"),
        Just("{{ 7 }}"),
        Just("{% raw %}"),
        Just("\0"),
        Just("\u{fdd0}"),
        Just("\u{fdd2}"),
        Just("\u{a0}"),
        Just("à"),
        Just("--x"),
        Just("/"),
        Just("="),
    ];
    prop_oneof![proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat()), "\\PC{1,20}",]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn script_variable_cannot_inject_commands(value in hostile_text()) {
        // Marks are removed, and blank text leaves no word to compare.
        let kept = value.replace(['\u{fdd0}', '\u{fdd1}', '\u{fdd2}'], "");
        prop_assume!(!kept.trim().is_empty());
        for (found, harmless) in with_value(&value).into_iter().zip(with_value("VALUE")) {
            let Some(roster) = found else { continue };
            for language in Language::ALL {
                let script = roster.preview(&machine(), &request(), language);
                let wanted = harmless.as_ref().unwrap().preview(&machine(), &request(), language).text;
                if matches!(script.error, Some(ScriptError::Unsupported(..))) {
                    continue;
                }
                prop_assert_eq!(&script.error, &None);
                // In kernel arguments, text with spaces is quoted for the kernel; the text itself contains no quotes.
                let unquoted = |word: String| if kept.contains('"') { word } else { word.replace('"', "") };
                let words = |script: &str, value: &str| -> Vec<Vec<String>> {
                    let commands = plain_commands(script, language).into_iter();
                    commands.map(|words| words.into_iter().map(|word| unquoted(word.replace("VALUE", value))).collect()).collect()
                };
                let (found, wanted) = (words(&script.text, "VALUE"), words(&wanted, &kept));
                prop_assert_eq!(found, wanted, "{}", script.text);
            }
        }
    }

    #[test]
    fn script_request_cannot_inject_commands(mac in hostile_text(), serial in hostile_text(), hostname in hostile_text(), base in hostile_text()) {
        let encode = |text: &str| percent_encoding::percent_encode(text.as_bytes(), percent_encoding::NON_ALPHANUMERIC).to_string();
        let hostile = Machine::from_query(&format!(
            "mac={}&serial={}&asset={}&hostname={}&platform={}",
            encode(&mac), encode(&serial), encode(&serial), encode(&hostname), encode(&hostname),
        ));
        let harmless = Machine { serial: Some("S".into()), hostname: Some("H".into()), platform: Some("H".into()), ..Machine::default() };
        let profile = ProfileSettings {
            template: Some(template("#!ipxe\necho {{ request.serial }}{{ request.hostname }} x={{ request.asset }} {{ request.platform }}.\nboot\n")),
            grub_template: Some(TemplateText { file: "b.j2".into(), text: "echo {{ request.serial }} \"{{ request.hostname }}\" {{ host.name }}\nboot\n".into() }),
            ..named("own")
        };
        let default = RosterSettings { default_profile: Some("own".to_owned()), ..one_host(profile, |_| {}) };
        let contexts = [RequestContext { base: format!("http://{base}:8080"), ..request() }, request()];
        for roster in [Roster::default(), roster(default).unwrap()] {
            for language in [Language::Ipxe, Language::Grub] {
                let count = |machine: &Machine, context: &RequestContext| {
                    let script = roster.preview(machine, context, language);
                    assert!(matches!(script.error, None | Some(ScriptError::UnknownMachine)), "{:?}", script.error);
                    plain_commands(&script.text, language).into_iter().map(|command| command.first().cloned()).collect::<Vec<_>>()
                };
                prop_assert_eq!(count(&hostile, &contexts[0]), count(&harmless, &contexts[1]));
            }
            for language in [Language::Ipxe, Language::Grub] {
                let words = |context: &RequestContext| commands(&entry_script(context, language), language).into_iter().map(|command| command.len()).collect::<Vec<_>>();
                prop_assert_eq!(words(&contexts[0]), words(&contexts[1]));
            }
        }
    }
}

#[test]
fn script_unescapable_value_fails_check() {
    for (value, reason) in [
        ("a\nreboot", "a value contains the control character '\\n'; a script's line cannot"),
        ("${net0/mac}", "a value makes \"${\", which iPXE would expand"),
    ] {
        let vars = BTreeMap::from([("v".to_owned(), serde_json::Value::from(value))]);
        let profile =
            ProfileSettings { template: Some(template("#!ipxe\necho {{ host.vars.v }}\n")), vars, ..named("own") };
        let errors = roster(one_host(profile, |_| {})).unwrap_err();
        assert_eq!(errors[0].problem.to_string(), format!("the script for r630-01 fails: {reason}"));
    }
    for (value, reason) in [
        ("a\"b", "a value contains a double quote; a kernel's arguments cannot"),
        ("à", "a value contains 'à', which the kernel takes for a space"),
    ] {
        let vars = BTreeMap::from([("v".to_owned(), serde_json::Value::from(value))]);
        let errors =
            roster(one_host(ProfileSettings { args: vec!["a={{ host.vars.v }}".to_owned()], vars, ..okd() }, |_| {}))
                .unwrap_err();
        assert!(errors[0].problem.to_string().ends_with(reason), "{}", errors[0].problem);
    }
    // The halves of `${` come from two values, or from a value and the operator's text.
    for text in ["{{ host.vars.d }}{{ host.vars.o }}", "{{ host.vars.d }}{x}", "${{ host.vars.o }}"] {
        let vars = BTreeMap::from([("d".to_owned(), "a$".into()), ("o".to_owned(), "{x}".into())]);
        let profile =
            ProfileSettings { template: Some(template(&format!("#!ipxe\necho {text}\n"))), vars, ..named("own") };
        assert!(roster(one_host(profile, |_| {})).is_err(), "{text}");
    }
}
