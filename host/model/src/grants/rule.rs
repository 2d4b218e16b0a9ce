//! Rules for outbound HTTP requests: `[METHOD,…] scheme://host[:port]`.

use super::host::{HttpHost, ParseHostError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Bytes of a method's name.
pub const METHOD_BYTES_MAX: usize = 32;
/// Characters of a rule that an error repeats.
const SHOWN_CHARS_MAX: usize = 120;

/// Requests of some methods to some hosts, written `https://api.example.cn`, `GET,HEAD https://*.gov.cn:8443`, or `http://10.1.2.3:*`.
///
/// A host is a name, an address, or `*.` and a domain, which stands for all names below that domain. A port that is left out
/// is the scheme's own; `*` is any. Without methods any method is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpRule {
    methods: Vec<String>,
    scheme: Scheme,
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// A name in lower case, or an address; IPv6 in brackets.
    Exact(String),
    /// All names below this domain.
    Below(String),
}

/// A request, as rules see it.
#[derive(Debug, Clone, Copy)]
pub struct HttpTarget<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Name or address in lower case, IPv6 in brackets.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Method in upper case.
    pub method: &'a str,
}

/// A text that is no rule.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "{rule:?} is no rule for HTTP requests: {reason}; write [METHOD,…] scheme://host[:port], as GET https://*.example.cn"
)]
pub struct ParseHttpRuleError {
    rule: String,
    reason: &'static str,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Host {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(own), Self::Exact(other)) => own == other,
            (Self::Exact(_), Self::Below(_)) => false,
            (Self::Below(domain), Self::Exact(other)) => is_below(other, domain),
            (Self::Below(domain), Self::Below(other)) => other == domain || is_below(other, domain),
        }
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

impl HttpRule {
    /// Whether a request is one of those meant.
    pub fn allows(&self, target: &HttpTarget<'_>) -> bool {
        let host = match &self.host {
            Host::Exact(host) => host == target.host,
            Host::Below(domain) => is_below(target.host, domain),
        };
        host && self.scheme.as_str() == target.scheme
            && self.port.is_none_or(|port| port == target.port)
            && (self.methods.is_empty() || self.methods.iter().any(|method| method == target.method))
    }

    /// Whether every request that `other` means is meant by this one too.
    pub fn covers(&self, other: &Self) -> bool {
        let methods = self.methods.is_empty()
            || (!other.methods.is_empty() && other.methods.iter().all(|method| self.methods.contains(method)));
        methods
            && self.scheme == other.scheme
            && self.host.covers(&other.host)
            && (self.port.is_none() || self.port == other.port)
    }

    /// Whether it means every request that `other` means, and more.
    pub(super) fn is_wider_than(&self, other: &Self) -> bool {
        self.covers(other) && !other.covers(self)
    }
}

impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.methods.is_empty() {
            write!(f, "{} ", self.methods.join(","))?;
        }
        let (below, host) = match &self.host {
            Host::Exact(host) => ("", host),
            Host::Below(domain) => ("*.", domain),
        };
        write!(f, "{}://{below}{host}", self.scheme.as_str())?;
        match self.port {
            None => f.write_str(":*"),
            Some(port) if port == self.scheme.port() => Ok(()),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

impl FromStr for HttpRule {
    type Err = ParseHttpRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| ParseHttpRuleError { rule: text.chars().take(SHOWN_CHARS_MAX).collect(), reason })
    }
}

fn parse(text: &str) -> Result<HttpRule, &'static str> {
    let (methods, url) = match text.trim().rsplit_once(' ') {
        Some((methods, url)) => (methods.split(',').map(method).collect::<Result<_, _>>()?, url),
        None => (Vec::new(), text.trim()),
    };
    let (scheme, authority) = url.split_once("://").ok_or("it has no scheme")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err("the scheme is neither http nor https"),
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    // A colon inside brackets belongs to an IPv6 address.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, parse_port(port)?),
        _ => (authority, Some(scheme.port())),
    };
    Ok(HttpRule { methods, scheme, host: parse_host(host)?, port })
}

/// Whether a text is a method that a rule may name and a request may have: letters in upper case and `-`.
pub fn is_method(text: &str) -> bool {
    (1..=METHOD_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

fn method(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if is_method(text) { Ok(text.to_owned()) } else { Err("methods are words in upper case with commas between them") }
}

fn parse_port(text: &str) -> Result<Option<u16>, &'static str> {
    match text {
        "*" => Ok(None),
        _ => text.parse().ok().filter(|port| *port > 0).map(Some).ok_or("the port is not from 1 to 65535, nor *"),
    }
}

fn parse_host(text: &str) -> Result<Host, &'static str> {
    let parse = |host: &str| host.parse::<HttpHost>().map_err(|ParseHostError(reason)| reason);
    match text.strip_prefix("*.") {
        None => Ok(Host::Exact(parse(text)?.text)),
        Some(domain) => match parse(domain)? {
            HttpHost { text, address: None } => Ok(Host::Below(text)),
            _ => Err("*. stands before the name of a host, not before an IPv4 or IPv6 address"),
        },
    }
}

impl TryFrom<String> for HttpRule {
    type Error = ParseHttpRuleError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HttpRule> for String {
    fn from(rule: HttpRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> HttpRule {
        text.parse().unwrap()
    }

    #[test]
    fn rules_print_as_they_are_read() {
        for text in [
            "https://api.example.cn",
            "GET,HEAD https://*.gov.cn:8443",
            "http://10.1.2.3:*",
            "http://[::1]:8080",
            "POST http://localhost:3000",
        ] {
            assert_eq!(rule(text).to_string(), text);
        }
        assert_eq!(rule("https://API.Example.cn.:443/").to_string(), "https://api.example.cn");
        assert_eq!(rule("http://[::ffff:10.0.0.1]:81").to_string(), "http://10.0.0.1:81");
    }

    #[test]
    fn what_is_no_rule_is_refused_with_a_reason() {
        for (text, reason) in [
            ("api.example.cn", "scheme"),
            ("ftp://a.cn", "neither http nor https"),
            ("https://", "host"),
            ("https://*", "host"),
            ("https://a.*.cn", "host"),
            ("https://a.cn/path", "host"),
            ("https://user@a.cn", "host"),
            ("https://2130706433", "IPv4"),
            ("https://127.1", "IPv4"),
            ("https://*.0.0.1", "IPv4"),
            ("https://*.127.0.0.1", "IPv4"),
            ("https://0x7f.0.0.0x1", "IPv4"),
            ("https://[::1", "ends with ]"),
            ("https://a.cn:0", "port"),
            ("get https://a.cn", "upper case"),
            ("A'&reboot&' https://a.cn", "upper case"),
        ] {
            let error = text.parse::<HttpRule>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn rules_allow_what_they_name() {
        let target = |url: &'static str, method| {
            let (scheme, rest) = url.split_once("://").unwrap();
            let (host, port) = rest.rsplit_once(':').unwrap();
            HttpTarget { scheme, host, port: port.parse().unwrap(), method }
        };
        for (text, url, method, allowed) in [
            ("https://a.cn", "https://a.cn:443", "GET", true),
            ("https://a.cn", "http://a.cn:443", "GET", false),
            ("https://a.cn", "https://a.cn:444", "GET", false),
            ("https://a.cn", "https://b.a.cn:443", "GET", false),
            ("https://*.a.cn", "https://b.a.cn:443", "GET", true),
            ("https://*.a.cn", "https://a.cn:443", "GET", false),
            ("https://*.a.cn", "https://xa.cn:443", "GET", false),
            ("https://*.a.cn", "https://.a.cn:443", "GET", false),
            ("http://a.cn:*", "http://a.cn:81", "GET", true),
            ("GET http://a.cn", "http://a.cn:80", "POST", false),
        ] {
            assert_eq!(rule(text).allows(&target(url, method)), allowed, "{text} {method} {url}");
        }
    }

    #[test]
    fn a_rule_covers_what_is_narrower() {
        for (wide, narrow, covers) in [
            ("https://*.a.cn", "https://b.a.cn", true),
            ("https://*.a.cn", "https://*.b.a.cn", true),
            ("https://*.a.cn", "https://*.a.cn", true),
            ("https://b.a.cn", "https://*.a.cn", false),
            ("https://a.cn:*", "https://a.cn", true),
            ("https://a.cn", "https://a.cn:*", false),
            ("https://a.cn", "GET https://a.cn", true),
            ("GET https://a.cn", "https://a.cn", false),
            ("GET,POST https://a.cn", "POST https://a.cn", true),
        ] {
            assert_eq!(rule(wide).covers(&rule(narrow)), covers, "{wide} / {narrow}");
        }
    }
}
