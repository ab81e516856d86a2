//! As [`crate::http::parts`]: a request that another parser has read.

use super::{Fields, Limits, Refusal, Request};
use crate::{hpack::Field, http::RequestHead, http::path::Scratch};

/// The pseudo-header fields of a request that is no CONNECT.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// `:method`
    pub method: &'a str,
    /// `:scheme`
    pub scheme: &'a str,
    /// `:authority`
    pub authority: &'a str,
    /// `:path`
    pub path: &'a str,
}

/// Calls `judge` with the head of a request that consists of these parts, and with whether it is a call of gRPC.
///
/// # Errors
/// What [`super::super::Inspector`] refuses, as far as it can still be seen.
pub fn with_request<'a, T>(
    parts: Parts<'a>,
    lines: impl Iterator<Item = (&'a str, &'a [u8])>,
    judge: impl FnOnce(&RequestHead<'_>, bool) -> T,
) -> Result<T, Refusal> {
    let Parts { method, scheme, authority, path } = parts;
    let pseudo = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)];
    let limits = Limits::default();
    let mut fields = Fields::default();
    for (name, value) in pseudo.map(|(name, value)| (name, value.as_bytes())).into_iter().chain(lines) {
        fields.push(Field { name: name.as_bytes(), value, never_indexed: false }, &limits);
    }
    let (mut headers, mut scratch) = (Vec::new(), Scratch::default());
    let request = Request::parse(&fields, &mut headers, &mut scratch).map_err(|(refusal, _)| refusal)?;
    Ok(judge(&request.head, request.is_grpc))
}

/// Whether these can be the trailers of a request.
///
/// # Errors
/// As [`with_request`].
pub fn check_trailers<'a>(lines: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<(), Refusal> {
    let limits = Limits::default();
    let mut fields = Fields::default();
    for (name, value) in lines {
        fields.push(Field { name: name.as_bytes(), value, never_indexed: false }, &limits);
    }
    fields.check_trailers()
}
