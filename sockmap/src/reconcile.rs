//! Brings the kernel to what is wanted, one reconcile after the other; the first after a start takes over what an older
//! process left.

use std::collections::BTreeMap;

use weir_abi::{AddrInfo, Be16, Endpoint, Iface, PolicyEntry, PolicyKey};
use weir_model::wanted::Wanted;

use crate::{
    Error,
    kernel::{Fill, Kernel},
    netlink::Netlink,
    plan::{Action, Cookies, Device, EntryKeyParts, Hook, State, desire, plan},
    routing, topology,
};

/// What a reconcile did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many actions were done.
    pub done: usize,
    /// What could not be done or found, each as a sentence; a retry may help.
    pub problems: Vec<String>,
}

/// Keeps the kernel as it is wanted.
pub struct Reconciler {
    kernel: Kernel,
    netlink: Netlink,
    state: State,
    attached: BTreeMap<u32, Device>,
    cookies: Cookies,
}

impl Reconciler {
    /// Takes over what the maps hold, and makes sure of the routing rule and of weir's own veth.
    ///
    /// # Errors
    /// If the maps cannot be read or the rule is refused.
    pub async fn start(kernel: Kernel, netlink: Netlink) -> Result<Self, Error> {
        routing::ensure(&netlink).await?;
        let state = kernel.read_state()?;
        let (attached, cookies) = (BTreeMap::new(), Cookies::default());
        let mut reconciler = Self { kernel, netlink, state, attached, cookies };
        reconciler.start_handover().await?;
        reconciler.kernel.attach_lookup()?;
        Ok(reconciler)
    }

    /// One reconcile. A failing action is reported, and the others go on: nothing old is given up for it but what the
    /// new policy denies.
    ///
    /// # Errors
    /// If netlink cannot be asked.
    pub async fn reconcile(&mut self, wanted: &Wanted) -> Result<Report, Error> {
        let pods = wanted.endpoints.values().flat_map(|endpoint| endpoint.addresses.iter().copied());
        let facts = self.netlink.facts(pods).await?;
        let topology = topology::resolve(wanted, &facts);
        let mut report = Report { done: 0, problems: topology.problems.clone() };
        let desired = desire(wanted, &topology, facts.host_addresses.iter().copied(), &self.state, &mut self.cookies);
        for action in plan(&self.state, &desired, &self.attached) {
            match self.execute(&action, &desired.devices) {
                Ok(()) => {
                    self.state.apply(&action);
                    report.done += 1;
                }
                Err(error) => report.problems.push(error.to_string()),
            }
        }
        Ok(report)
    }

    /// Packets from bridge ports, and answers of the node's own servers, need a way into the IP path.
    async fn start_handover(&mut self) -> Result<(), Error> {
        let (link, config) = routing::ensure_handover(&self.netlink).await?;
        self.kernel.set_config(config)?;
        self.kernel.attach(link.ifindex, &link.name, Hook::FromPort)
    }

    fn execute(&mut self, action: &Action, devices: &BTreeMap<u32, Device>) -> Result<(), Error> {
        match action {
            Action::PutPolicy(slot, key, (verdict, cookie)) => {
                let entry = PolicyEntry { verdict: *verdict, cookie: *cookie };
                self.kernel.put_policy(key.0, policy_key(*slot, *key), entry)
            }
            Action::PutEndpoint(number, (slot, flags)) => {
                self.kernel.put_endpoint(*number, Endpoint { slot: *slot, flags: *flags })
            }
            Action::PutAddress((prefix, addr), (identity, endpoint)) => {
                let info = AddrInfo { identity: *identity, endpoint: *endpoint };
                self.kernel.put_address(*prefix, *addr, info)
            }
            Action::PutIface(ifindex, (endpoint, flags)) => {
                self.kernel.put_iface(*ifindex, Iface { endpoint: *endpoint, flags: *flags })
            }
            Action::Attach(ifindex, name, hook) => {
                self.attached.remove(ifindex);
                self.kernel.attach(*ifindex, name, *hook)?;
                if let Some(device) = devices.get(ifindex)
                    && device.hooks().last() == Some(hook)
                {
                    self.attached.insert(*ifindex, device.clone());
                }
                Ok(())
            }
            Action::DetachOthers => self.detach_others(devices),
            Action::RemoveIface(ifindex) => self.kernel.remove_iface(*ifindex),
            Action::RemoveAddress((prefix, addr)) => self.kernel.remove_address(*prefix, *addr),
            Action::RemoveEndpoint(number) => self.kernel.remove_endpoint(*number),
            Action::RemovePolicy(slot, key) => self.kernel.remove_policy(key.0, policy_key(*slot, *key)),
        }
    }

    fn detach_others(&mut self, devices: &BTreeMap<u32, Device>) -> Result<(), Error> {
        self.attached.retain(|ifindex, _| devices.contains_key(ifindex));
        // A device may have got another owner or name, with the same hooks.
        for (ifindex, device) in &mut self.attached {
            device.clone_from(&devices[ifindex]);
        }
        let pins = self.kernel.pins();
        let mut keep: Vec<_> = devices
            .iter()
            .flat_map(|(ifindex, d)| d.hooks().iter().map(|hook| pins.link(*ifindex, &d.name, hook.name())))
            .collect();
        keep.push(pins.lookup());
        keep.extend(pins.list_links().into_iter().filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().contains(&format!("-{}-", routing::HANDOVER)))
        }));
        self.kernel.detach_all_but(&keep)
    }

    /// The rule behind an event's cookie, as text.
    pub fn cookies(&self) -> &Cookies {
        &self.cookies
    }

    /// Fill of the maps.
    pub fn fill(&self) -> Vec<Fill> {
        self.kernel.fill(&self.state)
    }

    /// The highest identity that the kernel knows; fresh numbers start above it when no record of them is left.
    pub fn highest_identity(&self) -> u32 {
        self.state.addresses.values().map(|(identity, _)| *identity).max().unwrap_or(0)
    }

    /// The highest endpoint number that the kernel knows.
    pub fn highest_endpoint(&self) -> u32 {
        self.state.endpoints.keys().copied().max().unwrap_or(0)
    }

    /// The devices with programs, by index.
    pub fn devices(&self) -> &BTreeMap<u32, Device> {
        &self.attached
    }
}

fn policy_key(slot: u32, (_, peer, direction, protocol, port): EntryKeyParts) -> PolicyKey {
    PolicyKey { slot, peer, direction, protocol, port: Be16::new(port) }
}
