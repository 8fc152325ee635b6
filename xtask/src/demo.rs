//! `cargo xtask demo`: Jetty's test protocols, live.
//!
//! test-client goes through every protocol against test-server, as a user would run the two, and
//! its summaries become one table, with what the server has counted below. Then the server is left
//! to the browser.

use std::{
    fmt::{self, Display, Formatter},
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use crate::{
    Outcome,
    binaries::{Binaries, LOOPBACK, Profile},
    child,
    listening::Listening,
};

pub(crate) fn run(once: bool) -> Outcome {
    println!("building test-server and test-client (dev profile)");
    let binaries = Binaries::build(Profile::Dev)?;
    let server = start(&binaries)?;
    println!("test-server runs at {}\n", server.address());
    let table = Table::of(&binaries, &server)?;
    println!("{table}\n{}\n", counted(&server)?);
    if once {
        return table.faults();
    }
    if let Err(faults) = table.faults() {
        println!("{faults}\n");
    }
    serve(&binaries, server)
}

/// The table alone, on any port, for `cargo xtask test`: how many rows are ok.
pub(crate) fn check() -> Result<usize, String> {
    let binaries = Binaries::build(Profile::Dev)?;
    let server = binaries.serve(0, &[])?;
    let table = Table::of(&binaries, &server)?;
    table
        .faults()
        .map_err(|faults| format!("{table}\n{faults}"))?;
    Ok(table.0.len())
}

/// What test-server says at `/stats` of all that, in a line.
fn counted(server: &Listening) -> Result<String, String> {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect(server.address())?;
        stream.set_read_timeout(Some(AT_MOST))?;
        let host = server.address();
        write!(
            stream,
            "GET /stats HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    };
    let response = ask().map_err(|error| format!("/stats: {error}"))?;
    line_of_stats(&response).ok_or_else(|| format!("/stats says {response:?}"))
}

fn line_of_stats(json: &str) -> Option<String> {
    let number = |key: &str| -> Option<u64> {
        let (_, after) = json.split_once(&format!("\"{key}\":"))?;
        let end = after.find(|c: char| !c.is_ascii_digit())?;
        after[..end].parse().ok()
    };
    Some(format!(
        "test-server counts {} sessions, {} open; messages {}/{}, pings {}/{} in/out; {} dropped",
        number("opened")?,
        number("open")?,
        number("messages_in")?,
        number("messages_out")?,
        number("pings_in")?,
        number("pings_out")?,
        number("dropped")?,
    ))
}

/// On the usual port if it is free, so that the page's address is the usual one.
fn start(binaries: &Binaries) -> Result<Listening, String> {
    let taken = TcpListener::bind((LOOPBACK, PORT)).is_err();
    let server = binaries.serve(if taken { 0 } else { PORT }, &[])?;
    if taken {
        println!("port {PORT} is taken: using {} instead", server.port());
    }
    Ok(server)
}

/// Serves the page until Ctrl-C.
///
/// We become the server instead of waiting for it: whatever signal then comes, from a terminal
/// or for our process alone, is the server's to answer, and nothing can stay behind.
#[cfg(unix)]
fn serve(binaries: &Binaries, server: Listening) -> Outcome {
    use std::os::unix::process::CommandExt;

    let port = server.port().to_owned();
    drop(server);
    invite(&port)?;
    let error = Command::new(&binaries.server)
        .args(["--host", LOOPBACK, "--port", &port])
        .exec();
    Err(format!("test-server does not start: {error}"))
}

/// Serves the page until Ctrl-C, which a console sends to the server as well.
#[cfg(not(unix))]
fn serve(_binaries: &Binaries, mut server: Listening) -> Outcome {
    invite(server.port())?;
    server.wait()
}

/// Says where the page is, at once: nothing of ours is printed after it.
fn invite(port: &str) -> Outcome {
    let mut stdout = io::stdout();
    writeln!(
        stdout,
        "open http://{LOOPBACK}:{port}/ in a browser, twice for the broadcast; Ctrl-C ends"
    )
    .and_then(|()| stdout.flush())
    .map_err(|error| format!("stdout: {error}"))
}

/// Jetty's, and test-server's default.
const PORT: u16 = 8080;

/// One run of test-client, and what must come of it.
#[derive(Debug)]
struct Protocol {
    name: &'static str,
    /// Beside host, port, count and delay.
    arguments: &'static [&'static str],
    clients: u64,
    frames_per_message: u64,
    copies_of_message: u64,
    frames_per_copy: u64,
}

/// The text is 64 bytes, so `-f 16` sends it in four frames: echo gives them back as they are,
/// assemble as one, fragment as two whatever came. In a broadcast three clients get a copy each.
const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "ping",
        arguments: &[],
        clients: 1,
        frames_per_message: 1,
        copies_of_message: 1,
        frames_per_copy: 1,
    },
    Protocol {
        name: "echo",
        arguments: &["-P", "echo", "-f", "16"],
        clients: 1,
        frames_per_message: 4,
        copies_of_message: 1,
        frames_per_copy: 4,
    },
    Protocol {
        name: "echo-broadcast",
        arguments: &["-P", "echo-broadcast", "-C", "3"],
        clients: 3,
        frames_per_message: 1,
        copies_of_message: 3,
        frames_per_copy: 1,
    },
    Protocol {
        name: "echo-assemble",
        arguments: &["-P", "echo-assemble", "-f", "16"],
        clients: 1,
        frames_per_message: 4,
        copies_of_message: 1,
        frames_per_copy: 1,
    },
    Protocol {
        name: "echo-fragment",
        arguments: &["-P", "echo-fragment"],
        clients: 1,
        frames_per_message: 1,
        copies_of_message: 1,
        frames_per_copy: 2,
    },
];

/// Rounds per protocol, and the pause between them in milliseconds: half a second a row.
const COUNT: u64 = 10;
const DELAY: u64 = 50;

/// Far above what a row takes; test-client bounds its own waiting as well.
const AT_MOST: Duration = Duration::from_secs(60);

impl Protocol {
    fn run(&'static self, binaries: &Binaries, server: &Listening) -> Result<Row, String> {
        let mut client = Command::new(&binaries.client);
        client.args(["-h", LOOPBACK, "-p", server.port(), "-q"]);
        client.args(["-c", &COUNT.to_string(), "-d", &DELAY.to_string()]);
        client.args(["-s", "64"]).args(self.arguments);
        let captured = child::capture(&mut client, AT_MOST)?;
        let summary = Summary::parse(&captured.stdout).map_err(|missing| {
            format!(
                "{}: test-client ({}) printed no {missing}:\n{}",
                self.name,
                captured.status,
                captured.output()
            )
        })?;
        let mut faults = self.faults(&summary);
        if !captured.status.success() {
            faults.push(format!("test-client ended with {}", captured.status));
            faults.push(captured.stderr.trim_end().to_owned());
        }
        Ok(Row {
            protocol: self,
            summary,
            faults,
        })
    }

    /// What of the summary is not as it must be.
    fn faults(&self, summary: &Summary) -> Vec<String> {
        let sent = COUNT * self.clients;
        let received = sent * self.copies_of_message;
        let wanted = [
            ("messages", summary.messages, sent, received),
            (
                "frames",
                summary.frames,
                sent * self.frames_per_message,
                received * self.frames_per_copy,
            ),
        ];
        let differs = wanted.into_iter().filter(|(_, got, sent, received)| {
            // Nothing else compares: the times are whatever they are.
            *got != (*sent, *received)
        });
        differs
            .map(|(what, got, sent, received)| {
                let (got_sent, got_received) = got;
                format!("{what} {got_sent}/{got_received}, must be {sent}/{received}")
            })
            .collect()
    }
}

/// What test-client prints when it is done.
#[derive(Debug, PartialEq)]
struct Summary {
    /// Sent and received.
    messages: (u64, u64),
    frames: (u64, u64),
    /// Minimum, average and maximum in milliseconds.
    rtt: [f64; 3],
}

impl Summary {
    /// Reads Jetty's two lines; the error is what is missing:
    ///
    /// ```text
    /// 3/3 frames sent/recv, 3/3 mesg sent/recv, time 413ms 7m/s 0.00bps
    /// rtt min/ave/max = 1.224/4.462/8.481 ms
    /// ```
    fn parse(stdout: &str) -> Result<Self, &'static str> {
        Ok(Self {
            messages: pair(stdout, " mesg sent/recv").ok_or("count of messages")?,
            frames: pair(stdout, " frames sent/recv").ok_or("count of frames")?,
            rtt: times(stdout).ok_or("round-trip times")?,
        })
    }
}

/// The `3/3` in front of `label`.
fn pair(text: &str, label: &str) -> Option<(u64, u64)> {
    let (before, _) = text.split_once(label)?;
    let word = before.rsplit(char::is_whitespace).next()?;
    let (sent, received) = word.split_once('/')?;
    Some((sent.parse().ok()?, received.parse().ok()?))
}

fn times(text: &str) -> Option<[f64; 3]> {
    let (_, after) = text.split_once("rtt min/ave/max = ")?;
    let (times, _) = after.split_once(" ms")?;
    let times: Option<Vec<f64>> = times.split('/').map(|time| time.parse().ok()).collect();
    times?.try_into().ok()
}

/// A protocol and how it went; no fault is "ok".
#[derive(Debug)]
struct Row {
    protocol: &'static Protocol,
    summary: Summary,
    faults: Vec<String>,
}

#[derive(Debug)]
struct Table(Vec<Row>);

impl Table {
    fn of(binaries: &Binaries, server: &Listening) -> Result<Self, String> {
        let rows = PROTOCOLS.iter().map(|it| it.run(binaries, server));
        rows.collect::<Result<_, _>>().map(Self)
    }

    /// An error that explains every row that is not ok.
    fn faults(&self) -> Outcome {
        let faults = self.0.iter().filter(|row| !row.faults.is_empty());
        let faults: Vec<String> = faults
            .map(|row| format!("{}: {}", row.protocol.name, row.faults.join("; ")))
            .collect();
        if faults.is_empty() {
            return Ok(());
        }
        Err(faults.join("\n"))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16}{:>10}{:>20}{:>24}   ok",
            "protocol", "messages", "frames sent/recv", "rtt min/avg/max ms"
        )?;
        for row in &self.0 {
            let Summary {
                messages,
                frames,
                rtt: [min, average, max],
            } = &row.summary;
            writeln!(
                f,
                "{:<16}{:>10}{:>20}{:>24}   {}",
                row.protocol.name,
                format!("{}/{}", messages.0, messages.1),
                format!("{}/{}", frames.0, frames.1),
                format!("{min:.3}/{average:.3}/{max:.3}"),
                if row.faults.is_empty() { "yes" } else { "NO" }
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STDOUT: &str = "\
Jetty WebSocket PING localhost:8080 (localhost/127.0.0.1:8080) 1 clients echo
--- localhost websocket ping statistics using 1 connection ---
40/41 frames sent/recv, 10/11 mesg sent/recv, time 413ms 7m/s 0.00bps
rtt min/ave/max = 1.224/4.462/8.481 ms
";

    fn protocol(name: &str) -> &'static Protocol {
        PROTOCOLS.iter().find(|it| it.name == name).unwrap()
    }

    #[test]
    fn summary_is_read_from_jettys_lines() {
        let summary = Summary::parse(STDOUT).unwrap();

        assert_eq!(summary.frames, (40, 41));
        assert_eq!(summary.messages, (10, 11));
        assert_eq!(summary.rtt, [1.224, 4.462, 8.481]);
    }

    #[test]
    fn line_of_stats_has_the_numbers_of_their_keys_and_needs_all_of_them() {
        let json = r#"{"open":1,"opened":7,"messages_in":60,"messages_out":120,"pings_in":10,"pings_out":0,"dropped":2,"closed":{}}"#;

        assert_eq!(
            line_of_stats(json).unwrap(),
            "test-server counts 7 sessions, 1 open; messages 60/120, pings 10/0 in/out; 2 dropped"
        );
        assert_eq!(line_of_stats(&json.replace("pings_out", "x")), None);
    }

    #[test]
    fn missing_line_is_named() {
        let without_rtt = STDOUT.replace("rtt", "");

        assert_eq!(Summary::parse(&without_rtt), Err("round-trip times"));
        assert_eq!(Summary::parse(""), Err("count of messages"));
    }

    #[test]
    fn broadcast_to_three_clients_wants_three_copies_of_thirty() {
        let mut summary = Summary {
            messages: (30, 90),
            frames: (30, 90),
            rtt: [0.0; 3],
        };

        assert_eq!(protocol("echo-broadcast").faults(&summary), [""; 0]);
        summary.messages = (30, 89);
        assert_eq!(
            protocol("echo-broadcast").faults(&summary),
            ["messages 30/89, must be 30/90"]
        );
    }

    #[test]
    fn fragment_wants_two_frames_a_message() {
        let summary = Summary {
            messages: (10, 10),
            frames: (10, 10),
            rtt: [0.0; 3],
        };

        assert_eq!(
            protocol("echo-fragment").faults(&summary),
            ["frames 10/10, must be 10/20"]
        );
    }
}
