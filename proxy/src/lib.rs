//! Moves the bytes: accepts redirected connections, asks filters, relays, records.
