//! Requests over TLS: to whom the certificate says, by roots that are trusted.

use super::shelf::{Shelf, error};
use super::upstream::Upstream;
use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use serde_json::json;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

type Root = CertifiedIssuer<'static, KeyPair>;

fn root() -> Result<Root> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A server with a certificate for this name, good until this year.
async fn server(root: &Root, name: &str, year: i32) -> Result<Upstream> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let certificate = params.signed_by(&key, root)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(ring::default_provider().into());
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key)?;
    Upstream::start_with("127.0.0.1:0", Some(config)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_the_certificate_says_is_spoken_to() -> Result<()> {
    let (trusted, unknown) = (root()?, root()?);
    let folder = tempfile::tempdir()?;
    let pem = folder.path().join("roots.pem");
    std::fs::write(&pem, trusted.pem())?;
    let shelf = Shelf::with(&[("WARES_OUTBOUND_EXTRA_ROOTS", &pem.display().to_string())]).await?;
    for (root, name, year, is_good) in [
        (&trusted, "good.wares.test", 2999, true),
        (&trusted, "other.wares.test", 2999, false),
        (&trusted, "good.wares.test", 2001, false),
        (&unknown, "good.wares.test", 2999, false),
    ] {
        let upstream = server(root, name, year).await?;
        let ask = json!({"scheme": "https", "authority": format!("good.wares.test:{}", upstream.port())});
        let (told, log) = shelf.ask_one(ask).await?;
        if is_good {
            assert_eq!(told["status"], 200, "{told:#} {log}");
            assert_eq!(upstream.seen().heads.len(), 1);
        } else {
            assert_eq!(error(&told), "ErrorCode::TlsCertificateError", "{name}, {year}: {told:#}");
            assert!(log.contains("certificate"), "{log}");
            assert_eq!(upstream.seen().heads.len(), 0, "nothing is said to a stranger");
        }
    }
    assert_eq!(shelf.count("tls").await?, 3);

    let plain = Upstream::start("127.0.0.1:0").await?;
    let ask = json!({"scheme": "https", "authority": format!("good.wares.test:{}", plain.port()), "connect_ms": 500});
    let (told, _) = shelf.ask_one(ask).await?;
    assert!(["TlsProtocolError", "ConnectionTimeout"].iter().any(|word| error(&told).contains(word)), "{told:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_does_not_start_with_roots_that_it_cannot_read() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("roots.pem"), "not a certificate")?;
    for file in ["roots.pem", "missing.pem"] {
        let config = folder.path().join("host.toml");
        std::fs::write(&config, format!("listen = '127.0.0.1:0'\n[outbound]\nextra-roots = '{file}'\n"))?;
        let ended = crate::command::wares(folder.path(), ["serve", "--config", "host.toml"])?;
        assert_ne!(ended.code, 0);
        assert!(ended.stderr.contains("outbound.extra-roots") && ended.stderr.contains(file), "{}", ended.stderr);
    }
    Ok(())
}
