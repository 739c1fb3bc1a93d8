//! An S3 server that shares no code with this project or with s3s: moto (`PyPI`), on a free port. It has multipart uploads,
//! storage classes, versions and, on request, real signature checks.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use bootdepot::asset::Digest;

use super::{ChildExt, Tool, Watchdog, timeout};

/// The only bucket that it has at first.
pub(crate) const BUCKET: &str = "assets";

/// A running moto. Dropping it ends it.
pub(crate) struct Moto {
    child: Child,
    address: SocketAddr,
}

/// The reply to a request.
pub(crate) struct MotoReply {
    head: String,
    body: String,
}

impl Moto {
    /// Starts one with an empty bucket. `None` if moto is not installed: the test is reported as skipped, and must return.
    pub(crate) fn start() -> Option<Self> {
        let mut command = Command::new(Tool::find("moto_server")?.path());
        command.args(["-H", "127.0.0.1", "-p", "0"]).env("PYTHONUNBUFFERED", "1");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("moto can be started");
        let watchdog = Watchdog::new(&child);
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let mut running = lines
            .by_ref()
            .map_while(Result::ok)
            .filter_map(|line| Some(line.split_once("http://")?.1.split(['/', ' ', '\u{1b}']).next()?.to_owned()));
        let address = running.next().expect("moto says where it listens").parse().expect("an address");
        drop(watchdog);
        // Its log is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let moto = Self { child, address };
        moto.send("PUT", &format!("/{BUCKET}"), &[], b"");
        Some(moto)
    }

    /// Returns the value for an origin's `endpoint` setting.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stores an object with its SHA-256 and these header fields.
    pub(crate) fn put(&self, key: &str, bytes: &[u8], fields: &[(&str, &str)]) -> MotoReply {
        let checksum = Digest::of(bytes).to_base64();
        let sums = [("x-amz-checksum-sha256", checksum.as_str()), ("x-amz-sdk-checksum-algorithm", "SHA256")];
        let fields = [&sums, fields].concat();
        self.send("PUT", &format!("/{BUCKET}/{key}"), &fields, bytes)
    }

    /// Stores an object in these parts, each with its SHA-256. All but the last must have 5 MiB.
    pub(crate) fn put_parts(&self, key: &str, parts: &[&[u8]]) {
        let algorithm = [("x-amz-checksum-algorithm", "SHA256")];
        let begun = self.send("POST", &format!("/{BUCKET}/{key}?uploads"), &algorithm, b"");
        let upload = begun.element("UploadId");
        let mut list = String::new();
        for (number, part) in (1..).zip(parts) {
            let checksum = Digest::of(part).to_base64();
            let target = format!("/{BUCKET}/{key}?partNumber={number}&uploadId={upload}");
            let reply = self.send("PUT", &target, &[("x-amz-checksum-sha256", &checksum)], part);
            let etag = reply.field("etag").expect("a part has an ETag");
            write!(list,
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><ChecksumSHA256>{checksum}</ChecksumSHA256></Part>"
            )
            .expect("a string can be written to");
        }
        let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        self.send("POST", &format!("/{BUCKET}/{key}?uploadId={upload}"), &[], list.as_bytes());
    }

    /// Sends a request, and expects success. Its signature is wrong, which moto does not check at first.
    pub(crate) fn send(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> MotoReply {
        let mut stream = TcpStream::connect(self.address).expect("moto listens");
        stream.set_read_timeout(Some(timeout())).expect("a timeout can be set");
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in fields {
            write!(head, "{name}: {value}\r\n").expect("a string can be written to");
        }
        let defaults = [("Content-Type", "application/octet-stream"), ("Authorization", &scope("s3"))];
        for (name, value) in defaults {
            if !fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                write!(head, "{name}: {value}\r\n").expect("a string can be written to");
            }
        }
        write!(head, "Content-Length: {}\r\n\r\n", body.len()).expect("a string can be written to");
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("a request can be sent");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).expect("moto answers");
        let text = String::from_utf8(text).expect("the reply is text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('2'), "{method} {target} ended with {text}");
        MotoReply { head: head.to_owned(), body: body.to_owned() }
    }

    /// Makes an access key that may read everything, and lets moto check signatures from now on. Returns the key's id and secret.
    pub(crate) fn require_signatures(&self) -> (String, String) {
        let iam = |parameters: &str| {
            let scope = scope("iam");
            let fields = [("Authorization", scope.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
            self.send("POST", "/", &fields, format!("Version=2010-05-08&UserName=reader&{parameters}").as_bytes())
        };
        iam("Action=CreateUser");
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
        let policy = percent_encoding::utf8_percent_encode(policy, percent_encoding::NON_ALPHANUMERIC);
        iam(&format!("Action=PutUserPolicy&PolicyName=read&PolicyDocument={policy}"));
        let key = iam("Action=CreateAccessKey");
        self.send("POST", "/moto-api/reset-auth", &[("Content-Type", "text/plain")], b"0");
        (key.element("AccessKeyId"), key.element("SecretAccessKey"))
    }
}

/// A signature of nothing, whose credential names the service.
fn scope(service: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=x")
}

impl MotoReply {
    /// Returns the value of a header field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns the body.
    pub(crate) fn body(&self) -> &str {
        &self.body
    }

    /// Returns the text of an element of the document.
    fn element(&self, name: &str) -> String {
        let after = self.body.split_once(&format!("<{name}>")).map(|(_, after)| after);
        let text = after.and_then(|after| after.split_once("</")).map(|(text, _)| text);
        text.unwrap_or_else(|| panic!("no {name} in {}", self.body)).to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Fails if it has already ended.
        let _ = self.child.kill();
        self.child.wait_for_exit();
    }
}
