//! What could have been in force when, and whether what was seen agrees.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// After an edit's file is closed the old policy may still judge for so long; weir promises 100 ms on an idle machine, and
/// the rest is for a busy one.
const GRACE: Duration = Duration::from_millis(300);

/// Which of the eight keys a policy allows, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys(pub(super) u8);

impl Keys {
    pub(super) fn names(self) -> impl Iterator<Item = u8> {
        (0..8).filter(move |key| self.allows(*key))
    }

    fn allows(self, key: u8) -> bool {
        self.0 >> key & 1 == 1
    }
}

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) key: u8,
    pub(super) how: &'static str,
    /// Before the first byte of the request.
    pub(super) begun: Instant,
    /// After the answer's head.
    pub(super) ended: Instant,
    /// `None`: no answer, or one that is neither.
    pub(super) allowed: Option<bool>,
}

/// The edits.
#[derive(Debug)]
pub(super) struct Timeline {
    /// A policy, and between what times its edit was made.
    edits: VecDeque<(Keys, Instant, Instant)>,
    count: usize,
}

impl Timeline {
    pub(super) fn new() -> Self {
        Self { edits: VecDeque::new(), count: 0 }
    }

    pub(super) fn edited(&mut self, keys: Keys, begun: Instant, ended: Instant) {
        self.edits.push_back((keys, begun, ended));
        self.count += 1;
    }

    /// The last edit is in force.
    pub(super) fn begins_now(&mut self) {
        self.edits.drain(..self.edits.len() - 1);
    }

    pub(super) fn edits(&self) -> usize {
        self.count
    }

    /// No sighting that began earlier will come.
    pub(super) fn forget_before(&mut self, oldest: Instant) {
        while self.edits.get(1).is_some_and(|(_, _, ended)| *ended + GRACE < oldest) {
            self.edits.pop_front();
        }
    }

    /// The policies that could be in force at some time between these.
    fn possible(&self, begun: Instant, ended: Instant) -> impl Iterator<Item = Keys> {
        let replaced = |index: usize| self.edits.get(index + 1).map(|(_, _, ended)| *ended + GRACE);
        self.edits
            .iter()
            .enumerate()
            .filter(move |(index, (_, from, _))| *from <= ended && replaced(*index).is_none_or(|until| begun <= until))
            .map(|(_, (keys, _, _))| *keys)
    }
}

/// Compares.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) requests: u64,
    pub(super) decisive: u64,
    pub(super) wrong: u64,
    pub(super) broken: u64,
    first: Option<String>,
}

impl Oracle {
    pub(super) fn judge(&mut self, timeline: &Timeline, sightings: Vec<Sighting>) {
        for sighting in sightings {
            self.requests += 1;
            let (mut may_allow, mut may_deny) = (false, false);
            for keys in timeline.possible(sighting.begun, sighting.ended) {
                may_allow |= keys.allows(sighting.key);
                may_deny |= !keys.allows(sighting.key);
            }
            self.decisive += u64::from(may_allow != may_deny);
            let fine = match sighting.allowed {
                Some(true) => may_allow,
                Some(false) => may_deny,
                None => {
                    self.broken += 1;
                    self.first.get_or_insert_with(|| format!("no proper answer with {}: {sighting:?}", sighting.how));
                    continue;
                }
            };
            if !fine {
                self.wrong += 1;
                self.first.get_or_insert_with(|| format!("a wrong verdict with {}: {sighting:?}", sighting.how));
            }
        }
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.first.as_deref()
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, decisive, wrong, broken, .. } = self;
        write!(f, "{requests} requests, {decisive} of them decisive, {wrong} wrong, {broken} without an answer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_policy_in_force_could_say_is_wrong() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut timeline = Timeline::new();
        timeline.edited(Keys(0b01), at(0), at(1));
        timeline.edited(Keys(0b10), at(1000), at(1001));
        let rows = [
            (0, 10, 20, true, 0),
            (0, 10, 20, false, 1),
            // Both may be in force around the edit.
            (0, 990, 1010, true, 0),
            (0, 990, 1010, false, 0),
            (0, 1290, 1300, true, 0),
            (0, 1400, 1410, true, 1),
            (1, 1400, 1410, false, 1),
        ];
        for (key, begun, ended, allowed, wrong) in rows {
            let mut oracle = Oracle::default();
            let (begun, ended) = (at(begun), at(ended));
            oracle.judge(&timeline, vec![Sighting { key, how: "", begun, ended, allowed: Some(allowed) }]);
            assert_eq!(oracle.wrong, wrong, "{key} {allowed} at {:?}", begun - start);
        }
    }
}
