//! ListObjects: which names a page shows, and where the next one starts.
//!
//! Pure. Invariant: following `next` from page to page shows every name and every prefix exactly once.

use super::object::Object;

/// What a list asks for.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    pub prefix: String,
    /// The first name to show.
    pub start: Option<String>,
    /// Names after this one only.
    pub start_after: Option<String>,
    /// The first name not to show.
    pub end: Option<String>,
    pub delimiter: Option<String>,
    pub limit: usize,
}

/// One page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page<'a> {
    pub objects: Vec<&'a Object>,
    pub prefixes: Vec<String>,
    pub next: Option<String>,
}

/// The page that `wanted` names of `all`, which is ordered by name.
pub fn page<'a>(all: &'a [Object], wanted: &ListRequest) -> Page<'a> {
    let mut page = Page::default();
    for object in all {
        let name = object.name.as_str();
        let Some(rest) = name.strip_prefix(wanted.prefix.as_str()) else { continue };
        let early = wanted.start.as_deref().is_some_and(|start| name < start)
            || wanted.start_after.as_deref().is_some_and(|after| name <= after);
        let late = wanted.end.as_deref().is_some_and(|end| name >= end);
        if early || late {
            continue;
        }
        let folder = wanted.delimiter.as_deref().and_then(|delimiter| {
            let at = rest.find(delimiter)? + delimiter.len();
            Some(&name[..wanted.prefix.len() + at])
        });
        if folder.is_some() && page.prefixes.last().map(String::as_str) == folder {
            continue;
        }
        if page.objects.len() + page.prefixes.len() == wanted.limit {
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
            checks: ObjectChecksums::Unknown,
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
        let wanted =
            ListRequest { delimiter: Some("/".to_owned()), limit: 100, ..ListRequest::default() };
        let page = page(&all, &wanted);
        assert_eq!(names(&page), ["a", "z"]);
        assert_eq!(page.prefixes, ["d/"]);
        assert_eq!(page.next, None);
    }

    #[test]
    fn pages_show_every_name_and_every_prefix_once() {
        let all = objects(&["a", "d/1", "d/2", "e", "f/1", "g"]);
        let mut wanted =
            ListRequest { delimiter: Some("/".to_owned()), limit: 1, ..ListRequest::default() };
        let mut seen = Vec::new();
        loop {
            let page = page(&all, &wanted);
            seen.extend(names(&page));
            seen.extend(page.prefixes.clone());
            match page.next {
                Some(next) => wanted.start = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, ["a", "d/", "e", "f/", "g"]);
    }

    #[test]
    fn bounds_are_inclusive_at_the_start_and_exclusive_at_the_end() {
        let all = objects(&["p/a", "p/b", "p/c", "q"]);
        let wanted = ListRequest {
            prefix: "p/".to_owned(),
            start: Some("p/b".to_owned()),
            end: Some("p/c".to_owned()),
            limit: 9,
            ..ListRequest::default()
        };
        assert_eq!(names(&page(&all, &wanted)), ["p/b"]);
    }
}
