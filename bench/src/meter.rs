//! Who spent how much CPU time during a window.

use std::time::Duration;

use anyhow::Result;

use crate::cpu;
use crate::site::Site;
use crate::subject::Running;

/// A window that has begun.
pub(crate) struct Meter<'a> {
    site: &'a Site,
    subject: &'a Running<'a>,
    before: [Duration; 4],
}

/// What a window cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// By the proxy's processes; 0 where there is none.
    pub(crate) proxy: Duration,
    /// By the whole machine, less load generator and servers.
    pub(crate) machine: Duration,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(site: &'a Site, subject: &'a Running<'a>) -> Result<Self> {
        Ok(Self { site, subject, before: read(site, subject)? })
    }

    /// Ends the window. The load generator is over by now: it counts when it has been waited for.
    pub(crate) fn stop(self) -> Result<Spent> {
        let after = read(self.site, self.subject)?;
        let [proxy, servers, load, machine] = std::array::from_fn(|i| after[i].saturating_sub(self.before[i]));
        Ok(Spent { proxy, machine: machine.saturating_sub(servers + load) })
    }
}

fn read(site: &Site, subject: &Running<'_>) -> Result<[Duration; 4]> {
    let proxy = subject.process.as_ref().map_or(Ok(Duration::ZERO), |process| cpu::of_group(process.id()))?;
    let mut servers = Duration::ZERO;
    for server in &site.servers {
        servers += cpu::of_group(server.id())?;
    }
    Ok([proxy, servers, cpu::of_ended_children()?, cpu::of_machine()?])
}
