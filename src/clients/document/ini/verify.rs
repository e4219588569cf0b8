//! The second reading of an INI document: one assignment after the other, sharing no code with the
//! first.

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
        let section = key.segments().len().checked_sub(2);
        let section = section.map_or("", |at| key.segments()[at].as_str());
        let name = key.segments().last().map_or("", String::as_str);
        assigned.place == [section, name]
    };
    let is_right = |old: &[u8], new: &[u8]| is_renamed(old, new, edit);
    compare_assigned((read(old), read(new)), found, edit, is_wanted, is_right)
}

/// All that stands in the document but comments; a line without a value assigns nothing to itself.
fn read(text: &[u8]) -> Vec<Assigned> {
    // Bytes that are no UTF-8 are letters of their own here, and stay as they are elsewhere.
    let text: String = text.iter().copied().map(char::from).collect();
    let text = text.strip_prefix("\u{ef}\u{bb}\u{bf}").unwrap_or(&text);
    let mut section = String::new();
    let mut assigned = Vec::new();
    for line in text.split('\n').map(str::trim_ascii) {
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        let header = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        if let Some((name, _)) = header {
            section = decoded(name);
        }
        let (name, value) = match header {
            Some(_) => (line, ""),
            None => line.split_once(['=', ':']).unwrap_or((line, "")),
        };
        assigned.push(Assigned {
            place: vec![section.clone(), decoded(name.trim_ascii())],
            value: bytes(value_of(value.trim_ascii())),
        });
    }
    assigned
}

/// Without quotes, and without a comment behind it.
fn value_of(text: &str) -> &str {
    let quoted = |quote: char| {
        let inner = text.strip_prefix(quote)?;
        let ends = |(at, letter): &(usize, char)| {
            let backslashes = inner[..*at].bytes().rev().take_while(|byte| *byte == b'\\');
            *letter == quote && backslashes.count() % 2 == 0
        };
        inner.char_indices().find(ends).map(|(at, _)| &inner[..at])
    };
    if let Some(inner) = quoted('"').or_else(|| quoted('\'')) {
        return inner;
    }
    if text.starts_with([';', '#']) {
        return "";
    }
    let comments = [" ;", " #", "\t;", "\t#"];
    let end = comments.iter().filter_map(|mark| text.find(mark)).min();
    text[..end.unwrap_or(text.len())].trim_ascii_end()
}

/// A name as the settings have it, where it is UTF-8.
fn decoded(name: &str) -> String {
    String::from_utf8(bytes(name)).unwrap_or_else(|_| name.to_owned())
}

/// Back from one letter for each byte.
fn bytes(text: &str) -> Vec<u8> {
    let byte = |letter: char| u8::try_from(letter).unwrap_or(b'?');
    text.chars().map(byte).collect()
}
