//! Finds the network namespace at the other end of a veth.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::PathBuf,
};

use futures_util::StreamExt;
use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    nsid::{NsidAttribute, NsidMessage},
};

use crate::netlink::Netlink;

/// Where container runtimes and iproute2 keep namespaces.
const FOLDERS: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// Opens the namespace that this one knows by `id` (`IFLA_LINK_NETNSID`): a named one, or that of a process.
pub async fn find(netlink: &Netlink, id: i32) -> Option<File> {
    let mut seen = BTreeSet::new();
    for path in candidates() {
        // A process may end, and its namespace with it.
        let Ok(meta) = fs::metadata(&path) else { continue };
        if !seen.insert((meta.dev(), meta.ino())) {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        if id_of(netlink, &file).await == Some(id) {
            return Some(file);
        }
    }
    None
}

fn candidates() -> impl Iterator<Item = PathBuf> {
    let entries = |folder: &str| fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let named = FOLDERS.iter().flat_map(move |folder| entries(folder)).map(|entry| entry.path());
    let processes = entries("/proc").filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    });
    named.chain(processes.map(|entry| entry.path().join("ns/net")))
}

/// The number that this namespace has for another one, if it has one.
async fn id_of(netlink: &Netlink, netns: &File) -> Option<i32> {
    let mut message = NsidMessage::default();
    message.attributes.push(NsidAttribute::Fd(u32::try_from(netns.as_raw_fd()).ok()?));
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNsId(message));
    request.header.flags = NLM_F_REQUEST;
    let mut handle = netlink.handle().clone();
    let mut answers = handle.request(request).ok()?;
    match answers.next().await?.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(answer)) => {
            answer.attributes.iter().find_map(|attribute| match attribute {
                NsidAttribute::Id(id) if *id >= 0 => Some(*id),
                _ => None,
            })
        }
        _ => None,
    }
}
