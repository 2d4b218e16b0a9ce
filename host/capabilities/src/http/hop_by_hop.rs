//! Fields that are between two neighbours on the way of a message, and never passed on (RFC 9110, 7.6.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Those that need not be named by `Connection`; and everything whose name begins with `proxy-`.
const ALWAYS: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];
/// They say how a message is framed, to whom it goes or who sends it, and mean that only in its head (RFC 9110, 6.5.1).
const NOT_IN_TRAILERS: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::SET_COOKIE,
    header::TRAILER,
];
/// The one extension that passes: who sends it takes trailers.
const TRAILERS: &str = "trailers";

/// Takes them out of a message's head.
pub fn remove(headers: &mut HeaderMap) {
    let takes_trailers = lists(headers, &header::TE).any(|value| value.eq_ignore_ascii_case(TRAILERS));
    let named: Vec<_> =
        lists(headers, &header::CONNECTION).filter_map(|name| name.parse::<HeaderName>().ok()).collect();
    for name in named.iter().chain(&ALWAYS) {
        headers.remove(name);
    }
    let proxy: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("proxy-")).cloned().collect();
    for name in proxy {
        headers.remove(name);
    }
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static(TRAILERS));
    }
}

/// Takes them out of trailers, and what trailers cannot say.
pub fn remove_from_trailers(trailers: &mut HeaderMap) {
    remove(trailers);
    for name in NOT_IN_TRAILERS.iter().chain([&header::TE]) {
        trailers.remove(name);
    }
}

/// The members of a field that is a list, over all its lines.
fn lists<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields =
            fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        fields.collect()
    }

    #[test]
    fn what_is_for_the_neighbour_stays_here() {
        let mut headers = map(&[
            ("connection", "close, x-mine"),
            ("connection", "X-Other"),
            ("x-mine", "1"),
            ("x-other", "2"),
            ("x-kept", "3"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip;q=0.5, trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "secret"),
            ("proxy-connection", "close"),
            ("trailer", "x-sum"),
        ]);
        remove(&mut headers);
        assert_eq!(headers, map(&[("x-kept", "3"), ("trailer", "x-sum"), ("te", "trailers")]));

        let mut gzip = map(&[("te", "gzip")]);
        remove(&mut gzip);
        assert!(gzip.is_empty());
    }

    #[test]
    fn trailers_cannot_frame_or_address_a_message() {
        let mut trailers =
            map(&[("x-sum", "1"), ("content-length", "5"), ("transfer-encoding", "chunked"), ("host", "other")]);
        remove_from_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("x-sum", "1")]));
    }
}
