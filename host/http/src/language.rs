//! Answers in the language that the client asks for: problems, and what components say of themselves.

use crate::negotiate::language;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use wares_model::{Language, ProblemCode};

/// Bytes of an answer that is put into a language; a larger one stays as it is.
const BYTES_MAX: u64 = 16 << 20;
/// What documentation in Chinese has in it.
const MARK: &[u8] = b"zh:";
/// Where documentation stands in JSON.
const DOCUMENTATION: [&str; 2] = ["description", "docs"];

/// A problem in the language that its request asks for, if it is not in that already.
pub(crate) async fn of_problem(asked: Language, answer: Response) -> Response {
    let is_problem = |kind: &HeaderValue| kind == "application/problem+json";
    if asked == Language::English || !answer.headers().get(header::CONTENT_TYPE).is_some_and(is_problem) {
        return answer;
    }
    rewritten(answer, asked, |_| true, |document| say(document, asked)).await
}

/// Which language a request asks for.
pub(crate) fn asked(headers: &HeaderMap) -> Language {
    match headers.contains_key(header::ACCEPT_LANGUAGE) {
        true => language(headers),
        false => Language::English,
    }
}

/// Puts what a version says of its functions and types into the language that is asked for.
pub(crate) async fn documentation(request: Request, next: Next) -> Response {
    if !has_documentation(request.uri().path()) {
        return next.run(request).await;
    }
    let asked = asked(request.headers());
    let answer = next.run(request).await;
    let is_marked = |body: &[u8]| body.windows(MARK.len()).any(|window| window == MARK);
    rewritten(answer, asked, is_marked, |document| document_in(document, asked)).await
}

/// Whether an address of the API answers with documentation: one of a version, or of its OpenAPI document.
fn has_documentation(path: &str) -> bool {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    matches!(parts.as_slice(), ["components", _, _, "versions", _] | ["components", _, _, "openapi.json"])
}

/// The answer with another document in it, and the language that it is in.
async fn rewritten(
    answer: Response,
    language: Language,
    is_wanted: impl FnOnce(&[u8]) -> bool,
    edit: impl FnOnce(&mut Value),
) -> Response {
    if answer.body().size_hint().upper().is_none_or(|size| size > BYTES_MAX) {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let Ok(body) = Limited::new(body, BYTES_MAX as usize).collect().await.map(|body| body.to_bytes()) else {
        return Response::from_parts(parts, Body::empty());
    };
    parts.headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    let mut document = match is_wanted(&body).then(|| serde_json::from_slice::<Value>(&body)) {
        Some(Ok(document)) => document,
        _ => return Response::from_parts(parts, body.into()),
    };
    edit(&mut document);
    parts.headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(serde_json::to_vec(&document).unwrap_or_default()))
}

/// The title of a problem, and what it says, as far as these are the host's words.
fn say(problem: &mut Value, language: Language) {
    let code = problem.get("type").and_then(Value::as_str).and_then(|kind| kind.rsplit('/').next());
    if let Some(code) = code.and_then(|code| code.parse::<ProblemCode>().ok())
        && let Some(title) = problem.get_mut("title")
    {
        *title = language.title(code).into();
    }
    if let Some(detail) = problem.get_mut("detail")
        && let Some(said) = detail.as_str().map(|text| language.say(text).into_owned())
    {
        *detail = said.into();
    }
}

/// Documentation, wherever it stands in a document; a summary is its first line.
fn document_in(value: &mut Value, language: Language) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| document_in(item, language)),
        Value::Object(object) => {
            let mut first = None;
            for name in DOCUMENTATION {
                let Some(Value::String(text)) = object.get_mut(name) else { continue };
                let shown = language.of_documentation(text).into_owned();
                if shown != *text {
                    first = shown.lines().next().map(str::to_owned);
                    *text = shown;
                }
            }
            if let (Some(first), Some(Value::String(summary))) = (first, object.get_mut("summary")) {
                *summary = first;
            }
            object.values_mut().for_each(|value| document_in(value, language));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documentation_is_put_into_a_language_wherever_it_stands() {
        let both = "Rates it.\n\nzh: 评估。";
        let mut document = json!({
            "summary": "Rates it.", "description": "Rates it.\n\nzh: 评估。\n\n`func()`",
            "functions": [{"docs": both, "name": "zh:"}], "properties": {"description": {"description": both}},
        });
        document_in(&mut document, Language::Chinese);
        let expected = json!({
            "summary": "评估。", "description": "评估。\n\n`func()`",
            "functions": [{"docs": "评估。", "name": "zh:"}], "properties": {"description": {"description": "评估。"}},
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn a_problem_says_what_it_can_in_the_language() {
        let mut problem = json!({"type": "/problems/not-found", "title": "Not found", "detail": "there is no job 7"});
        say(&mut problem, Language::Chinese);
        assert_eq!(problem, json!({"type": "/problems/not-found", "title": "未找到", "detail": "没有作业 7"}));
        let mut unknown = json!({"type": "about:blank", "title": "x"});
        say(&mut unknown, Language::Chinese);
        assert_eq!(unknown, json!({"type": "about:blank", "title": "x"}));
    }

    #[test]
    fn addresses_with_documentation_are_known() {
        for path in ["/components/a/b/versions/1.0.0", "/components/a/b/openapi.json"] {
            assert!(has_documentation(path), "{path}");
        }
        for path in ["/components/a/b/versions/1.0.0/wasm", "/components/a/b/versions", "/calls", "/"] {
            assert!(!has_documentation(path), "{path}");
        }
    }
}
