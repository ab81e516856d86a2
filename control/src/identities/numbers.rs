//! Numbers from a range, the unused before the used.

use std::collections::{BTreeSet, VecDeque};

/// What is left of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Never given by this table, in the order of giving; first and last of each stretch.
    fresh: VecDeque<(u32, u32)>,
    /// Given back, the oldest first.
    freed: VecDeque<u32>,
}

impl Numbers {
    /// The numbers `first..=last`, from `floor` on; those below the floor come after all others.
    pub(super) fn new(first: u32, last: u32, floor: u32) -> Self {
        let floor = floor.max(first);
        let mut fresh = VecDeque::new();
        if floor <= last {
            fresh.push_back((floor, last));
        }
        if floor > first {
            fresh.push_back((first, last.min(floor - 1)));
        }
        Self { fresh, freed: VecDeque::new() }
    }

    /// The numbers `first..=last` without `used`; those from `next` on, and above all that are used, come first.
    pub(super) fn restore((first, last): (u32, u32), next: u64, used: &BTreeSet<u32>) -> Self {
        let next = used.last().map_or(0, |highest| u64::from(*highest) + 1).max(next).max(first.into());
        let mut fresh = VecDeque::new();
        if let Ok(next) = u32::try_from(next)
            && next <= last
        {
            fresh.push_back((next, last));
        }
        let mut gap = u64::from(first);
        for end in used.iter().copied().map(u64::from).chain([next.min(u64::from(last) + 1)]) {
            if let (Ok(from), Ok(to)) = (u32::try_from(gap), u32::try_from(end.saturating_sub(1)))
                && gap < end
            {
                fresh.push_back((from, to));
            }
            gap = end + 1;
        }
        Self { fresh, freed: VecDeque::new() }
    }

    /// From which number on none was given.
    pub(super) fn next(&self, last: u32) -> u64 {
        let highest = self.fresh.iter().find(|(_, end)| *end == last);
        highest.map_or(u64::from(last) + 1, |(from, _)| u64::from(*from))
    }

    pub(super) fn take(&mut self) -> Option<u32> {
        let Some((next, last)) = self.fresh.front_mut() else { return self.freed.pop_front() };
        let number = *next;
        if number == *last {
            self.fresh.pop_front();
        } else {
            *next += 1;
        }
        Some(number)
    }

    pub(super) fn release(&mut self, number: u32) {
        self.freed.push_back(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_numbers_come_before_those_below_the_floor_and_freed_ones_last() {
        let mut numbers = Numbers::new(1, 6, 4);
        let mut taken = vec![numbers.take(), numbers.take()];
        numbers.release(4);
        taken.extend((0..6).map(|_| numbers.take()));
        assert_eq!(taken, [Some(4), Some(5), Some(6), Some(1), Some(2), Some(3), Some(4), None]);
    }

    #[test]
    fn a_floor_outside_the_range_is_harmless() {
        assert_eq!(Numbers::new(5, 6, 0).take(), Some(5));
        assert_eq!(Numbers::new(5, 6, 9).take(), Some(5));
    }

    /// Rows: from where on none was given, what is used, and the order of what is left of 1 to 6.
    #[test]
    fn after_a_restart_what_was_never_given_comes_first() {
        let rows: [(u64, &[u32], &[u32]); 8] = [
            (1, &[], &[1, 2, 3, 4, 5, 6]),
            (4, &[], &[4, 5, 6, 1, 2, 3]),
            (4, &[1, 3], &[4, 5, 6, 2]),
            (2, &[1, 5], &[6, 2, 3, 4]),
            (4, &[2], &[4, 5, 6, 1, 3]),
            (7, &[2, 6], &[1, 3, 4, 5]),
            (9, &[], &[1, 2, 3, 4, 5, 6]),
            (7, &[1, 2, 3, 4, 5, 6], &[]),
        ];
        for (next, used, expected) in rows {
            let mut numbers = Numbers::restore((1, 6), next, &used.iter().copied().collect());
            let left: Vec<u32> = std::iter::from_fn(|| numbers.take()).collect();
            assert_eq!(left, expected, "{next} {used:?}");
        }
        let all = Numbers::restore((1, u32::MAX), u64::from(u32::MAX) + 1, &BTreeSet::from([u32::MAX]));
        assert_eq!(all.next(u32::MAX), u64::from(u32::MAX) + 1);
    }
}
