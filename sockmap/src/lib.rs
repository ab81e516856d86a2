//! The user side of the kernel: probe, load, attach, pin, reconcile maps, hand sockets over.
