//! gRPC between the project's own implementations: its interop cases pass through weir, and a denied method is status 7
//! on its own stream only.

use std::time::Instant;

use crate::{
    peers::{Server, built, java, ready, source, with},
    stage::Stage,
};

/// The cases of gRPC's interop tests that clients and servers of both languages implement and pass without weir.
const CASES: [&str; 14] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "custom_metadata",
];
/// What these cases call.
const ALL: [&str; 2] = [
    r#"{method: POST, path: "/grpc\\.testing\\.TestService/.*"}"#,
    r#"{method: POST, path: "/grpc\\.testing\\.UnimplementedService/.*"}"#,
];
/// Two methods only.
const SOME: [&str; 1] = [r#"{method: POST, path: "/grpc\\.testing\\.TestService/(EmptyCall|StreamingOutputCall)"}"#];
const SERVERS: [Server; 2] = [Server::GrpcGo, Server::GrpcJava];

/// An interop client.
#[derive(Clone, Copy, Debug)]
enum Client {
    Go,
    /// On Netty.
    Java,
    /// Java's other transport.
    OkHttp,
}

impl Client {
    const ALL: [Self; 3] = [Self::Go, Self::Java, Self::OkHttp];

    /// Runs cases, each on a connection of its own; returns for each why it failed, if it did.
    fn run<'a>(self, stage: &Stage, address: &str, cases: &[&'a str]) -> Vec<(&'a str, Option<String>)> {
        let node = stage.client.netns();
        if let Self::Go = self {
            let run = |case| {
                let to = ["-server_host", address, "-server_port", "80", "-test_case", case];
                let ran = stage.run("Go", with(node.command(built("go/interop-client")), to.map(Into::into)));
                (case, (!ran.status.success()).then_some(ran.printed))
            };
            return cases.iter().map(|case| run(*case)).collect();
        }
        let mut java = java(node.command("java"));
        let okhttp = matches!(self, Self::OkHttp).to_string();
        java.arg(source("java/Interop.java")).args([address, "80", &okhttp]).args(cases);
        let printed = stage.run(&format!("{self:?}"), java).printed;
        let of = |case: &str| {
            let line = printed.lines().find_map(|line| line.strip_prefix(case)?.strip_prefix(' '));
            if line == Some("ok") { None } else { Some(line.unwrap_or(&printed).to_owned()) }
        };
        cases.iter().map(|case| (*case, of(case))).collect()
    }
}

#[test]
fn the_interop_cases_pass_between_all_languages() {
    if !ready() {
        return;
    }
    let mut stage = Stage::new();
    let servers = SERVERS.map(|server| (server, stage.server(server, &ALL)));
    stage.run_weir();
    let mut failures = Vec::new();
    for (server, (_process, address)) in &servers {
        for client in Client::ALL {
            let begun = Instant::now();
            let ran = client.run(&stage, address, &CASES);
            let failed = ran.into_iter().filter_map(|(case, failed)| Some((case, failed?)));
            let failed: Vec<String> =
                failed.map(|(case, why)| format!("{client:?} -> {server:?}: {case}: {why}")).collect();
            let (pair, passed) = (format!("{client:?} -> {server:?}"), CASES.len() - failed.len());
            println!("{pair:<19} {passed:>2} of {} in {:.1?}", CASES.len(), begun.elapsed());
            failures.extend(failed);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let calls = SERVERS.len() * Client::ALL.len() * CASES.len();
    let records = stage.records(calls, &[]);
    let odd: Vec<_> = records.iter().filter(|request| request.verdict != "FORWARDED").collect();
    assert!(odd.is_empty(), "{odd:#?}");
}

#[test]
fn a_denied_method_is_status_7_and_the_others_go_on() {
    if !ready() {
        return;
    }
    let mut stage = Stage::new();
    let servers = SERVERS.map(|server| (server, stage.server(server, &SOME)));
    stage.run_weir();
    for (server, (_process, address)) in &servers {
        // grpcio shows status and message as they are; one channel is one connection.
        let methods = ["EmptyCall", "UnaryCall", "EmptyCall", "StreamingInputCall", "EmptyCall"];
        let mut python = with(
            stage.client.netns().command(built("python/bin/python")),
            [source("python/grpc_calls.py"), format!("{address}:80").into()],
        );
        python.args(methods.map(|method| format!("TestService/{method}")));
        let ran = stage.run("grpcio", python);
        let expected: String = [methods, methods]
            .concat()
            .iter()
            .map(|method| match *method {
                "EmptyCall" => format!("TestService/{method} OK \"\"\n"),
                denied => format!("TestService/{denied} PERMISSION_DENIED \"Access denied\\r\\n\"\n"),
            })
            .collect();
        assert_eq!(ran.printed, expected, "{server:?}: {}", ran.status);
        let pod = format!("{server:?}").to_lowercase();
        let records = stage.records(2 * methods.len(), &["--to-pod", &pod]);
        assert!(records.iter().all(|request| request.client_port == records[0].client_port), "{records:#?}");

        for client in Client::ALL {
            for (case, failed) in client.run(&stage, address, &["empty_unary", "server_streaming"]) {
                assert_eq!(failed, None, "{client:?} -> {server:?}: {case}");
            }
            // A call with one message, with a stream of them, and with streams both ways.
            for (case, failed) in client.run(&stage, address, &["large_unary", "client_streaming", "ping_pong"]) {
                let why = failed.unwrap_or_default();
                let status = ["PermissionDenied", "PERMISSION_DENIED"].iter().any(|name| why.contains(name));
                // Go's client ends with the first message that it cannot send any more, before it asks for the status.
                let told = (status && why.contains("Access denied")) || why.contains("has error EOF while sending");
                assert!(told, "{client:?} -> {server:?}: {case}: {why:?}");
            }
        }
        for request in stage.records(2 * methods.len() + 5 * Client::ALL.len(), &["--to-pod", &pod]) {
            let allowed = ["/EmptyCall", "/StreamingOutputCall"].iter().any(|method| request.path.ends_with(method));
            assert_eq!(request.verdict, if allowed { "FORWARDED" } else { "DROPPED" }, "{request:?}");
        }
    }
}
