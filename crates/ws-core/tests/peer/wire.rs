//! The other end of the wire, by the definitions of RFC 6455 and without the crate's own writer.

use bytes::BytesMut;
use ws_core::{Connection, Delivery, Event, ExtensionStack, Limits, ProtocolError, Role, Step};

/// The masking key of §5.7.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as `to` wants it: masked for a server, plain for a client. `first` is its first byte.
pub(crate) fn frame(to: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if to == Role::Server { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(mask_bit | len as u8),
        len @ 126..65_536 => {
            bytes.push(mask_bit | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(mask_bit | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    if to == Role::Client {
        bytes.extend(payload);
    } else {
        bytes.extend(KEY);
        bytes.extend(
            payload
                .iter()
                .zip(KEY.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
    }
    bytes
}

/// A connection with the default limits and no extension.
pub(crate) fn open(role: Role, delivery: Delivery) -> Connection {
    Connection::new(role, Limits::default(), delivery, ExtensionStack::default())
}

/// What `bytes` lead to: the events, and what came when there were no more.
pub(crate) fn told(
    connection: &mut Connection,
    bytes: &[u8],
) -> (Vec<Event>, Result<Step, ProtocolError>) {
    let mut events = Vec::new();
    connection.recv(BytesMut::from(bytes));
    loop {
        let event = match connection.poll_event() {
            Ok(Step::Event(event)) => event,
            end => return (events, end),
        };
        events.push(event.clone());
        if let Event::Frame(frame) = event {
            match connection.resume(frame) {
                Ok(completed) => events.extend(completed),
                Err(error) => return (events, Err(error)),
            }
        }
    }
}
