//! Jobs over the API.

use super::*;
use crate::api::{JobView, Plan as Planned};
use crate::asset::Digest;
use crate::http::tests::{PATIENCE, Plan, Site};
use crate::jobs::JobState;

const JSON: &str = "Content-Type: application/json";

async fn desk(site: &Site) -> Desk {
    Desk::open(Boot::plain(site.depot.clone())).await
}

async fn order(desk: &Desk, content: &str) -> Reply {
    desk.send("POST", "/api/v1/preload", &["Host: localhost", JSON], content).await
}

/// The job when it has ended.
async fn ended(desk: &Desk, id: u64) -> JobView {
    let asking = async {
        loop {
            let reply = desk.ask("GET", &format!("/api/v1/jobs/{id}"), &[]).await;
            let job: JobView = serde_json::from_slice(&reply.body).unwrap();
            if job.state != JobState::Running {
                return job;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it ends")
}

#[tokio::test]
async fn a_preload_says_what_it_would_mean_and_is_a_job() {
    let site = Plan::new().file("a/1", b"one").file("a/2", b"two").file("b", b"three").start().await;
    let desk = desk(&site).await;
    let reply = order(&desk, r#"{"assets":["a/*"],"dry_run":true}"#).await;
    let plan: Planned = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status(), plan.assets, plan.missing.bytes, plan.room.fits), (200, 2, 6, true));

    let reply = order(&desk, r#"{"assets":["a/*"]}"#).await;
    let job: JobView = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status(), job.what.as_str(), job.items.len()), (202, "a/*", 2));
    let done = ended(&desk, job.id).await;
    assert_eq!((done.state, done.assets.done, done.bytes.done), (JobState::Done, 2, 6));
    let reply = desk.ask("GET", "/api/v1/jobs", &[]).await;
    let list: JobList = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((list.jobs.len(), list.jobs[0].id, list.jobs[0].items.len()), (1, job.id, 0));

    for (path, what) in
        [("/api/v1/scrub", "all blobs"), ("/api/v1/assets/a/1/verify", "a/1"), ("/api/v1/assets/b/preload", "b")]
    {
        let reply = desk.ask("POST", path, &[]).await;
        let job: JobView = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((reply.status(), job.what.as_str()), (202, what));
        assert_eq!(ended(&desk, job.id).await.state, JobState::Done, "{path}");
    }
    desk.close().await;
}

#[tokio::test]
async fn orders_that_cannot_be_are_refused_with_all_that_is_wrong() {
    let site = Plan::new().file("a", b"one").start().await;
    let desk = desk(&site).await;
    let reply = order(&desk, r#"{"assets":["b"],"releases":["r"],"hosts":["h"]}"#).await;
    let unknown = problem(&reply);
    assert_eq!((reply.status(), unknown.errors.len()), (404, 3), "{unknown:?}");
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
        let reply = order(&desk, content).await;
        assert_eq!((reply.status(), problem(&reply).detail.as_str()), (status, detail), "{content}");
    }
    let reply = desk.send("POST", "/api/v1/preload", &["Host: localhost"], "{}").await;
    assert_eq!(problem(&reply).status, 415);
    for (method, path) in [("GET", "/api/v1/jobs/7"), ("DELETE", "/api/v1/jobs/7"), ("GET", "/api/v1/jobs/x")] {
        let reply = desk.ask(method, path, &[]).await;
        assert_eq!(problem(&reply).status, 404, "{method} {path}");
    }
    desk.close().await;
}

#[tokio::test]
async fn a_job_is_ended_once() {
    // An origin that never answers.
    let origin = crate::http::tests::origin(|stream| async move {
        let _stream = stream;
        std::future::pending().await
    })
    .await;
    let site = Plan::new().source("slow", &format!("http://{origin}/slow"), Digest::of(b"slow")).start().await;
    let desk = desk(&site).await;
    let reply = order(&desk, r#"{"all":true}"#).await;
    let job: JobView = serde_json::from_slice(&reply.body).unwrap();
    let path = format!("/api/v1/jobs/{}", job.id);
    assert_eq!(desk.ask("DELETE", &path, &[]).await.status(), 200);
    assert_eq!(ended(&desk, job.id).await.state, JobState::Cancelled);
    let reply = desk.ask("DELETE", &path, &[]).await;
    let detail = format!("job {} has already ended: it is cancelled", job.id);
    assert_eq!((reply.status(), problem(&reply).detail), (409, detail));
    desk.close().await;
}
