//! SIGTERM and SIGINT at any moment: the process stops in time, and leaves nothing half written.
