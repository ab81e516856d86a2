//! The rules about one peer as map entries.
//!
//! Ports are prefixes: a range is cut into the fewest. Of the entries that cover a packet the kernel finds the longest, so
//! each holds the strongest verdict of all that cover it; one that says no more than the next shorter is left out.

use weir_model::identity::Identity;
use weir_model::{
    policy::{Mode, PortRange, Protocol},
    resolved::{Direction, L4Rule},
    wanted::{Decided, EntryKey, EntryVerdict, KernelVerdict},
};

/// Which packets: protocol, port, bits of the port. In this order a shorter prefix comes before what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reach {
    protocol: u8,
    port: u16,
    bits: u8,
}

impl Reach {
    fn covers(self, other: Self) -> bool {
        let mask = u16::try_from(0xffff_0000_u32 >> self.bits & 0xffff).unwrap_or_default();
        match self.protocol {
            0 => true,
            protocol => protocol == other.protocol && self.bits <= other.bits && other.port & mask == self.port,
        }
    }
}

/// The entries of a peer, without the peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(Vec<(Reach, EntryVerdict)>);

const TCP: u8 = 6;

impl Entries {
    /// The entries of all rules that name the same peer.
    pub(super) fn of<'a>(rules: impl Iterator<Item = &'a L4Rule>) -> Self {
        let mut all: Vec<(Reach, EntryVerdict)> = Vec::new();
        for rule in rules {
            let said = said(rule);
            let mut add = |protocol, ports: PortRange| {
                // Only TCP can be shown to the proxy.
                if rule.mode != Mode::Observe || matches!(protocol, 0 | TCP) {
                    all.extend(prefixes(ports).map(|(port, bits)| (Reach { protocol, port, bits }, said)));
                }
            };
            match rule.protocol {
                None => add(0, PortRange::ALL),
                Some(protocol @ Protocol::Other(_)) => {
                    protocol.numbers().for_each(|number| add(number, PortRange::ALL))
                }
                Some(protocol) => protocol.numbers().for_each(|number| add(number, rule.ports)),
            }
        }
        all.sort_unstable_by_key(|(reach, _)| *reach);
        let mut folded: Vec<(Reach, EntryVerdict)> = Vec::with_capacity(all.len());
        // Those that cover the current one, from the shortest; each the strongest of all before it.
        let mut covering: Vec<(Reach, EntryVerdict)> = Vec::new();
        for same in all.chunk_by(|(a, _), (b, _)| a == b) {
            let reach = same[0].0;
            while covering.last().is_some_and(|(shorter, _)| !shorter.covers(reach)) {
                covering.pop();
            }
            let next_shorter = covering.last().map(|(_, verdict)| *verdict).unwrap_or_default();
            let verdict = same.iter().fold(next_shorter, |strongest, (_, verdict)| both(strongest, *verdict));
            if verdict != next_shorter {
                folded.push((reach, verdict));
                covering.push((reach, verdict));
            }
        }
        Self(folded)
    }

    /// The entries as the kernel's, for a peer.
    pub(super) fn about(
        &self,
        direction: Direction,
        peer: Identity,
    ) -> impl Iterator<Item = (EntryKey, EntryVerdict)> + '_ {
        self.0.iter().map(move |(reach, verdict)| {
            let Reach { protocol, port, bits: port_bits } = *reach;
            (EntryKey { direction, peer, protocol, port, port_bits }, *verdict)
        })
    }
}

/// What a rule says by itself.
fn said(rule: &L4Rule) -> EntryVerdict {
    let verdict = match (rule.deny, &rule.http) {
        (true, _) => KernelVerdict::Deny,
        (false, Some(_)) => KernelVerdict::Redirect,
        (false, None) => KernelVerdict::Allow,
    };
    let decided = Decided { verdict, rule: rule.id };
    match rule.mode {
        Mode::Enforce => EntryVerdict { enforced: decided, audited: decided, observe: false },
        Mode::Audit => EntryVerdict { audited: decided, ..EntryVerdict::default() },
        Mode::Observe => EntryVerdict { observe: true, ..EntryVerdict::default() },
    }
}

fn both(a: EntryVerdict, b: EntryVerdict) -> EntryVerdict {
    EntryVerdict {
        enforced: stronger(a.enforced, b.enforced),
        audited: stronger(a.audited, b.audited),
        observe: a.observe || b.observe,
    }
}

/// Of two with the same verdict, the one with the lesser number.
fn stronger(a: Decided, b: Decided) -> Decided {
    if (a.verdict, std::cmp::Reverse(a.rule)) >= (b.verdict, std::cmp::Reverse(b.rule)) { a } else { b }
}

/// The fewest prefixes that make up a range.
fn prefixes(range: PortRange) -> impl Iterator<Item = (u16, u8)> {
    let (mut next, end) = (u32::from(range.first), u32::from(range.last) + 1);
    std::iter::from_fn(move || {
        if next >= end {
            return None;
        }
        let aligned = if next == 0 { 16 } else { next.trailing_zeros() };
        let fitting = (end - next).ilog2();
        let size = aligned.min(fitting).min(16);
        let first = u16::try_from(next).ok()?;
        next += 1 << size;
        Some((first, u8::try_from(16 - size).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_into_the_fewest_prefixes() {
        let cut = |first, last| prefixes(PortRange { first, last }).collect::<Vec<_>>();
        assert_eq!(cut(0, u16::MAX), [(0, 0)]);
        assert_eq!(cut(80, 80), [(80, 16)]);
        assert_eq!(cut(8080, 8083), [(8080, 14)]);
        assert_eq!(cut(1, 6), [(1, 16), (2, 15), (4, 15), (6, 16)]);
        assert_eq!(cut(65535, 65535), [(65535, 16)]);
        assert_eq!(cut(32768, 65535), [(32768, 1)]);
        assert_eq!(cut(5, 4), [], "an empty range is nothing");
        for (first, last) in [(1, u16::MAX), (0, 65534), (1023, 49151), (7, 7)] {
            let covered: Vec<u32> = cut(first, last)
                .into_iter()
                .flat_map(|(port, bits)| u32::from(port)..u32::from(port) + (1 << (16 - bits)))
                .collect();
            assert_eq!(covered, (u32::from(first)..=u32::from(last)).collect::<Vec<_>>());
        }
    }
}
