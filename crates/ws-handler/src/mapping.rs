//! A request's path in, what is mounted there and its parameters out.
//!
//! | pattern        | kind     | matches                       | does not match               |
//! |----------------|----------|-------------------------------|------------------------------|
//! | `/chat`        | exact    | `/chat`                       | `/chat/`, `/Chat`, `/%63hat` |
//! | `/chat/{room}` | template | `/chat/a`, `/chat/a%2Fb`      | `/chat/`, `/chat/a/`         |
//! | `/chat/*`      | prefix   | `/chat`, `/chat/`, all below  | `/chats`                     |
//! | `/*`           | prefix   | every path                    | `*` (of `OPTIONS *`)         |
//!
//! Exact comes before template, template before the longest prefix; of two templates that match,
//! the one that is literal where they first differ.
//!
//! A path is matched as it stands in the request target: nothing is decoded, lower-cased or
//! collapsed (`//`, `..;`, `%2e`) first, so no other router in front of or behind this one can see
//! a different path. Only the value of a parameter is percent-decoded, once, after it was cut at
//! `/`: it may contain a `/` or a NUL that the client had encoded. A path whose value is not UTF-8
//! then matches no template.
//!
//! For given patterns, finding is linear in the length of the path, whatever the path.

use std::collections::{HashMap, hash_map::Entry};

use matchit::{InsertError, Router};
use percent_encoding::percent_decode_str;

use crate::pattern::{MappingError, Pattern};

/// Values by pattern. See the table above for the patterns.
#[derive(Debug)]
pub(crate) struct PathMapping<T> {
    exact: HashMap<String, T>,
    templates: Router<T>,
    prefixes: PrefixNode<T>,
}

impl<T> PathMapping<T> {
    pub(crate) fn new() -> Self {
        Self {
            exact: HashMap::new(),
            templates: Router::new(),
            prefixes: PrefixNode::new(),
        }
    }

    /// Mounts `value` at every path that `pattern` matches and no stronger pattern does.
    ///
    /// # Errors
    ///
    /// [`MappingError`], and nothing is mounted.
    pub(crate) fn insert(&mut self, pattern: &str, value: T) -> Result<(), MappingError> {
        match Pattern::parse(pattern)? {
            Pattern::Exact => match self.exact.entry(pattern.to_owned()) {
                Entry::Occupied(_) => Err(MappingError::duplicate(pattern, pattern)),
                Entry::Vacant(slot) => {
                    slot.insert(value);
                    Ok(())
                }
            },
            Pattern::Template => {
                self.templates
                    .insert(pattern, value)
                    .map_err(|error| match error {
                        InsertError::Conflict { with } => MappingError::duplicate(pattern, &with),
                        // All else that matchit refuses is a parameter that shares its segment,
                        // which `Pattern::parse` has already seen to.
                        _ => MappingError::partial_parameter(pattern),
                    })
            }
            Pattern::Prefix(prefix) => {
                let slot = &mut self.prefixes.at_mut(prefix).value;
                if slot.is_some() {
                    return Err(MappingError::duplicate(pattern, pattern));
                }
                *slot = Some(value);
                Ok(())
            }
        }
    }

    /// What is mounted at `path`, which is the path of a request target as it was sent.
    pub(crate) fn find(&self, path: &str) -> Option<Match<'_, T>> {
        self.exact
            .get(path)
            .map(Match::without_params)
            .or_else(|| self.find_template(path))
            .or_else(|| self.prefixes.longest(path).map(Match::without_params))
    }

    fn find_template(&self, path: &str) -> Option<Match<'_, T>> {
        let found = self.templates.at(path).ok()?;
        let mut params = Vec::with_capacity(found.params.len());
        for (name, value) in found.params.iter() {
            let value = percent_decode_str(value).decode_utf8().ok()?;
            params.push((name.to_owned(), value.into_owned()));
        }
        Some(Match {
            value: found.value,
            params,
        })
    }
}

/// What [`PathMapping::find`] found.
#[derive(Debug)]
pub(crate) struct Match<'a, T> {
    pub(crate) value: &'a T,
    /// Name and decoded value of each parameter, in the order of the pattern.
    pub(crate) params: Vec<(String, String)>,
}

impl<'a, T> Match<'a, T> {
    fn without_params(value: &'a T) -> Self {
        Self {
            value,
            params: Vec::new(),
        }
    }
}

/// A segment of the prefixes and what follows it: one step per segment of a path, so that a path of
/// nothing but slashes costs no more than any other.
#[derive(Debug)]
struct PrefixNode<T> {
    value: Option<T>,
    children: HashMap<String, Self>,
}

impl<T> PrefixNode<T> {
    fn new() -> Self {
        Self {
            value: None,
            children: HashMap::new(),
        }
    }

    /// The node of `prefix`, which is empty or starts with a slash.
    fn at_mut(&mut self, prefix: &str) -> &mut Self {
        prefix.split('/').skip(1).fold(self, |node, segment| {
            node.children
                .entry(segment.to_owned())
                .or_insert_with(Self::new)
        })
    }

    fn longest(&self, path: &str) -> Option<&T> {
        let mut node = self;
        let mut longest = node.value.as_ref();
        for segment in path.strip_prefix('/')?.split('/') {
            let Some(child) = node.children.get(segment) else {
                break;
            };
            node = child;
            longest = node.value.as_ref().or(longest);
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value is its own pattern, so that what was found names itself.
    fn mapping(patterns: &[&'static str]) -> PathMapping<&'static str> {
        let mut mapping = PathMapping::new();
        for pattern in patterns {
            mapping.insert(pattern, *pattern).unwrap();
        }
        mapping
    }

    fn found(mapping: &PathMapping<&'static str>, path: &str) -> Option<&'static str> {
        mapping.find(path).map(|found| *found.value)
    }

    #[test]
    fn each_kind_matches_these_paths_and_no_others() {
        // Pattern, path, whether it matches.
        let cases = [
            ("/", "/", true),
            ("/", "", false),
            ("/", "//", false),
            ("/chat", "/chat", true),
            ("/chat", "/chat/", false),
            ("/chat", "/Chat", false),
            ("/chat", "/%63hat", false),
            ("/chat", "//chat", false),
            ("/chat", "/./chat", false),
            ("/chat/", "/chat/", true),
            ("/chat/", "/chat", false),
            ("/chat/*", "/chat", true),
            ("/chat/*", "/chat/", true),
            ("/chat/*", "/chat/a/b", true),
            ("/chat/*", "/chat//", true),
            ("/chat/*", "/chat/..;/x", true),
            ("/chat/*", "/chat/%00", true),
            ("/chat/*", "/chats", false),
            ("/chat/*", "//chat/a", false),
            ("/chat/*", "/..;/chat/a", false),
            ("/*", "/", true),
            ("/*", "//", true),
            ("/*", "/a/b", true),
            ("/*", "/\u{e9}", true),
            // The targets of `OPTIONS *` and `CONNECT host:port` are not paths.
            ("/*", "*", false),
            ("/*", "", false),
            ("/{a}", "/x", true),
            ("/{a}", "/", false),
            ("/{a}", "/x/", false),
            ("/{a}", "/x/y", false),
            ("/{a}/b", "//b", false),
            ("/{a}/{b}", "/x/y", true),
            ("/{a}/{b}", "/x/", false),
            ("/a%20b/{c}", "/a%20b/x", true),
        ];

        for (pattern, path, want) in cases {
            let got = mapping(&[pattern]).find(path).is_some();

            assert_eq!(got, want, "{pattern} and {path}");
        }
    }

    #[test]
    fn exact_comes_before_template_before_longest_prefix() {
        let mapping = mapping(&[
            "/*",
            "/chat/*",
            "/chat/old/*",
            "/chat/{room}",
            "/{area}/log",
            "/chat/lobby",
        ]);
        let cases = [
            ("/chat/lobby", "/chat/lobby"),
            ("/chat/a", "/chat/{room}"),
            // Literal where the two templates first differ.
            ("/chat/log", "/chat/{room}"),
            ("/x/log", "/{area}/log"),
            ("/chat/old", "/chat/{room}"),
            ("/chat/old/", "/chat/old/*"),
            ("/chat/older/x", "/chat/*"),
            ("/chat", "/chat/*"),
            ("/", "/*"),
            // Its value is not UTF-8, so no template matches it.
            ("/chat/%ff", "/chat/*"),
        ];

        for (path, want) in cases {
            assert_eq!(found(&mapping, path), Some(want), "{path}");
        }
    }

    #[test]
    fn a_value_is_cut_at_slashes_and_then_decoded_once() {
        let mapping = mapping(&["/chat/{room}/{user}"]);
        let cases = [
            ("/chat/a/b", Some(("a", "b"))),
            ("/chat/gr%C3%BCn/%20", Some(("gr\u{fc}n", " "))),
            ("/chat/gr\u{fc}n/b", Some(("gr\u{fc}n", "b"))),
            ("/chat/a%2Fb/c", Some(("a/b", "c"))),
            ("/chat/%252F/+", Some(("%2F", "+"))),
            ("/chat/%00/..", Some(("\0", ".."))),
            // Not an escape, so not decoded.
            ("/chat/100%/%zz", Some(("100%", "%zz"))),
            ("/chat/%C3/b", None),
            ("/chat/a/%ff", None),
            ("/chat/%ED%A0%80/b", None),
        ];

        for (path, want) in cases {
            let params = mapping.find(path).map(|found| found.params);

            let want = want.map(|(room, user)| {
                let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
                vec![pair("room", room), pair("user", user)]
            });
            assert_eq!(params, want, "{path}");
        }
    }

    #[test]
    fn a_pattern_for_the_same_paths_is_refused_and_names_the_first() {
        let cases = [
            ("/chat", "/chat"),
            ("/chat/*", "/chat/*"),
            ("/*", "/*"),
            ("/chat/{room}", "/chat/{room}"),
            ("/chat/{room}/x/{user}", "/chat/{name}/x/{room}"),
        ];

        for (first, second) in cases {
            let mut mapping = mapping(&["/chat/{other}/y", "/cha", first]);
            let error = mapping.insert(second, "second").unwrap_err();

            assert_eq!(error, MappingError::duplicate(second, first));
            let path = first.replace(['{', '}', '*'], "");
            assert_eq!(found(&mapping, &path), Some(first));
        }
    }

    #[test]
    fn every_set_of_templates_finds_what_a_plain_search_finds() {
        let segments = ["a", "ab", "{x}", "{y}"];
        let mut templates: Vec<&'static str> = Vec::new();
        for (first, second) in segments.iter().flat_map(|a| segments.map(|b| (a, b))) {
            for third in ["", "/a", "/{z}"] {
                templates.push(format!("/{first}/{second}{third}").leak());
            }
        }
        templates.retain(|t| t.contains('{') && !t.contains("{x}/{x}") && !t.contains("{y}/{y}"));

        for picked in 0..1 << PICKED_FROM {
            let mut mapping = PathMapping::new();
            let mut kept = Vec::new();
            for bit in (0..PICKED_FROM).filter(|bit| picked >> bit & 1 == 1) {
                let template = templates[bit * templates.len() / PICKED_FROM];
                if mapping.insert(template, template).is_ok() {
                    kept.push(template);
                }
            }
            for path in [
                "/a/a", "/ab/b", "/b/ab", "/b/b", "/a/ab/a", "/ab/a/b", "/b/a/b",
            ] {
                assert_eq!(found(&mapping, path), best(&kept, path), "{kept:?} {path}");
            }
        }
    }

    /// Every subset of this many templates is tried: 4,096 subsets take a third of a second.
    const PICKED_FROM: usize = 12;

    /// The template that fits and is literal where it first differs from the others that do.
    fn best(templates: &[&'static str], path: &str) -> Option<&'static str> {
        let fits = |template: &&&str| {
            template.split('/').count() == path.split('/').count()
                && (template.split('/').zip(path.split('/')))
                    .all(|(want, got)| want.starts_with('{') || want == got)
        };
        let parameters = |template: &&&str| {
            let is_parameter = template.split('/').map(|s| s.starts_with('{'));
            is_parameter.collect::<Vec<_>>()
        };
        templates
            .iter()
            .filter(fits)
            .min_by_key(parameters)
            .copied()
    }
}
