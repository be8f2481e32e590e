//! `http` against peers that answer byte by byte what a test says: shape, options, limits, errors, cancellation.

use std::io::Write;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;

use super::*;

type Heard = mpsc::UnboundedReceiver<String>;

/// The head of a request and the body that it announces.
async fn request(peer: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut text = Vec::new();
    let mut byte = [0; 4096];
    loop {
        let n = peer.read(&mut byte).await.unwrap_or(0);
        text.extend_from_slice(&byte[..n]);
        let shown = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = shown.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().split_once("content-length: ").map(|(_, n)| n.lines().next().unwrap().parse::<usize>().unwrap());
            if n == 0 || body.len() >= length.unwrap_or(0) {
                return shown;
            }
        } else if n == 0 {
            return shown;
        }
    }
}

/// Each connection gets one answer, and then what `endless` holds until the peer is gone; told is each request, and `gone`.
async fn peer(answer: impl Into<Vec<u8>>, endless: &'static [u8], pause: Duration) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (tell, heard) = mpsc::unbounded_channel();
    let answer = answer.into();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (tell, answer) = (tell.clone(), answer.clone());
            tokio::spawn(async move {
                let _ = tell.send(request(&mut stream).await);
                let _ = stream.write_all(&answer).await;
                while !endless.is_empty() {
                    let mut end = [0];
                    tokio::select! {
                        read = stream.read(&mut end) => if read.unwrap_or(0) == 0 { break },
                        () = tokio::time::sleep(pause) => if stream.write_all(endless).await.is_err() { break },
                    }
                }
                let _ = tell.send("gone".into());
            });
        }
    });
    (at, heard)
}

fn json(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-One: a\r\nX-One: b\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

const NOW: Duration = Duration::ZERO;

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_answers_have_one_shape() {
    let (at, mut heard) = peer(json(r#"{"a": null, "b": [1, 2]}"#), b"", NOW).await;
    see(&format!(
        r#"
        local r = http.get("http://{at}/ä b?q=1", {{ params = {{ x = "a b", l = {{ 1, 2 }} }}, headers = {{ ["X-Own"] = "yes" }}, bearer = "t" }})
        assert(r.status == 200 and r.code == 200 and r.ok and r.reason == "OK")
        assert(r.headers["content-type"] == "application/json" and r.headers["Content-Type"] == "application/json")
        assert(r.headers["x-one"] == "a, b" and r.headers.none == nil)
        assert(r.json.a == nil and r.json.b[2] == 2 and math.type(r.json.b[1]) == "integer")
        assert(r.content() == r.text and r:content() == r.text and r:raise_for_status() == r)
        assert(http.get{{ "http://{at}/" }}.ok and http.request{{ method = "delete", url = "http://{at}/" }}.ok)
        assert(http.request("PATCH", "http://{at}/").ok)
    "#
    ))
    .await;
    let first = heard.recv().await.unwrap();
    assert!(first.starts_with("GET /%C3%A4%20b?q=1&l=1&l=2&x=a+b HTTP/1.1\r\n"), "{first}");
    assert!(first.contains("x-own: yes") && first.contains("authorization: Bearer t"), "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_bodies_are_json_forms_text_and_files() {
    let (at, mut heard) = peer(json("{}"), b"", NOW).await;
    let folder = Folder::new(&[
        (
            "master.lua",
            &format!(
                r#"
        local u = "http://{at}/"
        http.post(u, {{ json = {{ a = {{ 1 }}, n = None }}, auth = {{ "me", "pw" }} }})
        http.put(u, {{ form = {{ b = "x y", a = true }} }})
        http.post(u, {{ data = "plain" }})
        http.post(u, {{ files = {{ f = {{ path = "up.txt" }}, g = {{ "n.bin", "content", "text/x" }} }}, form = {{ k = "v" }} }})
    "#
            ),
        ),
        ("up.txt", "from a file"),
    ]);
    folder.see().await.unwrap();
    let mut told = Vec::new();
    while told.len() < 4 {
        told.extend(Some(heard.recv().await.unwrap()).filter(|t| t != "gone"));
    }
    assert!(told[0].ends_with(r#"{"a":[1],"n":null}"#) && told[0].contains("authorization: Basic bWU6cHc="), "{}", told[0]);
    assert!(told[1].ends_with("a=true&b=x+y") && told[1].contains("application/x-www-form-urlencoded"), "{}", told[1]);
    assert!(told[2].ends_with("\r\n\r\nplain"), "{}", told[2]);
    assert!(
        ["name=\"k\"", "filename=\"up.txt\"", "from a file", "filename=\"n.bin\"", "text/x"].iter().all(|t| told[3].contains(t)),
        "{}",
        told[3]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_mistakes_and_hostile_servers_end_with_one_line() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ok = "HTTP/1.1 200 OK\r\n";
    let (endless, _a) = peer(format!("{ok}\r\n"), &[b'x'; 65536], NOW).await;
    let (drip, _b) = peer(format!("{ok}\r\n"), b"x", Duration::from_millis(50)).await;
    let (around, _c) = peer("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", b"", NOW).await;
    let (heads, _d) = peer(format!("{ok}{}", "X-Much: 12345678\r\n".repeat(100_000)), b"", NOW).await;
    let (refuses, _e) = peer("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nConnection: close\r\n\r\nno\nno", b"", NOW).await;
    let bomb = GZIP_BOMB.get_or_init(gzip_bomb);
    let mut packed = format!("{ok}Content-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bomb.len()).into_bytes();
    packed.extend_from_slice(bomb);
    let (bomb, _f) = peer(packed, b"", NOW).await;
    let cases = [
        (format!("get('http://{closed}/')"), "connection refused".to_owned()),
        ("get('http://no-such-host.invalid/')".into(), "GET http://no-such-host.invalid/: the host's name was not found".into()),
        (format!("get('http://u:secret@{closed}/p?token=secret')"), format!("http.get: GET http://{closed}/p?…: connection refused")),
        (format!("get('http://{endless}/', {{ max_size = 1000000 }})"), "larger than 1000000 bytes (max_size)".into()),
        (format!("get('http://{drip}/', {{ timeout = 0.3 }})"), "no complete answer within 300".into()),
        (format!("get('http://{around}/', {{ follow_redirects = 3 }})"), "more than 3 redirects".into()),
        (format!("get('http://{heads}/')"), "the connection failed".into()),
        (format!("get('http://{bomb}/')"), "larger than 16777216 bytes (max_size)".into()),
        (format!("get('http://{refuses}/', {{ check = true }})"), "answered 404 Not Found: no no".into()),
        (format!("get('http://{refuses}/'):raise_for_status()"), "answered 404 Not Found: no no".into()),
        (format!("get('http://{refuses}/').json.x()"), "the answer (status 404) is no JSON".into()),
        ("get('http://x/', { tiemout = 3 })".into(), "unknown option 'tiemout' (did you mean 'timeout'?)".into()),
        ("get('ftp://x/')".into(), "begins with http:// or https://, not ftp:".into()),
        ("get('http://x/', { headers = { a = 'b\\nc' } })".into(), "the value of \"a\" holds a line end".into()),
        ("post('http://x/', { json = { 1 }, data = 'x' })".into(), "json and data exclude each other".into()),
        ("get('https://x/', { verify = 'no.pem' })".into(), "no.pem: No such file".into()),
        ("get('http://x/', { timeout = -1 })".into(), "timeout: needs a number of seconds".into()),
        ("get()".into(), "http.get: needs a URL".into()),
    ];
    for (call, wanted) in cases {
        let told = mistakes(&format!("\nlocal _ = http.{call}")).await.join("\n");
        assert!(told.starts_with("master.lua:2: ") && told.contains(&wanted) && !told.contains("secret"), "{call}: {told}");
    }
    see(&format!("assert(http.get('http://{around}/', {{ follow_redirects = false }}).status == 302)")).await;
    see(&format!("local r = http.get('http://{refuses}/') assert(r.status == 404 and not r.ok)")).await;
}

static GZIP_BOMB: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();

/// 64 MiB of zeros, packed by Python.
fn gzip_bomb() -> Vec<u8> {
    let code = "import gzip,sys; sys.stdout.buffer.write(gzip.compress(bytes(64 << 20)))";
    let made = std::process::Command::new("python3").args(["-c", code]).output().unwrap();
    assert!(made.status.success() && made.stdout.len() > 1000);
    made.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_tls_is_checked_and_a_root_of_ones_own_is_believed() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = Folder::new(&[("ca.pem", &made.cert.pem()), ("key.pem", &made.signing_key.serialize_pem()), ("empty.pem", "")]);
    let code = "
import http.server, ssl, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers(); self.wfile.write(b'ok')
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('ca.pem', 'key.pem')
s.socket = c.wrap_socket(s.socket, server_side=True)
print(s.server_address[1], flush=True)
s.serve_forever()";
    let mut server = tokio::process::Command::new("python3");
    server.args(["-c", code]).current_dir(folder.0.path()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut server = server.kill_on_drop(true).spawn().unwrap();
    let mut line = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut tokio::io::BufReader::new(server.stdout.take().unwrap()), &mut line).await.unwrap();
    let port = line.trim();
    let file = format!(
        r#"
        local function get(verify) return http.get("https://localhost:{port}/", {{ verify = verify }}) end
        assert(get("ca.pem").text == "ok" and get(false).text == "ok")
        local ok, e = pcall(get, true)
        assert(not ok and tostring(e):find("TLS: ", 1, true), tostring(e))
        ok, e = pcall(get, "empty.pem")
        assert(not ok and tostring(e):find("holds no certificate", 1, true), tostring(e))
    "#
    );
    let mut main = std::fs::File::create(folder.0.path().join("master.lua")).unwrap();
    main.write_all(file.as_bytes()).unwrap();
    folder.see().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_unix_sockets_and_proxies() {
    let folder = Folder::new(&[]);
    let listener = UnixListener::bind(folder.0.path().join("d.sock")).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            request(&mut stream).await;
            let _ = stream.write_all(json(r#"{"unix": true}"#).as_bytes()).await;
        }
    });
    let (proxy, mut heard) = peer(json(r#"{"proxy": true}"#), b"", NOW).await;
    let text = format!(
        r#"
        assert(http.get("http://docker/info", {{ unix_socket = "d.sock" }}).json.unix)
        assert(http.get("http://far.invalid/x", {{ proxy = "http://{proxy}" }}).json.proxy)
        local ok, e = pcall(http.get, "http://far.invalid/x", {{ proxy = None }})
        assert(not ok and tostring(e):find("not found", 1, true), tostring(e))
    "#
    );
    std::fs::write(folder.0.path().join("master.lua"), text).unwrap();
    folder.see().await.unwrap();
    assert!(heard.recv().await.unwrap().starts_with("GET http://far.invalid/x HTTP/1.1\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_a_cancelled_call_closes_its_connection_and_calls_do_not_hold_each_other() {
    let (drip, mut heard) = peer("HTTP/1.1 200 OK\r\n\r\n", b"x", Duration::from_millis(20)).await;
    let slow = async |listener: TcpListener| {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                request(&mut stream).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
                let _ = stream.write_all(json("{}").as_bytes()).await;
            });
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(slow(listener));
    let seen = see(&format!(
        "return {{ endless = function() return http.get('http://{drip}/').status end, slow = function() return http.get('http://{at}/').status end }}"
    ))
    .await;
    let cx = RenderInput::default();
    let endless = seen.loaded.generation.render(seen.function("endless"), &cx);
    assert!(tokio::time::timeout(Duration::from_millis(500), endless).await.is_err());
    assert!(heard.recv().await.unwrap().starts_with("GET / "));
    assert_eq!(tokio::time::timeout(Duration::from_secs(3), heard.recv()).await.unwrap().unwrap(), "gone");

    let start = std::time::Instant::now();
    let calls = (0..100).map(|_| seen.loaded.generation.render(seen.function("slow"), &cx));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap(), Value::Int(200));
    }
    // One after the other they would take half a minute.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
