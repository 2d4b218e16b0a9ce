//! Reading from a registry, never more of an answer than is allowed for it, and never for ever.
//!
//! A registry is somebody else's, and `oci-client` takes manifests, tokens and errors whole, however long they are. So what is
//! read is asked for here: GETs of the distribution protocol, with a token where the registry wants one.

use crate::{OciReference, RegistryError};
use bytes::{Bytes, BytesMut};
use http_auth::parser::ChallengeParser;
use oci_client::errors::{OciEnvelope, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use reqwest::header::{ACCEPT, HeaderMap, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of a token's answer, and of what a registry says of an error.
const WORDS_BYTES_MAX: u64 = 64 << 10;
/// For one answer from its request to its last byte: what a component of the largest size takes over a slow line.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// Characters of a registry's own words that are passed on.
const SHOWN_CHARS_MAX: usize = 200;

/// Reads from the registry of one reference.
pub(crate) struct Reading<'a> {
    pub(crate) http: &'a reqwest::Client,
    pub(crate) auth: &'a RegistryAuth,
    pub(crate) reference: &'a OciReference,
    /// What the registry's token service gave.
    token: Option<String>,
}

/// An answer with its header.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What a registry asks for before it answers.
struct Challenge {
    realm: String,
    service: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(http: &'a reqwest::Client, auth: &'a RegistryAuth, reference: &'a OciReference) -> Self {
        Self { http, auth, reference, token: None }
    }

    /// Reads what is at `path` of the repository, at most so many bytes.
    pub(crate) async fn get(&mut self, path: &str, accept: &str, bytes_max: u64) -> Result<Answer, RegistryError> {
        let read = timeout(ANSWER_TIMEOUT, self.ask(path, accept, bytes_max)).await;
        read.unwrap_or_else(|_| Err(self.refused(format!("the answer did not end within {ANSWER_TIMEOUT:?}"))))
    }

    async fn ask(&mut self, path: &str, accept: &str, bytes_max: u64) -> Result<Answer, RegistryError> {
        let inner = self.reference.inner();
        let scheme = if self.reference.is_plain() { "http" } else { "https" };
        let url = format!("{scheme}://{}/v2/{}/{path}", inner.resolve_registry(), inner.repository());
        let request = |this: &Self| this.authorised(this.http.get(&url).header(ACCEPT, accept));
        let mut response = self.send(request(self)).await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && self.token.is_none()
            && let Some(challenge) = challenge(response.headers())
        {
            self.token = Some(self.fetch_token(challenge).await?);
            response = self.send(request(self)).await?;
        }
        if response.status() != StatusCode::OK {
            return Err(self.failed(response).await);
        }
        let headers = response.headers().clone();
        Ok(Answer { headers, body: self.body(response, bytes_max).await? })
    }

    fn authorised(&self, request: RequestBuilder) -> RequestBuilder {
        match (&self.token, self.auth) {
            (Some(token), _) | (None, RegistryAuth::Bearer(token)) => request.bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
            (None, RegistryAuth::Anonymous) => request,
        }
    }

    async fn fetch_token(&self, Challenge { realm, service }: Challenge) -> Result<String, RegistryError> {
        let mut url = Url::parse(&realm).map_err(|_| self.refused("it names no place for tokens".to_owned()))?;
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .append_pair("scope", &format!("repository:{}:pull", self.reference.inner().repository()));
        let request = match self.auth {
            RegistryAuth::Basic(user, password) => self.http.get(url).basic_auth(user, Some(password)),
            _ => self.http.get(url),
        };
        let response = self.send(request).await?;
        if response.status() != StatusCode::OK {
            return Err(self.failed(response).await);
        }
        let body = self.body(response, WORDS_BYTES_MAX).await?;
        let token: Option<Token> = serde_json::from_slice(&body).ok();
        let token = token.and_then(|token| token.token.or(token.access_token));
        token.ok_or_else(|| self.refused("its token service gives no token".to_owned()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, RegistryError> {
        request.send().await.map_err(|error| self.unreached(&error))
    }

    async fn body(&self, mut response: Response, bytes_max: u64) -> Result<Bytes, RegistryError> {
        let too_large = || RegistryError::TooLarge { reference: self.reference.to_string(), bytes_max };
        if response.content_length().is_some_and(|length| length > bytes_max) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreached(&error))? {
            if (body.len() + chunk.len()) as u64 > bytes_max {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Why an answer is none, in words that a person can act on.
    async fn failed(&self, response: Response) -> RegistryError {
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let what = "the registry refuses these credentials, or wants some: log in with `docker login`";
            return self.refused(what.to_owned());
        }
        let body = self.body(response, WORDS_BYTES_MAX).await.unwrap_or_default();
        let said = serde_json::from_slice::<OciEnvelope>(&body).map(|envelope| envelope.errors).unwrap_or_default();
        let is_nothing = |code: &OciErrorCode| {
            matches!(code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound)
        };
        if status == StatusCode::NOT_FOUND || said.iter().any(|error| is_nothing(&error.code)) {
            return self.refused("there is nothing under this tag or digest".to_owned());
        }
        let words = said.first().map(|error| error.message.chars().take(SHOWN_CHARS_MAX).collect::<String>());
        self.refused(format!("the registry answered {status} {}", words.unwrap_or_default()).trim_end().to_owned())
    }

    fn unreached(&self, error: &reqwest::Error) -> RegistryError {
        self.refused(format!("the registry was not reached: {}", innermost(error)))
    }

    fn refused(&self, reason: String) -> RegistryError {
        RegistryError::Refused { reference: self.reference.to_string(), reason }
    }
}

/// The last cause is the one that says something.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let text = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    let bearer = ChallengeParser::new(text).flatten().find(|one| one.scheme.eq_ignore_ascii_case("bearer"))?;
    let value = |wanted: &str| {
        let mut params = bearer.params.iter();
        params.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_unescaped())
    };
    Some(Challenge { realm: value("realm")?, service: value("service") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_where_tokens_are() {
        let mut headers = HeaderMap::new();
        assert!(challenge(&headers).is_none());
        headers.insert(WWW_AUTHENTICATE, "Basic realm=\"x\"".parse().unwrap());
        assert!(challenge(&headers).is_none());
        let bearer = "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"a:b:pull\"";
        headers.insert(WWW_AUTHENTICATE, bearer.parse().unwrap());
        let Challenge { realm, service } = challenge(&headers).unwrap();
        assert_eq!((realm.as_str(), service.as_deref()), ("https://auth.example/token", Some("registry.example")));
    }
}
