//! For tests: a slow and simple DEFLATE (RFC 1951) that tells how far back the data refers, and data to
//! compress.

use alloc::vec;
use alloc::vec::Vec;

/// Bytes with repetitions, near and far, and without: the same for the same seed.
pub(super) fn sample(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let mut bytes: Vec<u8> = Vec::with_capacity(len);
    while bytes.len() < len {
        let run = 1 + next(300);
        if bytes.is_empty() || next(3) == 0 {
            let alphabet = 1 + next(256);
            bytes.extend((0..run).map(|_| next(alphabet) as u8));
        } else {
            let from = next(bytes.len());
            let piece: Vec<u8> = bytes[from..].iter().take(run).copied().collect();
            bytes.extend(piece);
        }
    }
    bytes.truncate(len);
    bytes
}

/// Inflates blocks up to the end of `input`, appends to `output`, and returns the greatest distance.
pub(super) fn inflate(input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut bits = Bits { input, at: 0 };
    let mut greatest = 0;
    while bits.at < input.len() * 8 {
        let is_final = bits.take(1) == 1;
        let distance = match bits.take(2) {
            0 => stored(&mut bits, output),
            1 => {
                let lens: Vec<u8> = (0..288)
                    .map(|i| match i {
                        0..144 => 8,
                        144..256 => 9,
                        256..280 => 7,
                        _ => 8,
                    })
                    .collect();
                codes(&mut bits, output, &lens, &[5; 30])
            }
            2 => dynamic(&mut bits, output),
            _ => panic!("block type 3"),
        };
        greatest = greatest.max(distance);
        if is_final {
            bits.at = bits.at.next_multiple_of(8);
        }
    }
    greatest
}

struct Bits<'a> {
    input: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> usize {
        (0..count).fold(0, |value, i| {
            let bit = self.input[self.at / 8] >> (self.at % 8) & 1;
            self.at += 1;
            value | usize::from(bit) << i
        })
    }

    /// A symbol of the canonical code with these lengths.
    fn symbol(&mut self, lens: &[u8]) -> usize {
        let (mut code, mut first) = (0, 0);
        for len in 1..16 {
            code |= self.take(1);
            let mut of_len = (0..lens.len()).filter(|&symbol| lens[symbol] == len);
            let count = of_len.clone().count();
            if code < first + count {
                return of_len.nth(code - first).unwrap();
            }
            first = (first + count) << 1;
            code <<= 1;
        }
        panic!("no such code");
    }
}

fn stored(bits: &mut Bits<'_>, output: &mut Vec<u8>) -> usize {
    bits.at = bits.at.next_multiple_of(8);
    let len = bits.take(16);
    assert_eq!(bits.take(16), len ^ 0xffff);
    output.extend((0..len).map(|_| bits.take(8) as u8));
    0
}

fn dynamic(bits: &mut Bits<'_>, output: &mut Vec<u8>) -> usize {
    const ORDER: [usize; 19] = [
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
    ];
    let (literals, distances) = (bits.take(5) + 257, bits.take(5) + 1);
    let count = bits.take(4) + 4;
    let mut code_lens = [0; 19];
    for &at in &ORDER[..count] {
        code_lens[at] = bits.take(3) as u8;
    }
    let mut lens: Vec<u8> = Vec::new();
    while lens.len() < literals + distances {
        let (value, repeat) = match bits.symbol(&code_lens) {
            16 => (*lens.last().unwrap(), 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            len => (len as u8, 1),
        };
        lens.extend(vec![value; repeat]);
    }
    let (literals, distances) = lens.split_at(literals);
    codes(bits, output, literals, distances)
}

fn codes(bits: &mut Bits<'_>, output: &mut Vec<u8>, literals: &[u8], distances: &[u8]) -> usize {
    let mut greatest = 0;
    loop {
        let len = match bits.symbol(literals) {
            literal @ 0..256 => {
                output.push(literal as u8);
                continue;
            }
            256 => return greatest,
            symbol @ 257..265 => symbol - 254,
            285 => 258,
            symbol => {
                let extra = (symbol - 261) / 4;
                3 + ((4 + (symbol - 265) % 4) << extra) + bits.take(extra)
            }
        };
        let distance = match bits.symbol(distances) {
            symbol @ 0..4 => symbol + 1,
            symbol => {
                let extra = symbol / 2 - 1;
                1 + ((2 + symbol % 2) << extra) + bits.take(extra)
            }
        };
        greatest = greatest.max(distance);
        for _ in 0..len {
            output.push(output[output.len() - distance]);
        }
    }
}
