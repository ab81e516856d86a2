//! Finds the end of a body (RFC 9112 sections 6 and 7) without looking into it.
//!
//! ```text
//!             ┌───────────────────── DataLf ◀─ DataCr ◀─ Data ◀──────────┐
//!             ▼                                                          │ size > 0
//!           Size ──▶ Extension ──▶ SizeLf ──────────────────────────────▶┤
//!             └───────────────────────▲                                  │ size = 0
//!                                                      Done ◀── Trailers ┘
//! ```
//!
//! Size lines and data are passed on as they come, since each byte is checked before. The trailer section is held back
//! until it is complete, since a name can only be judged whole.

use super::{
    Limits, Refusal,
    head::{Scanner, check_trailers},
};

/// 16 digits hold every `u64`.
const SIZE_DIGITS: u8 = 16;

/// What is left of a message's body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// Nothing.
    Done,
    /// So many bytes, not 0.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// All that the server sends.
    UntilClose,
}

/// The place in a chunked body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chunked {
    Size { digits: u8, size: u64 },
    Extension { size: u64, length: usize },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailers(Scanner),
}

impl Body {
    /// A body of `length` bytes.
    pub(super) fn length(length: u64) -> Self {
        if length == 0 { Self::Done } else { Self::Length(length) }
    }

    /// A chunked body.
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunked::Size { digits: 0, size: 0 })
    }

    /// Whether the message is complete.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// So many bytes will come at least that are passed whatever they are, and do not end the message.
    pub(super) fn run(&self) -> u64 {
        match self {
            Self::UntilClose => u64::MAX,
            Self::Length(left) | Self::Chunked(Chunked::Data { left }) => left.saturating_sub(1),
            Self::Done | Self::Chunked(_) => 0,
        }
    }

    /// So many bytes of a run were passed.
    pub(super) fn ran(&mut self, bytes: u64) {
        if let Self::Length(left) | Self::Chunked(Chunked::Data { left }) = self {
            *left = left.saturating_sub(bytes);
        }
    }

    /// How many bytes at the beginning of `input` belong to the body and may be passed on.
    ///
    /// An error is reported once all bytes before it were taken, and every time the same bytes come.
    pub(super) fn take(&mut self, input: &[u8], limits: &Limits) -> Result<usize, Refusal> {
        match self {
            Self::Done => Ok(0),
            Self::UntilClose => Ok(input.len()),
            Self::Length(left) => {
                let taken = take_up_to(left, input);
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(taken)
            }
            Self::Chunked(_) => self.take_chunks(input, limits),
        }
    }

    fn take_chunks(&mut self, input: &[u8], limits: &Limits) -> Result<usize, Refusal> {
        let mut taken = 0;
        while let Self::Chunked(state) = self
            && taken < input.len()
        {
            let rest = &input[taken..];
            match state {
                Chunked::Data { left } => {
                    taken += take_up_to(left, rest);
                    if *left == 0 {
                        *state = Chunked::DataCr;
                    }
                }
                Chunked::Trailers(scanner) => match trailers(scanner, rest, limits) {
                    Ok(None) => break,
                    Ok(Some(length)) => {
                        taken += length;
                        *self = Self::Done;
                    }
                    Err(refusal) => return if taken > 0 { Ok(taken) } else { Err(refusal) },
                },
                _ => match state.next(rest[0], limits) {
                    Some(next) => {
                        *state = next;
                        taken += 1;
                    }
                    None => return if taken > 0 { Ok(taken) } else { Err(Refusal::Chunk) },
                },
            }
        }
        Ok(taken)
    }
}

impl Chunked {
    /// The state after one byte of a size line or of a chunk's line ending; `None` if the byte must not be there.
    fn next(self, byte: u8, limits: &Limits) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size { digits: 1.., size }, b'\r') => Self::SizeLf { size },
            (Self::Size { digits: 1.., size }, b';') => Self::Extension { size, length: 1 },
            (Self::Size { digits: 0..SIZE_DIGITS, size }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let Self::Size { digits, .. } = self else { return None };
                Self::Size { digits: digits + 1, size: size << 4 | u64::from(char::from(byte).to_digit(16)?) }
            }
            (Self::Extension { size, .. }, b'\r') => Self::SizeLf { size },
            (Self::Extension { size, length }, b'\t' | b' '..=b'~') if length < limits.chunk_extension_bytes => {
                Self::Extension { size, length: length + 1 }
            }
            (Self::SizeLf { size: 0 }, b'\n') => Self::Trailers(Scanner::default()),
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size { digits: 0, size: 0 },
            _ => return None,
        })
    }
}

fn trailers(scanner: &mut Scanner, input: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
    let Some(length) = scanner.scan(input, limits.trailer_bytes).map_err(|_| Refusal::Trailer)? else {
        return Ok(None);
    };
    check_trailers(&input[..length]).map(|()| Some(length))
}

fn take_up_to(left: &mut u64, input: &[u8]) -> usize {
    let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    *left -= taken as u64;
    taken
}
