//! The text of a path pattern in, its kind out, or the rule that it breaks.
//!
//! `mapping` has the table of the three kinds. What is refused here could never match a request, or
//! would not mean what its author thinks.

/// Which of the three kinds a pattern is; it exists only for patterns that break no rule.
#[derive(Debug)]
pub(crate) enum Pattern<'a> {
    Exact,
    Template,
    /// Without its `/*`.
    Prefix(&'a str),
}

impl<'a> Pattern<'a> {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Every [`MappingError`] but [`MappingError::Duplicate`], which takes a second pattern.
    pub(crate) fn parse(pattern: &'a str) -> Result<Self, MappingError> {
        let owned = || pattern.to_owned();
        if !pattern.starts_with('/') {
            return Err(MappingError::NoLeadingSlash { pattern: owned() });
        }
        if let Some(character) = pattern
            .chars()
            .find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#'))
        {
            return Err(MappingError::IllegalCharacter {
                pattern: owned(),
                character,
            });
        }
        let prefix = pattern.strip_suffix("/*");
        let path = prefix.unwrap_or(pattern);
        if path.contains('*') {
            return Err(MappingError::MisplacedWildcard { pattern: owned() });
        }
        let has_parameters = has_parameters(path, pattern)?;
        match (prefix, has_parameters) {
            (None, false) => Ok(Self::Exact),
            (None, true) => Ok(Self::Template),
            (Some(prefix), false) => Ok(Self::Prefix(prefix)),
            (Some(_), true) => Err(MappingError::WildcardAfterParameter { pattern: owned() }),
        }
    }
}

/// Whether `path`, which is `pattern` or the part of it before the `/*`, has parameters; an error
/// if one of them breaks a rule.
fn has_parameters(path: &str, pattern: &str) -> Result<bool, MappingError> {
    let mut names: Vec<&str> = Vec::new();
    for segment in path.split('/').filter(|s| s.contains(['{', '}'])) {
        let name = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .filter(|name| !name.contains(['{', '}']))
            .ok_or_else(|| MappingError::partial_parameter(pattern))?;
        let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || !name.chars().all(is_legal) {
            return Err(MappingError::IllegalName {
                pattern: pattern.to_owned(),
                name: name.to_owned(),
            });
        }
        if names.contains(&name) {
            return Err(MappingError::RepeatedName {
                pattern: pattern.to_owned(),
                name: name.to_owned(),
            });
        }
        names.push(name);
        if names.len() > MAX_PARAMETERS {
            return Err(MappingError::TooManyParameters {
                pattern: pattern.to_owned(),
            });
        }
    }
    Ok(!names.is_empty())
}

/// A pattern cannot be mounted. Nothing here is caused by a request.
///
/// ```
/// # use ws_handler::MappingError;
/// let error = MappingError::NoLeadingSlash { pattern: "chat".to_owned() };
/// assert_eq!(error.to_string(), r#"path pattern "chat" does not start with '/'"#);
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// Every path starts with a slash, so the pattern could never match.
    #[error("path pattern {pattern:?} does not start with '/'")]
    NoLeadingSlash {
        /// What was to be mounted.
        pattern: String,
    },

    /// A request percent-encodes this character in its path, so the pattern has to as well.
    #[error(
        "path pattern {pattern:?} contains {character:?}; percent-encode it, as a request does"
    )]
    IllegalCharacter {
        /// What was to be mounted.
        pattern: String,
        /// The first such character.
        character: char,
    },

    /// A `*` somewhere else than alone in the last segment.
    #[error("path pattern {pattern:?} has a '*' that is not the whole of its last segment")]
    MisplacedWildcard {
        /// What was to be mounted.
        pattern: String,
    },

    /// A pattern is a template or a prefix, not both.
    #[error("path pattern {pattern:?} has both parameters and a '*'")]
    WildcardAfterParameter {
        /// What was to be mounted.
        pattern: String,
    },

    /// A `{` or `}` that is not the first or last character of its segment.
    #[error("path pattern {pattern:?} has a brace inside a segment; a parameter is all of one")]
    PartialParameter {
        /// What was to be mounted.
        pattern: String,
    },

    /// A parameter's name is empty or has a character other than `A-Z`, `a-z`, `0-9`, `_` and `-`.
    #[error("path pattern {pattern:?} has a parameter named {name:?}; use A-Z a-z 0-9 _ -")]
    IllegalName {
        /// What was to be mounted.
        pattern: String,
        /// What stood between the braces.
        name: String,
    },

    /// Two parameters of one pattern have the same name.
    #[error("path pattern {pattern:?} has two parameters named {name:?}")]
    RepeatedName {
        /// What was to be mounted.
        pattern: String,
        /// The name that came twice.
        name: String,
    },

    /// More parameters than a pattern may have.
    #[error("path pattern {pattern:?} has more than {MAX_PARAMETERS} parameters")]
    TooManyParameters {
        /// What was to be mounted.
        pattern: String,
    },

    /// A pattern for exactly these paths is mounted: the same one, or one that differs only in the
    /// names of its parameters.
    #[error("path pattern {pattern:?} matches the same paths as {existing:?}, mounted before")]
    Duplicate {
        /// What was to be mounted.
        pattern: String,
        /// What was mounted before.
        existing: String,
    },
}

impl MappingError {
    pub(crate) fn duplicate(pattern: &str, existing: &str) -> Self {
        Self::Duplicate {
            pattern: pattern.to_owned(),
            existing: existing.to_owned(),
        }
    }

    pub(crate) fn partial_parameter(pattern: &str) -> Self {
        Self::PartialParameter {
            pattern: pattern.to_owned(),
        }
    }
}

/// matchit panics at 26. Nobody needs 16.
const MAX_PARAMETERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_breaks_a_rule_is_refused_with_that_rule() {
        let cases = [
            ("", "does not start with '/'"),
            ("chat", "does not start with '/'"),
            ("*.do", "does not start with '/'"),
            ("/a?b", "contains '?'"),
            ("/a#b", "contains '#'"),
            ("/a b", "contains ' '"),
            ("/\u{e9}", "contains '\u{e9}'"),
            ("/a\r\nb", "contains '\\r'"),
            ("/*/a", "has a '*'"),
            ("/a*", "has a '*'"),
            ("/**", "has a '*'"),
            ("/*/*", "has a '*'"),
            ("/{*rest}", "has a '*'"),
            ("/{a}/*", "both parameters and a '*'"),
            ("/a{b}", "a brace inside a segment"),
            ("/{a}b", "a brace inside a segment"),
            ("/{a}{b}", "a brace inside a segment"),
            ("/{a", "a brace inside a segment"),
            ("/a}", "a brace inside a segment"),
            ("/{{a}}", "a brace inside a segment"),
            ("/{a/b}", "a brace inside a segment"),
            ("/{}", "named \"\""),
            ("/{a.b}", "named \"a.b\""),
            ("/{a}/{b}/{a}", "two parameters named \"a\""),
            (
                "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}",
                "more than 16",
            ),
        ];

        for (pattern, want) in cases {
            let error = Pattern::parse(pattern).unwrap_err();

            let message = error.to_string();
            assert!(message.contains(want), "{message}");
            assert!(message.contains(&format!("{pattern:?}")), "{message}");
        }
    }
}
