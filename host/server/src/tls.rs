//! The host's certificate: read at the start, read again on SIGHUP, and shown to whoever connects.

use crate::config::Tls;
use anyhow::{Context as _, ensure};
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, crypto};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

/// What clients are offered to speak, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Permissions of everybody for a file.
const OF_EVERYBODY: u32 = 0o007;

/// The certificate that connections are begun with. Clones share it.
#[derive(Debug, Clone)]
pub struct Certificate(Arc<Current>);

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl Certificate {
    /// The certificate of these settings, or none if there is to be no TLS.
    pub fn open(tls: &Tls) -> anyhow::Result<Option<Self>> {
        let read = tls.files().map(|(certificate, key)| read(certificate, key)).transpose()?;
        Ok(read.map(|read| Self(Arc::new(Current(ArcSwap::from_pointee(read))))))
    }

    /// Takes another one for connections that begin from now on. What cannot be read changes nothing.
    pub fn reload(&self, tls: &Tls) -> anyhow::Result<()> {
        if let Some((certificate, key)) = tls.files() {
            self.0.0.store(Arc::new(read(certificate, key)?));
        }
        Ok(())
    }

    /// How connections are begun with it.
    pub fn server_config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = versions.with_no_client_auth().with_cert_resolver(Arc::clone(&self.0) as _);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn read(certificate: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.with_context(|| format!("tls.certificate-file {}", certificate.display()))?;
    ensure!(!chain.is_empty(), "tls.certificate-file {} holds no certificate in PEM", certificate.display());
    let named = || format!("tls.key-file {}", key.display());
    let mode = fs::metadata(key).with_context(named)?.permissions().mode();
    ensure!(mode & OF_EVERYBODY == 0, "{} can be used by everybody: chmod o-rwx it", named());
    let private = PrivateKeyDer::from_pem_file(key).with_context(named)?;
    CertifiedKey::from_der(chain, private, &crypto::ring::default_provider())
        .with_context(|| format!("{} is not the key of {}", named(), certificate.display()))
}
