//! Java's `.properties`, as `java.util.Properties` reads it; lines `#---` divide documents as in Spring.

use super::{EditError, KeyPath, Letters, Slot, ValueProblem};
use super::{address, check_lines, mark_length, references};

mod verify;

pub(super) use verify::check;

/// Finds the value of every path in `keys`. The key is all of the path.
///
/// # Errors
/// [`EditError`] when a key is not there or is there twice, or a value goes on in the next line.
pub(super) fn locate<'a>(text: &[u8], keys: &'a [KeyPath]) -> Result<Vec<Slot<'a>>, EditError> {
    check_lines(text)?;
    let entries = entries(text);
    let slot = |key| slot(text, find(&entries, key)?, key);
    keys.iter().map(slot).collect()
}

/// One assignment.
struct Entry {
    document: usize,
    line: usize,
    key: Vec<u8>,
    /// Where the right side begins, and where the line ends.
    right_side: std::ops::Range<usize>,
    /// Whether it goes on in the next line.
    continues: bool,
}

fn entries(text: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let (mut document, mut start, mut is_continued) = (0, mark_length(text), false);
    let mut before: &[u8] = b"";
    for (index, raw) in text[start..].split(|byte| *byte == b'\n').enumerate() {
        let line = raw.strip_suffix(b"\r").unwrap_or(raw);
        let trimmed = trim_start(line);
        let is_comment = !is_continued && matches!(trimmed.first(), Some(b'#' | b'!'));
        let continues = !is_comment && ends_open(line);
        if is_comment && is_separator(line, before) {
            document += 1;
        } else if !is_comment && !is_continued && !trimmed.is_empty() {
            let first = start + line.len() - trimmed.len();
            let (key, length) = read_key(trimmed);
            entries.push(Entry {
                document,
                line: index + 1,
                key,
                right_side: first + length..start + line.len(),
                continues,
            });
        }
        is_continued = continues;
        before = line;
        start += raw.len() + 1;
    }
    entries
}

/// Whether a comment begins a document, as Spring has it.
fn is_separator(line: &[u8], before: &[u8]) -> bool {
    let is_one = matches!(line.trim_ascii_end(), b"#---" | b"!---");
    is_one && before.first() != line.first()
}

/// Whether an odd number of backslashes stands at the end.
fn ends_open(line: &[u8]) -> bool {
    let backslashes = line.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0c')
}

fn trim_start(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| is_blank(**byte)).count();
    &line[blanks..]
}

/// The key without escapes, and how long the line is up to the right side.
fn read_key(line: &[u8]) -> (Vec<u8>, usize) {
    let mut end = 0;
    while let Some(byte) = line.get(end) {
        match byte {
            b'\\' => end += 2,
            b'=' | b':' => break,
            byte if is_blank(*byte) => break,
            _ => end += 1,
        }
    }
    let end = end.min(line.len());
    let behind = trim_start(&line[end..]);
    let behind = match behind.first() {
        Some(b'=' | b':') => &behind[1..],
        Some(_) | None => behind,
    };
    let key = unescape(&line[..end]).map_or_else(|| line[..end].to_vec(), |(key, _)| key);
    (key, line.len() - behind.len())
}

/// The only entry that the key means.
fn find<'e>(entries: &'e [Entry], key: &KeyPath) -> Result<&'e Entry, EditError> {
    let name = key.flat();
    let is_meant = |entry: &&Entry| {
        entry.key == name.as_bytes() && key.document().is_none_or(|at| at == entry.document)
    };
    let mut meant = entries.iter().filter(is_meant);
    let missing = || EditError::KeyMissing {
        key: key.to_string(),
    };
    let first = meant.next().ok_or_else(missing)?;
    let Some(second) = meant.next() else {
        return Ok(first);
    };
    if first.document == second.document {
        return Err(EditError::GivenTwice {
            key: key.to_string(),
            line: second.line,
            part: name,
        });
    }
    Err(EditError::SeveralDocuments {
        key: key.to_string(),
        line: second.line,
        first: first.document,
        second: second.document,
    })
}

fn slot<'k>(text: &[u8], entry: &Entry, key: &'k KeyPath) -> Result<Slot<'k>, EditError> {
    let refuse = |problem| EditError::Value {
        key: key.to_string(),
        line: entry.line,
        problem,
    };
    if entry.continues {
        return Err(refuse(ValueProblem::Continuation));
    }
    let raw = &text[entry.right_side.clone()];
    let trimmed = trim_start(raw);
    let first = entry.right_side.start + raw.len() - trimmed.len();
    // Blanks behind a value belong to it. Whoever reads it has lived with them, and goes on so.
    let value = trimmed.trim_ascii_end();
    let range = first..first + value.len();
    let (read, starts) = unescape(value).ok_or_else(|| refuse(ValueProblem::Unrecognised))?;
    if read.iter().any(u8::is_ascii_control) {
        return Err(refuse(ValueProblem::Control));
    }
    Ok(Slot {
        key,
        line: entry.line,
        range,
        references: references::find(&read).map_err(refuse)?,
        letters: Letters::Escaped {
            value: read,
            starts,
        },
        rewriting: address::rewrite,
    })
}

/// What escaped text means, with where each byte of that is written and where the last one ends; none
/// where an escape is wrong.
fn unescape(written: &[u8]) -> Option<(Vec<u8>, Vec<usize>)> {
    let (mut value, mut starts, mut position) = (Vec::new(), Vec::new(), 0);
    while position < written.len() {
        let length = match &written[position..] {
            [b'\\', b'u', ..] => {
                let (letter, length) = unicode(&written[position..])?;
                value.extend(letter.encode_utf8(&mut [0; 4]).as_bytes());
                length
            }
            [b'\\', escaped, ..] => {
                value.push(match escaped {
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b'f' => b'\x0c',
                    other => *other,
                });
                2
            }
            [b'\\'] | [] => return None,
            [byte, ..] => {
                value.push(*byte);
                1
            }
        };
        starts.resize(value.len(), position);
        position += length;
    }
    starts.push(written.len());
    Some((value, starts))
}

/// The letter of `\u` and four digits, or of two of these, and how long they are.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |start: usize| {
        let digits = text.get(start..start + 4)?;
        let digits = std::str::from_utf8(digits).ok()?;
        let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hexadecimal.then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let first = unit(2)?;
    if let Some(letter) = char::from_u32(u32::from(first)) {
        return Some((letter, 6));
    }
    let second = text.get(6..8).filter(|mark| *mark == b"\\u").and(unit(8))?;
    let letter = char::decode_utf16([first, second]).next()?.ok()?;
    Some((letter, 12))
}
