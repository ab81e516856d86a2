//! One request and its answer.
//!
//! Judged, edited, sent to the upstream, which is called with the first that is allowed, and answered; or answered here, as the
//! inspecting mode does.

use std::{
    future::{pending, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use hyper::{
    body::{Body as _, Bytes, Incoming},
    client::conn,
    upgrade::OnUpgrade,
};
use tokio::{net::TcpStream, task::spawn_local};
use weir_filters::{
    http::{Decision, Edit, POLICY_HEADER, Refusal, RequestHead, inspect::gate::Asks, parts},
    http2::{self, GRPC_DENIED, Judge as _},
};
use weir_model::flow::HttpVersion;

use super::{
    CONNECTION_WINDOW, Connection, Local, STREAM_WINDOW,
    body::{BoxError, Interim, Outgoing, Reply},
    tunnel::Tunnel,
    wire::{UpstreamWire, lock},
};
use crate::{inspect::Editable, relay::End};

/// What Envoy answers with Cilium's filter.
const DENIED: &str = "Access denied\r\n";

const NO_CONNECT: &str = "CONNECT, on a connection whose headers the policy edits";

/// How the upstream is spoken to.
pub(super) enum Sender {
    Http1(conn::http1::SendRequest<Outgoing>),
    Http2(conn::http2::SendRequest<Outgoing>),
}

/// A request that was passed on; its record is complete when it is dropped.
pub(super) struct Exchange {
    connection: Rc<Connection>,
    stream: u32,
    /// Of the answer, once it has come.
    status: u16,
}

impl Exchange {
    /// The answer has begun.
    fn answered(&mut self, response: &Response<Incoming>) {
        self.status = response.status().as_u16();
        let mut session = self.connection.session.borrow_mut();
        let grpc_status = grpc_status(response.headers());
        let is_grpc = self.connection.version == HttpVersion::Http2 && is_grpc(response.headers());
        if is_grpc && grpc_status.is_none() && !response.body().is_end_stream() {
            session.stream_answering(self.stream);
        } else {
            session.stream_answered(self.stream, self.status, grpc_status.filter(|_| is_grpc));
        }
    }

    /// These end it.
    pub(super) fn finished(&mut self, trailers: &HeaderMap) {
        self.connection.session.borrow_mut().stream_answered(self.stream, self.status, grpc_status(trailers));
    }

    /// Its body broke off.
    pub(super) fn failed(&self) {
        if self.connection.version != HttpVersion::Http2 {
            self.connection.end(End::UpstreamReset);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut session = self.connection.session.borrow_mut();
        match self.status {
            0 => session.stream_reset(self.stream),
            status => session.stream_answered(self.stream, status, None),
        }
    }
}

/// Serves a request of HTTP/1.
pub(super) async fn serve_http1(connection: &Rc<Connection>, mut request: Request<Incoming>) -> Response<Reply> {
    let asks = match lock(&connection.front).requests.pop_front() {
        Some(Ok(asks)) => asks,
        Some(Err(refusal)) => return refused(connection, status_of(refusal), refusal.to_string()),
        None => return refused(connection, StatusCode::BAD_REQUEST, "a request out of turn".into()),
    };
    if request.method() == Method::CONNECT {
        return refused(connection, StatusCode::NOT_IMPLEMENTED, NO_CONNECT.into());
    }
    let on_client = hyper::upgrade::on(&mut request);
    let (mut head, body) = request.into_parts();
    take_hop_by_hop(&mut head.headers, asks.upgrade);
    let stream = connection.next_request();
    let decision = connection.session.borrow_mut().judge_and_edit(stream, &mut Http1(&mut head));
    match decision {
        Ok(Decision::Allow) if asks.upgrade => connection.session.borrow_mut().remember(&Http1(&mut head)),
        Ok(Decision::Allow) => {}
        Ok(Decision::Deny) => {
            let mut response = connection.explained(denied(&head.method));
            if asks.interim {
                // Whether the body comes nevertheless is the client's choice, so the framing is lost.
                close(&mut response);
            } else {
                spawn_local(swallow(body));
            }
            return response;
        }
        Err(refusal) => return refused(connection, status_of(refusal), refusal.to_string()),
    }
    let exchange = Exchange { connection: Rc::clone(connection), stream, status: 0 };
    pass_on_http1(exchange, asks, head, body, on_client).await
}

/// Has a judged request of HTTP/1 answered by the upstream.
async fn pass_on_http1(
    mut exchange: Exchange,
    asks: Asks,
    head: Parts,
    body: Incoming,
    on_client: OnUpgrade,
) -> Response<Reply> {
    let connection = Rc::clone(&exchange.connection);
    let interim = asks.interim.then(Arc::<Interim>::default);
    let mut request = Request::from_parts(head, Outgoing::new(body, interim.clone()));
    if let Some(interim) = interim.clone() {
        hyper::ext::on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                interim.open();
            }
        });
    }
    let mut response = match connection.send_http1(request).await {
        Ok(response) => response,
        Err(end) => {
            connection.end(end);
            return pending().await;
        }
    };
    let opaque = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let framed = parts::check_response(version(response.version()), lines(response.headers()));
    if let Err(refusal) = framed {
        tracing::debug!(ends = ?connection.session.borrow().ends(), %refusal, "the answer is malformed");
    }
    if framed.is_err() || (opaque && !asks.upgrade) {
        connection.end(End::Aborted);
        return pending().await;
    }
    exchange.answered(&response);
    lock(&connection.front).answered(opaque);
    if opaque {
        let upstream = hyper::upgrade::on(&mut response);
        *connection.tunnel.borrow_mut() = Some(Tunnel { client: on_client, upstream });
        return response.map(|_| Reply::Local(None));
    }
    let unread = interim.is_some_and(|interim| interim.cut());
    let mut response = response.map(|body| Reply::Passed(body, exchange));
    if unread {
        close(&mut response);
    }
    response
}

/// Serves a request of HTTP/2. An error resets its stream.
pub(super) async fn serve_http2(
    connection: &Rc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, BoxError> {
    let (mut head, body) = request.into_parts();
    if head.method == Method::CONNECT {
        return Ok(refused(connection, StatusCode::NOT_IMPLEMENTED, NO_CONNECT.into()));
    }
    if let Err(why) = complete(&mut head) {
        return Ok(refused(connection, StatusCode::BAD_REQUEST, why.into()));
    }
    let stream = connection.next_request();
    let is_grpc = is_grpc(&head.headers);
    let decision = connection.session.borrow_mut().judge_and_edit(stream, &mut Http2(&mut head));
    match decision {
        Ok(Decision::Allow) => {}
        Ok(Decision::Deny) => {
            spawn_local(swallow(body));
            return Ok(connection.explained(if is_grpc { grpc_denied() } else { denied(&head.method) }));
        }
        Err(refusal) => {
            let status = match refusal {
                http2::Refusal::ListTooLarge | http2::Refusal::TooManyHeaders => {
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
                }
                _ => StatusCode::BAD_REQUEST,
            };
            return Ok(refused(connection, status, refusal.to_string()));
        }
    }
    let mut exchange = Exchange { connection: Rc::clone(connection), stream, status: 0 };
    let request = Request::from_parts(head, Outgoing::new(body, None));
    let response = connection.send_http2(request).await?;
    exchange.answered(&response);
    Ok(response.map(|body| Reply::Passed(body, exchange)))
}

impl Connection {
    /// The denial of the request that was judged last, with its reason, if the client is to be told.
    fn explained(&self, mut denial: Response<Reply>) -> Response<Reply> {
        let reason = self.session.borrow().reason();
        if let Some(value) = reason.and_then(|reason| HeaderValue::try_from(reason.text()).ok()) {
            denial.headers_mut().insert(POLICY_HEADER, value);
        }
        denial
    }

    fn next_request(&self) -> u32 {
        self.requests.set(self.requests.get().wrapping_add(1));
        self.requests.get()
    }

    async fn send_http1(self: &Rc<Self>, request: Request<Outgoing>) -> Result<Response<Incoming>, End> {
        let mut sender = self.sender.lock().await;
        if sender.is_none() {
            *sender = Some(self.call().await.map_err(|error| self.refused_by_upstream(&error))?);
        }
        let Some(Sender::Http1(sender)) = &mut *sender else { return Err(End::Aborted) };
        sender.ready().await.map_err(|_| End::UpstreamReset)?;
        sender.send_request(request).await.map_err(|error| {
            tracing::debug!(ends = ?self.session.borrow().ends(), %error, "no answer");
            // The body that could not be sent is the client's.
            if error.is_user() { End::ClientReset } else { End::UpstreamReset }
        })
    }

    async fn send_http2(self: &Rc<Self>, request: Request<Outgoing>) -> Result<Response<Incoming>, BoxError> {
        let mut sender = {
            let mut sender = self.sender.lock().await;
            if sender.is_none() {
                match self.call().await {
                    Ok(called) => *sender = Some(called),
                    Err(error) => {
                        self.end(self.refused_by_upstream(&error));
                        return Err(error.into());
                    }
                }
            }
            match &*sender {
                Some(Sender::Http2(sender)) => sender.clone(),
                _ => return Err(io::Error::from(io::ErrorKind::NotConnected).into()),
            }
        };
        let sent = match sender.ready().await {
            Ok(()) => sender.send_request(request).await,
            Err(error) => Err(error),
        };
        if sent.is_err() && sender.is_closed() {
            self.end(End::UpstreamReset);
        }
        Ok(sent?)
    }

    /// Calls the upstream as the client.
    async fn call(self: &Rc<Self>) -> io::Result<Sender> {
        let called = {
            let session = self.session.borrow();
            (self.common.call)(session.ends(), session.recorder().metrics())
        };
        let stream = Arc::new(connected(called?).await?);
        *self.upstream.borrow_mut() = Some(Arc::clone(&stream));
        let wire = UpstreamWire { stream, activity: Arc::clone(&self.activity) };
        let weak = Rc::downgrade(self);
        // The upstream has ended the connection: the client shall too, when it has all.
        let ended = move || {
            if let Some(connection) = weak.upgrade() {
                connection.leave();
            }
        };
        let (sender, task) = if self.version == HttpVersion::Http2 {
            let (sender, connection) = conn::http2::Builder::new(Local)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .handshake(wire)
                .await
                .map_err(io::Error::other)?;
            let task = spawn_local(async move {
                let _ = connection.await;
                ended();
            });
            (Sender::Http2(sender), task)
        } else {
            let (sender, connection) = conn::http1::Builder::new()
                .preserve_header_case(true)
                .max_headers(weir_filters::http::MAX_HEADERS)
                .handshake(wire)
                .await
                .map_err(io::Error::other)?;
            let task = spawn_local(async move {
                let _ = connection.with_upgrades().await;
                ended();
            });
            (Sender::Http1(sender), task)
        };
        *self.task.borrow_mut() = Some(task.abort_handle());
        Ok(sender)
    }

    fn refused_by_upstream(&self, error: &io::Error) -> End {
        let session = self.session.borrow();
        tracing::debug!(ends = ?session.ends(), %error, "the server did not accept");
        session.recorder().metrics().upstream_failure();
        End::UpstreamReset
    }
}

async fn connected(stream: TcpStream) -> io::Result<TcpStream> {
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}

/// A denied request's body.
async fn swallow(mut body: Incoming) {
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
}

/// A request of HTTP/1, as hyper will write it.
struct Http1<'a>(&'a mut Parts);

impl Editable for Http1<'_> {
    type Refusal = Refusal;

    fn with_head<T>(&self, look: impl FnOnce(&RequestHead<'_>, bool) -> T) -> Result<T, Refusal> {
        let target = self.0.uri.to_string();
        parts::with_request(version(self.0.version), self.0.method.as_str(), &target, lines(&self.0.headers), |head| {
            look(head, false)
        })
    }

    fn edit(&mut self, edits: &[Edit]) {
        edits.iter().for_each(|edit| apply(edit, &mut self.0.headers));
    }
}

/// The same of HTTP/2, [`complete`].
struct Http2<'a>(&'a mut Parts);

impl Editable for Http2<'_> {
    type Refusal = http2::Refusal;

    fn with_head<T>(&self, look: impl FnOnce(&RequestHead<'_>, bool) -> T) -> Result<T, http2::Refusal> {
        let uri = &self.0.uri;
        let parts = http2::Parts {
            method: self.0.method.as_str(),
            scheme: uri.scheme_str().unwrap_or_default(),
            authority: uri.authority().map_or("", |authority| authority.as_str()),
            path: uri.path_and_query().map_or("", |path| path.as_str()),
        };
        http2::with_request(parts, lines(&self.0.headers), look)
    }

    fn edit(&mut self, edits: &[Edit]) {
        edits.iter().for_each(|edit| apply(edit, &mut self.0.headers));
    }
}

fn version(version: http::Version) -> HttpVersion {
    if version == http::Version::HTTP_10 { HttpVersion::Http10 } else { HttpVersion::Http11 }
}

fn lines(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

fn apply(edit: &Edit, headers: &mut HeaderMap) {
    // Rules were checked, so that both can be made of them.
    let Ok(name) = HeaderName::from_bytes(edit.name.as_bytes()) else { return };
    if edit.remove {
        headers.remove(&name);
    }
    if let Some(value) = edit.add.as_ref().and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok()) {
        headers.append(name, value);
    }
}

/// Gives a request of HTTP/2 without `:authority` that of its `Host`, since hyper writes none without.
fn complete(head: &mut Parts) -> Result<(), &'static str> {
    if head.uri.authority().is_some() {
        return Ok(());
    }
    let host =
        head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).ok_or("neither authority nor Host")?;
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = format!("http://{host}{path}").parse().map_err(|_| "malformed Host")?;
    Ok(())
}

/// Does what a proxy owes to `Connection` (RFC 9110 section 7.6.1): the fields that it names go no further, lest they take an
/// edited one along at the next hop; and what asks for another version of HTTP, whose requests would not be judged.
fn take_hop_by_hop(headers: &mut HeaderMap, upgrade: bool) {
    let mut options: Vec<String> = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        options.extend(value.split(',').map(|option| option.trim().to_owned()));
    }
    if !upgrade {
        headers.remove(header::UPGRADE);
        headers.remove("http2-settings");
    }
    let before = options.len();
    options.retain(|option| match option.as_str() {
        "close" | "keep-alive" | "te" => true,
        "upgrade" => upgrade,
        // These frame the message, or speak of this very connection.
        "transfer-encoding" | "trailer" | "expect" | "connection" => false,
        named => {
            headers.remove(named);
            false
        }
    });
    if options.len() == before {
        return;
    }
    headers.remove(header::CONNECTION);
    if let Ok(value) = HeaderValue::from_str(&options.join(", "))
        && !options.is_empty()
    {
        headers.insert(header::CONNECTION, value);
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_TYPE).iter().any(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn status_of(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::HeadTooLarge | Refusal::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn local(status: StatusCode, body: &'static str, shown: bool) -> Response<Reply> {
    let bytes = Some(Bytes::from_static(body.as_bytes())).filter(|_| shown && !body.is_empty());
    let mut response = Response::new(Reply::Local(bytes));
    *response.status_mut() = status;
    if !body.is_empty() {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
    response
}

/// The answer to a request that no rule allows; HEAD gets the length without the body.
fn denied(method: &Method) -> Response<Reply> {
    local(StatusCode::FORBIDDEN, DENIED, method != Method::HEAD)
}

fn grpc_denied() -> Response<Reply> {
    let mut response = Response::new(Reply::Local(None));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", GRPC_DENIED.into());
    headers.insert("grpc-message", HeaderValue::from_static("Access denied%0D%0A"));
    response
}

/// Records a request that cannot be judged, and answers it. With HTTP/1 the connection ends.
fn refused(connection: &Connection, status: StatusCode, why: String) -> Response<Reply> {
    connection.session.borrow().unreadable(connection.version, status.as_u16(), why);
    let mut response = local(status, "", true);
    if connection.version != HttpVersion::Http2 {
        close(&mut response);
    }
    response
}

fn close(response: &mut Response<Reply>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}
