//! `if-match` and `if-none-match`: what they ask, and whether an object meets it.
//!
//! Pure. Knows no object, only the current etag, and what rights and the bucket refuse (`policy`). Invariant: a condition is judged at the call that
//! carries it and never remembered for a later one.

use super::response::ErrorResponse;
use hyper::HeaderMap;

/// The conditions of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub limits: WriteRestrictions,
}

/// What is refused, whatever the conditions, depending on what stands at the name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteRestrictions {
    /// A write where nothing stands, or one that only asks for that.
    pub create: Option<ErrorResponse>,
    /// A write over what stands there.
    pub overwrite: Option<ErrorResponse>,
    /// Any change of what stands there.
    pub retained: Option<ErrorResponse>,
}

/// What a conditional read comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    Whole,
    NotModified,
}

impl Conditions {
    pub fn of(headers: &HeaderMap) -> Conditions {
        let text = |name| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(value.trim().trim_matches('"').to_owned())
        };
        let (if_match, if_none_match) = (text("if-match"), text("if-none-match"));
        Conditions { if_match, if_none_match, limits: WriteRestrictions::default() }
    }

    pub fn within(self, limits: WriteRestrictions) -> Conditions {
        Conditions { limits, ..self }
    }

    /// Judges a request that would write over `current`.
    pub fn allow_write(&self, current: Option<&str>) -> Result<(), ErrorResponse> {
        let create_only = self.if_none_match.as_deref() == Some("*");
        let right = match current {
            Some(_) if !create_only => &self.limits.overwrite,
            _ => &self.limits.create,
        };
        let retained = self.limits.retained.as_ref().filter(|_| current.is_some());
        if let Some(refused) = right.as_ref().or(retained) {
            return Err(refused.clone());
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

    /// Judges a request that reads the object with this etag.
    pub fn allow_read(&self, etag: &str) -> Result<ReadOutcome, ErrorResponse> {
        self.matches(Some(etag))?;
        match self.if_none_match.as_deref() {
            Some("*") => Err(ErrorResponse::invalid_parameter(
                "The If-None-Match header of a request that reads cannot be '*'",
            )),
            Some(unwanted) if unwanted == etag => Ok(ReadOutcome::NotModified),
            _ => Ok(ReadOutcome::Whole),
        }
    }

    fn matches(&self, current: Option<&str>) -> Result<(), ErrorResponse> {
        match (self.if_match.as_deref(), current) {
            (None, _) | (Some("*"), Some(_)) => Ok(()),
            (Some(wanted), Some(etag)) if wanted == etag => Ok(()),
            (Some(wanted), current) => Err(ErrorResponse::new(
                412,
                "IfMatchFailed",
                format!(
                    "The If-Match header is '{wanted}' but the current entity tag is '{}'",
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
            limits: WriteRestrictions::default(),
        }
    }

    #[test]
    fn if_none_match_star_writes_only_where_nothing_is() {
        let new_only = conditions(None, Some("*"));
        assert_eq!(new_only.allow_write(None), Ok(()));
        let refused = new_only.allow_write(Some("e")).unwrap_err();
        assert_eq!((refused.status, refused.code.as_ref()), (412, "IfNoneMatchFailed"));
        assert_eq!(
            refused.message,
            "The If-None-Match header is '*' but there is an existing entity"
        );
        assert_eq!(conditions(None, Some("e")).allow_write(None).unwrap_err().status, 400);
    }

    #[test]
    fn if_match_writes_only_over_that_one() {
        let only = conditions(Some("blah"), None);
        assert_eq!(only.allow_write(Some("blah")), Ok(()));
        let refused = only.allow_write(Some("bfd0")).unwrap_err();
        assert_eq!((refused.status, refused.code.as_ref()), (412, "IfMatchFailed"));
        assert_eq!(
            refused.message,
            "The If-Match header is 'blah' but the current entity tag is 'bfd0'"
        );
        assert_eq!(only.allow_write(None).unwrap_err().status, 412);
    }

    #[test]
    fn a_read_is_not_modified_when_the_etag_is_the_unwanted_one() {
        assert_eq!(conditions(None, Some("e")).allow_read("e"), Ok(ReadOutcome::NotModified));
        assert_eq!(conditions(None, Some("f")).allow_read("e"), Ok(ReadOutcome::Whole));
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
