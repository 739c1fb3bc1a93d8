use http::header::{HeaderName, HeaderValue};

use super::*;

const REQUEST: Refused<'_> = Refused {
    source_url: "s3://bucket/key",
    versioned: false,
    origin: "s3://bucket/",
    host: "s3.lab:9000",
    identity: "access key AKIAEXAMPLE",
    bucket: Some(Bucket { name: "bucket", endpoint: "https://s3.lab:9000", region: "us-east-1" }),
};

fn parsed(body: &str) -> ErrorDocument {
    ErrorDocument::parse(&HeaderMap::new(), body.as_bytes())
}

fn document(code: &str, message: &str) -> ErrorDocument {
    parsed(&format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

fn of_request(
    request: &Refused<'_>,
    status: u16,
    fields: &[(&'static str, &'static str)],
    document: &ErrorDocument,
) -> OriginError {
    let headers = fields.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
    classify(request, StatusCode::from_u16(status).unwrap(), &headers, document)
}

fn classified(status: u16, fields: &[(&'static str, &'static str)], document: &ErrorDocument) -> OriginError {
    of_request(&REQUEST, status, fields, document)
}

#[test]
fn statuses_map_to_error_kinds() {
    let none = ErrorDocument::default();
    let denied = "s3://bucket/ refused s3://bucket/key to access key AKIAEXAMPLE";
    let advice = "check the origin's credentials and the bucket's policy";
    let missing = "s3://bucket/key does not exist";
    for (status, document, kind, message) in [
        (404, none.clone(), "not-found", missing.to_owned()),
        (410, none.clone(), "not-found", missing.to_owned()),
        (404, document("NoSuchKey", "Gone."), "not-found", format!("{missing} (NoSuchKey: Gone.)")),
        (404, document("NoSuchVersion", "m"), "not-found", format!("{missing} (NoSuchVersion: m)")),
        (404, document("Whatever", "m"), "not-found", format!("{missing} (Whatever: m)")),
        (
            404,
            document("NoSuchBucket", "m"),
            "no-such-bucket",
            "the bucket \"bucket\" does not exist at https://s3.lab:9000 (NoSuchBucket: m); check the source URL and the \
             origin's endpoint"
                .to_owned(),
        ),
        (401, none.clone(), "access-denied", format!("{denied} (401); {advice}")),
        (403, none.clone(), "access-denied", format!("{denied} (403); {advice}")),
        (
            403,
            document("AccessDenied", "download cap exceeded"),
            "access-denied",
            format!("{denied} (AccessDenied: download cap exceeded); {advice}"),
        ),
        (
            403,
            document("SignatureDoesNotMatch", "m"),
            "access-denied",
            format!("{denied} (SignatureDoesNotMatch: m); check the secret access key in the origin's credentials"),
        ),
        (
            403,
            document("InvalidAccessKeyId", "m"),
            "access-denied",
            format!("{denied} (InvalidAccessKeyId: m); check the access key ID in the origin's credentials"),
        ),
        (
            400,
            document("ExpiredToken", "m"),
            "access-denied",
            format!("{denied} (ExpiredToken: m); renew the session token in the origin's credentials"),
        ),
        (
            403,
            document("RequestTimeTooSkewed", "m"),
            "access-denied",
            format!("{denied} (RequestTimeTooSkewed: m); correct this machine's clock"),
        ),
        (
            403,
            document("AccessDenied", "Request has expired"),
            "access-denied",
            format!("{denied} (AccessDenied: Request has expired); sign the URL again: it has expired"),
        ),
        (
            403,
            parsed("<html><title>Forbidden</title>"),
            "access-denied",
            format!("{denied} (403: an HTML page with the title \"Forbidden\"); {advice}"),
        ),
        (503, document("SlowDown", "m"), "throttled", "s3.lab:9000 asks to slow down (SlowDown: m)".to_owned()),
        (503, none.clone(), "throttled", "s3.lab:9000 asks to slow down (503)".to_owned()),
        (429, none.clone(), "throttled", "s3.lab:9000 asks to slow down (429)".to_owned()),
        (
            412,
            document("PreconditionFailed", "m"),
            "changed",
            "two replies of s3://bucket/key disagree about the object: s3.lab:9000 answered 412 to the validator of an earlier \
             reply"
                .to_owned(),
        ),
        (
            500,
            document("InternalError", "Try again."),
            "status",
            "s3://bucket/key answered 500: InternalError: Try again.".to_owned(),
        ),
        (502, none.clone(), "status", "s3://bucket/key answered 502".to_owned()),
        (
            511,
            parsed("<html><title>Log in to the guest network</title>"),
            "status",
            "s3://bucket/key answered 511: an HTML page with the title \"Log in to the guest network\"".to_owned(),
        ),
    ] {
        let error = classified(status, &[], &document);
        assert_eq!((error.kind(), error.to_string()), (kind, message));
    }
}

#[test]
fn code_decides_whether_retry_helps() {
    for (status, code, transient) in [
        (400, "RequestTimeout", true),
        (409, "OperationAborted", true),
        (500, "InternalError", true),
        (503, "SlowDown", true),
        (503, "SlowDownRead", true),
        (503, "XMinioServerNotInitialized", true),
        (501, "NotImplemented", false),
        (400, "InvalidArgument", false),
        (403, "AccessDenied", false),
        (403, "InvalidObjectState", false),
        (404, "NoSuchKey", false),
    ] {
        assert_eq!(classified(status, &[], &document(code, "m")).is_transient(), transient, "{status} {code}");
    }
}

#[test]
fn refusal_after_success_is_transient() {
    for (code, transient) in [
        ("AccessDenied", true),
        ("InvalidAccessKeyId", true),
        ("SignatureDoesNotMatch", false),
        ("ExpiredToken", false),
    ] {
        let error = classified(403, &[], &document(code, "m")).after_success();
        assert_eq!(error.is_transient(), transient, "{code}");
        assert!(error.retry_limit().is_some());
    }
}

#[test]
fn wrong_region_names_setting() {
    let message = |status, fields, document: &ErrorDocument| classified(status, fields, document).to_string();
    let expected = |region: &str, words: &str| {
        format!(
            "s3://bucket/key is in the region \"{region}\", and the origin's region is \"us-east-1\"; set region = \
             \"{region}\" for the origin s3://bucket/ ({words})"
        )
    };
    let malformed = "AuthorizationHeaderMalformed";
    // AWS
    let text = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'";
    let aws = format!("<Error><Code>{malformed}</Code><Message>{text}</Message><Region>eu-west-1</Region></Error>");
    assert_eq!(message(400, &[], &parsed(&aws)), expected("eu-west-1", &format!("{malformed}: {text}")));
    assert_eq!(
        message(400, &[("x-amz-bucket-region", "eu-west-1")], &ErrorDocument::default()),
        expected("eu-west-1", "400")
    );
    // MinIO, RustFS
    let text = "The authorization header is malformed; the region is wrong; expecting 'lab'.";
    assert_eq!(message(400, &[], &document(malformed, text)), expected("lab", &format!("{malformed}: {text}")));
    // Garage
    let text = "Authorization header malformed, unexpected scope: 20250101/us-east-1/s3/aws4_request";
    let garage = format!("<Error><Code>{malformed}</Code><Message>{text}</Message><Region>garage</Region></Error>");
    assert_eq!(message(400, &[], &parsed(&garage)), expected("garage", &format!("{malformed}: {text}")));
    // A redirect
    let endpoint = parsed("<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu.example</Endpoint></Error>");
    let header = &[("x-amz-bucket-region", "eu-west-1")];
    for status in [301, 307] {
        assert_eq!(message(status, header, &endpoint), expected("eu-west-1", "PermanentRedirect"));
    }
}

#[test]
fn named_region_of_settings_is_no_region_error() {
    let text = "a non-empty Access Key (AKID) must be provided in the credential.";
    let own = format!(
        "<Error><Code>AuthorizationHeaderMalformed</Code><Message>{text}</Message><Region>us-east-1</Region></Error>"
    );
    assert_eq!(
        classified(400, &[], &parsed(&own)).to_string(),
        format!("s3://bucket/key answered 400: AuthorizationHeaderMalformed: {text}")
    );
    // Garage and MinIO name their region in every document.
    let denied = "<Error><Code>AccessDenied</Code><Message>m</Message><Region>garage</Region></Error>";
    assert_eq!(classified(403, &[], &parsed(denied)).kind(), "access-denied");
}

#[test]
fn redirect_errors_name_endpoint() {
    let endpoint = parsed("<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu.example</Endpoint></Error>");
    assert_eq!(
        classified(301, &[], &endpoint).to_string(),
        "s3://bucket/key answered 301: the bucket is at the endpoint \"b.s3.eu.example\"; set the origin's endpoint"
    );
    let location = &[("location", "https://other.example/key?X-Amz-Signature=secret")];
    assert_eq!(
        classified(307, location, &ErrorDocument::default()).to_string(),
        "s3://bucket/key answered 307: it redirects to \"https://other.example/key\"; set the origin's endpoint or region"
    );
}

#[test]
fn remote_header_text_is_bounded() {
    let text = |length| -> &'static str { "r".repeat(length).leak() };
    let message = |status, name, value| classified(status, &[(name, value)], &ErrorDocument::default()).to_string();
    for status in [301, 400] {
        let region = message(status, "x-amz-bucket-region", text(10_000));
        assert_eq!(region, format!("s3://bucket/key answered {status}"));
    }
    let location = message(307, "location", format!("https://other.example/{}", text(10_000)).leak());
    assert!(location.len() < 400 && location.contains("rrr…\""), "{location}");
}

#[test]
fn archived_object_names_class_and_step() {
    let refused =
        "<Error><Code>InvalidObjectState</Code><Message>m</Message><StorageClass>DEEP_ARCHIVE</StorageClass></Error>";
    assert_eq!(
        classified(403, &[], &parsed(refused)).to_string(),
        "s3://bucket/key is archived in the storage class DEEP_ARCHIVE: restore it, or copy it to a storage class that is read \
         at once, such as STANDARD (InvalidObjectState: m)"
    );
    let fields = &[("x-amz-storage-class", "GLACIER"), ("x-amz-restore", "ongoing-request=\"true\"")];
    let restoring = classified(403, fields, &document("InvalidObjectState", "m"));
    assert_eq!(
        restoring.to_string(),
        "s3://bucket/key is archived in the storage class GLACIER: its restore is under way; try again when it has ended \
         (InvalidObjectState: m)"
    );
    let unnamed = classified(403, &[], &document("InvalidObjectState", "m")).to_string();
    assert!(unnamed.starts_with("s3://bucket/key is archived: restore it"), "{unnamed}");
}

#[test]
fn delete_marker_is_named() {
    let header = &[("x-amz-delete-marker", "true")];
    let newest = classified(404, header, &document("NoSuchKey", "m"));
    assert_eq!(
        newest.to_string(),
        "s3://bucket/key was deleted: its newest version is a delete marker; upload it again, or name an older version with \
         ?versionId="
    );
    let request = Refused { source_url: "s3://bucket/key?versionId=a", versioned: true, ..REQUEST };
    let named = "s3://bucket/key?versionId=a was deleted: the version that the source names is a delete marker; name a version \
                 that holds the object";
    let not_allowed = document("MethodNotAllowed", "m");
    assert_eq!(of_request(&request, 405, header, &not_allowed).to_string(), named);
    // A HEAD has no document, and a proxy may drop the header.
    assert_eq!(of_request(&request, 405, header, &ErrorDocument::default()).to_string(), named);
    let typed = parsed("<Error><Code>MethodNotAllowed</Code><ResourceType>DeleteMarker</ResourceType></Error>");
    assert_eq!(of_request(&request, 405, &[], &typed).to_string(), named);
    assert!(newest.is_not_found() && !newest.is_transient());
    assert_eq!(classified(405, &[("x-amz-delete-marker", "false")], &not_allowed).kind(), "status");
}

#[test]
fn retry_after_accepts_seconds_and_date() {
    let now = httpdate::parse_http_date("Tue, 15 Nov 1994 12:45:26 GMT").unwrap();
    let wait = |value| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]), now);
    assert_eq!(wait("120"), Some(Duration::from_mins(2)));
    assert_eq!(wait("Tue, 15 Nov 1994 12:45:56 GMT"), Some(Duration::from_secs(30)));
    assert_eq!(wait("Tue, 15 Nov 1994 12:00:00 GMT"), Some(Duration::ZERO));
    assert_eq!(wait("soon"), None);
    let error = classified(503, &[("retry-after", "7")], &ErrorDocument::default());
    assert_eq!((error.retry_after(), error.is_transient()), (Some(Duration::from_secs(7)), true));
}
