//! Makes the maps what is wanted, change by change, and makes good what failed. Devices are [`crate::reconcile`]'s.

use std::{
    collections::BTreeMap,
    hint,
    net::IpAddr,
    time::{Duration, Instant},
};

use weir_abi::Iface;
use weir_model::wanted::{PolicyId, WantedChange};

use crate::{
    Error,
    book::{Book, Touched},
    cut::Concerned,
    kernel::{Fill, Kernel},
    lpm::Prefix,
    plan::{Action, Plan, plan, too_large},
    state::State,
};

/// A program looks at the epoch and, a few microseconds later, has looked at all that depends on it. What it may still
/// look at is left alone for as long as no program takes, even if its processor is taken away in between.
const GRACE: Duration = Duration::from_micros(200);

/// The maps, what is wanted of them, and what is still not as wanted.
pub struct Enforcer {
    kernel: Kernel,
    book: Book,
    state: State,
    /// What the last plan has left for later, and since when its change is in force.
    later: (Vec<Action>, Instant),
    /// Whose open exchanges are to be looked at.
    concerned: Concerned,
    /// Where writes have failed.
    failed: Touched,
    /// Why, by map.
    errors: BTreeMap<String, String>,
    /// Writes that the kernel refused since the start.
    refusals: u64,
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Writes, those left for later included.
    pub writes: usize,
    /// Whether a packet may now be judged otherwise than before.
    pub switched: bool,
}

impl Enforcer {
    /// Starts from what the maps hold.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn new(kernel: Kernel) -> Result<Self, Error> {
        let state = kernel.read_state()?;
        Ok(Self {
            kernel,
            book: Book::default(),
            state,
            later: (Vec::new(), Instant::now()),
            concerned: Concerned::default(),
            failed: Touched::default(),
            errors: BTreeMap::new(),
            refusals: 0,
        })
    }

    /// Brings a change into force. What fails is kept for [`Self::retry`]; nothing is allowed because of it.
    pub fn change(&mut self, change: &WantedChange) -> Done {
        let touched = self.book.take(&self.state, change);
        self.bring(touched)
    }

    /// Takes in which addresses are the node's own.
    pub fn hosts(&mut self, host: &std::collections::BTreeSet<IpAddr>) -> Done {
        let touched = self.book.take_host(host);
        self.bring(touched)
    }

    /// Tries again what has failed.
    pub fn retry(&mut self) -> Done {
        self.finish();
        self.errors.clear();
        let mut touched = std::mem::take(&mut self.failed);
        let refused = self.book.policies().iter().filter(|(_, content)| content.refused).map(|(id, _)| *id);
        for id in refused.collect::<Vec<_>>() {
            touched.extend(self.book.refuse(id, false));
        }
        self.bring(touched)
    }

    /// Does what the last change has left for later.
    pub fn finish(&mut self) {
        let (actions, since) = std::mem::replace(&mut self.later, (Vec::new(), Instant::now()));
        if actions.is_empty() {
            return;
        }
        while since.elapsed() < GRACE {
            hint::spin_loop();
        }
        for action in actions {
            self.attempt(&action);
        }
    }

    /// Whose open exchanges the changes since the last call may have denied.
    pub fn take_concerned(&mut self) -> Concerned {
        std::mem::take(&mut self.concerned)
    }

    /// Since when there is something to [`Self::finish`] or to look at.
    pub fn unfinished(&self) -> Option<Instant> {
        (!self.later.0.is_empty() || !self.concerned.is_empty()).then_some(self.later.1)
    }

    /// A sentence for everything that is not as wanted.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.errors.values().cloned().collect();
        let refused = self.book.policies().iter().filter(|(_, content)| content.refused);
        problems.extend(refused.map(|(id, content)| {
            format!(
                "map POLICY has no room for the {} entries of the policy of {}: nothing passes to or from these pods; \
                 raise --max-policy-entries above {}",
                content.entries.len(),
                self.book.pods(*id).join(", "),
                self.kernel.policy_capacity()
            )
        }));
        problems
    }

    /// Writes that the kernel refused since the start.
    pub fn refusals(&self) -> u64 {
        self.refusals
    }

    /// What is wanted.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// What the maps hold.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Fill of the maps.
    pub fn fill(&self) -> Vec<Fill> {
        self.kernel.fill(&self.state)
    }

    /// The programs and maps.
    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// Does one action, in the kernel and in the mirror.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn do_now(&mut self, action: &Action) -> Result<(), Error> {
        self.write(action)?;
        self.state.apply(action);
        Ok(())
    }

    fn bring(&mut self, mut touched: Touched) -> Done {
        self.finish();
        touched.extend(self.unsettled());
        for key in &touched.addresses {
            self.failed.addresses.remove(key);
        }
        for number in &touched.endpoints {
            self.failed.endpoints.remove(number);
        }
        let mut done = self.settle(touched);
        let missing = self
            .failed
            .addresses
            .iter()
            .any(|key| self.book.address(*key).is_some() && self.state.addresses.get(key).is_none());
        let touched = self.book.set_blind(missing);
        if !touched.is_empty() {
            let more = self.settle(touched);
            done = Done { writes: done.writes + more.writes, switched: done.switched || more.switched };
        }
        done
    }

    /// What has failed, of which the version that is not in force may be anything: it must not come into force with what
    /// is about to be changed.
    fn unsettled(&self) -> Touched {
        let differ = |key: &&Prefix| self.state.addresses.get(key).is_some_and(|versions| versions[0] != versions[1]);
        let addresses = self.failed.addresses.iter().filter(differ).copied().collect();
        Touched { addresses, endpoints: self.failed.endpoints.clone(), ..Touched::default() }
    }

    fn settle(&mut self, mut touched: Touched) -> Done {
        self.finish();
        for id in too_large(&self.book, &self.state, &touched, self.kernel.policy_capacity()) {
            touched.extend(self.refuse(id));
        }
        loop {
            let Plan { now, later } = plan(&self.book, &self.state, &touched);
            self.concerned.add(&self.book, &now);
            let mut done = Done { writes: now.len() + later.len(), switched: false };
            let Some(switched) = self.execute(now, &mut touched) else { continue };
            done.switched = switched;
            if switched || !later.is_empty() {
                self.later = (later, Instant::now());
            }
            return done;
        }
    }

    /// Executes up to the epoch. `None` if a policy was refused, so that there has to be another plan.
    fn execute(&mut self, actions: Vec<Action>, touched: &mut Touched) -> Option<bool> {
        let (mut hold, mut switched) = (false, false);
        for action in actions {
            match &action {
                // A version that could not be made good must not come into force.
                Action::Flip(_) if hold => self.failed.extend(std::mem::take(touched)),
                Action::PutPolicy(slot, ..) => {
                    if !self.attempt(&action)
                        && let Some(id) = self.policy_of(*slot)
                    {
                        touched.extend(self.refuse(id));
                        return None;
                    }
                }
                _ => {
                    let unsettled = self.is_unsettled(&action);
                    let written = self.attempt(&action);
                    hold |= unsettled && !written;
                    switched |= written && matches!(action, Action::Flip(_));
                }
            }
        }
        Some(switched)
    }

    /// Whether the two versions of what the action writes differ already.
    fn is_unsettled(&self, action: &Action) -> bool {
        match action {
            Action::PutAddress(key, _) => self.state.addresses.get(key).is_some_and(|v| v[0] != v[1]),
            Action::PutEndpoint(number, _) => self.state.endpoints.get(number).is_some_and(|v| v[0] != v[1]),
            _ => false,
        }
    }

    fn refuse(&mut self, id: PolicyId) -> Touched {
        self.refusals += 1;
        self.book.refuse(id, true)
    }

    fn policy_of(&self, slot: u32) -> Option<PolicyId> {
        self.book.policies().iter().find(|(_, content)| content.slot == slot).map(|(id, _)| *id)
    }

    /// Does one action, and keeps it for a retry if that fails. Returns whether it is done.
    fn attempt(&mut self, action: &Action) -> bool {
        let result = self.do_now(action);
        if let Err(error) = &result {
            self.refusals += 1;
            self.note(action, error);
        }
        result.is_ok()
    }

    fn note(&mut self, action: &Action, error: &Error) {
        let hint = match action {
            Action::PutAddress(..) => "; until it holds all addresses nobody is the world: raise --max-addresses",
            Action::PutEndpoint(..) => "; nothing passes to or from a pod that it does not hold",
            _ => "",
        };
        let (text, failed) = (format!("{error}{hint}"), &mut self.failed);
        match action {
            Action::PutAddress(key, _) | Action::RemoveAddress(key) => drop(failed.addresses.insert(*key)),
            Action::PutEndpoint(number, _) | Action::RemoveEndpoint(number) => drop(failed.endpoints.insert(*number)),
            Action::RemovePolicy(slot, key) => match self.policy_of(*slot) {
                Some(id) => drop(self.failed.entries.insert((id, *key))),
                None => drop(self.failed.stale.insert(*slot)),
            },
            _ => {}
        }
        self.errors.insert(text.clone(), text);
    }

    fn write(&mut self, action: &Action) -> Result<(), Error> {
        let tables = self.kernel.tables();
        match action {
            Action::PutPolicy(slot, key, entry) => tables.put_policy(*slot, *key, *entry),
            Action::PutEndpoint(number, versions) => tables.put_endpoint(*number, *versions),
            Action::PutAddress(key, versions) => tables.put_address(*key, *versions),
            Action::Flip(epoch) => tables.flip(*epoch),
            Action::PutIface(ifindex, (endpoint, flags)) => {
                tables.put_iface(*ifindex, Iface { endpoint: *endpoint, flags: *flags })
            }
            Action::Attach(ifindex, name, hook) => self.kernel.attach(*ifindex, name, *hook),
            // Which are the others, only who knows the devices can say.
            Action::DetachOthers => Ok(()),
            Action::RemoveIface(ifindex) => tables.remove_iface(*ifindex),
            Action::RemoveAddress(key) => tables.remove_address(*key),
            Action::RemoveEndpoint(number) => tables.remove_endpoint(*number),
            Action::RemovePolicy(slot, key) => tables.remove_policy(*slot, *key),
        }
    }
}
