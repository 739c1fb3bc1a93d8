//! Brings a bucket to its wanted state: reads each setting, compares, writes what differs, and reads it back.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::access::partition;
use super::decision::{Decision, document, element};
use super::plan::BucketPlan;
use super::setting::Setting;
use crate::origin::Answer;
use crate::supply::condition::Condition;
use crate::supply::error::StoreError;
use crate::supply::object::ObjectHeaders;
use crate::supply::store::Store;

/// How often a setting is read back until it is there, and the delay between: AWS applies some settings with a delay.
const READS_BACK: u32 = 4;
const READ_BACK_DELAY: Duration = Duration::from_millis(700);

/// The serial number of a device and its current code, separated by a space: the second factor of a request.
const MFA: HeaderName = HeaderName::from_static("x-amz-mfa");

/// A field of lifecycle replies that is reset to its default if a write leaves it out.
const MINIMUM_SIZE: HeaderName = HeaderName::from_static("x-amz-transition-default-minimum-object-size");

/// Codes of servers that do not have a setting or a storage class, besides those of
/// [`StoreError::is_not_supported`]: AWS, `MinIO` without a key management service, Backblaze.
const UNSUPPORTED: [&str; 5] =
    ["InvalidStorageClass", "KMSNotConfigured", "KMS.NotConfiguredException", "UnsupportedOperation", "Unsupported"];

/// Codes with which a server without an archive class refuses a valid rule.
const REFUSED_RULE: [&str; 4] = ["InvalidArgument", "InvalidRequest", "MalformedXML", "400"];

/// The words for [`Decision::NotKept`].
const NOT_KEPT: &str = "not supported by this server (it accepts the setting, and does not keep it)";

/// How [`init_bucket`] works.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// Read and compare only.
    pub dry_run: bool,
    /// The serial number of an MFA device and its current code, separated by a space.
    pub mfa: Option<String>,
}

/// The result for one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The setting.
    pub setting: Setting,
    /// The action that was taken.
    pub outcome: StepOutcome,
    /// The wanted state, or the server's own words.
    pub detail: String,
}

/// The action that was taken on a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum StepOutcome {
    /// Nothing: the server has what is wanted.
    Same,
    /// It was written, and read back.
    Changed,
    /// It would be written.
    Planned,
    /// The server does not have it.
    NotSupported,
    /// It failed.
    Failed,
}

impl StepOutcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A document on the server.
struct Found {
    text: Option<String>,
    minimum_size: Option<HeaderValue>,
}

/// Brings the bucket of `store` to the state of `plan`. A failed setting does not keep the others from being written. If the
/// bucket itself fails, the rest is left out.
pub async fn init_bucket(store: &Store, plan: &BucketPlan, options: &InitOptions) -> Vec<Step> {
    let task = Task { store, plan, options, partition: partition(store.region()) };
    let (exists, first) = task.bucket().await;
    let mut steps = vec![first];
    if steps[0].outcome == StepOutcome::Failed {
        return steps;
    }
    for setting in Setting::DOCUMENTS {
        steps.extend(task.document(setting, exists).await);
    }
    if !plan.folders.is_empty() {
        steps.push(task.folders(exists).await);
    }
    steps
}

struct Task<'a> {
    store: &'a Store,
    plan: &'a BucketPlan,
    options: &'a InitOptions,
    partition: &'static str,
}

impl Task<'_> {
    /// Creates the bucket if it does not exist. Returns whether it exists now.
    async fn bucket(&self) -> (bool, Step) {
        let step = |outcome, detail: String| Step { setting: Setting::Bucket, outcome, detail };
        let url = self.store.url("");
        match self.store.bucket_exists().await {
            Err(error) => return (false, step(StepOutcome::Failed, error.to_string())),
            Ok(true) => return (true, step(StepOutcome::Same, url)),
            Ok(false) if self.options.dry_run => return (false, step(StepOutcome::Planned, url)),
            Ok(false) => {}
        }
        let mut created = self.create("").await;
        if created.as_ref().is_err_and(|error| error.code() == "IllegalLocationConstraintException") {
            let region = element("LocationConstraint", self.store.region());
            created = self.create(&document("CreateBucketConfiguration", &region)).await;
        }
        match created {
            Ok(()) => match self.store.bucket_exists().await {
                Ok(true) => (true, step(StepOutcome::Changed, url)),
                Ok(false) => (false, step(StepOutcome::Failed, format!("{url} was created, and does not exist"))),
                Err(error) => (false, step(StepOutcome::Failed, error.to_string())),
            },
            Err(error) if error.code() == "BucketAlreadyOwnedByYou" => (true, step(StepOutcome::Same, url)),
            Err(error) if error.code() == "BucketAlreadyExists" => {
                let reason = format!("{url} belongs to another account ({}); choose another name", error.code());
                (false, step(StepOutcome::Failed, reason))
            }
            Err(error) => (false, step(StepOutcome::Failed, error.to_string())),
        }
    }

    async fn create(&self, body: &str) -> Result<(), StoreError> {
        self.store.call(Method::PUT, "", &[], HeaderMap::new(), body.to_owned()).await.map(drop)
    }

    /// Brings one document to the wanted state. `None` if nothing is wanted and nothing was changed.
    async fn document(&self, setting: Setting, exists: bool) -> Option<Step> {
        let wanted = setting.wanted(self.plan);
        let step = |outcome, detail: String| Some(Step { setting, outcome, detail });
        let shown = || wanted.clone().unwrap_or_else(|| setting.unwanted().to_owned());
        let found = if exists { self.read(setting).await } else { Ok(Found { text: None, minimum_size: None }) };
        let found = match found {
            Ok(found) => found,
            Err(error) if is_unsupported(setting, &error) => {
                wanted.as_ref()?;
                return step(StepOutcome::NotSupported, words(&error));
            }
            // An unwanted setting need not be readable.
            Err(error) => {
                wanted.as_ref()?;
                return step(StepOutcome::Failed, error.to_string());
            }
        };
        let decision = match setting.decide(self.plan, self.partition, found.text.as_deref()) {
            Ok(decision) => decision,
            Err(reason) => return step(StepOutcome::Failed, reason),
        };
        match decision {
            Decision::Same => return step(StepOutcome::Same, wanted?),
            Decision::NotKept => return step(StepOutcome::NotSupported, NOT_KEPT.to_owned()),
            Decision::Write(_) | Decision::Delete => {}
        }
        if self.options.dry_run {
            return step(StepOutcome::Planned, shown());
        }
        if setting == Setting::MfaDelete && self.options.mfa.is_none() {
            let reason = "MFA delete needs the second factor of the root account: add --mfa \"SERIAL CODE\"";
            return step(StepOutcome::Failed, reason.to_owned());
        }
        match self.write(setting, &decision, found.minimum_size).await {
            Err(error) if is_unsupported(setting, &error) => return step(StepOutcome::NotSupported, words(&error)),
            Err(error) => return step(StepOutcome::Failed, error.to_string()),
            Ok(()) => {}
        }
        match self.read_back(setting).await {
            Ok(Decision::NotKept) => step(StepOutcome::NotSupported, NOT_KEPT.to_owned()),
            Ok(_) => step(StepOutcome::Changed, shown()),
            Err(reason) => step(StepOutcome::Failed, reason),
        }
    }

    async fn read(&self, setting: Setting) -> Result<Found, StoreError> {
        let query = [(setting.subresource(), "")];
        match self.store.call(Method::GET, "", &query, HeaderMap::new(), Bytes::new()).await {
            Ok(reply) => {
                let text = String::from_utf8(reply.body.to_vec()).map_err(|error| StoreError::BadReply {
                    url: self.store.url(""),
                    reason: format!("its {} is no text: {error}", setting.subresource()),
                })?;
                if is_listing(&text) {
                    let answer = Answer::from_code("it answers with a listing of the bucket");
                    return Err(StoreError::NotSupported { url: self.store.url(""), answer });
                }
                let minimum_size = reply.headers.get(MINIMUM_SIZE).cloned();
                Ok(Found { text: Some(text), minimum_size })
            }
            Err(error) if error.is_not_found() => Ok(Found { text: None, minimum_size: None }),
            Err(error) => Err(error),
        }
    }

    async fn write(
        &self,
        setting: Setting,
        decision: &Decision,
        minimum_size: Option<HeaderValue>,
    ) -> Result<(), StoreError> {
        let mut headers = HeaderMap::new();
        if let Some(value) = minimum_size {
            headers.insert(MINIMUM_SIZE, value);
        }
        let mfa = self.options.mfa.as_deref().filter(|_| setting.subresource() == "versioning");
        if let Some(mfa) = mfa.and_then(|mfa| HeaderValue::try_from(mfa).ok()) {
            headers.insert(MFA, mfa);
        }
        let (method, body) = match decision {
            Decision::Same | Decision::NotKept => return Ok(()),
            Decision::Write(text) => (Method::PUT, text.clone()),
            Decision::Delete => (Method::DELETE, String::new()),
        };
        self.store.call(method, "", &[(setting.subresource(), "")], headers, body).await.map(drop)
    }

    /// Reads a setting until it is as wanted, or is known not to be kept. Fails with a sentence.
    async fn read_back(&self, setting: Setting) -> Result<Decision, String> {
        for round in 0..READS_BACK {
            if round > 0 {
                tokio::time::sleep(READ_BACK_DELAY).await;
            }
            let found = self.read(setting).await.map_err(|error| error.to_string())?;
            let decision = setting.decide(self.plan, self.partition, found.text.as_deref())?;
            if matches!(decision, Decision::Same | Decision::NotKept) {
                return Ok(decision);
            }
        }
        Err("the server accepted it, and answers with something else; it may not support all of it".to_owned())
    }

    /// Makes the folders that do not exist.
    async fn folders(&self, exists: bool) -> Step {
        let mut missing = Vec::new();
        let step = |outcome, detail: String| Step { setting: Setting::Folders, outcome, detail };
        for folder in &self.plan.folders {
            match if exists { self.store.head(folder).await } else { Ok(None) } {
                Ok(Some(_)) => {}
                Ok(None) => missing.push(folder),
                Err(error) => return step(StepOutcome::Failed, error.to_string()),
            }
        }
        if missing.is_empty() {
            return step(StepOutcome::Same, self.plan.folders.join(", "));
        }
        let shown = missing.iter().map(|folder| folder.as_str()).collect::<Vec<_>>().join(", ");
        if self.options.dry_run {
            return step(StepOutcome::Planned, shown);
        }
        for folder in missing {
            let put = self.store.put(folder, Bytes::new(), &ObjectHeaders::default(), &Condition::Always).await;
            match put {
                Err(error) if error.is_not_supported() => return step(StepOutcome::NotSupported, words(&error)),
                Err(error) => return step(StepOutcome::Failed, error.to_string()),
                Ok(_) => {}
            }
        }
        step(StepOutcome::Changed, shown)
    }
}

/// Whether the server does not have the setting.
fn is_unsupported(setting: Setting, error: &StoreError) -> bool {
    error.is_not_supported()
        || UNSUPPORTED.contains(&error.code())
        || (setting == Setting::Archive && REFUSED_RULE.contains(&error.code()))
}

/// Whether a reply is the listing of the bucket. Ceph before 17 ignores a subresource that it does not know, such as `encryption`,
/// and then a GET lists the bucket.
fn is_listing(text: &str) -> bool {
    let root =
        text.trim_start().strip_prefix("<?xml").and_then(|text| text.split_once("?>")).map_or(text, |(_, rest)| rest);
    root.trim_start().starts_with("<ListBucketResult")
}

/// The server's own words, in a sentence.
fn words(error: &StoreError) -> String {
    format!("not supported by this server ({})", error.code())
}

impl Store {
    /// Whether the bucket exists.
    pub(super) async fn bucket_exists(&self) -> Result<bool, StoreError> {
        match self.call(Method::HEAD, "", &[], HeaderMap::new(), Bytes::new()).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() || matches!(error.code(), "NoSuchBucket" | "404") => Ok(false),
            Err(error) => Err(error),
        }
    }
}
