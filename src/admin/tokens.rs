//! The tokens that the API asks for: read from their files at start, and again when those change. It knows no requests.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use subtle::{Choice, ConstantTimeEq as _};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::AdminSettings;
use crate::asset::Digest;
use crate::transport::FileFingerprint;

/// How often the files are looked at: a token that leaked is taken out of its file and is worth nothing soon.
const RENEWAL: Duration = Duration::from_secs(2);

/// What a line that holds a token's digest begins with.
const HASHED: &str = "sha256:";

/// The most bytes of a token file: it holds a token a line, and those are short.
const LARGEST: u64 = 1 << 20;

/// Why a token file is of no use. Never says what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read the token file {path} ({key}): {error}")]
    Unreadable {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// It has no token.
    #[error(
        "the token file {path} ({key}) holds no token; write one a line, such as what `openssl rand -hex 32` prints, or \
         sha256: and its digest"
    )]
    Empty {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A line is no token.
    #[error("{path}:{line} ({key}) is no token: {reason}")]
    Line {
        /// The setting that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl TokenError {
    /// The file is gone or emptied: who did that wants none of its tokens to be good.
    fn is_withdrawal(&self) -> bool {
        match self {
            Self::Empty { .. } => true,
            Self::Unreadable { error, .. } => error.kind() == io::ErrorKind::NotFound,
            Self::Line { .. } => false,
        }
    }
}

/// What who holds a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Look.
    Viewer,
    /// Look and change.
    Operator,
}

impl Access {
    /// The word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// All tokens that are good now.
pub(super) struct Tokens {
    operators: Option<TokenFile>,
    viewers: Option<TokenFile>,
}

/// One file of them.
struct TokenFile {
    key: &'static str,
    path: PathBuf,
    /// The tokens' digests: what is compared has one length, whatever the tokens have.
    current: ArcSwap<Vec<Digest>>,
    seen: Mutex<Seen>,
}

/// What a file was like when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    stamp: Option<FileFingerprint>,
    /// It could not be read then. The file may not be why (there may have been no descriptor), so it is tried again: in it a
    /// token may have been taken back.
    unread: bool,
}

impl Tokens {
    /// Reads the files. `None` where the settings name none. Blocks.
    pub(super) fn read(settings: &AdminSettings) -> Result<Option<Self>, TokenError> {
        let open = |key, path: &Option<PathBuf>| path.as_ref().map(|path| TokenFile::read(key, path)).transpose();
        let tokens = Self {
            operators: open("admin.operator_token_file", &settings.operator_token_file)?,
            viewers: open("admin.viewer_token_file", &settings.viewer_token_file)?,
        };
        Ok(settings.has_tokens().then_some(tokens))
    }

    /// What this token is good for. Takes as long for one token as for any other of its length.
    pub(super) fn access(&self, token: &str) -> Option<Access> {
        let digest = Digest::of(token.as_bytes());
        let among = |file: &Option<TokenFile>| file.as_ref().map_or(Choice::from(0), |file| file.has(&digest));
        let (operator, viewer) = (among(&self.operators), among(&self.viewers));
        if operator.into() {
            Some(Access::Operator)
        } else if viewer.into() {
            Some(Access::Viewer)
        } else {
            None
        }
    }

    /// Whether anybody may change things.
    pub(super) fn has_operators(&self) -> bool {
        self.operators.is_some()
    }

    /// Looks at the files every other second, and takes what is new in them, until `stop`.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let looking = async {
            loop {
                tokio::time::sleep(RENEWAL).await;
                let tokens = Arc::clone(&self);
                // Nobody aborts it; had it panicked, the next look would be as good.
                let _ = tokio::task::spawn_blocking(move || tokens.renew()).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    /// Reads again what changed. Blocks.
    fn renew(&self) {
        for file in [&self.operators, &self.viewers].into_iter().flatten() {
            match file.renew() {
                Some(Ok(count)) => {
                    info!(path = %file.path.display(), count, "the tokens were read again; others are good no more");
                }
                Some(Err(error)) if error.is_withdrawal() => {
                    warn!(%error, "the tokens were taken away; none of them is good any more");
                }
                Some(Err(error)) => warn!(%error, "the tokens changed and cannot be used; those before stay good"),
                None => {}
            }
        }
    }
}

impl TokenFile {
    fn read(key: &'static str, path: &Path) -> Result<Self, TokenError> {
        // Looked at first: what is written meanwhile is found to be new.
        let seen = Mutex::new(Seen { stamp: FileFingerprint::of(path), unread: false });
        let current = ArcSwap::from_pointee(digests(key, path)?);
        Ok(Self { key, path: path.to_owned(), current, seen })
    }

    /// Whether a token of this digest is among them. Looks at all of them, and at all bytes of each.
    fn has(&self, digest: &Digest) -> Choice {
        let current = self.current.load();
        let each = current.iter().map(|known| known.as_bytes()[..].ct_eq(&digest.as_bytes()[..]));
        each.fold(Choice::from(0), |any, equal| any | equal)
    }

    /// Reads the file again if it changed, and says how many tokens it holds; `None` when there is nothing new to say.
    fn renew(&self) -> Option<Result<usize, TokenError>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = FileFingerprint::of(&self.path);
        let told = stamp == seen.stamp;
        if told && !seen.unread {
            return None;
        }
        let read = digests(self.key, &self.path);
        let unread = matches!(read, Err(TokenError::Unreadable { .. }));
        *seen = Seen { stamp, unread };
        match read {
            Ok(digests) => {
                let count = digests.len();
                self.current.store(Arc::new(digests));
                Some(Ok(count))
            }
            Err(_) if told && unread => None,
            Err(error) => {
                if error.is_withdrawal() {
                    self.current.store(Arc::default());
                }
                Some(Err(error))
            }
        }
    }
}

/// The first token of this file that stands there as it is, for commands that ask the server of the same settings. `None`
/// where there is none, or the file cannot be read by who asks. Blocks.
pub fn plain_token(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut tokens = lines(&text).map(|(_, token)| token);
    tokens.find(|token| !token.starts_with(HASHED) && is_token(token)).map(str::to_owned)
}

fn digests(key: &'static str, path: &Path) -> Result<Vec<Digest>, TokenError> {
    let unreadable = |error| TokenError::Unreadable { key, path: path.to_owned(), error };
    if path.metadata().map_err(unreadable)?.len() > LARGEST {
        return Err(unreadable(io::Error::other("it has more than a megabyte")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let digest = |(line, token): (usize, &str)| {
        let wrong = |reason| TokenError::Line { key, path: path.to_owned(), line, reason };
        match token.strip_prefix(HASHED) {
            Some(hex) => hex.trim_start().parse().map_err(|_| wrong("sha256: is followed by 64 hexadecimal digits")),
            None if is_token(token) => Ok(Digest::of(token.as_bytes())),
            None => Err(wrong("tokens are of letters, digits and -._~+/, with = at the end (RFC 6750 2.1)")),
        }
    };
    let digests = lines(&text).map(digest).collect::<Result<Vec<_>, _>>()?;
    if digests.is_empty() { Err(TokenError::Empty { key, path: path.to_owned() }) } else { Ok(digests) }
}

/// The lines that count, with their numbers: those that are neither empty nor a comment.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().zip(1..).map(|(line, number)| (number, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// RFC 6750 2.1, `b64token`: what an `Authorization` field can carry.
fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
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

        fn refusal(&self) -> String {
            let error = Tokens::read(&self.settings).err().map(|error| error.to_string()).unwrap_or_default();
            error.replace(self.dir.path().to_str().unwrap(), "DIR")
        }
    }

    #[test]
    fn a_token_or_its_digest_is_good_for_what_its_file_says() {
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
    fn files_without_a_token_are_refused_without_telling_what_is_in_them() {
        assert_eq!(
            Files::new("\n# nothing\n", "x").refusal(),
            "the token file DIR/operators (admin.operator_token_file) holds no token; write one a line, such as what \
             `openssl rand -hex 32` prints, or sha256: and its digest"
        );
        assert_eq!(
            Files::new("good\nnot good\n", "x").refusal(),
            "DIR/operators:2 (admin.operator_token_file) is no token: tokens are of letters, digits and -._~+/, with = at \
             the end (RFC 6750 2.1)"
        );
        assert_eq!(
            Files::new("good", "sha256:abc").refusal(),
            "DIR/viewers:1 (admin.viewer_token_file) is no token: sha256: is followed by 64 hexadecimal digits"
        );
        let files = Files::new("good", "good");
        std::fs::remove_file(files.dir.path().join("viewers")).unwrap();
        assert_eq!(
            files.refusal(),
            "cannot read the token file DIR/viewers (admin.viewer_token_file): No such file or directory (os error 2)"
        );
        let none = AdminSettings::at("127.0.0.1:0".parse().unwrap());
        assert!(Tokens::read(&none).unwrap().is_none());
    }

    #[test]
    fn a_changed_file_is_taken_and_a_broken_one_is_not() {
        let files = Files::new("old", "look");
        let tokens = files.read();
        let operators = tokens.operators.as_ref().unwrap();
        assert!(operators.renew().is_none(), "nothing changed");
        files.replace("operators", "new\nnewer\n");
        assert_eq!(operators.renew().unwrap().unwrap(), 2);
        assert_eq!((tokens.access("old"), tokens.access("new")), (None, Some(Access::Operator)));

        files.replace("operators", "no token\n");
        assert!(matches!(operators.renew(), Some(Err(TokenError::Line { .. }))));
        assert!(operators.renew().is_none(), "it was told already");
        assert_eq!(tokens.access("new"), Some(Access::Operator), "the last good ones stay");
        files.replace("operators", "newest");
        assert_eq!(operators.renew().unwrap().unwrap(), 1);
        assert_eq!((tokens.access("new"), tokens.access("newest")), (None, Some(Access::Operator)));
    }

    #[test]
    fn a_file_that_is_emptied_or_gone_lets_nobody_in() {
        let files = Files::new("change", "look");
        let tokens = files.read();
        let operators = tokens.operators.as_ref().unwrap();
        files.replace("operators", "# change\n");
        assert!(matches!(operators.renew(), Some(Err(TokenError::Empty { .. }))));
        assert!(operators.renew().is_none(), "it was told already");
        assert_eq!((tokens.access("change"), tokens.access("look")), (None, Some(Access::Viewer)));
        files.replace("operators", "change");
        assert_eq!(operators.renew().unwrap().unwrap(), 1);
        assert_eq!(tokens.access("change"), Some(Access::Operator));
        std::fs::remove_file(files.dir.path().join("operators")).unwrap();
        assert!(matches!(operators.renew(), Some(Err(TokenError::Unreadable { .. }))));
        assert!(operators.renew().is_none(), "it was told already");
        assert_eq!(tokens.access("change"), None);
        assert!(tokens.has_operators(), "that is no reason to let everybody in");
    }

    #[test]
    fn a_file_that_could_not_be_read_when_it_changed_is_read_as_soon_as_it_can_be() {
        let files = Files::new("old", "look");
        let tokens = files.read();
        let operators = tokens.operators.as_ref().unwrap();
        files.replace("operators", "new");
        // As when the process had no descriptor left.
        *operators.seen.lock().unwrap() =
            Seen { stamp: FileFingerprint::of(&files.dir.path().join("operators")), unread: true };
        assert_eq!(operators.renew().unwrap().unwrap(), 1);
        assert_eq!((tokens.access("old"), tokens.access("new")), (None, Some(Access::Operator)));
        assert!(operators.renew().is_none());
    }

    #[test]
    fn commands_find_a_token_that_stands_as_it_is() {
        let files = Files::new(&format!("# x\nsha256:{}\nplain\nother", Digest::of(b"x")), "x");
        assert_eq!(plain_token(&files.dir.path().join("operators")).as_deref(), Some("plain"));
        assert_eq!(plain_token(&files.dir.path().join("none")), None);
    }
}
