//! What events are about, and the names under which they are sent. Pure.

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) struct Topics(u8);

impl Topic {
    pub(in crate::admin) const ALL: [Self; 8] =
        [Self::Status, Self::Transfer, Self::Fill, Self::Job, Self::Host, Self::Release, Self::Asset, Self::Reload];

    /// The word for it.
    pub(in crate::admin) fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Transfer => "transfer",
            Self::Fill => "fill",
            Self::Job => "job",
            Self::Host => "host",
            Self::Release => "release",
            Self::Asset => "asset",
            Self::Reload => "reload",
        }
    }
}

impl Topics {
    /// All of them.
    pub(in crate::admin) const ALL: Self = Self(u8::MAX);

    /// Those that a list with commas names, or the name that is none.
    pub(in crate::admin) fn named(list: &str) -> Result<Self, &str> {
        let mut named = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        named.try_fold(Self(0), |topics, name| {
            let topic = Topic::ALL.into_iter().find(|topic| topic.as_str() == name).ok_or(name)?;
            Ok(Self(topics.0 | 1 << topic as u8))
        })
    }

    /// Whether it is one of them.
    pub(super) fn has(self, topic: Topic) -> bool {
        self.0 & 1 << topic as u8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_named_with_commas() {
        let topics = Topics::named("status, host,").unwrap();
        let named: Vec<_> = Topic::ALL.into_iter().filter(|topic| topics.has(*topic)).collect();
        assert_eq!(named, [Topic::Status, Topic::Host]);
        assert!(Topic::ALL.into_iter().all(|topic| Topics::ALL.has(topic)));
        let all = Topic::ALL.map(Topic::as_str).join(",");
        assert_eq!(Topics::named(&all), Ok(Topics::ALL));
        assert_eq!(Topics::named("status,hosts"), Err("hosts"));
    }
}
