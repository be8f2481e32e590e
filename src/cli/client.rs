//! Talks to the running master of a base folder through its control socket.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};

use crate::master::folder::control_socket;
use crate::web::with_short_path;

/// A master answers within that, or it is in trouble.
const DEADLINE: Duration = Duration::from_secs(30);

pub struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Client {
    pub async fn connect(folder: &Path) -> Result<Client> {
        let socket = control_socket(folder);
        let nobody = || format!("no master runs in {}; `buildmoon start` starts one", folder.display());
        let stream = with_short_path(&socket, |path| std::os::unix::net::UnixStream::connect(path)).with_context(nobody)?;
        stream.set_nonblocking(true)?;
        let stream = tokio::net::UnixStream::from_std(stream)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.with_context(nobody)?;
        tokio::spawn(connection);
        Ok(Client { sender })
    }

    async fn call(&mut self, deadline: Duration, method: Method, path: &str, body: Option<Json>) -> Result<Json> {
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let answer = async {
            // The answer before may not have been put away yet.
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>((status, body))
        };
        let (status, body) = tokio::time::timeout(deadline, answer)
            .await
            .map_err(|_| anyhow!("the master does not answer"))?
            .context("the master went away")?;
        let json: Json = serde_json::from_slice(&body).with_context(|| format!("the master answered {status} with what is no JSON"))?;
        match &json["error"] {
            Json::Null if status.is_success() => Ok(json),
            Json::String(text) => bail!("{text}"),
            Json::Object(error) => bail!("{}", message(error.get("message").unwrap_or(&Json::Null))),
            _ => bail!("the master answered {status}"),
        }
    }

    pub async fn get(&mut self, path: &str) -> Result<Json> {
        self.call(DEADLINE, Method::GET, path, None).await
    }

    /// The rows of a collection.
    pub async fn rows(&mut self, path: &str, name: &str) -> Result<Vec<Json>> {
        Ok(self.get(path).await?[name].as_array().cloned().unwrap_or_default())
    }

    pub async fn control(&mut self, path: &str, method: &str, params: Json) -> Result<Json> {
        self.control_within(DEADLINE, path, method, params).await
    }

    /// The same for what may take longer.
    pub async fn control_within(&mut self, deadline: Duration, path: &str, method: &str, params: Json) -> Result<Json> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.call(deadline, Method::POST, path, Some(call)).await?;
        Ok(answer["result"].clone())
    }
}

/// An error's message may be a text or texts by parameter.
fn message(m: &Json) -> String {
    match m {
        Json::String(text) => text.clone(),
        Json::Object(fields) => fields.values().map(message).collect::<Vec<_>>().join("; "),
        Json::Array(items) => items.iter().map(message).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}
