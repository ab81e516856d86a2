//! What is wrong with one object, in words that let its author repair it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing wrong with one object (or with one file, then `object` is empty).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// Name of the file, without its directory.
    pub file: String,
    /// Which document of the file, from 1; 0 when the problem is the whole file's.
    pub document: usize,
    /// `Kind/namespace/name`, as far as it could be read.
    pub object: String,
    /// Path of the offending field, as in `spec.ingress[0].toPorts[0].ports[1].port`; empty for the object as a whole.
    pub field: String,
    /// What is wrong, and what to do about it.
    pub reason: String,
}

impl Problem {
    /// A problem of a whole file.
    pub fn of_file(file: &str, reason: impl Into<String>) -> Self {
        Self { file: file.into(), document: 0, object: String::new(), field: String::new(), reason: reason.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.document > 0 {
            write!(f, " document {}", self.document)?;
        }
        for part in [&self.object, &self.field, &self.reason] {
            if !part.is_empty() {
                write!(f, ": {part}")?;
            }
        }
        Ok(())
    }
}
