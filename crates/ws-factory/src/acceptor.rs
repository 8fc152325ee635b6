//! Who says yes: the decision whether, and with which endpoint, a handshake is accepted.

use std::fmt;

use async_trait::async_trait;
use http::{HeaderValue, header::HeaderName};

use crate::{
    Endpoint, HeaderError, OriginPolicy, Rejection, SessionExtensions, UpgradeRequest,
    launch::Launch, negotiation::ExtraHeaders,
};

/// Decides about handshakes (Jetty's `WebSocketFactory.Acceptor`).
///
/// [`crate::EndpointRegistry`] is the usual one; implement your own to decide by something else
/// than the subprotocol.
///
/// ```
/// use async_trait::async_trait;
/// use ws_factory::{Accept, Accepted, Acceptor, Endpoint, Rejection, UpgradeRequest};
///
/// struct Quiet;
/// impl Endpoint for Quiet {}
///
/// struct ByPath;
///
/// #[async_trait]
/// impl Acceptor for ByPath {
///     async fn accept(
///         &self,
///         request: &UpgradeRequest,
///         subprotocol: Option<&str>,
///     ) -> Result<Option<Accepted>, Rejection> {
///         if request.path() != "/quiet" {
///             return Err(Rejection::not_found("no such room"));
///         }
///         Ok(subprotocol.is_none().then(|| Accept::new(Quiet).into()))
///     }
/// }
/// ```
#[async_trait]
pub trait Acceptor: Send + Sync + 'static {
    /// Whether a page of this origin may connect (RFC 6455 §10.2); 403 if not. Not asked where the
    /// request has no `Origin`.
    ///
    /// The default is the same origin: a browser would otherwise connect on behalf of any page.
    fn check_origin(&self, origin: &str, request: &UpgradeRequest) -> bool {
        OriginPolicy::same_origin().allows(origin, request)
    }

    /// The endpoint for a request and a subprotocol; `None` for "not this one".
    ///
    /// Asked for each subprotocol that the client offers, in the client's order, and then with
    /// none, until there is an endpoint; 400 if there never is. All of it may take
    /// `Policy::accept_deadline`, then it is 503; a panic is a 500.
    ///
    /// # Errors
    ///
    /// A rejection ends the handshake with its status.
    async fn accept(
        &self,
        request: &UpgradeRequest,
        subprotocol: Option<&str>,
    ) -> Result<Option<Accepted>, Rejection>;
}

/// An endpoint for one handshake, what its session is to know, and what is added to the 101 that
/// accepts it.
///
/// ```
/// use ws_factory::{Accept, Endpoint, HeaderError};
/// # struct Quiet;
/// # impl Endpoint for Quiet {}
/// # fn main() -> Result<(), HeaderError> {
/// let accept = Accept::new(Quiet).with_header("x-room", "7")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Accept<E> {
    endpoint: E,
    headers: ExtraHeaders,
    extensions: SessionExtensions,
}

impl<E: Endpoint> Accept<E> {
    /// Accepts with this endpoint.
    #[must_use]
    pub fn new(endpoint: E) -> Self {
        Self {
            endpoint,
            headers: ExtraHeaders::default(),
            extensions: SessionExtensions::default(),
        }
    }

    /// Adds a header to the 101, over HTTP/2 to the 200.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] for a header that belongs to the handshake, and for a name or a value that
    /// cannot be one, such as one with a line break.
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Result<Self, HeaderError>
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.headers.append(name, value)?;
        Ok(self)
    }

    /// Puts a value into [`crate::Session::extensions`], where it is before `on_connect`, and before
    /// a [`crate::SessionListener`] is told. The last of a type counts.
    ///
    /// It is how what was found out about a request gets to an endpoint that all sessions share; an
    /// endpoint of one session holds it in a field.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ws_factory::{
    ///     Accept, EventResult, Rejection, Session, StatelessEndpoint, UpgradeRequest,
    ///     WebSocketFactory,
    /// };
    ///
    /// struct User(String);
    ///
    /// struct Chat;
    ///
    /// impl StatelessEndpoint for Chat {
    ///     async fn on_connect(&self, session: &Session) -> EventResult {
    ///         let user = session.extensions().get::<User>().ok_or("accepted without a user")?;
    ///         session.send_text(format!("hello, {}", user.0)).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let chat = Arc::new(Chat);
    /// let builder = WebSocketFactory::builder().fallback_with(move |request: UpgradeRequest| {
    ///     let chat = Arc::clone(&chat);
    ///     async move {
    ///         let Some(user) = request.cookie("user") else {
    ///             return Err(Rejection::forbidden("log in first"));
    ///         };
    ///         Ok(Accept::new(chat).with_session_extension(User(user.to_owned())))
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn with_session_extension<T: Send + Sync + 'static>(self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }
}

impl<E: Endpoint> From<E> for Accept<E> {
    fn from(endpoint: E) -> Self {
        Self::new(endpoint)
    }
}

/// An [`Accept`] whose endpoint's type has been forgotten: all that is left is that it can be run.
pub struct Accepted {
    pub(crate) start: Start,
    pub(crate) headers: ExtraHeaders,
}

/// Starts the task that runs an endpoint over a connection that is yet to come. The one box per
/// connection: behind it is the whole driver, compiled for this endpoint, so no event needs one.
type Start = Box<dyn FnOnce(Launch) + Send>;

impl<E: Endpoint> From<Accept<E>> for Accepted {
    fn from(accept: Accept<E>) -> Self {
        let Accept {
            endpoint,
            headers,
            extensions,
        } = accept;
        Self {
            start: Box::new(move |launch| {
                // The one task of a session; its end is the session's, so nobody joins it.
                drop(tokio::spawn(launch.run(endpoint, extensions)));
            }),
            headers,
        }
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}
