//! The server's direction.

use super::{Abort, Inspector, Judge, Place, ServerStep};
use crate::{
    hpack::Field,
    http2::{
        Refusal,
        frame::{self, Frame, flag, kind, setting},
        inspect::client::{check_shape, collect},
    },
};

/// What becomes of the bytes at the beginning of the input.
enum Part {
    Forward(usize),
    /// What was written to `Inspector::out` goes in place of so many bytes, which may be none.
    Replace(usize),
    NeedMore,
    Wait,
    Abort(Abort),
}

/// What a response's block says, as far as it matters here.
#[derive(Default)]
struct Response {
    status: Option<u16>,
    grpc_status: Option<u16>,
    is_grpc: bool,
}

impl Response {
    fn see(&mut self, field: Field<'_>) {
        match field.name {
            b":status" => self.status = number(field.value),
            b"grpc-status" => self.grpc_status = number(field.value),
            b"content-type" => self.is_grpc = field.value.starts_with(b"application/grpc"),
            _ => {}
        }
    }
}

impl Inspector {
    /// What to do with the server's bytes. `input` is all that was not consumed yet.
    pub fn server(&mut self, input: &[u8], judge: &mut impl Judge) -> ServerStep {
        self.out.clear();
        let (mut at, mut copied) = (0, false);
        let last = loop {
            // Weir's frames may have waited for this place; what comes behind may depend on them, as header blocks do.
            if at == input.len() || (at > 0 && self.has_reply()) {
                break ServerStep::NeedMore;
            }
            let before = self.out.len();
            let unproven = self.is_unproven();
            let part = self.server_part(&input[at..], judge);
            self.check_invariants();
            match part {
                Part::Forward(n) => {
                    if copied {
                        self.out.extend_from_slice(&input[at..at + n]);
                    }
                    at += n;
                }
                Part::Replace(n) => {
                    if !std::mem::replace(&mut copied, true) {
                        self.out.splice(before..before, input[..at].iter().copied());
                    }
                    at += n;
                }
                Part::NeedMore => break ServerStep::NeedMore,
                Part::Wait => break ServerStep::Wait,
                Part::Abort(abort) => break ServerStep::Abort(abort),
            }
            // What the client's bytes have waited for; what comes behind may answer them.
            if unproven && !self.is_unproven() {
                break ServerStep::NeedMore;
            }
        };
        match (at, copied) {
            (_, true) => ServerStep::Replace(at),
            (0, false) => last,
            (_, false) => ServerStep::Forward(at),
        }
    }

    fn server_part(&mut self, input: &[u8], judge: &mut impl Judge) -> Part {
        match &mut self.server {
            Place::Payload { left, .. } => {
                let n = (*left).min(input.len());
                *left -= n;
                if *left == 0 {
                    self.server = self.rest.take().map_or(Place::Boundary, Place::Rest);
                }
                Part::Forward(n)
            }
            Place::Rest(frame) => {
                let frame = *frame;
                self.server_data(frame, 0, judge)
            }
            _ => {
                let Some(frame) = Frame::parse(input) else { return Part::NeedMore };
                self.server_frame(frame, input, judge).unwrap_or_else(Part::Abort)
            }
        }
    }

    fn server_frame(&mut self, frame: Frame, input: &[u8], judge: &mut impl Judge) -> Result<Part, Abort> {
        if self.server == Place::Settings && (frame.kind != kind::SETTINGS || frame.has(flag::ACK)) {
            return Err(Abort::Frame);
        }
        match frame.kind {
            kind::DATA => Ok(self.server_data(frame, frame::HEADER, judge)),
            kind::HEADERS => self.server_headers(frame, input, judge),
            kind::PUSH_PROMISE => Err(Abort::Push),
            kind::CONTINUATION => Err(Abort::Frame),
            kind::SETTINGS => self.server_settings(frame, input),
            kind::RST_STREAM => {
                self.server_reset(frame.stream, judge);
                Ok(self.server_payload(frame.length, frame::HEADER))
            }
            kind::GOAWAY => Ok(self.server_goes_away(frame, input)),
            kind::PING => {
                self.budgets.pings.refund(1);
                Ok(self.server_payload(frame.length, frame::HEADER))
            }
            // What they say is between the two ends.
            _ => Ok(self.server_payload(frame.length, frame::HEADER)),
        }
    }

    /// A frame that passes as it comes: its header, which is in the input, and then its payload.
    fn server_payload(&mut self, length: usize, header: usize) -> Part {
        if length > 0 {
            self.server = Place::Payload { left: length, pass: true };
        }
        Part::Forward(header)
    }

    /// DATA, whose header is in the input, or, for the rest of a frame that was cut in two, is still to be written.
    fn server_data(&mut self, frame: Frame, header: usize, judge: &mut impl Judge) -> Part {
        let room = usize::try_from(self.windows.connection).unwrap_or(0);
        let too_long = self.windows.borrowed > 0 && frame.length > room;
        // What is padded has its padding at the end, and cannot be cut.
        if too_long && (room == 0 || frame.has(flag::PADDED)) {
            return Part::Wait;
        }
        let length = if too_long { room } else { frame.length };
        self.windows.connection -= length as i64;
        self.budgets.pings.refund(1);
        self.budgets.updates.refund(2);
        if too_long {
            Frame { length, flags: frame.flags & !flag::END_STREAM, ..frame }.write(&mut self.out);
            self.rest = Some(Frame { length: frame.length - length, ..frame });
            self.server = Place::Payload { left: length, pass: true };
            return Part::Replace(header);
        }
        if frame.has(flag::END_STREAM) {
            self.server_ended(frame.stream, None, judge);
        }
        self.server = Place::Boundary;
        if header == 0 {
            frame.write(&mut self.out);
        }
        match self.server_payload(length, header) {
            Part::Forward(0) => Part::Replace(0),
            part => part,
        }
    }

    /// Collects a header block; a response's status is seen, and passes.
    fn server_headers(&mut self, frame: Frame, input: &[u8], judge: &mut impl Judge) -> Result<Part, Abort> {
        let mut joined = Vec::new();
        // What size the client takes is its own concern.
        let collected = collect(frame, input, &mut joined, &self.limits, usize::MAX);
        let block = match collected {
            Ok(Some(block)) => block,
            Ok(None) => return Ok(Part::NeedMore),
            Err(Refusal::BlockTooLarge) => return Err(Abort::BlockTooLarge),
            Err(_) => return Err(Abort::Frame),
        };
        let mut response = Response::default();
        self.responses.decode(block.bytes, |field| response.see(field)).map_err(Abort::Compression)?;
        let ends = frame.has(flag::END_STREAM);
        if let Some(stream) = self.streams.get_mut(frame.stream)
            && stream.passed
            && stream.status == 0
            && let Some(status @ 200..) = response.status
        {
            stream.status = status;
            stream.is_grpc = response.is_grpc;
            if !ends && response.is_grpc {
                judge.stream_answering(frame.stream);
            } else if !ends {
                stream.answered = true;
                judge.stream_answered(frame.stream, status, None);
            }
        }
        if ends {
            self.server_ended(frame.stream, response.grpc_status, judge);
        }
        Ok(Part::Forward(block.length))
    }

    /// The server has sent its last byte of a stream.
    fn server_ended(&mut self, id: u32, grpc_status: Option<u16>, judge: &mut impl Judge) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.server_ended {
            return;
        }
        stream.server_ended = true;
        if !std::mem::replace(&mut stream.answered, true) {
            judge.stream_answered(id, stream.status, grpc_status);
        }
        self.budgets.resets.refund(1);
        self.streams.tidy(id);
    }

    fn server_reset(&mut self, id: u32, judge: &mut impl Judge) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if !std::mem::replace(&mut stream.server_ended, true) && !stream.answered {
            judge.stream_reset(id);
        }
        self.streams.tidy(id);
    }

    /// GOAWAY. The last stream that it names must not be above the one that weir, or the server, has named before.
    fn server_goes_away(&mut self, frame: Frame, input: &[u8]) -> Part {
        const HEAD: usize = frame::HEADER + 4;
        if frame.total() < HEAD {
            return self.server_payload(frame.length, frame::HEADER);
        }
        let Some(last) = input.get(frame::HEADER..HEAD) else { return Part::NeedMore };
        let last = frame::number(last) & frame::STREAM;
        let part = self.server_payload(frame.total() - HEAD, HEAD);
        if last <= self.promised {
            self.promised = last;
            return part;
        }
        frame.write(&mut self.out);
        self.out.extend_from_slice(&self.promised.to_be_bytes());
        Part::Replace(HEAD)
    }

    fn server_settings(&mut self, frame: Frame, input: &[u8]) -> Result<Part, Abort> {
        if check_shape(frame).is_err() || frame.length > frame::SMALLEST_MAX {
            return Err(Abort::Frame);
        }
        let Some(payload) = input.get(frame::HEADER..frame.total()) else { return Ok(Part::NeedMore) };
        self.server = Place::Boundary;
        if frame.has(flag::ACK) {
            self.of_client.acknowledge(&mut self.responses, &self.limits);
            return Ok(Part::Forward(frame.total()));
        }
        for (id, value) in frame::settings(payload) {
            if id == setting::MAX_FRAME_SIZE {
                self.max_frame = self.max_frame.max(value as usize);
            }
        }
        if !self.of_server.push(payload) {
            return Err(Abort::Frame);
        }
        Ok(if self.write_settings(frame, payload) {
            Part::Replace(frame.total())
        } else {
            Part::Forward(frame.total())
        })
    }

    /// Writes a SETTINGS frame anew if it asks for a larger table than is held here.
    pub(super) fn write_settings(&mut self, frame: Frame, payload: &[u8]) -> bool {
        let most = self.limits.table_bytes;
        let lowered = |(id, value): (u16, u32)| if id == setting::HEADER_TABLE_SIZE { value.min(most) } else { value };
        if frame::settings(payload).all(|setting| lowered(setting) == setting.1) {
            return false;
        }
        frame.write(&mut self.out);
        for (id, value) in frame::settings(payload) {
            self.out.extend_from_slice(&id.to_be_bytes());
            self.out.extend_from_slice(&lowered((id, value)).to_be_bytes());
        }
        true
    }
}

/// A status of up to three digits.
fn number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}
