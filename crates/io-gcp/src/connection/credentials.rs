//! [`Credentials`]: as whom a service is called; loads key files of every kind Google issues.

use std::path::{Path, PathBuf};

use google_cloud_auth::credentials::{
    Builder as DefaultBuilder, Credentials as GoogleCredentials, anonymous, external_account,
    impersonated, service_account, user_account,
};
use serde::{Deserialize, Serialize};

use super::endpoint::Service;
use super::error::ConnectionError;

/// As whom a service is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Credentials {
    /// The application default credentials of the environment.
    #[default]
    ApplicationDefault,
    /// The key in this file: of a service account, a user, a federated or an impersonated account.
    KeyFile(PathBuf),
    /// Nobody: for local servers.
    Anonymous,
}

impl Credentials {
    pub(super) fn load(&self, service: Service) -> Result<GoogleCredentials, ConnectionError> {
        match self {
            Self::ApplicationDefault => DefaultBuilder::default().build().map_err(|cause| {
                ConnectionError::ApplicationDefault {
                    service: service.name(),
                    variable: service.emulator_variable(),
                    source: Box::new(cause),
                }
            }),
            Self::KeyFile(path) => from_key_file(path),
            Self::Anonymous => Ok(anonymous::Builder::new().build()),
        }
    }
}

fn from_key_file(path: &Path) -> Result<GoogleCredentials, ConnectionError> {
    let text = std::fs::read(path)
        .map_err(|source| ConnectionError::KeyFile { path: path.to_owned(), source })?;
    let key: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|source| ConnectionError::KeyFileFormat { path: path.to_owned(), source })?;
    let unusable = |what: String| ConnectionError::KeyFileContent {
        path: path.to_owned(),
        what,
        source: None,
    };
    let Some(kind) = key.get("type").and_then(serde_json::Value::as_str).map(str::to_owned) else {
        return Err(unusable(String::from("it has no field \"type\"")));
    };
    let built = match kind.as_str() {
        "service_account" => service_account::Builder::new(key).build(),
        "authorized_user" => user_account::Builder::new(key).build(),
        "external_account" => external_account::Builder::new(key).build(),
        "impersonated_service_account" => impersonated::Builder::new(key).build(),
        other => return Err(unusable(format!("its type {other:?} is not known"))),
    };
    built.map_err(|cause| ConnectionError::KeyFileContent {
        path: path.to_owned(),
        what: format!("it is no complete key of type {kind:?}"),
        source: Some(Box::new(cause)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.json");
        std::fs::write(&path, text).unwrap();
        (directory, path)
    }

    fn error_of(text: &str) -> String {
        let (_directory, path) = key_file(text);
        let error = Credentials::KeyFile(path.clone()).load(Service::PubSub).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        error.to_string()
    }

    #[test]
    fn an_unusable_key_file_is_named_with_what_is_wrong() {
        assert!(error_of("{").contains("no JSON"));
        assert!(error_of("{}").contains("no field \"type\""));
        assert!(error_of(r#"{"type": "magic"}"#).contains("\"magic\" is not known"));
        assert!(error_of(r#"{"type": "service_account"}"#).contains("no complete key"));
    }

    #[test]
    fn a_missing_key_file_is_named() {
        let path = PathBuf::from("/nowhere/key.json");
        let error = Credentials::KeyFile(path).load(Service::PubSub).unwrap_err();
        assert!(error.to_string().contains("/nowhere/key.json"), "{error}");
    }

    #[test]
    fn credentials_read_well_in_a_configuration() {
        let text = serde_json::to_string(&Credentials::KeyFile("key.json".into())).unwrap();
        assert_eq!(text, r#"{"key_file":"key.json"}"#);
        let back: Credentials = serde_json::from_str("\"application_default\"").unwrap();
        assert_eq!(back, Credentials::ApplicationDefault);
    }
}
