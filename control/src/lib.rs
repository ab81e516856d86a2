//! Turns Kubernetes (or files, or istiod) into one immutable Snapshot and the wanted kernel state; serves the API.
