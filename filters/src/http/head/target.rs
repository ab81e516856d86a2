//! The request target and the authority (RFC 9112 section 3.2).

use super::{super::Refusal, RequestHead};

/// Finds host and path in the target's form; `host` is the `Host` field.
pub(super) fn resolve(head: &mut RequestHead<'_>, host: Option<&str>) -> Result<(), Refusal> {
    let (method, target) = (head.method, head.target);
    // Servers that compare these two methods without case would frame the answer differently.
    if ["HEAD", "CONNECT"].iter().any(|name| method.eq_ignore_ascii_case(name) && method != *name) {
        return Err(Refusal::StartLine);
    }
    if !target.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'#') {
        return Err(Refusal::Target);
    }
    if method == "CONNECT" {
        let (name, port) = target.rsplit_once(':').ok_or(Refusal::Target)?;
        if !is_authority(target) || name.is_empty() || port.is_empty() {
            return Err(Refusal::Target);
        }
        // Some clients leave the port out of Host.
        if host.is_some_and(|host| host != target && host != name) {
            return Err(Refusal::Host);
        }
        (head.host, head.path) = (target, "");
        return Ok(());
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        head.path = target;
        return Ok(());
    }
    let rest = absolute(target).ok_or(Refusal::Target)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // `http://host?query` and `OPTIONS http://host` have an implied path, which servers complete differently.
    if authority.is_empty()
        || !is_authority(authority)
        || path.starts_with('?')
        || (path.is_empty() && method == "OPTIONS")
    {
        return Err(Refusal::Target);
    }
    if host.is_some_and(|host| host != authority) {
        return Err(Refusal::Host);
    }
    head.host = authority;
    head.path = if path.is_empty() { "/" } else { path };
    Ok(())
}

/// What follows `http://` or `https://`.
fn absolute(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

/// Whether `text` is a host and perhaps a port, as in `web.example:80` or `[2001:db8::1]:80`.
///
/// Stricter than RFC 3986 section 3.2: neither user information, nor escapes, nor sub-delimiters, since a `,` or `@` makes
/// servers see different hosts.
pub(crate) fn is_authority(text: &str) -> bool {
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(literal) = text.strip_prefix('[') {
        let Some((address, rest)) = literal.split_once(']') else { return false };
        let port = if rest.is_empty() { Some("") } else { rest.strip_prefix(':') };
        return !address.is_empty()
            && address.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
            && port.is_some_and(is_port);
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
        && is_port(port)
}
