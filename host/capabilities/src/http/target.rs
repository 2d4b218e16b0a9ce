//! Where a request goes: read from its URI, in the one form that rules are written in.

use super::failure::Failure;
use http::{Method, Uri};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wares_model::grants::HttpTarget;
use wasmtime_wasi_http::Error;

/// Bytes of a host's name (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// Bytes of one label of it.
const LABEL_BYTES_MAX: usize = 63;
/// Characters of an authority that a reason repeats.
const SHOWN_CHARS_MAX: usize = 120;

/// A method, a scheme, a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) method: Method,
    pub(crate) is_tls: bool,
    /// A name in lower case without a dot at its end, or an address; IPv6 in brackets.
    pub(crate) host: String,
    /// The host, if it is an address.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
}

impl Target {
    /// What a request with this method and URI addresses.
    pub(crate) fn of(method: &Method, uri: &Uri) -> Result<Self, Failure> {
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(Failure::refused(Error::HttpProtocolError, "the scheme is neither http nor https")),
        };
        // A tunnel would go where nobody has looked; a trace would show the guest what the host added.
        if ["CONNECT", "TRACE"].iter().any(|refused| method.as_str().eq_ignore_ascii_case(refused)) {
            return Err(Failure::refused(Error::HttpRequestMethodInvalid, "no component may send CONNECT or TRACE"));
        }
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let invalid = |reason: &str| {
            let shown: String = authority.chars().take(SHOWN_CHARS_MAX).collect();
            Failure::refused(Error::HttpRequestUriInvalid, format!("{shown:?} addresses nobody: {reason}"))
        };
        let (host, port) = split(authority).map_err(invalid)?;
        let port = match port {
            None if is_tls => 443,
            None => 80,
            Some(port) => parse_port(port).map_err(invalid)?,
        };
        let (host, address) = parse_host(host).map_err(invalid)?;
        Ok(Self { method: method.clone(), is_tls, host, address, port })
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// Host and port, the latter if it is not the scheme's own: the header `Host`.
    pub(crate) fn authority(&self) -> String {
        let usual = if self.is_tls { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// As rules see it.
    pub(crate) fn as_rules_see_it(&self) -> HttpTarget<'_> {
        HttpTarget { scheme: self.scheme(), host: &self.host, port: self.port, method: self.method.as_str() }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}://{}", self.method, self.scheme(), self.authority())
    }
}

/// Host and port of an authority, as they are written.
fn split(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    if authority.contains('@') {
        return Err("it names a user; credentials are the operator's to give");
    }
    let end = if authority.starts_with('[') { authority.find(']').map(|at| at + 1) } else { authority.find(':') };
    let (host, rest) = authority.split_at(end.unwrap_or(authority.len()));
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err("something stands between host and port"),
    }
}

fn parse_port(port: &str) -> Result<u16, &'static str> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { port.parse().ok() } else { None };
    number.filter(|port| *port > 0).ok_or("the port is not from 1 to 65535")
}

fn parse_host(host: &str) -> Result<(String, Option<IpAddr>), &'static str> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        // One address has one form: an IPv4 address inside IPv6 is that IPv4 address.
        return Ok(match address.ok_or("the IPv6 address is malformed, or has a zone")?.to_canonical() {
            IpAddr::V4(address) => (address.to_string(), Some(address.into())),
            IpAddr::V6(address) => (format!("[{address}]"), Some(address.into())),
        });
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
    };
    if host.len() > HOST_BYTES_MAX || !host.split('.').all(label) {
        return Err("the host is no name of letters, digits, - and _ (write other letters as xn--)");
    }
    if !ends_in_number(&host) {
        return Ok((host, None));
    }
    // Others read such hosts as addresses too, but as which differs: 010, 0x7f, 127.1, 2130706433.
    let address: Ipv4Addr =
        host.parse().map_err(|_| "an IPv4 address is four decimal numbers with dots between them")?;
    Ok((host, Some(address.into())))
}

/// Whether a host is taken for an IPv4 address (WHATWG URL, "ends in a number").
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex || last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Result<Target, Failure> {
        Target::of(&Method::GET, &uri.parse().unwrap())
    }

    #[test]
    fn a_host_has_one_form() {
        for (uri, shown) in [
            ("http://a.cn", "GET http://a.cn"),
            ("http://A.CN.:80/x", "GET http://a.cn"),
            ("https://a.cn:80", "GET https://a.cn:80"),
            ("https://a.cn:0443", "GET https://a.cn"),
            ("http://127.0.0.1:8080", "GET http://127.0.0.1:8080"),
            ("http://127.0.0.1.", "GET http://127.0.0.1"),
            ("http://[::1]", "GET http://[::1]"),
            ("http://[0:0::1]:81", "GET http://[::1]:81"),
            ("http://[::ffff:127.0.0.1]", "GET http://127.0.0.1"),
            ("http://[::ffff:7f00:1]:81", "GET http://127.0.0.1:81"),
            ("http://xn--fiqs8s", "GET http://xn--fiqs8s"),
        ] {
            assert_eq!(target(uri).unwrap().to_string(), shown, "{uri}");
        }
    }

    #[test]
    fn what_is_read_in_more_ways_than_one_is_refused() {
        for uri in [
            "http://2130706433",
            "http://0x7f000001",
            "http://0x7f.0.0.1",
            "http://0x",
            "http://0177.0.0.1",
            "http://127.1",
            "http://127.0.0.1..",
            "http://1.2.3.4.5",
            "http://256.0.0.1",
            "http://a.1",
            "http://user@a.cn",
            "http://a.cn@127.0.0.1",
            "http://user:word@a.cn",
            "http://a.cn:",
            "http://a.cn:0",
            "http://a.cn:65616",
            "http://a..cn",
            "http://.a.cn",
            "http://-a.cn",
            "http://a%2ecn",
            "http://%31%32%37.0.0.1",
            "http://[::1%25lo]",
            "http://[::127.0.0.1",
            "ftp://a.cn",
        ] {
            let Ok(parsed) = uri.parse() else { continue };
            assert!(Target::of(&Method::GET, &parsed).is_err(), "{uri}");
        }
        for method in ["CONNECT", "TRACE", "trace"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert!(Target::of(&method, &"http://a.cn".parse().unwrap()).is_err(), "{method}");
        }
    }
}
