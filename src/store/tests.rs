//! The store through its public face: what is durable, what recovery does, how failures stay apart.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::sql::{Sql, params};
use super::*;
use crate::base::*;
use crate::model::build::Stream;
use crate::model::query::{Filter, Op, Query};
use crate::model::request::{NewBuildset, RequestEnd};
use crate::model::*;

pub(super) async fn open(folder: &TempDir) -> Store {
    let options = StoreOptions { database: folder.path().join("state.sqlite"), logs: folder.path().join("logs") };
    Store::open(options).await.unwrap()
}

fn t(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1000)
}

fn buildset(builders: &[i64]) -> NewBuildset {
    let mut properties = Properties::default();
    properties.set("owner", "anna", "Force Build Form");
    NewBuildset {
        reason: "because".into(),
        submitted_at: t(100),
        external_idstring: None,
        sourcestamps: vec![SourceStamp { branch: Some("main".into()), ..SourceStamp::default() }],
        properties,
        builders: builders.iter().map(|&id| BuilderId(id)).collect(),
        priority: 3,
        rebuilt_buildid: None,
    }
}

fn build(store: &Store, request: &BuildRequest, number: i64) -> Build {
    Build {
        id: store.next_build_id(),
        number,
        builder: request.builder,
        request: request.id,
        worker: WorkerId(1),
        started_at: t(200),
        complete_at: None,
        state: "starting".into(),
        results: None,
    }
}

fn done(build: &Build, results: Results) -> Build {
    Build { complete_at: Some(Timestamp(300_500)), state: "done".into(), results: Some(results), ..build.clone() }
}

fn step(store: &Store, build: &Build) -> Step {
    Step {
        id: store.next_step_id(),
        build: build.id,
        number: 0,
        name: "shell".into(),
        state: "running".into(),
        started_at: Some(t(201)),
        complete_at: None,
        results: None,
        hidden: false,
    }
}

pub(super) fn log(store: &Store, step: StepId) -> Log {
    Log { id: store.next_log_id(), step, name: "stdio".into(), slug: "stdio".into(), kind: LogKind::Stdio, complete: false, num_lines: 0 }
}

async fn one(store: &Store, what: Resource, filter: Filter) -> Value {
    let page = store.list(what, vec![filter], Query { properties: vec!["*".into()], ..Query::default() }).await.unwrap();
    assert_eq!(page.rows.len(), 1);
    Value::Object(page.rows[0].clone())
}

#[tokio::test]
async fn a_build_from_request_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let requests = store.add_buildset(buildset(&[1, 2])).await.unwrap();
    assert_eq!((requests[0].priority, requests[0].buildset.sourcestamps.len(), requests.len()), (3, 1, 2));

    let mut properties = requests[0].buildset.properties.clone();
    properties.set("builddir", "b", "Builder");
    let first = build(&store, &requests[0], 1);
    store.start_build(&first, &properties).await.unwrap();
    let again = store.start_build(&build(&store, &requests[0], 2), &properties).await.unwrap_err();
    assert!(matches!(again, StoreError::Refused(_)), "{again}");
    assert!(!store.finish_request(requests[0].id, Results::Cancelled, t(201)).await.unwrap());

    store.set_build_state(first.id, "building").await.unwrap();
    let set = vec![("got".to_owned(), Property { value: json!([1]), source: "shell".into() })];
    store.set_build_properties(first.id, set).await.unwrap();
    let mut step = step(&store, &first);
    drop(store.put_step(&step));
    step.complete_at = Some(t(202));
    step.results = Some(Results::Success);
    store.put_step(&step).await.unwrap();
    assert_eq!(store.build_properties(first.id).await.unwrap().get("got"), Some(&json!([1])));
    let row = one(&store, Resource::Builds, Filter::eq("buildid", 1)).await;
    assert_eq!(row["state_string"], "building");
    assert_eq!(row["properties"]["owner"], json!(["anna", "Force Build Form"]));

    store.finish_build(&done(&first, Results::Failure), &RequestEnd::Complete(Results::Failure)).await.unwrap();
    let row = one(&store, Resource::Builds, Filter::eq("buildid", 1)).await;
    assert_eq!(
        row,
        json!({"buildid": 1, "number": 1, "builderid": 1, "buildrequestid": 1, "workerid": 1, "masterid": 1, "started_at": 200,
            "complete": true, "complete_at": 300.5, "locks_duration_s": 0, "state_string": "done", "results": 2,
            "properties": {"owner": ["anna", "Force Build Form"], "builddir": ["b", "Builder"], "got": [[1], "shell"]}})
    );
    assert_eq!(one(&store, Resource::Buildsets, Filter::eq("bsid", 1)).await["complete"], false);
    assert!(store.finish_request(requests[1].id, Results::Cancelled, t(400)).await.unwrap());
    assert!(!store.finish_request(requests[1].id, Results::Cancelled, t(400)).await.unwrap());
    let set = one(&store, Resource::Buildsets, Filter::eq("bsid", 1)).await;
    assert_eq!((&set["complete"], &set["results"], &set["complete_at"]), (&json!(true), &json!(6), &json!(400)));
    assert_eq!(
        set["sourcestamps"],
        json!([{"ssid": 1, "branch": "main", "revision": null, "project": "", "repository": "", "codebase": "", "patch": null,
            "created_at": 100}])
    );
    assert_eq!(one(&store, Resource::Sourcestamps, Filter::eq("ssid", 1)).await, set["sourcestamps"][0]);
    let row = one(&store, Resource::Steps, Filter::eq("buildid", 1)).await;
    assert_eq!((&row["complete_at"], &row["urls"]), (&json!(202), &json!([])));
}

#[tokio::test]
async fn a_request_may_run_again_and_keeps_its_story() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let request = store.add_buildset(buildset(&[1])).await.unwrap().remove(0);
    assert!(store.set_request_priority(request.id, 9).await.unwrap());
    let lost = build(&store, &request, 1);
    store.start_build(&lost, &Properties::default()).await.unwrap();
    let end = RequestEnd::Again { why: "worker lost".into(), counts: true };
    store.finish_build(&done(&lost, Results::Retry), &end).await.unwrap();
    let recovery = store.recover(t(500), 3).await.unwrap();
    let waiting = &recovery.waiting[0];
    assert_eq!((waiting.attempts, waiting.priority, &waiting.story[..]), (1, 9, &["worker lost".to_owned()][..]));
    assert_eq!(waiting.buildset, request.buildset);
    // Its attempts are used up.
    assert!(store.recover(t(501), 1).await.unwrap().waiting.is_empty());
    assert_eq!(one(&store, Resource::Buildrequests, Filter::eq("buildrequestid", 1)).await["results"], 4);
}

#[tokio::test]
async fn a_crash_is_put_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let builders = [BuilderRow { name: "a".into(), ..BuilderRow::default() }, BuilderRow { name: "b".into(), ..BuilderRow::default() }];
    store.sync_builders(&builders).await.unwrap();
    let requests = store.add_buildset(buildset(&[1, 2, 1, 1])).await.unwrap();
    let running = build(&store, &requests[0], 7);
    store.start_build(&running, &Properties::default()).await.unwrap();
    let step = step(&store, &running);
    drop(store.put_step(&step));
    let log = log(&store, step.id);
    drop(store.put_log(&log));
    let mut writer = store.log_writer(log.clone(), LogLimits::default());
    writer.append(Stream::Stdout, b"one\ntwo\n").unwrap();
    writer.flush_if_older_than(std::time::Duration::ZERO).unwrap();
    writer.append(Stream::Stdout, b"lost\n").unwrap();
    // Builds of requests 3 and 4 are over, but not recorded with their requests.
    for (request, results) in [(&requests[2], Results::Warnings), (&requests[3], Results::Retry)] {
        let over = done(&build(&store, request, request.id.0 + 5), results);
        store.start_build(&over, &Properties::default()).await.unwrap();
        let work = move |sql: &mut dyn Sql| {
            let text = "UPDATE builds SET complete = 1, results = $1 WHERE id = $2";
            sql.execute(text, params![over.results, over.id]).map(drop)
        };
        store.engine.write("test", work).await.unwrap();
    }
    std::mem::forget(writer);
    drop(store);

    let store = open(&folder).await;
    let recovery = store.recover(t(900), 5).await.unwrap();
    assert_eq!(recovery.interrupted, [running.id]);
    assert_eq!(recovery.last_numbers, [(BuilderId(1), 9)].into());
    let waiting: Vec<_> = recovery.waiting.iter().map(|request| (request.id.0, request.attempts)).collect();
    assert_eq!(waiting, [(1, 0), (2, 0), (4, 0)]);
    let row = one(&store, Resource::Builds, Filter::eq("number", 7)).await;
    assert_eq!((&row["results"], &row["state_string"], &row["complete_at"]), (&json!(5), &json!("master stopped"), &json!(900)));
    assert_eq!(one(&store, Resource::Steps, Filter::eq("stepid", step.id.0)).await["complete"], true);
    assert_eq!(one(&store, Resource::Buildrequests, Filter::eq("buildrequestid", 3)).await["results"], 1);
    let stored = store.log(log.id).await.unwrap().unwrap();
    assert_eq!((stored.complete, stored.num_lines), (true, 2));
    assert_eq!(store.log_lines(log.id, 0, 10).await.unwrap().content, b"oone\notwo\n");
    assert!(store.next_build_id() > running.id && store.next_log_id() > log.id);
    let again = store.recover(t(901), 5).await.unwrap();
    assert_eq!((again.interrupted.len(), again.waiting.len()), (0, 3));
}

#[tokio::test]
async fn names_keep_their_ids_and_what_is_known_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let builder = |name: &str, tags: &[&str]| BuilderRow {
        name: name.into(),
        tags: tags.iter().map(|tag| tag.to_string()).collect(),
        ..BuilderRow::default()
    };
    let ids = store.sync_builders(&[builder("a", &[]), builder("b", &["x"])]).await.unwrap();
    let workers = store.sync_workers(&["w1".into(), "w2".into()]).await.unwrap();
    store.sync_schedulers(&["force".into()]).await.unwrap();
    let info = WorkerInfo {
        version: "4.3.0".into(),
        environ: [("TOKEN".to_owned(), "secret".to_owned())].into(),
        numcpus: Some(8),
        ..WorkerInfo::default()
    };
    drop(store.worker_attached(workers["w2"].id, &info, t(10)));
    drop(store.worker_seen(workers["w2"].id, t(11)));
    store.set_worker_paused(workers["w2"].id, true, Some("broken")).await.unwrap();
    store.close().await;
    assert_eq!(store.sync_schedulers(&[]).await.unwrap_err(), StoreError::Closed);
    assert_eq!(store.worker_seen(WorkerId(1), t(1)).await.unwrap_err(), StoreError::Closed);

    let store = open(&folder).await;
    let again = store.sync_builders(&[builder("c", &[]), builder("b", &["y", "z"])]).await.unwrap();
    assert_eq!((again["b"], again["c"], again.len()), (ids["b"], BuilderId(3), 2));
    let row = one(&store, Resource::Builders, Filter::eq("name", "b")).await;
    assert_eq!(row["tags"], json!(["y", "z"]));
    let workers = store.sync_workers(&["w3".into(), "w2".into()]).await.unwrap();
    let known = &workers["w2"];
    assert_eq!((known.id, known.paused, known.pause_reason.as_deref()), (WorkerId(2), true, Some("broken")));
    assert_eq!((known.last_seen, &known.info.version[..], known.info.environ.len()), (Some(t(11)), "4.3.0", 0));
    assert_eq!(workers["w3"].id, WorkerId(3));
    assert_eq!(store.sync_schedulers(&["x".into(), "force".into()]).await.unwrap()["force"], SchedulerId(1));
}

#[tokio::test]
async fn a_failure_hurts_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    store.sync_workers(&["w".into()]).await.unwrap();
    // The first piece of work holds the writer until the others are queued, so that they share a transaction.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let hold = store.engine.queue("hold", move |_: &mut dyn Sql| wait.lock().unwrap().recv().or(Ok(())), None);
    let insert = |id: i64| {
        let work = move |sql: &mut dyn Sql| {
            sql.execute("INSERT INTO schedulers (id, name) VALUES ($1, $2)", params![id, format!("s{id}")])?;
            assert!(id != 3, "a defect");
            if id == 4 { sql.execute("INSERT INTO nowhere VALUES (1)", &[]).map(drop) } else { Ok(()) }
        };
        store.engine.queue(format!("insert {id}"), work, None)
    };
    let tickets: Vec<Ticket> = [1, 2, 1, 3, 4, 5].into_iter().map(insert).collect();
    // It runs twice, as the others do.
    drop(go);
    hold.await.unwrap();
    let mut outcomes = Vec::new();
    for ticket in tickets {
        outcomes.push(ticket.await.map_err(|error| error.to_string()));
    }
    let fine: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(fine, [true, true, false, false, false, true], "{outcomes:?}");
    assert!(outcomes[4].as_ref().is_err_and(|text| text.contains("insert 4") && text.contains("nowhere")));
    let page = store.list(Resource::Schedulers, vec![], Query::default()).await.unwrap();
    assert_eq!(page.rows.iter().map(|row| row["schedulerid"].clone()).collect::<Vec<_>>(), [1, 2, 5]);
}

#[tokio::test]
async fn a_full_database_says_so_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let pages = |count: &'static str| {
        let work = move |sql: &mut dyn Sql| sql.query(&format!("PRAGMA max_page_count={count}"), &[], &mut |_| Ok(()));
        store.engine.write("test", work)
    };
    pages("1").await.unwrap();
    let large = NewBuildset { reason: "x".repeat(100_000), ..buildset(&[1]) };
    let error = store.add_buildset(large.clone()).await.unwrap_err();
    assert!(error.is_full(), "{error}");
    assert!(error.to_string().contains("adding a build set"), "{error}");
    pages("1000000").await.unwrap();
    store.add_buildset(large).await.unwrap();
    assert_eq!(store.recover(t(1), 0).await.unwrap().waiting.len(), 1);
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let newer = |sql: &mut dyn Sql| sql.execute("UPDATE schema_version SET version = 99", &[]).map(drop);
    store.engine.write("test", newer).await.unwrap();
    store.close().await;
    let options = StoreOptions { database: folder.path().join("state.sqlite"), logs: folder.path().join("logs") };
    let error = Store::open(options).await.err().unwrap();
    assert!(error.to_string().contains("newer program"), "{error}");
    let nowhere = StoreOptions { database: folder.path().join("no/such"), logs: folder.path().join("logs") };
    let error = Store::open(nowhere).await.err().unwrap();
    assert!(error.to_string().contains("no/such"), "{error}");
}

#[tokio::test]
async fn a_thousand_builders_are_one_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let rows: Vec<_> = (0..1000).map(|n| BuilderRow { name: format!("b{n}"), ..BuilderRow::default() }).collect();
    let before = std::time::Instant::now();
    let ids = store.sync_builders(&rows).await.unwrap();
    assert_eq!(ids.len(), 1000);
    // The aim is 30 ms with optimisation; this only notices a transaction for each.
    assert!(before.elapsed() < std::time::Duration::from_secs(2), "{:?}", before.elapsed());
}

/// Rows with all kinds of values and with nothing in some.
async fn varied() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let tags: [&[&str]; 4] = [&[], &["a", "b\"c"], &["x,\"a"], &["ä", "A"]];
    let builders: Vec<_> = (0..8)
        .map(|n| BuilderRow {
            name: format!("{}{n}", if n % 2 == 0 { "Runtests" } else { "run%_" }),
            description: (n % 3 == 0).then(|| format!("number {n}")),
            description_format: None,
            tags: tags[n % 4].iter().map(|tag| tag.to_string()).collect(),
        })
        .collect();
    store.sync_builders(&builders).await.unwrap();
    for n in 0..24 {
        let request = store.add_buildset(buildset(&[n % 5 + 1])).await.unwrap().remove(0);
        let begun = Build { started_at: Timestamp(1_000_000 + n * 750), ..build(&store, &request, n / 5 + 1) };
        store.start_build(&begun, &request.buildset.properties).await.unwrap();
        if n % 3 > 0 {
            let over = Build { complete_at: Some(Timestamp(2_000_000 + n % 7 * 500)), ..done(&begun, Results::ALL[n as usize % 4]) };
            store.finish_build(&over, &RequestEnd::Complete(Results::Success)).await.unwrap();
        }
    }
    (folder, store)
}

fn filters() -> Vec<(Resource, Filter)> {
    let filter = |field: &str, op, values: &[Value]| Filter { field: field.into(), op, values: values.to_vec() };
    let mut all = Vec::new();
    for op in [Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge, Op::In, Op::NotIn] {
        for values in [&[json!(2)][..], &[json!(1), json!(3)], &[json!(1.5)], &[json!(null)], &[json!(1), json!(null)], &[]] {
            all.push((Resource::Builds, filter("results", op, values)));
            all.push((Resource::Builds, filter("builderid", op, values)));
        }
        all.push((Resource::Builds, filter("complete_at", op, &[json!(2001)])));
        all.push((Resource::Builds, filter("complete_at", op, &[json!(2001.5)])));
        all.push((Resource::Builds, filter("started_at", op, &[json!(1004.5)])));
        all.push((Resource::Buildrequests, filter("complete", op, &[json!(false)])));
        all.push((Resource::Buildrequests, filter("claimed_by_masterid", op, &[json!(1)])));
        all.push((Resource::Builders, filter("name", op, &[json!("Runtests4")])));
        all.push((Resource::Builders, filter("description", op, &[json!("number 3"), json!("number 6")])));
    }
    for part in ["", "run", "Run", "%", "_", "4", "'", "nothing"] {
        all.push((Resource::Builders, filter("name", Op::Contains, &[json!(part)])));
        all.push((Resource::Builders, filter("description", Op::Contains, &[json!(part), json!("3")])));
    }
    for tag in ["a", "A", "b\"c", "x,\"a", "ä", "", "b", ",\"a"] {
        all.push((Resource::Builders, filter("tags", Op::Contains, &[json!(tag)])));
    }
    all
}

#[tokio::test]
async fn lists_answer_as_the_query_does_in_memory() {
    let (_folder, store) = varied().await;
    for (what, filter) in filters() {
        let all = store.list(what, vec![], Query::default()).await.unwrap();
        assert_eq!(all.total, all.rows.len());
        let order = match what {
            Resource::Builds => vec![("results".to_owned(), true), ("complete_at".to_owned(), false), ("masterid".to_owned(), true)],
            Resource::Builders => vec![("description".to_owned(), false), ("name".to_owned(), true)],
            _ => vec![("buildrequestid".to_owned(), true)],
        };
        for (offset, limit) in [(0, None), (0, Some(2)), (3, Some(4)), (40, Some(1)), (0, Some(0))] {
            for order in [&order[..], &[]] {
                let query = Query { filters: vec![filter.clone()], order: order.to_vec(), offset, limit, ..Query::default() };
                let expected = query.apply(all.rows.clone());
                let found = store.list(what, vec![], query.clone()).await.unwrap();
                assert_eq!(found, expected, "{what:?} {query:?}");
                let scoped = Query { filters: vec![], ..query };
                assert_eq!(store.list(what, vec![filter.clone()], scoped).await.unwrap(), expected);
            }
        }
    }
}

#[tokio::test]
async fn lists_show_wanted_fields_and_refuse_unknown_ones() {
    let (_folder, store) = varied().await;
    let ask = |query: Query| store.list(Resource::Builds, vec![], query);
    let wanted = Query { fields: vec!["number".into(), "buildid".into(), "number".into()], limit: Some(1), ..Query::default() };
    let page = ask(wanted).await.unwrap();
    assert_eq!(Value::Object(page.rows[0].clone()), json!({"buildid": 1, "number": 1}));
    assert_eq!(page.total, 24);
    let some = Query { properties: vec!["owner".into()], limit: Some(1), ..Query::default() };
    assert_eq!(ask(some).await.unwrap().rows[0]["properties"], json!({"owner": ["anna", "Force Build Form"]}));
    let other = Query { properties: vec!["other".into()], limit: Some(1), ..Query::default() };
    assert_eq!(ask(other).await.unwrap().rows[0]["properties"], json!({}));
    assert_eq!(ask(Query::default()).await.unwrap().rows[0]["properties"], json!({}));

    let wrong = [
        Query { fields: vec!["result".into()], ..Query::default() },
        Query { order: vec![("result".into(), true)], ..Query::default() },
        Query::default().filter(Filter::eq("result", 1)),
    ];
    for query in wrong {
        let error = ask(query).await.unwrap_err();
        assert_eq!(error.to_string(), "unknown field 'result' of builds (did you mean 'results'?)");
        assert!(error.is_query());
    }
    for filter in
        [Filter::eq("results", "many"), Filter::eq("complete", "perhaps"), Filter::eq("properties", 1), Filter::eq("number", json!([1]))]
    {
        let error = ask(Query::default().filter(filter)).await.unwrap_err();
        assert!(error.is_query(), "{error}");
    }
    let many = Filter { field: "number".into(), op: Op::In, values: vec![json!(1); 1000] };
    assert!(ask(Query::default().filter(many)).await.unwrap_err().is_query());
    let far = Query { offset: usize::MAX, limit: Some(usize::MAX), ..Query::default() };
    assert_eq!(ask(far).await.unwrap().total, 24);
    for nothing in [Resource::Changes, Resource::Logs, Resource::Workers] {
        let order = nothing.fields().map(|name| (name.to_owned(), true)).collect();
        assert_eq!(store.list(nothing, vec![], Query { order, ..Query::default() }).await.unwrap().total, 0);
    }
}

#[tokio::test]
async fn common_questions_use_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let questions = [
        ("SELECT id FROM requests WHERE complete = 0 ORDER BY id LIMIT 1", "requests_open"),
        ("SELECT COUNT(*) FROM requests WHERE complete = 0", "requests_open"),
        ("SELECT id FROM builds WHERE request_id = $1 ORDER BY id", "builds_of_request"),
        ("SELECT id FROM builds WHERE builder_id = $1 AND number = $2 ORDER BY id", "builds_by_number"),
        ("SELECT id FROM builds WHERE builder_id = $1 ORDER BY number DESC NULLS LAST, id LIMIT 1", "builds_by_number"),
        ("SELECT id FROM steps WHERE build_id = $1 ORDER BY number NULLS FIRST, id", "steps_of_build"),
        ("SELECT id FROM logs WHERE step_id = $1 ORDER BY id", "logs_of_step"),
    ];
    for (question, index) in questions {
        let work = move |sql: &mut dyn Sql| {
            let values: &[sql::Param] = params![1, 1];
            let plan = format!("EXPLAIN QUERY PLAN {question}");
            super::sql::rows(sql, &plan, &values[..question.matches('$').count()], |row| row.string(3))
        };
        let plan = store.engine.read("plan", work).await.unwrap().join("; ");
        assert!(plan.contains(index), "{question}: {plan}");
    }
}
