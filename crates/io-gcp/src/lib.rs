//! Google Cloud connectors for millstream.
