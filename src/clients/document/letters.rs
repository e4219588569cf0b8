//! What the bytes of a value mean: as they are written, or with escapes between quotes.

use std::ops::Range;

/// How a value is written.
pub(super) enum Letters {
    /// Each byte stands for itself.
    AsWritten,
    /// Some are escaped.
    Escaped {
        /// What they mean.
        value: Vec<u8>,
        /// Where each byte of the value begins in what is written, and where the last one ends.
        starts: Vec<usize>,
    },
}

impl Letters {
    /// Reads the escapes of a text in double quotes, of which a parser said that it means `meaning`.
    ///
    /// None when they are read differently here, so that nobody can tell what to replace.
    pub(super) fn escaped(written: &str, meaning: &str) -> Option<Self> {
        if written == meaning {
            return Some(Self::AsWritten);
        }
        let (mut value, mut starts, mut position) = (Vec::new(), Vec::new(), 0);
        while position < written.len() {
            let (letter, length) = read_letter(&written[position..])?;
            let mut bytes = [0; 4];
            let bytes = letter.encode_utf8(&mut bytes).as_bytes();
            value.extend(bytes);
            starts.resize(value.len(), position);
            position += length;
        }
        starts.push(written.len());
        (value == meaning.as_bytes()).then_some(Self::Escaped { value, starts })
    }

    /// Reads a text in single quotes, in which two of them stand for one. None as above.
    pub(super) fn doubled(written: &str, meaning: &str) -> Option<Self> {
        if written == meaning {
            return Some(Self::AsWritten);
        }
        let (mut value, mut starts, mut position) = (Vec::new(), Vec::new(), 0);
        while let Some(byte) = written.as_bytes().get(position) {
            value.push(*byte);
            starts.push(position);
            position += 1 + usize::from(written.as_bytes()[position..].starts_with(b"''"));
        }
        starts.push(written.len());
        (value == meaning.as_bytes()).then_some(Self::Escaped { value, starts })
    }

    /// What the bytes mean.
    pub(super) fn read<'a>(&'a self, written: &'a [u8]) -> &'a [u8] {
        match self {
            Self::AsWritten => written,
            Self::Escaped { value, .. } => value,
        }
    }

    /// Where a part of the value is written.
    pub(super) fn place(&self, part: &Range<usize>) -> Range<usize> {
        match self {
            Self::AsWritten => part.clone(),
            Self::Escaped { starts, .. } => starts[part.start]..starts[part.end],
        }
    }
}

/// The letter that a text begins with, and how many bytes it is written with.
///
/// Knows the escapes of JSON and of TOML; each parser has refused those that are not its own.
fn read_letter(text: &str) -> Option<(char, usize)> {
    let mut letters = text.chars();
    let first = letters.next()?;
    if first != '\\' {
        return Some((first, first.len_utf8()));
    }
    let simple = |letter| Some((letter, 2));
    match letters.next()? {
        letter @ ('"' | '\\' | '/') => simple(letter),
        'b' => simple('\u{8}'),
        'e' => simple('\u{1b}'),
        'f' => simple('\u{c}'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'x' => Some((char::from_u32(digits(text, 2, 2)?)?, 4)),
        'U' => Some((char::from_u32(digits(text, 2, 8)?)?, 10)),
        'u' => match digits(text, 2, 4)? {
            high @ 0xD800..0xDC00 if text.get(6..8) == Some("\\u") => {
                let low = digits(text, 8, 4)?.checked_sub(0xDC00)?;
                let code = 0x1_0000 + ((high - 0xD800) << 10) + low;
                Some((char::from_u32(code)?, 12))
            }
            code => Some((char::from_u32(code)?, 6)),
        },
        _ => None,
    }
}

fn digits(text: &str, start: usize, count: usize) -> Option<u32> {
    let digits = text.get(start..start + count)?;
    digits
        .bytes()
        .all(|digit| digit.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_value_is_found_where_it_is_written() {
        for (written, meaning, part, place) in [
            ("a:1", "a:1", 0..3, 0..3),
            (r"redis:\/\/a:1\/0", "redis://a:1/0", 8..11, 10..13),
            (r"\u0061:1", "a:1", 0..3, 0..8),
            (r"\ud83d\ude00@a:1", "😀@a:1", 5..8, 13..16),
            (r"\U0001F600\x41@a", "😀A@a", 6..7, 15..16),
            (
                r#"\"\\\b\f\n\r\t\e"#,
                "\"\\\u{8}\u{c}\n\r\t\u{1b}",
                7..8,
                14..16,
            ),
        ] {
            let letters = Letters::escaped(written, meaning).unwrap();
            assert_eq!(letters.read(written.as_bytes()), meaning.as_bytes());
            assert_eq!(letters.place(&part), place, "{written}");
        }
    }

    #[test]
    fn doubled_quotes_stand_for_one() {
        let letters = Letters::doubled("é''s@a:1''", "é's@a:1'").unwrap();
        assert_eq!(letters.place(&(5..8)), 6..9);
        assert!(Letters::doubled("a''", "a''").is_some());
        assert!(Letters::doubled("a''", "b'").is_none());
    }

    #[test]
    fn what_a_parser_reads_differently_is_no_value() {
        for (written, meaning) in [
            (r"\q", "q"),
            (r"\u00", "x"),
            (r"\u+041", "A"),
            (r"\ud800", "x"),
            (r"\ud83d\u0041", "x"),
            (r"\", "x"),
            (r"\n", "x"),
        ] {
            assert!(Letters::escaped(written, meaning).is_none(), "{written}");
        }
    }
}
