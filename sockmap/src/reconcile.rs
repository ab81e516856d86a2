//! Keeps the kernel as it is wanted: the maps by [`Enforcer`], devices and programs here. The first change after a start
//! takes over what an older process left.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use weir_model::{identity::Identity, wanted::WantedChange};

use crate::{
    Error,
    cutter::{Cuts, Cutter},
    enforce::{Done, Enforcer},
    kernel::{Fill, Kernel},
    netlink::{Facts, Kind, Netlink},
    plan::{Action, Device, Hook, plan_devices},
    routing, topology,
};

/// How long to wait for more changes before all that is open is looked at.
const SETTLE: Duration = Duration::from_millis(10);

/// What a change did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many actions were done.
    pub done: usize,
    /// What could not be done or found, each as a sentence; [`Reconciler::retry`] may help.
    pub problems: Vec<String>,
}

/// Keeps the kernel as it is wanted.
pub struct Reconciler {
    enforcer: Enforcer,
    netlink: Netlink,
    attached: BTreeMap<u32, Device>,
    /// What netlink said when it was last asked for everything, and of pods that came since.
    facts: Facts,
    cutter: Cutter,
    /// What was wrong with the devices when they were last looked at.
    problems: Vec<String>,
}

impl Reconciler {
    /// Takes over what the maps hold, and makes sure of the routing rule and of weir's own veth.
    ///
    /// # Errors
    /// If the maps cannot be read or the rule is refused.
    pub async fn start(kernel: Kernel, netlink: Netlink) -> Result<Self, Error> {
        routing::ensure(&netlink).await?;
        let cutter = Cutter::open(kernel.pins())?;
        let (attached, facts) = (BTreeMap::new(), Facts::default());
        let enforcer = Enforcer::new(kernel)?;
        let mut reconciler = Self { enforcer, netlink, attached, facts, cutter, problems: Vec::new() };
        reconciler.start_handover().await?;
        reconciler.enforcer.kernel().attach_lookup()?;
        Ok(reconciler)
    }

    /// Brings a change into force. What fails is reported, and the rest goes on; what is then missing is denied.
    ///
    /// # Errors
    /// If netlink cannot be asked about the devices of pods that come or go. The maps are written then.
    pub async fn change(&mut self, change: &WantedChange) -> Result<Report, Error> {
        let mut done = self.enforcer.change(change);
        if !change.endpoints.is_empty() {
            done.writes += self.look_at_pods(change).await?.writes;
        }
        Ok(self.report(&done))
    }

    /// To be called when netlink says that devices, addresses or routes have changed ([`crate::netlink::watch`]).
    ///
    /// # Errors
    /// If netlink cannot be asked.
    pub async fn refresh(&mut self) -> Result<Report, Error> {
        let done = self.look_at_devices().await?;
        Ok(self.report(&done))
    }

    /// Tries again what has failed, and does what the last change has left for later; to be called now and then.
    ///
    /// # Errors
    /// If netlink cannot be asked.
    pub async fn retry(&mut self) -> Result<Report, Error> {
        let mut done = self.enforcer.retry();
        if !self.problems.is_empty() {
            done.writes += self.look_at_devices().await?.writes;
        }
        Ok(self.report(&done))
    }

    /// When [`Self::tend`] is to be called; `None` if there is nothing to do.
    pub fn due(&self) -> Option<Instant> {
        self.enforcer.unfinished().map(|since| since + SETTLE)
    }

    /// Does what the last changes have left for later: removes what nobody looks at any more, and cuts what is open and
    /// denied now.
    ///
    /// # Errors
    /// If what is open cannot be read.
    pub async fn tend(&mut self) -> Result<Report, Error> {
        self.enforcer.finish();
        let concerned = self.enforcer.take_concerned();
        if !concerned.is_empty() {
            let state = self.enforcer.state();
            self.cutter.cut(&self.netlink, state, &self.facts.links, &self.attached, &concerned).await?;
        }
        Ok(self.report(&Done::default()))
    }

    fn report(&self, done: &Done) -> Report {
        let mut problems = self.problems.clone();
        problems.extend(self.enforcer.problems());
        problems.extend(self.cutter.problem().cloned());
        Report { done: done.writes, problems }
    }

    /// Packets from bridge ports, and answers of the node's own servers, need a way into the IP path.
    async fn start_handover(&mut self) -> Result<(), Error> {
        let (link, config) = routing::ensure_handover(&self.netlink).await?;
        let kernel = self.enforcer.kernel();
        kernel.set_config(config)?;
        kernel.attach(link.ifindex, &link.name, Hook::FromPort)
    }

    /// Asks netlink where the pods of a change are; for everything only if one is not at a veth that is known.
    async fn look_at_pods(&mut self, change: &WantedChange) -> Result<Done, Error> {
        for address in change.endpoints.values().flatten().flat_map(|endpoint| &endpoint.addresses) {
            let ifindex = self.netlink.route(*address).await?;
            let link = ifindex.and_then(|ifindex| self.facts.links.get(&ifindex));
            match link.filter(|link| link.kind == Kind::Veth) {
                Some(link) => drop(self.facts.routes.insert(*address, link.ifindex)),
                None => return self.look_at_devices().await,
            }
        }
        if self.facts.links.is_empty() {
            return self.look_at_devices().await;
        }
        Ok(self.make_devices())
    }

    /// Asks netlink for everything. Before the first change, what an older process left stays as it is.
    async fn look_at_devices(&mut self) -> Result<Done, Error> {
        if !self.enforcer.book().is_started() {
            return Ok(Done::default());
        }
        let endpoints = self.enforcer.book().endpoints();
        let pods: Vec<_> = endpoints.values().flat_map(|endpoint| endpoint.addresses.iter().copied()).collect();
        self.facts = self.netlink.facts(pods).await?;
        let mut done = self.enforcer.hosts(&self.facts.host_addresses);
        done.writes += self.make_devices().writes;
        Ok(done)
    }

    /// Makes devices and programs as the facts have them.
    fn make_devices(&mut self) -> Done {
        let topology = topology::resolve(self.enforcer.book().endpoints(), &self.facts);
        self.problems.clone_from(&topology.problems);
        let actions = plan_devices(self.enforcer.state(), &topology, &self.attached);
        for action in &actions {
            if let Action::Attach(ifindex, ..) = action {
                self.attached.remove(ifindex);
            }
            if let Err(error) = self.act(action, &topology.devices) {
                self.problems.push(error.to_string());
            }
        }
        // Programs of another layout have run beside the new ones up to here.
        if let Err(error) = self.enforcer.kernel().pins().remove_other_layouts() {
            self.problems.push(error.to_string());
        }
        Done { writes: actions.len() }
    }

    fn act(&mut self, action: &Action, devices: &BTreeMap<u32, Device>) -> Result<(), Error> {
        match action {
            Action::DetachOthers => return self.detach_others(devices),
            Action::Attach(ifindex, name, hook) => {
                self.enforcer.kernel().attach(*ifindex, name, *hook)?;
                if let Some(device) = devices.get(ifindex)
                    && device.hooks().last() == Some(hook)
                {
                    self.attached.insert(*ifindex, device.clone());
                }
            }
            _ => self.enforcer.do_now(action)?,
        }
        Ok(())
    }

    fn detach_others(&mut self, devices: &BTreeMap<u32, Device>) -> Result<(), Error> {
        self.attached.retain(|ifindex, _| devices.contains_key(ifindex));
        // A device may have got another owner or name, with the same hooks.
        for (ifindex, device) in &mut self.attached {
            device.clone_from(&devices[ifindex]);
        }
        let kernel = self.enforcer.kernel();
        let pins = kernel.pins();
        let mut keep: Vec<_> = devices
            .iter()
            .flat_map(|(ifindex, d)| d.hooks().iter().map(|hook| pins.link(*ifindex, &d.name, hook.name())))
            .collect();
        keep.push(pins.lookup());
        keep.extend(pins.list_links().into_iter().filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().contains(&format!("-{}-", routing::HANDOVER)))
        }));
        kernel.detach_all_but(&keep)
    }

    /// What was cut since the start.
    pub fn cuts(&self) -> Cuts {
        self.cutter.cuts()
    }

    /// The maps.
    pub fn enforcer(&self) -> &Enforcer {
        &self.enforcer
    }

    /// Fill of the maps.
    pub fn fill(&self) -> Vec<Fill> {
        self.enforcer.fill()
    }

    /// The highest identities of a label set and of a prefix that the kernel knows, or 0; fresh numbers start above them.
    pub fn highest_identities(&self) -> [u32; 2] {
        let addresses = self.enforcer.state().addresses.iter();
        let identities: Vec<u32> = addresses.flat_map(|(_, versions)| versions.map(|info| info.identity)).collect();
        let highest = |upto: Identity| identities.iter().copied().filter(|number| *number <= upto.0).max().unwrap_or(0);
        [highest(Identity::LAST_ALLOCATED), highest(Identity::LAST_LOCAL)]
    }

    /// The highest endpoint number that the kernel knows.
    pub fn highest_endpoint(&self) -> u32 {
        self.enforcer.state().endpoints.keys().copied().max().unwrap_or(0)
    }

    /// The devices with programs, by index.
    pub fn devices(&self) -> &BTreeMap<u32, Device> {
        &self.attached
    }
}
