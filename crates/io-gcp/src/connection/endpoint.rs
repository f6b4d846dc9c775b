//! [`Connection`]: endpoint and credentials as configured, and what they resolve to for one service.

use google_cloud_auth::credentials::Credentials as GoogleCredentials;
use serde::{Deserialize, Serialize};

use super::credentials::Credentials;
use super::error::ConnectionError;

/// A service of Google Cloud that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Service {
    /// Pub/Sub.
    PubSub,
    /// BigQuery with its Storage API.
    BigQuery,
}

impl Service {
    /// The service's name, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PubSub => "Pub/Sub",
            Self::BigQuery => "BigQuery",
        }
    }

    /// The variable that names a local server of the service, as `host:port` or `http://host:port`.
    #[must_use]
    pub const fn emulator_variable(self) -> &'static str {
        match self {
            Self::PubSub => "PUBSUB_EMULATOR_HOST",
            Self::BigQuery => "BIGQUERY_EMULATOR_HOST",
        }
    }
}

/// Names the port of a local BigQuery's Storage API, `host:port` or `http://host:port`, where it is not that of
/// `BIGQUERY_EMULATOR_HOST`: several emulators serve REST at one port and gRPC at another.
const STORAGE_VARIABLE: &str = "BIGQUERY_STORAGE_EMULATOR_HOST";

/// How a service is reached: where, and as whom.
///
/// The default is the cloud with the application default credentials, or the local server that the service's emulator
/// variable names. An endpoint given here has precedence over the variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Connection {
    /// Where the service is, such as `http://127.0.0.1:8085`; `None` is the cloud or a local server named by a variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Where BigQuery's Storage API is, which is gRPC, if not at `endpoint`; other services have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_endpoint: Option<String>,
    /// As whom it is called.
    pub credentials: Credentials,
}

impl Connection {
    /// The cloud, or the local server that the emulator variable names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A local server at `endpoint` (`host:port` or `http://host:port`), called anonymously.
    #[must_use]
    pub fn local(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: Some(endpoint.into()),
            storage_endpoint: None,
            credentials: Credentials::Anonymous,
        }
    }

    /// Reaches the service at `endpoint`.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Reaches BigQuery's Storage API at `endpoint`, and the rest of BigQuery where it was.
    #[must_use]
    pub fn with_storage_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.storage_endpoint = Some(endpoint.into());
        self
    }

    /// Calls the service as `credentials`.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Finds the endpoint and loads the credentials for `service`. It may read a key file, so call it off the workers.
    ///
    /// # Errors
    /// [`ConnectionError`] naming the variable, file or endpoint that cannot be used.
    pub fn resolve(&self, service: Service) -> Result<Resolved, ConnectionError> {
        let variable = |name| std::env::var(name).ok();
        let storage = variable(STORAGE_VARIABLE).filter(|_| service == Service::BigQuery);
        let emulator = variable(service.emulator_variable());
        self.resolve_with(service, emulator.as_deref(), storage.as_deref())
    }

    fn resolve_with(
        &self,
        service: Service,
        emulator: Option<&str>,
        storage: Option<&str>,
    ) -> Result<Resolved, ConnectionError> {
        let said = |value: &'_ str| !value.trim().is_empty();
        let (emulator, storage) = (emulator.filter(|v| said(v)), storage.filter(|v| said(v)));
        let (endpoint, mut storage_endpoint, credentials) = match (&self.endpoint, emulator) {
            (Some(endpoint), _) => {
                let endpoint = endpoint_url("the configured endpoint", endpoint)?;
                (Some(endpoint), None, self.credentials.clone())
            }
            (None, Some(host)) => {
                let endpoint = endpoint_url(service.emulator_variable(), host)?;
                let storage = storage.map(|host| endpoint_url(STORAGE_VARIABLE, host));
                (Some(endpoint), storage.transpose()?, Credentials::Anonymous)
            }
            // Rows would go to a local server while tables are made in the cloud.
            (None, None) if storage.is_some() => return Err(ConnectionError::StorageAlone),
            (None, None) => (None, None, self.credentials.clone()),
        };
        if let Some(configured) = &self.storage_endpoint {
            storage_endpoint = Some(endpoint_url("the configured storage endpoint", configured)?);
        }
        Ok(Resolved {
            service,
            endpoint,
            storage_endpoint,
            credentials: credentials.load(service)?,
        })
    }
}

/// A connection to one service, with the credentials loaded.
#[derive(Clone, Debug)]
pub struct Resolved {
    service: Service,
    endpoint: Option<String>,
    storage_endpoint: Option<String>,
    credentials: GoogleCredentials,
}

impl Resolved {
    /// The endpoint to give to the client; `None` for the cloud's own.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// The endpoint to give to a client of BigQuery's Storage API; `None` for the cloud's own.
    #[must_use]
    pub fn storage_endpoint(&self) -> Option<&str> {
        self.storage_endpoint.as_deref().or_else(|| self.endpoint())
    }

    /// The credentials to give to the client.
    #[must_use]
    pub fn credentials(&self) -> GoogleCredentials {
        self.credentials.clone()
    }

    /// That the client could not be made, for the reason `cause`.
    #[must_use]
    pub fn client_error(&self, cause: impl Into<millstream::BoxError>) -> ConnectionError {
        ConnectionError::Client {
            service: self.service.name(),
            endpoint: self.endpoint.clone().unwrap_or_else(|| String::from("the cloud")),
            source: cause.into(),
        }
    }
}

/// A URL from what people write; without a scheme a local server is meant, which speaks plain http.
fn endpoint_url(origin: &str, value: &str) -> Result<String, ConnectionError> {
    let wrong = || ConnectionError::Endpoint { origin: origin.to_owned(), value: value.to_owned() };
    let trimmed = value.trim().trim_end_matches('/');
    let (scheme, host) = trimmed.split_once("://").unwrap_or(("http", trimmed));
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if !matches!(scheme, "http" | "https") || host.is_empty() || !host.chars().all(is_host) {
        return Err(wrong());
    }
    let port = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(wrong());
    }
    Ok(format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(connection: &Connection, emulator: Option<&str>) -> Option<String> {
        connection.resolve_with(Service::PubSub, emulator, None).unwrap().endpoint
    }

    #[test]
    fn an_emulator_variable_means_plain_http_and_nobody() {
        let cloud = Connection::new();
        assert_eq!(endpoint(&cloud, Some("localhost:8085")).unwrap(), "http://localhost:8085");
        assert_eq!(endpoint(&cloud, Some("http://[::1]:9/")).unwrap(), "http://[::1]:9");
    }

    #[test]
    fn a_configured_endpoint_has_precedence_over_the_variable() {
        let local = Connection::local("127.0.0.1:1");
        assert_eq!(endpoint(&local, Some("localhost:8085")).unwrap(), "http://127.0.0.1:1");
        assert_eq!(
            endpoint(&Connection::local("127.0.0.1:1"), Some("")).unwrap(),
            "http://127.0.0.1:1"
        );
    }

    #[test]
    fn a_wrong_endpoint_names_where_it_comes_from() {
        for value in ["ftp://host", "host:99999", "user@host:1", "http://", "a b:1"] {
            let error =
                Connection::new().resolve_with(Service::BigQuery, Some(value), None).unwrap_err();
            assert!(error.to_string().starts_with("BIGQUERY_EMULATOR_HOST is "), "{error}");
        }
        let error =
            Connection::local("host:x").resolve_with(Service::PubSub, None, None).unwrap_err();
        assert!(error.to_string().starts_with("the configured endpoint is "), "{error}");
    }

    #[test]
    fn the_storage_api_is_where_the_rest_is_unless_it_is_said() {
        let storage = |connection: &Connection, emulator, storage| {
            let resolved = connection.resolve_with(Service::BigQuery, emulator, storage)?;
            Ok::<_, ConnectionError>(resolved.storage_endpoint().map(str::to_owned))
        };
        let cloud = Connection::new();
        assert_eq!(storage(&cloud, Some("a:1"), None).unwrap().unwrap(), "http://a:1");
        assert_eq!(storage(&cloud, Some("a:1"), Some(" ")).unwrap().unwrap(), "http://a:1");
        assert_eq!(storage(&cloud, Some("a:1"), Some("a:2")).unwrap().unwrap(), "http://a:2");
        // The variables belong together: those of another server than the configured one do not count.
        let local = Connection::local("b:1");
        assert_eq!(storage(&local, Some("a:1"), Some("a:2")).unwrap().unwrap(), "http://b:1");
        let local = local.with_storage_endpoint("b:2");
        assert_eq!(storage(&local, None, None).unwrap().unwrap(), "http://b:2");
        let error = storage(&cloud, None, Some("a:2")).unwrap_err().to_string();
        assert!(error.contains("BIGQUERY_EMULATOR_HOST is not"), "{error}");
    }

    #[test]
    fn a_connection_reads_well_in_a_configuration() {
        let text = r#"{"endpoint": "http://127.0.0.1:8085", "credentials": "anonymous"}"#;
        let connection: Connection = serde_json::from_str(text).unwrap();
        assert_eq!(connection, Connection::local("http://127.0.0.1:8085"));
        assert_eq!(serde_json::from_str::<Connection>("{}").unwrap(), Connection::new());
        assert!(serde_json::from_str::<Connection>(r#"{"endpont": "x"}"#).is_err());
    }
}
