//! Token buckets: how often a client may do what costs more than it pays.

use std::time::Instant;

/// What a bucket allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many at once.
    pub burst: u32,
    /// And so many a second in the long run.
    pub per_second: u32,
}

/// A bucket. It looks at the clock when it is empty, and at its first use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    rate: Rate,
    left: u32,
    since: Option<Instant>,
}

impl Budget {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, left: rate.burst, since: None }
    }

    /// Takes one; false if there is none.
    pub(super) fn spend(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.left == 0 || self.since.is_none() {
            let now = now();
            let since = *self.since.get_or_insert(now);
            let earned = now.saturating_duration_since(since).as_millis() * u128::from(self.rate.per_second) / 1_000;
            if self.left == 0 && earned > 0 {
                self.left = u32::try_from(earned).unwrap_or(u32::MAX).min(self.rate.burst);
                self.since = Some(now);
            }
        }
        let had = self.left > 0;
        self.left = self.left.saturating_sub(1);
        had
    }

    /// Gives some back.
    pub(super) fn refund(&mut self, tokens: u32) {
        self.left = self.left.saturating_add(tokens).min(self.rate.burst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_allows_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut budget = Budget::new(Rate { burst: 3, per_second: 10 });
        let mut spend = |millis| budget.spend(|| start + Duration::from_millis(millis));
        assert_eq!([0, 0, 0, 0].map(&mut spend), [true, true, true, false]);
        assert_eq!([99, 100, 100].map(&mut spend), [false, true, false]);
        assert_eq!([10_000, 10_000, 10_000, 10_000].map(&mut spend), [true, true, true, false], "no more than a burst");
        budget.refund(9);
        let mut spend = || budget.spend(|| start + Duration::from_secs(10));
        assert_eq!([spend(), spend(), spend(), spend()], [true, true, true, false]);
    }
}
