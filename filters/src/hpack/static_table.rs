//! The static table of RFC 7541 Appendix A.

/// The fields; that with index 1 is the first.
pub(super) static FIELDS: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// How a field can refer to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Name and value are those of this index.
    Field(usize),
    /// The name is that of this index, the first of its name.
    Name(usize),
}

/// Finds the best entry for a field.
pub(super) fn find(name: &[u8], value: &[u8]) -> Option<Found> {
    let (start, end) = *OF_LENGTH.get(name.len())?;
    let mut named = None;
    for &index in &BY_LENGTH[start..end] {
        let (candidate, text) = FIELDS[index - 1];
        if candidate == name {
            if text == value {
                return Some(Found::Field(index));
            }
            named = named.or(Some(Found::Name(index)));
        }
    }
    named
}

const LONGEST_NAME: usize = {
    let (mut longest, mut at) = (0, 0);
    while at < FIELDS.len() {
        if FIELDS[at].0.len() > longest {
            longest = FIELDS[at].0.len();
        }
        at += 1;
    }
    longest
};

/// The indices, sorted by the lengths of their names, and where each length's begin and end.
static SORTED: ([usize; FIELDS.len()], [(usize, usize); LONGEST_NAME + 1]) = {
    let (mut indices, mut ranges) = ([0; FIELDS.len()], [(0, 0); LONGEST_NAME + 1]);
    let (mut filled, mut length) = (0, 0);
    while length <= LONGEST_NAME {
        ranges[length].0 = filled;
        let mut at = 0;
        while at < FIELDS.len() {
            if FIELDS[at].0.len() == length {
                indices[filled] = at + 1;
                filled += 1;
            }
            at += 1;
        }
        ranges[length].1 = filled;
        length += 1;
    }
    (indices, ranges)
};
static BY_LENGTH: &[usize] = &SORTED.0;
static OF_LENGTH: &[(usize, usize)] = &SORTED.1;
