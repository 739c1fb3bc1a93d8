//! Enums as JSON strings. Each enum spells its words once, where it is defined, by its `strum` derives.

/// Makes the JSON of an enum the words of its `strum` derives, and gives it a schema of this name and description.
macro_rules! words {
    ($($kind:path as $name:literal: $description:literal;)*) => {$(
        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(<&'static str>::from(self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                word.parse().map_err(|_| {
                    let known = <$kind as strum::VariantNames>::VARIANTS.join(", ");
                    serde::de::Error::custom(format_args!("unknown {}: {word:?}; known are: {known}", $name))
                })
            }
        }

        $crate::api::word::schema_of_words! { $kind as $name: $description; }
    )*};
}

/// Gives an enum a schema of this name and description. For an enum that a file keeps as well, and so serializes by itself.
macro_rules! schema_of_words {
    ($($kind:path as $name:literal: $description:literal;)*) => {$(
        impl utoipa::PartialSchema for $kind {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let schema = utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some($description))
                    .enum_values(Some(<$kind as strum::VariantNames>::VARIANTS.iter().copied()));
                schema.into()
            }
        }

        impl utoipa::ToSchema for $kind {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed($name)
            }
        }
    )*};
}

pub(super) use {schema_of_words, words};

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use strum::VariantNames;

    use crate::boot::Role;
    use crate::depot::{CacheState, Outcome};

    /// Enums that are stored in a file use the same words as the API.
    #[test]
    fn kept_words_match_wire_words() {
        fn check<T: Serialize + VariantNames>(values: &[T]) {
            let kept: Vec<_> = values.iter().map(|value| serde_json::to_value(value).unwrap()).collect();
            assert_eq!(kept, T::VARIANTS);
        }
        check(&[CacheState::Hit, CacheState::Join, CacheState::Miss, CacheState::Bypass]);
        check(&[
            Outcome::Complete,
            Outcome::Probe,
            Outcome::Aborted,
            Outcome::Timeout,
            Outcome::DigestMismatch,
            Outcome::OriginFailed,
            Outcome::RenderFailed,
            Outcome::Refused,
            Outcome::NotFound,
        ]);
        check(&[
            Role::Dhcp,
            Role::Nbp,
            Role::Script,
            Role::Kernel,
            Role::Initrd,
            Role::Asset,
            Role::File,
            Role::Address,
        ]);
    }
}
