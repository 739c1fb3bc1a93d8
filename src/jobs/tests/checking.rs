//! Check jobs, with checks of the test.

use super::*;

/// The jobs of a test, with this check.
async fn jobs_with(checker: Checker) -> (TestJobs, Jobs) {
    let test = TestJobs::new(&[]).await;
    let jobs = Jobs::with_checks(test.boot.clone(), checker);
    (test, jobs)
}

fn row(findings: Vec<Finding>) -> CheckRow {
    CheckRow { check: "objects", place: "s3://b/".to_owned(), summary: String::new(), findings }
}

#[tokio::test]
async fn check_job_lists_its_findings() {
    let checker: Checker = Arc::new(|task, progress| {
        Box::pin(async move {
            let failed = task.deep;
            progress.add_objects(1);
            progress.add_bytes(7);
            progress.add_hashed(7);
            progress.end_object(failed);
            let bad = Finding::failed("a", "gone", "", "");
            progress.add_row(row(vec![if failed { bad } else { Finding::unverified("a", "") }]));
        })
    });
    let (_test, jobs) = jobs_with(checker).await;
    for (deep, state, failed) in [(false, JobState::Done, 0), (true, JobState::Failed, 1)] {
        let job = jobs.start(Task::Check(CheckTask { names: Vec::new(), deep })).unwrap();
        wait_until(|| jobs.is_ended(job.id)).await;
        let ended = jobs.get(job.id).unwrap();
        assert_eq!((ended.kind, ended.state), (JobKind::Check, state));
        assert_eq!(ended.assets, AssetCounts { total: 1, done: 1 - failed, failed });
        assert_eq!(ended.bytes, ByteCounts { total: Some(7), done: 7 });
        assert_eq!(ended.checks.len(), 1);
        assert!(jobs.list().iter().all(|job| job.checks.is_empty()), "lists have no findings");
    }
}

#[tokio::test]
async fn cancelled_check_is_dropped() {
    let dropped = tokio_util::sync::CancellationToken::new();
    let told = dropped.clone();
    let checker: Checker = Arc::new(move |_, progress| {
        let guard = told.clone().drop_guard();
        Box::pin(async move {
            progress.add_row(row(Vec::new()));
            std::future::pending::<()>().await;
            drop(guard);
        })
    });
    let (_test, jobs) = jobs_with(checker).await;
    let job = jobs.start(Task::Check(CheckTask::default())).unwrap();
    wait_until(|| jobs.get(job.id).is_some_and(|job| !job.checks.is_empty())).await;
    assert_eq!(jobs.cancel(job.id).unwrap().state, JobState::Cancelled);
    tokio::time::timeout(DEADLINE, dropped.cancelled()).await.unwrap();
}

#[tokio::test]
async fn running_check_answers_equal_request() {
    let checker: Checker = Arc::new(|_, _| Box::pin(std::future::pending()));
    let (_test, jobs) = jobs_with(checker).await;
    let start = |names: &[&str], deep| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        jobs.start(Task::Check(CheckTask { names, deep })).unwrap().id
    };
    let first = start(&[], false);
    assert_eq!(start(&[], false), first);
    assert_ne!(start(&[], true), first);
    assert_ne!(start(&["okd/1/"], false), first);
    jobs.cancel(first).unwrap();
    assert_ne!(start(&[], false), first, "a cancelled check answers nothing");
}

#[tokio::test]
async fn registry_without_checks_refuses_one() {
    let test = TestJobs::new(&[]).await;
    assert_eq!(test.jobs.start(Task::Check(CheckTask::default())).unwrap_err(), StartError::NoChecks);
}

#[tokio::test]
async fn names_globs_and_prefixes_select_assets() {
    let test = TestJobs::new(&[]).await;
    let catalog = test.boot.depot().catalog();
    let select = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let found = select_assets(&catalog, &names)?;
        Ok::<_, SelectionError>(found.iter().map(|asset| asset.name.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(select(&["okd/1/"]).unwrap(), ["okd/1/kernel", "okd/1/rootfs"]);
    assert_eq!(select(&["okd/*/kernel", "okd/1/kernel"]).unwrap(), ["okd/1/kernel", "okd/2/kernel"]);
    let error = select(&["okd/3/", "okd/1/kernl"]).unwrap_err();
    let SelectionError::Unknown(unknown) = &error else { panic!("{error}") };
    assert_eq!((unknown[0].name.as_str(), unknown.len()), ("okd/3/", 2), "{error}");
}
