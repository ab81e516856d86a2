//! The client's direction.

use super::{ClientStep, Inspector, Judge, Place, REWRITTEN};
use crate::{
    http::Decision,
    http2::{
        Code, Limits, PREFACE, Refusal,
        deny::Answer,
        frame::{self, Frame, flag, kind},
        head::{Fields, Request},
        streams::Stream,
    },
};

/// What becomes of the bytes at the beginning of the input.
enum Part {
    Forward(usize),
    /// What was written to `Inspector::out`, perhaps nothing, goes in place of so many bytes.
    Replace(usize),
    NeedMore,
    Stop,
}

/// What one call works with.
struct Pass<'a> {
    input: &'a [u8],
    /// Bytes consumed.
    at: usize,
    /// What was consumed is in `out` already, as far as it goes to the upstream.
    copied: bool,
}

/// A complete header block.
pub(super) struct Block<'a> {
    /// With the frames' headers.
    pub(super) length: usize,
    /// The fragments, joined.
    pub(super) bytes: &'a [u8],
}

impl Inspector {
    /// What to do with the client's bytes. `input` is all that was not consumed yet.
    pub fn client(&mut self, input: &[u8], judge: &mut impl Judge) -> ClientStep {
        self.out.clear();
        let mut pass = Pass { input, at: 0, copied: false };
        let mut fields = Fields::default();
        let last = loop {
            if pass.at == input.len() {
                break ClientStep::NeedMore;
            }
            if self.is_waiting() || self.out.len() > REWRITTEN {
                break ClientStep::Wait;
            }
            let before = self.out.len();
            let part = self.client_part(&input[pass.at..], &mut fields, judge);
            self.check_invariants();
            match part {
                Part::Forward(n) => {
                    if pass.copied {
                        self.out.extend_from_slice(&input[pass.at..pass.at + n]);
                    }
                    pass.at += n;
                }
                Part::Replace(n) => {
                    self.copy_prefix(&mut pass, before);
                    pass.at += n;
                }
                Part::NeedMore => break ClientStep::NeedMore,
                Part::Stop => {
                    // Whether a part of it goes must not depend on what was read with it.
                    self.out.truncate(before);
                    break ClientStep::Stop;
                }
            }
        };
        if self.credit > 0 {
            frame::window_update(&mut self.replies, 0, std::mem::take(&mut self.credit));
        }
        self.partial = last == ClientStep::NeedMore && pass.at < input.len();
        match pass {
            Pass { at: 0, .. } => last,
            Pass { at, copied: false, .. } => ClientStep::Forward(at),
            Pass { at, .. } if self.out.is_empty() => ClientStep::Discard(at),
            Pass { at, .. } => ClientStep::Replace(at),
        }
    }

    /// From now on what goes to the upstream is copied. `new` is where `out` was before the part that made it necessary.
    fn copy_prefix(&mut self, pass: &mut Pass<'_>, new: usize) {
        if !std::mem::replace(&mut pass.copied, true) {
            self.out.splice(new..new, pass.input[..pass.at].iter().copied());
        }
    }

    fn client_part(&mut self, input: &[u8], fields: &mut Fields, judge: &mut impl Judge) -> Part {
        match &mut self.client {
            Place::Stopped => Part::Stop,
            Place::Preface if input.len() < PREFACE.len() && PREFACE.starts_with(input) => Part::NeedMore,
            Place::Preface if !input.starts_with(PREFACE) => self.refuse(Refusal::Preface, judge),
            Place::Preface => {
                self.client = Place::Settings;
                Part::Forward(PREFACE.len())
            }
            Place::Payload { left, pass } => {
                let n = (*left).min(input.len());
                *left -= n;
                let pass = *pass;
                if *left == 0 {
                    self.client = Place::Boundary;
                }
                if pass { Part::Forward(n) } else { Part::Replace(n) }
            }
            Place::Settings | Place::Boundary | Place::Rest(_) => {
                let Some(frame) = Frame::parse(input) else { return Part::NeedMore };
                match self.client_frame(frame, input, fields, judge) {
                    Ok(part) => part,
                    Err(refusal) => self.refuse(refusal, judge),
                }
            }
        }
    }

    fn client_frame(
        &mut self,
        frame: Frame,
        input: &[u8],
        fields: &mut Fields,
        judge: &mut impl Judge,
    ) -> Result<Part, Refusal> {
        if self.client == Place::Settings {
            if frame.kind != kind::SETTINGS || frame.has(flag::ACK) {
                return Err(Refusal::Preface);
            }
            self.client = Place::Boundary;
        }
        if frame.length > self.max_frame {
            return Err(Refusal::FrameSize);
        }
        check_shape(frame)?;
        match frame.kind {
            kind::DATA => return self.client_data(frame, input, judge),
            kind::HEADERS => return self.client_headers(frame, input, fields, judge),
            // Only within a header block, or from a server.
            kind::CONTINUATION | kind::PUSH_PROMISE => return Err(Refusal::Frame),
            kind::SETTINGS if frame.length > frame::SMALLEST_MAX => return Err(Refusal::FrameSize),
            kind::RST_STREAM | kind::SETTINGS | kind::PING | kind::WINDOW_UPDATE | kind::PRIORITY => {}
            // What they say is between the two ends.
            _ => {
                self.spend_idle(judge)?;
                return Ok(self.stream_payload(frame, input, true));
            }
        }
        let Some(payload) = input.get(frame::HEADER..frame.total()) else { return Ok(Part::NeedMore) };
        match frame.kind {
            kind::SETTINGS => self.client_settings(frame, payload, judge),
            kind::PING => {
                if !self.budgets.pings.spend(|| judge.now()) {
                    return Err(Refusal::PingFlood);
                }
                Ok(Part::Forward(frame.total()))
            }
            kind::WINDOW_UPDATE => self.client_window(frame, payload, judge),
            kind::RST_STREAM => self.client_reset(frame, judge),
            _ => {
                self.spend_idle(judge)?;
                // The upstream may have a place for a stream that does not exist yet, but not for a denied one.
                let unknown = frame.stream <= self.streams.last;
                let passed = self.streams.get_mut(frame.stream).map_or(!unknown, |stream| stream.passed);
                Ok(if passed { Part::Forward(frame.total()) } else { Part::Replace(frame.total()) })
            }
        }
    }

    fn spend_idle(&mut self, judge: &mut impl Judge) -> Result<(), Refusal> {
        if self.budgets.idle_frames.spend(|| judge.now()) { Ok(()) } else { Err(Refusal::IdleFlood) }
    }

    /// The frame's header and what is there of its payload.
    fn stream_payload(&mut self, frame: Frame, input: &[u8], pass: bool) -> Part {
        let n = frame.total().min(input.len());
        if n < frame.total() {
            self.client = Place::Payload { left: frame.total() - n, pass };
        }
        if pass { Part::Forward(n) } else { Part::Replace(n) }
    }

    fn client_settings(&mut self, frame: Frame, payload: &[u8], judge: &mut impl Judge) -> Result<Part, Refusal> {
        if frame.has(flag::ACK) {
            if self.of_server.is_empty() {
                self.spend_idle(judge)?;
            }
            // The upstream lowers its table with this; the next block that is written anew must say so.
            self.announce |= self.of_server.acknowledge(&mut self.requests, &self.limits);
            return Ok(Part::Forward(frame.total()));
        }
        if !self.budgets.settings.spend(|| judge.now()) {
            return Err(Refusal::SettingsFlood);
        }
        self.note_settings(payload);
        if !self.of_client.push(payload) {
            return Err(Refusal::SettingsFlood);
        }
        if self.write_settings(frame, payload) {
            return Ok(Part::Replace(frame.total()));
        }
        Ok(Part::Forward(frame.total()))
    }

    fn client_window(&mut self, frame: Frame, payload: &[u8], judge: &mut impl Judge) -> Result<Part, Refusal> {
        if !self.budgets.updates.spend(|| judge.now()) {
            return Err(Refusal::UpdateFlood);
        }
        let increment = frame::number(payload) & frame::STREAM;
        if frame.stream != 0 {
            return self.on_stream(frame);
        }
        self.windows.connection = self.windows.connection.saturating_add(increment.into());
        let kept = self.windows.borrowed.min(increment);
        if kept == 0 {
            return Ok(Part::Forward(frame.total()));
        }
        self.windows.borrowed -= kept;
        if kept < increment {
            frame::window_update(&mut self.out, 0, increment - kept);
        }
        Ok(Part::Replace(frame.total()))
    }

    /// A small frame about one stream: the upstream gets it if it knows of the stream.
    fn on_stream(&mut self, frame: Frame) -> Result<Part, Refusal> {
        if frame.stream > self.streams.last {
            return Err(Refusal::Frame);
        }
        let passed = self.streams.get_mut(frame.stream).is_some_and(|stream| stream.passed);
        Ok(if passed { Part::Forward(frame.total()) } else { Part::Replace(frame.total()) })
    }

    fn client_reset(&mut self, frame: Frame, judge: &mut impl Judge) -> Result<Part, Refusal> {
        let part = self.on_stream(frame)?;
        match self.streams.remove(frame.stream) {
            Some(stream) => self.unanswered(frame.stream, stream, judge)?,
            None => self.spend_idle(judge)?,
        }
        Ok(part)
    }

    /// The client's doing ends a stream before the server has. That costs the upstream more than the client.
    fn unanswered(&mut self, id: u32, stream: Stream, judge: &mut impl Judge) -> Result<(), Refusal> {
        if stream.server_ended {
            return Ok(());
        }
        if !stream.answered {
            judge.stream_reset(id);
        }
        if self.budgets.resets.spend(|| judge.now()) { Ok(()) } else { Err(Refusal::ResetFlood) }
    }

    fn client_data(&mut self, frame: Frame, input: &[u8], judge: &mut impl Judge) -> Result<Part, Refusal> {
        let padding = match input.get(frame::HEADER) {
            _ if !frame.has(flag::PADDED) => 0,
            _ if frame.length == 0 => return Err(Refusal::Frame),
            None => return Ok(Part::NeedMore),
            Some(padding) => 1 + usize::from(*padding),
        };
        let body = frame.length.checked_sub(padding).ok_or(Refusal::Frame)? as u64;
        if frame.stream > self.streams.last {
            return Err(Refusal::Frame);
        }
        let ends = frame.has(flag::END_STREAM);
        if body == 0 && !ends {
            self.spend_idle(judge)?;
        }
        self.budgets.pings.refund(1);
        let fine = match self.streams.get_mut(frame.stream) {
            None => {
                self.spend_idle(judge)?;
                Err(Refusal::StreamClosed)
            }
            Some(stream) if stream.client_ended => Err(Refusal::StreamClosed),
            Some(stream) => {
                if let Some(left) = &mut stream.left {
                    let enough = body <= *left && (!ends || body == *left);
                    *left = left.saturating_sub(body);
                    if !enough && stream.passed { Err(Refusal::ContentLength) } else { Ok(stream.passed) }
                } else {
                    Ok(stream.passed)
                }
            }
        };
        let pass = match fine {
            Ok(pass) => {
                if ends {
                    self.client_ended(frame.stream);
                } else if !pass {
                    self.give_back(frame);
                }
                pass
            }
            Err(refusal) => {
                self.break_stream(frame.stream, refusal, ends, judge)?;
                false
            }
        };
        if !pass {
            self.credit = self.credit.saturating_add(u32::try_from(frame.length).unwrap_or(u32::MAX));
        }
        Ok(self.stream_payload(frame, input, pass))
    }

    /// Opens a denied stream's window again for what was dropped, so that the client can finish; not for ever.
    fn give_back(&mut self, frame: Frame) {
        let limit = self.limits.dropped_bytes;
        let Some(stream) = self.streams.get_mut(frame.stream) else { return };
        let Some(dropped) = stream.dropped.map(|dropped| dropped + frame.length as u64) else { return };
        stream.dropped = (dropped <= limit).then_some(dropped);
        if stream.dropped.is_none() {
            frame::reset(&mut self.replies, frame.stream, Code::None);
        } else if frame.length > 0 {
            frame::window_update(&mut self.replies, frame.stream, u32::try_from(frame.length).unwrap_or(u32::MAX));
        }
    }

    fn client_ended(&mut self, stream: u32) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.client_ended = true;
        }
        self.streams.tidy(stream);
    }

    /// Ends a stream that cannot go on, towards both sides. `ends` is whether the client has ended it with this frame.
    fn break_stream(&mut self, id: u32, refusal: Refusal, ends: bool, judge: &mut impl Judge) -> Result<(), Refusal> {
        frame::reset(&mut self.replies, id, refusal.code());
        let Some(stream) = self.streams.remove(id) else { return Ok(()) };
        judge.stream_refused(refusal, None);
        // What is under way is dropped without another word (RFC 9113 section 5.4.2).
        let client_ended = stream.client_ended || ends;
        let dropped = None;
        self.streams.insert(id, Stream { passed: false, client_ended, server_ended: true, dropped, ..stream });
        if !stream.passed {
            return Ok(());
        }
        frame::reset(&mut self.out, id, Code::Protocol);
        self.unanswered(id, stream, judge)
    }

    /// Collects and judges a header block.
    fn client_headers(
        &mut self,
        frame: Frame,
        input: &[u8],
        fields: &mut Fields,
        judge: &mut impl Judge,
    ) -> Result<Part, Refusal> {
        let mut joined = Vec::new();
        let Some(block) = collect(frame, input, &mut joined, &self.limits, self.max_frame)? else {
            return Ok(Part::NeedMore);
        };
        fields.decode(&mut self.requests, block.bytes, &self.limits)?;
        let ends = frame.has(flag::END_STREAM);
        let pass = if frame.stream > self.streams.last {
            self.request(frame.stream, ends, fields, judge)
        } else {
            self.trailers(frame.stream, ends, fields, judge)?
        };
        if !pass {
            self.rewrites = true;
            // The upstream's table is of no use any more.
            self.announce = true;
            return Ok(Part::Replace(block.length));
        }
        if !self.rewrites {
            return Ok(Part::Forward(block.length));
        }
        let mut anew = Vec::with_capacity(block.bytes.len() * 2);
        if std::mem::take(&mut self.announce) {
            crate::hpack::encode::size_update(&mut anew, 0);
        }
        fields.write(&mut anew);
        frame::header_block(&mut self.out, frame.stream, ends, &anew);
        Ok(Part::Replace(block.length))
    }

    /// Judges a request; true if the upstream shall see it.
    fn request(&mut self, id: u32, ends: bool, fields: &Fields, judge: &mut impl Judge) -> bool {
        self.streams.open(id);
        self.budgets.idle_frames.refund(4);
        let mut headers = Vec::new();
        let mut scratch = std::mem::take(&mut self.scratch);
        let (mut stop, mut reason) = (false, None);
        let (stream, answer) = match Request::parse(fields, &mut headers, &mut scratch) {
            Err((refusal, head)) => {
                judge.stream_refused(refusal, Some(&head));
                (None, Some(Answer::refused(refusal)))
            }
            Ok(request) if ends && request.length.is_some_and(|length| length > 0) => {
                judge.stream_refused(Refusal::ContentLength, Some(&request.head));
                (None, Some(Answer::refused(Refusal::ContentLength)))
            }
            Ok(request) if self.leaving || self.streams.len() >= self.limits.streams => {
                judge.stream_refused(Refusal::TooManyStreams, Some(&request.head));
                (None, Some(Answer::refused(Refusal::TooManyStreams)))
            }
            Ok(request) => match judge.judge_stream(id, &request.head, request.is_grpc) {
                Decision::Allow => (Some(request.length), None),
                Decision::Deny => {
                    let answer = Answer::denied(&request, self.has_room());
                    stop = answer.asks_to_stop(request.head.method());
                    reason = judge.stream_reason();
                    (None, Some(answer))
                }
            },
        };
        self.scratch = scratch;
        if let Some(answer) = answer {
            stop |= matches!(answer, Answer::Reset(_));
            self.answer(id, answer, stop && !ends, reason);
        }
        let passed = stream.is_some();
        let (left, dropped) = (stream.flatten(), (!passed && !stop).then_some(0));
        let stream = Stream { passed, client_ended: ends, server_ended: !passed, left, dropped, ..Stream::default() };
        self.streams.insert(id, stream);
        passed
    }

    /// A second header block on a stream; true if the upstream shall see it.
    fn trailers(&mut self, id: u32, ends: bool, fields: &Fields, judge: &mut impl Judge) -> Result<bool, Refusal> {
        let Some(stream) = self.streams.get_mut(id).copied() else {
            // Opened and over, or, if the client has left out some, perhaps never opened (RFC 9113 section 5.1.1).
            return Err(if id > self.streams.skipped { Refusal::StreamClosed } else { Refusal::Frame });
        };
        if stream.client_ended {
            return Err(Refusal::StreamClosed);
        }
        if !stream.passed {
            self.spend_idle(judge)?;
            if ends {
                self.client_ended(id);
            }
            return Ok(false);
        }
        let sound = if ends { fields.check_trailers() } else { Err(Refusal::Trailer) };
        let whole = if stream.left.is_some_and(|left| left > 0) { Err(Refusal::ContentLength) } else { Ok(()) };
        match sound.and(whole) {
            Ok(()) => {
                self.client_ended(id);
                Ok(true)
            }
            Err(refusal) => {
                self.break_stream(id, refusal, ends, judge)?;
                Ok(false)
            }
        }
    }

    /// The connection ends with GOAWAY.
    fn refuse(&mut self, refusal: Refusal, judge: &mut impl Judge) -> Part {
        judge.stream_refused(refusal, None);
        self.client = Place::Stopped;
        self.go_away(refusal.code());
        self.closing = true;
        Part::Stop
    }
}

/// The rules on a frame's length and stream that need no more than its header (RFC 9113 section 6).
pub(super) fn check_shape(frame: Frame) -> Result<(), Refusal> {
    let (size, on_stream) = match frame.kind {
        kind::DATA | kind::HEADERS | kind::CONTINUATION => (true, Some(true)),
        kind::PRIORITY => (frame.length == 5, Some(true)),
        kind::RST_STREAM => (frame.length == 4, Some(true)),
        kind::SETTINGS if frame.has(flag::ACK) => (frame.length == 0, Some(false)),
        kind::SETTINGS => (frame.length.is_multiple_of(6), Some(false)),
        kind::PING => (frame.length == 8, Some(false)),
        kind::GOAWAY => (frame.length >= 8, Some(false)),
        kind::WINDOW_UPDATE => (frame.length == 4, None),
        _ => (true, None),
    };
    if on_stream.is_some_and(|on_stream| on_stream != (frame.stream != 0)) {
        return Err(Refusal::Frame);
    }
    let of_server = frame.stream != 0 && frame.stream.is_multiple_of(2);
    if of_server && on_stream == Some(true) && frame.kind != kind::PRIORITY {
        return Err(Refusal::Frame);
    }
    if size { Ok(()) } else { Err(Refusal::FrameSize) }
}

/// Finds the end of a header block that begins the input; `None` while it is incomplete.
pub(super) fn collect<'a>(
    frame: Frame,
    input: &'a [u8],
    joined: &'a mut Vec<u8>,
    limits: &Limits,
    max_frame: usize,
) -> Result<Option<Block<'a>>, Refusal> {
    let mut at = frame.total();
    let mut last = frame;
    let mut frames = 1;
    while !last.has(flag::END_HEADERS) {
        if at > limits.block_bytes || frames == limits.block_frames {
            return Err(Refusal::BlockTooLarge);
        }
        let Some(next) = input.get(at..).and_then(Frame::parse) else { return Ok(None) };
        if next.kind != kind::CONTINUATION || next.stream != frame.stream {
            return Err(Refusal::Frame);
        }
        if next.length > max_frame {
            return Err(Refusal::FrameSize);
        }
        at += next.total();
        frames += 1;
        last = next;
    }
    if at > limits.block_bytes {
        return Err(Refusal::BlockTooLarge);
    }
    if input.len() < at {
        return Ok(None);
    }
    let payload = &input[frame::HEADER..frame.total()];
    let mut first = frame::unpadded(frame, payload).ok_or(Refusal::Frame)?;
    if frame.has(flag::PRIORITY) {
        first = first.get(5..).ok_or(Refusal::FrameSize)?;
    }
    if frames == 1 {
        return Ok(Some(Block { length: at, bytes: first }));
    }
    joined.extend_from_slice(first);
    let mut rest = &input[frame.total()..at];
    while let Some(next) = Frame::parse(rest) {
        joined.extend_from_slice(&rest[frame::HEADER..next.total()]);
        rest = &rest[next.total()..];
    }
    Ok(Some(Block { length: at, bytes: joined }))
}
