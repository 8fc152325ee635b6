//! Which factory a request belongs to.

use std::{sync::Arc, time::Duration};

use http::{Method, Request};
use hyper::ext::Protocol;
use tokio::task::JoinSet;

use crate::{
    PathParams, RoutePattern, ShutdownReport, UpgradeRequest, WebSocketFactory,
    mapping::PathMapping,
};

/// Paths to factories: one factory for every path, or one for each mounted servlet.
///
/// A cheap clone. Made from a [`WebSocketFactory`] or from [`crate::Servlets`].
///
/// ```
/// # fn main() -> Result<(), ws_handler::ConfigError> {
/// use ws_handler::{Routes, WebSocketFactory, from_fn};
///
/// let factory = WebSocketFactory::builder()
///     .fallback(|_| from_fn(|_session, _message| async { Ok(()) }))
///     .build()?;
/// let routes = Routes::from(factory);
/// assert_eq!(routes.factories().count(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Routes(Arc<Table>);

#[derive(Debug)]
enum Table {
    Everywhere(WebSocketFactory),
    Mapped(Box<Mapped>),
}

#[derive(Debug)]
struct Mapped {
    paths: PathMapping<Mounted>,
    all: Vec<WebSocketFactory>,
}

/// A factory, and the pattern that it is mounted at.
#[derive(Clone, Debug)]
pub(crate) struct Mounted {
    factory: WebSocketFactory,
    pattern: RoutePattern,
}

impl Mounted {
    pub(crate) fn new(pattern: &str, factory: WebSocketFactory) -> Self {
        Self {
            factory,
            pattern: RoutePattern::new(pattern),
        }
    }
}

impl Routes {
    pub(crate) fn mapped(paths: PathMapping<Mounted>, all: Vec<WebSocketFactory>) -> Self {
        Self(Arc::new(Table::Mapped(Box::new(Mapped { paths, all }))))
    }

    /// The factory that answers `request`, if that asks for a WebSocket and its path is mapped; the
    /// path's parameters and its [`RoutePattern`] go to the request's extensions. Any other request stays as it is.
    #[must_use]
    pub fn find<B>(&self, request: &mut Request<B>) -> Option<WebSocketFactory> {
        if !UpgradeRequest::is_upgrade(request) {
            return None;
        }
        match &*self.0 {
            Table::Everywhere(factory) => Some(factory.clone()),
            Table::Mapped(mapped) => {
                let found = mapped.paths.find(request.uri().path())?;
                let Mounted { factory, pattern } = found.value.clone();
                let params = PathParams::from_iter(found.params);
                request.extensions_mut().insert(params);
                request.extensions_mut().insert(pattern);
                Some(factory)
            }
        }
    }

    /// Whether `request` wants to turn a path of ours into something else than a WebSocket: an
    /// extended CONNECT of HTTP/2 with another `:protocol`.
    pub(crate) fn refuses<B>(&self, request: &Request<B>) -> bool {
        let is_extended =
            request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some();
        is_extended
            && !UpgradeRequest::is_upgrade(request)
            && match &*self.0 {
                Table::Everywhere(_) => true,
                Table::Mapped(mapped) => mapped.paths.find(request.uri().path()).is_some(),
            }
    }

    /// Every factory.
    pub fn factories(&self) -> impl Iterator<Item = &WebSocketFactory> {
        match &*self.0 {
            Table::Everywhere(factory) => std::slice::from_ref(factory).iter(),
            Table::Mapped(mapped) => mapped.all.iter(),
        }
    }

    /// Stops every factory at the same time; see [`WebSocketFactory::shutdown`].
    ///
    /// # Cancel safety
    ///
    /// As of [`WebSocketFactory::shutdown`].
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let mut stopping: JoinSet<ShutdownReport> = self
            .factories()
            .cloned()
            .map(|factory| async move { factory.shutdown(deadline).await })
            .collect();
        let mut total = ShutdownReport::default();
        while let Some(report) = stopping.join_next().await {
            total = total.and(report.unwrap_or_default());
        }
        total
    }
}

impl From<WebSocketFactory> for Routes {
    fn from(factory: WebSocketFactory) -> Self {
        Self(Arc::new(Table::Everywhere(factory)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Servlets, WebSocketFactoryBuilder, from_fn};

    #[test]
    fn request_learns_the_pattern_and_not_only_the_parameters() {
        let echo = |builder: WebSocketFactoryBuilder| {
            builder.fallback(|_| from_fn(|_session, _message| async { Ok(()) }))
        };
        let routes = Routes::from(Servlets::new().mount("/chat/{room}", echo).unwrap());
        let mut request = Request::get("/chat/7")
            .header("upgrade", "websocket")
            .body(())
            .unwrap();

        let found = routes.find(&mut request);

        assert!(found.is_some());
        let pattern = request.extensions().get::<RoutePattern>().unwrap();
        assert_eq!(pattern.as_str(), "/chat/{room}");
    }
}
