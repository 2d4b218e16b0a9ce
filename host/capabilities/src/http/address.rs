//! Which addresses are not for everybody: those inside this machine, this network, or some provider's metadata service.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IANA's special-purpose addresses (RFC 6890 and its registry), multicast, and metadata services outside of these.
const V4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 8), "an unspecified"),
    (v4(10, 0, 0, 0, 8), "a private"),
    (v4(100, 64, 0, 0, 10), "a carrier's private"),
    (v4(127, 0, 0, 0, 8), "a loopback"),
    (v4(168, 63, 129, 16, 32), "a metadata"),
    (v4(169, 254, 0, 0, 16), "a link-local or metadata"),
    (v4(172, 16, 0, 0, 12), "a private"),
    (v4(192, 0, 0, 0, 24), "a protocol's"),
    (v4(192, 0, 2, 0, 24), "a documentation"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay's"),
    (v4(192, 168, 0, 0, 16), "a private"),
    (v4(198, 18, 0, 0, 15), "a benchmark's"),
    (v4(198, 51, 100, 0, 24), "a documentation"),
    (v4(203, 0, 113, 0, 24), "a documentation"),
    (v4(224, 0, 0, 0, 4), "a multicast"),
    (v4(240, 0, 0, 0, 4), "a reserved"),
];

const V6: &[(Ipv6Net, &str)] = &[
    (v6([0, 0, 0, 0], 128), "an unspecified"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "a loopback"),
    (v6([0x64, 0xff9b, 1, 0], 48), "a translated"),
    (v6([0x100, 0, 0, 0], 64), "a discarded"),
    (v6([0x2001, 0, 0, 0], 23), "a protocol's"),
    (v6([0x2001, 0xdb8, 0, 0], 32), "a documentation"),
    (v6([0x3fff, 0, 0, 0], 20), "a documentation"),
    (v6([0x5f00, 0, 0, 0], 16), "a segment's"),
    (v6([0xfc00, 0, 0, 0], 7), "a private or metadata"),
    (v6([0xfe80, 0, 0, 0], 10), "a link-local"),
    (v6([0xfec0, 0, 0, 0], 10), "a site-local"),
    (v6([0xff00, 0, 0, 0], 8), "a multicast"),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c, d]: [u16; 4], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// Whether an address may be dialled: it is everybody's, or one of those granted. If not, says what it is.
pub(crate) fn check(address: IpAddr, granted: &[IpNet]) -> Result<(), &'static str> {
    let special = match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    };
    match special {
        Some(_) if granted.iter().any(|net| net.contains(&address)) => Ok(()),
        Some(kind) => Err(kind),
        None => Ok(()),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    V4.iter().find(|(net, _)| net.contains(&address)).map(|(_, kind)| *kind)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let own = V6.iter().find(|(net, _)| net.contains(&address)).map(|(_, kind)| *kind);
    own.or_else(|| embedded(address).and_then(special_v4))
}

/// The IPv4 address that packets to this one end up at.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        // IPv4-compatible, then what a router or translator takes for IPv4.
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            of(high, low)
        }
        // 6to4.
        [0x2002, high, low, ..] => of(high, low),
        // ISATAP.
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_for_everybody_need_a_grant() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2a00:1450::5efe:127.0.0.1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert!(check(parsed, &[]).is_err(), "{address}");
            assert!(check(parsed, &[IpNet::from(parsed)]).is_ok(), "{address} when it is granted");
            assert!(check(parsed, &["1.1.1.1/32".parse().unwrap()]).is_err(), "{address} when another is granted");
        }
    }

    #[test]
    fn all_others_need_none() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.128.0.1",
            "128.0.0.1",
            "172.32.0.1",
            "192.169.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert_eq!(check(address.parse().unwrap(), &[]), Ok(()), "{address}");
        }
    }
}
