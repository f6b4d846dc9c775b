//! [`ConnectionError`]: which variable, file or endpoint cannot be used, and why.

use std::path::PathBuf;

use millstream::BoxError;

/// Why a service cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// An endpoint is not of the form `http://host:port` or `https://host`.
    #[error(
        "{origin} is {value:?}, which is no endpoint: expected http://host:port, https://host or host:port"
    )]
    Endpoint {
        /// Where the endpoint comes from: a variable or the configuration.
        origin: String,
        /// What is written there.
        value: String,
    },
    /// Only the Storage API of BigQuery is said to be at a local server.
    #[error(
        "BIGQUERY_STORAGE_EMULATOR_HOST is set and BIGQUERY_EMULATOR_HOST is not: rows would go elsewhere than their tables"
    )]
    StorageAlone,
    /// The key file cannot be read.
    #[error("cannot read the key file {path:?}", path = .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        source: std::io::Error,
    },
    /// The key file is no JSON.
    #[error("the key file {path:?} is no JSON document", path = .path.display())]
    KeyFileFormat {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The key file holds something that is no usable credential.
    #[error("the key file {path:?} cannot be used: {what}", path = .path.display())]
    KeyFileContent {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What the credential library says, where it said something.
        #[source]
        source: Option<BoxError>,
    },
    /// The application default credentials cannot be loaded.
    #[error(
        "no application default credentials for {service}: set GOOGLE_APPLICATION_CREDENTIALS to a key file, sign in, \
         configure a key file, or set {variable} for a local server"
    )]
    ApplicationDefault {
        /// The service to be reached.
        service: &'static str,
        /// The variable that would name a local server of it.
        variable: &'static str,
        /// What the credential library says.
        source: BoxError,
    },
    /// The client of a service cannot be made.
    #[error("cannot make a {service} client for {endpoint}")]
    Client {
        /// The service to be reached.
        service: &'static str,
        /// Its endpoint.
        endpoint: String,
        /// What the client says.
        source: BoxError,
    },
}
