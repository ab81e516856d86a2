//! The control plane from files to snapshots, without privileges.

mod hubble;
mod identities;
mod watch;
