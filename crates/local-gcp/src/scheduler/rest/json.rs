//! JSON form of jobs, to and from Google's messages. Unknown fields are refused, as Google does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::proto::scheduler as proto;
use crate::proto::scheduler::http_target::AuthorizationHeader;
use crate::proto::scheduler::job::Target;
use crate::pubsub::rest::values::{Base64, Enumeration, Span, Time};

type Map = BTreeMap<String, String>;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Job {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    schedule: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    time_zone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_update_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Enumeration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_config: Option<RetryConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_deadline: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pubsub_target: Option<PubsubTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_target: Option<HttpTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_engine_http_target: Option<Value>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct RetryConfig {
    #[serde(skip_serializing_if = "is_zero")]
    retry_count: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_retry_duration: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_backoff_duration: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_backoff_duration: Option<Span>,
    #[serde(skip_serializing_if = "is_zero")]
    max_doublings: i32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct PubsubTarget {
    topic_name: String,
    #[serde(skip_serializing_if = "is_empty")]
    data: Base64,
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct HttpTarget {
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_method: Option<Enumeration>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    headers: Map,
    #[serde(skip_serializing_if = "is_empty")]
    body: Base64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oauth_token: Option<OAuthToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oidc_token: Option<OidcToken>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct OAuthToken {
    service_account_email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct OidcToken {
    service_account_email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    audience: String,
}

fn is_zero(value: &i32) -> bool {
    *value == 0
}

fn is_empty(value: &Base64) -> bool {
    value.0.is_empty()
}

impl Job {
    /// A name in the path goes before one in the body.
    pub(super) fn with_name(mut self, name: String) -> Self {
        self.name = name;
        self
    }

    /// The user's part; what only the service sets is left out. Several targets count as the last.
    pub(super) fn into_proto(self) -> Result<proto::Job, String> {
        let pubsub = self.pubsub_target.map(|it| Target::PubsubTarget(it.into_proto()));
        let http = self.http_target.map(HttpTarget::into_proto).transpose()?;
        let app_engine = self.app_engine_http_target;
        let app_engine = app_engine.map(|_| Target::AppEngineHttpTarget(Default::default()));
        let mut targets = [pubsub, http.map(Target::HttpTarget), app_engine].into_iter().flatten();
        let target = targets.next();
        if targets.next().is_some() {
            return Err("a job has one target".to_owned());
        }
        Ok(proto::Job {
            name: self.name,
            description: self.description,
            schedule: self.schedule,
            time_zone: self.time_zone,
            retry_config: self.retry_config.map(RetryConfig::into_proto),
            attempt_deadline: self.attempt_deadline.map(|it| it.0),
            target,
            ..Default::default()
        })
    }

    pub(super) fn from_proto(job: proto::Job, enums_as_numbers: bool) -> Self {
        let state = Enumeration::new(job.state, job.state().as_str_name(), enums_as_numbers);
        let mut shown = Self {
            name: job.name,
            description: job.description,
            schedule: job.schedule,
            time_zone: job.time_zone,
            user_update_time: job.user_update_time.map(Time),
            state: Some(state),
            status: job.status.map(|it| match it.code {
                0 => json!({}),
                code => json!({ "code": code, "message": it.message }),
            }),
            schedule_time: job.schedule_time.map(Time),
            last_attempt_time: job.last_attempt_time.map(Time),
            retry_config: job.retry_config.map(RetryConfig::from_proto),
            attempt_deadline: job.attempt_deadline.map(Span),
            ..Self::default()
        };
        match job.target {
            Some(Target::PubsubTarget(it)) => {
                shown.pubsub_target = Some(PubsubTarget {
                    topic_name: it.topic_name,
                    data: Base64(it.data),
                    attributes: it.attributes,
                });
            }
            Some(Target::HttpTarget(it)) => {
                shown.http_target = Some(HttpTarget::from_proto(it, enums_as_numbers));
            }
            // Never kept.
            Some(Target::AppEngineHttpTarget(_)) | None => {}
        }
        shown
    }
}

impl RetryConfig {
    fn into_proto(self) -> proto::RetryConfig {
        proto::RetryConfig {
            retry_count: self.retry_count,
            max_retry_duration: self.max_retry_duration.map(|it| it.0),
            min_backoff_duration: self.min_backoff_duration.map(|it| it.0),
            max_backoff_duration: self.max_backoff_duration.map(|it| it.0),
            max_doublings: self.max_doublings,
        }
    }

    fn from_proto(config: proto::RetryConfig) -> Self {
        Self {
            retry_count: config.retry_count,
            max_retry_duration: config.max_retry_duration.map(Span),
            min_backoff_duration: config.min_backoff_duration.map(Span),
            max_backoff_duration: config.max_backoff_duration.map(Span),
            max_doublings: config.max_doublings,
        }
    }
}

impl PubsubTarget {
    fn into_proto(self) -> proto::PubsubTarget {
        let Self { topic_name, data, attributes } = self;
        proto::PubsubTarget { topic_name, data: data.0, attributes }
    }
}

impl HttpTarget {
    fn into_proto(self) -> Result<proto::HttpTarget, String> {
        let oauth = self.oauth_token.map(|it| {
            AuthorizationHeader::OauthToken(proto::OAuthToken {
                service_account_email: it.service_account_email,
                scope: it.scope,
            })
        });
        let oidc = self.oidc_token.map(|it| {
            AuthorizationHeader::OidcToken(proto::OidcToken {
                service_account_email: it.service_account_email,
                audience: it.audience,
            })
        });
        if oauth.is_some() && oidc.is_some() {
            return Err("a target has one kind of token".to_owned());
        }
        let http_method = match self.http_method {
            None => 0,
            Some(Enumeration::Number(number)) => number,
            Some(Enumeration::Name(name)) => proto::HttpMethod::from_str_name(&name)
                .ok_or_else(|| format!("there is no HTTP method {name:?}"))?
                .into(),
        };
        Ok(proto::HttpTarget {
            uri: self.uri,
            http_method,
            headers: self.headers,
            body: self.body.0,
            authorization_header: oauth.or(oidc),
        })
    }

    fn from_proto(target: proto::HttpTarget, enums_as_numbers: bool) -> Self {
        let method = target.http_method();
        let method = Enumeration::new(method as i32, method.as_str_name(), enums_as_numbers);
        let (mut oauth_token, mut oidc_token) = (None, None);
        match target.authorization_header {
            Some(AuthorizationHeader::OauthToken(it)) => {
                oauth_token = Some(OAuthToken {
                    service_account_email: it.service_account_email,
                    scope: it.scope,
                });
            }
            Some(AuthorizationHeader::OidcToken(it)) => {
                oidc_token = Some(OidcToken {
                    service_account_email: it.service_account_email,
                    audience: it.audience,
                });
            }
            None => {}
        }
        Self {
            uri: target.uri,
            http_method: Some(method),
            headers: target.headers,
            body: Base64(target.body),
            oauth_token,
            oidc_token,
        }
    }
}
