//! Packets and bytes by reason, summed over the CPUs.

use std::collections::BTreeMap;

use aya::maps::{MapData, PerCpuArray};
use weir_abi::{
    COUNT_AUDITED, COUNT_FORWARDED, COUNT_LOST_EVENTS, COUNT_REDIRECTED, Counter, EGRESS, INGRESS, counter_index,
};
use weir_model::{flow::DropReason, resolved::Direction};

use crate::{Error, raw::Raw};

/// The counters of the programs.
pub struct Counters {
    pub(crate) map: PerCpuArray<MapData, Raw<Counter>>,
}

impl Counters {
    /// Reads every counter that is not zero, by reason (`weir_abi::COUNT_*` or `weir_abi::drop::*`) and direction.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn read(&self) -> Result<BTreeMap<(u8, Direction), Counter>, Error> {
        let mut counters = BTreeMap::new();
        let reasons = DropReason::ALL.map(|reason| reason as u8).into_iter();
        let reasons = reasons.chain([COUNT_FORWARDED, COUNT_REDIRECTED, COUNT_LOST_EVENTS, COUNT_AUDITED]);
        for (reason, direction) in reasons.flat_map(|reason| [(reason, INGRESS), (reason, EGRESS)]) {
            let index = counter_index(reason, direction);
            let per_cpu = self.map.get(&index, 0).map_err(|e| Error::map("read", "COUNTERS", e))?;
            let sum = per_cpu.iter().fold(Counter::default(), |sum, Raw(counter)| Counter {
                packets: sum.packets + counter.packets,
                bytes: sum.bytes + counter.bytes,
            });
            if sum.packets > 0 {
                let direction = if direction == INGRESS { Direction::Ingress } else { Direction::Egress };
                counters.insert((reason, direction), sum);
            }
        }
        Ok(counters)
    }
}
