//! The state file: a table as JSON.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use weir_model::{endpoint::PodName, identity::Identity, labels::LabelSet};

use super::{Assigned, Floor, IdentityTable, Numbers, Scope};
use crate::{error::Error, problem::Problem};

/// Written into the file; another version's file is refused.
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    identities: Vec<(Identity, Arc<LabelSet>)>,
    prefixes: Vec<(Identity, IpNet)>,
    pods: Vec<(PodName, Assigned)>,
    identity_numbers: Numbers,
    prefix_numbers: Numbers,
    endpoint_numbers: Numbers,
}

impl IdentityTable {
    /// Reads the table that was saved at `path`. Without a file, or with a damaged one (then with a problem), the table is
    /// empty. In any case fresh numbers are given from `floor` on, so that no number that the kernel still knows and the
    /// file does not comes to mean another label set.
    pub fn load(path: &Path, floor: Floor) -> (Self, Option<Problem>) {
        let damaged = |reason: String| {
            let reason = format!("the state file is not usable: {reason}; all pods get new numbers");
            (Self::new(floor), Some(Problem::of_file(&path.display().to_string(), reason)))
        };
        match fs::read(path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(state) => match Self::restore(state) {
                    Ok(mut table) => {
                        table.labels.numbers.raise(floor.identity.0);
                        table.prefixes.numbers.raise(floor.prefix.0);
                        table.endpoint_numbers.raise(floor.endpoint.0);
                        (table, None)
                    }
                    Err(reason) => damaged(reason.into()),
                },
                Err(error) => damaged(error.to_string()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Self::new(floor), None),
            Err(error) => damaged(error.to_string()),
        }
    }

    /// Writes the table to `path` if it changed since it was last written. Numbers that the kernel learns and the file does
    /// not, since weir ended in between, are not given again: see the floor of [`Self::load`].
    ///
    /// # Errors
    /// The file cannot be written; the old one is then untouched.
    pub fn save(&mut self, path: &Path) -> Result<(), Error> {
        if !self.unsaved {
            return Ok(());
        }
        let state = State {
            version: VERSION,
            identities: self.labels.iter().map(|(identity, labels)| (identity, Arc::clone(labels))).collect(),
            prefixes: self.prefixes.iter().map(|(identity, prefix)| (identity, *prefix)).collect(),
            pods: self.pods.iter().map(|(pod, assigned)| (pod.clone(), *assigned)).collect(),
            identity_numbers: self.labels.numbers.clone(),
            prefix_numbers: self.prefixes.numbers.clone(),
            endpoint_numbers: self.endpoint_numbers.clone(),
        };
        replace(path, &state).map_err(|source| Error::SaveState { path: path.into(), source })?;
        self.unsaved = false;
        Ok(())
    }

    fn restore(state: State) -> Result<Self, &'static str> {
        if state.version != VERSION {
            return Err("it is of another version of weir");
        }
        let mut table = Self::new(Floor::default());
        restore(&mut table.labels, state.identities, state.identity_numbers, LABELS)?;
        restore(&mut table.prefixes, state.prefixes, state.prefix_numbers, PREFIXES)?;
        let mut endpoints = BTreeSet::new();
        for (pod, assigned) in state.pods {
            if assigned.identity != Identity::INIT && !table.labels.count(assigned.identity) {
                return Err("a pod's identity is missing");
            }
            let endpoint = assigned.endpoint.0;
            if endpoint == 0 || !endpoints.insert(endpoint) || table.pods.insert(pod, assigned).is_some() {
                return Err("a pod has no number of its own");
            }
        }
        if !table.labels.is_used() {
            return Err("an identity belongs to no pod");
        }
        if !state.endpoint_numbers.is_sound(1, u32::MAX) || state.endpoint_numbers.has_any_of(&endpoints) {
            return Err("an endpoint's number is both free and in use, or none");
        }
        table.endpoint_numbers = state.endpoint_numbers;
        table.unsaved = false;
        Ok(table)
    }
}

const LABELS: (u32, u32) = (Identity::FIRST_ALLOCATED.0, Identity::LAST_ALLOCATED.0);
const PREFIXES: (u32, u32) = (Identity::FIRST_LOCAL.0, Identity::LAST_LOCAL.0);

fn restore<T: Clone + Eq + std::hash::Hash>(
    scope: &mut Scope<T>,
    things: Vec<(Identity, T)>,
    numbers: Numbers,
    (first, last): (u32, u32),
) -> Result<(), &'static str> {
    if !numbers.is_sound(first, last) {
        return Err("its numbers are out of range");
    }
    for (identity, thing) in things {
        if !(first..=last).contains(&identity.0) || !scope.restore(identity, thing) {
            return Err("an identity has no number of its own");
        }
    }
    let used: BTreeSet<u32> = scope.iter().map(|(identity, _)| identity.0).collect();
    if numbers.has_any_of(&used) {
        return Err("a number is both free and in use");
    }
    scope.numbers = numbers;
    Ok(())
}

fn replace(path: &Path, state: &State) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
