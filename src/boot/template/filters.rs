//! The filters of templates beside Jinja's own. A filter that quotes marks its result with the syntax, so that it is finished
//! there and still escaped as a text in a file of another syntax.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};
use rustix::rand::{GetRandomFlags, getrandom};
use sha_crypt::{PasswordHasher as _, ShaCrypt};

use super::marks;
use crate::boot::document::{json, shell, toml, xml, yaml};
use crate::boot::escape::{ipxe, kernel};
use crate::boot::syntax::Syntax;

/// The names of the filters that [`add`] adds, sorted.
pub(super) const NAMES: [&str; 9] =
    ["b64encode", "ipxe", "json", "kernel_arg", "sha512_crypt", "shell", "toml", "xml", "yaml"];

/// Adds the filters.
pub(super) fn add(environment: &mut Environment<'static>) {
    quoting(environment, "ipxe", Syntax::Ipxe, |value| ipxe::value(&text(value)?).map_err(failed));
    quoting(environment, "kernel_arg", Syntax::Kernel, |value| kernel::quoted(&text(value)?).map_err(failed));
    quoting(environment, "shell", Syntax::Shell, |value| shell::quoted(&text(value)?).map_err(failed));
    quoting(environment, "json", Syntax::Json, data);
    quoting(environment, "yaml", Syntax::Yaml, |value| Ok(yaml::flow(&data(value)?)));
    quoting(environment, "toml", Syntax::Toml, |value| toml::value(&data(value)?).map_err(failed));
    quoting(environment, "xml", Syntax::Xml, |value| xml::escaped(&text(value)?).map_err(failed));
    environment.add_filter("b64encode", |value: Value| Ok::<_, Error>(BASE64_STANDARD.encode(bytes(&value)?)));
    environment.add_filter("sha512_crypt", |value: Value| sha512_crypt(&text(&value)?));
    environment.add_filter("join", join);
}

fn quoting(
    environment: &mut Environment<'static>,
    name: &'static str,
    syntax: Syntax,
    quote: impl Fn(&Value) -> Result<String, Error> + Send + Sync + 'static,
) {
    environment.add_filter(name, move |value: Value| {
        let quoted = marks::quoted(syntax, &quote(&value)?);
        Ok::<_, Error>(Value::from_safe_string(quoted))
    });
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidOperation, error.to_string())
}

/// The error about an undefined value, with its name, which minijinja adds to errors of its own alone.
fn undefined(value: &Value) -> Error {
    value.get_attr("").err().unwrap_or_else(|| ErrorKind::UndefinedError.into())
}

/// The text of a text, a number or a flag.
fn text(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(marks::unmarked(value.as_str().unwrap_or_default()).into_owned()),
        ValueKind::Number | ValueKind::Bool => Ok(value.to_string()),
        ValueKind::Undefined => Err(undefined(value)),
        kind => Err(failed(format!("this filter takes a text, and this is a {kind}; write value | json | …"))),
    }
}

fn bytes(value: &Value) -> Result<Vec<u8>, Error> {
    match value.as_bytes() {
        Some(bytes) if value.kind() == ValueKind::Bytes => Ok(bytes.to_owned()),
        _ => text(value).map(String::into_bytes),
    }
}

/// A value as JSON.
pub(super) fn data(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(undefined(value)),
        ValueKind::String => json::quoted(&text(value)?).map_err(failed),
        _ => serde_json::to_string(value)
            .map(|json| marks::unmarked(&json).into_owned())
            .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string())),
    }
}

/// The hash of a password as crypt(5) has it, `$6$SALT$HASH`, with a salt of 96 random bits and 5,000 rounds.
fn sha512_crypt(password: &str) -> Result<String, Error> {
    // crypt(3) reads a password up to the first NUL.
    if password.contains('\0') {
        return Err(failed("a password cannot contain NUL"));
    }
    let mut salt = [0_u8; 12];
    getrandom(&mut salt, GetRandomFlags::empty())
        .map_err(|error| failed(format!("the system gives no random bytes: {error}")))?;
    let hash = ShaCrypt::SHA512.hash_password_with_salt(password.as_bytes(), &salt).map_err(failed)?;
    // 5,000 is the number of rounds of a hash that states none.
    Ok(hash.as_str().replacen("rounds=5000$", "", 1))
}

/// Jinja's `join`. Between values that are quoted or safe, the separator is the operator's text and not one more value.
fn join(state: &mut State<'_, '_>, values: &Value, rest: Rest<Value>) -> Result<Value, Error> {
    let values: Vec<Value> = values.try_iter()?.collect();
    let mut arguments = rest.0;
    if values.iter().any(Value::is_safe)
        && let Some(separator) = arguments.first_mut().filter(|separator| separator.kind() == ValueKind::String)
    {
        *separator = Value::from_safe_string(separator.as_str().unwrap_or_default().to_owned());
    }
    arguments.insert(0, Value::from(values));
    Value::from_function(filters::join).call(state, &arguments)
}
