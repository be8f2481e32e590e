//! Paths, query strings, lists, logs.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::Web;
use super::fake::STDIO;

fn ids(rows: &[Value], key: &str) -> Vec<i64> {
    rows.iter().map(|row| row[key].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn paths_lead_to_rows() {
    let web = Web::start().await;
    for (path, key, wanted) in [
        ("/builders", "builderid", vec![1, 2, 3]),
        ("/builders/", "builderid", vec![1, 2, 3]),
        ("/builders/fast", "builderid", vec![1]),
        ("/builders/2", "builderid", vec![2]),
        ("/builders/a%2Fb%20c%25", "builderid", vec![2]),
        ("/builders/fast/workers", "workerid", vec![1, 2]),
        ("/builders/fast/workers/w2", "workerid", vec![2]),
        ("/builders/slow/workers", "workerid", vec![3]),
        ("/masters/1/builders/3", "builderid", vec![3]),
        ("/masters/1/workers", "workerid", vec![1, 2, 3]),
        ("/builders/1/masters", "masterid", vec![1]),
        ("/schedulers/1", "schedulerid", vec![1]),
        ("/builds", "buildid", vec![20, 21]),
        ("/builders/1/builds", "buildid", vec![20]),
        ("/builders/a%2Fb%20c%25/builds/1", "buildid", vec![21]),
        ("/buildrequests/30/builds", "buildid", vec![20]),
        ("/buildrequests/10/builds", "buildid", vec![]),
        ("/workers/w1/builds", "buildid", vec![20, 21]),
        ("/builders/1/buildrequests", "buildrequestid", vec![30]),
        ("/builds/21/steps", "stepid", vec![42]),
        ("/builds/20/steps/test", "stepid", vec![41]),
        ("/builds/20/steps/0", "stepid", vec![40]),
        ("/builders/fast/builds/1/steps/compile/logs/page", "logid", vec![8]),
        ("/steps/40/logs", "logid", vec![7, 8]),
        ("/logs/7", "logid", vec![7]),
        ("/buildsets/5", "bsid", vec![5]),
        ("/sourcestamps/1", "ssid", vec![1]),
        ("/changes", "changeid", vec![]),
        ("/builds/20/changes", "changeid", vec![]),
        ("/builds/20/triggered_builds", "buildid", vec![]),
    ] {
        assert_eq!(ids(&web.rows(&format!("/api/v2{path}")).await, key), wanted, "{path}");
    }
    assert_eq!(web.rows("/api/v2/builders/3/forceschedulers?field=name").await, [json!({"name": "other"})]);
    assert_eq!(web.rows("/api/v2").await.len(), 17);
    assert!(web.rows("/api/v2/instances?state=ready").await.is_empty());
    assert_eq!(web.get("/api/v2/config").await.json(), json!({"config": {"generation": 3}}));
}

#[tokio::test]
async fn lists_have_a_total_and_single_rows_have_none() {
    let web = Web::start().await;
    let answer = web.get("/api/v2/builders?limit=1&offset=1&field=name").await;
    assert_eq!(answer.body, br#"{"builders":[{"name":"a/b c%"}],"meta":{"total":3}}"#);
    assert!(
        answer.has("content-type: application/json; charset=utf-8") && answer.has("nosniff") && answer.has("content-length: 51"),
        "{}",
        answer.head
    );
    assert_eq!(web.get("/api/v2/builders/1?field=builderid").await.body, br#"{"builders":[{"builderid":1}],"meta":{}}"#);
    assert_eq!(web.get("/api/v2/builds?limit=0&complete=no").await.body, br#"{"builds":[],"meta":{"total":1}}"#);
}

#[tokio::test]
async fn filters_orders_and_their_errors() {
    let web = Web::start().await;
    for (query, wanted) in [
        ("tags__contains=b", vec![1, 3]),
        ("tags__contains=b&order=-name&field=builderid", vec![3, 1]),
        ("name__in=fast&name__in=slow", vec![1, 3]),
        ("name__notin=fast&name__notin=slow", vec![2]),
        ("builderid__gt=1&builderid__le=2", vec![2]),
        ("order=-builderid&limit=2", vec![3, 2]),
        ("description=x", vec![]),
    ] {
        assert_eq!(ids(&web.rows(&format!("/api/v2/builders?{query}")).await, "builderid"), wanted, "{query}");
    }
    assert_eq!(ids(&web.rows("/api/v2/workers?paused=yes&notes=n").await, "workerid"), [2]);
    assert_eq!(ids(&web.rows("/api/v2/builds?complete=on").await, "buildid"), [20]);
    for (path, status, why) in [
        ("/api/v2/builders?nam=fast", 400, "unknown field 'nam' of builders (did you mean 'name'?)"),
        ("/api/v2/builds?number__gte=1", 400, "did you mean 'ge'?"),
        ("/api/v2/builds/20?limit=1", 400, "single resource"),
        ("/api/v2/logs/7/contents?field=content", 400, "only offset and limit"),
        ("/api/v2/builders/%zz", 400, "hexadecimal"),
        ("/api/v2/builders/%ff", 400, "UTF-8"),
        ("/api/v2/builders/nobody", 404, "there is no builder 'nobody'"),
        ("/api/v2/builders/nobody/builds", 404, "there is no builder 'nobody'"),
        ("/api/v2/builders/fast/workers/w3", 404, "there is no worker 'w3' of builder 1"),
        ("/api/v2/builders/fast/builds/9", 404, "there is no build 9 of builder 1"),
        ("/api/v2/builds/77", 404, "there is no build 77"),
        ("/api/v2/changes/1/properties_list", 404, "there is no change 1"),
        ("/api/v2/logs/77/raw", 404, "there is no log 77"),
        ("/api/v2/builder", 404, "did you mean 'builders'?"),
        ("/api/v3", 404, "/api/v2"),
        ("/api/v2/builds?state_string=x", 500, "the disk is on fire"),
    ] {
        let answer = web.get(path).await;
        let said = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(answer.status == status && said.contains(why), "{path}: {} {said}", answer.status);
    }
}

#[tokio::test]
async fn properties_and_what_a_request_waits_for() {
    let web = Web::start().await;
    assert_eq!(web.rows("/api/v2/builds/20/properties").await, [json!({"branch": ["main", "Build"], "n": [1, "Force"]})]);
    assert_eq!(web.rows("/api/v2/builders/1/builds/1/properties?field=n").await, [json!({"n": [1, "Force"]})]);
    let list = web.get("/api/v2/builds/20/property_list?name=branch").await.json();
    assert_eq!(list, json!({"_properties": [{"name": "branch", "value": "\"main\"", "source": "Build"}], "meta": {"total": 1}}));
    for none in ["/api/v2/buildsets/5/properties", "/api/v2/builds/77/properties"] {
        assert_eq!(web.rows(none).await, [json!({})]);
    }
    let waiting = json!({"text": "no worker", "code": "no_worker"});
    assert_eq!(web.rows("/api/v2/buildrequests/30").await[0]["waiting_for"], waiting);
    assert_eq!(web.rows("/api/v2/buildrequests/30?field=waiting_for").await, [json!({"waiting_for": waiting})]);
    assert_eq!(web.rows("/api/v2/buildrequests/30?field=complete").await, [json!({"complete": false})]);
}

#[tokio::test]
async fn a_long_table_is_sent_in_pages() {
    let web = Web::start().await;
    web.fake.many.store(12_000, Ordering::Relaxed);
    let answer = web.get("/api/v2/builds?field=buildid").await;
    assert!(answer.has("transfer-encoding: chunked"));
    let json = answer.json();
    let wanted: Vec<i64> = [20, 21].into_iter().chain(100..12_100).collect();
    assert_eq!(ids(json["builds"].as_array().unwrap(), "buildid"), wanted);
    assert_eq!(json["meta"]["total"], 12_002);
    for (query, from, to) in [
        ("limit=2001&offset=2", 100, 2101),
        ("limit=2000&offset=2", 100, 2100),
        ("offset=2002", 2100, 12_100),
        ("limit=10000&offset=2", 100, 10_100),
        ("offset=10002", 10_100, 12_100),
    ] {
        let json = web.get(&format!("/api/v2/builds?field=buildid&{query}")).await.json();
        assert_eq!(ids(json["builds"].as_array().unwrap(), "buildid"), (from..to).collect::<Vec<_>>(), "{query}");
        assert_eq!(json["meta"]["total"], 12_002);
    }
}

#[tokio::test]
async fn the_contents_of_logs() {
    let web = Web::start().await;
    let chunk = |first: i64, content: &str| json!({"logchunks": [{"logid": 7, "firstline": first, "content": content}], "meta": {}});
    assert_eq!(web.get("/api/v2/logs/7/contents").await.json(), chunk(0, STDIO));
    assert_eq!(
        web.get("/api/v2/builders/fast/builds/1/steps/0/logs/stdio/contents?offset=1&limit=1").await.json(),
        chunk(1, "oone \"quoted\"\n")
    );
    assert_eq!(web.get("/api/v2/logs/7/contents?offset=9").await.json(), chunk(9, ""));
    assert_eq!(web.get("/api/v2/logs/7/contents?limit=0").await.json(), chunk(0, ""));
    let all: String = (0..5000).map(|n| format!("line {n}\n")).collect();
    assert_eq!(web.get("/api/v2/logs/8/contents").await.json()["logchunks"][0]["content"], all.as_str());
    let some: String = (10..4321).map(|n| format!("line {n}\n")).collect();
    assert_eq!(web.get("/api/v2/logs/8/contents?offset=10&limit=4311").await.json()["logchunks"][0]["content"], some.as_str());
}

#[tokio::test]
async fn raw_logs() {
    let web = Web::start().await;
    let answer = web.get("/api/v2/steps/40/logs/stdio/raw").await;
    assert_eq!(answer.body, b"abcde\xff");
    for header in ["content-length: 6", "content-type: text/plain; charset=utf-8", "attachment; filename=\"log_7_stdio.txt\"", "sandbox"] {
        assert!(answer.has(header), "{header}: {}", answer.head);
    }
    let answer = web.get("/api/v2/logs/7/raw_inline").await;
    assert!(!answer.has("content-disposition") && answer.body.len() == 6);
    let head = web.request("HEAD", "/api/v2/logs/7/raw", "Host: x\r\n", "").await;
    assert!(head.body.is_empty() && head.has("content-length: 6"));
    let head = web.request("HEAD", "/api/v2/logs/8/raw", "Host: x\r\n", "").await;
    assert!(head.has("text/html") && head.body.is_empty());
}

#[tokio::test]
async fn health_methods_and_head() {
    let web = Web::start().await;
    assert_eq!((web.get("/healthz").await.status, web.get("/readyz").await.status), (200, 200));
    *web.fake.ready.lock().unwrap() = Err("the database is locked".into());
    let answer = web.get("/readyz").await;
    assert_eq!((answer.status, answer.body.as_slice()), (503, &b"the database is locked\n"[..]));
    let head = web.request("HEAD", "/api/v2/builders/1?field=builderid", "Host: x\r\n", "").await;
    assert!(head.status == 200 && head.body.is_empty() && head.has("content-length: 40"), "{}", head.head);
    for (method, path, allow) in [
        ("DELETE", "/api/v2/builds/20", "GET, HEAD, POST"),
        ("PUT", "/api/v2/builds", "GET, HEAD"),
        ("POST", "/api/v2/builds", "GET, HEAD"),
        ("PUT", "/api/v2/config", "GET, HEAD, POST"),
        ("POST", "/api/v2/builds/20/steps", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ] {
        let answer = web.request(method, path, "Host: localhost\r\n", "").await;
        assert!(answer.status == 405 && answer.has(&format!("allow: {allow}\r\n")), "{method} {path}: {}", answer.head);
    }
}
