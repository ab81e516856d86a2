//! The path normaliser: what its documentation promises, for every path. The input is a target without its first slash.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use weir_filters::http::path::{Scratch, normalise};

#[path = "../../../src/http/path/tests/readings.rs"]
mod readings;

fuzz_target!(|data: &[u8]| -> Corpus {
    match std::str::from_utf8(data) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => check(&format!("/{text}")),
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

fn check(raw: &str) {
    let mut scratch = Scratch::default();
    let Ok(normal) = normalise(raw, &mut scratch) else { return };
    let (path, query) = normal.split_once('?').map_or((normal, None), |(path, query)| (path, Some(query)));
    assert_eq!(query, raw.split_once('?').map(|parts| parts.1), "the query is not touched");
    assert!(normal.len() <= raw.len() && normal.bytes().all(|byte| byte.is_ascii_graphic()), "{raw:?}: {normal:?}");

    let mut segments = path.split('/').peekable();
    assert_eq!(segments.next(), Some(""), "{raw:?} leaves the root: {normal:?}");
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        assert!(!matches!(segment, "." | ".."), "{raw:?}: {normal:?}");
        assert!(is_last || !segment.is_empty(), "{raw:?}: {normal:?}");
        assert!(!segment.contains('\\') && !has_needless_escape(segment), "{raw:?}: {normal:?}");
    }
    assert_eq!(normalise(normal, &mut Scratch::default()), Ok(normal), "{raw:?} is normal only the second time");
    for reading in readings::Reading::all() {
        assert!(!reading.resolves_somewhere_else(raw, normal), "{raw:?}, {normal:?}, {reading:?}");
    }
}

/// Whether an escape stands for a byte that the normal form writes plainly.
fn has_needless_escape(segment: &str) -> bool {
    let codes = segment.split('%').skip(1).filter_map(|rest| u8::from_str_radix(rest.get(..2)?, 16).ok());
    codes.into_iter().any(|byte| byte.is_ascii_alphanumeric() || b"-._~/\\".contains(&byte))
}
