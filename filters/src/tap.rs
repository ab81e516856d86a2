//! Watches a connection whose bytes nobody may hold up, change or refuse: all of them pass at once, and the inspector gets
//! a copy.
//!
//! ```text
//!   client ──┬───────────────────────────▶ upstream
//!            └─▶ held ──▶ inspector             both directions alike
//! ```
//!
//! Where the inspector would refuse, answer, wait for more than is held, or find something that is not HTTP, the tap is
//! over: the connection goes on unseen, and a record says why. The inspector's own bytes and its limits on what passes are
//! of no consequence here. What a tap has followed without a doubt can be handed to a relay that obeys the inspector: then
//! all that was passed is what the inspector would have passed.

use crate::connection::{Abort, ClientStep, Inspector, Judge, ServerStep};

/// Bytes of a direction that the inspector cannot judge yet, at most. More than a head, or a window of HTTP/2.
const HELD: usize = 256 << 10;

/// What one direction has sent, and the inspector has not consumed.
#[derive(Debug, Default)]
pub struct Tap {
    client: Vec<u8>,
    server: Vec<u8>,
    /// The client's bytes are to be tried again when the server's side has made a step.
    waits: bool,
}

/// How a direction's bytes were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The inspector follows.
    Yes,
    /// What follows is no business of the rules: a tunnel, as in [`ClientStep::Opaque`].
    Opaque,
}

/// Why a connection goes on unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The inspector would have answered or refused; it has told its judge.
    #[error("refused")]
    Refused,
    /// Bytes where none are expected: behind the last request.
    #[error("bytes behind the last request")]
    Behind,
    /// Over [`HELD`].
    #[error("too many bytes before an answer")]
    TooMuch,
    /// The connection would have been closed.
    #[error(transparent)]
    Broken(Abort),
}

impl Tap {
    /// Shows the inspector what the client has sent.
    ///
    /// # Errors
    /// If the inspector cannot follow any more; neither it nor this is to be asked again.
    pub fn client(&mut self, inspector: &mut Inspector, data: &[u8], judge: &mut impl Judge) -> Result<Seen, Lost> {
        if self.client.is_empty() {
            let (seen, taken) = self.see_client(inspector, data, judge)?;
            self.client.extend_from_slice(&data[taken..]);
            return bounded(seen, &self.client);
        }
        let mut held = std::mem::take(&mut self.client);
        held.extend_from_slice(data);
        let (seen, taken) = self.see_client(inspector, &held, judge)?;
        held.drain(..taken);
        if !held.is_empty() {
            self.client = held;
        }
        bounded(seen, &self.client)
    }

    /// Shows the inspector what the server has sent.
    ///
    /// # Errors
    /// As [`Self::client`].
    pub fn server(&mut self, inspector: &mut Inspector, data: &[u8], judge: &mut impl Judge) -> Result<Seen, Lost> {
        let mut held = std::mem::take(&mut self.server);
        let (seen, left) = if held.is_empty() {
            let (seen, taken) = self.see_server(inspector, data, judge)?;
            (seen, data[taken..].to_vec())
        } else {
            held.extend_from_slice(data);
            let (seen, taken) = self.see_server(inspector, &held, judge)?;
            (seen, held.split_off(taken))
        };
        self.server = left;
        bounded(seen, &self.server)
    }

    /// Whether the inspector has consumed all that was passed.
    pub fn has_seen_all(&self) -> bool {
        self.client.is_empty() && self.server.is_empty()
    }

    /// As [`Inspector::client_run`].
    pub fn client_run(&self, inspector: &Inspector) -> u64 {
        if self.client.is_empty() { inspector.client_run() } else { 0 }
    }

    /// As [`Inspector::server_run`].
    pub fn server_run(&self, inspector: &Inspector) -> u64 {
        if self.server.is_empty() { inspector.server_run() } else { 0 }
    }

    fn see_client(
        &mut self,
        inspector: &mut Inspector,
        input: &[u8],
        judge: &mut impl Judge,
    ) -> Result<(Seen, usize), Lost> {
        let mut at = 0;
        self.waits = false;
        while at < input.len() {
            match inspector.client(&input[at..], judge) {
                ClientStep::Forward(n) | ClientStep::Discard(n) => at += n,
                // The bytes have passed as they came.
                ClientStep::Replace(n) => {
                    inspector.take_replacement();
                    at += n;
                }
                ClientStep::NeedMore => break,
                // Nobody has held the body back.
                ClientStep::Wait if inspector.awaits_continue() => inspector.release(),
                ClientStep::Wait => {
                    refused(inspector)?;
                    self.waits = true;
                    break;
                }
                ClientStep::Opaque => return Ok((Seen::Opaque, input.len())),
                ClientStep::Stop => {
                    refused(inspector)?;
                    return Err(Lost::Behind);
                }
                ClientStep::Abort(abort) => return Err(Lost::Broken(abort)),
            }
            refused(inspector)?;
        }
        Ok((Seen::Yes, at))
    }

    fn see_server(
        &mut self,
        inspector: &mut Inspector,
        input: &[u8],
        judge: &mut impl Judge,
    ) -> Result<(Seen, usize), Lost> {
        let mut at = 0;
        while at < input.len() {
            match inspector.server(&input[at..], judge) {
                ServerStep::Forward(n) => at += n,
                ServerStep::Replace(n) => {
                    inspector.take_replacement();
                    at += n;
                }
                ServerStep::NeedMore | ServerStep::Hold => break,
                ServerStep::Wait => return Err(Lost::Refused),
                ServerStep::Opaque => return Ok((Seen::Opaque, input.len())),
                ServerStep::Abort(abort) => return Err(Lost::Broken(abort)),
            }
            refused(inspector)?;
            // What the server says next may be about what the client has said meanwhile.
            if std::mem::take(&mut self.waits) && self.client(inspector, &[], judge)? == Seen::Opaque {
                return Ok((Seen::Opaque, input.len()));
            }
        }
        Ok((Seen::Yes, at))
    }
}

/// Nobody is given the inspector's own bytes.
fn refused(inspector: &mut Inspector) -> Result<(), Lost> {
    if inspector.take_reply().is_some() { Err(Lost::Refused) } else { Ok(()) }
}

fn bounded(seen: Seen, held: &[u8]) -> Result<Seen, Lost> {
    if held.len() > HELD { Err(Lost::TooMuch) } else { Ok(seen) }
}
