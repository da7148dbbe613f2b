//! ListObjects: which names a page shows, and where the next one starts.
//!
//! Pure. Knows objects by their names. Invariant: following `next` from page to page shows every
//! name and every prefix exactly once.

use super::object::Object;

/// The parameters of a ListObjects.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListRequest {
    pub prefix: String,
    /// Only names not less than this one.
    pub start: Option<String>,
    /// Only names greater than this one.
    pub start_after: Option<String>,
    /// Only names less than this one.
    pub end: Option<String>,
    pub delimiter: Option<String>,
    /// The most objects and prefixes of one page.
    pub limit: usize,
}

/// One page of a list; `next` is the name at which the next page starts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page<'a> {
    pub objects: Vec<&'a Object>,
    pub prefixes: Vec<String>,
    pub next: Option<String>,
}

/// One page of `all`, which is in the order of names.
pub(crate) fn page<'a>(all: &'a [Object], request: &ListRequest) -> Page<'a> {
    let mut page = Page::default();
    for object in all {
        let name = object.name.as_str();
        let Some(rest) = name.strip_prefix(request.prefix.as_str()) else { continue };
        let early = request.start.as_deref().is_some_and(|start| name < start)
            || request.start_after.as_deref().is_some_and(|after| name <= after);
        let late = request.end.as_deref().is_some_and(|end| name >= end);
        if early || late {
            continue;
        }
        let folder = request.delimiter.as_deref().and_then(|delimiter| {
            let at = rest.find(delimiter)? + delimiter.len();
            Some(&name[..request.prefix.len() + at])
        });
        if folder.is_some() && page.prefixes.last().map(String::as_str) == folder {
            continue;
        }
        if page.objects.len() + page.prefixes.len() == request.limit {
            page.next = Some(name.to_owned());
            break;
        }
        match folder {
            Some(folder) => page.prefixes.push(folder.to_owned()),
            None => page.objects.push(object),
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::super::object::{ObjectChecksums, Properties};
    use super::*;

    fn objects(names: &[&str]) -> Vec<Object> {
        let object = |name: &&str| Object {
            name: (*name).to_owned(),
            etag: String::new(),
            size: 0,
            created: 0,
            modified: 0,
            properties: Properties::default(),
            checksums: ObjectChecksums::Unknown,
            restored_until: None,
        };
        names.iter().map(object).collect()
    }

    fn names(page: &Page<'_>) -> Vec<String> {
        page.objects.iter().map(|object| object.name.clone()).collect()
    }

    #[test]
    fn a_delimiter_folds_what_lies_deeper() {
        let all = objects(&["a", "d/1", "d/2", "d/e/3", "z"]);
        let request =
            ListRequest { delimiter: Some("/".to_owned()), limit: 100, ..ListRequest::default() };
        let page = page(&all, &request);
        assert_eq!(names(&page), ["a", "z"]);
        assert_eq!(page.prefixes, ["d/"]);
        assert_eq!(page.next, None);
    }

    #[test]
    fn pages_show_every_name_and_every_prefix_once() {
        let all = objects(&["a", "d/1", "d/2", "e", "f/1", "g"]);
        let mut request =
            ListRequest { delimiter: Some("/".to_owned()), limit: 1, ..ListRequest::default() };
        let mut seen = Vec::new();
        loop {
            let page = page(&all, &request);
            seen.extend(names(&page));
            seen.extend(page.prefixes.clone());
            match page.next {
                Some(next) => request.start = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, ["a", "d/", "e", "f/", "g"]);
    }

    #[test]
    fn bounds_are_inclusive_at_the_start_and_exclusive_at_the_end() {
        let all = objects(&["p/a", "p/b", "p/c", "q"]);
        let request = ListRequest {
            prefix: "p/".to_owned(),
            start: Some("p/b".to_owned()),
            end: Some("p/c".to_owned()),
            limit: 9,
            ..ListRequest::default()
        };
        assert_eq!(names(&page(&all, &request)), ["p/b"]);
    }
}
