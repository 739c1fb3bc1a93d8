use std::sync::atomic::{AtomicUsize, Ordering};

use reqsign_core::StaticEnv;
use reqsign_file_read_tokio::TokioFileRead;

use super::*;

fn context(variables: &[(&str, &str)]) -> Context {
    let envs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Context::new().with_file_read(TokioFileRead).with_env(StaticEnv { home_dir: None, envs })
}

async fn load(credentials: Credentials, variables: &[(&str, &str)]) -> Result<Credential, String> {
    let keyring = Keyring::new(credentials, context(variables)).unwrap();
    keyring.current("s3://bucket/").await.map_err(|error| error.to_string())
}

#[test]
fn an_anonymous_origin_has_none() {
    assert!(Keyring::new(Credentials::Anonymous, context(&[])).is_none());
}

#[tokio::test]
async fn reads_the_environment() {
    let variables =
        [("AWS_ACCESS_KEY_ID", "AKIA1"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_SESSION_TOKEN", "token")];
    for credentials in [Credentials::Env, Credentials::Default] {
        let found = load(credentials, &variables).await.unwrap();
        assert_eq!((found.access_key_id.as_str(), found.session_token.as_deref()), ("AKIA1", Some("token")));
    }
}

#[tokio::test]
async fn reads_a_profile() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("credentials");
    std::fs::write(
        &file,
        "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s1\n\
         [lab]\naws_access_key_id = AKIA2\naws_secret_access_key = s/2+=\n",
    )
    .unwrap();
    let profile = |name: Option<&str>| Credentials::Profile { name: name.map(str::to_owned), file: Some(file.clone()) };
    assert_eq!(load(profile(None), &[]).await.unwrap().access_key_id, "AKIA1");
    assert_eq!(load(profile(None), &[("AWS_PROFILE", "lab")]).await.unwrap().access_key_id, "AKIA2");
    assert_eq!(load(profile(Some("lab")), &[]).await.unwrap().secret_access_key, "s/2+=");
    assert_eq!(
        load(profile(Some("none")), &[]).await.unwrap_err(),
        "no credentials for s3://bucket/: the profile is in neither the credentials nor the config file, or names no keys"
    );
}

#[tokio::test]
async fn says_what_is_missing() {
    for (credentials, reason) in [
        (Credentials::Env, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set"),
        (Credentials::WebIdentity, "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not both set"),
        (
            Credentials::Container,
            "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set",
        ),
        (Credentials::Instance, "AWS_EC2_METADATA_DISABLED says not to ask"),
        (
            Credentials::Default,
            "there are none in the environment, the profile files, a web identity, container or instance metadata",
        ),
        (
            Credentials::Static {
                access_key_id: "AKIA1".into(),
                secret_access_key: Secret::new("file:/nonexistent/secret"),
                session_token: None,
            },
            "the secret cannot be read: the file /nonexistent/secret cannot be read: No such file or directory (os error 2)",
        ),
        (
            Credentials::Static {
                access_key_id: "AKIA1".into(),
                secret_access_key: Secret::new(""),
                session_token: None,
            },
            "the access key's id or its secret is empty",
        ),
    ] {
        assert_eq!(
            load(credentials, &[("AWS_EC2_METADATA_DISABLED", "true")]).await.unwrap_err(),
            format!("no credentials for s3://bucket/: {reason}")
        );
    }
}

/// A provider that gives what it is told, and counts.
#[derive(Debug)]
struct Told {
    loads: AtomicUsize,
    expires_in: Option<Duration>,
}

impl ProvideCredential for Told {
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

fn told(expires_in: Option<Duration>) -> Keyring {
    let provider = Box::new(Told { loads: AtomicUsize::new(0), expires_in });
    Keyring { provider, context: Context::new(), tried: "", kept: Mutex::new(None) }
}

#[tokio::test]
async fn keeps_credentials_while_they_are_good() {
    for (expires_in, second) in [
        (None, "AKIA0"),
        (Some(Duration::from_mins(10)), "AKIA0"),
        // Less than two minutes are left.
        (Some(Duration::from_secs(100)), "AKIA1"),
    ] {
        let keyring = told(expires_in);
        assert_eq!(keyring.current("").await.unwrap().access_key_id, "AKIA0");
        assert_eq!(keyring.current("").await.unwrap().access_key_id, second, "{expires_in:?}");
    }
}

#[tokio::test]
async fn reads_undated_credentials_again_in_time() {
    let keyring = told(None);
    keyring.current("").await.unwrap();
    keyring.kept.lock().await.as_mut().unwrap().since -= KEEP_UNDATED;
    assert_eq!(keyring.current("").await.unwrap().access_key_id, "AKIA1");
}

#[tokio::test]
async fn renews_what_was_refused_unless_it_was_just_read() {
    let keyring = told(None);
    let refused = keyring.current("").await.unwrap();
    assert!(keyring.renewed(&refused).await.is_none());
    keyring.age().await;
    assert_eq!(keyring.renewed(&refused).await.unwrap().access_key_id, "AKIA1");
    // A second reader that was refused takes what the first has loaded.
    assert_eq!(keyring.renewed(&refused).await.unwrap().access_key_id, "AKIA1");
}
