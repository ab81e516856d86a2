//! Frame headers, and the small frames' payloads (RFC 9113 sections 4.1 and 6).

use super::Code;

/// Bytes of a frame header.
pub(super) const HEADER: usize = 9;

/// The largest payload that every peer takes (RFC 9113 section 4.2).
pub(super) const SMALLEST_MAX: usize = 16_384;

/// The bits of a stream's number, which are those of a window's increment, too.
pub(super) const STREAM: u32 = 0x7fff_ffff;

/// Frame types.
pub(super) mod kind {
    pub(in crate::http2) const DATA: u8 = 0;
    pub(in crate::http2) const HEADERS: u8 = 1;
    pub(in crate::http2) const PRIORITY: u8 = 2;
    pub(in crate::http2) const RST_STREAM: u8 = 3;
    pub(in crate::http2) const SETTINGS: u8 = 4;
    pub(in crate::http2) const PUSH_PROMISE: u8 = 5;
    pub(in crate::http2) const PING: u8 = 6;
    pub(in crate::http2) const GOAWAY: u8 = 7;
    pub(in crate::http2) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::http2) const CONTINUATION: u8 = 9;
}

/// Flags; what they mean depends on the type.
pub(super) mod flag {
    pub(in crate::http2) const ACK: u8 = 0x1;
    pub(in crate::http2) const END_STREAM: u8 = 0x1;
    pub(in crate::http2) const END_HEADERS: u8 = 0x4;
    pub(in crate::http2) const PADDED: u8 = 0x8;
    pub(in crate::http2) const PRIORITY: u8 = 0x20;
}

/// Settings that matter here.
pub(super) mod setting {
    pub(in crate::http2) const HEADER_TABLE_SIZE: u16 = 1;
    pub(in crate::http2) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(in crate::http2) const MAX_FRAME_SIZE: u16 = 5;
}

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of payload.
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Without the reserved bit.
    pub(super) stream: u32,
}

impl Frame {
    /// Reads the header at the beginning of `input`; `None` while it is incomplete.
    pub(super) fn parse(input: &[u8]) -> Option<Self> {
        let &[l2, l1, l0, kind, flags, s3, s2, s1, s0] = input.first_chunk::<HEADER>()?;
        let length = u32::from_be_bytes([0, l2, l1, l0]) as usize;
        Some(Self { length, kind, flags, stream: u32::from_be_bytes([s3, s2, s1, s0]) & STREAM })
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Bytes of header and payload.
    pub(super) fn total(&self) -> usize {
        HEADER + self.length
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        out.extend_from_slice(&length[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
    }
}

/// The part of a padded payload that is not padding; `None` if there is more padding than payload.
pub(super) fn unpadded(frame: Frame, payload: &[u8]) -> Option<&[u8]> {
    if !frame.has(flag::PADDED) {
        return Some(payload);
    }
    let (&padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(padding))?)
}

/// The number at the beginning of a payload.
pub(super) fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Identifier and value of each setting, in order.
pub(super) fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    let (settings, _) = payload.as_chunks::<6>();
    settings
        .iter()
        .map(|&[i1, i0, v3, v2, v1, v0]| (u16::from_be_bytes([i1, i0]), u32::from_be_bytes([v3, v2, v1, v0])))
}

pub(super) fn reset(out: &mut Vec<u8>, stream: u32, code: Code) {
    Frame { length: 4, kind: kind::RST_STREAM, flags: 0, stream }.write(out);
    out.extend_from_slice(&(code as u32).to_be_bytes());
}

pub(super) fn go_away(out: &mut Vec<u8>, last: u32, code: Code) {
    Frame { length: 8, kind: kind::GOAWAY, flags: 0, stream: 0 }.write(out);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&(code as u32).to_be_bytes());
}

pub(super) fn window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    Frame { length: 4, kind: kind::WINDOW_UPDATE, flags: 0, stream }.write(out);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// A header block, cut into frames that every peer takes.
pub(super) fn header_block(out: &mut Vec<u8>, stream: u32, end_stream: bool, block: &[u8]) {
    let (mut kind, mut flags) = (kind::HEADERS, if end_stream { flag::END_STREAM } else { 0 });
    let mut rest = block;
    loop {
        let (fragment, more) = rest.split_at(rest.len().min(SMALLEST_MAX));
        if more.is_empty() {
            flags |= flag::END_HEADERS;
        }
        Frame { length: fragment.len(), kind, flags, stream }.write(out);
        out.extend_from_slice(fragment);
        if more.is_empty() {
            return;
        }
        (kind, flags, rest) = (kind::CONTINUATION, 0, more);
    }
}
