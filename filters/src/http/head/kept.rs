//! A request's head that outlives its bytes, for what it has opened: a tunnel is judged again when the rules change.

use weir_model::flow::HttpVersion;

use super::RequestHead;

/// A head with its own texts.
#[derive(Clone, Debug)]
pub struct KeptHead {
    version: HttpVersion,
    method: String,
    target: String,
    host: String,
    path: String,
    normal_path: String,
    lines: Vec<(String, Vec<u8>)>,
}

impl KeptHead {
    /// Keeps a head.
    pub fn of(head: &RequestHead<'_>) -> Self {
        Self {
            version: head.version,
            method: head.method.into(),
            target: head.target.into(),
            host: head.host.into(),
            path: head.path.into(),
            normal_path: head.normal_path.into(),
            lines: head.headers.iter().map(|line| (line.name.into(), line.value.into())).collect(),
        }
    }

    /// Shows it as it was.
    pub fn with<T>(&self, look: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let headers: Vec<_> =
            self.lines.iter().map(|(name, value)| httparse::Header { name, value: value.as_slice() }).collect();
        look(&RequestHead {
            version: self.version,
            method: &self.method,
            target: &self.target,
            host: &self.host,
            path: &self.path,
            normal_path: &self.normal_path,
            headers: &headers,
        })
    }
}
