//! The preconditions `if-match` and `if-none-match`, and whether the current object satisfies them.
//!
//! Pure. Knows the current etag and the restrictions that `policy` computed, and no object.
//! Invariant: a precondition applies to the request that carries it and to no later one.

use super::response::ErrorResponse;
use hyper::HeaderMap;

/// The preconditions of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// An etag without quotes, or `*`.
    pub if_match: Option<String>,
    /// An etag without quotes, or `*`.
    pub if_none_match: Option<String>,
    /// What the permissions and the protection of the bucket forbid.
    pub(crate) restrictions: WriteRestrictions,
}

/// The writes that permissions and bucket protection refuse, whatever the preconditions: `None`
/// allows the write, and an error is the response to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WriteRestrictions {
    /// A write to a name without an object, or with `if-none-match: *`.
    pub create: Option<ErrorResponse>,
    /// A write that replaces an object.
    pub overwrite: Option<ErrorResponse>,
    /// Any change of an object that exists.
    pub retained: Option<ErrorResponse>,
}

/// The outcome of a read whose preconditions hold.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// The object is returned.
    Full,
    /// 304, without the object.
    NotModified,
}

impl Conditions {
    /// Reads the headers; quotes around an etag are removed.
    pub fn of(headers: &HeaderMap) -> Conditions {
        let text = |name| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(value.trim().trim_matches('"').to_owned())
        };
        let (if_match, if_none_match) = (text("if-match"), text("if-none-match"));
        Conditions { if_match, if_none_match, restrictions: WriteRestrictions::default() }
    }

    /// Adds what the permissions and the protection of the bucket forbid.
    pub(crate) fn with_restrictions(self, restrictions: WriteRestrictions) -> Conditions {
        Conditions { restrictions, ..self }
    }

    /// Evaluates a write to a name whose object has the etag `current`. Fails with the restriction
    /// that applies, else with 412 if a precondition does not hold, else with 400 if it is not
    /// supported.
    pub fn allow_write(&self, current: Option<&str>) -> Result<(), ErrorResponse> {
        let create_only = self.if_none_match.as_deref() == Some("*");
        let permission = match current {
            Some(_) if !create_only => &self.restrictions.overwrite,
            _ => &self.restrictions.create,
        };
        let retained = self.restrictions.retained.as_ref().filter(|_| current.is_some());
        if let Some(error) = permission.as_ref().or(retained) {
            return Err(error.clone());
        }
        self.matches(current)?;
        match (self.if_none_match.as_deref(), current) {
            (None, _) | (Some("*"), None) => Ok(()),
            (Some("*"), Some(_)) => Err(ErrorResponse::new(
                412,
                "IfNoneMatchFailed",
                "The If-None-Match header is '*' but there is an existing entity",
            )),
            (Some(_), _) => Err(ErrorResponse::invalid_parameter(
                "The If-None-Match header of a request that writes can only be '*'",
            )),
        }
    }

    /// Evaluates a read of the object with this etag; fails with 412 if `if-match` does not hold,
    /// and with 400 for `if-none-match: *`.
    pub fn allow_read(&self, etag: &str) -> Result<ReadOutcome, ErrorResponse> {
        self.matches(Some(etag))?;
        match self.if_none_match.as_deref() {
            Some("*") => Err(ErrorResponse::invalid_parameter(
                "The If-None-Match header of a request that reads cannot be '*'",
            )),
            Some(excluded) if excluded == etag => Ok(ReadOutcome::NotModified),
            _ => Ok(ReadOutcome::Full),
        }
    }

    fn matches(&self, current: Option<&str>) -> Result<(), ErrorResponse> {
        match (self.if_match.as_deref(), current) {
            (None, _) | (Some("*"), Some(_)) => Ok(()),
            (Some(expected), Some(etag)) if expected == etag => Ok(()),
            (Some(expected), current) => Err(ErrorResponse::new(
                412,
                "IfMatchFailed",
                format!(
                    "The If-Match header is '{expected}' but the current entity tag is '{}'",
                    current.unwrap_or("")
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(if_match: Option<&str>, if_none_match: Option<&str>) -> Conditions {
        Conditions {
            if_match: if_match.map(str::to_owned),
            if_none_match: if_none_match.map(str::to_owned),
            restrictions: WriteRestrictions::default(),
        }
    }

    #[test]
    fn if_none_match_star_writes_only_where_nothing_is() {
        let new_only = conditions(None, Some("*"));
        assert_eq!(new_only.allow_write(None), Ok(()));
        let error = new_only.allow_write(Some("e")).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (412, "IfNoneMatchFailed"));
        assert_eq!(
            error.message,
            "The If-None-Match header is '*' but there is an existing entity"
        );
        assert_eq!(conditions(None, Some("e")).allow_write(None).unwrap_err().status, 400);
    }

    #[test]
    fn if_match_writes_only_over_that_one() {
        let only = conditions(Some("blah"), None);
        assert_eq!(only.allow_write(Some("blah")), Ok(()));
        let error = only.allow_write(Some("bfd0")).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (412, "IfMatchFailed"));
        assert_eq!(
            error.message,
            "The If-Match header is 'blah' but the current entity tag is 'bfd0'"
        );
        assert_eq!(only.allow_write(None).unwrap_err().status, 412);
    }

    #[test]
    fn a_read_is_not_modified_when_the_etag_is_the_unwanted_one() {
        assert_eq!(conditions(None, Some("e")).allow_read("e"), Ok(ReadOutcome::NotModified));
        assert_eq!(conditions(None, Some("f")).allow_read("e"), Ok(ReadOutcome::Full));
        assert_eq!(conditions(None, Some("*")).allow_read("e").unwrap_err().status, 400);
        assert_eq!(conditions(Some("f"), None).allow_read("e").unwrap_err().status, 412);
    }

    #[test]
    fn quotes_around_an_etag_are_tolerated() {
        let mut headers = HeaderMap::new();
        headers.insert("if-match", "\"e\"".parse().unwrap());
        assert_eq!(Conditions::of(&headers), conditions(Some("e"), None));
    }
}
