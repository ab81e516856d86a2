//! A decoded header list: a request, or the trailers of one (RFC 9113 sections 8.2 and 8.3).

use weir_model::flow::HttpVersion;

use super::{Limits, Refusal};
use crate::{
    hpack::{self, Field, encode},
    http::{self, RequestHead, head, path::Scratch},
};

mod parts;

pub use parts::{Parts, check_trailers, with_request};

/// What a field costs beside its bytes (RFC 9113 section 6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// The fields of one block, in order, in one piece of memory. What is over the limits is counted and not kept.
#[derive(Debug, Default)]
pub(super) struct Fields {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    size: usize,
    over: Option<Refusal>,
}

/// One field; it begins where the one before ends.
#[derive(Clone, Copy, Debug)]
struct Span {
    name_end: usize,
    end: usize,
    never_indexed: bool,
}

impl Fields {
    /// Decodes a block. The limits are left to [`Self::check`]: the decoder must see all of it in any case.
    pub(super) fn decode(
        &mut self,
        decoder: &mut hpack::Decoder,
        block: &[u8],
        limits: &Limits,
    ) -> Result<(), hpack::Error> {
        self.bytes.clear();
        self.spans.clear();
        (self.size, self.over) = (0, None);
        decoder.decode(block, |field| self.push(field, limits))
    }

    fn push(&mut self, field: Field<'_>, limits: &Limits) {
        self.size += field.name.len() + field.value.len() + FIELD_OVERHEAD;
        if self.size > limits.list_bytes {
            self.over = Some(Refusal::ListTooLarge);
        } else if self.spans.len() == limits.fields.min(http::MAX_HEADERS) {
            self.over = Some(Refusal::TooManyHeaders);
        } else {
            self.bytes.extend_from_slice(field.name);
            let name_end = self.bytes.len();
            self.bytes.extend_from_slice(field.value);
            self.spans.push(Span { name_end, end: self.bytes.len(), never_indexed: field.never_indexed });
        }
    }

    /// Whether all fields were kept.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        self.over.map_or(Ok(()), Err)
    }

    fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        let mut start = 0;
        self.spans.iter().map(move |&Span { name_end, end, never_indexed }| {
            let field = Field { name: &self.bytes[start..name_end], value: &self.bytes[name_end..end], never_indexed };
            start = end;
            field
        })
    }

    /// The same fields, for a decoder whose table nobody knows.
    pub(super) fn write(&self, block: &mut Vec<u8>) {
        self.iter().for_each(|field| encode::literal(block, field.name, field.value, field.never_indexed));
    }

    /// Whether these can be trailers (RFC 9113 section 8.1).
    pub(super) fn check_trailers(&self) -> Result<(), Refusal> {
        self.check()?;
        self.iter().try_for_each(|field| {
            let name = field_name(field.name).map_err(|_| Refusal::Trailer)?;
            if head::is_forbidden_in_trailers(name) || is_of_connection(name, field.value) || !is_value(field.value) {
                return Err(Refusal::Trailer);
            }
            Ok(())
        })
    }
}

/// A request, with what its stream depends on.
pub(super) struct Request<'a> {
    pub(super) head: RequestHead<'a>,
    pub(super) length: Option<u64>,
    /// `content-type: application/grpc…`
    pub(super) is_grpc: bool,
}

/// The pseudo-header fields of a request.
#[derive(Clone, Copy, Default)]
struct Pseudo<'a> {
    method: Option<&'a str>,
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: Option<&'a str>,
    protocol: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Reads a request strictly. With an error comes what was understood, for the record.
    pub(super) fn parse(
        fields: &'a Fields,
        headers: &'a mut Vec<httparse::Header<'a>>,
        scratch: &'a mut Scratch,
    ) -> Result<Self, (Refusal, RequestHead<'a>)> {
        let mut pseudo = Pseudo::default();
        let mut request = Self { head: EMPTY, length: None, is_grpc: false };
        let mut host = None;
        let parsed = read(fields, headers, &mut pseudo, &mut host, &mut request);
        request.head.method = pseudo.method.unwrap_or_default();
        request.head.host = pseudo.authority.or(host).unwrap_or_default();
        request.head.path = pseudo.path.unwrap_or_default();
        request.head.target = request.head.path;
        match parsed.and_then(|()| request.resolve(&pseudo, host, scratch)) {
            Ok(()) => Ok(request),
            Err(refusal) => Err((refusal, request.head)),
        }
    }

    /// Checks what the parts mean together.
    fn resolve(&mut self, pseudo: &Pseudo<'a>, host: Option<&'a str>, scratch: &'a mut Scratch) -> Result<(), Refusal> {
        let Some(method) = pseudo.method.filter(|method| method.bytes().all(is_token) && !method.is_empty()) else {
            return Err(Refusal::PseudoHeader);
        };
        let tunnel = method == "CONNECT" && pseudo.protocol.is_none();
        let complete = if tunnel {
            pseudo.scheme.is_none() && pseudo.path.is_none() && pseudo.authority.is_some()
        } else {
            pseudo.scheme.is_some_and(is_scheme)
                && pseudo.path.is_some_and(|path| !path.is_empty())
                && pseudo
                    .protocol
                    .is_none_or(|protocol| method == "CONNECT" && pseudo.authority.is_some() && is_protocol(protocol))
        };
        if !complete {
            return Err(Refusal::PseudoHeader);
        }
        let same = |host: &&str| pseudo.authority.is_none_or(|authority| authority == *host);
        if pseudo.authority.is_some_and(|authority| !head::is_authority(authority))
            || host.is_some_and(|host| !host.is_empty() && !head::is_authority(host))
            || host.is_some_and(|host| !same(&host))
        {
            return Err(http::Refusal::Host.into());
        }
        if tunnel {
            self.head.target = self.head.host;
            let port = self.head.host.rsplit_once(':').map_or("", |(_, port)| port);
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            return if digits { Ok(()) } else { Err(http::Refusal::Target.into()) };
        }
        // Servers that compare these two methods without case would frame the answer differently.
        if ["HEAD", "CONNECT"].iter().any(|name| method.eq_ignore_ascii_case(name) && method != *name) {
            return Err(http::Refusal::StartLine.into());
        }
        let path = self.head.path;
        if !path.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'#') {
            return Err(http::Refusal::Target.into());
        }
        self.head.normal_path = match path {
            "*" if method == "OPTIONS" => path,
            _ if path.starts_with('/') => http::path::normalise(path, scratch).map_err(http::Refusal::from)?,
            _ => return Err(http::Refusal::Target.into()),
        };
        Ok(())
    }
}

/// A request of which nothing is known.
const EMPTY: RequestHead<'static> = RequestHead {
    version: HttpVersion::Http2,
    method: "",
    target: "",
    host: "",
    path: "",
    normal_path: "",
    headers: &[],
};

/// Sorts the fields. On an error `pseudo` and `host` have what came before.
fn read<'a>(
    fields: &'a Fields,
    headers: &'a mut Vec<httparse::Header<'a>>,
    pseudo: &mut Pseudo<'a>,
    host: &mut Option<&'a str>,
    request: &mut Request<'a>,
) -> Result<(), Refusal> {
    for field in fields.iter() {
        if field.name.starts_with(b":") {
            if !headers.is_empty() {
                return Err(Refusal::PseudoHeader);
            }
            pseudo.set(field)?;
            continue;
        }
        let name = field_name(field.name)?;
        if is_of_connection(name, field.value) || !is_value(field.value) {
            return Err(Refusal::Header);
        }
        match name {
            "host" if host.is_some() => return Err(http::Refusal::Host.into()),
            "host" => *host = Some(str::from_utf8(field.value).map_err(|_| http::Refusal::Host)?),
            "content-length" => {
                if request.length.is_some() {
                    return Err(Refusal::ContentLength);
                }
                request.length = Some(head::number(field.value).ok_or(Refusal::ContentLength)?);
            }
            "content-type" => request.is_grpc |= field.value.starts_with(b"application/grpc"),
            _ => {}
        }
        headers.push(httparse::Header { name, value: field.value });
    }
    fields.check()?;
    request.head.headers = headers;
    Ok(())
}

impl<'a> Pseudo<'a> {
    fn set(&mut self, field: Field<'a>) -> Result<(), Refusal> {
        let slot = match field.name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            b":protocol" => &mut self.protocol,
            _ => return Err(Refusal::PseudoHeader),
        };
        let value = str::from_utf8(field.value).map_err(|_| Refusal::PseudoHeader)?;
        if !is_value(field.value) || slot.is_some() {
            return Err(Refusal::PseudoHeader);
        }
        *slot = Some(value);
        Ok(())
    }
}

/// A field name: a token without capitals (RFC 9113 section 8.2.1). One that a gateway to environment variables would
/// take for a framing field is refused, as with HTTP/1.
fn field_name(name: &[u8]) -> Result<&str, Refusal> {
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte) && !byte.is_ascii_uppercase()) {
        return Err(Refusal::Header);
    }
    let name = str::from_utf8(name).map_err(|_| Refusal::Header)?;
    head::check_spelling(name)?;
    Ok(name)
}

/// A field value: no control characters, no white space around it (RFC 9113 section 8.2.1, RFC 9110 section 5.5).
fn is_value(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_space(value.first())
        && !is_space(value.last())
        && value.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..))
}

/// Fields that speak of an HTTP/1 connection (RFC 9113 section 8.2.2).
fn is_of_connection(name: &str, value: &[u8]) -> bool {
    match name {
        "connection" | "proxy-connection" | "keep-alive" | "transfer-encoding" | "upgrade" => true,
        "te" => !value.eq_ignore_ascii_case(b"trailers"),
        _ => false,
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_protocol(protocol: &str) -> bool {
    !protocol.is_empty() && protocol.bytes().all(is_token)
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}
