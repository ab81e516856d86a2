//! Builds nodes and pods from network namespaces, for tests, benches and the demo.
