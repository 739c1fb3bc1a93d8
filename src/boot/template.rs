//! Compiled templates. Rendering returns pieces that distinguish the operator's text from values, so that the caller can
//! escape values for the language that it writes. This module knows no language.

mod filters;
mod marks;
mod source;
mod undefined;

use std::io;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use self::source::HidingComment;
use super::piece::Piece;

/// The most instructions of one template: about 50 milliseconds of work. The largest template of the recipes needs a few hundred.
const MAX_INSTRUCTIONS: u64 = 1_000_000;
/// The most bytes that a template may give: installers' files have a few hundred KiB at most.
const MAX_OUTPUT: usize = 4 << 20;

/// A template that cannot be compiled or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub(super) struct TemplateError {
    /// The template's name.
    pub(super) template: String,
    /// The line, counted from 1, if known.
    pub(super) line: Option<usize>,
    /// The problem.
    pub(super) reason: String,
}

/// A set of compiled templates.
#[derive(Debug)]
pub(super) struct Templates {
    environment: Environment<'static>,
    /// The comments that hide commands, each with the name of its template.
    hiding: Vec<(String, HidingComment)>,
}

impl Default for Templates {
    fn default() -> Self {
        let mut environment = Environment::new();
        environment.set_fuel(Some(MAX_INSTRUCTIONS));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // Error messages then name the undefined variable; by default they do so only in debug builds.
        environment.set_debug(true);
        environment.set_auto_escape_callback(|_| AutoEscape::Custom("marked".into()));
        environment.set_formatter(mark);
        // A line with nothing but a statement produces no empty line.
        let mut syntax = environment.syntax().to_builder();
        syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
        // Building fails only for conflicting delimiters; these are the defaults.
        if let Ok(syntax) = syntax.build() {
            environment.set_syntax(syntax);
        }
        filters::add(&mut environment);
        Self { environment, hiding: Vec::new() }
    }
}

/// Writes a value between marks, by which [`marks::pieces`] recognises it.
fn mark(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let marked = match value.kind() {
        _ if value.is_safe() => return Ok(out.write_str(value.as_str().unwrap_or_default())?),
        // The result of an `if` without an `else`.
        ValueKind::Undefined => return Ok(()),
        ValueKind::String => marks::text(value.as_str().unwrap_or_default()),
        ValueKind::Number | ValueKind::Bool | ValueKind::None | ValueKind::Seq | ValueKind::Map => {
            marks::data(&filters::data(value)?)
        }
        other => return Err(Error::new(ErrorKind::InvalidOperation, format!("a {other} cannot be written out"))),
    };
    Ok(out.write_str(&marked)?)
}

impl Templates {
    /// Compiles `text` as the template `name`.
    pub(super) fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        let source = source::read(text);
        self.hiding.extend(source.hiding.into_iter().map(|comment| (name.to_owned(), comment)));
        self.environment
            .add_template_owned(name.to_owned(), source.text)
            .map_err(|error| template_error(name, &error, &Value::UNDEFINED))
    }

    /// The comments that hide what looks like commands, each with the name of its template.
    pub(super) fn hiding_comments(&self) -> &[(String, HidingComment)] {
        &self.hiding
    }

    /// Whether the set has a template `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.environment.get_template(name).is_ok()
    }

    /// Whether the template `name` uses `variable` without defining it.
    pub(super) fn uses(&self, name: &str, variable: &str) -> bool {
        self.environment.get_template(name).is_ok_and(|it| it.undeclared_variables(false).contains(variable))
    }

    /// Renders the template `name`.
    pub(super) fn render(&self, name: &str, context: Value) -> Result<Vec<Piece>, TemplateError> {
        let template = self.environment.get_template(name);
        let mut text = BoundedText::default();
        let rendered = template.and_then(|template| {
            template.render_captured_to(context.clone(), &mut text)?;
            Ok(())
        });
        rendered.map_err(move |error| template_error(name, &error, &context))?;
        // The engine writes whole texts, so that no character is cut.
        Ok(marks::pieces(&String::from_utf8_lossy(&text.0)))
    }
}

/// Rendered text of at most [`MAX_OUTPUT`] bytes.
#[derive(Default)]
struct BoundedText(Vec<u8>);

impl io::Write for BoundedText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn template_error(name: &str, error: &Error, context: &Value) -> TemplateError {
    let reason = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => {
            format!("the template {name} runs more than {MAX_INSTRUCTIONS} instructions; end its loops earlier")
        }
        (ErrorKind::WriteFailure, _) => {
            format!("the template {name} gives more than {} MiB", MAX_OUTPUT >> 20)
        }
        (ErrorKind::InvalidOperation | ErrorKind::SyntaxError, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    } + &undefined::known(error, context);
    TemplateError { template: name.to_owned(), line: error.line(), reason }
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;
    use crate::boot::syntax::Syntax;

    fn render(text: &str) -> Result<Vec<Piece>, String> {
        let mut templates = Templates::default();
        templates.add("t", text).map_err(|error| error.to_string())?;
        let list = vec![1, 2];
        let nested = Value::from_pairs([("name", "n")]);
        let url = Value::from_safe_string("http://b/a".to_owned());
        let context = context! { a => "x y", n => 3, list, nested, url, evil => "\u{fdd2}a\u{fdd0}b" };
        templates.render("t", context).map_err(|error| error.to_string())
    }

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.to_owned())
    }

    fn value(text: &str) -> Piece {
        Piece::Value(text.to_owned())
    }

    #[test]
    fn values_are_separate_from_literals() {
        assert_eq!(render("a={{ a }}\n").unwrap(), [literal("a="), value("x y"), literal("\n")]);
        assert_eq!(
            render("{{ n }}{{ list }}").unwrap(),
            [Piece::Data("3".to_owned()), Piece::Data("[1,2]".to_owned())]
        );
        assert_eq!(render("{{ url }}?{{ nested.name }}").unwrap(), [literal("http://b/a?"), value("n")]);
        // Also if it is joined, filtered, captured, or passed to a macro.
        assert_eq!(render("{{ url ~ a }}").unwrap(), [literal("http://b/a"), value("x y")]);
        assert_eq!(render("{{ a | upper }}").unwrap(), [value("X Y")]);
        assert_eq!(
            render("{% set b %}<{{ a }}>{% endset %}{{ b }}").unwrap(),
            [literal("<"), value("x y"), literal(">")]
        );
        assert_eq!(
            render("{% set b %}<{{ a }}>{% endset %}{{ b | upper }}").unwrap(),
            [literal("<"), value("X Y"), literal(">")]
        );
        assert_eq!(
            render("{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(a) }}").unwrap(),
            [literal("["), value("x y"), literal("]")]
        );
        assert_eq!(render("{{ evil }}").unwrap(), [value("ab")]);
        assert_eq!(render("{{ 'x' if n == 4 }}").unwrap(), []);
    }

    #[test]
    fn statement_line_produces_no_line() {
        assert_eq!(render("a\n  {% if true %}\nb\n{% endif %}\nc\n").unwrap(), [literal("a\nb\nc\n")]);
    }

    #[test]
    fn template_error_names_line_and_reason() {
        let errors =
            ["\n{{ nope }}", "{{ nested.nope }}", "{% if %}", "{% include 'x' %}", "{{ a | nope }}", "{{ a.b.c }}"];
        insta::assert_snapshot!(errors.map(|text| render(text).unwrap_err()).join("\n"));
    }

    #[test]
    fn template_work_and_output_are_bounded() {
        let endless = "{% macro m(x) %}{% for i in range(10000) %}{{ caller() }}{% endfor %}{% endmacro %}\
            {% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}";
        let huge = "{% for i in range(10000) %}".to_owned() + &"x".repeat(1000) + "{% endfor %}";
        for (text, expected) in [
            (endless, "the template t runs more than 1000000 instructions"),
            (&huge, "the template t gives more than 4 MiB"),
        ] {
            let error = render(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(render("{% for i in range(10000) %}{{ i }}{% endfor %}").is_ok());
    }

    #[test]
    fn filters_quote_values() {
        for (text, syntax, expected) in [
            ("{{ a | shell }}", Syntax::Shell, "'x y'"),
            ("{{ \"it's\" | shell }}", Syntax::Shell, r"'it'\''s'"),
            ("{{ a | json }}", Syntax::Json, r#""x y""#),
            ("{{ list | json }}", Syntax::Json, "[1,2]"),
            ("{{ nested | json }}", Syntax::Json, r#"{"name":"n"}"#),
            ("{{ a | yaml }}", Syntax::Yaml, r#""x y""#),
            ("{{ \"\u{2028}\" | yaml }}", Syntax::Yaml, r#""\u2028""#),
            ("{{ a | toml }}", Syntax::Toml, r#""x y""#),
            ("{{ nested | toml }}", Syntax::Toml, r#"{ name = "n" }"#),
            ("{{ \"<&'>\" | xml }}", Syntax::Xml, "&lt;&amp;&apos;&gt;"),
            ("{{ a | kernel_arg }}", Syntax::Kernel, r#""x y""#),
            ("{{ a | ipxe }}", Syntax::Ipxe, "x${sp:string}y"),
            ("{{ n | shell }}", Syntax::Shell, "'3'"),
        ] {
            assert_eq!(render(text).unwrap(), [Piece::Quoted(syntax, expected.to_owned())], "{text}");
        }
        let separated = [r#""a""#, r#""b""#].map(|text| Piece::Quoted(Syntax::Json, text.to_owned()));
        let [first, second] = separated;
        assert_eq!(render("{{ ['a', 'b'] | map('json') | join(', ') }}").unwrap(), [first, literal(", "), second]);
        assert_eq!(render("{{ ['a', 'b'] | join(', ') }}").unwrap(), [value("a, b")]);
    }

    #[test]
    fn filters_encode_whole_value() {
        assert_eq!(render("{{ a | b64encode }}").unwrap(), [value("eCB5")]);
        assert_eq!(render("{% filter b64encode %}{{ a }}${#}{% endfilter %}").unwrap(), [value("eCB5JHsjfQ==")]);
        assert_eq!(render("{% set b %}{{ a }}{% endset %}{{ b | shell | b64encode }}").unwrap(), [value("J3ggeSc=")]);
        let hashed = render("{{ a | sha512_crypt }}").unwrap();
        let [Piece::Value(hash)] = hashed.as_slice() else { panic!("{hashed:?}") };
        let hash: Vec<_> = hash.split('$').map(str::to_owned).collect();
        let [empty, algorithm, salt, digest] = hash.as_slice() else { panic!("{hash:?}") };
        assert_eq!((empty.len(), algorithm.as_str(), salt.len(), digest.len()), (0, "6", 16, 86));
        for text in ["{{ nope | json }}", "{{ nope | b64encode }}", "{{ list | sha512_crypt }}", "{{ list | shell }}"] {
            assert!(render(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shell_length_is_kept() {
        let text = "f() { [ ${#} -eq 1 ] || exit 1; }\nuseradd {{ nested.name }}\n[ ${#list[@]} -le 3 ]\n";
        let [first, rest] = text.split("{{ nested.name }}").map(literal).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(render(text).unwrap(), [first, value("n"), rest]);
        assert_eq!(render("a{# b #}c").unwrap(), [literal("ac")]);
    }
}
