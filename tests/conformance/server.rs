//! The S3 server of a column, and what rows do with it beside the program: the library's own client stores and reads objects.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bootdepot::asset::SourceUrl;
use bootdepot::origin::{Addressing, CredentialSource, OriginSettings, Origins, Timeouts};
use bootdepot::secret::Secret;
use bootdepot::supply::{Capabilities, Condition, ObjectHead, ObjectHeaders, Store, Stored};
use http::{HeaderMap, Method, Request};
use hyper::body::Incoming;
use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpResponse};
use serde_json::Value;

use crate::outcome::Outcome;
use crate::support::moto::Moto;
use crate::support::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use crate::support::{CommandExt, TestSite, runtime};

/// The S3 server of a column.
pub(crate) struct Server {
    /// Its address.
    pub(crate) address: SocketAddr,
    region: String,
    access_key: String,
    secret_key: String,
    /// Whether it refuses signed URLs and requests without a signature.
    pub(crate) checks_header_fields_only: bool,
    /// The report of the first `bucket init`, which several rows show.
    pub(crate) init: OnceLock<Value>,
    _fixture: Option<Fixture>,
}

/// A server that was started from here. Dropping it ends it.
#[expect(dead_code, reason = "they are only kept")]
enum Fixture {
    Moto(Moto),
    S3s(S3Server),
}

impl Server {
    /// Starts the server of this name, or finds it in the environment, and creates the bucket [`BUCKET`]. Fails with a sentence.
    pub(crate) fn start(name: &str) -> Result<Self, String> {
        let server = match name {
            "moto" => {
                let moto = Moto::start().ok_or("it is not installed")?;
                let (id, secret) = moto.require_signatures();
                let endpoint = moto.endpoint();
                Self::new(&endpoint, "us-east-1", &id, &secret, Some(Fixture::Moto(moto)))?
            }
            "s3s-fs" => {
                let changing = Arc::default();
                let front = move |s3, request| one_by_one(Arc::clone(&changing), s3, request);
                let s3s = runtime().block_on(S3Server::start(front)).map_err(|error| error.to_string())?;
                let endpoint = s3s.endpoint();
                Self::new(&endpoint, "us-east-1", ACCESS_KEY, SECRET_KEY, Some(Fixture::S3s(s3s)))?
            }
            _ => {
                let of = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
                let (endpoint, region) = (of("COMPAT_ENDPOINT")?, of("COMPAT_REGION")?);
                Self::new(&endpoint, &region, &of("COMPAT_ACCESS_KEY")?, &of("COMPAT_SECRET_KEY")?, None)?
            }
        };
        server.create_bucket()?;
        Ok(server)
    }

    fn new(
        endpoint: &str,
        region: &str,
        access_key: &str,
        secret_key: &str,
        fixture: Option<Fixture>,
    ) -> Result<Self, String> {
        let address = endpoint.strip_prefix("http://").and_then(|address| address.parse().ok());
        Ok(Self {
            address: address.ok_or_else(|| format!("the endpoint is http://ADDRESS:PORT, not {endpoint:?}"))?,
            region: region.to_owned(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            checks_header_fields_only: matches!(fixture, Some(Fixture::Moto(_))),
            init: OnceLock::new(),
            _fixture: fixture,
        })
    }

    fn create_bucket(&self) -> Result<(), String> {
        let store = self.store(BUCKET);
        runtime().block_on(async {
            if store.call(Method::HEAD, "", &[], HeaderMap::new(), "").await.is_ok() {
                return Ok(());
            }
            let created = store.call(Method::PUT, "", &[], HeaderMap::new(), "").await;
            created.map(drop).map_err(|error| format!("the bucket cannot be created: {error}"))
        })
    }

    /// Its region.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// A site with this server as its only origin, without assets.
    pub(crate) fn site(&self) -> TestSite {
        self.site_at(self.address)
    }

    /// The same through another address.
    pub(crate) fn site_at(&self, address: SocketAddr) -> TestSite {
        self.site_with_secret(address, &self.secret_key)
    }

    /// The same with a secret key that the server does not know.
    pub(crate) fn site_with_wrong_secret(&self) -> TestSite {
        self.site_with_secret(self.address, "mistyped")
    }

    fn site_with_secret(&self, address: SocketAddr, secret_key: &str) -> TestSite {
        let endpoint = format!("http://{address}");
        let mut keys = toml::toml! { from = "static" };
        keys.insert("access_key_id".to_owned(), self.access_key.as_str().into());
        keys.insert("secret_access_key".to_owned(), secret_key.into());
        let site = TestSite::at(&endpoint).origin_with(&endpoint, keys);
        site.set_origin("match", "s3://").set_origin("region", &self.region)
    }

    /// A command line of the program with the server's keys in its environment, and no settings.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(crate::support::program::bootdepot());
        command.env_clear().args(args).stdin(Stdio::null());
        command.env("AWS_ACCESS_KEY_ID", &self.access_key).env("AWS_SECRET_ACCESS_KEY", &self.secret_key);
        command
    }

    /// A client of a bucket, which sends no optional header field.
    pub(crate) fn store(&self, bucket: &str) -> Store {
        let settings = OriginSettings {
            prefix: "s3://".parse().expect("a prefix"),
            endpoint: Some(format!("http://{}", self.address).parse().expect("an endpoint")),
            region: self.region.clone(),
            addressing: Addressing::Path,
            credentials: CredentialSource::Static {
                access_key_id: self.access_key.clone(),
                secret_access_key: Secret::new(&*self.secret_key),
                session_token: None,
            },
            ca_file: None,
            insecure_skip_verify: false,
            proxy: None,
            headers: Vec::new(),
        };
        let timeouts = Timeouts { connect: Duration::from_secs(30), stall: Duration::from_mins(2) };
        let origins = Origins::new(vec![settings], timeouts).expect("the settings are right");
        let source = SourceUrl::s3(bucket, "x").expect("a URL");
        Store::of(&origins, &source).expect("it is in S3")
    }

    /// Stores an object with this user metadata, and with its checksum if `with_checksum`.
    pub(crate) fn put(&self, key: &str, bytes: &[u8], metadata: &[(&str, &str)], with_checksum: bool) {
        let checksums = Capabilities { checksums: with_checksum, ..Capabilities::UNKNOWN };
        let store = self.store(BUCKET).with_capabilities(checksums);
        let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let headers = ObjectHeaders { content_type: None, metadata };
        let stored = store.put(key, bytes.to_vec().into(), &headers, &Condition::Always);
        runtime().block_on(stored).unwrap_or_else(|error| panic!("the server does not store {key}: {error}"));
    }

    /// Stores an object in any bucket.
    pub(crate) fn put_in(&self, bucket: &str, key: &str, bytes: &[u8]) -> Stored {
        let (store, headers) = (self.store(bucket), ObjectHeaders::default());
        let stored = runtime().block_on(store.put(key, bytes.to_vec().into(), &headers, &Condition::Always));
        stored.unwrap_or_else(|error| panic!("the server does not store {key}: {error}"))
    }

    /// Reads an object of a bucket. `None` if it does not exist.
    pub(crate) fn get(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let read = runtime().block_on(self.store(bucket).get(key)).unwrap_or_else(|error| panic!("{error}"));
        read.map(|(bytes, _)| bytes.to_vec())
    }

    /// Returns the description of an object.
    pub(crate) fn head(&self, key: &str) -> ObjectHead {
        let head = runtime().block_on(self.store(BUCKET).head(key)).unwrap_or_else(|error| panic!("{error}"));
        head.unwrap_or_else(|| panic!("{key} does not exist"))
    }
}

/// A bucket with versions.
const VERSIONED: &str = "versioned";

/// Rows about versions.
impl Server {
    /// A bucket with versions, which is made if it is missing. Fails with the outcome for a server without versions.
    pub(crate) fn versioned_bucket(&self) -> Result<&'static str, Outcome> {
        let store = self.store(VERSIONED);
        let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        let call = |query: &[(&str, &str)], body: &'static str| {
            runtime().block_on(store.call(Method::PUT, "", query, HeaderMap::new(), body))
        };
        match call(&[], "") {
            // An earlier row has made it.
            Err(error) if !error.code().starts_with("BucketAlready") => panic!("the bucket cannot be created: {error}"),
            _ => {}
        }
        match call(&[("versioning", "")], on) {
            Ok(_) => Ok(VERSIONED),
            Err(error) if error.is_not_supported() => {
                Err(Outcome::NotSupported(format!("no versions (`{}`)", error.code())))
            }
            Err(error) => panic!("versions cannot be switched on: {error}"),
        }
    }

    /// Stores an object, and returns its version.
    pub(crate) fn put_version(&self, bucket: &str, key: &str, bytes: &[u8]) -> String {
        self.put_in(bucket, key, bytes).version.expect("the server names the version")
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, bucket: &str, key: &str) {
        runtime().block_on(self.store(bucket).delete(key)).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Commands in a site, with a state directory of their own.
pub(crate) trait SiteExt {
    /// A command line.
    fn line(&self, args: &[&str]) -> Command;

    /// Runs a command to its end.
    fn run(&self, args: &[&str]) -> Output;

    /// Runs a command, expects success, and returns standard output.
    fn succeed(&self, args: &[&str]) -> String;

    /// Runs a command, expects status 1, and returns standard error.
    fn fail(&self, args: &[&str]) -> String;

    /// Writes a file in the site's directory.
    fn put_file(&self, name: &str, bytes: &[u8]) -> String;

    /// The directory in which commands keep uploads and probes.
    fn state(&self) -> PathBuf;
}

impl SiteExt for TestSite {
    fn line(&self, args: &[&str]) -> Command {
        let mut command = self.command_line(args);
        command.env("XDG_STATE_HOME", self.file("state")).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.line(args).run_to_end()
    }

    fn succeed(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "bootdepot {}: {text}{errors}", args.join(" "));
        text.into_owned()
    }

    fn fail(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "bootdepot {}: {errors}", args.join(" "));
        errors
    }

    fn put_file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.file(name);
        std::fs::write(&path, bytes).expect("a file can be written");
        path.display().to_string()
    }

    fn state(&self) -> PathBuf {
        self.file("state/bootdepot")
    }
}

/// Answers writes of catalogs and descriptions one after the other: s3s-fs compares the `ETag` and writes in two steps, where
/// servers do both in one.
async fn one_by_one(
    changing: Arc<tokio::sync::Mutex<()>>,
    s3: S3Service,
    request: Request<Incoming>,
) -> Result<HttpResponse, HttpError> {
    let is_shared = [".toml", ".json"].iter().any(|ending| request.uri().path().ends_with(ending));
    let _changing = if is_shared { Some(changing.lock().await) } else { None };
    s3.call(request.map(Body::from)).await
}
