//! `?lifecycle`: the rules by which a server moves and deletes objects.
//!
//! Rules of others are written back byte for byte.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::decision::{Decision, document, element, parse};
use super::plan::{Archive, BucketPlan, OURS};

/// A rule for all objects of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    id: String,
    is_enabled: bool,
    /// Whether it covers all objects.
    covers_all: bool,
    archive: Option<Archive>,
    expire_days: Option<u32>,
    old_versions_days: Option<u32>,
    abort_uploads_days: Option<u32>,
}

/// The rules of the server, each with its text.
type FoundRules<'t> = Vec<(Rule, &'t str)>;

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct RuleXml {
    #[serde(rename = "ID")]
    id: String,
    status: String,
    prefix: Option<String>,
    filter: Option<FilterXml>,
    transition: Vec<TransitionXml>,
    expiration: Option<ExpirationXml>,
    noncurrent_version_expiration: Option<NoncurrentXml>,
    abort_incomplete_multipart_upload: Option<AbortXml>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct FilterXml {
    prefix: Option<String>,
    tag: Option<IgnoredAny>,
    and: Option<IgnoredAny>,
    object_size_greater_than: Option<u64>,
    object_size_less_than: Option<u64>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct TransitionXml {
    days: u32,
    storage_class: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ExpirationXml {
    days: Option<u32>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct NoncurrentXml {
    noncurrent_days: Option<u32>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct AbortXml {
    days_after_initiation: Option<u32>,
}

impl Rule {
    /// A rule without any action.
    fn named(name: &str) -> Self {
        Self {
            id: format!("{OURS}{name}"),
            is_enabled: true,
            covers_all: true,
            archive: None,
            expire_days: None,
            old_versions_days: None,
            abort_uploads_days: None,
        }
    }

    fn text(&self) -> String {
        let days = |outer: &str, inner: &str, days: Option<u32>| {
            days.map(|days| format!("<{outer}>{}</{outer}>", element(inner, &days.to_string()))).unwrap_or_default()
        };
        let archive = self.archive.as_ref().map(|archive| {
            let content = element("Days", &archive.days.to_string()) + &element("StorageClass", &archive.class);
            format!("<Transition>{content}</Transition>")
        });
        [
            "<Rule>".to_owned(),
            element("ID", &self.id),
            "<Filter><Prefix></Prefix></Filter><Status>Enabled</Status>".to_owned(),
            archive.unwrap_or_default(),
            days("Expiration", "Days", self.expire_days),
            days("NoncurrentVersionExpiration", "NoncurrentDays", self.old_versions_days),
            days("AbortIncompleteMultipartUpload", "DaysAfterInitiation", self.abort_uploads_days),
            "</Rule>".to_owned(),
        ]
        .concat()
    }
}

impl From<RuleXml> for Rule {
    fn from(xml: RuleXml) -> Self {
        let is_empty = |prefix: Option<&String>| prefix.is_none_or(String::is_empty);
        let filter = xml.filter.unwrap_or_default();
        let covers_all = is_empty(xml.prefix.as_ref())
            && is_empty(filter.prefix.as_ref())
            && filter.tag.is_none()
            && filter.and.is_none()
            && filter.object_size_greater_than.is_none()
            && filter.object_size_less_than.is_none();
        let archive = xml.transition.into_iter().next();
        Self {
            id: xml.id,
            is_enabled: xml.status == "Enabled",
            covers_all,
            archive: archive.map(|archive| Archive { days: archive.days, class: archive.storage_class }),
            expire_days: xml.expiration.and_then(|it| it.days),
            old_versions_days: xml.noncurrent_version_expiration.and_then(|it| it.noncurrent_days),
            abort_uploads_days: xml.abort_incomplete_multipart_upload.and_then(|it| it.days_after_initiation),
        }
    }
}

/// Compares the rules that delete with those of the plan.
pub(super) fn decide(plan: &BucketPlan, found: Option<&str>) -> Result<Decision, String> {
    let of = |days: Option<u32>, rule: Rule| days.map(|_| rule);
    let rules = [
        of(plan.expire_days, Rule { expire_days: plan.expire_days, ..Rule::named("expire") }),
        of(plan.old_versions_days, Rule { old_versions_days: plan.old_versions_days, ..Rule::named("old-versions") }),
        of(
            plan.abort_uploads_days,
            Rule { abort_uploads_days: plan.abort_uploads_days, ..Rule::named("abort-uploads") },
        ),
    ];
    let archive = archive_rule().id;
    merge(rules.into_iter().flatten().collect(), found, |id| id.starts_with(OURS) && id != archive)
}

/// Compares the rule that archives with that of the plan. It is written by itself: many servers have no archive class, and refuse
/// all rules for the sake of one.
pub(super) fn decide_archive(plan: &BucketPlan, found: Option<&str>) -> Result<Decision, String> {
    let wanted = plan.archive.as_ref().map(|archive| Rule { archive: Some(archive.clone()), ..archive_rule() });
    // Garage accepts the rule, and keeps it without its transition. There it stays, so that no later run writes it again.
    if wanted.is_some() && found.map_or(Ok(Vec::new()), rules)?.iter().any(|(rule, _)| *rule == archive_rule()) {
        return Ok(Decision::NotKept);
    }
    let archive = archive_rule().id;
    merge(wanted.into_iter().collect(), found, |id| id == archive)
}

fn archive_rule() -> Rule {
    Rule::named("archive")
}

/// Replaces the rules that are managed.
fn merge(mut wanted: Vec<Rule>, found: Option<&str>, is_managed: impl Fn(&str) -> bool) -> Result<Decision, String> {
    let found = found.map_or(Ok(Vec::new()), rules)?;
    let (managed, others): (FoundRules<'_>, FoundRules<'_>) =
        found.into_iter().partition(|(rule, _)| is_managed(&rule.id));
    let mut managed: Vec<Rule> = managed.into_iter().map(|(rule, _)| rule).collect();
    managed.sort_by(|a, b| a.id.cmp(&b.id));
    wanted.sort_by(|a, b| a.id.cmp(&b.id));
    if managed == wanted {
        return Ok(Decision::Same);
    }
    let rules: String =
        others.iter().map(|(_, text)| (*text).to_owned()).chain(wanted.iter().map(Rule::text)).collect();
    Ok(match rules.as_str() {
        "" => Decision::Delete,
        rules => Decision::Write(document("LifecycleConfiguration", rules)),
    })
}

/// The rules of a document.
fn rules(text: &str) -> Result<FoundRules<'_>, String> {
    let unreadable = |error: String| format!("the server's XML cannot be read: {error}");
    let mut reader = Reader::from_str(text);
    let position = |reader: &Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
    let (mut found, mut depth, mut start) = (Vec::new(), 0_u32, None);
    loop {
        let before = position(&reader);
        match reader.read_event().map_err(|error| unreadable(error.to_string()))? {
            Event::Start(tag) => {
                depth += 1;
                if depth == 2 && tag.local_name().as_ref() == "Rule" {
                    start = Some(before);
                }
            }
            Event::End(_) => {
                if depth == 2
                    && let Some(rule) = start.take().and_then(|start| text.get(start..position(&reader)))
                {
                    if !rule.starts_with("<Rule") {
                        return Err("the server's rules have an XML prefix, which cannot be kept".to_owned());
                    }
                    found.push((parse::<RuleXml>(rule)?.into(), rule));
                }
                depth = depth.saturating_sub(1);
            }
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::BucketPurpose;
    use super::*;

    const FOREIGN: &str = "<Rule><ID>logs &amp; more</ID><Filter><And><Prefix>logs/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And>\
        </Filter><Status>Enabled</Status><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration></Rule>";

    fn written(decision: Result<Decision, String>) -> String {
        match decision {
            Ok(Decision::Write(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn foreign_rules_are_kept_verbatim() {
        let found = format!(
            "<?xml version=\"1.0\"?>\n<LifecycleConfiguration xmlns=\"x\">\n {FOREIGN}\n</LifecycleConfiguration>"
        );
        let plan = BucketPlan::of(BucketPurpose::Isos, "isos");
        let first = written(decide(&plan, Some(&found)));
        assert!(first.contains(FOREIGN) && first.contains("<ID>bootdepot-abort-uploads</ID>"), "{first}");
        let both = written(decide_archive(&plan, Some(&first)));
        assert!(both.contains(FOREIGN) && both.contains("<Days>60</Days><StorageClass>GLACIER_IR<"), "{both}");
        assert_eq!(decide(&plan, Some(&both)), Ok(Decision::Same));
        assert_eq!(decide_archive(&plan, Some(&both)), Ok(Decision::Same));
        let plain = BucketPlan { abort_uploads_days: None, archive: None, ..plan };
        let fewer = written(decide(&plain, Some(&both)));
        assert!(fewer.contains("bootdepot-archive") && !fewer.contains("bootdepot-abort"), "{fewer}");
        assert!(written(decide_archive(&plain, Some(&fewer))).contains(FOREIGN));
        assert_eq!(decide(&plain, Some(&found)), Ok(Decision::Same));
    }

    /// As Garage 2.5 answers.
    #[test]
    fn archive_rule_without_transition_is_not_kept() {
        let found = "<LifecycleConfiguration><Rule><ID>bootdepot-archive</ID><Status>Enabled</Status>\
            <Filter><Prefix></Prefix></Filter></Rule></LifecycleConfiguration>";
        let plan = BucketPlan::of(BucketPurpose::Isos, "isos");
        assert_eq!(decide_archive(&plan, Some(found)), Ok(Decision::NotKept));
        let without = BucketPlan { archive: None, ..plan };
        assert_eq!(decide_archive(&without, Some(found)), Ok(Decision::Delete));
    }

    #[test]
    fn last_rule_of_ours_deletes_document() {
        let plan = BucketPlan::of(BucketPurpose::Temp, "temp");
        let text = written(decide(&plan, None));
        assert!(text.contains("<Expiration><Days>1</Days></Expiration>"), "{text}");
        let none = BucketPlan { abort_uploads_days: None, expire_days: None, ..plan };
        assert_eq!(decide(&none, Some(&text)), Ok(Decision::Delete));
        assert_eq!(decide(&none, None), Ok(Decision::Same));
    }

    #[test]
    fn other_spellings_are_the_same() {
        let rule = "<Rule><Status>Enabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>\
            </AbortIncompleteMultipartUpload><Prefix/><ID>bootdepot-abort-uploads</ID></Rule>";
        let document = |rule: &str| format!("<LifecycleConfiguration>{rule}</LifecycleConfiguration>");
        let plan = BucketPlan::of(BucketPurpose::Other, "b");
        assert_eq!(decide(&plan, Some(&document(rule))), Ok(Decision::Same));
        for changed in [
            rule.replace("Enabled", "Disabled"),
            rule.replace("<Prefix/>", "<Prefix>a/</Prefix>"),
            rule.replace(">1<", ">7<"),
        ] {
            assert!(matches!(decide(&plan, Some(&document(&changed))), Ok(Decision::Write(_))), "{changed}");
        }
        assert!(decide(&plan, Some("<LifecycleConfiguration><Rule></LifecycleConfiguration>")).is_err());
    }
}
