use http::header::{HeaderName, HeaderValue};

use super::*;

const REQUEST: Refused<'_> = Refused {
    source_url: "s3://bucket/key",
    origin: "s3://bucket/",
    host: "s3.lab:9000",
    identity: "access key AKIAEXAMPLE",
    bucket: Some(("bucket", "https://s3.lab:9000")),
};

fn document(code: &str, message: &str) -> ErrorDocument {
    ErrorDocument::parse(format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>").as_bytes())
}

fn classified(status: u16, fields: &[(&'static str, &'static str)], document: &ErrorDocument) -> OriginError {
    let headers = fields.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
    from_status(&REQUEST, StatusCode::from_u16(status).unwrap(), &headers, document)
}

#[test]
fn statuses_map_to_error_kinds() {
    let none = ErrorDocument::default();
    let denied = "s3://bucket/ refused s3://bucket/key to access key AKIAEXAMPLE";
    let advice = "check the origin's credentials and the bucket's policy";
    for (status, document, kind, message) in [
        (404, none.clone(), "not-found", "s3://bucket/key does not exist".to_owned()),
        (410, none.clone(), "not-found", "s3://bucket/key does not exist".to_owned()),
        (404, document("NoSuchKey", "m"), "not-found", "s3://bucket/key does not exist".to_owned()),
        (404, document("NoSuchVersion", "m"), "not-found", "s3://bucket/key does not exist".to_owned()),
        (404, document("Whatever", "m"), "not-found", "s3://bucket/key does not exist".to_owned()),
        (
            404,
            document("NoSuchBucket", "m"),
            "no-such-bucket",
            "the bucket \"bucket\" does not exist at https://s3.lab:9000; check the source URL and the origin's endpoint"
                .to_owned(),
        ),
        (401, none.clone(), "access-denied", format!("{denied} (401); {advice}")),
        (403, none.clone(), "access-denied", format!("{denied} (403); {advice}")),
        (403, document("AccessDenied", "Access Denied"), "access-denied", format!("{denied} (AccessDenied); {advice}")),
        (403, document("SignatureDoesNotMatch", "m"), "access-denied", format!("{denied} (SignatureDoesNotMatch); {advice}")),
        (403, document("InvalidAccessKeyId", "m"), "access-denied", format!("{denied} (InvalidAccessKeyId); {advice}")),
        (400, document("ExpiredToken", "m"), "access-denied", format!("{denied} (ExpiredToken); {advice}")),
        (
            403,
            document("RequestTimeTooSkewed", "m"),
            "access-denied",
            format!("{denied} (RequestTimeTooSkewed: check this machine's clock); {advice}"),
        ),
        (
            403,
            document("AccessDenied", "Request has expired"),
            "access-denied",
            format!("{denied} (AccessDenied: the presigned URL has expired); {advice}"),
        ),
        (
            403,
            document("InvalidObjectState", "m"),
            "status",
            "s3://bucket/key answered 403: InvalidObjectState: the object is archived; restore it to a class that can be read \
             at once"
                .to_owned(),
        ),
        (503, document("SlowDown", "m"), "throttled", "s3.lab:9000 asks to slow down (SlowDown)".to_owned()),
        (503, none.clone(), "throttled", "s3.lab:9000 asks to slow down (503)".to_owned()),
        (429, none.clone(), "throttled", "s3.lab:9000 asks to slow down (429)".to_owned()),
        (412, document("PreconditionFailed", "m"), "changed", "two replies of s3://bucket/key disagree about the object: s3.lab:9000 answered 412 to the validator of an earlier reply".to_owned()),
        (500, document("InternalError", "Try again."), "status", "s3://bucket/key answered 500: InternalError: Try again.".to_owned()),
        (502, none.clone(), "status", "s3://bucket/key answered 502".to_owned()),
    ] {
        let error = classified(status, &[], &document);
        assert_eq!((error.kind(), error.to_string()), (kind, message));
    }
}

#[test]
fn redirect_errors_name_region_or_endpoint() {
    let none = ErrorDocument::default();
    let endpoint =
        ErrorDocument::parse(b"<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu.example</Endpoint></Error>");
    let region = ErrorDocument::parse(
        b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-1</Region></Error>",
    );
    for (status, fields, document, message) in [
        (
            301,
            &[("x-amz-bucket-region", "eu-west-1")][..],
            &endpoint,
            "s3://bucket/key answered 301: the bucket is in the region \"eu-west-1\"; set the origin's region",
        ),
        (
            400,
            &[],
            &region,
            "s3://bucket/key answered 400: the bucket is in the region \"eu-west-1\"; set the origin's region",
        ),
        (
            301,
            &[],
            &endpoint,
            "s3://bucket/key answered 301: the bucket is at the endpoint \"b.s3.eu.example\"; set the origin's endpoint",
        ),
        (
            307,
            &[("location", "https://other.example/key?X-Amz-Signature=secret")],
            &none,
            "s3://bucket/key answered 307: it redirects to \"https://other.example/key\"; set the origin's endpoint or region",
        ),
    ] {
        assert_eq!(classified(status, fields, document).to_string(), message);
    }
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
