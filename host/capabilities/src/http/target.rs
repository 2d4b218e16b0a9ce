//! Where a request goes: read from its URI, in the one form that rules are written in.

use super::failure::Failure;
use http::{Method, Uri};
use std::net::IpAddr;
use wares_model::grants::{HttpHost, HttpTarget, ParseHostError, is_method};
use wasmtime_wasi_http::Error;

/// Characters of an authority that a reason repeats.
const SHOWN_CHARS_MAX: usize = 120;

/// A method, a scheme, a host and a port. Printed it can stand in a command line: nothing in it means anything to a shell.
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
        if !is_method(method.as_str()) {
            let reason = "a method is a short word of letters in upper case and -";
            return Err(Failure::refused(Error::HttpRequestMethodInvalid, reason));
        }
        // A tunnel would go where nobody has looked; a trace would show the guest what the host added.
        if [Method::CONNECT, Method::TRACE].contains(method) {
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
        let HttpHost { text: host, address } = host.parse().map_err(|ParseHostError(reason)| invalid(reason))?;
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
    }

    #[test]
    fn methods_are_words_that_a_rule_may_name() {
        let of = |method: &str| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            Target::of(&method, &"http://a.cn".parse().unwrap())
        };
        for method in ["GET", "PROPFIND", "M-SEARCH", &"A".repeat(32)] {
            assert_eq!(of(method).unwrap().to_string(), format!("{method} http://a.cn"));
        }
        for method in ["CONNECT", "TRACE"] {
            assert!(matches!(of(method).unwrap_err().code, Error::HttpRequestMethodInvalid), "{method}");
        }
        for method in ["trace", "get", "A'&reboot&'", "A`B`", "A$B", &"A".repeat(33)] {
            let failure = of(method).unwrap_err();
            assert!(matches!(failure.code, Error::HttpRequestMethodInvalid), "{method}: {failure:?}");
            assert!(!failure.reason.contains(method), "{method}");
        }
    }
}
