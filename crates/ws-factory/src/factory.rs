//! From an HTTP request to a session: accepting, as a straight line.
//!
//! Read this first to know how a handshake is answered: [`WebSocketFactory::accept`].

use std::{
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::{Request, Response, StatusCode, request::Parts};
use ws_core::ExtensionStack;

use crate::{
    Accept, Accepted, Acceptor, ConfigError, Endpoint, EndpointRegistry, ExtensionNegotiator,
    ExtensionOffer, FactoryStats, OriginPolicy, Policy, RefusalReason, Rejection, Session,
    SessionId, SessionListener, ShutdownReport, StatelessEndpoint, UpgradeRequest,
    extensions::ExtensionRegistry,
    launch::Launch,
    listener::Listeners,
    negotiation::{Candidate, OriginChecked},
    sessions::Sessions,
    upgrade::PendingUpgrade,
};

/// Accepts WebSocket handshakes, makes an endpoint for each, and knows the sessions that came of
/// them.
///
/// A cheap clone. Put it into a `WebSocketHandler`, or call [`Self::accept`] in a handler of your
/// own.
///
/// ```
/// use ws_factory::{Endpoint, EventResult, Session, Text, WebSocketFactory};
///
/// struct Echo;
///
/// impl Endpoint for Echo {
///     async fn on_text(&mut self, session: &Session, text: Text) -> EventResult {
///         session.send_text(text).await?;
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), ws_factory::ConfigError> {
/// let factory = WebSocketFactory::builder()
///     .endpoint("echo", |_request| Echo)
///     .fallback(|_request| Echo)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct WebSocketFactory(Arc<Inner>);

struct Inner {
    acceptor: Box<dyn Acceptor>,
    extensions: ExtensionRegistry,
    policy: Arc<Policy>,
    sessions: Arc<Sessions>,
}

impl WebSocketFactory {
    /// Begins to configure a factory.
    pub fn builder() -> WebSocketFactoryBuilder {
        WebSocketFactoryBuilder::default()
    }

    /// Whether a request asks for a WebSocket: its `Upgrade` lists `websocket`.
    #[must_use]
    pub fn is_upgrade<B>(&self, request: &Request<B>) -> bool {
        UpgradeRequest::is_upgrade(request)
    }

    /// Answers a request that asks for a WebSocket: with a 101 and a session, or with a refusal.
    ///
    /// `None` for any other request, which is left as it was. Return the response as it is: the
    /// session begins once it has been written, on a task of its own.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, there is no session and no trace of one.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// ```
    /// # use http::{Request, Response};
    /// # use ws_factory::WebSocketFactory;
    /// async fn handle<B>(factory: WebSocketFactory, mut request: Request<B>) -> Response<String> {
    ///     if let Some(response) = factory.accept(&mut request).await {
    ///         return response;
    ///     }
    ///     Response::new("an ordinary page".into())
    /// }
    /// ```
    pub async fn accept<B>(&self, request: &mut Request<B>) -> Option<Response<String>> {
        if !self.is_upgrade(request) {
            return None;
        }
        let upgrade = PendingUpgrade::take(request);
        let parts = take_head(request);
        match self.answer(parts, upgrade).await {
            Ok(response) => Some(response),
            Err(rejection) => {
                self.0.sessions.refused(&rejection);
                Some(rejection.into_response())
            }
        }
    }

    /// Request, place, origin, endpoint, 101: each step needs the one before.
    async fn answer(
        &self,
        parts: Parts,
        upgrade: PendingUpgrade,
    ) -> Result<Response<String>, Rejection> {
        let Inner {
            policy, sessions, ..
        } = &*self.0;
        let request = UpgradeRequest::parse(parts).map_err(|rejection| {
            let reason = RefusalReason::of_head(rejection.status());
            rejection.because(reason)
        })?;
        let registration = sessions.admit(policy, &request)?;
        let Choice {
            accepted,
            candidate,
            extensions,
            agreed,
        } = self.choose(request, registration.cut()).await?;
        let negotiated = candidate.select(agreed);

        let launch = Launch {
            upgrade,
            extensions,
            request: negotiated.snapshot(policy.kept_headers()),
            policy: Arc::clone(policy),
            registration,
        };
        let Accepted { start, headers } = accepted;
        start(launch);
        Ok(negotiated.into_response(headers))
    }

    /// Asks the acceptor, within its deadline and until a shutdown cuts it, and the extensions; a
    /// panic in them is a 500.
    async fn choose(
        &self,
        request: UpgradeRequest,
        cut: impl Future<Output = ()>,
    ) -> Result<Choice, Rejection> {
        let Inner {
            acceptor,
            extensions,
            policy,
            sessions,
            ..
        } = &*self.0;
        let choice = async move {
            let checked = OriginChecked::check(request, |origin, request| {
                acceptor.check_origin(origin, request)
            })
            .map_err(|rejection| rejection.because(RefusalReason::Origin))?;
            for candidate in checked.candidates() {
                let accepted = acceptor
                    .accept(candidate.request(), candidate.subprotocol())
                    .await
                    .map_err(of_application)?;
                if let Some(accepted) = accepted {
                    let offers = candidate.request().extension_offers();
                    let (extensions, agreed) = extensions.agree(offers, policy.compression());
                    return Ok(Choice {
                        accepted,
                        candidate,
                        extensions,
                        agreed,
                    });
                }
            }
            Err(Candidate::none_selected().because(RefusalReason::NoEndpoint))
        };
        let (mut choice, mut cut) = (pin!(choice), pin!(cut));
        let guarded = poll_fn(|cx| {
            if cut.as_mut().poll(cx).is_ready()
                && let Err(rejection) = sessions.check_going_on()
            {
                return Poll::Ready(Err(rejection));
            }
            catch_unwind(AssertUnwindSafe(|| choice.as_mut().poll(cx))).unwrap_or_else(|_panic| {
                let text = "the endpoint could not be made";
                let rejection = Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, text);
                Poll::Ready(Err(rejection.because(RefusalReason::Failed)))
            })
        });
        tokio::time::timeout(policy.accept_deadline(), guarded)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(Rejection::unavailable("no endpoint in time")
                    .with_retry_after(policy.accept_deadline())
                    .because(RefusalReason::Timeout))
            })
    }

    /// The sessions that are open; those that open or close meanwhile may be among them or not.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.0.sessions.all()
    }

    /// The open session of this name.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<Session> {
        self.0.sessions.get(id)
    }

    /// What the factory has done so far.
    #[must_use]
    pub fn stats(&self) -> FactoryStats {
        self.0.sessions.stats()
    }

    /// The policy that sessions begin with.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// Stops: new handshakes get 503 with `Retry-After` (what is left of the deadline), and so do, at
    /// the deadline, those whose endpoint is still being made; every session, also one that opens
    /// meanwhile, gets a Close 1001 behind what is queued for it; those that answer until `deadline`
    /// end cleanly, the rest are cut.
    ///
    /// ```
    /// # async fn stop(factory: &ws_factory::WebSocketFactory) {
    /// let report = factory.shutdown(std::time::Duration::from_secs(10)).await;
    /// println!("{} ended by handshake, {} cut", report.clean(), report.cut());
    /// # }
    /// ```
    ///
    /// Resolves when no task of a session is left. That is at the deadline, or as much later as the
    /// last `on_close` takes, within `Policy::close_timeout`. There is no way back. Called within an
    /// event it would wait for that event's own session, up to the deadline: spawn it there.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, handshakes stay refused and the Closes are on their way; what
    /// does not answer is not cut. It may be called again, also while it runs: the shortest deadline
    /// cuts for all who wait.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.0.sessions.shutdown(deadline).await
    }
}

/// A refusal of the application's, whether it meant to or failed.
fn of_application(rejection: Rejection) -> Rejection {
    let reason = match std::error::Error::source(&rejection) {
        Some(_) => RefusalReason::Failed,
        None => RefusalReason::Application,
    };
    rejection.because(reason)
}

/// What a handshake is answered with.
struct Choice {
    accepted: Accepted,
    candidate: Candidate,
    extensions: ExtensionStack,
    agreed: Vec<ExtensionOffer>,
}

impl fmt::Debug for WebSocketFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketFactory")
            .field("policy", &self.0.policy)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Takes the head of a request, so that nothing of it is copied.
fn take_head<B>(request: &mut Request<B>) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = request.uri().clone();
    parts.version = request.version();
    parts.headers = std::mem::take(request.headers_mut());
    parts.extensions = std::mem::take(request.extensions_mut());
    parts
}

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
    /// may come with headers for the 101, or be refused.
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
    /// in the order in which they were added.
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
        Ok(WebSocketFactory(Arc::new(Inner {
            acceptor,
            extensions: self.extensions,
            policy: Arc::new(self.policy),
            sessions: Arc::new(Sessions::new(self.listeners)),
        })))
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
