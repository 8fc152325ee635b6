//! Servlets: a policy and endpoints, mounted at a path.

use crate::{
    ConfigError, InitParamError, InitParams, MappingError, Policy, Routes, WebSocketFactory,
    WebSocketFactoryBuilder, WebSocketHandler, mapping::PathMapping, routes::Mounted,
};

/// Something that configures a factory for a path (Jetty's `WebSocketServlet`): a type, or a closure.
///
/// What its endpoints need it hands on to whatever makes them, which clones it for each connection.
///
/// ```
/// use std::sync::Arc;
/// use ws_handler::{
///     Endpoint, EventResult, NotFound, Policy, Servlets, Session, WebSocketFactoryBuilder,
///     WebSocketServlet,
/// };
///
/// struct Greet {
///     greeting: Arc<str>,
/// }
///
/// impl Endpoint for Greet {
///     async fn on_connect(&mut self, session: &Session) -> EventResult {
///         let room = session.request().path_param("room").unwrap_or_default();
///         session.send_text(format!("{} {room}", self.greeting)).await?;
///         Ok(())
///     }
/// }
///
/// struct ChatServlet {
///     greeting: Arc<str>,
/// }
///
/// impl WebSocketServlet for ChatServlet {
///     fn configure(self, factory: WebSocketFactoryBuilder) -> WebSocketFactoryBuilder {
///         let policy = factory.policy().clone().with_max_text_bytes(4096);
///         factory
///             .with_policy(policy)
///             .fallback(move |_request| Greet { greeting: Arc::clone(&self.greeting) })
///     }
/// }
///
/// # fn main() -> Result<(), ws_handler::ServletError> {
/// let greeting: Arc<str> = "hello in the".into();
/// let lobby = move |factory: WebSocketFactoryBuilder| {
///     factory.fallback(move |_request| Greet { greeting: Arc::clone(&greeting) })
/// };
/// let handler = Servlets::new()
///     .mount("/chat/{room}", ChatServlet { greeting: "welcome to".into() })?
///     .mount_with("/lobby/*", lobby, [("maxIdleTime", "30000")])?
///     .around(NotFound);
/// # Ok(())
/// # }
/// ```
pub trait WebSocketServlet {
    /// Registers endpoints and changes the policy, which is the server's with the servlet's init
    /// parameters applied. Called once.
    fn configure(self, factory: WebSocketFactoryBuilder) -> WebSocketFactoryBuilder;
}

impl<F: FnOnce(WebSocketFactoryBuilder) -> WebSocketFactoryBuilder> WebSocketServlet for F {
    fn configure(self, factory: WebSocketFactoryBuilder) -> WebSocketFactoryBuilder {
        self(factory)
    }
}

/// Why a servlet cannot be mounted: the caller's fault, found when it is registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServletError {
    /// The pattern, or its place among the others.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// An init parameter.
    #[error(transparent)]
    InitParam(#[from] InitParamError),
    /// What the servlet configured.
    #[error("servlet at {pattern:?}: {source}")]
    Config {
        /// Where it was to be mounted.
        pattern: String,
        /// What is wrong.
        source: ConfigError,
    },
}

/// Servlets, mounted at paths.
///
/// | pattern | matches |
/// |---|---|
/// | `/chat` | exactly that |
/// | `/chat/{room}` | one segment in the place of `{room}`, percent-decoded |
/// | `/chat/*` | `/chat`, `/chat/` and all below |
///
/// Exact comes before template before the longest prefix. A path is matched as it stands in the
/// request. Requests that no servlet is mounted for, and those that ask for no WebSocket, reach the
/// inner service.
#[derive(Debug)]
pub struct Servlets {
    policy: Policy,
    paths: PathMapping<Mounted>,
    all: Vec<WebSocketFactory>,
}

impl Servlets {
    /// No servlet yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            policy: Policy::default(),
            paths: PathMapping::new(),
            all: Vec::new(),
        }
    }

    /// The policy that servlets mounted from here on begin with. Default: [`Policy::default`].
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Mounts a servlet.
    ///
    /// # Errors
    ///
    /// [`ServletError`] for a pattern that is none or is taken, and for what the servlet
    /// configured wrongly.
    pub fn mount(
        self,
        pattern: &str,
        servlet: impl WebSocketServlet,
    ) -> Result<Self, ServletError> {
        self.mount_with(pattern, servlet, [] as [(&str, &str); 0])
    }

    /// Mounts a servlet with Jetty's init parameters: `maxIdleTime` in milliseconds,
    /// `maxTextMessageSize`, `maxBinaryMessageSize` and `inputBufferSize` in bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::mount`], and for an unknown key or a bad value, naming it.
    pub fn mount_with<K: AsRef<str>, V: AsRef<str>>(
        mut self,
        pattern: &str,
        servlet: impl WebSocketServlet,
        init_params: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ServletError> {
        let policy = InitParams::parse(init_params)?.apply(self.policy.clone());
        let builder = WebSocketFactory::builder().with_policy(policy);
        let factory =
            servlet
                .configure(builder)
                .build()
                .map_err(|source| ServletError::Config {
                    pattern: pattern.to_owned(),
                    source,
                })?;
        self.paths
            .insert(pattern, Mounted::new(pattern, factory.clone()))?;
        self.all.push(factory);
        Ok(self)
    }

    /// A handler with these servlets around an inner service.
    #[must_use]
    pub fn around<S>(self, inner: S) -> WebSocketHandler<S> {
        WebSocketHandler::new(self, inner)
    }
}

impl Default for Servlets {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Servlets> for Routes {
    fn from(servlets: Servlets) -> Self {
        Self::mapped(servlets.paths, servlets.all)
    }
}
