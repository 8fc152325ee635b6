//! What a factory is made of: endpoints or an acceptor, extensions, a policy, listeners.
//!
//! A mistake is told by [`WebSocketFactoryBuilder::build`], before there is a request.

use std::{fmt, future::Future, sync::Arc};

use crate::{
    Accept, Acceptor, ConfigError, Endpoint, EndpointRegistry, ExtensionNegotiator, OriginPolicy,
    Policy, Rejection, SessionListener, StatelessEndpoint, UpgradeRequest, WebSocketFactory,
    extensions::ExtensionRegistry, listener::Listeners, sessions::Sessions,
};

/// Configures a [`WebSocketFactory`].
#[derive(Default)]
#[must_use = "nothing is configured until it is built"]
pub struct WebSocketFactoryBuilder {
    registry: EndpointRegistry,
    acceptor: Option<Box<dyn Acceptor>>,
    extensions: ExtensionRegistry,
    policy: Policy,
    listeners: Listeners,
    /// The first mistake; told when it is built, so that the calls chain.
    fault: Option<ConfigError>,
}

impl WebSocketFactoryBuilder {
    /// Serves a subprotocol with an endpoint that is made for each connection.
    pub fn endpoint<E: Endpoint>(
        self,
        subprotocol: &str,
        make: impl Fn(&UpgradeRequest) -> E + Send + Sync + 'static,
    ) -> Self {
        self.registering(|registry| registry.register(Some(subprotocol), make))
    }

    /// Serves a subprotocol with an endpoint that is made for each connection, asynchronously. It
    /// may come with headers for the 101 and with state for the session, or be refused. An endpoint
    /// that all share is made once, and its [`Arc`] cloned.
    ///
    /// ```
    /// use ws_factory::{Accept, Endpoint, Rejection, UpgradeRequest, WebSocketFactory};
    /// # struct Chat;
    /// # impl Endpoint for Chat {}
    ///
    /// let builder = WebSocketFactory::builder().endpoint_with(
    ///     "chat",
    ///     |request: UpgradeRequest| async move {
    ///         if request.cookie("session").is_none() {
    ///             return Err(Rejection::forbidden("log in first"));
    ///         }
    ///         Ok(Accept::new(Chat).with_header("x-room", "lobby")?)
    ///     },
    /// );
    /// ```
    pub fn endpoint_with<E, Fut>(
        self,
        subprotocol: &str,
        make: impl Fn(UpgradeRequest) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        E: Endpoint,
        Fut: Future<Output = Result<Accept<E>, Rejection>> + Send + 'static,
    {
        self.registering(|registry| registry.register_with(Some(subprotocol), make))
    }

    /// Serves a subprotocol with one endpoint that all its connections share.
    pub fn shared<E: StatelessEndpoint>(
        self,
        subprotocol: &str,
        endpoint: impl Into<Arc<E>>,
    ) -> Self {
        self.registering(|registry| registry.register_shared(Some(subprotocol), endpoint))
    }

    /// Serves clients with which no subprotocol is agreed, as [`Self::endpoint`] does.
    pub fn fallback<E: Endpoint>(
        self,
        make: impl Fn(&UpgradeRequest) -> E + Send + Sync + 'static,
    ) -> Self {
        self.registering(|registry| registry.register(None, make))
    }

    /// Serves clients with which no subprotocol is agreed, as [`Self::endpoint_with`] does.
    pub fn fallback_with<E, Fut>(
        self,
        make: impl Fn(UpgradeRequest) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        E: Endpoint,
        Fut: Future<Output = Result<Accept<E>, Rejection>> + Send + 'static,
    {
        self.registering(|registry| registry.register_with(None, make))
    }

    /// Serves clients with which no subprotocol is agreed, as [`Self::shared`] does.
    pub fn fallback_shared<E: StatelessEndpoint>(self, endpoint: impl Into<Arc<E>>) -> Self {
        self.registering(|registry| registry.register_shared(None, endpoint))
    }

    /// Which origins may connect. Default: the same origin.
    pub fn with_origin(mut self, origin: OriginPolicy) -> Self {
        self.registry.set_origin(origin);
        self
    }

    /// Decides by an acceptor of your own, instead of by registered endpoints; it decides about
    /// origins, too.
    pub fn with_acceptor(mut self, acceptor: impl Acceptor) -> Self {
        self.acceptor = Some(Box::new(acceptor));
        self
    }

    /// Agrees to an extension when a client offers it. Default: to none.
    pub fn with_extension(mut self, negotiator: impl ExtensionNegotiator) -> Self {
        let name = negotiator.name().to_owned();
        if !self.extensions.add(Arc::new(negotiator)) {
            self.fault
                .get_or_insert(ConfigError::DuplicateExtension { name });
        }
        self
    }

    /// Tells a listener of every session that opens and closes. There may be several; they are told
    /// in the order in which they were added. What a listener shares with others it holds in an
    /// `Arc`.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use ws_factory::{CloseEvent, Session, SessionListener, WebSocketFactory, from_fn};
    ///
    /// /// What went through the sessions that are over, in bytes.
    /// #[derive(Clone, Default)]
    /// struct Bill(Arc<Mutex<u64>>);
    ///
    /// impl SessionListener for Bill {
    ///     fn closed(&self, session: &Session, _event: &CloseEvent) {
    ///         let traffic = session.stats();
    ///         if let Ok(mut bytes) = self.0.lock() {
    ///             *bytes += traffic.bytes_in() + traffic.bytes_out();
    ///         }
    ///     }
    /// }
    ///
    /// let bill = Bill::default();
    /// let factory = WebSocketFactory::builder()
    ///     .fallback(|_request| from_fn(|_session, _message| async { Ok(()) }))
    ///     .with_listener(bill.clone())
    ///     .build()?;
    /// # assert_eq!(bill.0.lock().map(|bytes| *bytes).ok(), Some(0));
    /// # Ok::<(), ws_factory::ConfigError>(())
    /// ```
    pub fn with_listener(mut self, listener: impl SessionListener) -> Self {
        self.listeners.0.push(Box::new(listener));
        self
    }

    /// The policy that sessions begin with. Default: [`Policy::default`].
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The policy so far, to change some of it.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Builds the factory.
    ///
    /// # Errors
    ///
    /// The first [`ConfigError`] that was made.
    ///
    /// ```
    /// use ws_factory::{ConfigError, WebSocketFactory};
    /// # struct Chat;
    /// # impl ws_factory::Endpoint for Chat {}
    ///
    /// let twice = WebSocketFactory::builder()
    ///     .endpoint("chat", |_request| Chat)
    ///     .endpoint("chat", |_request| Chat);
    /// assert!(matches!(twice.build(), Err(ConfigError::DuplicateSubprotocol { .. })));
    /// ```
    pub fn build(self) -> Result<WebSocketFactory, ConfigError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let acceptor: Box<dyn Acceptor> = match self.acceptor {
            Some(_) if !self.registry.is_empty() => return Err(ConfigError::AcceptorAndEndpoints),
            Some(acceptor) => acceptor,
            None if self.registry.is_empty() => return Err(ConfigError::NoEndpoint),
            None => Box::new(self.registry),
        };
        let sessions = Sessions::new(self.listeners);
        Ok(WebSocketFactory::new(
            acceptor,
            self.extensions,
            self.policy,
            sessions,
        ))
    }

    fn registering(
        mut self,
        register: impl FnOnce(&mut EndpointRegistry) -> Result<(), ConfigError>,
    ) -> Self {
        if let Err(fault) = register(&mut self.registry) {
            self.fault.get_or_insert(fault);
        }
        self
    }
}

impl fmt::Debug for WebSocketFactoryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketFactoryBuilder")
            .field("registry", &self.registry)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
