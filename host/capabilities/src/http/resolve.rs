//! From a host's name to addresses that may be dialled.

use super::address;
use super::failure::Failure;
use super::target::Target;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use wares_model::grants::HttpGrant;
use wasmtime_wasi_http::Error;

/// Answers that are remembered.
const CACHED_MAX: u64 = 4_096;
/// Longest that one is.
const CACHED_AGE_MAX: Duration = Duration::from_secs(300);

/// Looks names up.
pub(crate) struct Resolver(Result<TokioResolver, String>);

impl Resolver {
    /// One that asks this server, or those of the system.
    pub(crate) fn new(server: Option<SocketAddr>) -> Self {
        let resolver = build(server).map_err(|error| error.to_string());
        if let Err(error) = &resolver {
            tracing::warn!(%error, "components cannot send requests to names: the system's DNS settings cannot be read; set outbound.dns");
        }
        Self(resolver)
    }

    /// The addresses of a target that may be dialled, each of them checked.
    pub(crate) async fn addresses(&self, target: &Target, grant: &HttpGrant) -> Result<Vec<IpAddr>, Failure> {
        let all = match target.address {
            Some(address) => vec![address],
            None => self.look_up(&target.host).await?,
        };
        let mut prohibited = None;
        let mut allowed = Vec::new();
        for address in all {
            match address::check(address, &grant.addresses) {
                Ok(()) => allowed.push(address),
                Err(kind) => prohibited = Some((address, kind)),
            }
        }
        match (allowed.is_empty(), prohibited) {
            (false, _) => Ok(allowed),
            (true, None) => Err(Failure::dns(None, format!("{} has no address", target.host))),
            (true, Some((address, kind))) => {
                let reason = format!(
                    "{} is at {address}, {kind} address, which is not granted: it belongs into `addresses` of the grant \
                     {:?}, if components should reach it",
                    target.host,
                    grant.allow.to_string()
                );
                Err(Failure::refused(Error::DestinationIpProhibited, reason))
            }
        }
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let resolver = self.0.as_ref().map_err(|error| Failure::unable(format!("this host has no DNS: {error}")))?;
        // The dot at its end keeps the system's search domains out.
        let found = resolver.lookup_ip(format!("{name}.")).await.map_err(|error| failed(name, &error))?;
        Ok(found.iter().map(|address| address.to_canonical()).collect())
    }
}

fn build(server: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let mut builder = match server {
        None => TokioResolver::builder_tokio()?,
        Some(server) => {
            let at_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port).to_vec();
            let server = NameServerConfig::new(server.ip(), true, connections);
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            builder
        }
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = CACHED_MAX;
    options.positive_max_ttl = Some(CACHED_AGE_MAX);
    options.negative_max_ttl = Some(CACHED_AGE_MAX);
    builder.build()
}

fn failed(name: &str, error: &NetError) -> Failure {
    let code = match error {
        NetError::Timeout => {
            return Failure::timeout(Error::DnsTimeout, format!("the DNS server did not answer for {name}"));
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) => Some(none.response_code),
        NetError::Dns(DnsError::ResponseCode(code)) => Some(*code),
        _ => None,
    };
    let said = code.map_or_else(|| error.to_string(), |code| code.to_string());
    Failure::dns(code.map(|code| code.to_string()), format!("{name} cannot be looked up: {said}"))
}
