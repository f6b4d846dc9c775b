//! Google's canonical status codes and how the two wire protocols spell them.

/// A canonical status code, as every Google API uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The request can never work, whatever the state of the server.
    InvalidArgument,
    /// A named resource does not exist.
    NotFound,
    /// The resource to be created exists.
    AlreadyExists,
    /// The caller may not do this.
    PermissionDenied,
    /// A limit is exhausted; later the request may work.
    ResourceExhausted,
    /// The state of the server forbids the request.
    FailedPrecondition,
    /// A concurrent change got in the way.
    Aborted,
    /// A position lies outside the valid range.
    OutOfRange,
    /// This server does not offer the operation.
    Unimplemented,
    /// A bug of this server, or its storage failed.
    Internal,
    /// The server cannot answer now; the request may be tried again.
    Unavailable,
}

impl Code {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The code of this name, such as `NOT_FOUND`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// Name in JSON errors, such as `NOT_FOUND`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// The HTTP status that Google maps the code to.
    #[must_use]
    pub const fn http(self) -> http::StatusCode {
        match self {
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => {
                http::StatusCode::BAD_REQUEST
            }
            Self::NotFound => http::StatusCode::NOT_FOUND,
            Self::AlreadyExists | Self::Aborted => http::StatusCode::CONFLICT,
            Self::PermissionDenied => http::StatusCode::FORBIDDEN,
            Self::ResourceExhausted => http::StatusCode::TOO_MANY_REQUESTS,
            Self::Unimplemented => http::StatusCode::NOT_IMPLEMENTED,
            Self::Internal => http::StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => http::StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The gRPC code.
    #[must_use]
    pub const fn grpc(self) -> tonic::Code {
        match self {
            Self::InvalidArgument => tonic::Code::InvalidArgument,
            Self::NotFound => tonic::Code::NotFound,
            Self::AlreadyExists => tonic::Code::AlreadyExists,
            Self::PermissionDenied => tonic::Code::PermissionDenied,
            Self::ResourceExhausted => tonic::Code::ResourceExhausted,
            Self::FailedPrecondition => tonic::Code::FailedPrecondition,
            Self::Aborted => tonic::Code::Aborted,
            Self::OutOfRange => tonic::Code::OutOfRange,
            Self::Unimplemented => tonic::Code::Unimplemented,
            Self::Internal => tonic::Code::Internal,
            Self::Unavailable => tonic::Code::Unavailable,
        }
    }
}

/// The JSON body of an error as Google's REST APIs send it (`google.rpc.Status` under `error`).
#[must_use]
pub fn json_error(http: http::StatusCode, status: &str, message: &str) -> serde_json::Value {
    serde_json::json!({
        "error": { "code": http.as_u16(), "message": message, "status": status }
    })
}
