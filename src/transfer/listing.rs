//! A listing, page by page to its last one.
//!
//! Owns how many pages and items a listing may have. Must not know what the items are for. Invariant: a
//! listing ends, and what it keeps is bounded, whatever tokens and pages the service sends.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use proto::api::Page;
use proto::part_number::MAX_PARTS;
use proto::retry::Failure;
use proto::transport_error::TransportError;

/// Pages of one listing. A page has up to 1,000 items, and one that is not the last has at least one.
const MAX_PAGES: usize = 10_000;

/// Items that a caller keeps of one listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaxItems {
    /// The parts of one upload, of which the service accepts no more.
    Parts,
    /// The open uploads of one object; more than one is rare.
    UploadsOfObject,
    /// The open uploads of a bucket.
    UploadsOfBucket,
}

impl MaxItems {
    fn get(self) -> usize {
        match self {
            MaxItems::Parts => MAX_PARTS as usize,
            MaxItems::UploadsOfObject => 10_000,
            MaxItems::UploadsOfBucket => 100_000,
        }
    }
}

/// Why a listing has no end that this program waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndlessListing {
    /// A page names a page that was read already as the next one.
    Circle,
    TooManyPages,
    TooManyItems(MaxItems),
}

impl fmt::Display for EndlessListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndlessListing::Circle => f.write_str("a listing whose pages lead in a circle"),
            EndlessListing::TooManyPages => write!(f, "a listing of more than {MAX_PAGES} pages"),
            EndlessListing::TooManyItems(max) => {
                let (items, count) = (max.name(), max.get());
                write!(f, "a listing of more than {count} {items}")
            }
        }
    }
}

impl MaxItems {
    fn name(self) -> &'static str {
        match self {
            MaxItems::Parts => "parts",
            MaxItems::UploadsOfObject => "open uploads of one name",
            MaxItems::UploadsOfBucket => "open uploads",
        }
    }
}

impl From<EndlessListing> for Failure {
    fn from(endless: EndlessListing) -> Failure {
        let text = format!("the service answered with {endless}");
        Failure::Transport { kind: TransportError::InvalidResponse, text }
    }
}

/// Reads a listing to its last page, and keeps the items that `wanted` selects. `fetch` gets the page after
/// a token, and the first page without one. Fails where `fetch` does, and where the listing has no end.
pub(crate) async fn list_all<T, E, F>(
    max: MaxItems,
    wanted: impl Fn(&T) -> bool,
    mut fetch: impl FnMut(Option<String>) -> F,
) -> Result<Vec<T>, E>
where
    E: From<EndlessListing>,
    F: Future<Output = Result<Page<T>, E>>,
{
    let (mut items, mut token) = (Vec::new(), None);
    // A token may be long: its hash is kept.
    let (mut seen, hasher) = (HashSet::new(), RandomState::new());
    for _ in 0..MAX_PAGES {
        let page = fetch(token).await?;
        items.extend(page.items.into_iter().filter(|item| wanted(item)));
        if items.len() > max.get() {
            return Err(EndlessListing::TooManyItems(max).into());
        }
        let Some(next) = page.next else { return Ok(items) };
        if !seen.insert(hasher.hash_one(&next)) {
            return Err(EndlessListing::Circle.into());
        }
        token = Some(next);
    }
    Err(EndlessListing::TooManyPages.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Failed {
        Endless(EndlessListing),
        Page,
    }

    impl From<EndlessListing> for Failed {
        fn from(endless: EndlessListing) -> Failed {
            Failed::Endless(endless)
        }
    }

    fn page<T>(items: Vec<T>, next: Option<String>) -> Result<Page<T>, Failed> {
        Ok(Page { items, next })
    }

    #[tokio::test]
    async fn a_listing_is_read_to_its_last_page_and_what_is_wanted_is_kept() {
        let mut tokens = Vec::new();
        let items = list_all(
            MaxItems::Parts,
            |item| *item != 2,
            |token| {
                tokens.push(token.clone());
                let (items, next) = match token.as_deref() {
                    None => (vec![1, 2], Some("b")),
                    Some("b") => (Vec::new(), Some("c")),
                    Some(_) => (vec![3], None),
                };
                std::future::ready(page(items, next.map(str::to_owned)))
            },
        );
        assert_eq!(items.await, Ok(vec![1, 3]));
        assert_eq!(tokens, [None, Some("b".to_owned()), Some("c".to_owned())]);
    }

    #[tokio::test]
    async fn a_page_that_fails_fails_the_listing() {
        let items = list_all(
            MaxItems::Parts,
            |_| true,
            async |token| match token {
                None => page(vec![1], Some("b".to_owned())),
                Some(_) => Err(Failed::Page),
            },
        );
        assert_eq!(items.await, Err(Failed::Page));
    }

    #[tokio::test]
    async fn a_listing_in_a_circle_or_without_an_end_is_an_error() {
        let circle = list_all(
            MaxItems::Parts,
            |_| true,
            async |token: Option<String>| {
                let next = if token.as_deref() == Some("a") { "b" } else { "a" };
                page(vec![1], Some(next.to_owned()))
            },
        );
        assert_eq!(circle.await, Err(Failed::Endless(EndlessListing::Circle)));

        let mut pages = 0;
        let endless = list_all(
            MaxItems::Parts,
            |_: &u8| true,
            |_| {
                pages += 1;
                std::future::ready(page(Vec::new(), Some(pages.to_string())))
            },
        );
        assert_eq!(endless.await, Err(Failed::Endless(EndlessListing::TooManyPages)));
        assert_eq!(pages, MAX_PAGES);
    }

    #[tokio::test]
    async fn no_more_items_are_kept_than_a_legal_listing_has() {
        for max in [MaxItems::Parts, MaxItems::UploadsOfObject, MaxItems::UploadsOfBucket] {
            let full = |count: usize| async move {
                let mut left = count;
                list_all(
                    max,
                    |_| true,
                    |_| {
                        let now = left.min(1000);
                        left -= now;
                        let next = (left > 0).then(|| left.to_string());
                        std::future::ready(page(vec![7u8; now], next))
                    },
                )
                .await
            };
            assert_eq!(full(max.get()).await.map(|items| items.len()), Ok(max.get()));
            let too_many = Failed::Endless(EndlessListing::TooManyItems(max));
            assert_eq!(full(max.get() + 1).await, Err(too_many));
        }
    }
}
