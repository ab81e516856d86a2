//! The same story as other implementations encode it.
//!
//! A recording's lines are, in order: `limit`, the limit of the table from here on; `block`, a header block in hex; and
//! below it its fields, `field` or, if never indexed, `never`. `\xNN` is a byte. The story has requests of curl, gRPC and a
//! browser, responses, every byte, strings about as long as an integer's prefix holds, more entries than two bytes
//! index, and limits that fall to nothing, rise, and change twice between two blocks.

use weir_filters::hpack::Decoder;

use crate::{Owned, decode};

fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits")).collect()
}

fn field(text: &str, never_indexed: bool) -> Owned {
    let (name, value) = text.split_once(": ").expect("name: value");
    (unescape(name), unescape(value), never_indexed)
}

fn replay(recording: &str) {
    let mut decoder = Decoder::new(4096);
    let (mut blocks, mut fields) = (0, Vec::new().into_iter());
    for (number, line) in (1..).zip(recording.lines()) {
        match line.split_once(' ').expect("a word and more") {
            ("#", _) => (),
            ("limit", limit) => decoder.set_limit(limit.parse().expect("a number")),
            ("block", hex) => {
                assert_eq!(fields.next(), None, "line {number}: a field too many");
                let decoded = decode(&mut decoder, &unhex(hex));
                fields = decoded.unwrap_or_else(|error| panic!("line {number}: {error}")).into_iter();
                blocks += 1;
            }
            ("field", text) => assert_eq!(fields.next(), Some(field(text, false)), "line {number}"),
            ("never", text) => assert_eq!(fields.next(), Some(field(text, true)), "line {number}"),
            (word, _) => panic!("line {number}: {word}"),
        }
    }
    assert_eq!(fields.next(), None, "a field too many");
    assert!(blocks > 30, "a whole story");
}

#[test]
fn nghttp2() {
    replay(include_str!("recorded/nghttp2.txt"));
}

#[test]
fn go() {
    replay(include_str!("recorded/go.txt"));
}

#[test]
fn python_hpack() {
    replay(include_str!("recorded/python-hpack.txt"));
}
