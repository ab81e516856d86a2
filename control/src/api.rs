//! The agent's API: a unix socket on which `weir observe` and `weir status` ask.
//!
//! A question is one line of JSON ([`Request`]), the answer is lines of JSON: [`Status`], one
//! [`weir_model::flow::Flow`] after the other, or what is in [`shown`].

pub mod shown;

use std::{io, path::Path, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{UnixListener, UnixStream},
    sync::broadcast::error::RecvError,
};
use weir_model::{
    endpoint::{EndpointId, PodName},
    flow::Flow,
    identity::Identity,
};

use crate::{flows::Flows, hubble::Filter, link::Link, problem::Problem};

/// The longest question, in bytes.
const REQUEST_LIMIT: u64 = 64 << 10;

/// A question.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// How is the agent?
    Status,
    /// What happened, and what happens?
    Observe(Box<Filter>),
    /// What is in force? Answered by whoever holds the policies.
    Show(Question),
}

/// A question about policies and what became of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// All policies: a list of [`shown::ShownPolicy`].
    Policies,
    /// The policies of this `[Kind/][namespace/]name`: a list of [`shown::ShownPolicy`].
    Policy(String),
    /// A list of [`shown::ShownSelector`].
    Selectors,
    /// A list of [`shown::ShownIdentity`].
    Identities,
    /// The pod of this node with this number or `namespace/name`: a list of [`shown::ShownEndpoint`], empty or of one.
    Endpoint(String),
}

/// What `weir status` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the agent.
    pub version: String,
    /// The node's name.
    pub node: String,
    /// The policy revision that the agent resolved.
    pub revision: u64,
    /// The revision that the kernel enforces.
    pub kernel_revision: u64,
    /// The revision that the proxy judges by; `None` without a proxy.
    pub proxy_revision: Option<u64>,
    /// Pods of this node.
    pub endpoints: Vec<EndpointStatus>,
    /// Programs by device.
    pub programs: Vec<ProgramStatus>,
    /// Maps that can fill up: name, entries, capacity.
    pub maps: Vec<(String, u32, u32)>,
    /// Packets by reason and direction.
    pub packets: Vec<(String, String, u64)>,
    /// Objects that were rejected.
    pub rejected: Vec<Problem>,
    /// What policies in force say and weir does not enforce as written, and what happens instead.
    pub gaps: Vec<Problem>,
    /// Objects that mean nothing to weir.
    pub ignored: Vec<Problem>,
    /// Everything else that is not as it should be.
    pub problems: Vec<String>,
}

/// A pod of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Its number.
    pub endpoint: EndpointId,
    /// Its name.
    pub pod: PodName,
    /// Its identity.
    pub identity: Identity,
    /// Its labels, as `source:key=value`.
    pub labels: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<std::net::IpAddr>,
    /// The device that leads to it, if found.
    pub device: Option<String>,
    /// Directions whose default is deny.
    pub enforced: Vec<String>,
}

/// A device with programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramStatus {
    /// The device.
    pub device: String,
    /// Its index.
    pub ifindex: u32,
    /// The programs' names.
    pub programs: Vec<String>,
}

/// Answers a question with what it says.
pub type Show = dyn Fn(&Question) -> serde_json::Result<serde_json::Value> + Send + Sync;

/// What the API answers from.
pub struct Api {
    /// The records.
    pub flows: Arc<Flows>,
    /// The link to the proxy, which has more of them.
    pub link: Arc<Link>,
    /// Makes a status.
    pub status: Box<dyn Fn() -> Status + Send + Sync>,
    /// Answers questions.
    pub show: Box<Show>,
}

/// Answers for ever.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: UnixListener, api: Arc<Api>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            if let Err(error) = answer(stream, &api).await {
                tracing::debug!(%error, "an API client is gone");
            }
        });
    }
}

async fn answer(stream: UnixStream, api: &Api) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(REQUEST_LIMIT));
    reader.read_line(&mut line).await?;
    match serde_json::from_str(&line)? {
        Request::Status => writer.write_all(&json_line(&(api.status)())?).await,
        Request::Show(question) => writer.write_all(&json_line(&(api.show)(&question)?)?).await,
        Request::Observe(filter) => {
            // A reader that hangs up must end a follow at once, not with the next record.
            tokio::select! {
                result = observe(&mut writer, api, &filter) => result,
                result = reader.read_line(&mut line) => result.map(|_| ()),
            }
        }
    }
}

async fn observe(writer: &mut (impl AsyncWriteExt + Unpin), api: &Api, filter: &Filter) -> io::Result<()> {
    // Records from before this call come by the pull, those after it by the feed.
    api.link.pull().await;
    let (recent, mut feed) = api.flows.subscribe();
    let mut matching: Vec<_> = recent.iter().filter(|flow| filter.matches(flow)).collect();
    if let Some(last) = filter.last {
        matching.drain(..matching.len().saturating_sub(last));
    }
    for flow in matching {
        writer.write_all(&json_line(&**flow)?).await?;
    }
    if !filter.follow {
        return Ok(());
    }
    loop {
        match feed.recv().await {
            Ok(flow) if filter.matches(&flow) => writer.write_all(&json_line(&*flow)?).await?,
            Ok(_) => {}
            Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "an observer is too slow"),
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

fn json_line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// Asks the agent behind `socket`; the answer is read with [`Answers`].
///
/// # Errors
/// If no agent answers there.
pub async fn ask(socket: &Path, request: &Request) -> io::Result<Answers> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(&json_line(request)?).await?;
    Ok(Answers { lines: BufReader::new(stream).lines() })
}

/// The lines of an answer.
pub struct Answers {
    lines: Lines<BufReader<UnixStream>>,
}

impl Answers {
    /// The one value that was asked for: a [`Status`], or what the [`Question`] says.
    ///
    /// # Errors
    /// If the agent hangs up, or speaks another version.
    pub async fn value<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let line = self.lines.next_line().await?.ok_or_else(|| io::Error::other("the agent hung up"))?;
        Ok(serde_json::from_str(&line)?)
    }

    /// The next record, or `None` at the end.
    ///
    /// # Errors
    /// If the connection breaks, or the agent speaks another version.
    pub async fn flow(&mut self) -> io::Result<Option<Flow>> {
        let Some(line) = self.lines.next_line().await? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&line)?))
    }
}
