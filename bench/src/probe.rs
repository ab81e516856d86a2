//! One request, and what became of it: proves before a window that a subject forwards and that it enforces the rule.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use weir_lab::{Netns, in_netns};

use crate::site::{Site, program};
use crate::work::{GRPC_FIELDS, Protocol};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 200, and for gRPC status 0.
    Allowed,
    /// 403, or gRPC status 7.
    Denied,
}

/// One request for `path` on a connection of its own. An answer that is neither is an error.
pub(crate) fn verdict(
    site: &Site,
    protocol: Protocol,
    from: &Netns,
    target: SocketAddrV4,
    path: &str,
) -> Result<Verdict> {
    if protocol == Protocol::H1 {
        return of_status(status(from, target, path)?);
    }
    let mut curl = from.command(program("curl")?);
    curl.args(["--silent", "--show-error", "--max-time", "2", "--http2-prior-knowledge"]);
    curl.args(["--dump-header", "-", "--output", "/dev/null"]);
    if protocol == Protocol::Grpc {
        curl.args(GRPC_FIELDS.iter().flat_map(|field| ["--header", *field]));
        curl.arg("--data-binary").arg(format!("@{}", site.message.display()));
    }
    let output = curl.arg(format!("http://{target}{path}")).output().context("start curl")?;
    let fields = String::from_utf8_lossy(&output.stdout);
    let seen = if protocol == Protocol::Grpc { of_call(&fields) } else { of_status(http_status(&fields)?) };
    seen.with_context(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// One GET over HTTP/1.1 on a connection of its own: the status of the answer.
pub(crate) fn status(from: &Netns, target: SocketAddrV4, path: &str) -> Result<u16> {
    http_status(&get(from, target, path)?)
}

/// The requests that a weir on `node` says it has forwarded: the proof that they passed it.
pub(crate) fn forwarded(node: &Netns, admin: SocketAddrV4) -> Result<u64> {
    let answer = get(node, admin, "/metrics")?;
    let line = answer.lines().find_map(|line| line.strip_prefix("weir_http_requests_total{verdict=\"forwarded\"} "));
    line.and_then(|count| count.trim().parse().ok()).with_context(|| format!("no such metric in {answer}"))
}

/// One GET over HTTP/1.1 on a connection of its own: head and body.
fn get(from: &Netns, target: SocketAddrV4, path: &str) -> Result<String> {
    let mut stream = in_netns(from, || TcpStream::connect_timeout(&target.into(), Duration::from_secs(1)))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Of the first line, in any version.
fn http_status(head: &str) -> Result<u16> {
    let line = head.lines().next().unwrap_or_default();
    let code = line.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    code.with_context(|| format!("no HTTP answer: {line:?}"))
}

fn of_status(status: u16) -> Result<Verdict> {
    match status {
        200 => Ok(Verdict::Allowed),
        403 => Ok(Verdict::Denied),
        other => bail!("answered with {other}"),
    }
}

/// Of head and trailers. A proxy that does not know gRPC denies a call as it does any request.
fn of_call(fields: &str) -> Result<Verdict> {
    let code = fields.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("grpc-status").then(|| value.trim().to_owned())
    });
    match (http_status(fields)?, code.as_deref()) {
        (200, Some("0")) => Ok(Verdict::Allowed),
        (200, Some("7")) | (403, _) => Ok(Verdict::Denied),
        (status, code) => bail!("answered with {status}, gRPC status {code:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_judged_by_its_own_status() {
        let seen = |fields: &str| of_call(fields).ok();
        assert_eq!(seen("HTTP/2 200 \r\nx: y\r\n\r\ngrpc-status: 0\r\n"), Some(Verdict::Allowed));
        assert_eq!(seen("HTTP/2 200 \r\ngrpc-status: 7\r\n\r\n"), Some(Verdict::Denied));
        assert_eq!(seen("HTTP/2 403 \r\n\r\n"), Some(Verdict::Denied));
        assert_eq!(seen("HTTP/2 200 \r\n\r\n"), None);
        assert_eq!(seen("HTTP/2 200 \r\ngrpc-status: 12\r\n\r\n"), None);
        assert_eq!(seen(""), None);
    }
}
