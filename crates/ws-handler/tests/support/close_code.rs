//! A Close as a client reads it.

use crate::{frames::frame, raw::Raw};

/// The next frame, which must be a Close: its code, 1005 if it has none.
pub(crate) async fn close_code(raw: &mut Raw) -> u16 {
    let (first, payload) = frame(raw).await;
    assert_eq!(first, 0x88, "not a Close: {payload:?}");
    match payload[..] {
        [] => 1005,
        [high, low, ..] => u16::from_be_bytes([high, low]),
        [_] => panic!("a Close with half a code"),
    }
}
