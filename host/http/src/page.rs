//! Lists in pages.

use crate::Problem;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::str::FromStr;
use wares_model::{CallId, Timestamp};

/// Items on a page when the request does not say.
const LIMIT_DEFAULT: usize = 100;
/// Items on a page at most.
const LIMIT_MAX: usize = 1_000;

/// What a request says of the page it wants.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    #[serde(default, deserialize_with = "limit_from_text")]
    limit: Option<usize>,
    cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    /// The cursor of the next page, if there is one.
    pub(crate) next: Option<String>,
}

impl PageQuery {
    /// The page of `limit` items after `cursor`.
    pub(crate) fn new(limit: Option<usize>, cursor: Option<String>) -> Self {
        Self { limit, cursor }
    }

    /// Items on the page.
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
    }

    /// Where the last page ended.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The revision that the last page ended with, in a list of revisions from the newest on; with the number of items to read.
    pub(crate) fn before_revision(&self) -> Result<(Option<u64>, u32), Problem> {
        self.before()
    }

    /// The time that the last page ended with, in a list from the newest on; with the number of items to read.
    pub(crate) fn before_time(&self) -> Result<(Option<Timestamp>, u32), Problem> {
        let (before, limit) = self.before()?;
        Ok((before.map(Timestamp::from_micros), limit))
    }

    /// The call that the last page ended with, in a list from the newest on; with the number of items to read.
    pub(crate) fn before_call(&self) -> Result<(Option<CallId>, u32), Problem> {
        self.before()
    }

    fn before<T: FromStr>(&self) -> Result<(Option<T>, u32), Problem> {
        let before = self.cursor().map(str::parse).transpose();
        let before = before.map_err(|_| Problem::bad_request("cursor: it is not one that this list gave"))?;
        Ok((before, u32::try_from(self.limit()).unwrap_or(u32::MAX)))
    }
}

/// Reads a limit, so that a bad one is refused by its name.
pub(crate) fn limit_from_text<'de, D: Deserializer<'de>>(source: D) -> Result<Option<usize>, D::Error> {
    let text = String::deserialize(source)?;
    let error = || D::Error::custom(format!("limit {text:?} is not a number of 1 to {LIMIT_MAX}"));
    text.parse().map(Some).map_err(|_| error())
}

impl<T> Page<T> {
    /// The page after the cursor of `sorted`, a list in the order of `key`; `shape` makes the items that are shown.
    pub(crate) fn of<S>(
        sorted: impl IntoIterator<Item = S>,
        query: &PageQuery,
        key: impl Fn(&S) -> String,
        shape: impl FnMut(S) -> T,
    ) -> Self {
        // The cursor names the last item shown; if it is gone meanwhile, the list starts again from its beginning.
        let mut rest = sorted.into_iter().peekable();
        let mut items: Vec<S> = match query.cursor() {
            None => rest.by_ref().take(query.limit()).collect(),
            Some(cursor) => rest.by_ref().skip_while(|item| key(item) != cursor).skip(1).take(query.limit()).collect(),
        };
        let next = rest.peek().and_then(|_| items.last()).map(&key);
        Self { items: items.drain(..).map(shape).collect(), next }
    }

    /// The page of what was read for [`PageQuery::before_revision`]. Revisions count from 1.
    pub(crate) fn of_revisions(items: Vec<T>, query: &PageQuery, revision: impl Fn(&T) -> u64) -> Self {
        let last = items.last().map(revision).filter(|last| items.len() == query.limit() && *last > 1);
        Self { items, next: last.map(|last| last.to_string()) }
    }

    /// The page of what was read for [`PageQuery::before_time`].
    pub(crate) fn of_times(items: Vec<T>, query: &PageQuery, time: impl Fn(&T) -> Timestamp) -> Self {
        let last = items.last().map(time).filter(|_| items.len() == query.limit());
        Self { items, next: last.map(|last| last.as_micros().to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_without_gap() {
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let query = PageQuery { limit: Some(3), cursor };
            let page = Page::of(0..10, &query, i32::to_string, |item| item);
            seen.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }
}
