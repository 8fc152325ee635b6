//! A session's events in, lines in the shapes of Jetty's verbose `TestServer` out.
//!
//! ```text
//! TestEchoWebSocket#onHandshake Session@1 l(127.0.0.1:8080)<->r(127.0.0.1:41728) Session
//! TestEchoWebSocket#onOpen Session@1 l(127.0.0.1:8080)<->r(127.0.0.1:41728) echo
//! TestEchoWebSocket#onFrame 08|01 68656C6C6F
//! TestEchoWebSocket#onMessage     hello
//! TestEchoWebSocket#onFrame 08|08 03E8
//! TestEchoWebSocket#onControl  08 03E8
//! TestEchoWebSocket#onDisonnect 1000 null
//! ```
//!
//! A payload is shown up to [`MAX_SHOWN_BYTES`], without line breaks or other control characters:
//! what a peer sends cannot write a line of its own.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use ws_handler::{
    BoxError, Bytes, CloseEvent, Endpoint, EventResult, Frame, FrameAction, Message, OpCode,
    Partial, Session, SessionError,
};

/// Where events are written, a line at a time. A cheap clone.
///
/// ```
/// let events = test_protocols::EventLog::new(std::io::stderr());
/// let verbose = test_protocols::factory(Some(events), None)?;
/// # Ok::<(), ws_handler::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct EventLog(Arc<Mutex<dyn Write + Send>>);

/// How much of one payload is shown, in bytes.
const MAX_SHOWN_BYTES: usize = 1024;

impl EventLog {
    /// Writes to `writer`, one call for each line. What cannot be written is lost.
    #[must_use]
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(writer)))
    }

    fn write(&self, mut line: String) {
        line.push('\n');
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever closed the stream does not want to know.
        let _lost: io::Result<()> = writer
            .write_all(line.as_bytes())
            .and_then(|()| writer.flush());
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog").finish_non_exhaustive()
    }
}

/// An endpoint whose events are written down before it sees them.
#[derive(Debug)]
pub(crate) struct Logged<E> {
    endpoint: E,
    class: &'static str,
    log: EventLog,
}

impl<E> Logged<E> {
    /// Logs under the name of the class that Jetty has for this endpoint.
    pub(crate) const fn new(endpoint: E, class: &'static str, log: EventLog) -> Self {
        Self {
            endpoint,
            class,
            log,
        }
    }

    fn event(&self, event: fmt::Arguments<'_>) {
        self.log.write(format!("{}#{event}", self.class));
    }

    fn message(&self, opcode: OpCode, payload: &[u8]) {
        match opcode {
            OpCode::Text => self.event(format_args!("onMessage     {}", Characters(payload))),
            _ => self.event(format_args!("onMessage     {}", Hex(payload))),
        }
    }
}

impl<E: Endpoint> Endpoint for Logged<E> {
    const FRAMES: bool = true;
    const PARTIAL: bool = E::PARTIAL;

    async fn on_connect(&mut self, session: &Session) -> EventResult {
        let protocol = session.subprotocol().unwrap_or("null");
        let connection = Connection(session);
        self.event(format_args!("onHandshake {connection} Session"));
        self.event(format_args!("onOpen {connection} {protocol}"));
        self.endpoint.on_connect(session).await
    }

    async fn on_message(&mut self, session: &Session, message: Message) -> EventResult {
        self.message(message.kind().opcode(), message.as_bytes());
        self.endpoint.on_message(session, message).await
    }

    async fn on_partial(&mut self, session: &Session, part: Partial) -> EventResult {
        self.endpoint.on_partial(session, part).await
    }

    async fn on_frame(
        &mut self,
        session: &Session,
        frame: &Frame,
    ) -> Result<FrameAction, BoxError> {
        let (opcode, payload) = (frame.opcode(), frame.payload());
        let flags = u8::from(frame.fin()) << 3 | frame.reserved().bits();
        let bits = opcode.bits();
        self.event(format_args!(
            "onFrame {flags:02X}|{bits:02X} {}",
            Hex(payload)
        ));
        if opcode.is_control() {
            self.event(format_args!("onControl  {bits:02X} {}", Hex(payload)));
        }
        if !E::FRAMES {
            return Ok(FrameAction::Continue);
        }
        let action = self.endpoint.on_frame(session, frame).await?;
        // Nobody assembles what the endpoint consumes, but a single frame needs no assembling.
        let is_message = frame.fin() && opcode.message_kind().is_some();
        if action == FrameAction::Consume && is_message {
            self.message(opcode, payload);
        }
        Ok(action)
    }

    async fn on_ping(&mut self, session: &Session, payload: Bytes) -> EventResult {
        self.endpoint.on_ping(session, payload).await
    }

    async fn on_pong(&mut self, session: &Session, payload: Bytes) -> EventResult {
        self.endpoint.on_pong(session, payload).await
    }

    async fn on_error(&mut self, session: &Session, error: &SessionError) {
        self.event(format_args!("onError {error}"));
        self.endpoint.on_error(session, error).await;
    }

    async fn on_close(&mut self, session: &Session, event: &CloseEvent) {
        let code = event.status().get();
        let reason = match event.reason() {
            "" => "null",
            reason => reason,
        };
        // Spelt as Jetty spells it, so that its lines and ours can be compared.
        self.event(format_args!(
            "onDisonnect {code} {}",
            Characters(reason.as_bytes())
        ));
        self.endpoint.on_close(session, event).await;
    }
}

/// A session as Jetty shows a connection.
struct Connection<'a>(&'a Session);

impl fmt::Display for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = self.0.request();
        write!(f, "Session@{}", self.0.id())?;
        if let (Some(local), Some(peer)) = (request.local(), request.peer()) {
            write!(f, " l({local})<->r({peer})")?;
        }
        Ok(())
    }
}

/// Two digits for each byte.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(MAX_SHOWN_BYTES) {
            write!(f, "{byte:02X}")?;
        }
        show_rest(self.0, f)
    }
}

/// UTF-8, with control characters written out.
struct Characters<'a>(&'a [u8]);

impl fmt::Display for Characters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(MAX_SHOWN_BYTES)];
        // The cut may be within a character, which then is no character.
        for c in shown.utf8_chunks().flat_map(|chunk| chunk.valid().chars()) {
            match c.is_control() {
                true => write!(f, "{}", c.escape_default())?,
                false => f.write_char(c)?,
            }
        }
        show_rest(self.0, f)
    }
}

fn show_rest(payload: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match payload.len().saturating_sub(MAX_SHOWN_BYTES) {
        0 => Ok(()),
        _ => write!(f, "… ({} bytes)", payload.len()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use ws_handler::{Established, Role, Transport};

    use super::*;
    use crate::{assemble::Assemble, echo::Echo};

    /// A writer that can be read.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of a session that receives `bytes` and ends, from `#onFrame` on.
    async fn logged<E: Endpoint>(endpoint: E, bytes: &[u8]) -> Vec<String> {
        let lines = Lines::default();
        let (near, mut far) = duplex(1 << 16);
        let endpoint = Logged::new(endpoint, "Test", EventLog::new(lines.clone()));
        let established = Established::new(Transport::boxed(near), Role::Server);
        let session = tokio::spawn(established.run(endpoint));

        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        let mut answers = Vec::new();
        far.read_to_end(&mut answers).await.unwrap();
        drop(far);
        session.await.unwrap();

        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert!(lines[0].starts_with("Test#onHandshake Session@"));
        assert!(lines[0].ends_with(" Session"));
        assert!(lines[1].starts_with("Test#onOpen Session@"));
        assert!(lines[1].ends_with(" null"));
        lines[2..].to_vec()
    }

    #[tokio::test]
    async fn an_echo_and_a_close_are_logged_in_jettys_order() {
        let lines = logged(
            Echo,
            b"\x81\x85\0\0\0\0hello\x82\x82\0\0\0\0\x0f\xe5\x88\x82\0\0\0\0\x03\xe8",
        )
        .await;

        assert_eq!(
            lines,
            [
                "Test#onFrame 08|01 68656C6C6F",
                "Test#onMessage     hello",
                "Test#onFrame 08|02 0FE5",
                "Test#onMessage     0FE5",
                "Test#onFrame 08|08 03E8",
                "Test#onControl  08 03E8",
                "Test#onDisonnect 1000 null",
            ]
        );
    }

    #[tokio::test]
    async fn fragments_are_logged_as_frames_and_then_as_their_message() {
        let lines = logged(
            Assemble,
            b"\x01\x82\0\0\0\0he\x89\x81\0\0\0\0!\x80\x83\0\0\0\0llo\x88\x80\0\0\0\0",
        )
        .await;

        assert_eq!(
            lines,
            [
                "Test#onFrame 00|01 6865",
                "Test#onFrame 08|09 21",
                "Test#onControl  09 21",
                "Test#onFrame 08|00 6C6C6F",
                "Test#onMessage     hello",
                "Test#onFrame 08|08 ",
                "Test#onControl  08 ",
                "Test#onDisonnect 1005 null",
            ]
        );
    }

    #[tokio::test]
    async fn an_error_is_logged_before_the_end() {
        let lines = logged(Assemble, b"\x81\x81\0\0\0\0\xff").await;

        assert_eq!(
            lines,
            [
                "Test#onError peer broke the protocol: text is not UTF-8 at byte 0",
                "Test#onDisonnect 1007 text is not UTF-8 at byte 0",
            ]
        );
    }

    #[test]
    fn what_a_peer_sends_cannot_end_the_line() {
        let text = Characters("a\r\nTest#onOpen \u{1b}[2J\u{85}é".as_bytes());

        assert_eq!(text.to_string(), r"a\r\nTest#onOpen \u{1b}[2J\u{85}é");
    }

    #[test]
    fn a_long_payload_is_cut_and_its_length_told() {
        let long = "é".repeat(MAX_SHOWN_BYTES);
        let odd = format!("x{long}");

        let hex = Hex(long.as_bytes()).to_string();
        let text = Characters(odd.as_bytes()).to_string();

        assert_eq!(hex, format!("{}… (2048 bytes)", "C3A9".repeat(512)));
        assert_eq!(text, format!("x{}… (2049 bytes)", "é".repeat(511)));
    }
}
