//! Frames as a peer writes them: by hand, so that no encoder of ours vouches for itself.

use bytes::BufMut;
use ws_factory::Role;

/// The masking key of §5.7.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as the session wants it: masked for a server, plain for a client.
pub(crate) fn frame(to: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if to == Role::Server { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.put_u8(mask_bit | len as u8),
        len @ 126..65_536 => {
            bytes.put_u8(mask_bit | 126);
            bytes.put_u16(len as u16);
        }
        len => {
            bytes.put_u8(mask_bit | 127);
            bytes.put_u64(len as u64);
        }
    }
    let key = if to == Role::Server { KEY } else { [0; 4] };
    if to == Role::Server {
        bytes.put_slice(&key);
    }
    let start = bytes.len();
    bytes.put_slice(payload);
    mask(&mut bytes[start..], key);
    bytes
}

/// Masks or unmasks (RFC 6455 §5.3).
pub(crate) fn mask(payload: &mut [u8], key: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}
