//! HTTP/2, between hyper's client and hyper's server.

use std::{convert::Infallible, pin::Pin, task::Context, task::Poll};

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::{
    body::{Body, Bytes, Frame, Incoming},
    client::conn::http2::SendRequest,
    server::conn,
    service::service_fn,
};

use super::*;
use crate::terminate::{Local, wire::UpstreamWire};

/// A body of these frames.
struct Frames(Vec<Frame<Bytes>>);

impl Frames {
    fn of(text: &str) -> Self {
        Self(vec![Frame::data(Bytes::copy_from_slice(text.as_bytes()))])
    }

    fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        let trailers: HeaderMap =
            [(http::HeaderName::from_static(name), http::HeaderValue::from_static(value))].into_iter().collect();
        self.0.push(Frame::trailers(trailers));
        self
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0))))
    }
}

/// The text and the trailers of a body.
async fn whole(mut body: Incoming) -> Result<(String, Option<HeaderMap>), hyper::Error> {
    let (mut text, mut trailers) = (Vec::new(), None);
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => text.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((String::from_utf8(text).expect("text"), trailers))
}

fn wire(stream: TcpStream) -> UpstreamWire {
    UpstreamWire { stream: Arc::new(stream), activity: Arc::default() }
}

/// A client, and a server that answers with the head that it got as text, and with the request's trailers.
async fn pair(rig: &mut Rig) -> SendRequest<Frames> {
    let listener = std::mem::replace(&mut rig.server, listen());
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let echo = service_fn(|request: Request<Incoming>| async move {
                let (head, body) = request.into_parts();
                let mut lines: Vec<String> = head
                    .headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
                    .collect();
                lines.sort();
                let (body, trailers) = whole(body).await?;
                let seen = format!("{} {} {} [{body}]", head.method, head.uri, lines.join("|"));
                let mut frames = Frames::of(&seen);
                frames.0.extend(trailers.map(Frame::trailers));
                Ok::<_, hyper::Error>(Response::new(frames))
            });
            spawn_local(conn::http2::Builder::new(Local).serve_connection(wire(stream), echo));
        }
    });
    client(rig).await
}

/// The client's half.
async fn client(rig: &mut Rig) -> SendRequest<Frames> {
    let idle = TcpStream::connect(rig.server.local_addr().expect("an address")).await.expect("connect");
    let client = std::mem::replace(&mut rig.client, idle);
    let (sender, connection) = hyper::client::conn::http2::handshake(Local, wire(client)).await.expect("a handshake");
    spawn_local(connection);
    sender
}

fn request(path: &str, headers: &[(&str, &str)], body: Frames) -> Request<Frames> {
    let builder = Request::builder().method("POST").uri(format!("http://web{path}"));
    headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(body).expect("a request")
}

#[test]
fn streams_are_edited_denied_and_recorded() {
    run(async {
        let mut rig = Rig::new().await;
        let mut sender = pair(&mut rig).await;
        let edited = request(
            "/ok?q",
            &[("x-delete", "2"), ("x-replace", "2"), ("x-add", "2")],
            Frames::of("abc").trailer("x-sum", "3"),
        );
        let denied = request("/no", &[], Frames::of("never seen"));
        let grpc = request("/no", &[("content-type", "application/grpc+proto")], Frames::of("never seen"));
        let (edited, denied, grpc) = tokio::join!(
            sender.clone().send_request(edited),
            sender.clone().send_request(denied),
            sender.send_request(grpc)
        );
        let (text, trailers) = whole(edited.expect("an answer").into_body()).await.expect("a body");
        assert_eq!(text, "POST http://web/ok?q x-add: 1|x-add: 2|x-replace: 1 [abc]");
        assert_eq!(trailers.expect("trailers")["x-sum"], "3");
        let denied = denied.expect("an answer");
        assert_eq!(
            (denied.status(), &denied.headers()["content-type"]),
            (StatusCode::FORBIDDEN, &"text/plain".parse().unwrap())
        );
        assert_eq!(whole(denied.into_body()).await.expect("a body").0, "Access denied\r\n");
        let grpc = grpc.expect("an answer");
        assert_eq!((grpc.status(), &grpc.headers()["grpc-status"]), (StatusCode::OK, &"7".parse().unwrap()));
        assert_eq!(grpc.headers()["grpc-message"], "Access denied%0D%0A");
        let mut seen: Vec<_> =
            rig.flows().into_iter().map(|(verdict, http)| (verdict, http.status, http.grpc_status)).collect();
        seen.sort();
        let expected =
            [(Verdict::Forwarded, 200, None), (Verdict::Dropped, 200, Some(7)), (Verdict::Dropped, 403, None)];
        assert_eq!(seen, expected);
    });
}

#[test]
fn what_cannot_be_judged_is_refused() {
    run(async {
        let mut rig = Rig::new().await;
        let mut sender = pair(&mut rig).await;
        let rows = [
            ("/ok/..;/no", vec![], 400),
            ("/ok", vec![("host", "other")], 400),
            ("/ok", vec![("content_length", "3")], 400),
            ("/ok", vec![("x", "1"); 130], 431),
        ];
        for (path, headers, status) in rows {
            let answer = sender.send_request(request(path, &headers, Frames(Vec::new()))).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status, "{path} {headers:?}");
            let (verdict, http) = rig.flows().pop().expect("a record");
            assert_eq!((verdict, http.status), (Verdict::Error, status), "{path} {headers:?}");
        }
        // A trailer that frames: the stream is reset, before or behind the answer's head.
        let bad = request("/ok", &[], Frames::of("a").trailer("content_length", "1"));
        let ended = match sender.send_request(bad).await {
            Ok(answer) => whole(answer.into_body()).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(ended.is_err());
        let answer = sender.send_request(request("/ok", &[], Frames::of("next"))).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "other streams go on");
    });
}

#[test]
fn a_drain_ends_the_connection_behind_its_streams() {
    run(async {
        let mut rig = Rig::new().await;
        let mut sender = pair(&mut rig).await;
        let answer = sender.send_request(request("/ok", &[], Frames::of("a"))).await.expect("an answer");
        rig.common.drain.begin();
        assert!(whole(answer.into_body()).await.expect("a body").0.ends_with("[a]"));
        assert_eq!(rig.ended().await, End::Finished);
    });
}

#[test]
fn a_server_that_is_not_there_ends_the_connection() {
    run(async {
        let mut rig = Rig::new().await;
        let mut sender = client(&mut rig).await;
        rig.server = listen();
        let denied = sender.send_request(request("/no", &[], Frames(Vec::new()))).await.expect("weir answers");
        assert_eq!(denied.status(), StatusCode::FORBIDDEN);
        assert!(sender.send_request(request("/ok", &[], Frames(Vec::new()))).await.is_err());
        assert_eq!(rig.ended().await, End::UpstreamReset);
    });
}

/// As with HTTP/1: GOAWAY, and no stream unedited.
#[test]
fn a_policy_edit_ends_an_inspected_connection() {
    run(async {
        let mut rig = Rig::with(plain(), Timeouts { head: STUCK * 2, idle: STUCK * 2 }).await;
        let mut sender = pair(&mut rig).await;
        let answer =
            sender.send_request(request("/ok", &[("x-replace", "2")], Frames::of("a"))).await.expect("an answer");
        assert!(whole(answer.into_body()).await.expect("a body").0.contains("x-replace: 2"));
        rig.world.store(Arc::new(world(2, editing())));
        match sender.send_request(request("/ok", &[("x-replace", "2")], Frames::of("a"))).await {
            Ok(answer) => panic!("passed or denied: {}", answer.status()),
            Err(error) => assert!(!error.is_user(), "{error}"),
        }
        assert_eq!(rig.ended().await, End::Finished);
    });
}
