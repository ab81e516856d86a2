//! Numbers of rules, for explanations, and the rules behind them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use weir_model::resolved::{RuleId, RuleOrigin};

/// Rules that are gone are remembered for the records that still name them, the last so many.
const REMEMBERED: usize = 4096;

/// A rule that has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// Where it is written.
    pub origin: RuleOrigin,
    /// Its `log.value`.
    pub log: Option<Arc<str>>,
}

/// Which number stands for which rule.
#[derive(Debug, Default)]
pub struct RuleBook {
    by_number: HashMap<RuleId, Noted>,
    by_origin: HashMap<RuleOrigin, RuleId>,
    gone: VecDeque<RuleId>,
}

#[derive(Debug)]
struct Noted {
    text: RuleText,
    users: usize,
}

impl RuleBook {
    /// The rule behind a number; also one that went not long ago.
    pub fn rule(&self, number: RuleId) -> Option<&RuleText> {
        self.by_number.get(&number).map(|noted| &noted.text)
    }

    /// The number of a rule: a hash of its place, so that it is the same after a restart.
    pub fn number(&self, origin: &RuleOrigin) -> Option<RuleId> {
        self.by_origin.get(origin).copied()
    }

    /// Every rule that has a number.
    pub fn rules(&self) -> impl Iterator<Item = (RuleId, &RuleText)> {
        self.by_number.iter().map(|(number, noted)| (*number, &noted.text))
    }

    /// The number of a rule, counted once more.
    pub(super) fn acquire(&mut self, origin: &RuleOrigin, log: Option<&Arc<str>>) -> RuleId {
        let number = self.by_origin.get(origin).copied().unwrap_or_else(|| self.free(origin));
        let text = RuleText { origin: origin.clone(), log: log.cloned() };
        let noted = self.by_number.entry(number).or_insert_with(|| Noted { text: text.clone(), users: 0 });
        noted.users += 1;
        noted.text = text;
        self.by_origin.insert(origin.clone(), number);
        number
    }

    /// Counts it once less.
    pub(super) fn release(&mut self, number: RuleId) {
        let Some(noted) = self.by_number.get_mut(&number) else { return };
        noted.users = noted.users.saturating_sub(1);
        if noted.users > 0 {
            return;
        }
        self.gone.push_back(number);
        while self.gone.len() > REMEMBERED {
            let Some(oldest) = self.gone.pop_front() else { return };
            if let Some(noted) = self.by_number.get(&oldest).filter(|noted| noted.users == 0) {
                self.by_origin.remove(&noted.text.origin);
                self.by_number.remove(&oldest);
            }
        }
    }

    /// FNV-1a (draft-eastlake-fnv): stable, unlike std's hasher, and short. Of two rules with the same hash the later gets the
    /// next number.
    fn free(&self, origin: &RuleOrigin) -> RuleId {
        let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let mut number = origin.to_string().bytes().fold(0x811c_9dc5, hash).max(1);
        while self.by_number.contains_key(&RuleId(number)) {
            number = number.wrapping_add(1).max(1);
        }
        RuleId(number)
    }
}
