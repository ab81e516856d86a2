//! The header fields that frame a message or end its connection.

use weir_model::flow::HttpVersion;

use super::{super::Refusal, RequestHead, ResponseHead, target};
use crate::http::framing::Body;

/// What `Upgrade` asks for (RFC 9110 section 7.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) enum Upgrade {
    /// Nothing.
    #[default]
    None,
    /// A protocol whose messages the rules do not speak of, as `websocket`.
    Opaque,
    /// HTTP/2 (RFC 7540 section 3.2), with the settings that go with it.
    Http2,
    /// A protocol that would carry HTTP requests past the rules.
    Http,
}

/// What the fields of one head say together.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) struct Fields<'a> {
    /// The value of the one `Host`.
    pub(in crate::http) host: Option<&'a str>,
    /// The value of the one `Content-Length`.
    pub(in crate::http) length: Option<u64>,
    /// Whether there is a `Transfer-Encoding: chunked`.
    pub(in crate::http) chunked: bool,
    /// Whether the connection ends with this message (RFC 9112 section 9.3).
    pub(in crate::http) close: bool,
    /// Whether the upstream is asked to leave HTTP/1.
    pub(in crate::http) upgrade: Upgrade,
    /// Whether there is an `Expect`, whatever its value: lenient servers read `100-continue` out of many.
    pub(in crate::http) expects: bool,
    keep_alive: bool,
}

/// The names that this module looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Upgrade,
    Expect,
}

impl<'a> Fields<'a> {
    pub(super) fn of_request(head: &RequestHead<'a>) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for header in head.headers {
            match known(header.name)? {
                Some(Known::Host) => fields.set_host(header.value)?,
                Some(name) => fields.set(name, header.value)?,
                None => {}
            }
        }
        if fields.host.is_none() && head.version == HttpVersion::Http11 {
            return Err(Refusal::Host);
        }
        fields.check(head.version)
    }

    pub(super) fn of_response(head: &ResponseHead<'a>) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for header in head.headers {
            match known(header.name)? {
                Some(Known::Host) | None => {}
                Some(name) => fields.set(name, header.value)?,
            }
        }
        fields.check(head.version)
    }

    /// The body's framing; `otherwise` if neither field is there.
    pub(in crate::http) fn body(&self, otherwise: Body) -> Body {
        match self.length {
            _ if self.chunked => Body::chunked(),
            Some(length) => Body::length(length),
            None => otherwise,
        }
    }

    fn check(mut self, version: HttpVersion) -> Result<Self, Refusal> {
        if self.chunked && (self.length.is_some() || version == HttpVersion::Http10) {
            return Err(Refusal::TransferEncoding);
        }
        self.close |= version == HttpVersion::Http10 && !self.keep_alive;
        Ok(self)
    }

    fn set_host(&mut self, value: &'a [u8]) -> Result<(), Refusal> {
        let value = std::str::from_utf8(value.trim_ascii()).map_err(|_| Refusal::Host)?;
        if self.host.is_some() || !(value.is_empty() || target::is_authority(value)) {
            return Err(Refusal::Host);
        }
        self.host = Some(value);
        Ok(())
    }

    fn set(&mut self, name: Known, value: &[u8]) -> Result<(), Refusal> {
        let value = value.trim_ascii();
        match name {
            Known::Host => {}
            Known::ContentLength => {
                if self.length.is_some() {
                    return Err(Refusal::ContentLength);
                }
                self.length = Some(number(value).ok_or(Refusal::ContentLength)?);
            }
            Known::TransferEncoding => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::TransferEncoding);
                }
                self.chunked = true;
            }
            Known::Connection => tokens(value).try_for_each(|option| self.set_option(option))?,
            Known::Upgrade => {
                self.upgrade = tokens(value).map(upgrade).fold(self.upgrade.or(Upgrade::Opaque), Upgrade::or)
            }
            Known::Expect => self.expects = true,
        }
        Ok(())
    }

    /// An option that names an end-to-end field asks the next hop to drop it, and so to read another message.
    fn set_option(&mut self, option: &[u8]) -> Result<(), Refusal> {
        self.close |= option.eq_ignore_ascii_case(b"close");
        self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        if option.eq_ignore_ascii_case(b"host") || option.eq_ignore_ascii_case(b"content-length") {
            return Err(Refusal::Header);
        }
        Ok(())
    }
}

impl Upgrade {
    /// The worse of both.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Http, _) | (_, Self::Http) => Self::Http,
            (Self::Opaque, _) | (_, Self::Opaque) => Self::Opaque,
            (Self::Http2, _) | (_, Self::Http2) => Self::Http2,
            (Self::None, Self::None) => Self::None,
        }
    }
}

fn upgrade(token: &[u8]) -> Upgrade {
    let protocol = &token[..memchr::memchr(b'/', token).unwrap_or(token.len())];
    let protocol = protocol.trim_ascii();
    // TLS (RFC 2817) is followed by HTTP inside of it.
    if [&b"h2c"[..], b"h2", b"http", b"tls"].iter().any(|name| protocol.eq_ignore_ascii_case(name)) {
        Upgrade::Http
    } else {
        Upgrade::Opaque
    }
}

/// Which of the known fields this is; by length first, since most are none.
///
/// Gateways that hand fields over as environment variables write `-` as `_`; a framing field in that spelling is refused.
fn known(name: &str) -> Result<Option<Known>, Refusal> {
    let (field, expected) = match name.len() {
        4 => (Known::Host, "host"),
        6 => (Known::Expect, "expect"),
        7 => (Known::Upgrade, "upgrade"),
        10 => (Known::Connection, "connection"),
        14 => (Known::ContentLength, "content-length"),
        17 => (Known::TransferEncoding, "transfer-encoding"),
        _ => return Ok(None),
    };
    if name.eq_ignore_ascii_case(expected) {
        return Ok(Some(field));
    }
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    if name.bytes().map(fold).eq(expected.bytes()) {
        return Err(Refusal::Header);
    }
    Ok(None)
}

/// Fields that a recipient acts on before the body, so that behind it they would make a second reading; the list of
/// RFC 9110 section 6.5.1 as far as it concerns framing, routing and the connection.
pub(crate) fn is_forbidden_in_trailers(name: &str) -> bool {
    !matches!(known(name), Ok(None))
        || ["te", "trailer", "keep-alive", "proxy-connection"].iter().any(|field| name.eq_ignore_ascii_case(field))
}

/// Whether the name is no known field in the spelling of environment variables.
pub(crate) fn check_spelling(name: &str) -> Result<(), Refusal> {
    known(name).map(|_| ())
}

/// Digits only; no sign, no space, no list.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The elements of a comma-separated list (RFC 9110 section 5.6.1).
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}
