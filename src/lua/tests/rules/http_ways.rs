//! `http` where an answer comes piece by piece, and on the ways to a server: certificates of clients, proxies, those of the environment,
//! unix sockets.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;

use super::*;

/// Reads the head of a request.
async fn head(peer: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && peer.read(&mut byte).await.unwrap_or(0) > 0 {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Progress as Docker tells it, through a unix socket, each line when the one before has been understood.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_read_line_by_line_while_it_comes() {
    let folder = Folder::new(&[(
        "master.lua",
        r#"
        local seen = {}
        local r = http.post("http://docker/images/create", { unix_socket = "d.sock", stream = true, params = { fromImage = "x" } })
        assert(r.status == 200 and r.ok and r.headers["transfer-encoding"] == "chunked" and r:raise_for_status() == r)
        for _, name in ipairs{ "text", "json", "content" } do
          local ok, e = pcall(function() return r[name] end)
          assert(not ok and e:find("the answer is a stream and has no '" .. name .. "'", 1, true), e)
        end
        for line in r.body:lines() do
          seen[#seen + 1] = json.decode(line).status
          fs.write("seen", tostring(#seen))
        end
        assert(table.concat(seen, ",") == "pulling,half way,done", table.concat(seen, ","))
        assert(r.body:read() == nil)
    "#,
    )]);
    let listener = UnixListener::bind(folder.0.path().join("d.sock")).unwrap();
    let seen = folder.0.path().join("seen");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(head(&mut stream).await.starts_with("POST /images/create?fromImage=x HTTP/1.1\r\n"));
        stream.write_all(CHUNKED).await.unwrap();
        for (n, pieces) in
            [&["{\"status\":\"pulling\"}\r\n"][..], &["{\"status\":", "\"half way\"}\n"], &["{\"status\":\"done\"}"]].iter().enumerate()
        {
            let before = || n == 0 || std::fs::read_to_string(&seen).is_ok_and(|text| text == n.to_string());
            assert!(eventually(before).await, "line {n} was not given on while the answer came");
            for piece in *pieces {
                stream.write_all(&chunk(piece)).await.unwrap();
            }
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    });
    folder.see().await.unwrap();
}

/// A server that sends as fast as it can, and counts.
async fn flood() -> (std::net::SocketAddr, mpsc::UnboundedReceiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (tell, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                head(&mut stream).await;
                let (mut sent, piece) = (0, vec![b'x'; 65536]);
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                while stream.write_all(&piece).await.is_ok() {
                    sent += piece.len();
                    let _ = tell.send(sent);
                }
                let _ = tell.send(0);
            });
        }
    });
    (at, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_read_stays_with_the_server_and_ends_with_the_call() {
    let (at, mut heard) = flood().await;
    let seen = see(&format!(
        r#"
        local kept
        return {{
          open = function() kept = http.get("http://{at}/", {{ stream = true }}) kept.body:read() sleep(0.5) return #kept.body:read() > 0 end,
          read = function() return kept.body:read() end,
          forget = function() http.get("http://{at}/", {{ stream = true }}) end,
          close = function()
            local r = http.get("http://{at}/", {{ stream = true }})
            r.body:close()
            return select(2, pcall(function() return r.body:read() end))
          end,
        }}"#
    ))
    .await;
    let cx = RenderInput::default();
    let call = async |name: &str| seen.loaded.generation.render(seen.function(name), &cx).await;
    let gone = async |heard: &mut mpsc::UnboundedReceiver<usize>| {
        let mut most = 0;
        while let Some(sent) = tokio::time::timeout(Duration::from_secs(5), heard.recv()).await.expect("the connection is still there") {
            if sent == 0 {
                return most;
            }
            most = most.max(sent);
        }
        panic!("the server ended");
    };
    assert_eq!(call("open").await.unwrap(), Value::Bool(true));
    let most = gone(&mut heard).await;
    // What the two sockets hold is not the master's memory.
    assert!(most < 64 << 20, "{most} bytes were taken that nobody asked for");
    let told = call("read").await.unwrap_err();
    assert!(told.message.contains("is closed: a stream ends with the call that opened it"), "{told}");
    call("forget").await.unwrap();
    gone(&mut heard).await;
    let Value::Text(told) = call("close").await.unwrap() else { panic!() };
    assert!(told.contains("closed"), "{told}");
    gone(&mut heard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_limits_too() {
    let (at, _heard) = flood().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let quiet = silent.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = silent.accept().await {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 20\r\n\r\nno such image").await.unwrap();
            held.push(stream);
        }
    });
    for (call, wanted) in [
        (format!("get('http://{at}/', {{ stream = true }}).body:read('l')"), "http.get: a line is longer than 1048576 bytes".to_owned()),
        (format!("get('http://{at}/', {{ stream = true }}).body:read('a')"), "what is left is longer than 16777216 bytes".into()),
        (
            format!("get('http://{at}/', {{ stream = true, max_size = 99999 }}).body:read('a')"),
            "the answer is larger than 99999 bytes".into(),
        ),
        (
            format!("get('http://{quiet}/', {{ stream = true, timeout = 0.3 }}).body:read('l')"),
            format!("GET http://{quiet}/: nothing more came within 300 ms (timeout)"),
        ),
        (format!("get('http://{quiet}/', {{ stream = 1 }})"), "stream: needs true or false".into()),
        (format!("get('http://{quiet}/', {{ stream = true }}):raise_for_status()"), "answered 404 Not Found".into()),
    ] {
        let told = mistakes(&format!("\nlocal _ = http.{call}")).await.join("\n");
        assert!(told.starts_with("master.lua:2: ") && told.contains(&wanted), "{call}: {told}");
    }
    // Of a refusal its beginning is shown, and only that is read.
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = refused.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = refused.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 500 Oh\r\n\r\nno room left").await.unwrap();
        stream.write_all(&vec![b' '; 1 << 20]).await.ok();
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let told = mistakes(&format!("http.get('http://{at}/', {{ stream = true, check = true, timeout = 5 }})")).await.join("\n");
    assert!(told.contains("answered 500 Internal Server Error: no room left"), "{told}");
}

/// Servers of Python: what they are told is their own affair.
async fn python(folder: &Folder, code: &str) -> (tokio::process::Child, String) {
    let mut server = tokio::process::Command::new("python3");
    server.args(["-c", code]).current_dir(folder.0.path()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut server = server.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    (server, line.trim().to_owned())
}

/// An HTTPS server that says who the client is.
const WHO: &str = "
import http.server, ssl
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        who = self.connection.getpeercert()
        text = dict(x[0] for x in who['subject'])['commonName'].encode() if who else b'nobody'
        self.send_response(200); self.send_header('Content-Length', str(len(text))); self.end_headers(); self.wfile.write(text)
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer):
    def handle_error(self, *a): pass
s = S(('127.0.0.1', 0), H)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('server.pem', 'server.key')
c.verify_mode = ssl.CERT_OPTIONAL
c.load_verify_locations('ca.pem')
s.socket = c.wrap_socket(s.socket, server_side=True)
print(s.server_address[1], flush=True)
s.serve_forever()";

/// A root, a server it signed, and a client it signed.
fn certificates() -> Vec<(String, String)> {
    use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "the root");
    let root_key = KeyPair::generate().unwrap();
    let ca = root.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(root, root_key);
    let mut files = vec![("ca.pem".to_owned(), ca.pem())];
    for (name, purpose) in [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)] {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("the {name}"));
        params.extended_key_usages.push(purpose);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        files.push((format!("{name}.pem"), certificate.pem()));
        files.push((format!("{name}.key"), key.serialize_pem()));
        files.push((format!("{name}-both.pem"), certificate.pem() + &key.serialize_pem()));
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_its_certificate() {
    let files = certificates();
    let folder = Folder::new(&files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect::<Vec<_>>());
    let (_server, port) = python(&folder, WHO).await;
    let text = format!(
        r#"
        local function get(cert) return http.get("https://localhost:{port}/", {{ verify = "ca.pem", cert = cert }}) end
        assert(get(nil).text == "nobody")
        assert(get({{ cert = "client.pem", key = "client.key" }}).text == "the client")
        assert(get({{ "client.pem", "client.key" }}).text == "the client" and get("client-both.pem").text == "the client")
        for cert, wanted in pairs{{ ["client.pem"] = "cert: ", ["none.pem"] = "none.pem: No such file" }} do
          local ok, e = pcall(get, cert)
          assert(not ok and e:find(wanted, 1, true), tostring(e))
        end
    "#
    );
    std::fs::write(folder.0.path().join("master.lua"), text).unwrap();
    folder.see().await.unwrap();
    let (_server, port) = python(&folder, &WHO.replace("CERT_OPTIONAL", "CERT_REQUIRED")).await;
    let text = format!("http.get('https://localhost:{port}/', {{ verify = 'ca.pem' }})");
    std::fs::write(folder.0.path().join("master.lua"), text).unwrap();
    let told = folder.mistakes().await.join("\n");
    assert!(told.contains("CertificateRequired") || told.contains("the connection failed"), "{told}");
}

/// A proxy that makes tunnels, to wherever it is told.
async fn tunnels(name: &str, to: String) -> (std::net::SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (tell, heard) = mpsc::unbounded_channel();
    let name = name.to_owned();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let asked = head(&mut stream).await;
            let _ = tell.send(format!("{name} {asked}"));
            if !asked.starts_with("CONNECT ") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nproxy").await;
                continue;
            }
            if asked.contains("forbidden.invalid") {
                let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
                continue;
            }
            let mut far = tokio::net::TcpStream::connect(&to).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut far).await });
        }
    });
    (at, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_encrypted_goes_through_a_tunnel() {
    let files = certificates();
    let folder = Folder::new(&files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect::<Vec<_>>());
    let (_server, port) = python(&folder, WHO).await;
    let (proxy, mut heard) = tunnels("proxy", format!("127.0.0.1:{port}")).await;
    let text = format!(
        r#"
        local options = {{ verify = "ca.pem", proxy = "http://me:word@{proxy}" }}
        assert(http.get("https://localhost:{port}/x", options).text == "nobody")
        local ok, e = pcall(http.get, "https://forbidden.invalid/", options)
        assert(not ok and e:find("no connection: ", 1, true) and not e:find("word", 1, true), e)
        ok, e = pcall(http.get, "https://localhost:{port}/", {{ verify = "ca.pem", proxy = "no proxy at all" }})
        assert(not ok and e:find("proxy: ", 1, true), e)
    "#
    );
    std::fs::write(folder.0.path().join("master.lua"), text).unwrap();
    folder.see().await.unwrap();
    let asked = heard.recv().await.unwrap().to_lowercase();
    assert!(asked.starts_with(&format!("proxy connect localhost:{port} http/1.1\r\n")), "{asked}");
    assert!(asked.contains("proxy-authorization: basic bwu6d29yza=="), "{asked}");
}

/// The environment is the program's as a whole: this test's own program is run again with another one.
#[tokio::test(flavor = "multi_thread")]
async fn proxies_of_the_environment_are_used_and_their_exceptions_kept() {
    const MARK: &str = "BUILDMOON_TEST_PROXIES";
    if let Ok(direct) = std::env::var(MARK) {
        see(&format!(
            r#"
            assert(http.get("http://far.invalid/x").text == "proxy" and http.get("http://127.0.0.1:{direct}/").text == "direct")
            assert(http.get("http://127.0.0.1:{direct}/", {{ proxy = os.getenv("http_proxy") }}).text == "proxy")
            assert(not pcall(http.get, "http://far.invalid/x", {{ proxy = None }}) and not pcall(http.get, "https://far.invalid/x"))
        "#
        ))
        .await;
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let direct = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\ndirect").await;
        }
    });
    let (plain, mut heard) = tunnels("plain", String::new()).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut again = tokio::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "lua::tests::rules::http_ways::proxies_of_the_environment_are_used_and_their_exceptions_kept"]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        again.env_remove(name).env_remove(name.to_uppercase());
    }
    again.env(MARK, direct.to_string()).env("http_proxy", format!("http://{plain}"));
    again.env("https_proxy", format!("http://{closed}")).env("no_proxy", "localhost,127.0.0.1");
    let ran = again.output().await.unwrap();
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success() && told.contains("1 passed"), "{told}");
    assert!(heard.recv().await.unwrap().starts_with("plain GET http://far.invalid/x HTTP/1.1\r\n"));
}
