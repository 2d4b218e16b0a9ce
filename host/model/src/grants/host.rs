//! Hosts of HTTP requests and of rules for them, each in one form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a host's name (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// Bytes of one label of it.
const LABEL_BYTES_MAX: usize = 63;

/// A host, in the form in which rules and requests are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHost {
    /// A name in lower case without a dot at its end, or an address; IPv6 in brackets.
    pub text: String,
    /// The host, if it is an address.
    pub address: Option<IpAddr>,
}

/// Why a text is no host.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ParseHostError(pub &'static str);

impl std::str::FromStr for HttpHost {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(address) = text.strip_prefix('[') {
            let address = address.strip_suffix(']').ok_or(ParseHostError("an IPv6 address ends with ]"))?;
            return ipv6(address);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.len() > HOST_BYTES_MAX || !name.split('.').all(is_label) {
            return Err(ParseHostError(
                "the host is no name of letters, digits, - and _ (write other letters as xn--)",
            ));
        }
        if !ends_in_number(&name) {
            return Ok(Self { text: name, address: None });
        }
        // Others read such hosts as addresses too, but as which differs: 010, 0x7f, 127.1, 2130706433.
        let address = name.parse::<Ipv4Addr>();
        let address =
            address.map_err(|_| ParseHostError("an IPv4 address is four decimal numbers with dots between them"))?;
        Ok(Self { text: name, address: Some(address.into()) })
    }
}

/// One address has one form: an IPv4 address inside IPv6 is that IPv4 address.
fn ipv6(text: &str) -> Result<HttpHost, ParseHostError> {
    let address = text.parse::<Ipv6Addr>();
    let address = address.map_err(|_| ParseHostError("the IPv6 address is malformed, or has a zone"))?;
    let address = address.to_canonical();
    let text = if address.is_ipv4() { address.to_string() } else { format!("[{address}]") };
    Ok(HttpHost { text, address: Some(address) })
}

fn is_label(text: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        && !text.starts_with('-')
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

    #[test]
    fn a_host_has_one_form() {
        for (text, form, is_address) in [
            ("A.cn.", "a.cn", false),
            ("xn--fiqs8s", "xn--fiqs8s", false),
            ("0xg.cn", "0xg.cn", false),
            ("127.0.0.1.", "127.0.0.1", true),
            ("[0:0::1]", "[::1]", true),
            ("[::ffff:10.0.0.1]", "10.0.0.1", true),
        ] {
            let host: HttpHost = text.parse().unwrap();
            assert_eq!((host.text.as_str(), host.address.is_some()), (form, is_address), "{text}");
        }
        for text in ["", ".", "a..cn", "-a.cn", "a.1", "a.0x7f", "0x", "127.1", "[::1", "[::1%lo]", "a:1", "*.cn"] {
            assert!(text.parse::<HttpHost>().is_err(), "{text}");
        }
        assert!("a".repeat(LABEL_BYTES_MAX + 1).parse::<HttpHost>().is_err());
    }
}
