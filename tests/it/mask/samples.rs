//! Made-up secrets, put together at run time from a seeded generator.

#![expect(clippy::indexing_slicing, reason = "helpers of tests fail loudly")]

/// A small generator (SplitMix64): the same seed gives the same secrets.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn of(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| letters[self.below(letters.len())]).collect()
    }

    pub(crate) fn alnum(&mut self, length: usize) -> String {
        self.of(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            length,
        )
    }

    pub(crate) fn hex(&mut self, length: usize) -> String {
        self.of("0123456789abcdef", length)
    }

    pub(crate) fn url(&mut self, length: usize) -> String {
        self.of(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
            length - 1,
        ) + "7"
    }

    pub(crate) fn base64(&mut self, length: usize) -> String {
        self.of(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            length,
        )
    }

    pub(crate) fn digits(&mut self, length: usize) -> String {
        self.of("123456789", length)
    }

    /// A number with the right check digit (Luhn).
    pub(crate) fn card(&mut self, start: &str, length: usize) -> String {
        let body = start.to_owned() + &self.digits(length - 1 - start.len());
        let sum: u32 = body
            .bytes()
            .rev()
            .enumerate()
            .map(|(place, byte)| {
                let value = u32::from(byte - b'0') * if place % 2 == 0 { 2 } else { 1 };
                if value > 9 { value - 9 } else { value }
            })
            .sum();
        format!("{body}{}", (10 - sum % 10) % 10)
    }

    /// An IBAN with the right check digits.
    pub(crate) fn iban(&mut self, country: &str, length: usize) -> String {
        let account = self.digits(length - 4);
        let text = format!("{account}{country}00");
        let rest = text.bytes().fold(0_u64, |rest, byte| match byte {
            b'0'..=b'9' => (rest * 10 + u64::from(byte - b'0')) % 97,
            _ => (rest * 100 + u64::from(byte - b'A') + 10) % 97,
        });
        format!("{country}{:02}{account}", 98 - rest)
    }
}

/// The lines of a key's body: `lines` full ones and a short one.
pub(crate) fn key_body(random: &mut Random, lines: usize) -> Vec<String> {
    let mut body: Vec<String> = (0..lines).map(|_| random.base64(64)).collect();
    body.push(random.base64(22) + "==");
    body
}

/// A whole block.
pub(crate) fn key_block(random: &mut Random, label: &str, lines: usize) -> String {
    let body = key_body(random, lines).join("\n");
    format!("-----BEGIN {label} KEY-----\n{body}\n-----END {label} KEY-----\n")
}
