//! Encrypted connections: the certificate, another one while the host runs, and clients that never come to speak.

use crate::raw::Raw;
use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{Certificate, Client, Method};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wares_it::guests;
use wares_it::host::{Host, success};
use wares_it::wait::until;

type Root = CertifiedIssuer<'static, KeyPair>;

/// Where the host's certificate and key are.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn below(folder: &Path) -> Self {
        Self { certificate: folder.join("host.pem"), key: folder.join("host.key") }
    }

    /// Puts another certificate there, which this root signs.
    fn issue(&self, root: &Root) -> Result<()> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, root)?;
        fs::write(&self.certificate, certificate.pem())?;
        fs::write(&self.key, key.serialize_pem())?;
        Ok(fs::set_permissions(&self.key, fs::Permissions::from_mode(0o600))?)
    }

    fn settings(&self) -> Result<[(&'static str, &str); 2]> {
        let certificate = self.certificate.to_str().context("a path")?;
        Ok([("WARES_TLS_CERTIFICATE_FILE", certificate), ("WARES_TLS_KEY_FILE", self.key.to_str().context("a path")?)])
    }
}

fn root() -> Result<Root> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A client that trusts this root alone.
fn trusting(root: &Root) -> Result<Client> {
    let _ = ring::default_provider().install_default();
    Ok(Client::builder().tls_certs_only([Certificate::from_pem(root.pem().as_bytes())?]).build()?)
}

/// The protocol that the host agrees to speak with who speaks these.
async fn agreed(host: &Host, root: &Root, protocols: &[&str]) -> Result<Option<String>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone())?;
    let config = ClientConfig::builder_with_provider(ring::default_provider().into());
    let config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = Raw::connect(host).await?.into_stream();
    let stream = TlsConnector::from(Arc::new(config)).connect("127.0.0.1".try_into()?, stream).await?;
    let (_, connection) = stream.get_ref();
    Ok(connection.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_encrypted_and_the_certificate_is_replaced_while_they_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (first, second, files) = (root()?, root()?, Files::below(folder.path()));
    files.issue(&first)?;
    let log = folder.path().join("log");
    let mut command = Host::command(&folder.path().join("data"), &[], &files.settings()?)?;
    command.stderr(Stdio::from(fs::File::create(&log)?));
    let host = Host::run(command, None).await?.through(trusting(&first)?);
    ensure!(host.url.starts_with("https://"), "{}", host.url);
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    for (protocols, expected) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        assert_eq!(agreed(&host, &first, protocols).await?.as_deref(), expected);
    }

    // Who speaks without it, or trusts somebody else, is not answered.
    let plain = reqwest::get(host.url.replace("https://", "http://")).await;
    ensure!(plain.is_err(), "a plain request was answered");
    ensure!(trusting(&second)?.get(&host.url).send().await.is_err(), "a stranger was trusted");

    let hang_up = async |word: &str| {
        let before = fs::read_to_string(&log)?.len();
        host.signal(Signal::HUP)?;
        let tail = || anyhow::Ok(fs::read_to_string(&log)?.get(before..).unwrap_or_default().to_owned());
        until(&format!("the log says {word:?}"), async || {
            let tail = tail()?;
            Ok(if tail.contains(word) { Ok(()) } else { Err(tail) })
        })
        .await
    };
    // What cannot be read changes nothing.
    let whole = fs::read(&files.certificate)?;
    fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n")?;
    hang_up("the settings were not reloaded").await?;
    success(trusting(&first)?.get(format!("{}/readyz", host.url)).send().await?).await?;
    fs::write(&files.certificate, whole)?;

    let sleeps = host.request(Method::POST, "/v1/call/test/hostile/sleep", &key).json(&json!({"milliseconds": 2_000}));
    let sleeps = tokio::spawn(sleeps.send());
    host.until_running(1).await?;
    files.issue(&second)?;
    hang_up("the settings were reloaded").await?;
    success(trusting(&second)?.get(format!("{}/readyz", host.url)).send().await?).await?;
    ensure!(trusting(&first)?.get(&host.url).send().await.is_err(), "the old certificate is still shown");
    // What ran goes on, on its own connection.
    assert_eq!(sleeps.await??.status(), 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_agrees_on_encryption_is_cut_off() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (root, files) = (root()?, Files::below(folder.path()));
    files.issue(&root)?;
    let settings = [&files.settings()?[..], &[("WARES_HTTP_HEAD_SECONDS_MAX", "1")]].concat();
    let host = Host::start_in(&folder.path().join("data"), None, &[], &settings).await?.through(trusting(&root)?);
    assert_eq!(Raw::connect(&host).await?.rest().await?, "");
    let mut plain = Raw::connect(&host).await?;
    plain.send("GET /healthz HTTP/1.1\r\nhost: shelf\r\n\r\n").await?;
    ensure!(!plain.rest().await?.contains("HTTP/"), "a plain request was answered");
    Ok(())
}

#[tokio::test]
async fn files_that_cannot_be_a_certificate_are_refused_at_the_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let other_folder = tempfile::tempdir()?;
    let (root, files, others) = (root()?, Files::below(folder.path()), Files::below(other_folder.path()));
    files.issue(&root)?;
    others.issue(&root)?;
    let open = folder.path().join("open.key");
    fs::copy(&files.key, &open)?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644))?;
    let none = folder.path().join("none.pem");
    for (certificate, key, word) in [
        (&files.certificate, open, "chmod o-rwx"),
        (&files.certificate, others.key, "is not the key of"),
        (&none, files.key.clone(), "none.pem"),
        (&files.key, files.key.clone(), "holds no certificate"),
    ] {
        let files = Files { certificate: certificate.clone(), key };
        let output = Host::command(&folder.path().join("data"), &[], &files.settings()?)?.output().await?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && told.contains(word), "{word}: {told}");
    }
    Ok(())
}
