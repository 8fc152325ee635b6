//! A request for `/stats` in, the counters of every factory out, as JSON.
//!
//! One object of plain numbers, all factories taken together. It is about 700 bytes long whatever
//! peers do: they choose no key of it. What is counted how, `FactoryStats` says.
//!
//! | key | what |
//! |---|---|
//! | `open`, `handshakes`, `peers` | now |
//! | `opened`, `failed_upgrades`, `cut_events` | since the start |
//! | `refused` | an object: handshakes by `RefusalReason`, all of them, those with 0 too |
//! | `closed` | an object: sessions by close code, `"1000"`, or range, `"3000-3999"`; those with 0 are left out |
//! | `messages_in`, `messages_out`, `bytes_in`, `bytes_out` | payload, seen from the server |
//! | `pings_in`, `pings_out`, `pongs_in`, `pongs_out` | control frames, likewise |
//! | `dropped` | messages that slow members of groups missed |
//! | `most_waiting_messages`, `most_waiting_bytes` | the most that ever waited in one session's outbox |
//!
//! It is for the page of the same origin: there is no header that lets another read it, and no
//! cache keeps it.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::{Either, Full};
use ws_handler::{FactoryStats, RefusalReason, Routes, Traffic};

use crate::{
    StaticBody,
    static_files::{method_not_allowed, response},
};

/// Answers `GET` and `HEAD` of `/stats` with what the factories behind some routes have counted. A
/// cheap clone.
///
/// Counters are added up over the factories; of the high-water marks it is the highest. A peer that
/// two factories know counts twice.
///
/// ```
/// use test_protocols::StatsRoute;
/// use ws_handler::Routes;
///
/// let routes = Routes::from(test_protocols::factory(None, None)?);
/// let stats = StatsRoute::new(routes);
///
/// assert!(stats.serve(&http::Request::get("/stats").body(())?).is_some());
/// assert!(stats.serve(&http::Request::get("/").body(())?).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct StatsRoute {
    routes: Routes,
}

impl StatsRoute {
    /// Shows the factories behind `routes`, those of other routes not.
    #[must_use]
    pub const fn new(routes: Routes) -> Self {
        Self { routes }
    }

    /// Answers a request for `/stats`, whose query and body are not looked at, with 200 or 405;
    /// any other request is `None`.
    #[must_use]
    pub fn serve<B>(&self, request: &Request<B>) -> Option<Response<StaticBody>> {
        if request.uri().path() != PATH {
            return None;
        }
        let mut response = match *request.method() {
            Method::GET | Method::HEAD => self.reading(),
            _ => method_not_allowed(),
        };
        if request.method() == Method::HEAD {
            *response.body_mut() = Either::Left(Full::default());
        }
        let headers = response.headers_mut();
        for (name, value) in [
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Some(response)
    }

    fn reading(&self) -> Response<StaticBody> {
        let factories = self.routes.factories();
        let json = Reading(factories.map(|factory| factory.stats()).collect()).to_string();
        let bytes = json.len() as u64;
        let body = Either::Left(Full::from(json));
        response(StatusCode::OK, "application/json", bytes, body)
    }
}

const PATH: &str = "/stats";

/// Without it another origin's page could not read the answer either, but have it loaded.
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// What each factory has counted; displayed, it is the JSON of their sum.
struct Reading(Vec<FactoryStats>);

impl Reading {
    fn sum(&self, count: impl Fn(&FactoryStats) -> u64) -> u64 {
        self.0.iter().map(count).sum()
    }

    fn traffic(&self, count: impl Fn(&Traffic) -> u64) -> u64 {
        self.sum(|stats| count(stats.traffic()))
    }

    fn most(&self, peak: impl Fn(&Traffic) -> u64) -> u64 {
        let peaks = self.0.iter().map(|stats| peak(stats.traffic()));
        peaks.max().unwrap_or_default()
    }

    fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RefusalReason::ALL
            .into_iter()
            .map(|reason| (reason.as_str(), self.sum(|it| it.refused_for(reason))))
    }

    fn closed(&self) -> impl Iterator<Item = (String, u64)> {
        let mut counts = BTreeMap::new();
        for (codes, count) in self.0.iter().flat_map(FactoryStats::closed_by_code) {
            *counts.entry(codes.into_inner()).or_default() += count;
        }
        counts.into_iter().map(|(codes, count)| match codes {
            (first, last) if first == last => (first.to_string(), count),
            (first, last) => (format!("{first}-{last}"), count),
        })
    }
}

impl Display for Reading {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let numbers = [
            ("open", self.sum(|it| it.open() as u64)),
            ("handshakes", self.sum(|it| it.handshakes() as u64)),
            ("peers", self.sum(|it| it.peers() as u64)),
            ("opened", self.sum(FactoryStats::opened)),
            ("failed_upgrades", self.sum(FactoryStats::failed_upgrades)),
            ("cut_events", self.sum(FactoryStats::cut_events)),
            ("messages_in", self.traffic(Traffic::messages_in)),
            ("messages_out", self.traffic(Traffic::messages_out)),
            ("bytes_in", self.traffic(Traffic::bytes_in)),
            ("bytes_out", self.traffic(Traffic::bytes_out)),
            ("pings_in", self.traffic(Traffic::pings_in)),
            ("pings_out", self.traffic(Traffic::pings_out)),
            ("pongs_in", self.traffic(Traffic::pongs_in)),
            ("pongs_out", self.traffic(Traffic::pongs_out)),
            ("dropped", self.traffic(Traffic::dropped)),
            (
                "most_waiting_messages",
                self.most(Traffic::most_waiting_messages),
            ),
            ("most_waiting_bytes", self.most(Traffic::most_waiting_bytes)),
        ];
        f.write_str("{")?;
        for (key, number) in numbers {
            write!(f, "\"{key}\":{number},")?;
        }
        f.write_str("\"refused\":")?;
        write_object(f, self.refused())?;
        f.write_str(",\"closed\":")?;
        write_object(f, self.closed())?;
        f.write_str("}\n")
    }
}

/// Keys are our own words and numbers, so nothing in them has to be escaped.
fn write_object(
    f: &mut Formatter<'_>,
    members: impl Iterator<Item = (impl Display, u64)>,
) -> fmt::Result {
    f.write_str("{")?;
    for (index, (key, number)) in members.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(f, "{comma}\"{key}\":{number}")?;
    }
    f.write_str("}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_of_no_factory_is_all_zeros() {
        assert_eq!(
            Reading(Vec::new()).to_string(),
            "{\"open\":0,\"handshakes\":0,\"peers\":0,\"opened\":0,\"failed_upgrades\":0,\
             \"cut_events\":0,\"messages_in\":0,\"messages_out\":0,\"bytes_in\":0,\"bytes_out\":0,\
             \"pings_in\":0,\"pings_out\":0,\"pongs_in\":0,\"pongs_out\":0,\"dropped\":0,\
             \"most_waiting_messages\":0,\"most_waiting_bytes\":0,\
             \"refused\":{\"method\":0,\"version\":0,\"header\":0,\"origin\":0,\"no_endpoint\":0,\
             \"application\":0,\"failed\":0,\"timeout\":0,\"sessions\":0,\"sessions_of_peer\":0,\
             \"handshakes\":0,\"shutting_down\":0},\"closed\":{}}\n"
        );
    }

    #[test]
    fn path_is_matched_as_a_whole_and_without_its_query() {
        let factory = crate::factory(None, None).unwrap();
        let stats = StatsRoute::new(Routes::from(factory));
        for (target, ours) in [
            ("/stats", true),
            ("/stats?t=1", true),
            ("/stats/", false),
            ("//stats", false),
            ("/STATS", false),
            ("/statsx", false),
            ("/", false),
        ] {
            let request = Request::get(target).body(()).unwrap();

            assert_eq!(stats.serve(&request).is_some(), ours, "{target}");
        }
    }
}
