//! Reads the heads of requests and responses, strictly (RFC 9112 sections 2 to 6).
//!
//! `httparse` splits a head into its parts; around it stands what it leaves open. The `Scanner` finds the head's end
//! and refuses bare CR, bare LF and NUL before `httparse` sees them. Then come the rules on target, `Host`, framing and
//! connection options, which are in `fields` and `target`.

use std::mem::MaybeUninit;

use httparse::ParserConfig;
use weir_model::flow::HttpVersion;

use super::{MAX_HEADERS, Refusal, framing::Body, path::Scratch};

mod fields;
mod kept;
mod target;

pub(super) use fields::{Fields, Upgrade};
pub(crate) use fields::{check_spelling, is_forbidden_in_trailers, number};
pub use kept::KeptHead;
pub(crate) use target::is_authority;

/// Room for the header lines of one head, on the stack.
pub(super) type Slots<'a> = [MaybeUninit<httparse::Header<'a>>; MAX_HEADERS];

/// Empty [`Slots`].
pub(super) const fn slots<'a>() -> Slots<'a> {
    [const { MaybeUninit::uninit() }; MAX_HEADERS]
}

/// Searches the empty line that ends a head; remembers how far it came, so that a head that arrives byte by byte is
/// still read once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scanner {
    /// Everything before is in order.
    at: usize,
    /// Where the line that holds `at` begins.
    line: usize,
}

impl Scanner {
    /// The length of the head at the beginning of `input`, empty line included; `None` while it is incomplete.
    ///
    /// `input` must begin with the bytes of the call before. An error comes again when the same bytes do.
    pub(super) fn scan(&mut self, input: &[u8], limit: usize) -> Result<Option<usize>, Refusal> {
        let window = &input[..input.len().min(limit)];
        while let Some(offset) = memchr::memchr3(b'\r', b'\n', 0, window.get(self.at..).unwrap_or_default()) {
            self.at += offset;
            match (window[self.at], window.get(self.at + 1)) {
                (0, _) => return Err(Refusal::Nul),
                (b'\r', Some(b'\n')) if self.at == self.line => return Ok(Some(self.at + 2)),
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) if input.len() < limit => return Ok(None),
                (b'\r', None) => return Err(Refusal::HeadTooLarge),
                _ => return Err(Refusal::LineEnding),
            }
            self.at += 2;
            self.line = self.at;
        }
        if input.len() >= limit {
            return Err(Refusal::HeadTooLarge);
        }
        self.at = window.len();
        Ok(None)
    }

    /// Whether a part of a head was seen.
    pub(super) fn has_begun(&self) -> bool {
        self.at > 0
    }
}

/// A request's head, judged once. All texts are as on the wire.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    pub(crate) version: HttpVersion,
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) normal_path: &'a str,
    pub(crate) headers: &'a [httparse::Header<'a>],
}

impl<'a> RequestHead<'a> {
    /// The version of the message.
    pub fn version(&self) -> HttpVersion {
        self.version
    }

    /// The method; case matters.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The whole request target.
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// The authority that the request is for: of an absolute-form target or of CONNECT, else `Host`. With its port;
    /// empty if there is none.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// Path and query; `*` for `OPTIONS *`, empty for CONNECT.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The path after [`super::path::normalise`]; the same slice as [`Self::path`] if that is normal.
    pub fn normal_path(&self) -> &'a str {
        self.normal_path
    }

    /// The values of all lines of one name (compared without case), in order, without surrounding white space.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        values(self.headers, name)
    }

    /// Name and value of every header line, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.headers.iter().map(|header| (header.name, header.value.trim_ascii()))
    }

    /// Splits `head`, which a [`Scanner`] has found. Host and path are those of an origin-form request until
    /// [`Self::resolve`] has looked at them.
    pub(super) fn parse(head: &'a [u8], slots: &'a mut [MaybeUninit<httparse::Header<'a>>]) -> Result<Self, Refusal> {
        if head.starts_with(b"PRI * HTTP/2.0\r\n") {
            return Err(Refusal::Http2);
        }
        let mut request = httparse::Request::new(&mut []);
        let parsed = ParserConfig::default().parse_request_with_uninit_headers(&mut request, head, slots);
        if parsed == Err(httparse::Error::Version) && names_another_protocol(head) {
            return Err(Refusal::NotHttp);
        }
        if complete(parsed)? != head.len() {
            return Err(Refusal::StartLine);
        }
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
            return Err(Refusal::StartLine);
        };
        let headers: &'a [httparse::Header<'a>] = request.headers;
        Ok(Self {
            version: self::version(version),
            method,
            target,
            host: "",
            path: target,
            normal_path: target,
            headers,
        })
    }

    /// Checks what the parts mean together: method, target, `Host`, path, framing.
    pub(super) fn resolve(&mut self, scratch: &'a mut Scratch) -> Result<Fields<'a>, Refusal> {
        let fields = Fields::of_request(self)?;
        self.host = fields.host.unwrap_or_default();
        target::resolve(self, fields.host)?;
        if self.path.starts_with('/') {
            self.normal_path = super::path::normalise(self.path, scratch)?;
        } else {
            self.normal_path = self.path;
        }
        if self.method == "CONNECT" && !matches!(fields.body(Body::Done), Body::Done) {
            return Err(Refusal::ContentLength);
        }
        Ok(fields)
    }
}

/// A response's head.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    pub(super) version: HttpVersion,
    pub(super) status: u16,
    pub(super) headers: &'a [httparse::Header<'a>],
}

impl<'a> ResponseHead<'a> {
    /// HTTP/1.0 or HTTP/1.1.
    pub fn version(&self) -> HttpVersion {
        self.version
    }

    /// The status code, 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// As [`RequestHead::header`].
    pub fn header(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        values(self.headers, name)
    }

    /// Splits `head`, which a [`Scanner`] has found, and checks its framing.
    pub(super) fn parse(
        head: &'a [u8],
        slots: &'a mut [MaybeUninit<httparse::Header<'a>>],
    ) -> Result<(Self, Fields<'a>), Refusal> {
        // httparse skips empty lines here, which would be the end of another head.
        if !head.starts_with(b"HTTP/1.") {
            return Err(Refusal::StartLine);
        }
        let mut response = httparse::Response::new(&mut []);
        let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, slots);
        if complete(parsed)? != head.len() {
            return Err(Refusal::StartLine);
        }
        let (Some(status @ 100..), Some(version)) = (response.code, response.version) else {
            return Err(Refusal::StartLine);
        };
        let response = Self { version: self::version(version), status, headers: response.headers };
        let fields = Fields::of_response(&response)?;
        Ok((response, fields))
    }
}

/// Checks the framing of a response whose head another parser has split.
pub(super) fn check_response(version: HttpVersion, headers: &[httparse::Header<'_>]) -> Result<(), Refusal> {
    Fields::of_response(&ResponseHead { version, status: 200, headers }).map(drop)
}

/// Checks the names and values of a complete trailer section (RFC 9112 section 7.1.2).
pub(super) fn check_trailers(section: &[u8]) -> Result<(), Refusal> {
    let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
    match httparse::parse_headers(section, &mut slots) {
        Ok(httparse::Status::Complete((length, headers))) if length == section.len() => {
            if headers.iter().any(|header| is_forbidden_in_trailers(header.name)) {
                return Err(Refusal::Trailer);
            }
            Ok(())
        }
        _ => Err(Refusal::Trailer),
    }
}

/// Whether the first line has a word in the version's place, and none from there on that names HTTP.
fn names_another_protocol(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2).peekable();
    let is_http = |word: &[u8]| word.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"http"));
    words.peek().is_some() && !words.any(is_http)
}

fn complete(parsed: Result<httparse::Status<usize>, httparse::Error>) -> Result<usize, Refusal> {
    match parsed {
        Ok(httparse::Status::Complete(length)) => Ok(length),
        Err(httparse::Error::TooManyHeaders) => Err(Refusal::TooManyHeaders),
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => Err(Refusal::Header),
        Ok(httparse::Status::Partial) | Err(_) => Err(Refusal::StartLine),
    }
}

fn version(minor: u8) -> HttpVersion {
    if minor == 0 { HttpVersion::Http10 } else { HttpVersion::Http11 }
}

fn values<'a>(headers: &'a [httparse::Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.trim_ascii())
}
