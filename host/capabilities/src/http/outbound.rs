//! What a host has for sending requests: settings, a resolver, TLS roots, and places for connections.

use super::failure::Failure;
use super::places::Places;
use super::resolve::Resolver;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::RequestOptions;

/// What the operator says of requests that components send.
#[derive(Debug, Clone)]
pub struct OutboundConfig {
    /// The DNS server to ask; none: those of the system.
    pub dns: Option<SocketAddr>,
    /// A PEM file of certificates that are trusted besides the system's.
    pub extra_roots: Option<PathBuf>,
    /// Longest time from the start to a connection, DNS and TLS included.
    pub connect_max: Duration,
    /// Longest time from there to the response's header.
    pub first_byte_max: Duration,
    /// Longest time between two pieces of the response's body.
    pub between_bytes_max: Duration,
    /// Connections open at once. One tenant has a quarter of them, but as many as a call with the usual limits may need.
    pub connections_max: usize,
}

/// Sends requests for components: one per host, shared by all calls.
pub struct Outbound {
    config: OutboundConfig,
    pub(crate) resolver: Resolver,
    tls: Result<TlsConnector, String>,
    pub(crate) places: Places,
}

/// Settings with which no requests can be sent.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The file of certificates cannot be used.
    #[error("outbound.extra-roots: {}: {reason}", path.display())]
    ExtraRoots {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// How long one request waits for what.
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) between_bytes: Duration,
}

impl Outbound {
    /// With these settings. A system without a DNS configuration or without root certificates is no error here, but of each
    /// request that needs them.
    pub fn new(config: OutboundConfig) -> Result<Self, OutboundError> {
        let extra = match &config.extra_roots {
            None => Vec::new(),
            Some(path) => {
                let failed = |reason: String| OutboundError::ExtraRoots { path: path.clone(), reason };
                let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                let certificates = read.map_err(|error| failed(error.to_string()))?;
                if certificates.is_empty() {
                    return Err(failed("there is no certificate in it".to_owned()));
                }
                certificates
            }
        };
        let tls = tls(extra);
        if let (Err(error), Some(path)) = (&tls, &config.extra_roots) {
            return Err(OutboundError::ExtraRoots { path: path.clone(), reason: error.to_string() });
        }
        let tls = tls.map_err(|error| error.to_string());
        if let Err(error) = &tls {
            tracing::warn!(%error, "components cannot send https requests: install root certificates, or set outbound.extra-roots");
        }
        let places = Places::new(config.connections_max);
        Ok(Self { resolver: Resolver::new(config.dns), tls, places, config })
    }

    pub(crate) fn tls(&self) -> Result<&TlsConnector, Failure> {
        self.tls.as_ref().map_err(|error| Failure::unable(format!("this host has no TLS: {error}")))
    }

    /// How long a request with these options waits: as its guest wants, but no longer than the operator wants, nor than its
    /// call may take.
    pub(crate) fn patience(&self, options: RequestOptions, wall: Duration) -> Patience {
        let least = |asked: Option<Duration>, most: Duration| asked.unwrap_or(most).min(most).min(wall);
        Patience {
            connect: least(options.connect_timeout, self.config.connect_max),
            first_byte: least(options.first_byte_timeout, self.config.first_byte_max),
            between_bytes: least(options.between_bytes_timeout, self.config.between_bytes_max),
        }
    }
}

fn tls(extra: Vec<CertificateDer<'static>>) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Verifier::new_with_extra_roots(extra, Arc::clone(&provider))?);
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    // A session is not to be taken up by another component.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
