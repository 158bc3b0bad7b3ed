//! Payment cards and IBANs: numbers that check themselves.

use std::ops::Range;

use super::detectors::Candidate;

/// A run of digits with at most one separator between two of them.
pub(super) const CARD: &str = r"[0-9](?:(?:[ .-]|\xC2\xA0|\xE2\x80[\x90-\x95])?[0-9]){12,}";

/// Two letters, two digits, and up to thirty more, with at most one separator between two of them.
pub(super) const IBAN: &str = r"\b[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}";

/// Whether these digits are a payment card number: length and issuer range (ISO/IEC 7812), and Luhn.
pub(super) fn is_card(digits: &[u8]) -> bool {
    issuer_allows(digits) && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit.saturating_sub(b'0'));
            match (place % 2, value) {
                (0, _) => value,
                (_, 0..=4) => value * 2,
                _ => value * 2 - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != b'0')
}

fn issuer_allows(digits: &[u8]) -> bool {
    let first = digits.iter().take(6).fold(0_u32, |number, digit| {
        number * 10 + u32::from(digit.saturating_sub(b'0'))
    });
    let (two, three, four) = (first / 10_000, first / 1_000, first / 100);
    match digits.len() {
        13 => two / 10 == 4,
        14 => matches!(three, 300..=305 | 309) || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37) || matches!(four, 2014 | 2149 | 1800 | 2131),
        16 => {
            two / 10 == 4
                || matches!(two, 51..=55 | 65 | 36 | 38 | 39 | 62 | 60 | 81 | 82)
                || matches!(four, 2221..=2720 | 3528..=3589 | 2200..=2204 | 6011)
                || matches!(three, 644..=649)
                || is_debit(two)
        }
        17..=19 => {
            two / 10 == 4
                || matches!(two, 62 | 65)
                || matches!(four, 3528..=3589 | 6011 | 2200..=2204)
                || matches!(three, 644..=649)
                || is_debit(two)
        }
        _ => false,
    }
}

fn is_debit(two: u32) -> bool {
    matches!(two, 50 | 56..=58 | 63 | 67)
}

/// Finds the cards in a run of digit groups: `4000 1234 …` with a date or a check number beside it.
pub(super) fn cards(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let before = found.whole.start.checked_sub(1).and_then(|at| line.get(at));
    let after = line.get(found.whole.end);
    let groups = groups(line, &found.whole);
    let mut index = 0;
    while let Some(first) = groups.get(index) {
        let glued = index == 0 && before.is_some_and(u8::is_ascii_alphanumeric);
        let taken = if glued {
            None
        } else {
            card_from(line, &groups, index, after)
        };
        match taken {
            Some(count) => {
                let last = groups.get(index + count - 1).unwrap_or(first);
                out.push(first.start..last.end);
                index += count;
            }
            None => index += 1,
        }
    }
}

/// How many groups from `index` on make a card.
fn card_from(line: &[u8], groups: &[Range<usize>], index: usize, after: Option<&u8>) -> Option<usize> {
    let mut digits = Vec::with_capacity(19);
    let mut best = None;
    for (count, group) in groups.get(index..)?.iter().enumerate() {
        digits.extend_from_slice(
            line.get(group.clone())
                .unwrap_or_default()
                .get(..20.min(group.len()))?,
        );
        if digits.len() > 19 {
            break;
        }
        let last = index + count + 1 == groups.len();
        let glued = last && after.is_some_and(u8::is_ascii_alphanumeric);
        if digits.len() >= 13 && !glued && shape_allows(line, groups, index, count + 1) && is_card(&digits) {
            best = Some(count + 1);
        }
    }
    best
}

/// A decimal fraction is not a card, and a card's groups are not of any length.
fn shape_allows(line: &[u8], groups: &[Range<usize>], index: usize, count: usize) -> bool {
    let taken = groups.get(index..index + count).unwrap_or_default();
    if count == 1 {
        let decimal = |at: Option<usize>| at.and_then(|at| line.get(at)) == Some(&b'.');
        let inside_before = index > 0 && decimal(taken.first().and_then(|group| group.start.checked_sub(1)));
        let inside_after = index + count < groups.len() && decimal(taken.last().map(|group| group.end));
        return !inside_before && !inside_after;
    }
    taken.iter().all(|group| group.len() == 1)
        || (count >= 3 && taken.iter().all(|group| (2..=8).contains(&group.len())))
        || (count == 2 && taken.iter().all(|group| (4..=12).contains(&group.len())))
}

fn groups(line: &[u8], run: &Range<usize>) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for at in run.clone() {
        if line.get(at).is_some_and(u8::is_ascii_digit) {
            match groups.last_mut() {
                Some(group) if group.end == at => group.end = at + 1,
                _ => groups.push(at..at + 1),
            }
        }
    }
    groups
}

/// IBAN lengths by country (the registry of ISO 13616).
const LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// Finds the IBANs in a candidate, which may have swallowed the words after one.
pub(super) fn ibans(line: &[u8], found: &Candidate, out: &mut Vec<Range<usize>>) {
    let mut at = found.whole.start;
    while at < found.whole.end {
        let starts = at == 0 || line.get(at - 1).is_some_and(|byte| !byte.is_ascii_alphanumeric());
        match starts.then(|| iban_at(line, at)).flatten() {
            Some(end) => {
                out.push(at..end);
                at = end;
            }
            None => at += 1,
        }
    }
}

fn iban_at(line: &[u8], at: usize) -> Option<usize> {
    let country = line.get(at..at + 2)?.to_ascii_uppercase();
    let (_, length) = LENGTHS.iter().find(|(code, _)| country == code.as_slice())?;
    let mut characters = Vec::with_capacity(*length);
    let mut end = at;
    while characters.len() < *length {
        let byte = line.get(end)?;
        match byte {
            b' ' | b'-' if characters.len() >= 4 => {}
            byte if byte.is_ascii_alphanumeric() => characters.push(byte.to_ascii_uppercase()),
            _ => return None,
        }
        end += 1;
    }
    let glued = line.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (!glued && mod97(&characters)).then_some(end)
}

/// ISO 7064, MOD 97-10.
fn mod97(characters: &[u8]) -> bool {
    let (head, tail) = characters.split_at(characters.len().min(4));
    let digits = tail.iter().chain(head).fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte.saturating_sub(b'A')) + 10) % 97,
    });
    let checks = characters
        .get(2..4)
        .is_some_and(|two| two.iter().all(u8::is_ascii_digit));
    digits == 1 && checks
}
