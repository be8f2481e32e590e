//! Calls that change something: JSON-RPC 2.0 by POST.
//!
//! Who may call is settled before the body is read, so a stranger costs no memory.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value, json};

use super::backend::{ApiError, Backend, Caller, ControlError, Forced, WorkerAction};
use super::kinds::Kind;
use super::lookup::{self, Place};
use super::route::Route;
use super::{access, reply};
use crate::base::suggest;
use crate::model::Results;

/// The largest body of a call.
const MAX_BODY: usize = 16 << 20;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL_ERROR: i64 = -32603;

/// What goes wrong with a call: the status of the answer, and the error object in it.
struct Fault {
    status: StatusCode,
    code: i64,
    message: Value,
}

impl Fault {
    fn new(status: StatusCode, code: i64, message: impl Into<Value>) -> Fault {
        Fault { status, code, message: message.into() }
    }

    fn request(message: impl Into<Value>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, message)
    }

    fn params(message: impl Into<Value>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, INVALID_PARAMS, message)
    }
}

impl From<ControlError> for Fault {
    fn from(error: ControlError) -> Fault {
        match error {
            ControlError::NotFound(why) => Fault::new(StatusCode::NOT_FOUND, INVALID_REQUEST, why),
            ControlError::Invalid(why) => Fault::params(why),
            ControlError::Fields(fields) => {
                Fault::params(fields.into_iter().map(|(name, why)| (name, why.into())).collect::<Map<_, Value>>())
            }
            ControlError::Failed(why) => Fault::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL_ERROR, why),
        }
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Fault {
        match error {
            ApiError::BadQuery(why) => Fault::params(why),
            ApiError::NotFound(why) => Fault::new(StatusCode::NOT_FOUND, INVALID_REQUEST, why),
            ApiError::Failed(why) => Fault::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL_ERROR, why),
        }
    }
}

/// Answers a POST to one row.
pub async fn post(backend: &dyn Backend, route: &Route, request: Request) -> Response {
    let mut id = Value::Null;
    let done = carry_out(backend, route, request, &mut id).await;
    answer(done, id)
}

/// What has methods of its own beside the rows of the API.
#[derive(Clone, Copy)]
pub enum Apart {
    Config,
    Instances,
    Outbox,
}

impl Apart {
    /// As it is called in a sentence, and its methods.
    fn methods(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Apart::Config => ("a config has", &["reload", "diff"]),
            Apart::Instances => ("instances have", &["reap"]),
            Apart::Outbox => ("an outbox has", &["retry"]),
        }
    }
}

/// Answers a POST to one of these.
pub async fn post_apart(backend: &dyn Backend, apart: Apart, request: Request) -> Response {
    let mut id = Value::Null;
    let done = carry_out_apart(backend, apart, request, &mut id).await;
    answer(done, id)
}

fn answer(done: Result<Value, Fault>, id: Value) -> Response {
    let (status, mut answer) = match done {
        Ok(result) => (StatusCode::OK, json!({"jsonrpc": "2.0", "result": result})),
        Err(fault) => (fault.status, json!({"jsonrpc": "2.0", "error": {"code": fault.code, "message": fault.message}})),
    };
    answer["id"] = id;
    reply::json(status, &answer)
}

/// Who calls, if they may, and what they call.
async fn taken(request: Request, id: &mut Value) -> Result<(Caller, String, String, Map<String, Value>), Fault> {
    let peer = request.extensions().get::<Caller>().copied();
    let caller = access::control(peer, request.headers()).map_err(|why| {
        tracing::debug!(path = request.uri().path(), peer = peer.map(|peer| peer.to_string()), "a control call is refused: {why}");
        Fault::new(StatusCode::FORBIDDEN, INVALID_REQUEST, why)
    })?;
    let path = request.uri().path().to_owned();
    let body = body(request.into_body()).await?;
    let (method, params) = call(&body, id)?;
    Ok((caller, path, method, params))
}

async fn carry_out_apart(backend: &dyn Backend, apart: Apart, request: Request, id: &mut Value) -> Result<Value, Fault> {
    let (caller, _, method, _) = taken(request, id).await?;
    match (apart, method.as_str()) {
        (Apart::Config, "reload") => Ok(backend.reload(caller).await?),
        (Apart::Config, "diff") => Ok(backend.compare().await?),
        (Apart::Instances, "reap") => Ok(json!({ "stopped": backend.reap(caller).await? })),
        (Apart::Outbox, "retry") => Ok(json!({ "due": backend.retry_outbox(caller).await? })),
        _ => {
            let (has, known) = apart.methods();
            let hint = suggest::hint(&method, known.iter().copied());
            let there = if known.len() == 1 { "there is" } else { "there are" };
            let message = format!("{has} no method '{method}'{hint}; {there}: {}", known.join(", "));
            Err(Fault::new(StatusCode::BAD_REQUEST, METHOD_NOT_FOUND, message))
        }
    }
}

async fn carry_out(backend: &dyn Backend, route: &Route, request: Request, id: &mut Value) -> Result<Value, Fault> {
    let (caller, path, method, params) = taken(request, id).await?;
    let place = lookup::follow(backend, &route.hops).await?.ok_or_else(|| Fault::request("there is nothing to call here"))?;
    if !place.kind.methods().contains(&method.as_str()) {
        let known = place.kind.methods();
        let hint = suggest::hint(&method, known.iter().copied());
        let message = format!("a {} has no method '{method}'{hint}; there are: {}", place.kind.singular(), known.join(", "));
        return Err(Fault::new(StatusCode::BAD_REQUEST, METHOD_NOT_FOUND, message));
    }
    tracing::info!(path, method, by = %caller, "control call");
    run(backend, &place, &method, params, caller).await
}

async fn body(body: Body) -> Result<Bytes, Fault> {
    let too_large = || Fault::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, format!("the body is larger than {MAX_BODY} bytes"));
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Fault::request(format!("the body can't be read: {error}"))),
        Err(_) => Err(Fault::new(StatusCode::REQUEST_TIMEOUT, INVALID_REQUEST, "the body did not arrive in time")),
    }
}

/// The method and parameters of a call. The id is noted as soon as it is known, for the errors too.
fn call(body: &[u8], id: &mut Value) -> Result<(String, Map<String, Value>), Fault> {
    let call: Value = serde_json::from_slice(body)
        .map_err(|error| Fault::new(StatusCode::BAD_REQUEST, PARSE_ERROR, format!("the body is no JSON: {error}")))?;
    let Value::Object(mut call) = call else {
        let what = if call.is_array() { "several calls in one body are not supported" } else { "the body must be a JSON object" };
        return Err(Fault::request(what));
    };
    match call.remove("id") {
        Some(given @ (Value::String(_) | Value::Number(_))) => *id = given,
        None | Some(Value::Null) => {}
        Some(_) => return Err(Fault::request("'id' must be a text, a number or null")),
    }
    match call.get("jsonrpc") {
        Some(version) if version == "2.0" => {}
        Some(_) => return Err(Fault::request("'jsonrpc' must be \"2.0\"")),
        None => return Err(Fault::request("'jsonrpc' is missing; it must be \"2.0\"")),
    }
    let method = match call.remove("method") {
        Some(Value::String(method)) => method,
        Some(_) => return Err(Fault::request("'method' must be a text")),
        None => return Err(Fault::request("'method' is missing")),
    };
    match call.remove("params") {
        Some(Value::Object(params)) => Ok((method, params)),
        None | Some(Value::Null) => Ok((method, Map::new())),
        Some(_) => Err(Fault::request("'params' must be an object")),
    }
}

async fn run(backend: &dyn Backend, place: &Place, method: &str, params: Map<String, Value>, caller: Caller) -> Result<Value, Fault> {
    if place.kind == Kind::Forceschedulers {
        return Ok(forced(backend.force(&place.name, params, caller).await?));
    }
    let id = place.number()?;
    let reason = || text(&params, "reason");
    match (place.kind, method) {
        (Kind::Builds, "stop") => backend.stop_build(id, reason()?, results(&params)?).await?,
        (Kind::Builds, "rebuild") => return Ok(forced(backend.rebuild(id).await?)),
        (Kind::Buildrequests, "cancel") => backend.cancel_request(id, reason()?).await?,
        (Kind::Buildrequests, "set_priority") => backend.set_priority(id, whole(&params, "priority")?).await?,
        (Kind::Workers, action) => {
            let action = match action {
                "pause" => WorkerAction::Pause,
                "unpause" => WorkerAction::Unpause,
                "stop" => WorkerAction::Stop,
                _ => WorkerAction::Kill,
            };
            backend.worker(id, action, reason()?).await?;
        }
        _ => return Err(Fault::new(StatusCode::BAD_REQUEST, METHOD_NOT_FOUND, format!("there is no method '{method}' here"))),
    }
    Ok(Value::Null)
}

/// `[bsid, {"<builderid>": brid}]`.
fn forced((bsid, requests): Forced) -> Value {
    let requests: BTreeMap<String, i64> = requests.into_iter().map(|(builder, request)| (builder.to_string(), request)).collect();
    json!([bsid, requests])
}

fn text(params: &Map<String, Value>, name: &str) -> Result<String, Fault> {
    match params.get(name) {
        None | Some(Value::Null) => Ok("no reason".into()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(Fault::params(format!("'{name}' must be a text"))),
    }
}

fn whole(params: &Map<String, Value>, name: &str) -> Result<i64, Fault> {
    params.get(name).and_then(Value::as_i64).ok_or_else(|| Fault::params(format!("'{name}' must be a whole number")))
}

fn results(params: &Map<String, Value>) -> Result<Option<i64>, Fault> {
    if matches!(params.get("results"), None | Some(Value::Null)) {
        return Ok(None);
    }
    let code = whole(params, "results")?;
    Results::try_from(code).map_err(Fault::params)?;
    Ok(Some(code))
}
