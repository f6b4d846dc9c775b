//! Metrics, health and status endpoints of a running millstream job.
