//! A connection to an address that was checked.

use super::failure::Failure;
use super::outbound::Outbound;
use super::target::Target;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::Error;

/// Addresses of one name that are tried.
const TRIED_MAX: usize = 8;

/// Bytes both ways, over TLS or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Outbound {
    /// Connects to the first of these addresses that answers.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        addresses: &[IpAddr],
        deadline: Instant,
    ) -> Result<Box<dyn Stream>, Failure> {
        let socket = dial(addresses, target.port, deadline).await?;
        if !target.is_tls {
            return Ok(Box::new(socket));
        }
        let name = match target.address {
            Some(address) => ServerName::from(address),
            None => ServerName::try_from(target.host.clone())
                .map_err(|_| Failure::refused(Error::HttpRequestUriInvalid, "the host is no name for TLS"))?,
        };
        let secured = self.tls()?.connect(name, socket).await;
        secured.map(|stream| Box::new(stream) as Box<dyn Stream>).map_err(|error| Failure::of_tls(&error))
    }
}

async fn dial(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<TcpStream, Failure> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let tried = addresses.len().min(TRIED_MAX);
    for (at, address) in addresses.iter().take(TRIED_MAX).enumerate() {
        let now = Instant::now();
        // Each gets an equal part of the time that is left.
        let part = deadline.saturating_duration_since(now) / u32::try_from(tried - at).unwrap_or(1);
        match timeout_at(now + part, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(socket)) => {
                // Without it small requests may wait; with an error they do.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(match last.kind() {
        io::ErrorKind::TimedOut => Failure::timeout(Error::ConnectionTimeout, "nobody answered in time"),
        _ => Failure::of_connect(&last),
    })
}
