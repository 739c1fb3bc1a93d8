//! An in-process S3 server: s3s over a temporary directory, with real `SigV4` checks, on a free port.
//!
//! The integration tests, which inject faults in front of it, and the quickstart share it. It does not use bootdepot.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::dto::{PutObjectInput, StreamingBlob};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, HttpResponse, S3, S3Request};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

/// The only bucket.
pub const BUCKET: &str = "assets";
/// The access key that may read it.
pub const ACCESS_KEY: &str = "bootdepot";
/// The access key's secret.
pub const SECRET_KEY: &str = "not-a-secret";

/// A running S3 server. It ends with the runtime that started it.
pub struct S3Server {
    address: SocketAddr,
    files: FileSystem,
    root: tempfile::TempDir,
}

impl S3Server {
    /// Starts one on a free loopback port. `front` receives every request and may pass it to the S3 service.
    pub async fn start<F, R>(front: F) -> io::Result<Self>
    where
        F: Fn(S3Service, Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Result<HttpResponse, HttpError>> + Send + 'static,
    {
        let root = tempfile::tempdir()?;
        std::fs::create_dir(root.path().join(BUCKET))?;
        let open = || FileSystem::new(root.path()).map_err(|e| io::Error::other(format!("{e:?}")));
        let files = open()?;
        let mut service = S3ServiceBuilder::new(open()?);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, front) = (service.clone(), front.clone());
                tokio::spawn(async move {
                    let handler = service_fn(move |request| front(service.clone(), request));
                    // Fails if the client closes the connection, or if `front` cuts it on purpose.
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), handler).await;
                });
            }
        });
        Ok(Self { address, files, root })
    }

    /// Returns the value for an origin's `endpoint` setting.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the bytes of an object in the bucket.
    pub fn get(&self, key: &str) -> io::Result<Bytes> {
        let path = self.root.path().join(BUCKET).join(key);
        std::fs::read(path).map(Bytes::from)
    }

    /// The keys of all objects in the bucket, in their order.
    pub fn keys(&self) -> io::Result<Vec<String>> {
        fn walk(dir: &std::path::Path, start: &str, keys: &mut Vec<String>) -> io::Result<()> {
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                // Metadata and parts of uploads are hidden files.
                if entry.path().is_dir() {
                    walk(&entry.path(), &format!("{start}{name}/"), keys)?;
                } else if !name.starts_with('.') {
                    keys.push(format!("{start}{name}"));
                }
            }
            Ok(())
        }
        let mut keys = Vec::new();
        walk(&self.root.path().join(BUCKET), "", &mut keys)?;
        keys.sort();
        Ok(keys)
    }

    /// Stores an object in the bucket. Replaces an existing one.
    pub async fn put(&self, key: &str, bytes: Bytes) -> io::Result<()> {
        let input = PutObjectInput {
            bucket: BUCKET.to_owned(),
            key: key.to_owned(),
            body: Some(StreamingBlob::from(Body::from(bytes))),
            ..PutObjectInput::default()
        };
        let request = S3Request {
            input,
            method: http::Method::PUT,
            uri: http::Uri::default(),
            headers: http::HeaderMap::default(),
            extensions: http::Extensions::default(),
            credentials: None,
            region: None,
            service: None,
            trailing_headers: None,
        };
        self.files.put_object(request).await.map(drop).map_err(|e| io::Error::other(format!("{e:?}")))
    }
}
