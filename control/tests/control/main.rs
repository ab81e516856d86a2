//! The control plane from files to snapshots, without privileges.

mod hubble;
mod identities;
mod manifests;
mod store;
mod support;
mod watch;
