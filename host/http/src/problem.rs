//! The one error type of the API: `application/problem+json` (RFC 9457).

use crate::lifecycle;
use crate::refusals::Told;
use axum::extract::OriginalUri;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::any::Any;
use wares_call::{CallError, Explanation, Full};
use wares_catalog::backup::TakeBackupError;
use wares_catalog::reports::ReportError;
use wares_catalog::{
    ConfigError, DeployError, GarbageError, GrantError, LifecycleError, LoadError, NamespaceError, ProviderError,
    PublishError, PullError, ResolveError, ReviewError, SecretsError, StandingError, TenancyError,
};
use wares_engine::{CompileError, ReadError};
use wares_model::{CallId, ProblemCode};
use wares_registry::RegistryError;
use wares_store::{StoreError, VersionRecord};

/// Where problem codes are explained.
pub(crate) const PROBLEMS_PATH: &str = "/problems";
pub(crate) const CALL_ID: HeaderName = HeaderName::from_static("wares-call-id");
/// Names a request that came to no call, as the call's id would.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("wares-request-id");
pub(crate) const COMPONENT: HeaderName = HeaderName::from_static("wares-component");
pub(crate) const VERSION: HeaderName = HeaderName::from_static("wares-version");
/// How a call ended, as the ledger has it. A call that was refused is not in the ledger.
pub(crate) const OUTCOME: HeaderName = HeaderName::from_static("wares-outcome");

/// Seconds after which a publication may find room: what is before it is read or compiled in some of them.
const PUBLISH_AGAIN_SECONDS: u64 = 5;

/// An answer that says what was wrong, where, and what to do.
#[derive(Debug)]
pub struct Problem {
    code: ProblemCode,
    /// The call or the request that it is the answer to, once that is known.
    id: Option<CallId>,
    /// Whether the call is in the ledger.
    is_counted: bool,
    document: Box<Document>,
    headers: Vec<(HeaderName, String)>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    /// The design's one name with an underscore: RFC 9457 extension members are usually written so.
    #[serde(rename = "call_id", skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
    /// Of a request that came to no call; the answer names it.
    #[serde(rename = "request_id", skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backtrace: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest: Vec<String>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Explanation::new(code, detail.into()).into()
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::BadRequest, detail)
    }

    /// A call that ended so, as it stands in the ledger.
    pub(crate) fn of_call(call: CallId, explanation: Explanation) -> Self {
        let mut problem = Self::from(explanation);
        problem.document.call_id = Some(call.to_string());
        Self { id: Some(call), is_counted: true, ..problem }
    }

    /// A fault of the host: the log has the cause, under the request's id.
    pub(crate) fn host(error: &dyn std::fmt::Display) -> Self {
        Self::fault(error, "the host failed; its log says more under the request id".to_owned())
    }

    fn fault(error: &dyn std::fmt::Display, detail: String) -> Self {
        let request = CallId::generate();
        tracing::error!(%error, %request, "a request failed in the host");
        Self { id: Some(request), ..Self::new(ProblemCode::HostError, detail) }
    }

    /// The same in other words; a fault of the host stays unexplained.
    fn with_detail(mut self, detail: String) -> Self {
        if self.document.status < StatusCode::INTERNAL_SERVER_ERROR.as_u16() {
            self.document.detail = detail;
        }
        self
    }

    /// The same with another of its code's statuses.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.document.status = status.as_u16();
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The document alone, as a part of another one.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document.serialize(serializer)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { code, id, is_counted, mut document, mut headers } = self;
        let id = id.unwrap_or_else(CallId::generate);
        if document.call_id.is_none() {
            document.request_id = Some(id.to_string());
            headers.push((REQUEST_ID, id.to_string()));
        }
        let status = StatusCode::from_u16(document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        if !is_counted {
            let Document { status, detail, .. } = *document;
            response.extensions_mut().insert(Told { call: id, code, status, detail });
        }
        response
    }
}

impl From<Explanation> for Problem {
    fn from(explanation: Explanation) -> Self {
        let Explanation { code, detail, pointer, error, backtrace, nearest, retry_after, .. } = explanation;
        let document = Document {
            r#type: format!("{PROBLEMS_PATH}/{code}"),
            title: code.title(),
            status: code.status(),
            detail,
            call_id: None,
            request_id: None,
            pointer,
            error,
            backtrace,
            nearest,
        };
        let headers = retry_after.map(|seconds| (header::RETRY_AFTER, seconds.to_string()));
        let headers = headers.into_iter().collect();
        Self { code, id: None, is_counted: false, document: Box::new(document), headers }
    }
}

impl From<Full> for Problem {
    fn from(full: Full) -> Self {
        Explanation::from(full).into()
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let mut problem = Self::from(*error.explanation);
        problem.document.call_id = Some(error.call.to_string());
        problem.id = Some(error.call);
        problem.is_counted = error.outcome.is_some();
        let problem = problem.with_header(CALL_ID, error.call.to_string());
        let problem =
            error.outcome.into_iter().fold(problem, |problem, outcome| problem.with_header(OUTCOME, outcome.as_str()));
        match error.version {
            None => problem,
            Some(entry) => {
                let VersionRecord { component, version, .. } = &entry.record;
                let notices = lifecycle::notices(&entry)
                    .filter_map(|(name, value)| Some((name, value.to_str().ok()?.to_owned())));
                let problem =
                    problem.with_header(COMPONENT, component.as_str()).with_header(VERSION, version.to_string());
                notices.fold(problem, |problem, (name, value)| problem.with_header(name, value))
            }
        }
    }
}

impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        let explanation = Explanation::new(error.code, error.detail);
        Explanation { nearest: error.nearest, ..explanation }.into()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::host(&error)
    }
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Refused(refused) => refused.into(),
            other => Self::host(&other),
        }
    }
}

impl From<StandingError> for Problem {
    fn from(error: StandingError) -> Self {
        let code = match &error {
            StandingError::Held(_) => ProblemCode::Conflict,
            StandingError::Untrusted(_) => ProblemCode::Untrusted,
        };
        Self::new(code, error.to_string())
    }
}

impl From<NamespaceError> for Problem {
    fn from(error: NamespaceError) -> Self {
        let code = match &error {
            NamespaceError::NoSigner { .. } => ProblemCode::NotFound,
            NamespaceError::Reason(_) => ProblemCode::BadRequest,
            NamespaceError::NotRevoked(_)
            | NamespaceError::TooManySigners(_)
            | NamespaceError::Store(StoreError::SignerExists(_)) => ProblemCode::Conflict,
            NamespaceError::Store(_) => return Self::host(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<TakeBackupError> for Problem {
    fn from(error: TakeBackupError) -> Self {
        match error {
            TakeBackupError::UnderWay => Self::new(ProblemCode::Conflict, error.to_string()),
            // Whoever may take a backup sees everything: the reason too.
            TakeBackupError::Failed(_) => Self::fault(&error, error.to_string()),
        }
    }
}

impl From<PullError> for Problem {
    fn from(error: PullError) -> Self {
        let code = match &error {
            PullError::NoSource(_) | PullError::Registry(RegistryError::Refused { .. }) => ProblemCode::NotFound,
            PullError::Reference(_) => ProblemCode::BadRequest,
            PullError::Registry(RegistryError::OtherBytes { .. }) => ProblemCode::Untrusted,
            PullError::Registry(RegistryError::NotAComponent { .. }) => ProblemCode::InvalidComponent,
            PullError::Registry(RegistryError::TooLarge { .. }) => ProblemCode::TooLarge,
            PullError::Registry(RegistryError::Credentials { .. }) => return Self::host(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        let code = match &error {
            ReportError::NoReporter(_) => ProblemCode::Forbidden,
            ReportError::Untrusted(_) => ProblemCode::Untrusted,
            ReportError::Invalid(_) => ProblemCode::BadRequest,
            ReportError::Store(StoreError::UnknownTenant(_) | StoreError::UnknownVersion { .. }) => {
                ProblemCode::NotFound
            }
            ReportError::Store(_) => return Self::host(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReviewError> for Problem {
    fn from(error: ReviewError) -> Self {
        let code = match &error {
            ReviewError::NoSubmission(_) => ProblemCode::NotFound,
            ReviewError::OwnSubmission(_) => ProblemCode::Forbidden,
            ReviewError::Decided { .. } => ProblemCode::Conflict,
            ReviewError::Reason(_) => ProblemCode::BadRequest,
            ReviewError::Store(_) => return Self::host(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let detail = error.to_string();
        let error = match error {
            PublishError::Undeployable(why) | PublishError::Undeployed(why) => {
                return Self::from(*why).with_detail(detail);
            }
            other => other,
        };
        let code = match &error {
            PublishError::TooLarge { .. } => ProblemCode::TooLarge,
            PublishError::Conflict { .. }
            | PublishError::Number { .. }
            | PublishError::Incompatible { .. }
            | PublishError::Incomparable { .. }
            | PublishError::NamespaceChanged(_) => ProblemCode::Conflict,
            PublishError::Forbidden(_) => ProblemCode::Forbidden,
            PublishError::Untrusted(_) => ProblemCode::Untrusted,
            PublishError::Statement(_) => ProblemCode::BadRequest,
            PublishError::Overloaded(_) => {
                return Self::new(ProblemCode::Overloaded, detail)
                    .with_header(header::RETRY_AFTER, PUBLISH_AGAIN_SECONDS.to_string());
            }
            PublishError::Host(_)
            | PublishError::Undeployable(_)
            | PublishError::Undeployed(_)
            | PublishError::Read(ReadError::Host(_))
            | PublishError::Compile(CompileError::Host(_)) => return Self::host(&error),
            PublishError::Read(_) | PublishError::Import(_) | PublishError::Compile(_) | PublishError::Invalid(_) => {
                ProblemCode::InvalidComponent
            }
        };
        Self::new(code, detail)
    }
}

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::NotFound(error) => error.into(),
            DeployError::Invalid(detail) => Self::bad_request(detail),
            DeployError::Conflict { .. } | DeployError::Rollout(_) => {
                Self::new(ProblemCode::Conflict, error.to_string())
            }
            DeployError::Refused(refused) => refused.into(),
            DeployError::Composition(error) => Self::new(ProblemCode::InvalidComponent, error.to_string()),
            DeployError::Ungranted(ungranted) => Self::new(ProblemCode::InvalidComponent, ungranted.to_string()),
            DeployError::Load { source, .. } if matches!(*source, LoadError::Refused(_)) => {
                Self::new(ProblemCode::Untrusted, source.to_string())
            }
            DeployError::Load { .. } | DeployError::Store(_) => Self::host(&error),
        }
    }
}

impl From<LifecycleError> for Problem {
    fn from(error: LifecycleError) -> Self {
        match error {
            LifecycleError::NotFound(error) => error.into(),
            LifecycleError::Invalid(detail) => Self::bad_request(detail),
            LifecycleError::Conflict(detail) => Self::new(ProblemCode::Conflict, detail),
            LifecycleError::Store(_) => Self::host(&error),
        }
    }
}

impl From<GrantError> for Problem {
    fn from(error: GrantError) -> Self {
        let code = match &error {
            GrantError::Invalid(_) | GrantError::Reason(_) => ProblemCode::BadRequest,
            GrantError::Conflict { .. } => ProblemCode::Conflict,
            GrantError::Store(_) => return Self::host(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<SecretsError> for Problem {
    fn from(error: SecretsError) -> Self {
        let code = match &error {
            SecretsError::NoTenant(_) | SecretsError::NotSet { .. } => ProblemCode::NotFound,
            SecretsError::Length => ProblemCode::BadRequest,
            SecretsError::TooMany(_)
            | SecretsError::Seal(_)
            | SecretsError::Keys { .. }
            | SecretsError::Store(StoreError::RevisionConflict { .. }) => ProblemCode::Conflict,
            SecretsError::Store(_) => return Self::host(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        let code = match &error {
            ConfigError::NoTenant(_) | ConfigError::NotSet { .. } => ProblemCode::NotFound,
            ConfigError::BadKey | ConfigError::TooLarge(_) => ProblemCode::BadRequest,
            ConfigError::Store(_) => return Self::host(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::NotFound(error) => error.into(),
            ProviderError::Invalid(_) | ProviderError::Reason(_) => Self::bad_request(error.to_string()),
            ProviderError::Store(_) => Self::host(&error),
        }
    }
}

impl From<GarbageError> for Problem {
    fn from(error: GarbageError) -> Self {
        Self::host(&error)
    }
}

impl From<TenancyError> for Problem {
    fn from(error: TenancyError) -> Self {
        let code = match &error {
            TenancyError::TenantExists(_) => ProblemCode::Conflict,
            TenancyError::NoTenant(_) | TenancyError::NoKey(_) => ProblemCode::NotFound,
            TenancyError::BadName(_) => ProblemCode::BadRequest,
            TenancyError::Random(_) | TenancyError::Wipe { .. } | TenancyError::Store(_) => return Self::host(&error),
        };
        Self::new(code, error.to_string())
    }
}

pub(crate) async fn no_such_address(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::new(ProblemCode::NotFound, format!("there is nothing at {}; /docs lists the API", uri.path()))
}

/// Methods that are known here or elsewhere (RFC 9110, RFC 5789).
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

pub(crate) async fn no_such_method(method: Method, OriginalUri(uri): OriginalUri) -> Problem {
    let (status, detail) = match METHODS.contains(&method) {
        true => (StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path())),
        false => (StatusCode::NOT_IMPLEMENTED, format!("no address takes the method {method}")),
    };
    Problem::new(ProblemCode::Unsupported, detail).with_status(status)
}

/// A handler that panicked: logged, and answered like any fault of the host.
pub(crate) fn of_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a value that is no text");
    Problem::host(&format!("panic: {text}")).into_response()
}
