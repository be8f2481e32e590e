//! Reports that are posted to a server of HTTP: until they are taken, in their order, once though the master dies, and with certificates
//! checked both ways.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use buildmoon::base::Secret;
use buildmoon::config::{HttpPushSpec, Password, SecretPart, SecretText, Verify};
use buildmoon::report::sending::push::PushSender;
use serde_json::Value;

use super::*;

/// A request as it came: head and body.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// Answers requests with these heads, one after the other, and with 200 from then on. An empty one: it hangs up.
fn server(answers: &'static [&'static str]) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let kept = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), answers, &kept);
        }
    });
    (port, seen)
}

fn request(stream: &mut TcpStream) -> (String, String) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|n| n > 0) && !head.ends_with("\r\n\r\n") {}
    let length = head.to_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ").map(str::to_owned));
    let mut body = vec![0; length.and_then(|n| n.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn serve(mut stream: TcpStream, answers: &[&str], seen: &Seen) {
    let said = request(&mut stream);
    let mut all = seen.lock().unwrap();
    let answer = answers.get(all.len()).copied().unwrap_or("200 OK");
    all.push(said);
    drop(all);
    if !answer.is_empty() {
        let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsaid\n");
    }
}

pub async fn pusher(folder: &Path, port: u16) -> Box<dyn Sender> {
    let plain = |text: &str| Password::Plain(Secret::new(text));
    let spec = HttpPushSpec {
        server_url: format!("http://127.0.0.1:{port}/hook?token=abc"),
        auth: Some((plain("bot"), plain("s3cret"))),
        headers: vec![("X-Team".into(), SecretText(vec![SecretPart::Text("moon".into())]))],
        debug: true,
        verify: Verify::System,
        cert: None,
    };
    pusher_of(folder, spec).await
}

async fn pusher_of(folder: &Path, spec: HttpPushSpec) -> Box<dyn Sender> {
    std::fs::write(folder.join("master.lua"), "").unwrap();
    let loaded = lua::load(lua::LoadOptions::new(folder)).await.unwrap();
    let secrets = SecretSource::new(loaded.config, loaded.generation);
    let around = Surroundings { master_id: "m".into(), folder: folder.to_owned(), secrets };
    Box::new(PushSender::new(spec, around, courier(folder, "push")))
}

fn report(number: usize) -> NewOutboxItem {
    let payload = json!({ "buildid": number, "results": 0 }).to_string();
    NewOutboxItem { reporter: "push".into(), key: format!("build finished {number}"), lane: "linux".into(), payload }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_posted_until_they_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (port, seen) = server(&["503 Busy", "", "429 Slow down", "408 Timeout", "201 Created", "400 Bad", "302 Elsewhere"]);
    let store = open(folder.path()).await;
    let outbox = Outbox::new(store.clone(), Arc::new(SystemClock), FAST);
    outbox.configure(vec![("push".into(), pusher(folder.path(), port).await)]);
    outbox.put((0..4).map(report).collect(), vec![]).await.unwrap();
    until("all are settled", || async { (waiting(&store).await == 0).then_some(()) }).await;
    let all = seen.lock().unwrap().clone();
    let ids: Vec<i64> = all.iter().map(|(_, body)| serde_json::from_str::<Value>(body).unwrap()["buildid"].as_i64().unwrap()).collect();
    assert_eq!(ids, [0, 0, 0, 0, 0, 1, 2, 3], "in their order");
    let head = &all[0].0;
    assert!(head.starts_with("POST /hook?token=abc HTTP/1.1\r\n"), "{head}");
    let field = |head: &str, name: &str| {
        head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name))).map(|(_, v)| v.to_owned())
    };
    assert_eq!(field(head, "content-type").as_deref(), Some("application/json"));
    assert_eq!(field(head, "authorization").as_deref(), Some("Basic Ym90OnMzY3JldA=="));
    assert_eq!(field(head, "x-team").as_deref(), Some("moon"));
    assert_eq!(field(head, "idempotency-key"), field(&all[4].0, "idempotency-key"), "the same report");
    assert_ne!(field(head, "idempotency-key"), field(&all[5].0, "idempotency-key"), "another one");
    let given_up = store.outbox(Some(OutboxState::GivenUp), 10).await.unwrap();
    let errors: Vec<&str> = given_up.iter().filter_map(|i| i.last_error.as_deref()).collect();
    assert_eq!(
        errors,
        [
            "the server answers 302 Found: said: a report is not posted to another address, give that one",
            "the server answers 400 Bad Request: said"
        ]
    );
    outbox.close(Duration::from_secs(5)).await;
    store.close().await;
}

/// The server has the report, and holds its answer back until the master is dead.
#[test]
fn killed_while_the_server_thinks_it_is_posted_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, gate) = (Seen::default(), Arc::new(Mutex::new(())));
    let (kept, closed) = (seen.clone(), gate.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            kept.lock().unwrap().push(request(&mut stream));
            drop(closed.lock().unwrap());
            let _ = write!(stream, "HTTP/1.1 204 Kept\r\nConnection: close\r\n\r\n");
        }
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    queue(&runtime, folder.path(), vec![report(0)]);
    let thinks = gate.lock().unwrap();
    let mut child = sender_process(folder.path(), port);
    wait_for("the report is there", || (seen.lock().unwrap().len() == 1).then_some(()));
    child.kill9();
    let _again = sender_process(folder.path(), port);
    std::thread::sleep(Duration::from_millis(500));
    drop(thinks);
    wait_settled(&runtime, &folder);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

const HTTPS: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("bodies", "ab") as f:
            f.write(body + b"\n")
        self.send_response(204)
        self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
if sys.argv[2] == "client":
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations("client.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
open("ready", "w").close()
server.serve_forever()
"#;

/// Python's server with that certificate, as it demands one of the client or not; the bodies it took.
fn https(folder: &Path, clients: &str) -> (Sending, u16) {
    let port = support::free_port();
    let _ = std::fs::remove_file(folder.join("ready"));
    let mut python = Command::new("python3");
    python.args(["-c", HTTPS, &port.to_string(), clients]).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
    let child = Sending(python.spawn().expect("python3"));
    wait_for("Python's server listens", || folder.join("ready").exists().then_some(()));
    (child, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: String| std::fs::write(path(name), text).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let client = rcgen::generate_simple_self_signed(vec!["master.test".to_owned()]).unwrap();
    write("cert.pem", made.cert.pem());
    write("key.pem", made.signing_key.serialize_pem());
    write("client.pem", client.cert.pem());
    write("client-key.pem", client.signing_key.serialize_pem());
    let (_open, open_port) = https(folder.path(), "any");
    let (_closed, closed_port) = https(folder.path(), "client");
    let spec = |port: u16, verify: Verify, cert: Option<(String, Option<String>)>| HttpPushSpec {
        server_url: format!("https://localhost:{port}/"),
        auth: None,
        headers: Vec::new(),
        debug: false,
        verify,
        cert,
    };
    let own = || Verify::File(path("cert.pem"));
    let identity = || Some((path("client.pem"), Some(path("client-key.pem"))));
    let item = |attempts| buildmoon::model::OutboxItem {
        id: 1,
        reporter: "push".into(),
        key: "k".into(),
        lane: "l".into(),
        state: OutboxState::Waiting,
        attempts,
        next_try: buildmoon::base::Timestamp(0),
        failing_since: None,
        yields: false,
        created_at: buildmoon::base::Timestamp(0),
        settled_at: None,
        last_error: None,
    };
    let cases = [
        (spec(open_port, Verify::System, None), Some("certificate")),
        (spec(open_port, own(), None), None),
        (spec(open_port, Verify::Off, None), None),
        (spec(open_port, Verify::File(path("client.pem")), None), Some("certificate")),
        (spec(open_port, Verify::File("nosuch.pem".into()), None), Some("nosuch.pem: No such file")),
        (spec(open_port, Verify::File(path("key.pem")), None), Some("holds no certificate")),
        (spec(closed_port, own(), None), Some("")),
        (spec(closed_port, own(), identity()), None),
    ];
    for ((spec, expected), attempt) in cases.into_iter().zip(0..) {
        let shown = format!("{spec:?}");
        let mut sender = pusher_of(folder.path(), spec).await;
        let outcome = sender.send(&item(attempt), "{}".into(), None).await;
        match (expected, &outcome) {
            (None, Outcome::Sent { remark: None }) => {}
            (Some(part), Outcome::Down(why)) if why.contains(part) => {}
            _ => panic!("{shown}: {outcome:?}"),
        }
    }
    assert_eq!(std::fs::read_to_string(path("bodies")).unwrap(), "{}\n{}\n{}\n");
}
