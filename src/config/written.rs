//! A value that is written as text, for serde and the schema.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A format of text values.
pub(super) trait Format: Sized {
    /// The parsed type.
    type Value;
    /// The `format` in the JSON Schema.
    const NAME: &'static str;
    /// Description of valid values, which ends the sentence "expected …".
    const EXPECTED: &'static str;
    /// Whether a non-negative integer may replace the text.
    const NUMBER: bool = false;

    /// Parses the text. The error describes what is wrong with it; it is empty if [`Format::EXPECTED`] is sufficient.
    fn read(text: &str) -> Result<Self::Value, String>;

    /// The displayed form of the text, which may be malformed: secrets, and what carries them, are removed.
    fn shown(text: &str) -> String {
        text.to_owned()
    }
}

/// A value written as text in the format `F`; keeps both.
pub(super) struct Written<F: Format> {
    pub(super) value: F::Value,
    text: String,
}

impl<F: Format> Written<F> {
    /// Parses `text`.
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self { value: F::read(text)?, text: text.to_owned() })
    }
}

/// The default value that operators would write as `text`.
///
/// Panics if the text is invalid: the defaults are constants, and a test parses all of them.
pub(super) fn default<F: Format>(text: &str) -> Written<F> {
    Written::read(text).expect("the defaults are well formed")
}

impl<F: Format> Serialize for Written<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, F: Format> Deserialize<'de> for Written<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<F>(std::marker::PhantomData<F>);
        impl<F: Format> de::Visitor<'_> for Visitor<F> {
            type Value = Written<F>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(F::EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Written::read(text).map_err(|reason| E::custom(format!("expected {}: {reason}", F::EXPECTED)))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                if !F::NUMBER {
                    return Err(E::invalid_type(de::Unexpected::Unsigned(number), &self));
                }
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                match u64::try_from(number) {
                    Ok(number) => self.visit_u64(number),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor(std::marker::PhantomData))
    }
}

impl<F: Format> JsonSchema for Written<F> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        F::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        if F::NUMBER {
            json_schema!({ "type": ["string", "integer"], "format": F::NAME, "minimum": 0 })
        } else {
            json_schema!({ "type": "string", "format": F::NAME })
        }
    }
}
