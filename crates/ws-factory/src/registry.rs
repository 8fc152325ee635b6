//! Endpoint factories by subprotocol: the usual [`Acceptor`].

use std::{collections::HashMap, fmt, future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;

use crate::{
    Accept, Accepted, Acceptor, Endpoint, OriginPolicy, Rejection, StatelessEndpoint,
    UpgradeRequest, headers,
};

/// Which endpoint serves which subprotocol, and which serves none.
///
/// Filled through [`crate::WebSocketFactory::builder`]; on its own for an acceptor that wraps it:
///
/// ```
/// use ws_factory::{
///     Accepted, Acceptor, EndpointRegistry, Rejection, UpgradeRequest, WebSocketFactory,
///     async_trait, from_fn,
/// };
///
/// /// Asks for a cookie, whatever the subprotocol.
/// struct LoggedIn(EndpointRegistry);
///
/// #[async_trait]
/// impl Acceptor for LoggedIn {
///     fn check_origin(&self, origin: &str, request: &UpgradeRequest) -> bool {
///         self.0.check_origin(origin, request)
///     }
///
///     async fn accept(
///         &self,
///         request: &UpgradeRequest,
///         subprotocol: Option<&str>,
///     ) -> Result<Option<Accepted>, Rejection> {
///         if request.cookie("session").is_none() {
///             return Err(Rejection::forbidden("log in first"));
///         }
///         self.0.accept(request, subprotocol).await
///     }
/// }
///
/// let mut endpoints = EndpointRegistry::new();
/// endpoints.register(Some("chat"), |_request| from_fn(|_session, _message| async { Ok(()) }))?;
/// let factory = WebSocketFactory::builder().with_acceptor(LoggedIn(endpoints)).build()?;
/// # Ok::<(), ws_factory::ConfigError>(())
/// ```
#[derive(Default)]
pub struct EndpointRegistry {
    by_subprotocol: HashMap<String, Make>,
    fallback: Option<Make>,
    origin: OriginPolicy,
}

type Made = Pin<Box<dyn Future<Output = Result<Accepted, Rejection>> + Send>>;
type Make = Box<dyn Fn(&UpgradeRequest) -> Made + Send + Sync>;

/// What is wrong with a factory's configuration: the caller's fault, found when it is built.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Two endpoints for one subprotocol.
    #[error("subprotocol {subprotocol:?} is registered twice")]
    DuplicateSubprotocol {
        /// The name.
        subprotocol: String,
    },
    /// Two endpoints for clients with which no subprotocol is agreed.
    #[error("there are two fallback endpoints")]
    DuplicateFallback,
    /// A name that cannot stand in `Sec-WebSocket-Protocol` (RFC 6455 §4.1).
    #[error("subprotocol {subprotocol:?} is not a token")]
    InvalidSubprotocol {
        /// The name.
        subprotocol: String,
    },
    /// Two extensions of one name.
    #[error("extension {name:?} is registered twice")]
    DuplicateExtension {
        /// The name.
        name: String,
    },
    /// No endpoint was registered.
    #[error("no endpoint is registered")]
    NoEndpoint,
    /// Endpoints were registered beside an acceptor that would never see them.
    #[error("endpoints are registered beside an acceptor")]
    AcceptorAndEndpoints,
}

impl EndpointRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a subprotocol, or none, with an endpoint that is made for each connection.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a name that is no token, or that has an endpoint.
    pub fn register<E: Endpoint>(
        &mut self,
        subprotocol: Option<&str>,
        make: impl Fn(&UpgradeRequest) -> E + Send + Sync + 'static,
    ) -> Result<(), ConfigError> {
        self.insert(
            subprotocol,
            Box::new(move |request| {
                let accepted = Accepted::from(Accept::new(make(request)));
                Box::pin(std::future::ready(Ok(accepted)))
            }),
        )
    }

    /// As [`Self::register`], asynchronously; the endpoint may come with headers for the 101 and
    /// state for the session, or not at all.
    ///
    /// # Errors
    ///
    /// As [`Self::register`].
    pub fn register_with<E, Fut>(
        &mut self,
        subprotocol: Option<&str>,
        make: impl Fn(UpgradeRequest) -> Fut + Send + Sync + 'static,
    ) -> Result<(), ConfigError>
    where
        E: Endpoint,
        Fut: Future<Output = Result<Accept<E>, Rejection>> + Send + 'static,
    {
        self.insert(
            subprotocol,
            Box::new(move |request| {
                let made = make(request.clone());
                Box::pin(async move { made.await.map(Accepted::from) })
            }),
        )
    }

    /// Serves a subprotocol, or none, with one endpoint that all its connections share.
    ///
    /// # Errors
    ///
    /// As [`Self::register`].
    pub fn register_shared<E: StatelessEndpoint>(
        &mut self,
        subprotocol: Option<&str>,
        endpoint: impl Into<Arc<E>>,
    ) -> Result<(), ConfigError> {
        let endpoint = endpoint.into();
        self.register(subprotocol, move |_| Arc::clone(&endpoint))
    }

    /// Which origins may connect. Default: the same origin.
    pub fn set_origin(&mut self, origin: OriginPolicy) {
        self.origin = origin;
    }

    /// Whether nothing is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_subprotocol.is_empty() && self.fallback.is_none()
    }

    fn insert(&mut self, subprotocol: Option<&str>, make: Make) -> Result<(), ConfigError> {
        let Some(name) = subprotocol else {
            return match self.fallback.replace(make) {
                Some(_) => Err(ConfigError::DuplicateFallback),
                None => Ok(()),
            };
        };
        let subprotocol = name.to_owned();
        if headers::token(name.as_bytes()).is_none() {
            return Err(ConfigError::InvalidSubprotocol { subprotocol });
        }
        if self.by_subprotocol.insert(name.to_owned(), make).is_some() {
            return Err(ConfigError::DuplicateSubprotocol { subprotocol });
        }
        Ok(())
    }
}

#[async_trait]
impl Acceptor for EndpointRegistry {
    fn check_origin(&self, origin: &str, request: &UpgradeRequest) -> bool {
        self.origin.allows(origin, request)
    }

    async fn accept(
        &self,
        request: &UpgradeRequest,
        subprotocol: Option<&str>,
    ) -> Result<Option<Accepted>, Rejection> {
        let make = match subprotocol {
            Some(name) => self.by_subprotocol.get(name),
            None => self.fallback.as_ref(),
        };
        match make {
            Some(make) => make(request).await.map(Some),
            None => Ok(None),
        }
    }
}

impl fmt::Debug for EndpointRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointRegistry")
            .field("subprotocols", &self.by_subprotocol.keys())
            .field("fallback", &self.fallback.is_some())
            .field("origin", &self.origin)
            .finish()
    }
}
