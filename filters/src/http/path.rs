//! Normalises a path, and refuses the paths that have more than one normal form.
//!
//! The upstream gets the raw path, and may resolve it before it looks at it. A rule must therefore allow both the raw
//! path and the normalised one. That is sound only while those two are the only readings. Steps that servers combine
//! freely (merging slashes, decoding once or twice, taking `\` or `%2F` for a slash, dropping `;parameters`) commute as
//! long as no `..` is around: they then rename a path's separators, not its prefix. A `..` makes them differ in which
//! segment it takes away, for instance:
//!
//! | raw | one server | another |
//! |---|---|---|
//! | `/public/../admin//../public/x` | `/admin/public/x` | `/public/x`, slashes merged first |
//! | `/public/../admin/%2e%2e/public/x` | `/admin/%2e%2e/public/x` | `/public/x`, escapes decoded first |
//! | `/public/..;/admin` | `/public/..;/admin` | `/admin`, parameters dropped first (Tomcat) |
//!
//! So the *deepest* reading is computed too: every escape decoded until none is left, `/` and `\` as separators,
//! parameters dropped. If it has a `..` then the path must be one that all servers that resolve at all resolve alike:
//! plain slashes, no empty segment, and the dot segments all written plainly or all written as `%2e`. Otherwise it is
//! refused. A path without any such `..` is never refused for ambiguity, so `/projects/group%2Fname` and
//! `/proxy/http%253A%252F%252Fhost` pass.
//!
//! Parameters elsewhere are kept: `/app;v=1` is judged as `/app;v=1`, as Envoy does.

use thiserror::Error;

#[cfg(test)]
mod tests;

/// Escapes may be nested so deep; a server that decodes four times is not known.
const DECODE_ROUNDS: usize = 3;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum PathError {
    /// A `%` that two hexadecimal digits do not follow (RFC 3986 section 2.1).
    #[error("malformed percent escape")]
    Escape,
    /// `%00`, which ends the path for some servers.
    #[error("encoded NUL")]
    Nul,
    /// An overlong UTF-8 form, which some decoders take for `.` or `/` (RFC 3629 section 3).
    #[error("overlong UTF-8")]
    Overlong,
    /// Servers disagree about what a `..` in it means.
    #[error("ambiguous dot segments")]
    Ambiguous,
}

/// Buffers that [`normalise`] works in; kept by the caller, so that they are allocated once per connection.
#[derive(Debug, Default)]
pub struct Scratch {
    normal: String,
    deep: Vec<u8>,
}

/// Dot segments, and what makes them ambiguous.
#[derive(Debug, Default, PartialEq, Eq)]
struct Survey {
    segments: usize,
    /// Empty segments other than a last one.
    empty: usize,
    dot: usize,
    dot_dot: usize,
}

impl Survey {
    fn add(&mut self, segment: &[u8], last: bool) {
        self.segments += 1;
        match segment {
            b"" if !last => self.empty += 1,
            b"." => self.dot += 1,
            b".." => self.dot_dot += 1,
            _ => {}
        }
    }
}

/// The normal form of an origin-form target, path and query: unreserved characters decoded (RFC 3986 section 6.2.2.2),
/// `%2F`, `%5C` and `\` as `/`, slashes merged, dot segments removed (section 5.2.4). The query is not touched.
///
/// `target` must be visible ASCII and begin with `/`. A path that is normal is returned as it is; it is found by one scan.
///
/// # Errors
/// A malformed escape in the path, or a path that has no single normal form; see [`PathError`].
pub fn normalise<'a>(target: &'a str, scratch: &'a mut Scratch) -> Result<&'a str, PathError> {
    let query = memchr::memchr(b'?', target.as_bytes()).unwrap_or(target.len());
    let (path, query) = target.split_at(query);
    if is_plain(path.as_bytes()) {
        return Ok(target);
    }
    decode_deep(path.as_bytes(), &mut scratch.deep)?;
    let deep = survey_deep(&scratch.deep);
    let (once, encoded_dots) = resolve(path.as_bytes(), &mut scratch.normal);
    if deep.dot_dot > 0 {
        // The raw path split at plain slashes has the very segments of the deepest reading: a segment that is special
        // after one round of decoding is so in the deepest reading, so equal counts mean equal places.
        let raw_segments = path.bytes().filter(|byte| *byte == b'/').count();
        let one_style = encoded_dots == 0 || encoded_dots == once.dot + once.dot_dot;
        if once != deep || raw_segments != deep.segments || deep.empty > 0 || !one_style {
            return Err(PathError::Ambiguous);
        }
    }
    scratch.normal.push_str(query);
    Ok(if scratch.normal == target { target } else { &scratch.normal })
}

/// Whether nothing in `path` can need normalising. Parameters matter on dot segments only, and those begin with a dot.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in path {
        if matches!(byte, b'%' | b'\\') || (previous == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        previous = byte;
    }
    true
}

/// Writes the deepest reading into `deep`.
fn decode_deep(path: &[u8], deep: &mut Vec<u8>) -> Result<(), PathError> {
    deep.clear();
    deep.extend_from_slice(path);
    let mut rounds = 0;
    while decode_round(deep, rounds == 0)? {
        rounds += 1;
        if rounds > DECODE_ROUNDS {
            return Err(PathError::Ambiguous);
        }
    }
    if deep.contains(&0) {
        return Err(PathError::Nul);
    }
    if (0..deep.len()).any(|at| is_overlong(&deep[at..])) {
        return Err(PathError::Overlong);
    }
    Ok(())
}

/// Whether `bytes` begin with an overlong form of a byte that has a meaning in paths. Other overlong forms are left
/// alone, since they are ordinary characters in older encodings (GBK, Shift JIS).
fn is_overlong(bytes: &[u8]) -> bool {
    let form = match bytes {
        [lead @ (0xc0 | 0xc1), next @ 0x80..0xc0, ..] => (lead & 1) << 6 | (next & 0x3f),
        [0xe0, middle @ (0x80 | 0x81), next @ 0x80..0xc0, ..] => (middle & 1) << 6 | (next & 0x3f),
        _ => return false,
    };
    matches!(form, 0 | b'.' | b'/' | b'\\' | b';' | b'%')
}

/// Decodes every escape once, in place. Returns whether there was any; a malformed one is an error if `strict`.
fn decode_round(bytes: &mut Vec<u8>, strict: bool) -> Result<bool, PathError> {
    let (mut from, mut to) = (0, 0);
    while let Some(&byte) = bytes.get(from) {
        let decoded = if byte == b'%' { escape(&bytes[from..]) } else { None };
        if byte == b'%' && decoded.is_none() && strict {
            return Err(PathError::Escape);
        }
        bytes[to] = decoded.unwrap_or(byte);
        from += if decoded.is_some() { 3 } else { 1 };
        to += 1;
    }
    bytes.truncate(to);
    Ok(from != to)
}

/// The byte that an escape at the beginning of `bytes` stands for.
fn escape(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match bytes {
        [b'%', high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

fn survey_deep(deep: &[u8]) -> Survey {
    let mut survey = Survey::default();
    let mut segments = deep.split(|byte| matches!(byte, b'/' | b'\\')).skip(1).peekable();
    while let Some(segment) = segments.next() {
        let end = memchr::memchr(b';', segment).unwrap_or(segment.len());
        survey.add(&segment[..end], segments.peek().is_none());
    }
    survey
}

/// Writes the normal form of `path` into `normal`. Returns its dot segments, and how many of them were escaped.
fn resolve(path: &[u8], normal: &mut String) -> (Survey, usize) {
    normal.clear();
    let (mut survey, mut encoded_dots) = (Survey::default(), 0);
    // Behind the leading slash. `normal` is empty or a list of `/segment`.
    let mut at = 1;
    loop {
        let start = normal.len();
        normal.push('/');
        let segment = push_segment(&path[at..], normal);
        let text = &normal[start + 1..];
        survey.add(text.as_bytes(), segment.last);
        let (kept, up) = (!matches!(text, "" | "." | ".."), text == "..");
        if !kept {
            normal.truncate(start);
            encoded_dots += usize::from(segment.encoded_dot);
        }
        if up {
            normal.truncate(normal.rfind('/').unwrap_or(0));
        }
        if segment.last {
            if !kept {
                normal.push('/');
            }
            return (survey, encoded_dots);
        }
        at += segment.length;
    }
}

/// What [`push_segment`] read.
struct Segment {
    /// Bytes read, with the separator.
    length: usize,
    /// Whether the path ended with it.
    last: bool,
    /// Whether a dot was written as an escape.
    encoded_dot: bool,
}

/// Appends the segment at the beginning of `path`, unreserved characters decoded.
fn push_segment(path: &[u8], normal: &mut String) -> Segment {
    let mut encoded_dot = false;
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        let decoded = if byte == b'%' { escape(&path[at..]) } else { None };
        at += if decoded.is_some() { 3 } else { 1 };
        match (byte, decoded) {
            (b'/' | b'\\', _) | (_, Some(b'/' | b'\\')) => return Segment { length: at, last: false, encoded_dot },
            (_, Some(plain)) if plain.is_ascii_alphanumeric() || matches!(plain, b'-' | b'.' | b'_' | b'~') => {
                encoded_dot |= plain == b'.';
                normal.push(char::from(plain));
            }
            (_, Some(_)) => normal.extend(path[at - 3..at].iter().copied().map(char::from)),
            (byte, None) => normal.push(char::from(byte)),
        }
    }
    Segment { length: at, last: true, encoded_dot }
}
