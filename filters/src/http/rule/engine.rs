//! The automaton over `METHOD NUL PATH NUL HOST` that tells which patterns match.
//!
//! It is stepped byte by byte through the three fields where they lie, so nothing is copied. All patterns are anchored at
//! both ends, so the state at the end of the input names those that match, all of them (`MatchKind::All`).

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton, StartKind, dense},
    hybrid,
    nfa::thompson::NFA,
    util::{pool::Pool, start},
};
use regex_syntax::hir::Hir;

use super::{RuleError, pattern, too_many};

/// Bytes of the automaton that all patterns together may have before determinisation: some 30,000 rules of about 500
/// bytes each. The worst case of a lazy step is proportional to it.
const NFA_SIZE: usize = 16 << 20;

/// Bytes of a table built in advance, so that it stays in a processor's second-level cache. Rules of the form `/a/.*` take
/// about 100 bytes per byte of pattern; each rule of the form `.*a.*` doubles the table.
const DFA_SIZE: usize = 2 << 20;

/// Bytes that building a table may take besides. It bounds the time that is lost before a table is given up: 0.2 s with
/// 1 MiB, 1.4 s with 2 MiB, while 2,000 rules of the form `/a/.*` still fit.
const BUILD_SIZE: usize = 1 << 20;

/// Bytes of a lazy automaton's cache, per thread that uses it at one time. It is emptied when it is full.
const CACHE_SIZE: usize = 1 << 20;

type Caches = Pool<hybrid::dfa::Cache, Box<dyn Fn() -> hybrid::dfa::Cache + Send + Sync>>;

/// An automaton.
pub(super) enum Engine {
    /// A table of all states.
    Dense(Box<dense::DFA<Vec<u32>>>),
    /// States are made when they are first reached.
    Lazy { dfa: Box<hybrid::dfa::DFA>, caches: Box<Caches> },
}

impl Engine {
    /// Compiles what [`pattern::compile`] made. The number of a pattern is its index.
    pub(super) fn build(patterns: &[Hir]) -> Result<Self, RuleError> {
        let nfa = nfa(patterns)?;
        let dense = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(StartKind::Anchored)
            .accelerate(false)
            .dfa_size_limit(Some(DFA_SIZE))
            .determinize_size_limit(Some(BUILD_SIZE));
        match dense::Builder::new().configure(dense).build_from_nfa(&nfa) {
            Ok(dfa) => Ok(Self::Dense(Box::new(dfa))),
            Err(_) => Self::lazy(nfa),
        }
    }

    /// As [`Self::build`], lazy in any case.
    #[cfg(test)]
    pub(super) fn build_lazy(patterns: &[Hir]) -> Result<Self, RuleError> {
        Self::lazy(nfa(patterns)?)
    }

    fn lazy(nfa: NFA) -> Result<Self, RuleError> {
        let config = hybrid::dfa::Config::new()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE_SIZE)
            // Many patterns may need more for the two states that a step holds.
            .skip_cache_capacity_check(true);
        let dfa = hybrid::dfa::Builder::new().configure(config).build_from_nfa(nfa);
        let dfa = dfa.map_err(|error| too_many(&format!("rules for one port: {error}")))?;
        let create = dfa.clone();
        let caches: Caches = Pool::new(Box::new(move || create.create_cache()));
        Ok(Self::Lazy { dfa: Box::new(dfa), caches: Box::new(caches) })
    }

    /// Calls `found` with the number of each pattern that matches.
    pub(super) fn matches(&self, fields: [&str; 3], found: impl FnMut(usize)) {
        match self {
            Self::Dense(dfa) => dense_matches(dfa, fields, found),
            // An automaton without a verdict (it gives up for bytes or sizes that do not occur here) allows nothing.
            Self::Lazy { dfa, caches } => lazy_matches(dfa, &mut caches.get(), fields, found).unwrap_or_default(),
        }
    }

    pub(super) fn memory_usage(&self) -> usize {
        match self {
            Self::Dense(dfa) => dfa.memory_usage(),
            Self::Lazy { dfa, .. } => dfa.memory_usage() + dfa.get_nfa().memory_usage(),
        }
    }
}

fn nfa(patterns: &[Hir]) -> Result<NFA, RuleError> {
    let built = pattern::thompson(NFA_SIZE).build_many_from_hir(patterns);
    built.map_err(|error| too_many(&format!("rules for one port: {error}")))
}

fn dense_matches(dfa: &dense::DFA<Vec<u32>>, fields: [&str; 3], mut found: impl FnMut(usize)) {
    let Ok(mut state) = dfa.start_state(&start::Config::new().anchored(Anchored::Yes)) else { return };
    for (index, field) in fields.into_iter().enumerate() {
        if index > 0 {
            state = dfa.next_state(state, pattern::SEPARATOR);
        }
        for byte in field.bytes() {
            state = dfa.next_state(state, byte);
        }
        if dfa.is_dead_state(state) {
            return;
        }
    }
    state = dfa.next_eoi_state(state);
    if dfa.is_match_state(state) {
        (0..dfa.match_len(state)).for_each(|index| found(dfa.match_pattern(state, index).as_usize()));
    }
}

fn lazy_matches(
    dfa: &hybrid::dfa::DFA,
    cache: &mut hybrid::dfa::Cache,
    fields: [&str; 3],
    mut found: impl FnMut(usize),
) -> Option<()> {
    let mut state = dfa.start_state(cache, &start::Config::new().anchored(Anchored::Yes)).ok()?;
    for (index, field) in fields.into_iter().enumerate() {
        if index > 0 {
            state = dfa.next_state(cache, state, pattern::SEPARATOR).ok()?;
        }
        for byte in field.bytes() {
            state = dfa.next_state(cache, state, byte).ok()?;
        }
        if state.is_dead() || state.is_quit() {
            return Some(());
        }
    }
    state = dfa.next_eoi_state(cache, state).ok()?;
    if state.is_match() {
        (0..dfa.match_len(cache, state)).for_each(|index| found(dfa.match_pattern(cache, state, index).as_usize()));
    }
    Some(())
}
