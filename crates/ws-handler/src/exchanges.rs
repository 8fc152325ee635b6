//! What an HTTP/2 connection is at: who is awaited in its requests, the application or the client.
//!
//! Neither bytes nor frames tell: a client that takes nothing of a response can still send Pings,
//! and be answered, for ever. So requests and responses are watched instead. Pieces of a response
//! are small, which makes hyper ask for the next one only when the client has made room for it.
//!
//! A WebSocket is a request that is at work until its session is over, and then its connection is
//! without one. What the inner service makes of a CONNECT is a tunnel whose end nobody here sees.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Either;
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep_until};

use crate::{ConnectionGuard, HandlerBody};

/// All requests of one connection.
#[derive(Debug)]
pub(crate) struct Exchanges(Mutex<State>);

#[derive(Clone, Copy, Debug)]
struct State {
    /// When a request came, or the client took something of a response.
    moved_at: Instant,
    /// How many requests wait for the application.
    at_work: usize,
    /// How many of them are WebSockets, or may become one.
    sessions: usize,
    /// Whether the inner service has made one of them a tunnel.
    tunnel: bool,
}

impl Exchanges {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            moved_at: Instant::now(),
            at_work: 0,
            sessions: 0,
            tunnel: false,
        }))
    }

    /// Resolves when only the client has been awaited, and in vain, for so long.
    pub(crate) async fn idle(&self, timeout: Duration) {
        loop {
            let now = Instant::now();
            let state = *self.state();
            let is_busy = state.at_work + state.sessions > 0 || state.tunnel;
            let end = match is_busy {
                true => now + timeout.max(SHORTEST_NAP),
                false => state.moved_at + timeout,
            };
            if !is_busy && end <= now {
                return;
            }
            sleep_until(end).await;
        }
    }

    /// As [`Self::idle`], from now on.
    pub(crate) async fn idle_again(&self, timeout: Duration) {
        self.state().moved_at = Instant::now();
        self.idle(timeout).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, from its head to the last piece of its response.
#[derive(Debug)]
pub(crate) struct Exchange {
    all: Arc<Exchanges>,
    at_work: bool,
    is_connect: bool,
}

impl Exchange {
    /// A request that the application has to answer now; one that may become a WebSocket is given
    /// what tells us when that is over.
    pub(crate) fn begin<B>(all: &Arc<Exchanges>, request: &mut Request<B>) -> Self {
        let mut exchange = Self {
            all: Arc::clone(all),
            at_work: false,
            is_connect: request.method() == Method::CONNECT,
        };
        if exchange.is_connect {
            let session = ConnectionGuard::new(WebSocket::begin(all));
            request.extensions_mut().insert(session);
        }
        exchange.now_awaits_application(true);
        exchange
    }

    fn now_awaits_application(&mut self, at_work: bool) {
        let mut state = self.all.state();
        match (self.at_work, at_work) {
            (false, true) => state.at_work += 1,
            (true, false) => state.at_work -= 1,
            (true, true) | (false, false) => {}
        }
        self.at_work = at_work;
        // While the application is at work the time does not count, and begins when it is not.
        state.moved_at = Instant::now();
    }

    fn answered<B>(&mut self, response: &Response<HandlerBody<B>>) {
        self.now_awaits_application(false);
        let is_of_inner_service = matches!(response.body(), Either::Right(_));
        if self.is_connect && is_of_inner_service && response.status().is_success() {
            self.all.state().tunnel = true;
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.now_awaits_application(false);
    }
}

/// A session on a stream of the connection, from its request to its end.
struct WebSocket(Arc<Exchanges>);

impl WebSocket {
    fn begin(all: &Arc<Exchanges>) -> Self {
        all.state().sessions += 1;
        Self(Arc::clone(all))
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.sessions -= 1;
        state.moved_at = Instant::now();
    }
}

pin_project! {
    /// The response to come, and its exchange if it is watched.
    pub(crate) struct Answering<F> {
        #[pin]
        pub(crate) future: F,
        pub(crate) exchange: Option<Exchange>,
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<HandlerBody<B>>, E>>,
{
    type Output = Result<Response<Pieces<HandlerBody<B>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx))?;
        let mut exchange = this.exchange.take();
        if let Some(exchange) = &mut exchange {
            exchange.answered(&response);
        }
        Poll::Ready(Ok(response.map(|body| Pieces {
            body,
            rest: Bytes::new(),
            exchange,
        })))
    }
}

pin_project! {
    /// A response's body: in small pieces if its exchange is watched, as it is if not.
    pub(crate) struct Pieces<B> {
        #[pin]
        body: B,
        // What the body has given and hyper has not been given.
        rest: Bytes,
        exchange: Option<Exchange>,
    }
}

impl<B: Body<Data = Bytes>> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let Some(exchange) = this.exchange else {
            return this.body.poll_frame(cx);
        };
        if this.rest.is_empty() {
            let frame = this.body.poll_frame(cx);
            exchange.now_awaits_application(frame.is_pending());
            match ready!(frame).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => *this.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        } else {
            exchange.now_awaits_application(false);
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        let mut with_rest = SizeHint::new();
        with_rest.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            with_rest.set_upper(upper + rest);
        }
        with_rest
    }
}

/// A busy connection is looked at again no sooner.
const SHORTEST_NAP: Duration = Duration::from_millis(10);

/// As much as a DATA frame has at most, unless the client allows more (RFC 9113 §4.2).
const PIECE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};
    use hyper::{client::conn::http2, ext::Protocol};
    use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        task::JoinHandle,
        time::{sleep, timeout},
    };

    use super::*;
    use crate::{
        http_connection::tests::{DAY, ended, page, serve, slow_page},
        service_fn,
    };

    type Client = http2::SendRequest<Empty<Bytes>>;

    /// So much that nothing of HTTP/2's own waits for it: a client of small windows and of much
    /// patience, which sends Pings whenever it has nothing else to say.
    const PIPE_BYTES: usize = 1 << 20;

    const WINDOW_BYTES: u32 = 64 * 1024;

    /// Several windows.
    const LARGE: usize = 1 << 20;

    async fn client(io: DuplexStream) -> (Client, JoinHandle<()>) {
        let (client, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .keep_alive_interval(Duration::from_secs(7))
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(io))
            .await
            .unwrap();
        let connection = tokio::spawn(async move {
            let _how = connection.await;
        });
        (client, connection)
    }

    async fn ask(client: &mut Client) -> hyper::Result<Response<hyper::body::Incoming>> {
        let request = Request::get("http://example.com/").body(Empty::new());
        client.send_request(request.unwrap()).await
    }

    /// Hostile input T14.
    #[tokio::test(start_paused = true)]
    async fn connection_without_requests_ends_at_the_idle_timeout_whatever_pings_it_sends() {
        let (io, serving, _stop) = serve(PIPE_BYTES, page(10));
        let (mut client, connection) = client(io).await;
        for _ in 0..3 {
            let answer = ask(&mut client).await.unwrap();
            answer.into_body().collect().await.unwrap();
            sleep(Duration::from_secs(50)).await;
        }
        let begin = Instant::now();

        ended(serving).await;
        connection.await.unwrap();

        assert_eq!(begin.elapsed().as_secs(), 10, "50 s after the last request");
    }

    /// Hostile input T15.
    #[tokio::test(start_paused = true)]
    async fn response_for_which_no_window_is_opened_is_given_up() {
        let (io, serving, _stop) = serve(PIPE_BYTES, page(LARGE));
        let (mut client, _connection) = client(io).await;
        let begin = Instant::now();

        let answer = ask(&mut client).await.unwrap();
        ended(serving).await;

        let taken = answer.into_body().collect().await;
        assert!(taken.is_err(), "it cannot be whole");
        // The idle timeout, then the write deadline.
        assert_eq!(begin.elapsed().as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn response_for_which_windows_are_opened_slowly_is_taken_whole() {
        let (io, _serving, _stop) = serve(PIPE_BYTES, page(LARGE));
        let (mut client, _connection) = client(io).await;

        let mut body = ask(&mut client).await.unwrap().into_body();

        let mut taken = 0;
        while let Some(frame) = body.frame().await {
            taken += frame.unwrap().into_data().unwrap().len();
            sleep(Duration::from_secs(20)).await;
        }
        assert_eq!(taken, LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn application_has_all_the_time_that_it_wants_if_the_client_answers_pings() {
        let (io, _serving, _stop) = serve(PIPE_BYTES, slow_page(DAY));
        let (mut client, _connection) = client(io).await;

        let answer = ask(&mut client).await.unwrap();

        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "done");
    }

    /// What a client without a library says: the preface, its settings, and a GET.
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const GET: &[u8] = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01a";

    /// The answer to the Pings of hyper's server, and to no other.
    const PONG: &[u8] = b"\0\0\x08\x06\x01\0\0\0\0\x3b\x7c\xdb\x7a\x0b\x87\x16\xb4";

    /// Hostile input T16: half open, as far as we can see.
    #[tokio::test(start_paused = true)]
    async fn client_that_answers_no_ping_is_left_even_if_the_application_is_at_work() {
        let (mut io, serving, _stop) = serve(PIPE_BYTES, slow_page(DAY));
        let begin = Instant::now();

        io.write_all(&[PREFACE, GET].concat()).await.unwrap();

        ended(serving).await;
        assert_eq!(begin.elapsed().as_secs(), 50, "30 s of silence, 20 s more");
    }

    /// Hostile input T14: neither the Ping that GOAWAY comes with is answered nor GOAWAY obeyed.
    #[tokio::test(start_paused = true)]
    async fn client_that_ignores_goaway_is_cut_within_the_write_deadline() {
        let (mut io, serving, _stop) = serve(PIPE_BYTES, page(10));
        let begin = Instant::now();

        io.write_all(&[PREFACE, GET].concat()).await.unwrap();
        while io.write_all(PONG).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
            assert!(begin.elapsed() < DAY);
        }

        ended(serving).await;
        let elapsed = begin.elapsed().as_secs();
        assert!((60..=121).contains(&elapsed), "{elapsed} s");
    }

    /// Answers Pings until it hears `wanted`.
    async fn hear(io: &mut DuplexStream, wanted: &[u8]) {
        let mut heard = Vec::new();
        while !heard.windows(wanted.len()).any(|it| it == wanted) {
            io.write_all(PONG).await.unwrap();
            let read = timeout(Duration::from_secs(1), io.read_buf(&mut heard)).await;
            assert!(!matches!(read, Ok(Ok(0))), "ended before: {heard:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn request_that_crosses_a_goaway_is_answered_however_long_that_takes() {
        let asked_before = std::sync::atomic::AtomicBool::new(false);
        let pages = service_fn(move |_request| {
            let asked_before = asked_before.swap(true, std::sync::atomic::Ordering::Relaxed);
            async move {
                if asked_before {
                    sleep(Duration::from_secs(600)).await;
                }
                Ok::<_, std::convert::Infallible>(Response::new(String::from("done")))
            }
        });
        let (mut io, _serving, _stop) = serve(PIPE_BYTES, pages);
        io.write_all(&[PREFACE, GET].concat()).await.unwrap();
        hear(&mut io, b"done").await;

        hear(&mut io, b"\x07\0\0\0\0\0\x7f\xff\xff\xff").await;
        let again = b"\0\0\x06\x01\x05\0\0\0\x03\x82\x84\x86\x41\x01a";
        // The answer to the Ping that comes with a GOAWAY, after which the next one is final.
        let seen = b"\0\0\x08\x06\x01\0\0\0\0\x0b\x7b\xa2\xf0\x8b\x9b\xfe\x54";
        io.write_all(&[again.as_slice(), seen].concat())
            .await
            .unwrap();

        timeout(DAY, hear(&mut io, b"done"))
            .await
            .expect("an answer");
    }

    #[tokio::test(start_paused = true)]
    async fn tunnel_of_the_inner_service_is_left_to_its_pings() {
        let tunnels = service_fn(|_request| {
            let response = Response::new(Empty::<Bytes>::new());
            std::future::ready(Ok::<_, std::convert::Infallible>(response))
        });
        let (io, serving, _stop) = serve(PIPE_BYTES, tunnels);
        let (mut client, _connection) = client(io).await;
        let connect = Request::connect("example.com:80").body(Empty::new());

        let tunnel = client.send_request(connect.unwrap()).await.unwrap();

        assert!(tunnel.status().is_success());
        sleep(DAY).await;
        assert!(!serving.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn connection_is_idle_once_the_last_session_on_it_is_over() {
        let (io, serving, _stop) = serve(PIPE_BYTES, page(10));
        let (mut client, _connection) = client(io).await;
        let mut sessions = Vec::new();
        for _ in 0..2 {
            let connect = Request::connect("http://example.com/")
                .extension(Protocol::from_static("websocket"))
                .header("sec-websocket-version", "13");
            let mut answer = client
                .send_request(connect.body(Empty::new()).unwrap())
                .await
                .unwrap();
            sessions.push(hyper::upgrade::on(&mut answer).await.unwrap());
        }

        for session in sessions {
            sleep(DAY).await;
            assert!(!serving.is_finished(), "it is in use");
            drop(session);
        }
        let begin = Instant::now();
        ended(serving).await;

        assert_eq!(begin.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn handshake_that_is_refused_leaves_its_connection_idle() {
        let (io, serving, _stop) = serve(PIPE_BYTES, page(10));
        let (mut client, _connection) = client(io).await;
        let connect =
            Request::connect("http://example.com/").extension(Protocol::from_static("websocket"));

        let answer = client
            .send_request(connect.body(Empty::new()).unwrap())
            .await
            .unwrap();

        assert_eq!(answer.status(), 400);
        let begin = Instant::now();
        drop(answer);
        ended(serving).await;
        assert_eq!(begin.elapsed().as_secs(), 60);
    }
}
