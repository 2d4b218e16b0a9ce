//! Parameters that any request may have, whatever its address takes besides.

use crate::Problem;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Takes a parameter out of the query. The last one counts.
pub(crate) fn take(uri: &mut Uri, name: &str) -> Result<Option<String>, Problem> {
    let value = |pair: &str| pair.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).map(str::to_owned);
    let Some(query) = uri.query() else { return Ok(None) };
    let Some(taken) = query.split('&').rev().find_map(value) else { return Ok(None) };
    let rest = query.split('&').filter(|pair| value(pair).is_none()).collect::<Vec<_>>().join("&");
    let path = match rest.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{rest}", uri.path()),
    };
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(path.parse::<PathAndQuery>().map_err(|error| Problem::host(&error))?);
    *uri = Uri::from_parts(parts).map_err(|error| Problem::host(&error))?;
    Ok(Some(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_taken_out_of_the_query() {
        for (given, taken, left) in [
            ("/v1/calls", None, "/v1/calls"),
            ("/v1/calls?format=csv", Some("csv"), "/v1/calls"),
            ("/v1/calls?limit=2&format=csv&cursor=a%20b", Some("csv"), "/v1/calls?limit=2&cursor=a%20b"),
            ("http://a.cn/v1/calls?format=json&format=csv", Some("csv"), "http://a.cn/v1/calls"),
            ("/v1/calls?q=format", None, "/v1/calls?q=format"),
            ("/v1/calls?q=format=csv&formats=x", None, "/v1/calls?q=format=csv&formats=x"),
        ] {
            let mut uri: Uri = given.parse().unwrap();
            assert_eq!(take(&mut uri, "format").unwrap().as_deref(), taken, "{given}");
            assert_eq!(uri.to_string(), left);
        }
    }
}
