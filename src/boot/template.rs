//! Templates: compiled once, and rendered into pieces that remember which text the operator wrote and which came out of a
//! value. It knows no language; what writes one decides how a value must look where it stands.

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

// Unicode gives these to nobody (Unicode 23.7, noncharacters), so a text that holds them is up to no good.
const TEXT: char = '\u{fdd0}';
const DATA: char = '\u{fdd1}';
const END: char = '\u{fdd2}';

/// One piece of a rendered template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// The operator's own text, and what is vouched for: URLs of ours, and what went through a quoting filter.
    Literal(String),
    /// A text that came out of a value.
    Value(String),
    /// A number, a flag, a list or a table that came out of a value, as JSON.
    Data(String),
}

/// Why a template makes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub(super) struct TemplateError {
    /// The template.
    pub(super) template: String,
    /// The line, counted from 1, where that is known.
    pub(super) line: Option<usize>,
    /// What is wrong.
    pub(super) reason: String,
}

/// All templates.
#[derive(Debug)]
pub(super) struct Templates {
    environment: Environment<'static>,
}

impl Default for Templates {
    fn default() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // It names what is undefined, which it does by itself in debug builds alone.
        environment.set_debug(true);
        environment.set_auto_escape_callback(|_| AutoEscape::Custom("marked".into()));
        environment.set_formatter(mark);
        // A line that holds nothing but a statement leaves no empty line behind.
        let mut syntax = environment.syntax().to_builder();
        syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
        // Only delimiters can be in conflict, and they are as they were.
        if let Ok(syntax) = syntax.build() {
            environment.set_syntax(syntax);
        }
        environment.add_filter("ipxe", |text: String| quoted(super::script::ipxe::value(&text)));
        environment.add_filter("shell", |text: String| quoted(shell(&text)));
        environment.add_filter("kernel_arg", |text: String| quoted(super::script::kernel::quoted(&text)));
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

/// One word of a POSIX shell, whatever is in it (POSIX 2.2.2): a single quote ends the quoting, stands alone and begins
/// it again.
fn shell(text: &str) -> Result<String, &'static str> {
    if text.contains('\0') {
        Err("a NUL is in no word of a shell")
    } else {
        Ok(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

/// Writes a value between marks, so that [`pieces`] finds it again.
fn mark(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let (kind, text) = match value.kind() {
        _ if value.is_safe() => return Ok(out.write_str(value.as_str().unwrap_or_default())?),
        // What an `if` without an `else` comes to.
        ValueKind::Undefined => return Ok(()),
        ValueKind::String => (TEXT, value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Number | ValueKind::Bool | ValueKind::None | ValueKind::Seq | ValueKind::Map => {
            let json = json(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
            (DATA, json)
        }
        other => return Err(Error::new(ErrorKind::InvalidOperation, format!("a {other} cannot be written out"))),
    };
    // Marks within are of a value that was rendered before and then changed: all of it is a value now.
    let text = text.replace([TEXT, DATA, END], "");
    Ok(write!(out, "{kind}{text}{END}")?)
}

/// The pieces of what was rendered.
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
        self.environment.add_template_owned(name.to_owned(), text.to_owned()).map_err(|error| told(name, &error))
    }

    /// Whether there is a template `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.environment.get_template(name).is_ok()
    }

    /// Whether the template `name` says `variable` without giving it a value itself.
    pub(super) fn mentions(&self, name: &str, variable: &str) -> bool {
        self.environment.get_template(name).is_ok_and(|it| it.undeclared_variables(false).contains(variable))
    }

    /// Renders the template `name`.
    pub(super) fn render(&self, name: &str, context: Value) -> Result<Vec<Piece>, TemplateError> {
        let rendered = self.environment.get_template(name).and_then(|template| template.render(context));
        rendered.map(|text| pieces(&text)).map_err(|error| told(name, &error))
    }
}

fn told(name: &str, error: &Error) -> TemplateError {
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
    fn values_are_told_from_what_the_operator_wrote() {
        assert_eq!(render("a={{ a }}\n").unwrap(), [literal("a="), value("x y"), literal("\n")]);
        assert_eq!(
            render("{{ n }}{{ list }}").unwrap(),
            [Piece::Data("3".to_owned()), Piece::Data("[1,2]".to_owned())]
        );
        assert_eq!(render("{{ url }}?{{ nested.name }}").unwrap(), [literal("http://b/a?"), value("n")]);
        // However it comes about: joined, changed, captured, from a macro.
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
    fn a_line_of_statements_leaves_no_line() {
        assert_eq!(render("a\n  {% if true %}\nb\n{% endif %}\nc\n").unwrap(), [literal("a\nb\nc\n")]);
    }

    #[test]
    fn what_fails_says_where_and_why() {
        let errors =
            ["\n{{ nope }}", "{{ nested.nope }}", "{% if %}", "{% include 'x' %}", "{{ a | nope }}", "{{ a.b.c }}"];
        insta::assert_snapshot!(errors.map(|text| render(text).unwrap_err()).join("\n"));
    }

    #[test]
    fn filters_quote() {
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
