//! The Huffman code of RFC 7541 section 5.2 and Appendix B.
//!
//! The code is canonical: the codes of one length are consecutive numbers in the order of their symbols, and follow on
//! those of the length before. So Appendix B's lengths say everything, and the tables here are made of them at compile
//! time. The code is complete, too: any bits are some codes and the begin of another one.

use super::Error;

/// The symbol that never occurs; the begin of its code is the padding.
const EOS: usize = 256;

/// Bits in each symbol's code, EOS last.
#[rustfmt::skip]
const LENGTHS: [u8; EOS + 1] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const SHORTEST: usize = 5;
const LONGEST: u32 = 30;

/// The codes of one length.
#[derive(Clone, Copy)]
struct Codes {
    /// The first code, in the high bits.
    first: u32,
    /// What begins with the last code, and goes on with ones.
    last: u32,
    /// The place of the first code's symbol in [`SYMBOLS`].
    rank: usize,
}

/// The symbols in the order of their codes, and the codes of each length.
const CANONICAL: ([u16; EOS + 1], [Codes; LONGEST as usize + 1]) = {
    let (mut symbols, mut lengths) = ([0; EOS + 1], [Codes { first: 0, last: 0, rank: 0 }; LONGEST as usize + 1]);
    let (mut code, mut rank, mut length) = (0u32, 0, SHORTEST);
    while length <= LONGEST as usize {
        lengths[length] = Codes { first: code, last: 0, rank };
        let mut symbol: u16 = 0;
        while (symbol as usize) < symbols.len() {
            if LENGTHS[symbol as usize] as usize == length {
                symbols[rank] = symbol;
                rank += 1;
                // To 0 behind the very last one.
                code = code.wrapping_add(1 << (32 - length));
            }
            symbol += 1;
        }
        lengths[length].last = code.wrapping_sub(1);
        length += 1;
    }
    assert!(rank == symbols.len() && code == 0, "Appendix B: a complete code for every symbol");
    (symbols, lengths)
};
static SYMBOLS: [u16; EOS + 1] = CANONICAL.0;
static CODES: [Codes; LONGEST as usize + 1] = CANONICAL.1;

/// The symbol whose code `window` begins with, and the bits of the code.
const fn symbol(window: u32, symbols: &[u16; EOS + 1], codes: &[Codes; LONGEST as usize + 1]) -> (u16, u8) {
    let mut length = SHORTEST;
    while window > codes[length].last {
        length += 1;
    }
    let place = (window - codes[length].first) >> (32 - length);
    let symbol = symbols[codes[length].rank + place as usize];
    (symbol, LENGTHS[symbol as usize])
}

/// Bits per lookup: two letters or digits, mostly. The table takes 16 KiB.
const LOOKUP: u32 = 12;

/// What the next [`LOOKUP`] bits begin with.
#[derive(Clone, Copy)]
struct Pair {
    /// One or two symbols.
    symbols: [u8; 2],
    /// How many; none if the first one's code is longer than the lookup.
    count: u8,
    /// The bits of their codes; if there is none, more than there ever are.
    bits: u8,
}

static PAIRS: [Pair; 1 << LOOKUP] = {
    let mut pairs = [Pair { symbols: [0; 2], count: 0, bits: u8::MAX }; 1 << LOOKUP];
    let mut prefix: u32 = 0;
    while prefix < 1 << LOOKUP {
        let pair = &mut pairs[prefix as usize];
        let mut window = prefix << (32 - LOOKUP);
        let mut used = 0;
        while pair.count < 2 {
            let (symbol, bits) = symbol(window, &CANONICAL.0, &CANONICAL.1);
            if (used + bits) as u32 > LOOKUP {
                break;
            }
            // EOS has more bits than the lookup: the low byte is all of the symbol.
            pair.symbols[pair.count as usize] = symbol.to_le_bytes()[0];
            pair.count += 1;
            used += bits;
            window <<= bits;
        }
        if pair.count > 0 {
            pair.bits = used;
        }
        prefix += 1;
    }
    pairs
};

/// The bits of a string that were not decoded yet.
struct Bits<'a> {
    /// The next ones, from the highest on; behind the last of the string there are ones.
    window: u64,
    /// How many of `window` are counted as read from `rest`.
    count: u32,
    rest: &'a [u8],
}

impl Bits<'_> {
    /// Makes `count` 56 or more, as long as there are so many.
    fn refill(&mut self) {
        if let Some((eight, _)) = self.rest.split_first_chunk() {
            // The bits beyond those that are counted are the right ones; they come again.
            self.window |= u64::from_be_bytes(*eight) >> self.count;
            let bytes = (63 - self.count) / 8;
            self.count += 8 * bytes;
            self.rest = &self.rest[bytes as usize..];
            return;
        }
        while self.count < 56
            && let Some((&byte, rest)) = self.rest.split_first()
        {
            self.window |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.rest = rest;
        }
        if self.rest.is_empty() {
            self.window |= u64::MAX >> self.count;
        }
    }

    fn skip(&mut self, bits: u8) {
        self.window <<= bits;
        self.count -= u32::from(bits);
    }
}

/// Appends what `coded` stands for; at most 8/5 of its length, since the shortest code has five bits.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let begin = out.len();
    // Room for the last pair's second byte, too.
    out.resize(begin + coded.len() / SHORTEST * 8 + 8, 0);
    let text = &mut out[begin..];
    let mut at = 0;
    let mut bits = Bits { window: 0, count: 0, rest: coded };
    loop {
        if bits.count < LONGEST {
            bits.refill();
        }
        let pair = PAIRS[(bits.window >> (64 - LOOKUP)) as usize];
        if u32::from(pair.bits) <= bits.count {
            text[at..at + 2].copy_from_slice(&pair.symbols);
            at += usize::from(pair.count);
            bits.skip(pair.bits);
            continue;
        }
        let (symbol, length) = symbol((bits.window >> 32) as u32, &SYMBOLS, &CODES);
        if u32::from(length) > bits.count {
            break;
        }
        text[at] = u8::try_from(symbol).map_err(|_| Error::HuffmanEos)?;
        at += 1;
        bits.skip(length);
    }
    out.truncate(begin + at);
    if bits.count < 8 && bits.window.leading_ones() >= bits.count { Ok(()) } else { Err(Error::HuffmanPadding) }
}
