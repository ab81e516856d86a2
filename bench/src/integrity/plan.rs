//! What request `n` looks like: all of it follows from the seed and `n`, on both ends.

use std::ops::RangeInclusive;

use fastrand::Rng;

/// The largest body.
pub(crate) const LARGEST: usize = 1 << 20;
/// Where buffers of 64 KiB are just full, or just not.
const EDGES: [usize; 6] = [0, 1, 65_535, 65_536, 65_537, LARGEST];

/// For the report.
pub(crate) const DISTRIBUTION: &str = "sizes of bodies: one in 8 is 0, 1, 65535, 65536, 65537 or 1048576; the others are \
    log-uniform from 1 to 1048576, so that as many are between 1 and 10 as between 100000 and 1000000; half of all are chunked, \
    in chunks of 1 byte to the whole; one batch in 8 is pipelined, 2 to 8 requests deep";

/// A request and its response.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) request: Message,
    pub(crate) response: Message,
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) size: usize,
    /// Where in the pool of random bytes the body begins.
    pub(crate) offset: usize,
    /// `None`: by content-length.
    pub(crate) chunks: Option<Chunks>,
    /// The largest piece that is written at once; pieces are random up to it.
    pub(crate) piece: usize,
    /// For the sizes of pieces and chunks.
    pub(crate) rng: Rng,
}

/// How a chunked body is cut.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// The largest chunk; chunks are random up to it.
    pub(crate) largest: usize,
    /// Whether the hash is in the trailer section instead of the head.
    pub(crate) trailer: bool,
}

impl Plan {
    /// The plan of request `number`.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        // Neighbouring seeds of this generator are made unlike by an odd multiplier.
        let mut rng = Rng::with_seed(seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { request: Message::random(&mut rng), response: Message::random(&mut rng) }
    }
}

impl Message {
    fn random(rng: &mut Rng) -> Self {
        let size = match rng.u8(..8) {
            0 => EDGES[rng.usize(..EDGES.len())],
            _ => log_uniform(rng, 1..=LARGEST),
        };
        // At most some hundred chunks and pieces per message: the run is about many messages, too.
        let chunks = rng
            .bool()
            .then(|| Chunks { largest: log_uniform(rng, (size / 256).max(1)..=size.max(1)), trailer: rng.bool() });
        let piece = log_uniform(rng, (size / 64).max(16)..=(size * 2).max(1024));
        Self { size, offset: rng.usize(..LARGEST), chunks, piece, rng: rng.fork() }
    }
}

/// Uniform in the logarithm.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small and positive"
)]
fn log_uniform(rng: &mut Rng, range: RangeInclusive<usize>) -> usize {
    let (low, high) = ((*range.start() as f64).ln(), ((*range.end() + 1) as f64).ln());
    ((low + rng.f64() * (high - low)).exp() as usize).clamp(*range.start(), *range.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_repeats_and_plans_differ() {
        let of = |seed, number| format!("{:?}", Plan::of(seed, number));
        assert_eq!(of(1, 2), of(1, 2));
        assert_ne!(of(1, 2), of(1, 3));
        assert_ne!(of(1, 2), of(2, 2));
    }

    #[test]
    fn every_edge_and_every_magnitude_occurs() {
        let sizes: Vec<usize> = (0..10_000).map(|number| Plan::of(7, number).request.size).collect();
        assert!(EDGES.iter().all(|edge| sizes.contains(edge)));
        for magnitude in 0..20 {
            assert!(sizes.iter().any(|size| (1 << magnitude..2 << magnitude).contains(size)), "2^{magnitude}");
        }
    }
}
