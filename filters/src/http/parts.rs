//! A head that another parser has read, for the rules. It passes the same checks as one that was read here, and is judged as
//! it will be written.

use weir_model::flow::HttpVersion;

use super::{Refusal, RequestHead, head, path::Scratch};

/// Calls `judge` with the head of a request of HTTP/1 that consists of these parts.
///
/// # Errors
/// What [`super::Inspector`] refuses, as far as it can still be seen.
pub fn with_request<'a, T>(
    version: HttpVersion,
    method: &'a str,
    target: &'a str,
    lines: impl Iterator<Item = (&'a str, &'a [u8])>,
    judge: impl FnOnce(&RequestHead<'_>) -> T,
) -> Result<T, Refusal> {
    let headers: Vec<_> = lines.map(|(name, value)| httparse::Header { name, value }).collect();
    let mut scratch = Scratch::default();
    let mut head =
        RequestHead { version, method, target, host: "", path: target, normal_path: target, headers: &headers };
    head.resolve(&mut scratch)?;
    Ok(judge(&head))
}

/// Whether the response of HTTP/1 that consists of these parts has one framing.
///
/// # Errors
/// As [`with_request`].
pub fn check_response<'a>(
    version: HttpVersion,
    lines: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<(), Refusal> {
    let headers: Vec<_> = lines.map(|(name, value)| httparse::Header { name, value }).collect();
    head::check_response(version, &headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_checked_as_a_head_is() {
        let host = ("Host", &b"a"[..]);
        let rows = [
            ("GET", "/x/../y", vec![host], Ok("/y")),
            ("GET", "http://a/x", vec![host], Ok("/x")),
            ("GET", "/x", vec![], Err(Refusal::Host)),
            ("GET", "/x", vec![host, host], Err(Refusal::Host)),
            ("GET", "http://b/x", vec![host], Err(Refusal::Host)),
            ("POST", "/x", vec![host, ("Content_Length", b"1")], Err(Refusal::Header)),
            (
                "POST",
                "/x",
                vec![host, ("Content-Length", b"1"), ("Transfer-Encoding", b"chunked")],
                Err(Refusal::TransferEncoding),
            ),
        ];
        for (method, target, lines, expected) in rows {
            let seen = with_request(HttpVersion::Http11, method, target, lines.into_iter(), |head| {
                head.normal_path().to_owned()
            });
            assert_eq!(seen.as_deref().map_err(|refusal| *refusal), expected, "{method} {target}");
        }
    }

    #[test]
    fn responses_have_one_framing() {
        let (length, chunked) = (("Content-Length", &b"1"[..]), ("Transfer-Encoding", &b"chunked"[..]));
        let rows = [
            (vec![length], Ok(())),
            (vec![chunked], Ok(())),
            (vec![length, length], Err(Refusal::ContentLength)),
            (vec![length, chunked], Err(Refusal::TransferEncoding)),
        ];
        for (lines, expected) in rows {
            assert_eq!(check_response(HttpVersion::Http11, lines.iter().copied()), expected, "{lines:?}");
        }
    }
}
