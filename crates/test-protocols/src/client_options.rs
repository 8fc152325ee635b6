//! What `test-client` is told on its command line: Jetty's `TestClient` options and `--url`.

use std::{ffi::OsString, net::Ipv6Addr, num::NonZeroUsize, time::Duration};

use clap::{Parser, builder::RangedU64ValueParser};
use http::Uri;

use crate::{
    DeflateOptions,
    command_line::{self, Exit},
};

/// The options of `test-client`.
///
/// ```
/// use test_protocols::ClientOptions;
///
/// let options = ClientOptions::parse(["test-client", "-h", "::1", "-P", "echo", "-f", "-1"])?;
///
/// assert_eq!(options.url, "ws://[::1]:8080/");
/// assert_eq!(options.protocol.as_deref(), Some("echo"));
/// assert_eq!(options.fragment_bytes, None);
/// # Ok::<(), test_protocols::Exit>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ClientOptions {
    /// Where to connect: `ws`, a host, maybe a port, a path and a query.
    pub url: Uri,
    /// The subprotocol to offer; with `None` the client sends pings, of at most 125 bytes.
    pub protocol: Option<String>,
    /// Whether messages are binary instead of text.
    pub binary: bool,
    /// Whether to log every event.
    pub verbose: bool,
    /// Whether to leave out the line for each reply.
    pub quiet: bool,
    /// How many rounds, at least 1.
    pub count: u64,
    /// The payload of each message, in bytes.
    pub size_bytes: usize,
    /// The most that a frame may carry; `None` for one frame a message.
    pub fragment_bytes: Option<NonZeroUsize>,
    /// How many connections, at least 1.
    pub clients: usize,
    /// From the start of one round to that of the next.
    pub delay: Duration,
    /// Whether to open the WebSockets over HTTP/2.
    pub http2: bool,
    /// Whether to offer compression, and which.
    pub deflate: DeflateOptions,
}

impl ClientOptions {
    /// Reads `arguments`, of which the first is the program's name.
    ///
    /// # Errors
    ///
    /// [`Exit`] if there is help to print or a mistake to report instead.
    pub fn parse(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, Exit> {
        let arguments: Arguments = command_line::parse(arguments)?;
        let mistake = |text: &str| command_line::bad_usage("test-client", text);
        if arguments.protocol.is_none() && arguments.size > MAX_PING_BYTES {
            return Err(mistake(&format!(
                "--size {} without --protocol: a ping has at most {MAX_PING_BYTES} bytes",
                arguments.size
            )));
        }
        let url = match arguments.url {
            Some(url) => url,
            // Cannot fail: the host went through `host`.
            None => url(&format!("ws://{}:{}/", arguments.host, arguments.port))
                .map_err(|reason| mistake(&reason))?,
        };
        let fragment = usize::try_from(arguments.fragment).unwrap_or(0);
        Ok(Self {
            url,
            protocol: arguments.protocol,
            binary: arguments.binary,
            verbose: arguments.verbose,
            quiet: arguments.quiet,
            count: arguments.count,
            size_bytes: arguments.size,
            fragment_bytes: NonZeroUsize::new(fragment),
            clients: arguments.clients,
            delay: Duration::from_millis(arguments.delay),
            http2: arguments.http2,
            deflate: arguments.deflate,
        })
    }
}

/// Sends messages to a WebSocket test server and measures how long the replies take; pings if no
/// protocol is given
#[derive(Debug, Parser)]
#[command(name = "test-client")]
struct Arguments {
    /// Host to connect to
    #[arg(short = 'h', long, default_value = "localhost", value_parser = host)]
    host: String,

    /// Port to connect to
    #[arg(short, long, default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// Where to connect, instead of --host and --port, as ws://host:port/path
    #[arg(long, conflicts_with_all = ["host", "port"], value_parser = url)]
    url: Option<Uri>,

    /// Send binary messages instead of text
    #[arg(short, long)]
    binary: bool,

    /// Log every event on standard error
    #[arg(short, long)]
    verbose: bool,

    /// Do not print a line for each reply
    #[arg(short, long)]
    quiet: bool,

    /// How many messages to send on each connection
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=MAX_COUNT))]
    count: u64,

    /// Bytes in each message; a ping has at most 125
    #[arg(short, long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(..=MAX_SIZE_BYTES))]
    size: usize,

    /// Most bytes in a frame; 0 or less sends each message in one
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 4000,
        allow_negative_numbers = true
    )]
    fragment: i64,

    /// Subprotocol to ask for, for instance echo, echo-assemble, echo-fragment or echo-broadcast
    #[arg(short = 'P', long, value_parser = token)]
    protocol: Option<String>,

    /// How many connections to open
    #[arg(short = 'C', long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_CLIENTS))]
    clients: usize,

    /// Milliseconds from one message to the next
    #[arg(short, long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=MAX_DELAY_MS))]
    delay: u64,

    /// Open the WebSockets over HTTP/2 (RFC 8441)
    #[arg(long)]
    http2: bool,

    #[command(flatten)]
    deflate: DeflateOptions,
}

/// A host as a URL has it: an IPv6 address in brackets.
fn host(text: &str) -> Result<String, String> {
    let host = if text.parse::<Ipv6Addr>().is_ok() {
        format!("[{text}]")
    } else {
        text.to_owned()
    };
    match format!("ws://{host}:1/").parse::<Uri>() {
        Ok(url) if url.host() == Some(&host) && url.path() == "/" && !host.contains('@') => {
            Ok(host)
        }
        _ => Err("not an address or a host name".to_owned()),
    }
}

/// A URL of RFC 6455 §3, without TLS.
fn url(text: &str) -> Result<Uri, String> {
    // §3: a "#" never stands for a fragment in such a URL; `Uri` would drop it silently.
    if text.contains('#') {
        return Err("a WebSocket URL has no fragment".to_owned());
    }
    let uri: Uri = text.parse().map_err(|_| "not a URL".to_owned())?;
    match uri.scheme_str() {
        Some(scheme) if scheme.eq_ignore_ascii_case("ws") => {}
        _ => return Err("only ws:// is supported".to_owned()),
    }
    let (authority, host) = (uri.authority(), uri.host().unwrap_or_default());
    let authority = authority.map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err("a user name is not supported".to_owned());
    }
    let port = authority.strip_prefix(host).filter(|_| !host.is_empty());
    match port.map(|port| port.strip_prefix(':')) {
        Some(None) => {}
        Some(Some(port)) if port.parse::<u16>().is_ok_and(|port| port > 0) => {}
        Some(Some(_)) => return Err("a port is a number from 1 to 65535".to_owned()),
        None => return Err("a host is missing".to_owned()),
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("ws://{authority}{path}");
    url.parse().map_err(|_| "not a URL".to_owned())
}

/// A subprotocol's name: a token of RFC 9110 §5.6.2, which is what the header can carry.
fn token(text: &str) -> Result<String, String> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.is_empty() || !text.chars().all(is_token) {
        return Err("not a subprotocol's name".to_owned());
    }
    Ok(text.to_owned())
}

/// §5.5: no control frame has more.
const MAX_PING_BYTES: usize = 125;

/// 64 MiB: the longest message that `test-server` takes.
const MAX_SIZE_BYTES: u64 = 64 * 1024 * 1024;

/// 11 days at one message a millisecond.
const MAX_COUNT: u64 = 1_000_000_000;

/// Well below the 28,000 ports that Linux has for connections to one address.
const MAX_CLIENTS: u64 = 10_000;

/// An hour.
const MAX_DELAY_MS: u64 = 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<ClientOptions, Exit> {
        ClientOptions::parse(
            ["test-client"]
                .into_iter()
                .chain(line.split_ascii_whitespace()),
        )
    }

    #[test]
    fn without_arguments_the_defaults_are_those_of_jetty() {
        let options = parse("").unwrap();

        let want = ClientOptions {
            url: Uri::from_static("ws://localhost:8080/"),
            protocol: None,
            binary: false,
            verbose: false,
            quiet: false,
            count: 10,
            size_bytes: 64,
            fragment_bytes: NonZeroUsize::new(4000),
            clients: 1,
            delay: Duration::from_secs(1),
            http2: false,
            deflate: DeflateOptions::default(),
        };
        assert_eq!(options, want);
    }

    #[test]
    fn short_and_long_options_say_the_same() {
        let short = parse("-h ::1 -p 9 -b -v -q -c 2 -s 3 -f 4 -P echo -C 5 -d 6").unwrap();
        let long = "--host [::1] --port 9 --binary --verbose --quiet --count 2 --size 3 \
                    --fragment 4 --protocol echo --clients 5 --delay 6";

        assert_eq!(short, parse(long).unwrap());
        assert_eq!(short.url, "ws://[::1]:9/");
        assert!(short.binary && short.verbose && short.quiet);
        assert_eq!((short.count, short.size_bytes, short.clients), (2, 3, 5));
        assert_eq!(short.fragment_bytes, NonZeroUsize::new(4));
        assert_eq!(short.protocol.as_deref(), Some("echo"));
        assert_eq!(short.delay, Duration::from_millis(6));
    }

    #[test]
    fn a_fragment_of_zero_or_less_is_none() {
        for line in ["-f 0", "-f -1", "-f-1", "--fragment=-4000", "--fragment -9"] {
            assert_eq!(parse(line).unwrap().fragment_bytes, None, "{line}");
        }
    }

    #[test]
    fn a_url_says_all_of_where_to_connect() {
        let cases = [
            ("ws://localhost", "ws://localhost/"),
            ("WS://localhost:80/a%20b?c=d", "ws://localhost:80/a%20b?c=d"),
            ("ws://[::1]:9001/echo", "ws://[::1]:9001/echo"),
            ("ws://127.0.0.1?x", "ws://127.0.0.1/?x"),
        ];

        for (given, want) in cases {
            assert_eq!(parse(&format!("--url {given}")).unwrap().url, want);
        }
    }

    #[test]
    fn help_lists_every_option() {
        let Err(Exit::Help(text)) = parse("--help") else {
            panic!("no help");
        };

        for option in "-h,--host -p,--port -b,--binary -v,--verbose -q,--quiet -c,--count \
                       -s,--size -f,--fragment -P,--protocol -C,--clients -d,--delay"
            .split_whitespace()
        {
            assert!(
                text.contains(&option.replace(',', ", ")),
                "{option} in {text}"
            );
        }
        assert!(
            text.contains("--url <URL>") && text.contains("--http2") && text.contains("--help"),
            "{text}"
        );
    }

    #[test]
    fn a_mistake_is_one_line_that_names_it() {
        let cases = [
            ("-x", "-x"),
            ("-h", "--host"),
            ("-h a/b", "'a/b' for '--host"),
            ("-h a@b", "'a@b' for '--host"),
            ("-h a:80", "'a:80' for '--host"),
            ("-p 0", "0 is not in 1..=65535"),
            ("-c 0", "0 is not in 1..=1000000000"),
            ("-c ten", "'ten' for '--count"),
            ("-s 67108865", "67108865 is not in 0..=67108864"),
            ("-s 126", "--size 126 without --protocol"),
            ("-f x", "'x' for '--fragment"),
            ("-P a,b", "'a,b' for '--protocol"),
            ("-C 10001", "10001 is not in 1..=10000"),
            ("-d 3600001", "3600001 is not in 0..=3600000"),
            ("--url ws://a/ -h b", "'--url <URL>' cannot be used with"),
            (
                "--url ws://a/ -h b -p 1",
                "'--url <URL>' cannot be used with",
            ),
            ("--url ws://a/#b", "no fragment"),
            ("--url wss://a/", "only ws:// is supported"),
            ("--url a:80", "only ws:// is supported"),
            ("--url /a", "only ws:// is supported"),
            ("--url ws://a:0/", "a number from 1 to 65535"),
            ("--url ws://a:65536/", "a number from 1 to 65535"),
            ("--url ws://a:/", "a number from 1 to 65535"),
            ("--url ws://b@a/", "a user name is not supported"),
            ("--url ws:///a", "for '--url"),
            ("stray", "stray"),
        ];

        for (line, want) in cases {
            let Err(Exit::BadUsage(message)) = parse(line) else {
                panic!("{line} is accepted");
            };

            assert!(message.starts_with("test-client: "), "{message}");
            assert!(message.contains(want), "{line}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_ping_may_be_as_long_as_a_control_frame() {
        assert_eq!(parse("-s 125").unwrap().size_bytes, 125);
        assert_eq!(parse("-s 126 -P echo").unwrap().size_bytes, 126);
    }
}
