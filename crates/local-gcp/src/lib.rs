//! In-process servers that speak the protocols of Google Cloud.
