//! What every request must be like before anything in it is looked at: its method, its host, its scheme (RFC 9112, section 3).

use crate::Problem;
use axum::http::uri::Scheme;
use axum::http::{Method, Request, StatusCode, Version, header};
use wares_model::ProblemCode;

/// Why a request is not one that any address answers. What comes behind it on a connection of HTTP/1 may be a part of it, so
/// that the connection ends.
pub(crate) fn refusal<B>(request: &Request<B>) -> Option<Problem> {
    let problem = connect(request.method()).or_else(|| host(request)).or_else(|| scheme(request))?;
    Some(match request.version() <= Version::HTTP_11 {
        true => problem.with_header(header::CONNECTION, "close"),
        false => problem,
    })
}

/// A host is no proxy: a success would be taken for an open tunnel.
fn connect(method: &Method) -> Option<Problem> {
    let detail = "this host is no proxy: it opens no tunnels";
    let problem = || Problem::new(ProblemCode::Unsupported, detail).with_status(StatusCode::NOT_IMPLEMENTED);
    (*method == Method::CONNECT).then(problem)
}

/// Who is between could take another line than the host does.
fn host<B>(request: &Request<B>) -> Option<Problem> {
    let mut lines = request.headers().get_all(header::HOST).iter();
    match (lines.next(), lines.next()) {
        (_, Some(_)) => Some(Problem::bad_request("the request has more than one Host line")),
        (None, None) if request.version() == Version::HTTP_11 => {
            Some(Problem::bad_request("the request has no Host line"))
        }
        _ => None,
    }
}

fn scheme<B>(request: &Request<B>) -> Option<Problem> {
    let scheme = request.uri().scheme()?;
    let is_known = *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
    let problem =
        || Problem::bad_request(format!("the address begins with {scheme}: this host answers http and https"));
    (!is_known).then(problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;

    /// Method, address, version, hosts, and the status of the refusal.
    type Case<'a> = (Method, &'a str, Version, &'a [&'a str], Option<u16>);

    #[test]
    fn requests_that_are_none_are_refused() {
        let cases: [Case; 11] = [
            (Method::GET, "/", Version::HTTP_11, &["shelf"], None),
            (Method::GET, "/", Version::HTTP_11, &["shelf", "shelf"], Some(400)),
            (Method::GET, "/", Version::HTTP_2, &["shelf", "other"], Some(400)),
            (Method::GET, "/", Version::HTTP_11, &[], Some(400)),
            (Method::GET, "/", Version::HTTP_10, &[], None),
            (Method::GET, "http://shelf/a", Version::HTTP_2, &[], None),
            (Method::GET, "https://shelf/a", Version::HTTP_11, &["shelf"], None),
            (Method::GET, "ftp://shelf/a", Version::HTTP_11, &["shelf"], Some(400)),
            (Method::GET, "gopher://shelf/a", Version::HTTP_2, &[], Some(400)),
            (Method::CONNECT, "shelf:80", Version::HTTP_2, &[], Some(501)),
            (Method::CONNECT, "/serve/a/b", Version::HTTP_11, &["shelf"], Some(501)),
        ];
        for (method, uri, version, hosts, status) in cases {
            let mut request = Request::builder().method(&method).uri(uri).version(version);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            let refused = refusal(&request.body(()).unwrap()).map(|problem| problem.into_response().status().as_u16());
            assert_eq!(refused, status, "{method} {uri} {version:?} {hosts:?}");
        }
    }
}
