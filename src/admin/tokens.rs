//! The tokens of the API: read from their files at start, and again when the files change. It knows no requests.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use subtle::{Choice, ConstantTimeEq as _};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::settings::AdminSettings;
use crate::asset::Digest;
use crate::error_chain::error_chain;
use crate::watched_file::{WatchedFiles, poll_until};

/// How often the files are checked. Short, so that a leaked token is rejected soon after it was removed from its file.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The prefix of a line that holds the digest of a token.
const DIGEST_PREFIX: &str = "sha256:";

/// The largest token file, in bytes. It holds one short token a line.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// Why a token file cannot be used. Never shows the content of the file.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token file {path} ({key})")]
    Unreadable {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file has no token.
    #[error(
        "the token file {path} ({key}) holds no token; write one token a line, such as the output of `openssl rand -hex 32`, \
         or sha256: and the digest of a token"
    )]
    Empty {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A line is not a token.
    #[error("{path}:{line} ({key}) is not a token: {reason}")]
    Line {
        /// The setting that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// The reason.
        reason: &'static str,
    },
}

impl TokenError {
    /// Returns whether the file was removed or emptied, which revokes all its tokens.
    fn is_revocation(&self) -> bool {
        match self {
            Self::Empty { .. } => true,
            Self::Unreadable { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Line { .. } => false,
        }
    }
}

/// The access that a token grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub(super) enum Access {
    /// To read.
    Viewer,
    /// To read and to change.
    Operator,
}

/// All tokens that are valid now.
pub(super) struct Tokens {
    operators: Option<TokenFile>,
    viewers: Option<TokenFile>,
}

/// One token file.
struct TokenFile {
    key: &'static str,
    path: PathBuf,
    /// The digests of the tokens, so that all compared values have the same length.
    current: ArcSwap<Vec<Digest>>,
    watched: Mutex<WatchedFiles>,
}

impl Tokens {
    /// Reads the files; returns `None` if the settings name none. Blocks.
    pub(super) fn read(settings: &AdminSettings) -> Result<Option<Self>, TokenError> {
        let open = |key, path: &Option<PathBuf>| path.as_ref().map(|path| TokenFile::read(key, path)).transpose();
        let tokens = Self {
            operators: open("admin.operator_token_file", &settings.operator_token_file)?,
            viewers: open("admin.viewer_token_file", &settings.viewer_token_file)?,
        };
        Ok(settings.has_tokens().then_some(tokens))
    }

    /// Returns what the token permits; `None` if it is not valid. Takes the same time for all tokens of one length.
    pub(super) fn access(&self, token: &str) -> Option<Access> {
        let digest = Digest::of(token.as_bytes());
        let lookup = |file: &Option<TokenFile>| file.as_ref().map_or(Choice::from(0), |file| file.contains(&digest));
        let (operator, viewer) = (lookup(&self.operators), lookup(&self.viewers));
        if operator.into() {
            Some(Access::Operator)
        } else if viewer.into() {
            Some(Access::Viewer)
        } else {
            None
        }
    }

    /// Returns whether there is a file of operator tokens.
    pub(super) fn has_operators(&self) -> bool {
        self.operators.is_some()
    }

    /// Checks the files every two seconds and loads those that changed, until `stop`.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        poll_until(CHECK_INTERVAL, stop, move || self.reload()).await;
    }

    /// Loads the files that changed. Blocks.
    fn reload(&self) {
        for file in [&self.operators, &self.viewers].into_iter().flatten() {
            match file.reload() {
                Some(Ok(count)) => {
                    info!(path = %file.path.display(), count, "tokens reloaded");
                }
                Some(Err(error)) if error.is_revocation() => {
                    warn!(error = %error_chain(&error), "tokens revoked: token file empty or removed");
                }
                Some(Err(error)) => {
                    warn!(error = %error_chain(&error), "token reload failed; previous tokens stay valid");
                }
                None => {}
            }
        }
    }
}

impl TokenFile {
    fn read(key: &'static str, path: &Path) -> Result<Self, TokenError> {
        let (watched, digests) = WatchedFiles::open([path.to_owned()], || digests(key, path))?;
        Ok(Self { key, path: path.to_owned(), current: ArcSwap::from_pointee(digests), watched: Mutex::new(watched) })
    }

    /// Returns whether the file has a token with this digest. Compares all bytes of all tokens, in constant time.
    fn contains(&self, digest: &Digest) -> Choice {
        let current = self.current.load();
        let each = current.iter().map(|known| known.as_bytes()[..].ct_eq(&digest.as_bytes()[..]));
        each.fold(Choice::from(0), |any, equal| any | equal)
    }

    /// Loads the file if it changed, and returns how many tokens it holds; `None` if there is nothing to report. An empty or
    /// removed file revokes its tokens; any other error keeps the previous ones. Blocks.
    fn reload(&self) -> Option<Result<usize, TokenError>> {
        let result = self.watched.lock().reload(|| {
            let read = digests(self.key, &self.path);
            // Here rather than on the result, which leaves out an error that follows another one of the same file.
            if read.as_ref().is_err_and(TokenError::is_revocation) {
                self.current.store(Arc::default());
            }
            read
        });
        result.map(|read| {
            let digests = read?;
            let count = digests.len();
            self.current.store(Arc::new(digests));
            Ok(count)
        })
    }
}

/// Returns the first plain-text token of the file, for commands that call the server of the same configuration; `None` if the
/// file has only digests or the caller may not read it. Blocks.
pub fn plain_token(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut tokens = lines(&text).map(|(_, token)| token);
    tokens.find(|token| !token.starts_with(DIGEST_PREFIX) && is_token(token)).map(str::to_owned)
}

fn digests(key: &'static str, path: &Path) -> Result<Vec<Digest>, TokenError> {
    let unreadable = |source| TokenError::Unreadable { key, path: path.to_owned(), source };
    if path.metadata().map_err(unreadable)?.len() > MAX_FILE_SIZE {
        return Err(unreadable(io::Error::other("the file is larger than 1 MiB")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let digest = |(line, token): (usize, &str)| {
        let wrong = |reason| TokenError::Line { key, path: path.to_owned(), line, reason };
        match token.strip_prefix(DIGEST_PREFIX) {
            Some(hex) => {
                hex.trim_start().parse().map_err(|_| wrong("sha256: must be followed by 64 hexadecimal digits"))
            }
            None if is_token(token) => Ok(Digest::of(token.as_bytes())),
            None => {
                Err(wrong("a token consists of letters, digits and -._~+/, with optional = at the end (RFC 6750 2.1)"))
            }
        }
    };
    let digests = lines(&text).map(digest).collect::<Result<Vec<_>, _>>()?;
    if digests.is_empty() { Err(TokenError::Empty { key, path: path.to_owned() }) } else { Ok(digests) }
}

/// Iterates over the lines that are neither empty nor a comment, with their numbers from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().zip(1..).map(|(line, number)| (number, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Returns whether `text` is a `b64token` (RFC 6750 2.1), which an `Authorization` field can carry.
fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// Reads the token files as the server would. Blocks.
pub fn check_token_files(settings: &AdminSettings) -> Result<(), TokenError> {
    Tokens::read(settings).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        dir: tempfile::TempDir,
        settings: AdminSettings,
    }

    impl Files {
        fn new(operators: &str, viewers: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let settings = AdminSettings {
                operator_token_file: Some(dir.path().join("operators")),
                viewer_token_file: Some(dir.path().join("viewers")),
                ..AdminSettings::at("127.0.0.1:0".parse().unwrap())
            };
            let files = Self { dir, settings };
            files.replace("operators", operators);
            files.replace("viewers", viewers);
            files
        }

        fn replace(&self, name: &str, text: &str) {
            let new = self.dir.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, self.dir.path().join(name)).unwrap();
        }

        fn read(&self) -> Tokens {
            Tokens::read(&self.settings).unwrap().unwrap()
        }

        /// The error of reading the files, with its sources; empty on success.
        fn error(&self) -> String {
            let error = Tokens::read(&self.settings).err().map(|error| error_chain(&error).to_string());
            let error = error.unwrap_or_default();
            error.replace(self.dir.path().to_str().unwrap(), "DIR")
        }
    }

    #[test]
    fn token_or_digest_grants_access_of_file() {
        let hashed = format!("# of the auditors\n\nsha256:{}\n", Digest::of(b"look-2"));
        let tokens = Files::new("change-1\r\n  change-2=\n", &format!("look-1\n{hashed}")).read();
        for (token, access) in [
            ("change-1", Some(Access::Operator)),
            ("change-2=", Some(Access::Operator)),
            ("look-1", Some(Access::Viewer)),
            ("look-2", Some(Access::Viewer)),
            ("look-3", None),
            ("look-", None),
            ("look-11", None),
            ("", None),
            ("# of the auditors", None),
            (hashed["# of the auditors\n\n".len()..].trim(), None),
        ] {
            assert_eq!(tokens.access(token), access, "{token:?}");
        }
        let both = Files::new("same", "same").read();
        assert_eq!(both.access("same"), Some(Access::Operator));
    }

    #[test]
    fn invalid_file_error_hides_content() {
        assert_eq!(
            Files::new("\n# nothing\n", "x").error(),
            "the token file DIR/operators (admin.operator_token_file) holds no token; write one token a line, such as the \
             output of `openssl rand -hex 32`, or sha256: and the digest of a token"
        );
        assert_eq!(
            Files::new("good\nnot good\n", "x").error(),
            "DIR/operators:2 (admin.operator_token_file) is not a token: a token consists of letters, digits and -._~+/, \
             with optional = at the end (RFC 6750 2.1)"
        );
        assert_eq!(
            Files::new("good", "sha256:abc").error(),
            "DIR/viewers:1 (admin.viewer_token_file) is not a token: sha256: must be followed by 64 hexadecimal digits"
        );
        let files = Files::new("good", "good");
        std::fs::remove_file(files.dir.path().join("viewers")).unwrap();
        assert_eq!(
            files.error(),
            "cannot read the token file DIR/viewers (admin.viewer_token_file): No such file or directory (os error 2)"
        );
        let none = AdminSettings::at("127.0.0.1:0".parse().unwrap());
        assert!(Tokens::read(&none).unwrap().is_none());
    }

    #[test]
    fn broken_token_file_keeps_previous_tokens() {
        let files = Files::new("old", "look");
        let tokens = files.read();
        let operators = tokens.operators.as_ref().unwrap();
        assert!(operators.reload().is_none(), "no change");
        files.replace("operators", "new\nnewer\n");
        assert_eq!(operators.reload().unwrap().unwrap(), 2);
        assert_eq!((tokens.access("old"), tokens.access("new")), (None, Some(Access::Operator)));

        files.replace("operators", "no token\n");
        assert!(matches!(operators.reload(), Some(Err(TokenError::Line { .. }))));
        assert!(operators.reload().is_none(), "already reported");
        assert_eq!(tokens.access("new"), Some(Access::Operator), "previous tokens stay valid");
        files.replace("operators", "newest");
        assert_eq!(operators.reload().unwrap().unwrap(), 1);
        assert_eq!((tokens.access("new"), tokens.access("newest")), (None, Some(Access::Operator)));
    }

    #[test]
    fn removed_token_file_revokes_tokens() {
        let files = Files::new("change", "look");
        let tokens = files.read();
        let operators = tokens.operators.as_ref().unwrap();
        files.replace("operators", "# change\n");
        assert!(matches!(operators.reload(), Some(Err(TokenError::Empty { .. }))));
        assert!(operators.reload().is_none(), "already reported");
        assert_eq!((tokens.access("change"), tokens.access("look")), (None, Some(Access::Viewer)));
        files.replace("operators", "change");
        assert_eq!(operators.reload().unwrap().unwrap(), 1);
        assert_eq!(tokens.access("change"), Some(Access::Operator));
        std::fs::remove_file(files.dir.path().join("operators")).unwrap();
        assert!(matches!(operators.reload(), Some(Err(TokenError::Unreadable { .. }))));
        assert!(operators.reload().is_none(), "already reported");
        assert_eq!(tokens.access("change"), None);
        assert!(tokens.has_operators(), "the API must still require tokens");
    }

    #[test]
    fn revocation_after_failed_read_takes_effect() {
        let files = Files::new("change", "look");
        let tokens = files.read();
        let operators = tokens.operators.as_ref().unwrap();
        files.replace("operators", "");
        // As after a failure for lack of file descriptors.
        let failed = operators.watched.lock().reload(|| Err::<(), _>("no file descriptor"));
        assert_eq!(failed, Some(Err("no file descriptor")));
        assert!(operators.reload().is_none());
        assert_eq!(tokens.access("change"), None);
    }

    #[test]
    fn plain_token_skips_digests() {
        let files = Files::new(&format!("# x\nsha256:{}\nplain\nother", Digest::of(b"x")), "x");
        assert_eq!(plain_token(&files.dir.path().join("operators")).as_deref(), Some("plain"));
        assert_eq!(plain_token(&files.dir.path().join("none")), None);
    }
}
