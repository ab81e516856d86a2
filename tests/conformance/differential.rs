//! The same bytes through weir to three servers that parse HTTP/1 each in its own way (hyper, nginx, Go's net/http): none
//! processes a request that weir has not judged, and none that it has denied. A connection's requests at the server must
//! be found, in this order, among weir's records of requests that it has forwarded; weir keeps the client's port, which
//! says which connection is meant.

use std::{
    collections::HashMap,
    convert::Infallible,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Socket, Type};
use weir_lab::{Netns, in_netns, wait_until};

use crate::{
    peers::{Server, ready},
    site::SOON,
    stage::{Request as Record, Stage},
};

mod streams;

use streams::{Stream, streams};

/// Of the mutations.
const SEED: u64 = 0x7765_6972;
const MUTATIONS: usize = 1500;
/// The first client port: stream `n` comes from `FIRST_PORT + n`, to each server.
const FIRST_PORT: u16 = 10_000;
/// No new stream is begun after so long; the table says how many there were.
const BUDGET: Duration = Duration::from_secs(45);
/// How long a server's next word is waited for before the client closes its side.
const QUIET: Duration = Duration::from_millis(15);
/// How long a connection may then take to end.
const END: Duration = Duration::from_millis(500);
/// What is allowed. No `CONNECT`: what follows an accepted one is not HTTP any more.
const RULES: [&str; 1] = ["{path: \"/(yes.*|ok.*|[a-z]?)\"}"];

/// A request at a server, or in weir's records: method, and path with query.
type Call = (String, String);
type Calls = HashMap<u16, Vec<Call>>;

#[test]
fn no_server_processes_what_weir_did_not_judge_or_has_denied() {
    if !ready() {
        return;
    }
    let streams = streams(SEED, MUTATIONS);
    let mut stage = Stage::new();
    let flow_log = stage.dir().join("flows.json");
    let (_nginx, nginx_at) = stage.server(Server::Nginx, &RULES);
    let (go, go_at) = stage.server(Server::GoRecorder, &RULES);
    let hyper_pod = stage.pod("hyper", &RULES);
    let hyper_at = hyper_pod.v4.to_string();
    let hyper = hyper(hyper_pod.netns(), &hyper_at);
    stage.site.run_with(&["--flow-log", flow_log.to_str().expect("a name")]);

    let begun = Instant::now();
    let sent = thread::scope(|scope| {
        [&nginx_at, &go_at, &hyper_at]
            .map(|at| scope.spawn(|| send_all(stage.client.netns(), at, &streams, begun)))
            .map(|sender| sender.join().expect("a sender"))
    });
    println!("{} streams, seed {SEED:#x}: {:.0?}", streams.len(), begun.elapsed());

    let nginx_log = || fs::read_to_string(stage.dir().join("nginx-access.log")).unwrap_or_default();
    let reports = [
        ("nginx", nginx_at, lines(&nginx_log()), sent[0]),
        ("Go", go_at, lines(&go.log()), sent[1]),
        ("hyper", hyper_at, hyper.lock().expect("no panic").clone(), sent[2]),
    ];
    // The last records come a moment after the last connection.
    let records = || {
        let text = fs::read_to_string(&flow_log).unwrap_or_default();
        let flows = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        flows.filter(|flow| flow["flow"]["l7"]["http"].is_object()).map(|flow| Record::of(&flow)).collect::<Vec<_>>()
    };
    let mut before = 0;
    let settled = || {
        let now = records().len();
        let same = now == std::mem::replace(&mut before, now);
        thread::sleep(Duration::from_millis(200));
        same && now > 0
    };
    wait_until("the last records", SOON, settled).expect("records settle");
    let records = records();

    println!("{:<6} {:>9} {:>9} {:>7} {:>7} {:>9}", "server", "streams", "forwarded", "denied", "refused", "processed");
    let mut wrong = Vec::new();
    for (name, at, processed, sent) in &reports {
        let of_server: Vec<&Record> = records.iter().filter(|seen| seen.server == *at).collect();
        let with = |verdict: &str| of_server.iter().filter(|seen| seen.verdict == verdict).count();
        let (forwarded, denied, refused) = (with("FORWARDED"), with("DROPPED"), with("ERROR"));
        let count: usize = processed.values().map(Vec::len).sum();
        println!("{name:<6} {sent:>9} {forwarded:>9} {denied:>7} {refused:>7} {count:>9}");
        assert!(count > 100 && denied > 100 && refused > 100, "the streams show nothing");
        for (port, calls) in processed {
            let judged: Vec<&Record> =
                of_server.iter().copied().filter(|seen| seen.client_port == u64::from(*port)).collect();
            if !in_order(calls, &judged) {
                let stream = &streams[usize::from(port - FIRST_PORT)];
                wrong.push(format!("{name}: {stream}\nprocessed {calls:?}\njudged {judged:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} streams (seed {SEED:#x}):\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Whether these calls, at a server, are among the judged in the same order, forwarded each. The preface of HTTP/2 is not
/// a request, though Go's net/http hands it to its handler as one, for those who speak HTTP/2 themselves.
fn in_order(calls: &[Call], judged: &[&Record]) -> bool {
    let mut forwarded = judged.iter().filter(|seen| seen.verdict == "FORWARDED");
    let preface = ("PRI".to_owned(), "*".to_owned());
    let mut requests = calls.iter().filter(|call| **call != preface);
    requests.all(|(method, path)| forwarded.any(|seen| seen.method == *method && same_path(&seen.path, path)))
}

/// Records hold so much of a path, and say with an ellipsis that there was more.
fn same_path(recorded: &str, seen: &str) -> bool {
    let of_absolute = |path: &str| match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/".to_owned(), |at| rest[at..].to_owned()),
        None => path.to_owned(),
    };
    let (recorded, seen) = (of_absolute(recorded), of_absolute(seen));
    recorded == seen || recorded.strip_suffix('…').is_some_and(|begin| seen.starts_with(begin))
}

/// Sends every stream on a connection of its own; returns how many until the time was up.
fn send_all(netns: &Netns, address: &str, streams: &[Stream], begun: Instant) -> usize {
    let to = SocketAddr::new(address.parse().expect("an address"), 80);
    in_netns(netns, || {
        let sent = streams.iter().zip(FIRST_PORT..).take_while(|_| begun.elapsed() < BUDGET);
        sent.map(|(stream, port)| send(to, port, &stream.bytes)).count()
    })
}

/// Sends the bytes, reads what comes, and closes. Anything may happen: the server's log and the records tell what did.
fn send(to: SocketAddr, port: u16, bytes: &[u8]) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("reuse the port");
    socket.bind(&SocketAddr::from(([0, 0, 0, 0], port)).into()).expect("the port is free");
    socket.connect_timeout(&to.into(), SOON).expect("connect");
    let mut stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("set nodelay");
    // In two pieces, cut at a place that differs from stream to stream.
    let cut = usize::from(port) * 7 % (bytes.len() + 1);
    let _ = stream.write_all(&bytes[..cut]).and_then(|()| stream.write_all(&bytes[cut..]));
    let end = Instant::now() + END;
    let mut open = true;
    stream.set_read_timeout(Some(QUIET)).expect("limit reads");
    while Instant::now() < end {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if std::mem::take(&mut open) {
                    let _ = stream.shutdown(Shutdown::Write);
                }
            }
            Err(_) => return,
        }
    }
}

/// What a server has printed per request: the client's port, perhaps a status, method and target.
fn lines(log: &str) -> Calls {
    let mut calls = Calls::new();
    for line in log.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        // nginx logs as 400 what it could not read, and did not process.
        if let [port, "200", method, path] | [port, method, path] = words[..]
            && let Ok(port) = port.parse()
        {
            calls.entry(port).or_default().push((method.to_owned(), path.to_owned()));
        }
    }
    calls
}

/// A hyper server in a pod: answers all with 200, and reports what it has processed. It ends with its connections.
fn hyper(netns: &Netns, address: &str) -> Arc<Mutex<Calls>> {
    let calls = Arc::<Mutex<Calls>>::default();
    let report = Arc::clone(&calls);
    let listener = in_netns(netns, || std::net::TcpListener::bind((address, 80))).expect("listen in the pod");
    listener.set_nonblocking(true).expect("set non-blocking");
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, peer)) = listener.accept().await {
            let report = Arc::clone(&report);
            let answer = service_fn(move |request: Request<Incoming>| {
                let call = (request.method().to_string(), request.uri().to_string());
                report.lock().expect("no panic").entry(peer.port()).or_default().push(call);
                std::future::ready(Ok::<_, Infallible>(Response::new("ok\n".to_owned())))
            });
            let connection = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(async { drop(connection.await) });
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    thread::spawn(move || runtime.block_on(serve));
    calls
}
