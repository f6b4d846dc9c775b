//! `scheduled-ingest` over the wire, against local servers: its tables equal what is computed directly over the messages.

mod end_to_end;
mod flights;
mod jobs;
mod malformed;
mod places;
mod read_api;
mod restart;
