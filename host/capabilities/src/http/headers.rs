//! Header fields of requests and responses: what guests may not say, and what the host says for them.

use super::failure::Failure;
use super::target::Target;
use crate::{CallContext, SecretReader};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use wares_model::grants::{Credential, is_reserved_header};
use wares_model::limits::HTTP_FIELDS_BYTES_MAX;
use wasmtime_wasi_http::Error;
use zeroize::Zeroizing;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Refuses fields that are not the guest's to set: who is addressed, how bytes travel, and the one with the credential.
pub(crate) fn check(headers: &HeaderMap, credential: Option<&Credential>) -> Result<(), Failure> {
    let refused = |name: &HeaderName, reason: &str| {
        Err(Failure::refused(Error::HttpRequestDenied, format!("the header {name} {reason}")))
    };
    for name in headers.keys() {
        if is_reserved_header(name.as_str()) && ![CONTENT_LENGTH, TE, TRAILER].contains(name) {
            return refused(name, "is the host's to set");
        }
        if credential.is_some_and(|credential| name.as_str().eq_ignore_ascii_case(&credential.header)) {
            return refused(name, "carries the credential of this grant; the host sets it");
        }
    }
    match headers.get_all(TE).iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        true => Ok(()),
        false => refused(&TE, "may only say trailers"),
    }
}

/// Sets what the host says: who is addressed, that the connection serves no other request, and which trace this belongs to,
/// where that is known; else what the guest says of it passes.
pub(crate) fn complete(headers: &mut HeaderMap, target: &Target, trace: Option<String>) -> Result<(), Failure> {
    let host = HeaderValue::try_from(target.authority());
    headers.insert(HOST, host.map_err(|_| Failure::refused(Error::HttpRequestUriInvalid, "the host is no header"))?);
    let connection = if headers.contains_key(TE) { "close, te" } else { "close" };
    headers.insert(CONNECTION, HeaderValue::from_static(connection));
    if let Some(traceparent) = trace.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(TRACEPARENT, traceparent);
    }
    Ok(())
}

/// Sets the credential, which the guest has not seen and will not see.
pub(crate) async fn authorise(
    headers: &mut HeaderMap,
    credential: &Credential,
    context: &CallContext,
    secrets: Option<&Arc<dyn SecretReader>>,
) -> Result<(), Failure> {
    let Credential { header, prefix, secret } = credential;
    let unable = |reason: &str| Failure::unable(format!("the credential {secret} cannot be sent: {reason}"));
    let secrets = secrets.ok_or_else(|| unable("there are no secrets here"))?;
    let value = secrets.read(context, secret).await.map_err(|error| unable(&error.to_string()))?;
    let value = value.ok_or_else(|| unable("no secret of this name is set"))?;
    let name = HeaderName::try_from(header.as_str()).map_err(|_| unable("its header has no valid name"))?;
    let text = Zeroizing::new(format!("{prefix}{}", value.as_str()));
    let mut value = HeaderValue::from_str(&text).map_err(|_| unable("the secret has bytes that no header may have"))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    context.note_used(format_args!("secret {secret}"));
    Ok(())
}

/// Checks that a response's fields, or its trailers, have no more bytes than one set of fields may.
pub(crate) fn check_size(fields: &HeaderMap) -> Result<(), u32> {
    let bytes: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes <= HTTP_FIELDS_BYTES_MAX { Ok(()) } else { Err(u32::try_from(bytes).unwrap_or(u32::MAX)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn guests_do_not_say_who_is_addressed_nor_how_bytes_travel() {
        for name in
            ["host", "connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-authorization", "proxy-x"]
        {
            assert!(check(&headers(&[(name, "x")]), None).is_err(), "{name}");
        }
        assert!(check(&headers(&[("te", "gzip")]), None).is_err());
        assert!(
            check(&headers(&[("te", "trailers"), ("authorization", "own"), ("content-length", "3")]), None).is_ok()
        );
    }

    #[test]
    fn the_header_with_the_credential_is_the_hosts() {
        let credential =
            Credential { header: "X-Api-Key".into(), prefix: String::new(), secret: "key".parse().unwrap() };
        assert!(check(&headers(&[("x-api-key", "own")]), Some(&credential)).is_err());
        assert!(check(&headers(&[("x-api-other", "own")]), Some(&credential)).is_ok());
    }
}
