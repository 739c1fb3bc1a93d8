//! The topics of events, and sets of topics. Pure.

use strum::VariantArray as _;

/// The topic of an event.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::EnumCount, strum::EnumString, strum::IntoStaticStr, strum::VariantArray,
)]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub(in crate::admin) enum Topic {
    Status,
    Transfer,
    Fill,
    Job,
    Host,
    Release,
    Asset,
    Reload,
}

/// A set of topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) struct Topics(u8);

impl Topic {
    /// Returns the names of all topics, with `separator` between them.
    pub(in crate::admin) fn names(separator: &str) -> String {
        Self::VARIANTS.iter().map(Topic::into_str).collect::<Vec<_>>().join(separator)
    }
}

impl Topics {
    /// All topics.
    pub(in crate::admin) const ALL: Self = Self(u8::MAX);

    /// Parses a comma-separated list of topics. Fails with the first unknown name.
    pub(in crate::admin) fn parse(list: &str) -> Result<Self, &str> {
        let mut named = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        named.try_fold(Self(0), |topics, name| {
            let topic: Topic = name.parse().map_err(|_| name)?;
            Ok(Self(topics.0 | 1 << topic as u8))
        })
    }

    /// Returns whether the set contains the topic.
    pub(super) fn contains(self, topic: Topic) -> bool {
        self.0 & 1 << topic as u8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_list_is_parsed() {
        let topics = Topics::parse("status, host,").unwrap();
        let named: Vec<_> = Topic::VARIANTS.iter().copied().filter(|topic| topics.contains(*topic)).collect();
        assert_eq!(named, [Topic::Status, Topic::Host]);
        assert!(Topic::VARIANTS.iter().all(|topic| Topics::ALL.contains(*topic)));
        let all = Topic::names(",");
        assert_eq!(Topics::parse(&all), Ok(Topics::ALL));
        assert_eq!(Topics::parse("status,hosts"), Err("hosts"));
    }
}
