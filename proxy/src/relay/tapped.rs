//! What the rules in force ask of the pair, and the copy of a watched pair's bytes.

use weir_filters::tap::{Lost, Seen};

use super::{End, Relay};
use crate::inspect::Course;

impl Relay {
    /// Does what the rules in force ask.
    pub(super) fn follow_policy(&mut self) -> Result<(), End> {
        let Self { inspector, session, flags, .. } = self;
        session.forget_tunnels(|stream| inspector.has_stream(stream));
        match session.course(flags.opaque) {
            Course::GoOn => Ok(()),
            // A pair that is watched has no request that would be edited: it is judged first.
            Course::Leave | Course::Judge if self.session.is_watched() => self.judge_from_now_on(),
            Course::Leave => {
                self.flags.leaving = true;
                Ok(())
            }
            Course::Judge => Ok(()),
            Course::Cut => Err(End::Cut),
        }
    }

    /// All that has passed is what the inspector would have passed, or else nobody can say what the next byte means.
    fn judge_from_now_on(&mut self) -> Result<(), End> {
        if self.tap.take().is_some_and(|tap| tap.has_seen_all()) {
            self.session.judge_from_now_on();
            return self.follow_policy();
        }
        self.session.cut_unseen();
        Err(End::Cut)
    }

    /// Passes what a client has sent whose pair is watched; false if it is not.
    pub(super) fn tap_client(&mut self, data: &[u8]) -> Result<bool, End> {
        // The snapshot may have changed within this turn.
        self.follow_policy()?;
        if self.tap.is_none() {
            return Ok(false);
        }
        self.send_upstream(data)?;
        let Some(tap) = &mut self.tap else { return Ok(false) };
        let seen = tap.client(&mut self.inspector, data, &mut self.session);
        self.saw(seen);
        Ok(true)
    }

    /// As [`Self::tap_client`], of the server.
    pub(super) fn tap_upstream(&mut self, data: &[u8]) -> Result<bool, End> {
        if self.tap.is_none() {
            return Ok(false);
        }
        self.send_client(data)?;
        let Some(tap) = &mut self.tap else { return Ok(false) };
        let seen = tap.server(&mut self.inspector, data, &mut self.session);
        self.saw(seen);
        Ok(true)
    }

    fn saw(&mut self, seen: Result<Seen, Lost>) {
        match seen {
            Ok(Seen::Yes) => return,
            Ok(Seen::Opaque) => {}
            Err(lost) => self.session.goes_on_unseen(&lost.to_string(), None),
        }
        self.tap = None;
        self.flags.opaque = true;
    }

    /// So many of the client's next bytes nobody needs to see.
    pub(super) fn client_run(&self) -> u64 {
        match &self.tap {
            _ if self.flags.opaque => u64::MAX,
            Some(tap) => tap.client_run(&self.inspector),
            None => self.inspector.client_run(),
        }
    }

    /// As [`Self::client_run`], of the server's.
    pub(super) fn server_run(&self) -> u64 {
        match &self.tap {
            _ if self.flags.opaque => u64::MAX,
            Some(tap) => tap.server_run(&self.inspector),
            None => self.inspector.server_run(),
        }
    }
}
