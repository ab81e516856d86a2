//! What the rules for one request's headers have found, and how the request is to be changed.
//!
//! | `mismatch` | a request with the header wrong | without the header |
//! |---|---|---|
//! | LOG | missing | missing |
//! | ADD | missing; a line with the right value is added | the same |
//! | DELETE | rejected; all lines are removed | nothing |
//! | REPLACE | rejected and missing; one right line takes their place | missing; the line is added |
//!
//! A request with the header right is left as it is. Its lines count as one value, joined by `,`, as everywhere.

use weir_model::{
    flow::HeaderLog,
    policy::{HeaderAction, Mismatch},
};

use super::{RequestHead, head};

/// A change to the header lines of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The name, as the policy spells it.
    pub name: String,
    /// Whether the lines that are there go.
    pub remove: bool,
    /// The value of a line to be added after that.
    pub add: Option<String>,
}

/// What the rules have found about one request so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Changes to the request, in order.
    pub edits: Vec<Edit>,
    /// For the record.
    pub log: HeaderLog,
}

impl Findings {
    /// The log, if there is anything in it.
    pub fn take_log(&mut self) -> Option<Box<HeaderLog>> {
        let log = std::mem::take(&mut self.log);
        (log != HeaderLog::default()).then(|| Box::new(log))
    }

    pub(super) fn act(&mut self, action: &HeaderAction, request: &RequestHead<'_>) {
        let HeaderAction { header, mismatch } = action;
        let current = self.current(&header.name, request);
        let right = match &header.value {
            None => current.is_some(),
            Some(value) => current.as_deref() == Some(value.as_bytes()),
        };
        if right {
            return;
        }
        let (removes, adds) = match mismatch {
            // Such a rule would not match.
            Mismatch::Fail => return,
            Mismatch::Log => (false, false),
            Mismatch::Add => (false, true),
            Mismatch::Delete => (true, false),
            Mismatch::Replace => (true, true),
        };
        let remove = removes && current.is_some();
        if let Some(wrong) = current.filter(|_| removes) {
            self.log.rejected.push((header.name.clone(), String::from_utf8_lossy(&wrong).into_owned()));
        }
        if *mismatch != Mismatch::Delete {
            self.log.missing.push((header.name.clone(), header.value.clone().unwrap_or_default()));
        }
        let add = header.value.clone().filter(|_| adds);
        if remove || add.is_some() {
            self.edits.push(Edit { name: header.name.clone(), remove, add });
        }
    }

    /// The lines of one name, joined, as the edits so far have left them.
    fn current(&self, name: &str, request: &RequestHead<'_>) -> Option<Vec<u8>> {
        let mut lines: Vec<&[u8]> = request.header(name).collect();
        for edit in self.edits.iter().filter(|edit| edit.name.eq_ignore_ascii_case(name)) {
            if edit.remove {
                lines.clear();
            }
            lines.extend(edit.add.as_ref().map(String::as_bytes));
        }
        (!lines.is_empty()).then(|| lines.join(&b','))
    }
}

/// Fields that say where a request goes, where it ends, or what becomes of the connection: the proxy writes them itself.
const OF_THE_PROXY: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether the action can be carried out.
pub(super) fn check(action: &HeaderAction) -> Result<(), String> {
    let HeaderAction { header, mismatch } = action;
    if !mismatch.edits() {
        return Ok(());
    }
    if OF_THE_PROXY.iter().any(|name| name.eq_ignore_ascii_case(&header.name))
        || head::check_spelling(&header.name).is_err()
    {
        let name = &header.name;
        return Err(format!("{name} routes or frames the request, so it cannot be edited; use LOG, or no mismatch"));
    }
    match &header.value {
        None => Err("needs a value to compare with; write the one that is right".into()),
        Some(value) if value.trim_ascii() != value => {
            Err(format!("{value:?} has white space around it, which no field value can have (RFC 9110 section 5.5)"))
        }
        Some(_) => Ok(()),
    }
}
