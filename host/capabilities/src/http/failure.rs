//! Why a request came to nothing: what the guest is told, what the call's log says, and what is counted.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use wasmtime_wasi_http::Error;

/// Characters of a reason.
const REASON_CHARS_MAX: usize = 400;

/// A request that failed. Its reason is for the call's log; no secret is in it, and of what servers said only what one line
/// of this length can hold.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Error,
    /// The label of the metric.
    pub(crate) outcome: &'static str,
    pub(crate) reason: String,
}

impl Failure {
    fn new(code: Error, outcome: &'static str, reason: impl Into<String>) -> Self {
        let reason: String = reason.into();
        // Some of it comes from servers.
        let reason =
            reason.chars().map(|each| if each.is_control() { ' ' } else { each }).take(REASON_CHARS_MAX).collect();
        Self { code, outcome, reason }
    }

    /// It may not be sent.
    pub(crate) fn refused(code: Error, reason: impl Into<String>) -> Self {
        Self::new(code, "refused", reason)
    }

    /// This host lacks what it takes to send it.
    pub(crate) fn unable(reason: impl Into<String>) -> Self {
        Self::new(Error::ConfigurationError, "unable", reason)
    }

    /// The host's name leads nowhere.
    pub(crate) fn dns(rcode: Option<String>, reason: impl Into<String>) -> Self {
        Self::new(Error::DnsError { rcode, info_code: None }, "dns", reason)
    }

    /// Something took too long.
    pub(crate) fn timeout(code: Error, reason: impl Into<String>) -> Self {
        Self::new(code, "timeout", reason)
    }

    /// One of the two sides sent more than it may.
    pub(crate) fn too_large(code: Error, reason: impl Into<String>) -> Self {
        Self::new(code, "too-large", reason)
    }

    /// The other side broke off, or does not speak HTTP.
    pub(crate) fn broken(code: Error, reason: impl Into<String>) -> Self {
        Self::new(code, "broken", reason)
    }

    /// Nobody could be connected to.
    pub(crate) fn of_connect(error: &io::Error) -> Self {
        let code = match error.kind() {
            ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            ErrorKind::TimedOut => Error::ConnectionTimeout,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Error::ConnectionTerminated,
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => Error::DestinationIpUnroutable,
            _ => Error::DestinationUnavailable,
        };
        Self::new(code, "connect", error.to_string())
    }

    /// The other side is not who it should be, or TLS with it failed.
    pub(crate) fn of_tls(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let code = match tls {
            Some(rustls::Error::InvalidCertificate(_)) => Error::TlsCertificateError,
            Some(rustls::Error::AlertReceived(alert)) => {
                Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: Some(format!("{alert:?}")) }
            }
            Some(_) => Error::TlsProtocolError,
            None => Error::ConnectionTerminated,
        };
        Self::new(code, "tls", error.to_string())
    }

    /// What was exchanged is not a whole answer.
    pub(crate) fn of_hyper(error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            let reason = "the response's header has more bytes or fields than are taken";
            return Self::too_large(Error::HttpResponseHeaderSectionSize(None), reason);
        }
        let code = if error.is_parse() {
            Error::HttpProtocolError
        } else if error.is_incomplete_message() || ends_early(error) {
            Error::HttpResponseIncomplete
        } else if error.is_timeout() {
            Error::HttpResponseTimeout
        } else {
            Error::ConnectionTerminated
        };
        Self::broken(code, error.to_string())
    }
}

/// Whether a body was not as long as it said.
fn ends_early(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == ErrorKind::UnexpectedEof)
}
