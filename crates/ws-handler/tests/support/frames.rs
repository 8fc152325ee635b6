//! Frames as bytes: written by a client's rules or against them, read by a server's.

use ws_handler::Bytes;

use crate::raw::Raw;

/// A masked frame; `first` is its first byte (FIN, reserved bits, opcode).
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = header(first, 0x80, payload.len() as u64);
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(a, b)| a ^ b));
    frame
}

/// The header of a frame with the shortest length; `mask` is its mask bit.
pub(crate) fn header(first: u8, mask: u8, payload_len: u64) -> Vec<u8> {
    let mut header = vec![first];
    match payload_len {
        0..=125 => header.push(mask | payload_len as u8),
        126..=0xffff => {
            header.push(mask | 126);
            header.extend_from_slice(&(payload_len as u16).to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend_from_slice(&payload_len.to_be_bytes());
        }
    }
    header
}

/// A masked Close.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    masked(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// The next frame of a server: its first byte and its payload. It must not be masked, and its
/// length must be written in the shortest form (RFC 6455 §5.1 and §5.2).
pub(crate) async fn frame(raw: &mut Raw) -> (u8, Bytes) {
    let start = exactly(raw, 2).await;
    let len = match start[1] {
        len @ 0..=125 => u64::from(len),
        126 => {
            let len = exactly(raw, 2).await;
            u64::from(u16::from_be_bytes([len[0], len[1]]))
        }
        127 => {
            let len = exactly(raw, 8).await;
            u64::from_be_bytes(len[..].try_into().expect("eight bytes"))
        }
        _ => panic!("a server's frame is masked: {start:?}"),
    };
    let shortest = header(start[0], 0, len);
    assert_eq!(shortest[1], start[1], "a length of {len} in a long form");
    let payload = exactly(raw, usize::try_from(len).expect("it fits")).await;
    (start[0], payload)
}

/// Exactly as many bytes as asked for.
pub(crate) async fn exactly(raw: &mut Raw, bytes: usize) -> Bytes {
    while raw.buffer.len() < bytes {
        assert!(raw.fill().await, "ended early: {:?}", raw.buffer);
    }
    raw.buffer.split_to(bytes).freeze()
}
