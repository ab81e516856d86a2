//! Numbers from a range, the unused before the used.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

/// What is left of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Has the fresh numbers below `floor` come after all others.
    pub(super) fn raise(&mut self, floor: u32) {
        let mut below = Vec::new();
        self.fresh.retain_mut(|(from, to)| {
            if *from < floor {
                below.push((*from, (*to).min(floor - 1)));
                *from = floor;
            }
            *from <= *to
        });
        self.fresh.extend(below);
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

    /// Whether one of `numbers` could be given.
    pub(super) fn has_any_of(&self, numbers: &BTreeSet<u32>) -> bool {
        self.freed.iter().any(|number| numbers.contains(number))
            || self.fresh.iter().any(|(from, to)| numbers.range(from..=to).next().is_some())
    }

    /// Whether all numbers are within the range and each stretch is one.
    pub(super) fn is_sound(&self, first: u32, last: u32) -> bool {
        let inside = |number: u32| (first..=last).contains(&number);
        self.freed.iter().all(|number| inside(*number))
            && self.fresh.iter().all(|(from, to)| from <= to && inside(*from) && inside(*to))
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
    fn a_raised_floor_cuts_a_stretch_in_two() {
        let mut numbers = Numbers::new(1, 9, 8);
        numbers.raise(4);
        let taken: Vec<_> = (0..9).map_while(|_| numbers.take()).collect();
        assert_eq!(taken, [8, 9, 4, 5, 6, 7, 1, 2, 3]);
        assert!(Numbers::new(1, 9, 8).is_sound(1, 9));
    }

    #[test]
    fn a_floor_outside_the_range_is_harmless() {
        assert_eq!(Numbers::new(5, 6, 0).take(), Some(5));
        assert_eq!(Numbers::new(5, 6, 9).take(), Some(5));
    }
}
