//! JSON-RPC calls and who may make them.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::Web;
use crate::config::Listen;
use crate::web::{Bound, Caller, bind, serve_unix};

#[tokio::test]
async fn calls_reach_the_master() {
    let web = Web::start().await;
    for (path, method, params, noted) in [
        ("builds/20", "stop", r#"{"reason":"late","results":6}"#, "stop 20 late Some(6)"),
        ("builders/a%2Fb%20c%25/builds/1", "stop", "{}", "stop 21 no reason None"),
        ("buildrequests/30", "cancel", r#"{"reason":null}"#, "cancel 30 no reason"),
        ("buildrequests/30", "set_priority", r#"{"priority":-3}"#, "priority 30 -3"),
        ("workers/w2", "pause", r#"{"reason":"disk"}"#, "Pause 2 disk"),
        ("workers/3", "unpause", "{}", "Unpause 3 no reason"),
        ("builders/fast/workers/w1", "stop", "{}", "Stop 1 no reason"),
        ("workers/1", "kill", "{}", "Kill 1 no reason"),
    ] {
        let (status, answer) = web.call(&format!("/api/v2/{path}"), method, params).await;
        assert_eq!((status, answer), (200, json!({"jsonrpc": "2.0", "id": 7, "result": null})), "{path} {method}");
        assert_eq!(web.fake.calls.lock().unwrap().pop().unwrap(), noted);
    }
    let (status, answer) = web.call("/api/v2/forceschedulers/force", "force", r#"{"builderid":"1","branch":"x"}"#).await;
    assert_eq!((status, &answer["result"]), (200, &json!([5, {"1": 30, "12": 31}])));
    assert_eq!(web.fake.calls.lock().unwrap().pop().unwrap(), r#"force force {"branch":"x","builderid":"1"} by tcp"#);
}

#[tokio::test]
async fn errors_say_what_is_wrong_and_echo_the_id() {
    let web = Web::start().await;
    for (path, method, params, status, code, message) in [
        ("forceschedulers/force", "force", r#"{"branch":"bad"}"#, 400, -32602, json!({"branch": "no such branch"})),
        ("forceschedulers/nobody", "force", "{}", 404, -32600, json!("there is no forcescheduler 'nobody'")),
        ("builds/20", "stopp", "{}", 400, -32601, json!("a build has no method 'stopp' (did you mean 'stop'?); there are: stop, rebuild")),
        ("builds/20", "stop", r#"{"results":9}"#, 400, -32602, json!("9 is no result (0 to 6)")),
        ("builds/20", "stop", r#"{"reason":[]}"#, 400, -32602, json!("'reason' must be a text")),
        ("builds/20", "stop", "[]", 400, -32600, json!("'params' must be an object")),
        ("builds/20", "rebuild", "{}", 500, -32603, json!("disk full")),
        ("builds/99", "stop", "{}", 404, -32600, json!("there is no build 99")),
        ("builders/1/builds/9", "stop", "{}", 404, -32600, json!("there is no build 9 of builder 1")),
        ("buildrequests/30", "set_priority", "{}", 400, -32602, json!("'priority' must be a whole number")),
    ] {
        let (got, answer) = web.call(&format!("/api/v2/{path}"), method, params).await;
        assert_eq!((got, &answer["error"]), (status, &json!({"code": code, "message": message})), "{path} {method} {params}");
    }
    let deep = "[".repeat(100_000);
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        (deep.as_str(), -32700),
        ("[]", -32600),
        ("5", -32600),
        (r#"{"id":{},"jsonrpc":"2.0","method":"stop"}"#, -32600),
        (r#"{"jsonrpc":"1.0","method":"stop"}"#, -32600),
        (r#"{"method":"stop"}"#, -32600),
        (r#"{"jsonrpc":"2.0"}"#, -32600),
    ] {
        let answer = web.post("/api/v2/builds/20", body).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_i64()), (400, Some(code)), "{}", &body[..body.len().min(50)]);
    }
    // only the bad force came as far as the master
    assert_eq!(web.fake.calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn pages_of_strangers_change_nothing() {
    let web = Web::start().await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"kill","params":{}}"#;
    for headers in
        ["Host: evil.example\r\n", "Host: localhost\r\nOrigin: http://evil.example\r\n", "Host: localhost\r\nX-Forwarded-For: 1.2.3.4\r\n"]
    {
        let answer = web.request("POST", "/api/v2/workers/1", headers, call).await;
        let json = answer.json();
        assert_eq!((answer.status, &json["error"]["code"]), (403, &json!(-32600)), "{headers}");
        assert!(json["error"]["message"].as_str().unwrap().contains("authz"));
        // reading is open
        assert_eq!(web.request("GET", "/api/v2/workers/1", headers, "").await.status, 200);
    }
    assert!(web.fake.calls.lock().unwrap().is_empty());
    let own = format!("Host: localhost:{0}\r\nOrigin: http://localhost:{0}\r\nContent-Type: text/plain\r\n", web.port);
    assert_eq!(web.request("POST", "/api/v2/workers/1", &own, call).await.status, 200);
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let web = Web::start().await;
    let said = "POST /api/v2/builds/20 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n";
    let answer = web.send(said).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_i64()), (413, Some(-32600)));
    let mut stream = web.connect().await;
    stream.write_all(b"POST /api/v2/builds/20 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    for _ in 0..18 {
        // the server may have hung up already
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut start = [0; 12];
    match stream.read_exact(&mut start).await {
        Ok(_) => assert_eq!(&start, b"HTTP/1.1 413"),
        Err(error) => assert!(matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof), "{error}"),
    }
}

#[tokio::test]
async fn whoever_may_open_the_socket_is_trusted() {
    let web = Web::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let Bound::Unix(listener) = bind(&Listen::Unix { path: path.clone(), mode: 0o600 }).unwrap() else { panic!("a socket") };
    let server = tokio::spawn(serve_unix(listener, crate::web::router(web.fake.clone()), Caller::Socket, Default::default()));
    let body = r#"{"jsonrpc":"2.0","id":"x","method":"force","params":{}}"#;
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let head = format!("POST /api/v2/forceschedulers/force HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut all = vec![];
    stream.read_to_end(&mut all).await.unwrap();
    let answer = super::split(&all);
    assert_eq!((answer.status, &answer.json()["id"]), (200, &Value::from("x")));
    assert_eq!(web.fake.calls.lock().unwrap().pop().unwrap(), "force force {} by socket");
    server.abort();
}
