//! Judges bytes: rules compiled to matchers, and sans-io inspectors for HTTP/1, HTTP/2 + gRPC, Kafka and DNS.
