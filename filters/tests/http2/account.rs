//! What the upstream got against what the judge allowed, on the bytes alone.

use weir_filters::http2::PREFACE;

use crate::driver::{Field, Wire};

/// A frame as it lies in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// Takes bytes apart; what is left is no complete frame.
pub(crate) fn split(bytes: &[u8]) -> (Vec<Seen>, &[u8]) {
    let (mut frames, mut rest) = (Vec::new(), bytes);
    while let Some((&[l2, l1, l0, kind, flags, s3, s2, s1, s0], behind)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, l2, l1, l0]) as usize;
        let Some((payload, behind)) = behind.split_at_checked(length) else { break };
        let stream = u32::from_be_bytes([s3 & 0x7f, s2, s1, s0]);
        frames.push(Seen { kind, flags, stream, payload: payload.to_vec() });
        rest = behind;
    }
    (frames, rest)
}

/// The part of HEADERS that is a header block.
pub(crate) fn fragment(frame: &Seen) -> &[u8] {
    let mut payload = frame.payload.as_slice();
    if frame.flags & 8 != 0 {
        payload = &payload[1..payload.len() - usize::from(payload[0])];
    }
    &payload[if frame.flags & 0x20 != 0 { 5 } else { 0 }..]
}

/// Every header block that the upstream got is a request that was allowed, in order, or the end of one; no frame is on a
/// stream that it does not know. `decode` is the upstream's decoder.
pub(crate) fn account(wire: &Wire, mut decode: impl FnMut(&[u8]) -> Vec<Field>) {
    let Some(bytes) = wire.upstream.strip_prefix(&PREFACE[..]) else {
        assert!(PREFACE.starts_with(&wire.upstream));
        return;
    };
    let known: Vec<u32> = wire.judge.allowed.iter().map(|request| request.0).collect();
    let mut allowed = wire.judge.allowed.iter();
    let (mut last, mut ended) = (0, Vec::new());
    let mut block: Option<(Seen, Vec<u8>)> = None;
    for frame in split(bytes).0 {
        if matches!(frame.kind, 0 | 1 | 3 | 8 | 9) && frame.stream != 0 {
            assert!(known.contains(&frame.stream), "{frame:?} on a stream that the upstream does not know");
        }
        assert_ne!(frame.kind, 5, "PUSH_PROMISE");
        let goes_on = frame.flags & 4 == 0;
        match (&mut block, frame.kind) {
            (Some((head, joined)), _) => {
                assert_eq!((frame.kind, frame.stream), (9, head.stream), "a frame within a header block");
                joined.extend_from_slice(&frame.payload);
            }
            (None, 1) => block = Some((frame.clone(), fragment(&frame).to_vec())),
            (None, 0) => {
                assert!(!ended.contains(&frame.stream), "DATA behind the end");
                if frame.flags & 1 != 0 {
                    ended.push(frame.stream);
                }
            }
            (None, _) => {}
        }
        if goes_on || !matches!(frame.kind, 1 | 9) {
            continue;
        }
        let (head, joined) = block.take().expect("a block");
        let fields = decode(&joined);
        if head.stream > last {
            last = head.stream;
            let (stream, wanted) = allowed.next().expect("a request that nobody allowed");
            assert_eq!(*stream, head.stream);
            assert_eq!(sorted(&fields), sorted(wanted), "another request than was allowed");
        } else {
            assert!(head.flags & 1 != 0 && fields.iter().all(|field| !field.0.starts_with(b":")), "a second request");
            assert!(!ended.contains(&head.stream), "a block behind the end");
        }
        if head.flags & 1 != 0 {
            ended.push(head.stream);
        }
    }
    assert!(block.is_none(), "a block without an end");
    assert!(allowed.next().is_none(), "an allowed request did not arrive");
    // The largest thing that must be complete is a header block.
    assert!(wire.closed || wire.client_input.len() <= 64 << 10);
}

/// Names and values in an order, without those that a judge sees in another form.
fn sorted(fields: &[Field]) -> Vec<(&[u8], &[u8])> {
    let seen = fields.iter().map(|(name, value, _)| (name.as_slice(), value.as_slice()));
    let mut seen: Vec<_> =
        seen.filter(|field| ![&b":scheme"[..], b":authority", b":protocol"].contains(&field.0)).collect();
    seen.sort_unstable();
    seen
}
