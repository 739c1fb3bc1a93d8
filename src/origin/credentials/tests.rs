use std::sync::atomic::{AtomicUsize, Ordering};

use reqsign_core::StaticEnv;
use reqsign_file_read_tokio::TokioFileRead;

use reqsign_core::ProvideCredential;

use super::*;
use crate::secret::Secret;

fn context(variables: &[(&str, &str)]) -> Context {
    let envs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Context::new().with_file_read(TokioFileRead).with_env(StaticEnv { home_dir: None, envs })
}

async fn load(credentials: CredentialSource, variables: &[(&str, &str)]) -> Result<Credential, String> {
    let cache = CredentialCache::new(credentials, context(variables)).unwrap();
    cache.current("s3://bucket/").await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn white_space_around_keys_is_removed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), " s/2+= \r\n").unwrap();
    let from_file = CredentialSource::Static {
        access_key_id: " AKIA1\n".into(),
        secret_access_key: Secret::new(format!("file:{}", file.path().display())),
        session_token: Some(Secret::new(" ")),
    };
    let variables =
        [("AWS_ACCESS_KEY_ID", " AKIA1"), ("AWS_SECRET_ACCESS_KEY", "s/2+=\n"), ("AWS_SESSION_TOKEN", "\n")];
    for credentials in [from_file, CredentialSource::Env] {
        let found = load(credentials, &variables).await.unwrap();
        assert_eq!((found.access_key_id.as_str(), found.secret_access_key.as_str()), ("AKIA1", "s/2+="));
        assert_eq!(found.session_token, None);
    }
}

#[test]
fn anonymous_origin_has_no_credentials() {
    assert!(CredentialCache::new(CredentialSource::Anonymous, context(&[])).is_none());
}

#[tokio::test]
async fn environment_variables_are_read() {
    let variables =
        [("AWS_ACCESS_KEY_ID", "AKIA1"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_SESSION_TOKEN", "token")];
    for credentials in [CredentialSource::Env, CredentialSource::Default] {
        let found = load(credentials, &variables).await.unwrap();
        assert_eq!((found.access_key_id.as_str(), found.session_token.as_deref()), ("AKIA1", Some("token")));
    }
}

#[tokio::test]
async fn profile_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("credentials");
    std::fs::write(
        &file,
        "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s1\n\
         [lab]\naws_access_key_id = AKIA2\naws_secret_access_key = s/2+=\n",
    )
    .unwrap();
    let profile =
        |name: Option<&str>| CredentialSource::Profile { name: name.map(str::to_owned), file: Some(file.clone()) };
    assert_eq!(load(profile(None), &[]).await.unwrap().access_key_id, "AKIA1");
    assert_eq!(load(profile(None), &[("AWS_PROFILE", "lab")]).await.unwrap().access_key_id, "AKIA2");
    assert_eq!(load(profile(Some("lab")), &[]).await.unwrap().secret_access_key, "s/2+=");
    assert_eq!(
        load(profile(Some("none")), &[]).await.unwrap_err(),
        "no credentials for s3://bucket/: the profile is in neither the credentials file nor the config file, or it has no keys"
    );
}

#[tokio::test]
async fn missing_credentials_name_reason() {
    for (credentials, reason) in [
        (CredentialSource::Env, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set"),
        (CredentialSource::WebIdentity, "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not both set"),
        (
            CredentialSource::Container,
            "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set",
        ),
        (CredentialSource::Instance, "AWS_EC2_METADATA_DISABLED disables instance metadata"),
        (
            CredentialSource::Default,
            "the environment, profile files, web identity, container and instance metadata have none",
        ),
        (
            CredentialSource::Static {
                access_key_id: "AKIA1".into(),
                secret_access_key: Secret::new("file:/nonexistent/secret"),
                session_token: None,
            },
            "the secret cannot be read: the file /nonexistent/secret cannot be read: No such file or directory (os error 2)",
        ),
        (
            CredentialSource::Static {
                access_key_id: "AKIA1".into(),
                secret_access_key: Secret::new(" \n"),
                session_token: None,
            },
            "the access key ID or the secret access key is blank; set both, or remove both",
        ),
    ] {
        assert_eq!(
            load(credentials, &[("AWS_EC2_METADATA_DISABLED", "true")]).await.unwrap_err(),
            format!("no credentials for s3://bucket/: {reason}")
        );
    }
}

/// A provider that numbers its credentials.
#[derive(Debug)]
struct CountingProvider {
    loads: AtomicUsize,
    expires_in: Option<Duration>,
}

impl ProvideCredential for CountingProvider {
    type Credential = Credential;

    async fn provide_credential(&self, _context: &Context) -> Result<Option<Credential>, Error> {
        let load = self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(Some(Credential {
            access_key_id: format!("AKIA{load}"),
            secret_access_key: "secret".into(),
            session_token: None,
            expires_in: self.expires_in.map(|within| reqsign_core::time::Timestamp::now() + within),
        }))
    }
}

fn counting(expires_in: Option<Duration>) -> CredentialCache {
    let provider = Box::new(CountingProvider { loads: AtomicUsize::new(0), expires_in });
    CredentialCache { provider, context: Context::new(), missing: "", cached: Mutex::new(None) }
}

#[tokio::test]
async fn credentials_renew_before_expiry() {
    for (expires_in, second) in [
        (None, "AKIA0"),
        (Some(Duration::from_mins(10)), "AKIA0"),
        // Less than two minutes are left.
        (Some(Duration::from_secs(100)), "AKIA1"),
    ] {
        let cache = counting(expires_in);
        assert_eq!(cache.current("").await.unwrap().access_key_id, "AKIA0");
        assert_eq!(cache.current("").await.unwrap().access_key_id, second, "{expires_in:?}");
    }
}

#[tokio::test]
async fn credentials_without_expiry_are_reread() {
    let cache = counting(None);
    cache.current("").await.unwrap();
    cache.cached.lock().await.as_mut().unwrap().since -= KEEP_UNDATED;
    assert_eq!(cache.current("").await.unwrap().access_key_id, "AKIA1");
}

#[tokio::test]
async fn refused_credentials_renew_unless_fresh() {
    let cache = counting(None);
    let refused = cache.current("").await.unwrap();
    assert!(cache.replacement(&refused, false).await.is_none());
    cache.age().await;
    assert_eq!(cache.replacement(&refused, false).await.unwrap().access_key_id, "AKIA1");
    // A second refused request takes the credentials that the first has loaded.
    assert_eq!(cache.replacement(&refused, false).await.unwrap().access_key_id, "AKIA1");
}

#[tokio::test]
async fn ended_session_is_renewed_though_fresh() {
    let cache = counting(None);
    let refused = cache.current("").await.unwrap();
    assert_eq!(cache.replacement(&refused, true).await.unwrap().access_key_id, "AKIA1");
}
