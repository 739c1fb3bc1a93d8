//! Jobs over the API.

use super::*;
use crate::api::{JobView, Plan as Planned};
use crate::asset::Digest;
use crate::http::tests::TestServer;
use crate::jobs::{CheckResult, JobState};

const JSON: &str = "Content-Type: application/json";

async fn start_admin(server: &TestServer) -> TestAdmin {
    TestAdmin::open(Boot::assets_only(server.depot.clone())).await
}

async fn order(admin: &TestAdmin, content: &str) -> TestResponse {
    admin.send("POST", "/api/v1/preload", &["Host: localhost", JSON], content).await
}

/// Waits until the job has ended.
async fn ended(admin: &TestAdmin, id: u64) -> JobView {
    let asking = async {
        loop {
            let response = admin.request("GET", &format!("/api/v1/jobs/{id}"), &[]).await;
            let job: JobView = serde_json::from_slice(&response.body).unwrap();
            if job.state != JobState::Running {
                return job;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within_deadline("the end of the job", asking).await
}

#[tokio::test]
async fn preload_dry_run_then_job() {
    let server = TestServer::builder().file("a/1", b"one").file("a/2", b"two").file("b", b"three").start().await;
    let admin = start_admin(&server).await;
    let response = order(&admin, r#"{"assets":["a/*"],"dry_run":true}"#).await;
    let plan: Planned = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((response.status(), plan.assets, plan.missing.bytes, plan.room.fits), (200, 2, 6, true));

    let response = order(&admin, r#"{"assets":["a/*"]}"#).await;
    let job: JobView = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((response.status(), job.what.as_str(), job.items.len()), (202, "a/*", 2));
    let done = ended(&admin, job.id).await;
    assert_eq!((done.state, done.assets.done, done.bytes.done), (JobState::Done, 2, 6));
    let response = admin.request("GET", "/api/v1/jobs", &[]).await;
    let list: JobList = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((list.jobs.len(), list.jobs[0].id, list.jobs[0].items.len()), (1, job.id, 0));

    for (path, what) in
        [("/api/v1/scrub", "all blobs"), ("/api/v1/assets/a/1/verify", "a/1"), ("/api/v1/assets/b/preload", "b")]
    {
        let response = admin.request("POST", path, &[]).await;
        let job: JobView = serde_json::from_slice(&response.body).unwrap();
        assert_eq!((response.status(), job.what.as_str()), (202, what));
        assert_eq!(ended(&admin, job.id).await.state, JobState::Done, "{path}");
    }
    admin.close().await;
}

#[tokio::test]
async fn invalid_job_requests_list_all_errors() {
    let server = TestServer::builder().file("a", b"one").start().await;
    let admin = start_admin(&server).await;
    let response = order(&admin, r#"{"assets":["b"],"releases":["r"],"hosts":["h"]}"#).await;
    let unknown = problem(&response);
    assert_eq!((response.status(), unknown.errors.len()), (404, 3), "{unknown:?}");
    for (content, status, detail) in [
        ("{}", 422, "nothing is selected; name assets, releases, profiles or hosts, or select all"),
        ("{", 400, "Failed to parse the request body as JSON: EOF while parsing an object at line 1 column 1"),
        (
            r#"{"assets":1}"#,
            422,
            "Failed to deserialize the JSON body into the target type: assets: invalid type: integer `1`, expected a sequence at line 1 column 11",
        ),
        (
            r#"{"asset":[]}"#,
            422,
            "Failed to deserialize the JSON body into the target type: asset: unknown field `asset`, expected one of `assets`, `releases`, `profiles`, `hosts`, `all`, `verify`, `keep_going`, `dry_run` at line 1 column 8",
        ),
    ] {
        let response = order(&admin, content).await;
        assert_eq!((response.status(), problem(&response).detail.as_str()), (status, detail), "{content}");
    }
    let response = admin.send("POST", "/api/v1/preload", &["Host: localhost"], "{}").await;
    assert_eq!(problem(&response).status, 415);
    for (method, path) in [("GET", "/api/v1/jobs/7"), ("DELETE", "/api/v1/jobs/7"), ("GET", "/api/v1/jobs/x")] {
        let response = admin.request(method, path, &[]).await;
        assert_eq!(problem(&response).status, 404, "{method} {path}");
    }
    admin.close().await;
}

#[tokio::test]
async fn cancelled_job_cannot_be_cancelled_again() {
    // An origin that never responds.
    let origin = crate::http::tests::fake_origin(|stream| async move {
        let _stream = stream;
        std::future::pending().await
    })
    .await;
    let server =
        TestServer::builder().source("slow", &format!("http://{origin}/slow"), Digest::of(b"slow")).start().await;
    let admin = start_admin(&server).await;
    let response = order(&admin, r#"{"all":true}"#).await;
    let job: JobView = serde_json::from_slice(&response.body).unwrap();
    let path = format!("/api/v1/jobs/{}", job.id);
    assert_eq!(admin.request("DELETE", &path, &[]).await.status(), 200);
    assert_eq!(ended(&admin, job.id).await.state, JobState::Cancelled);
    let response = admin.request("DELETE", &path, &[]).await;
    let detail = format!("job {} has already ended: it is cancelled", job.id);
    assert_eq!((response.status(), problem(&response).detail), (409, detail));
    admin.close().await;
}

#[tokio::test]
async fn check_runs_as_job_with_rows() {
    let server = TestServer::builder().file("a", b"one").start().await;
    let admin = start_admin(&server).await;
    let check = async |content: &str| admin.send("POST", "/api/v1/check", &["Host: localhost", JSON], content).await;
    for (content, state, result) in
        [(r#"{"names":["a"]}"#, JobState::Done, CheckResult::Ok), ("{}", JobState::Failed, CheckResult::Failed)]
    {
        let response = check(content).await;
        assert_eq!(response.status(), 202);
        let job: JobView = serde_json::from_slice(&response.body).unwrap();
        let ended = ended(&admin, job.id).await;
        assert_eq!((ended.state, ended.checks.len(), ended.checks[0].result), (state, 1, result), "{content}");
    }
    assert_eq!(check(r#"{"deap":true}"#).await.status(), 422);
    admin.close().await;
}
