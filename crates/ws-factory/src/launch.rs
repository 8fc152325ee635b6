//! From a finished handshake to a running driver.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use pin_project_lite::pin_project;
use ws_core::{Connection, Delivery, ExtensionStack, Role, generator::MaskKeys};

use crate::{
    Endpoint, Policy, RequestSnapshot, Session, SessionExtensions, Transport, buffers,
    driver::Driver, link::Link, queue::Encoding, sessions::Registration, tally::Meter,
    trace::InSpan, upgrade::PendingUpgrade,
};

/// An accepted handshake whose connection is yet to come.
pub(crate) struct Launch {
    pub(crate) upgrade: PendingUpgrade,
    pub(crate) extensions: ExtensionStack,
    pub(crate) request: RequestSnapshot,
    pub(crate) policy: Arc<Policy>,
    pub(crate) registration: Registration,
}

impl Launch {
    /// The life of the session's task; what its session begins with.
    pub(crate) fn run<E: Endpoint>(
        self,
        endpoint: E,
        extensions: SessionExtensions,
    ) -> impl Future<Output = ()> + Send {
        Life::Connecting {
            // Boxed, so that the task has no room for what is over once it is connected.
            connecting: Box::pin(self.connect(endpoint, extensions)),
            run: Established::run,
        }
    }

    async fn connect<E>(
        self,
        endpoint: E,
        extensions: SessionExtensions,
    ) -> Option<(Established, E)> {
        let limit = self.policy.accept_deadline();
        let (transport, read_ahead) = match connect(self.upgrade, &self.registration, limit).await {
            Ok(connected) => connected,
            Err(error) => {
                self.registration.upgrade_failed(error);
                return None;
            }
        };
        let established = Established::new(transport, Role::Server)
            .with_read_ahead(read_ahead)
            .with_request(self.request)
            .with_extensions(self.extensions)
            .with_shared_policy(self.policy)
            .knowing(extensions)
            .registered(self.registration);
        Some((established, endpoint))
    }
}

pin_project! {
    /// The life of a session's task. Not an `async fn`: that is 40 instructions more for every
    /// message, as one state machine within another.
    #[project = LifeProjection]
    enum Life<C, R, S> {
        Connecting {
            connecting: Pin<Box<C>>,
            run: R,
        },
        Living {
            #[pin]
            session: S,
        },
    }
}

impl<E, C, R, S> Future for Life<C, R, S>
where
    C: Future<Output = Option<(Established, E)>>,
    R: Fn(Established, E) -> S,
    S: Future<Output = ()>,
{
    type Output = ();

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.as_mut().project() {
            LifeProjection::Living { session } => session.poll(cx),
            LifeProjection::Connecting { .. } => self.poll_connecting(cx),
        }
    }
}

impl<E, C, R, S> Life<C, R, S>
where
    C: Future<Output = Option<(Established, E)>>,
    R: Fn(Established, E) -> S,
    S: Future<Output = ()>,
{
    #[cold]
    fn poll_connecting(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let LifeProjection::Connecting { connecting, run } = self.as_mut().project() {
            let Some((established, endpoint)) = ready!(connecting.as_mut().poll(cx)) else {
                return Poll::Ready(());
            };
            let session = run(established, endpoint);
            self.set(Self::Living { session });
        }
        match self.project() {
            LifeProjection::Living { session } => session.poll(cx),
            LifeProjection::Connecting { .. } => Poll::Pending,
        }
    }
}

/// Waits for the connection, or for what makes it not worth waiting.
async fn connect(
    upgrade: PendingUpgrade,
    registration: &Registration,
    limit: Duration,
) -> Result<(Transport, Bytes), &'static str> {
    let mut upgraded = pin!(upgrade.ready());
    let mut cut = pin!(registration.cut());
    let connected = poll_fn(|cx| {
        if let Poll::Ready(upgraded) = upgraded.as_mut().poll(cx) {
            return Poll::Ready(
                upgraded.map_err(|_| "connection lost, or served without upgrades"),
            );
        }
        cut.as_mut().poll(cx).map(|()| Err("factory shut down"))
    });
    tokio::time::timeout(limit, connected)
        .await
        .unwrap_or(Err("deadline passed"))
}

/// A connection whose handshake is done, whoever did it: what an endpoint can be run over.
///
/// [`crate::WebSocketFactory`] and the client make these by themselves. Make one to bring a
/// handshake of your own, or to test an endpoint over a pipe:
///
/// ```
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use ws_factory::{Established, Message, Role, Session, Transport, from_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let (near, mut far) = tokio::io::duplex(1024);
/// let echo = from_fn(|session: Session, message: Message| async move {
///     session.send(message).await?;
///     Ok(())
/// });
/// let established = Established::new(Transport::boxed(near), Role::Server);
/// let task = tokio::spawn(established.run(echo));
///
/// far.write_all(b"\x81\x82\x00\x00\x00\x00hi").await?; // a masked text frame
/// let mut answer = [0; 4];
/// far.read_exact(&mut answer).await?;
/// assert_eq!(&answer, b"\x81\x02hi");
/// # drop(far);
/// # task.await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens until it is run"]
pub struct Established {
    transport: Transport,
    role: Role,
    read_ahead: Bytes,
    request: RequestSnapshot,
    extensions: ExtensionStack,
    policy: Arc<Policy>,
    keys: Option<Box<dyn MaskKeys>>,
    registration: Registration,
    /// What the session begins with.
    session_extensions: SessionExtensions,
    session: Option<Session>,
}

impl Established {
    /// A connection of which we are the given end. A client needs
    /// [`Self::with_mask_keys`], too.
    pub fn new(transport: Transport, role: Role) -> Self {
        Self {
            transport,
            role,
            read_ahead: Bytes::new(),
            request: RequestSnapshot::default(),
            extensions: ExtensionStack::default(),
            policy: Arc::new(Policy::default()),
            keys: None,
            registration: Registration::none(),
            session_extensions: SessionExtensions::default(),
            session: None,
        }
    }

    /// What was read behind the handshake.
    pub fn with_read_ahead(mut self, read_ahead: Bytes) -> Self {
        self.read_ahead = read_ahead;
        self
    }

    /// What the session shall know of the request.
    pub fn with_request(mut self, request: RequestSnapshot) -> Self {
        self.request = request;
        self
    }

    /// The extensions that were agreed on. Default: none. To be said before [`Self::session`], as
    /// what is sent from then on goes through them.
    pub fn with_extensions(mut self, extensions: ExtensionStack) -> Self {
        self.extensions = extensions;
        self
    }

    /// The session's policy. Default: [`Policy::default`].
    pub fn with_policy(self, policy: Policy) -> Self {
        self.with_shared_policy(Arc::new(policy))
    }

    /// Where a client's masking keys come from: a source that nobody can predict (RFC 6455 §5.3).
    pub fn with_mask_keys(mut self, keys: impl MaskKeys + 'static) -> Self {
        self.keys = Some(Box::new(keys));
        self
    }

    fn with_shared_policy(mut self, policy: Arc<Policy>) -> Self {
        self.policy = policy;
        self
    }

    fn knowing(mut self, extensions: SessionExtensions) -> Self {
        self.session_extensions = extensions;
        self
    }

    fn registered(mut self, registration: Registration) -> Self {
        self.registration = registration;
        self
    }

    /// The session, before it runs: it can be cloned, kept, and sent to.
    pub fn session(&mut self) -> &Session {
        self.session.get_or_insert_with(|| {
            let encoding = match self.role.masks() || !self.extensions.is_empty() {
                true => Encoding::Anew,
                false => Encoding::Plain,
            };
            let request = std::mem::take(&mut self.request);
            let extensions = std::mem::take(&mut self.session_extensions);
            let meter = Meter::new(self.registration.counters());
            Session::new(
                request,
                Arc::clone(&self.policy),
                encoding,
                extensions,
                meter,
            )
        })
    }

    /// Runs the endpoint to the end of the session. Spawn it: it is the session's one task.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the session ends with 1006 at once: it leaves the live set,
    /// [`Session::closed`] resolves, the endpoint is dropped; no event runs.
    ///
    /// # Panics
    ///
    /// For a client without masking keys: it could not send anything.
    pub fn run<E: Endpoint>(mut self, endpoint: E) -> impl Future<Output = ()> + Send {
        assert!(
            self.keys.is_some() || !self.role.masks(),
            "a client needs masking keys"
        );
        const {
            assert!(
                !E::STREAM || !(E::FRAMES || E::PARTIAL),
                "an endpoint with STREAM has neither FRAMES nor PARTIAL"
            );
        }
        let session = self.session().clone();
        let delivery = match (E::FRAMES, E::PARTIAL || E::STREAM) {
            (false, false) => Delivery::Messages,
            (false, true) => Delivery::Partials,
            (true, false) => Delivery::Frames,
            (true, true) => Delivery::FramesAndPartials,
        };
        let mut connection =
            Connection::new(self.role, self.policy.limits(), delivery, self.extensions);
        // A copy: a slice would keep the HTTP connection's whole read buffer alive.
        if !self.read_ahead.is_empty() {
            connection.recv(buffers::read_buffer(&self.read_ahead));
        }
        let mut registration = self.registration;
        let span = registration.connected(&session);
        let link = Link::new(
            self.transport,
            self.role,
            connection,
            session.clone(),
            self.keys,
            registration,
        );
        let driver = Driver {
            endpoint,
            session,
            link,
        };
        InSpan::new(span, driver.run())
    }
}

impl std::fmt::Debug for Established {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Established")
            .field("role", &self.role)
            .field("read_ahead", &self.read_ahead.len())
            .finish_non_exhaustive()
    }
}
