//! The state file: which number was given to whom, one line of JSON each, in the order of giving.
//!
//! What became of a number later is not written: after a load it belongs to whom it was given last, until the first event
//! shows whether that is still there. When most lines are outdated the file is written anew.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    labels::LabelSet,
};

use super::{Assigned, Floor, IdentityTable, Numbered, Numbers};
use crate::{error::Error, problem::Problem};

/// Written into the file; another version's file is refused.
const VERSION: u32 = 3;
/// A file is not written anew for less than so many outdated lines.
const OUTDATED: usize = 4096;

/// A line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    /// The first: the version, and the numbers from which on none were given (of label sets, prefixes, pods).
    Start(u32, u64, u64, u64),
    Labels(Identity, Arc<LabelSet>),
    Prefix(Identity, IpNet),
    /// A pod of this node.
    Pod(EndpointId, PodName),
}

/// What the file lacks.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    pub(super) unsaved: Vec<Line>,
    /// Lines of the file; 0 if it has to be written anew.
    written: usize,
}

const LABELS: (u32, u32) = (Identity::FIRST_ALLOCATED.0, Identity::LAST_ALLOCATED.0);
const PREFIXES: (u32, u32) = (Identity::FIRST_LOCAL.0, Identity::LAST_LOCAL.0);
const PODS: (u32, u32) = (1, u32::MAX);

impl IdentityTable {
    /// Reads the table that was saved at `path`. Without a file, or with a damaged one (then with a problem), the table is
    /// empty. In any case fresh numbers are given from `floor` on, so that no number that the kernel still knows and the
    /// file does not comes to mean somebody else.
    pub fn load(path: &Path, floor: Floor) -> (Self, Option<Problem>) {
        let damaged = |reason: String| {
            let reason = format!("the state file is not usable: {reason}; all pods get new numbers");
            (Self::new(floor), Some(Problem::of_file(&path.display().to_string(), reason)))
        };
        match fs::read_to_string(path) {
            Ok(text) => match Self::read(&text, floor) {
                Ok(table) => (table, None),
                Err(reason) => damaged(reason),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Self::new(floor), None),
            Err(error) => damaged(error.to_string()),
        }
    }

    /// Writes what was given since the last call to `path`. Numbers that the kernel learns and the file does not, since weir
    /// ended in between, are not given again: see the floor of [`Self::load`].
    ///
    /// # Errors
    /// The file cannot be written; what it said before is still to be read from it.
    pub fn save(&mut self, path: &Path) -> Result<(), Error> {
        if !self.is_unsaved() {
            return Ok(());
        }
        let all = self.labels.len() + self.prefixes.len() + self.pods.len();
        let lines = self.journal.written + self.journal.unsaved.len();
        let done = if self.journal.written == 0 || lines > 2 * all + OUTDATED {
            self.lines().and_then(|(text, lines)| replace(path, &text).map(|()| lines))
        } else {
            text(&self.journal.unsaved).and_then(|text| append(path, &text)).map(|()| lines)
        };
        // Half a line may have been written, to be covered by a new file.
        self.journal.written = *done.as_ref().unwrap_or(&0);
        done.map_err(|source| Error::SaveState { path: path.into(), source })?;
        self.journal.unsaved.clear();
        Ok(())
    }

    /// Whether the state file does not know these numbers yet.
    pub fn is_unsaved(&self) -> bool {
        self.journal.written == 0 || !self.journal.unsaved.is_empty()
    }

    /// The whole file, and how many lines it has.
    fn lines(&self) -> io::Result<(Vec<u8>, usize)> {
        let [labels, prefixes] = [(&self.labels.numbers, LABELS), (&self.prefixes.numbers, PREFIXES)]
            .map(|(numbers, (_, last))| numbers.next(last));
        let mut lines = vec![Line::Start(VERSION, labels, prefixes, self.endpoint_numbers.next(PODS.1))];
        lines.extend(self.labels.iter().map(|(identity, labels)| Line::Labels(identity, Arc::clone(labels))));
        lines.extend(self.prefixes.iter().map(|(identity, prefix)| Line::Prefix(identity, *prefix)));
        let local = self.pods.iter().filter(|(_, numbered)| numbered.is_local);
        lines.extend(local.map(|(pod, numbered)| Line::Pod(numbered.assigned.endpoint, pod.clone())));
        Ok((text(&lines)?, lines.len()))
    }

    fn read(text: &str, floor: Floor) -> Result<Self, String> {
        let mut table = Self::new(Floor::default());
        let mut start = None;
        // A last line without an end was cut off; the floor is above what the kernel learned of it.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
            let (number, (first, last)) = match &line {
                Line::Start(VERSION, labels, prefixes, pods) => {
                    start = Some([*labels, *prefixes, *pods]);
                    continue;
                }
                Line::Start(..) => return Err("it is of another version of weir".into()),
                Line::Labels(identity, _) => (identity.0, LABELS),
                Line::Prefix(identity, _) => (identity.0, PREFIXES),
                Line::Pod(endpoint, _) => (endpoint.0, PODS),
            };
            if start.is_none() || !(first..=last).contains(&number) {
                return Err(format!("{number} is no number of its kind, or stands before the first line"));
            }
            match line {
                Line::Labels(identity, labels) => table.labels.restore(identity, labels),
                Line::Prefix(identity, prefix) => table.prefixes.restore(identity, prefix),
                Line::Pod(endpoint, pod) => {
                    table.pods.retain(|_, numbered| numbered.assigned.endpoint != endpoint);
                    let assigned = Assigned { endpoint, identity: Identity::UNKNOWN };
                    table.pods.insert(pod, Numbered { assigned, is_local: true });
                }
                Line::Start(..) => {}
            }
        }
        let Some([labels, prefixes, pods]) = start else { return Err("it has no first line".into()) };
        let used = |numbers: &mut dyn Iterator<Item = u32>| numbers.collect::<BTreeSet<u32>>();
        let labels_used = used(&mut table.labels.iter().map(|(identity, _)| identity.0));
        let prefixes_used = used(&mut table.prefixes.iter().map(|(identity, _)| identity.0));
        let pods_used = used(&mut table.pods.values().map(|numbered| numbered.assigned.endpoint.0));
        let next = |next: u64, floor: u32| next.max(floor.into());
        table.labels.numbers = Numbers::restore(LABELS, next(labels, floor.identity.0), &labels_used);
        table.prefixes.numbers = Numbers::restore(PREFIXES, next(prefixes, floor.prefix.0), &prefixes_used);
        table.endpoint_numbers = Numbers::restore(PODS, next(pods, floor.endpoint.0), &pods_used);
        Ok(table)
    }
}

fn text(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
}

fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    // A file that is gone is not made anew with its end alone.
    let mut file = fs::OpenOptions::new().append(true).open(path)?;
    file.write_all(text)?;
    file.sync_data()
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
