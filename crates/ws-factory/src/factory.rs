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
    Accepted, Acceptor, ConnectionGuard, ExtensionOffer, FactoryStats, Policy, RefusalReason,
    Rejection, Session, SessionId, ShutdownReport, UpgradeRequest, WebSocketFactoryBuilder,
    extensions::ExtensionRegistry,
    launch::Launch,
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

    pub(crate) fn new(
        acceptor: Box<dyn Acceptor>,
        extensions: ExtensionRegistry,
        policy: Policy,
        sessions: Sessions,
    ) -> Self {
        Self(Arc::new(Inner {
            acceptor,
            extensions,
            policy: Arc::new(policy),
            sessions: Arc::new(sessions),
        }))
    }

    /// Whether a request asks for a WebSocket: its `Upgrade` lists `websocket`, or it is an extended
    /// CONNECT of HTTP/2 whose `:protocol` is that (RFC 8441 §4).
    #[must_use]
    pub fn is_upgrade<B>(&self, request: &Request<B>) -> bool {
        UpgradeRequest::is_upgrade(request)
    }

    /// Answers a request that asks for a WebSocket: with a 101 (over HTTP/2 200) and a session, or
    /// with a refusal.
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
        // Not the acceptor's to keep.
        let guard = request.extensions_mut().remove();
        let parts = take_head(request);
        match self.answer(parts, upgrade, guard).await {
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
        guard: Option<ConnectionGuard>,
    ) -> Result<Response<String>, Rejection> {
        let Inner {
            policy, sessions, ..
        } = &*self.0;
        let request = UpgradeRequest::parse(parts).map_err(|rejection| {
            let reason = RefusalReason::of_head(&rejection);
            rejection.because(reason)
        })?;
        let registration = sessions.admit(policy, &request, guard)?;
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
            let has_offers = checked.has_offers();
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
            Err(Candidate::none_selected(has_offers).because(RefusalReason::NoEndpoint))
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
    ///
    /// A list of handles, made anew for each call: for what is looked at, closed or told something
    /// now and then. Who sends to many all the time has them join a [`crate::Group`].
    ///
    /// ```
    /// use ws_factory::{Prepared, WebSocketFactory};
    ///
    /// /// Tells everybody who keeps up; returns how many those are.
    /// fn announce(factory: &WebSocketFactory, news: &str) -> usize {
    ///     let news = Prepared::from(news); // encoded once
    ///     let sessions = factory.sessions();
    ///     let told = sessions.iter().filter(|session| session.try_send_prepared(&news).is_ok());
    ///     told.count()
    /// }
    /// # use ws_factory::from_fn;
    /// # let factory = WebSocketFactory::builder()
    /// #     .fallback(|_| from_fn(|_session, _message| async { Ok(()) }))
    /// #     .build()?;
    /// # assert_eq!(announce(&factory, "maintenance at noon"), 0);
    /// # Ok::<(), ws_factory::ConfigError>(())
    /// ```
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.0.sessions.all()
    }

    /// The open session of this name.
    ///
    /// ```
    /// use ws_factory::{CloseCode, SessionId, WebSocketFactory};
    ///
    /// /// Returns whether there was such a session.
    /// fn kick(factory: &WebSocketFactory, id: SessionId) -> bool {
    ///     let Some(session) = factory.session(id) else {
    ///         return false;
    ///     };
    ///     session.close(CloseCode::POLICY_VIOLATION, "by an operator");
    ///     true
    /// }
    /// # use ws_factory::{Established, Role, Transport, from_fn};
    /// # let factory = WebSocketFactory::builder()
    /// #     .fallback(|_| from_fn(|_session, _message| async { Ok(()) }))
    /// #     .build()?;
    /// # let (near, _far) = tokio::io::duplex(64);
    /// # let mut foreign = Established::new(Transport::boxed(near), Role::Server);
    /// # assert!(!kick(&factory, foreign.session().id()), "a session of another factory");
    /// # Ok::<(), ws_factory::ConfigError>(())
    /// ```
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
