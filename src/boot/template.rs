//! Compiled templates. Rendering returns pieces that distinguish the operator's text from values, so that the caller can
//! escape values for the language that it writes. This module knows no language.

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use super::escape::{ipxe, kernel};
use super::piece::Piece;

// Unicode noncharacters (Unicode 23.7): no legitimate text contains them.
const TEXT: char = '\u{fdd0}';
const DATA: char = '\u{fdd1}';
const END: char = '\u{fdd2}';

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
}

impl Default for Templates {
    fn default() -> Self {
        let mut environment = Environment::new();
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
        environment.add_filter("ipxe", |text: String| quoted(ipxe::value(&text)));
        environment.add_filter("shell", |text: String| quoted(shell(&text)));
        environment.add_filter("kernel_arg", |text: String| quoted(kernel::quoted(&text)));
        environment.add_filter("json", |value: Value| quoted(json(&value)));
        Self { environment }
    }
}

fn quoted(text: Result<String, impl std::fmt::Display>) -> Result<Value, Error> {
    match text {
        Ok(text) => Ok(Value::from_safe_string(text)),
        Err(error) => Err(Error::new(ErrorKind::InvalidOperation, error.to_string())),
    }
}

fn json(value: &Value) -> Result<String, serde_json::Error> {
    serde_json::to_string(value)
}

/// Quotes a text as one word of a POSIX shell (POSIX 2.2.2). A single quote inside ends the quoting, is escaped, and opens
/// it again.
fn shell(text: &str) -> Result<String, &'static str> {
    if text.contains('\0') {
        Err("a word of a shell cannot contain NUL")
    } else {
        Ok(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

/// Writes a value between marks, by which [`pieces`] recognises it.
fn mark(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let (kind, text) = match value.kind() {
        _ if value.is_safe() => return Ok(out.write_str(value.as_str().unwrap_or_default())?),
        // The result of an `if` without an `else`.
        ValueKind::Undefined => return Ok(()),
        ValueKind::String => (TEXT, value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Number | ValueKind::Bool | ValueKind::None | ValueKind::Seq | ValueKind::Map => {
            let json = json(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
            (DATA, json)
        }
        other => return Err(Error::new(ErrorKind::InvalidOperation, format!("a {other} cannot be written out"))),
    };
    // A value that was rendered earlier and then changed still contains marks. All of it is one value now.
    let text = text.replace([TEXT, DATA, END], "");
    Ok(write!(out, "{kind}{text}{END}")?)
}

/// Splits rendered text into pieces.
fn pieces(rendered: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = rendered;
    while let Some(at) = rest.find([TEXT, DATA]) {
        let (literal, marked) = rest.split_at(at);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.replace(END, "")));
        }
        let is_text = marked.starts_with(TEXT);
        let marked = marked.trim_start_matches([TEXT, DATA]);
        let (value, after) = marked.split_once(END).unwrap_or((marked, ""));
        pieces.push(if is_text { Piece::Value(value.to_owned()) } else { Piece::Data(value.to_owned()) });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.replace(END, "")));
    }
    pieces
}

impl Templates {
    /// Compiles `text` as the template `name`.
    pub(super) fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        self.environment
            .add_template_owned(name.to_owned(), text.to_owned())
            .map_err(|error| template_error(name, &error))
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
        let rendered = self.environment.get_template(name).and_then(|template| template.render(context));
        rendered.map(|text| pieces(&text)).map_err(|error| template_error(name, &error))
    }
}

fn template_error(name: &str, error: &Error) -> TemplateError {
    let reason = match (error.kind(), error.detail()) {
        (ErrorKind::InvalidOperation | ErrorKind::SyntaxError, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    TemplateError { template: name.to_owned(), line: error.line(), reason }
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

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
        assert_eq!(render("{{ url ~ a }}").unwrap(), [value("http://b/ax y")]);
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
    fn filters_quote_values() {
        let literals = |text: &str| match render(text).unwrap().as_slice() {
            [Piece::Literal(text)] => text.clone(),
            pieces => panic!("{pieces:?}"),
        };
        assert_eq!(literals("{{ a | shell }}"), "'x y'");
        assert_eq!(literals("{{ \"it's\" | shell }}"), r"'it'\''s'");
        assert_eq!(literals("{{ a | json }}"), r#""x y""#);
        assert_eq!(literals("{{ list | json }}"), "[1,2]");
        assert_eq!(literals("{{ a | kernel_arg }}"), r#""x y""#);
        assert_eq!(literals("{{ a | ipxe }}"), "x${sp:string}y");
    }
}
