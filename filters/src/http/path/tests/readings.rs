//! How servers may read a path: independent of the normaliser, and as many ways as are known. For its tests and its fuzz
//! target.

/// One way in which a server may read a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    decode: usize,
    backslash: bool,
    merge: bool,
    parameters: bool,
    resolve: bool,
}

impl Reading {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..64).map(|n| Self {
            decode: n & 3,
            backslash: n & 4 != 0,
            merge: n & 8 != 0,
            parameters: n & 16 != 0,
            resolve: n & 32 != 0,
        })
    }

    /// The segments that the server acts on.
    fn segments(self, path: &[u8]) -> Vec<Vec<u8>> {
        let path = (0..self.decode).fold(path.to_vec(), |path, _| decoded(&path));
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for segment in path.split(|byte| *byte == b'/' || (self.backslash && *byte == b'\\')).skip(1) {
            let end = if self.parameters { segment.iter().position(|byte| *byte == b';') } else { None };
            let segment = &segment[..end.unwrap_or(segment.len())];
            match segment {
                b"" if self.merge => {}
                b"." if self.resolve => {}
                b".." if self.resolve => {
                    kept.pop();
                }
                _ => kept.push(segment.to_vec()),
            }
        }
        kept
    }

    /// Whether the server resolves `raw`, and comes to something else than `normal`.
    pub(crate) fn resolves_somewhere_else(self, raw: &str, normal: &str) -> bool {
        let [raw, normal] = [raw, normal].map(|text| text.split('?').next().unwrap_or_default().as_bytes());
        let seen = simple(&self.segments(raw));
        seen != simple(&Self { resolve: false, ..self }.segments(raw)) && seen != simple(&self.segments(normal))
    }
}

/// The deepest reading of these segments, which makes all spellings of one segment equal, without the empty and
/// single-dot ones, which lead nowhere else.
fn simple(segments: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let deepest = Reading { decode: 4, backslash: true, merge: true, parameters: true, resolve: false };
    let path = segments.iter().flat_map(|segment| [b"/", segment.as_slice()].concat()).collect::<Vec<u8>>();
    let mut segments = deepest.segments(&path);
    segments.retain(|segment| segment != b".");
    segments
}

/// Every escape decoded once; what is no escape stays.
fn decoded(path: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut plain = Vec::new();
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        let escape = match rest {
            [b'%', high, low, ..] => digit(high).zip(digit(low)).and_then(|(h, l)| u8::try_from(h << 4 | l).ok()),
            _ => None,
        };
        plain.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { &rest[3..] } else { behind };
    }
    plain
}
