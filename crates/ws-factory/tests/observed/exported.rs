//! What the feature `metrics` tells a recorder: the names of the crate's table, and what they count.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::AtomicU64, atomic::Ordering},
};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::pipe::{CLOSE, Served, TEXT, close, frame};

/// Keeps what it is told, under `name{label=value}`.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Kept {
    fn slot(&self, key: &Key) -> Arc<AtomicU64> {
        let labels = key.labels();
        let labels: String = labels
            .map(|label| format!("{{{}={}}}", label.key(), label.value()))
            .collect();
        let mut kept = self.0.lock().unwrap();
        let slot = kept.entry(format!("{}{labels}", key.name()));
        Arc::clone(slot.or_default())
    }

    /// What is not 0.
    fn counted(&self) -> Vec<(String, u64)> {
        let kept = self.0.lock().unwrap();
        kept.iter()
            .map(|(name, slot)| (name.clone(), slot.load(Ordering::SeqCst)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.slot(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.slot(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Recorded(self.slot(key))))
    }
}

/// Counts what was recorded.
struct Recorded(Arc<AtomicU64>);

impl HistogramFn for Recorded {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn recorder_is_told_of_sessions_refusals_and_traffic_by_the_documented_names() {
    let kept = Kept::default();
    let _installed = metrics::set_default_local_recorder(&kept);
    let served = Served::echo();
    let mut peer = served.connect().await;
    let (_, refused) = served.open(&[("sec-websocket-version", "12")]).await;
    peer.write_all(&frame(TEXT, b"hello")).await.unwrap();
    let mut echo = [0; 7];
    peer.read_exact(&mut echo).await.unwrap();
    tokio::task::yield_now().await;

    let open = kept.counted();
    peer.write_all(&frame(CLOSE, &close(4321))).await.unwrap();
    served.end_of(&mut peer).await;

    let of = |names: &[(&str, u64)]| -> Vec<(String, u64)> {
        let names = names.iter();
        names.map(|(name, n)| ((*name).to_owned(), *n)).collect()
    };
    assert_eq!(refused, 426);
    let counted = [
        ("websocket_handshakes_refused_total{reason=version}", 1),
        ("websocket_messages_total{direction=in}", 1),
        ("websocket_messages_total{direction=out}", 1),
        ("websocket_payload_bytes_total{direction=in}", 5),
        ("websocket_payload_bytes_total{direction=out}", 5),
    ];
    let opened = ("websocket_sessions_opened_total", 1);
    let while_open = [("websocket_sessions_open", 1.0_f64.to_bits()), opened];
    assert_eq!(open, of(&[&counted[..], &while_open].concat()));
    let ended = [
        ("websocket_session_duration_seconds", 1),
        ("websocket_sessions_closed_total{code=4000-4999}", 1),
        opened,
    ];
    assert_eq!(kept.counted(), of(&[&counted[..], &ended].concat()));
}
