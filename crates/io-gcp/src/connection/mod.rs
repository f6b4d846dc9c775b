//! How a Google Cloud service is reached: [`Connection`], its [`Credentials`], and the emulator variables.
//!
//! Owns endpoints and credentials, nothing of any one service's protocol. A [`Connection`] is a plain value, to be written in
//! a configuration; only [`Connection::resolve`] looks at the environment and at files.
//!
//! ```
//! use millstream_io_gcp::connection::{Connection, Credentials, Service};
//!
//! let local = Connection::local("127.0.0.1:8085");
//! let resolved = local.resolve(Service::PubSub)?;
//! assert_eq!(resolved.endpoint(), Some("http://127.0.0.1:8085"));
//! assert_eq!(local.credentials, Credentials::Anonymous);
//! # Ok::<(), millstream_io_gcp::connection::ConnectionError>(())
//! ```

mod credentials;
mod endpoint;
mod error;

pub use credentials::Credentials;
pub use endpoint::{Connection, Resolved, Service};
pub use error::ConnectionError;
