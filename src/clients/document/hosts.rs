//! Hosts files, as `/etc/hosts`: the address of the line that has a name. Path: the name.

use std::net::IpAddr;
use std::ops::Range;

use super::address::Rewrite;
use super::verify::{Assigned, Discrepancy, compare_assigned};
use super::{Edit, EditError, KeyPath, Letters, Slot, ValueKind, ValueProblem};
use super::{check_lines, mark_length};

/// Finds the address of every name in `keys`.
///
/// # Errors
/// [`EditError`] when no line has the name, or several have.
pub(super) fn locate<'a>(text: &[u8], keys: &'a [KeyPath]) -> Result<Vec<Slot<'a>>, EditError> {
    check_lines(text)?;
    let lines = lines(text);
    let slots = keys
        .iter()
        .map(|key| slot(&lines, key))
        .collect::<Result<Vec<_>, _>>();
    let mut slots = slots?;
    slots.sort_by_key(|slot| slot.range.start);
    if let Some(pair) = slots.windows(2).find(|pair| pair[0].range == pair[1].range) {
        return Err(EditError::SameLine {
            line: pair[1].line,
            key: pair[0].key.to_string(),
            other: pair[1].key.to_string(),
        });
    }
    Ok(slots)
}

struct Line<'t> {
    number: usize,
    address: Range<usize>,
    names: Vec<&'t [u8]>,
}

fn lines(text: &[u8]) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut start = mark_length(text);
    for (index, raw) in text[start..].split(|byte| *byte == b'\n').enumerate() {
        let content = raw.split(|byte| *byte == b'#').next().unwrap_or_default();
        let blanks = content.len() - content.trim_ascii_start().len();
        let mut words = content
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        if let Some(address) = words.next() {
            let first = start + blanks;
            lines.push(Line {
                number: index + 1,
                address: first..first + address.len(),
                names: words.collect(),
            });
        }
        start += raw.len() + 1;
    }
    lines
}

fn slot<'k>(lines: &[Line<'_>], key: &'k KeyPath) -> Result<Slot<'k>, EditError> {
    let name = key.segments().join(".");
    let has_name = |line: &&Line<'_>| {
        let mut names = line.names.iter();
        names.any(|other| other.eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut having = lines.iter().filter(has_name);
    let key_text = key.to_string();
    let line = match (having.next(), having.next()) {
        (Some(line), None) => line,
        (None, _) => return Err(EditError::KeyMissing { key: key_text }),
        (Some(_), Some(second)) => {
            return Err(EditError::GivenTwice {
                key: key_text,
                line: second.number,
                part: name,
            });
        }
    };
    Ok(Slot {
        key,
        line: line.number,
        range: line.address.clone(),
        references: Vec::new(),
        letters: Letters::AsWritten,
        rewriting: rewrite,
    })
}

/// Replaces an address by the master's, which has to be one.
fn rewrite(value: &[u8], _: &[Range<usize>], edit: Edit<'_>) -> Result<Rewrite, ValueProblem> {
    if edit.value.is_some_and(|kind| kind != ValueKind::Host) {
        return Err(ValueProblem::OtherKind);
    }
    let old = std::str::from_utf8(value).ok();
    old.and_then(|old| old.parse::<IpAddr>().ok())
        .ok_or(ValueProblem::Unrecognised)?;
    let master = edit.master.address().ok_or(ValueProblem::NoAddress)?;
    Ok(Rewrite {
        range: 0..value.len(),
        text: master.to_string(),
    })
}

/// Demands that `new` is `old` but for the addresses of the names, and that these are the master's.
///
/// # Errors
/// [`Discrepancy`], the first one in the text.
pub(super) fn check(
    old: &[u8],
    new: &[u8],
    found: usize,
    edit: Edit<'_>,
) -> Result<(), Discrepancy> {
    let is_wanted = |assigned: &Assigned, key: &KeyPath| {
        let name = key.segments().join(".").to_lowercase();
        assigned
            .place
            .iter()
            .any(|other| other.to_lowercase() == name)
    };
    let is_right = |_: &[u8], new: &[u8]| {
        let new = String::from_utf8_lossy(new);
        new.parse::<IpAddr>()
            .ok()
            .is_some_and(|new| Some(new) == edit.master.address())
    };
    compare_assigned((read(old), read(new)), found, edit, is_wanted, is_right)
}

/// The names of each line, and its address.
fn read(text: &[u8]) -> Vec<Assigned> {
    let text = String::from_utf8_lossy(text);
    let assigned = |line: &str| {
        let (content, _) = line.split_once('#').unwrap_or((line, ""));
        let mut words = content.split_ascii_whitespace().map(str::to_owned);
        let value = words.next().unwrap_or_default().into_bytes();
        let place = words.collect();
        Assigned { place, value }
    };
    text.trim_start_matches('\u{FEFF}')
        .split('\n')
        .map(assigned)
        .collect()
}
