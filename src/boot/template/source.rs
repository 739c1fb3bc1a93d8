//! The source of a template, before it is compiled: `${#…}` of shells stays text, and comments that hide commands are found.

use super::marks::GAP;

/// A comment that hides what looks like commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::boot) struct HidingComment {
    /// The line in which it begins, counted from 1.
    pub(in crate::boot) first: usize,
    /// The line in which it ends.
    pub(in crate::boot) last: usize,
    /// The first line in it that looks like a command.
    pub(in crate::boot) command: String,
}

/// A source that is ready to be compiled.
pub(super) struct Source {
    /// The text, in which `${#` begins no comment.
    pub(super) text: String,
    /// The comments that hide commands.
    pub(super) hiding: Vec<HidingComment>,
}

/// Programs, and commands of installers, whose names are no words of a sentence.
const PROGRAMS: [&str; 25] = [
    "apt-get",
    "awk",
    "chmod",
    "chown",
    "chpasswd",
    "cp",
    "curl",
    "d-i",
    "dd",
    "dnf",
    "ln",
    "mkdir",
    "mv",
    "passwd",
    "poweroff",
    "reboot",
    "rm",
    "rootpw",
    "sed",
    "systemctl",
    "umount",
    "useradd",
    "usermod",
    "wget",
    "yum",
];

/// Reads a source.
///
/// A shell writes `${#name}` for a length and `${#}` for the number of arguments. Jinja's comments begin with the same two
/// characters, so a mark is written between them, which is removed from the rendered text.
pub(super) fn read(text: &str) -> Source {
    let mut source = Source { text: String::with_capacity(text.len()), hiding: Vec::new() };
    let mut at = 0;
    while let Some(found) = text[at..].find('{') {
        let open = at + found;
        let rest = &text[open..];
        let end = match rest.as_bytes().get(1) {
            Some(b'#') if text[..open].ends_with('$') => {
                source.text.push_str(&text[at..=open]);
                source.text.push(GAP);
                at = open + 1;
                continue;
            }
            Some(b'#') => {
                let end = rest[2..].find("#}").map_or(text.len(), |end| open + end + 4);
                source.hiding.extend(hiding(text, open, end));
                end
            }
            Some(b'{') => open + tag_end(rest, "}}"),
            Some(b'%') => {
                let end = open + tag_end(rest, "%}");
                if is_statement(&text[open..end], "raw") { end + raw_end(&text[end..]) } else { end }
            }
            _ => open + 1,
        };
        source.text.push_str(&text[at..end]);
        at = end;
    }
    source.text.push_str(&text[at..]);
    source
}

/// The offset after the end of an expression or a statement: `close` outside of texts and brackets.
fn tag_end(tag: &str, close: &str) -> usize {
    let (mut quote, mut depth) = (None, 0_usize);
    let mut characters = tag.char_indices().skip(2);
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(open), c) if c == open => quote = None,
            (None, _) if depth == 0 && tag[at..].starts_with(close) => return at + close.len(),
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (Some(_) | None, _) => {}
        }
    }
    tag.len()
}

/// Whether `tag` is the statement of this name, without arguments.
fn is_statement(tag: &str, name: &str) -> bool {
    let inner = tag.strip_prefix("{%").and_then(|tag| tag.strip_suffix("%}"));
    inner.is_some_and(|inner| inner.trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '+')) == name)
}

/// The offset after the statement that ends a raw block.
fn raw_end(text: &str) -> usize {
    let mut at = 0;
    while let Some(found) = text[at..].find("{%") {
        let open = at + found;
        let end = open + tag_end(&text[open..], "%}");
        if is_statement(&text[open..end], "endraw") {
            return end;
        }
        at = open + 2;
    }
    text.len()
}

/// The comment from `open` to `end`, if it spans several lines and one of them looks like a command.
fn hiding(text: &str, open: usize, end: usize) -> Option<HidingComment> {
    let comment = text[open + 2..end].strip_suffix("#}")?;
    let command = comment.lines().find(|line| looks_like_command(line)).filter(|_| comment.contains('\n'))?;
    let line = |offset: usize| text[..offset].matches('\n').count() + 1;
    Some(HidingComment { first: line(open), last: line(end), command: command.trim().to_owned() })
}

/// Whether a line looks like one of a script and not like one of a sentence: a known program, or a word in lower case that is
/// followed by an option, a path or an operator of a shell.
fn looks_like_command(line: &str) -> bool {
    let line = line.trim();
    let mut words = line.split_whitespace();
    let Some(first) = words.next() else { return false };
    if PROGRAMS.contains(&first)
        || matches!(line, "}" | "fi" | "done" | "esac" | "%end")
        || line.starts_with("%post")
        || line.ends_with("() {")
    {
        return true;
    }
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_./-=+$(){}[\"'".contains(c);
    let is_argument = |word: &str| {
        let option = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
        option.is_some_and(|option| option.starts_with(|c: char| c.is_ascii_alphanumeric()))
            || (word.len() > 1 && word.starts_with('/'))
            || matches!(word, "|" | "||" | "&&" | "=" | ">" | ">>" | "<" | "<<" | "2>&1" | "&")
            || word.starts_with(">/")
            || word.contains('$')
            || word.ends_with(';')
    };
    !first.starts_with('-') && first.chars().all(is_name) && (words.any(is_argument) || first.contains('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines and the command of each comment that hides commands.
    fn hidden(text: &str) -> Vec<(usize, usize, String)> {
        read(text).hiding.into_iter().map(|found| (found.first, found.last, found.command)).collect()
    }

    #[test]
    fn shell_length_begins_no_comment() {
        let gap = |text: &str| text.replace("{GAP}", &format!("{{{GAP}"));
        for (source, expected) in [
            ("${#}", "${GAP}#}"),
            ("a ${#list[@]} {# b #} ${#x}", "a ${GAP}#list[@]} {# b #} ${GAP}#x}"),
            ("{{ '${#x}' }}{% if '${#}' %}", "{{ '${#x}' }}{% if '${#}' %}"),
            ("{% raw %}${#}{# {{ {% endraw %}${#}", "{% raw %}${#}{# {{ {% endraw %}${GAP}#}"),
            ("{%- raw -%}${#}{%- endraw -%}", "{%- raw -%}${#}{%- endraw -%}"),
            ("{{ {'a': {'b': 1}} }}${#}", "{{ {'a': {'b': 1}} }}${GAP}#}"),
            ("{{ \"}}\\\"\" }}${#}", "{{ \"}}\\\"\" }}${GAP}#}"),
            ("{# ${#} ${#}", "{# ${#} ${GAP}#}"),
            ("${# never closed", "${GAP}# never closed"),
        ] {
            assert_eq!(read(source).text, gap(expected), "{source}");
        }
    }

    #[test]
    fn comment_over_commands_is_found() {
        let swallowed = "f() {# arguments\nuseradd -m admin\npasswd -l root\n#}\n";
        assert_eq!(hidden(swallowed), [(1, 4, "useradd -m admin".to_owned())]);
        for command in [
            "passwd root",
            "echo a >/etc/motd",
            "x=1",
            "./install.sh --yes",
            "/usr/bin/true && false",
            "touch /etc/x",
            "timezone Etc/UTC --utc",
            "f() {",
            "%post",
        ] {
            assert_eq!(hidden(&format!("{{# a\n{command}\n#}}")), [(1, 3, command.to_owned())]);
        }
    }

    #[test]
    fn comment_of_prose_is_silent() {
        for comment in [
            "{# The file of each worker. It names\n   the disk of the host, which is wiped,\n   and nothing else. #}",
            "{# - the first\n   - the second #}",
            "{# useradd -m admin #}",
            "{% raw %}{# a\nuseradd -m admin\n#}{% endraw %}",
            "${# a\nuseradd -m admin\n}",
        ] {
            assert_eq!(hidden(comment), [], "{comment}");
        }
    }
}
