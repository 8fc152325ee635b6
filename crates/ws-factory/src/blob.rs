//! Fields in, one run of bytes out, and back.
//!
//! Each field is its length and its bytes, in an order that writer and reader agree on. Compact
//! rather than quick: it is written and kept once for each session, and seldom read.

use std::{
    cell::Cell,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

use crate::headers;

/// Appends fields: each is its length as a number, then its bytes.
pub(crate) struct Writer(Vec<u8>);

/// How much room to write in a thread keeps, in bytes: for the headers of a browser, and many more.
const MAX_KEPT_BYTES: usize = 4 * 1024;

thread_local! {
    /// Written here first, so that what is kept is one allocation of its size, with no hole behind it.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self(ROOM.take())
    }

    pub(crate) fn finish(self) -> Box<[u8]> {
        let Self(mut room) = self;
        let blob = Box::from(&room[..]);
        if room.capacity() <= MAX_KEPT_BYTES {
            room.clear();
            ROOM.set(room);
        }
        blob
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// LEB128: nearly every length here is below 128 and takes one byte.
    pub(crate) fn number(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.byte((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Asks for the pairs twice: what they take stands before them.
    pub(crate) fn pairs<'a, P>(&mut self, pairs: impl Fn() -> P)
    where
        P: Iterator<Item = (&'a str, &'a [u8])>,
    {
        let lengths = pairs().map(|(name, value)| {
            let (name, value) = (name.len(), value.len());
            number_len(name) + name + number_len(value) + value
        });
        self.number(lengths.sum());
        for (name, value) in pairs() {
            self.bytes(name.as_bytes());
            self.bytes(value);
        }
    }

    pub(crate) fn address(&mut self, address: Option<SocketAddr>) {
        let Some(address) = address else {
            return self.bytes(&[]);
        };
        let port = address.port().to_be_bytes();
        let mut put = |parts: &[&[u8]]| {
            self.number(parts.iter().map(|part| part.len()).sum());
            for part in parts {
                self.0.extend_from_slice(part);
            }
        };
        match address {
            SocketAddr::V4(v4) => put(&[&v4.ip().octets(), &port]),
            SocketAddr::V6(v6) => put(&[&v6.ip().octets(), &v6.scope_id().to_be_bytes(), &port]),
        }
    }
}

/// How many bytes [`Writer::number`] takes.
const fn number_len(number: usize) -> usize {
    let bits = usize::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Takes back what [`Writer`] appended. Cannot fail: nothing else writes what it reads.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(blob: &'a [u8]) -> Self {
        Self(blob)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub(crate) fn number(&mut self) -> usize {
        let mut number = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte();
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let len = self.number();
        self.take(len)
    }

    pub(crate) fn pairs(&mut self) -> Pairs<'a> {
        Pairs(Self(self.bytes()))
    }

    pub(crate) fn address(&mut self) -> Option<SocketAddr> {
        let (ip, port) = self.bytes().split_last_chunk::<2>()?;
        let port = u16::from_be_bytes(*port);
        if let Ok(ip) = <[u8; 4]>::try_from(ip) {
            return Some(SocketAddrV4::new(Ipv4Addr::from(ip), port).into());
        }
        let (ip, scope) = ip.split_first_chunk::<16>()?;
        let scope = u32::from_be_bytes(scope.try_into().ok()?);
        Some(SocketAddrV6::new(Ipv6Addr::from(*ip), port, 0, scope).into())
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }
}

/// Names and values until the section ends.
pub(crate) struct Pairs<'a>(Reader<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let more = !self.0.0.is_empty();
        more.then(|| (written(self.0.bytes()), self.0.bytes()))
    }
}

/// What was a `str` when it was written still is one.
pub(crate) fn written(bytes: &[u8]) -> &str {
    headers::text(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_any_size_comes_back() {
        for number in [0, 1, 127, 128, 16_383, 16_384, usize::MAX] {
            let mut writer = Writer::new();
            writer.number(number);
            let blob = writer.finish();

            assert_eq!(Reader::new(&blob).number(), number);
        }
    }

    #[test]
    fn address_of_either_kind_comes_back() {
        for address in ["192.0.2.7:50123", "[2001:db8::7]:443", "[fe80::7%2]:1"] {
            let address: Option<SocketAddr> = Some(address.parse().unwrap());
            let mut writer = Writer::new();
            writer.address(address);
            writer.address(None);
            let blob = writer.finish();

            let mut reader = Reader::new(&blob);
            assert_eq!(reader.address(), address);
            assert_eq!(reader.address(), None);
        }
    }

    #[test]
    fn pairs_come_back_in_order_empty_ones_too() {
        let long = [7; 20_000];
        let pairs = [
            ("a", &b"1"[..]),
            ("", b""),
            ("a", b"\xff"),
            ("b", &long[..127]),
        ];
        let pairs = [&pairs[..], &[("c", &long[..128]), ("d", &long)]].concat();
        let mut writer = Writer::new();
        writer.pairs(|| pairs.iter().copied());
        writer.pairs(|| [].into_iter());
        let blob = writer.finish();

        let mut reader = Reader::new(&blob);
        assert!(reader.pairs().eq(pairs.iter().copied()));
        assert_eq!(reader.pairs().count(), 0);
    }
}
