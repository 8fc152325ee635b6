//! Every test protocol over HTTP/2: test-client's run against test-server's endpoints.

use std::net::SocketAddr;

use test_protocols::{ClientOptions, Summary, run_client};

use crate::peer::{start, within};

async fn run(server: SocketAddr, line: &str) -> Summary {
    let line = format!("test-client --http2 --url ws://{server}/ -q -d 0 {line}");
    let options = ClientOptions::parse(line.split_ascii_whitespace()).unwrap();
    let summary = run_client(&options, std::io::sink(), std::io::sink()).await;
    summary.unwrap()
}

#[tokio::test]
async fn every_protocol_answers_over_http2_as_over_http1() {
    within(async {
        let server = start().await;
        for (protocol, receivers) in [
            ("echo", 1),
            ("echo-assemble", 1),
            ("echo-fragment", 1),
            ("echo-broadcast", 2),
            ("echo-broadcast-ping", 2),
        ] {
            for kind in ["", "-b", "--deflate"] {
                let line = format!("-P {protocol} -C 2 -c 5 -s 10000 -f 3000 {kind}");

                let summary = run(server, &line).await;

                assert_eq!(summary.missing, 0, "{line}");
                let totals = summary.totals;
                let messages = (totals.messages_sent, totals.messages_received);
                assert_eq!(messages, (10, 10 * receivers), "{line}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn pings_and_large_messages_come_back_over_http2() {
    within(async {
        let server = start().await;

        let pings = run(server, "-c 20 -s 125").await;
        let large = run(server, "-P echo -b -c 3 -s 1048576 -f -1").await;

        assert_eq!((pings.missing, pings.totals.frames_received), (0, 20));
        assert_eq!((large.missing, large.totals.messages_received), (0, 3));
    })
    .await;
}
