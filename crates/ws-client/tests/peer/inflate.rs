//! DEFLATE by the words of RFC 1951, with a window of the size that was agreed on and no more: other
//! inflaters keep 32 KiB whatever they are told.

/// Everything that was inflated so far, and how far back the data may refer.
pub(crate) struct Window {
    out: Vec<u8>,
    max_distance: usize,
}

/// The data of one message, read from the lowest bit of each byte.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A canonical code (§3.2.2): how many codes there are of each length, and their symbols in order.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

const LENGTHS: [(usize, usize); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// The order in which the lengths of the code of lengths are written (§3.2.7).
const ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

impl Window {
    pub(crate) fn of(bits: u8) -> Self {
        Self {
            out: Vec::new(),
            max_distance: 1 << bits,
        }
    }

    /// The message of this payload; `None` where the data refers to further back than it may.
    pub(crate) fn inflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let input = [payload, &[0, 0, 0xff, 0xff]].concat();
        let start = self.out.len();
        let mut bits = Bits {
            bytes: &input,
            at: 0,
        };
        while bits.at.div_ceil(8) < input.len() {
            assert_eq!(bits.take(1), 0, "no block is final");
            match bits.take(2) {
                0 => self.stored(&mut bits),
                1 => {
                    let lengths: Vec<usize> = [(8, 144), (9, 112), (7, 24), (8, 8)]
                        .iter()
                        .flat_map(|&(length, times)| vec![length; times])
                        .collect();
                    self.block(&mut bits, &Code::new(&lengths), &Code::new(&[5; 30]))?;
                }
                2 => {
                    let (literals, distances) = bits.codes();
                    self.block(&mut bits, &literals, &distances)?;
                }
                other => panic!("block of kind {other}"),
            }
        }
        Some(self.out[start..].to_vec())
    }

    fn stored(&mut self, bits: &mut Bits<'_>) {
        bits.at = bits.at.next_multiple_of(8);
        let len = bits.take(16);
        assert_eq!(bits.take(16), !len & 0xffff);
        let start = bits.at / 8;
        self.out.extend_from_slice(&bits.bytes[start..start + len]);
        bits.at += len * 8;
    }

    fn block(&mut self, bits: &mut Bits<'_>, literals: &Code, distances: &Code) -> Option<()> {
        loop {
            let symbol = bits.symbol(literals);
            if let Ok(literal) = u8::try_from(symbol) {
                self.out.push(literal);
                continue;
            }
            if symbol == 256 {
                return Some(());
            }
            let (base, extra) = LENGTHS[symbol - 257];
            let length = base + bits.take(extra);
            let symbol = bits.symbol(distances);
            let extra = (symbol / 2).saturating_sub(1);
            let base = match symbol {
                0..4 => symbol + 1,
                _ => ((2 + symbol % 2) << extra) + 1,
            };
            let distance = base + bits.take(extra);
            if distance > self.max_distance.min(self.out.len()) {
                return None;
            }
            for _ in 0..length {
                self.out.push(self.out[self.out.len() - distance]);
            }
        }
    }
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> usize {
        let mut value = 0;
        for shift in 0..count {
            let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
            value |= usize::from(bit) << shift;
            self.at += 1;
        }
        value
    }

    fn symbol(&mut self, code: &Code) -> usize {
        let (mut read, mut first, mut index) = (0, 0, 0);
        for count in &code.counts[1..] {
            read = read << 1 | self.take(1);
            if read < first + count {
                return code.symbols[index + read - first];
            }
            index += count;
            first = (first + count) << 1;
        }
        panic!("no code of 15 bits");
    }

    /// §3.2.7: the codes of a block that brings its own.
    fn codes(&mut self) -> (Code, Code) {
        let (literals, distances) = (self.take(5) + 257, self.take(5) + 1);
        let mut lengths = [0; 19];
        for at in &ORDER[..self.take(4) + 4] {
            lengths[*at] = self.take(3);
        }
        let code = Code::new(&lengths);
        let mut lengths = Vec::new();
        while lengths.len() < literals + distances {
            let (length, times) = match self.symbol(&code) {
                16 => (lengths[lengths.len() - 1], 3 + self.take(2)),
                17 => (0, 3 + self.take(3)),
                18 => (0, 11 + self.take(7)),
                length => (length, 1),
            };
            lengths.extend(vec![length; times]);
        }
        let (literals, distances) = lengths.split_at(literals);
        (Code::new(literals), Code::new(distances))
    }
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for (length, count) in counts.iter_mut().enumerate().skip(1) {
            let of_length = lengths.iter().enumerate().filter(|it| *it.1 == length);
            let before = symbols.len();
            symbols.extend(of_length.map(|(symbol, _)| symbol));
            *count = symbols.len() - before;
        }
        Self { counts, symbols }
    }
}
