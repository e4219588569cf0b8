//! The second reading of a `.properties` document: as Java's documentation describes it, lines joined
//! first, sharing no code with the first reading.

use super::super::verify::{Assigned, Discrepancy, compare_assigned, is_renamed};
use super::super::{Edit, KeyPath};

/// Demands that `new` is `old` but for the values of the keys, and that these name the master.
///
/// # Errors
/// [`Discrepancy`], the first one in the text.
pub(in crate::clients::document) fn check(
    old: &[u8],
    new: &[u8],
    found: usize,
    edit: Edit<'_>,
) -> Result<(), Discrepancy> {
    let is_wanted = |assigned: &Assigned, key: &KeyPath| {
        let [document, name] = assigned.place.as_slice() else {
            return false;
        };
        let number = key.document().map(|number| number.to_string());
        *name == key.flat() && number.is_none_or(|number| number == *document)
    };
    // Blanks behind a value are a part of it, and stay.
    let is_right = |old: &[u8], new: &[u8]| {
        let (short_old, short_new) = (old.trim_ascii_end(), new.trim_ascii_end());
        old[short_old.len()..] == new[short_new.len()..] && is_renamed(short_old, short_new, edit)
    };
    compare_assigned((read(old), read(new)), found, edit, is_wanted, is_right)
}

/// Number of the document and key of each assignment.
fn read(text: &[u8]) -> Vec<Assigned> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let (mut assigned, mut document) = (Vec::new(), 0_usize);
    let mut lines = text.split(|byte| *byte == b'\n').map(without_return);
    let mut before: &[u8] = b"";
    while let Some(line) = lines.next() {
        let content = strip_blanks(line);
        let is_comment = content.starts_with(b"#") || content.starts_with(b"!");
        let is_divider = line.get(1..4) == Some(b"---") && line[4..].trim_ascii().is_empty();
        if is_comment {
            let is_first = before.first() != line.first();
            document += usize::from(is_divider && is_first);
            before = line;
            continue;
        }
        before = line;
        let mut logical = content.to_vec();
        while logical
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count()
            % 2
            == 1
        {
            let Some(next) = lines.next() else { break };
            logical.pop();
            logical.extend(strip_blanks(next));
            before = next;
        }
        if logical.is_empty() {
            continue;
        }
        let (name, value) = divide(&logical);
        assigned.push(Assigned {
            place: vec![
                document.to_string(),
                String::from_utf8_lossy(&name).into_owned(),
            ],
            value,
        });
    }
    assigned
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn strip_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\x0c', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Key and value of a logical line, without escapes.
fn divide(line: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut is_escaped = false;
    let end = line.iter().position(|byte| {
        let ends = !is_escaped && b"=: \t\x0c".contains(byte);
        is_escaped = !is_escaped && *byte == b'\\';
        ends
    });
    let (name, behind) = line.split_at(end.unwrap_or(line.len()));
    let behind = strip_blanks(behind);
    let value = match behind {
        [b'=' | b':', rest @ ..] => strip_blanks(rest),
        rest => rest,
    };
    (unescape(name), unescape(value))
}

/// An escape that is wrong is kept as it is written.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        let code = match rest {
            [b'\\', b'u', a, b, c, d, ..] => {
                let digits = String::from_utf8_lossy(&[*a, *b, *c, *d]).into_owned();
                u16::from_str_radix(&digits, 16).ok()
            }
            _ => None,
        };
        if let Some(code) = code {
            units.push(code);
            rest = &rest[6..];
            continue;
        }
        read.extend(String::from_utf16_lossy(&units).into_bytes());
        units.clear();
        match (byte, behind.split_first()) {
            (b'\\', Some((escaped, behind))) => {
                let control = b"tnrf".iter().position(|letter| letter == escaped);
                read.push(control.map_or(*escaped, |at| b"\t\n\r\x0c"[at]));
                rest = behind;
            }
            (byte, _) => {
                read.push(*byte);
                rest = behind;
            }
        }
    }
    read.extend(String::from_utf16_lossy(&units).into_bytes());
    read
}
