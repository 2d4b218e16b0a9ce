//! Lists in pages, each by the key of its items.

use crate::Problem;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Instant;
use wares_model::CallId;
use wares_model::limits::SEARCH_TIME_MAX;

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

    /// The key of the last item of the page before; none: this is the first page.
    pub(crate) fn after<K: FromStr>(&self) -> Result<Option<K>, Problem> {
        let after = self.cursor.as_deref().map(str::parse).transpose();
        after.map_err(|_| Problem::bad_request("cursor: it is not one that this list gave"))
    }

    /// How many items to read: one more than is shown tells whether there is a next page.
    pub(crate) fn read_limit(&self) -> u32 {
        u32::try_from(self.limit() + 1).unwrap_or(u32::MAX)
    }

    /// The call that the page before ended with.
    pub(crate) fn before_call(&self) -> Result<Option<CallId>, Problem> {
        self.after()
    }
}

/// Reads a limit, so that a bad one is refused by its name.
pub(crate) fn limit_from_text<'de, D: Deserializer<'de>>(source: D) -> Result<Option<usize>, D::Error> {
    let text = String::deserialize(source)?;
    let error = || D::Error::custom(format!("limit {text:?} is not a number of 1 to {LIMIT_MAX}"));
    text.parse().map(Some).map_err(|_| error())
}

impl<T> Page<T> {
    /// The page of a list in the order of `key`, which no two items share; `shape` makes the items that are shown.
    ///
    /// The cursor is the key of the last item shown, and a page is what comes after it in this order: whatever is added or removed
    /// between two pages, what stays is shown once.
    pub(crate) fn of<S, K: Ord + fmt::Display + FromStr>(
        items: impl IntoIterator<Item = S>,
        query: &PageQuery,
        key: impl Fn(&S) -> K,
        mut shape: impl FnMut(S) -> T,
    ) -> Result<Self, Problem> {
        let after: Option<K> = query.after()?;
        let keyed = items.into_iter().map(|item| (key(&item), item));
        let mut rest: Vec<(K, S)> = keyed.filter(|(key, _)| after.as_ref().is_none_or(|after| key > after)).collect();
        rest.sort_by(|(a, _), (b, _)| a.cmp(b));
        let more = rest.len() > query.limit();
        rest.truncate(query.limit());
        let next = rest.last().filter(|_| more).map(|(key, _)| key.to_string());
        Ok(Self { items: rest.into_iter().map(|(_, item)| shape(item)).collect(), next })
    }

    /// The page of what was read, of [`PageQuery::read_limit`] items after the cursor; `key` is what [`PageQuery::after`] reads.
    pub(crate) fn read<K: fmt::Display>(mut items: Vec<T>, query: &PageQuery, key: impl Fn(&T) -> K) -> Self {
        let more = items.len() > query.limit();
        items.truncate(query.limit());
        let next = items.last().filter(|_| more).map(|last| key(last).to_string());
        Self { items, next }
    }

    /// The same items in another shape.
    pub(crate) fn map<S>(self, shape: impl FnMut(T) -> S) -> Page<S> {
        Page { items: self.items.into_iter().map(shape).collect(), next: self.next }
    }
}

/// A key of a list from the greatest on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Descending<K>(pub(crate) K);

impl<K: Ord> Ord for Descending<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.cmp(&self.0)
    }
}

impl<K: Ord> PartialOrd for Descending<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: fmt::Display> fmt::Display for Descending<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<K: FromStr> FromStr for Descending<K> {
    type Err = K::Err;

    fn from_str(text: &str) -> Result<Self, K::Err> {
        text.parse().map(Self)
    }
}

/// A key of two parts, whatever they hold.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Pair(pub(crate) String, pub(crate) String);

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Pair {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

/// A list that is searched piece by piece, until the page is full or there is nothing more. A search that takes long hands out
/// what it has found, and the cursor of where it goes on.
pub(crate) struct Search<T> {
    limit: usize,
    found: Vec<T>,
    began: Instant,
}

impl<T> Search<T> {
    /// Begins a search for the page of a query.
    pub(crate) fn new(query: &PageQuery) -> Self {
        Self { limit: query.limit(), found: Vec::new(), began: Instant::now() }
    }

    /// How many items to look for in the next piece.
    pub(crate) fn wanted(&self) -> usize {
        self.limit.saturating_sub(self.found.len())
    }

    /// Whether nothing was found yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What was found last.
    pub(crate) fn last(&self) -> Option<&T> {
        self.found.last()
    }

    /// Takes in what was found in a piece; whether to go on where `next` says.
    pub(crate) fn goes_on<K>(&mut self, found: Vec<T>, next: Option<&K>) -> bool {
        self.found.extend(found);
        next.is_some() && self.found.len() < self.limit && self.began.elapsed() < SEARCH_TIME_MAX
    }

    /// What was found until the search goes on at `next`; none: that is all there is.
    pub(crate) fn page<K: fmt::Display>(self, next: Option<K>) -> Page<T> {
        Page { items: self.found, next: next.map(|next| next.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All items of a list by pages of three; `between` changes the list after each page.
    fn paged<K: Ord + fmt::Display + FromStr + Clone>(
        mut list: Vec<K>,
        mut between: impl FnMut(&mut Vec<K>),
    ) -> Vec<String> {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let query = PageQuery { limit: Some(3), cursor };
            let page = Page::of(list.clone(), &query, K::clone, |item: K| item.to_string()).unwrap();
            assert!(page.items.len() == 3 || page.next.is_none(), "a page is full, or the last");
            seen.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return seen;
            }
            between(&mut list);
        }
    }

    #[test]
    fn pages_follow_one_another_without_gap() {
        let all: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        assert_eq!(paged((0..10).collect(), |_| ()), all);
        assert_eq!(paged((0..10).rev().collect(), |_| ()), all, "whatever order they come in");
        assert_eq!(paged((0..9).collect(), |_| ()), all[..9], "a last page that is full");
    }

    #[test]
    fn what_goes_and_comes_between_pages_neither_repeats_nor_hides_others() {
        let stays: Vec<u32> = vec![0, 10, 20, 30, 40, 50, 60];
        let mut gone = vec![20, 40];
        // The item that the cursor names goes; one comes before the cursor, and one after.
        let between = |list: &mut Vec<u32>| {
            let last = gone.first().copied().unwrap_or(60);
            list.retain(|item| *item != last);
            list.push(last - 1);
            list.push(last + 1);
            if !gone.is_empty() {
                gone.remove(0);
            }
        };
        let seen = paged(stays.clone(), between);
        for item in stays {
            assert_eq!(seen.iter().filter(|seen| **seen == item.to_string()).count(), 1, "{item} in {seen:?}");
        }
    }

    #[test]
    fn keys_of_all_kinds_come_back_from_their_cursors() {
        let pair = |a: &str, b: &str| Pair(a.to_owned(), b.to_owned());
        for key in [pair("", ""), pair("a b", "c"), pair("a", "b c"), pair("中\"", "\n")] {
            assert_eq!(key.to_string().parse::<Pair>().unwrap(), key);
        }
        assert_eq!(Descending(7).to_string().parse(), Ok(Descending(7)));
        assert!(Descending(7) < Descending(6));
        let query = PageQuery { limit: None, cursor: Some("x".to_owned()) };
        assert!(Page::of([1], &query, |item| *item, |item| item).is_err());
    }
}
