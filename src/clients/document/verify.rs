//! The second reading of an edit: line by line, as docker's `--env-file` reads, sharing no code with
//! the first.
//!
//! Where the two readings of a document do not agree on what is assigned, the edit is refused: so a
//! mistake of the first one, or a document that loaders themselves read differently, changes nothing.

use thiserror::Error;

use super::{Edit, Splice, ValueKind, address};
use crate::model::Endpoint;

/// What the second reading saw. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Discrepancy {
    /// Bytes outside of the values differ.
    #[error("bytes outside of the values would change")]
    Outside,
    /// Lines were added or lost.
    #[error("the number of lines would change from {old} to {new}")]
    Lines {
        /// Before.
        old: usize,
        /// After.
        new: usize,
    },
    /// A line that is none of ours differs.
    #[error("line {line} would change")]
    Line {
        /// The line.
        line: usize,
    },
    /// The new value does not say what it shall, or more than host and port differ.
    #[error("the value in line {line} would not name the master")]
    Value {
        /// The line.
        line: usize,
    },
    /// Some loaders put something else in place of the address.
    #[error("the value in line {line} would name the master only for some loaders: write it out")]
    Substituted {
        /// The line.
        line: usize,
    },
    /// Loaders differ on what is an assignment.
    #[error(
        "{seen} lines assign a value to the keys, {found} of them for every loader: \
         look for quotes or a backslash that carry a value on to the next line"
    )]
    Occurrences {
        /// By lines.
        seen: usize,
        /// By the first reading.
        found: usize,
    },
}

/// Demands that `new` is `old` but for the values of the keys, and that these name the master.
///
/// # Errors
/// [`Discrepancy`], the first one in the text.
pub(super) fn check(
    old: &[u8],
    new: &[u8],
    splices: &[Splice],
    edit: Edit<'_>,
) -> Result<(), Discrepancy> {
    check_outside(old, new, splices)?;
    let (old_lines, new_lines) = (lines(old), lines(new));
    if old_lines.len() != new_lines.len() {
        return Err(Discrepancy::Lines {
            old: old_lines.len(),
            new: new_lines.len(),
        });
    }
    let is_ours = |line: &&&[u8]| assignment(line, edit.keys).is_some();
    let (seen, found) = (old_lines.iter().filter(is_ours).count(), splices.len());
    if seen != found {
        return Err(Discrepancy::Occurrences { seen, found });
    }
    for (index, (old, new)) in old_lines.iter().zip(&new_lines).enumerate() {
        let line = index + 1;
        match (assignment(old, edit.keys), assignment(new, edit.keys)) {
            (None, None) if old == new => {}
            (Some((old_key, old_value)), Some((new_key, new_value))) if old_key == new_key => {
                if !is_same_for_all(old_value) {
                    return Err(Discrepancy::Substituted { line });
                }
                if !is_renamed(content(old_value), content(new_value), edit) {
                    return Err(Discrepancy::Value { line });
                }
            }
            (None | Some(_), None | Some(_)) => return Err(Discrepancy::Line { line }),
        }
    }
    Ok(())
}

/// Walks both texts from splice to splice: what lies between has to be the same.
fn check_outside(old: &[u8], new: &[u8], splices: &[Splice]) -> Result<(), Discrepancy> {
    let (mut old, mut new, mut passed) = (old, new, 0);
    for splice in splices {
        let gap = splice.range.start.checked_sub(passed);
        let gap = gap.ok_or(Discrepancy::Outside)?;
        if old.get(..gap).ok_or(Discrepancy::Outside)? != new.get(..gap).unwrap_or_default() {
            return Err(Discrepancy::Outside);
        }
        old = old
            .get(gap + splice.range.len()..)
            .ok_or(Discrepancy::Outside)?;
        new = new
            .get(gap + splice.text.len()..)
            .ok_or(Discrepancy::Outside)?;
        passed = splice.range.end;
    }
    if old == new {
        Ok(())
    } else {
        Err(Discrepancy::Outside)
    }
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    let text = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text);
    text.split(|byte| *byte == b'\n').collect()
}

/// The key and the raw right side, when the line assigns a value to one of `keys`.
fn assignment<'a>(line: &'a [u8], keys: &'a [String]) -> Option<(&'a str, &'a [u8])> {
    let mut sides = line.splitn(2, |byte| *byte == b'=');
    let left = sides.next()?.trim_ascii();
    let right = sides.next()?;
    let words: Vec<&[u8]> = left
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    let key = match words.as_slice() {
        [key] | [b"export", key] => *key,
        _ => return None,
    };
    let key = keys.iter().find(|wanted| wanted.as_bytes() == key)?;
    Some((key, right))
}

/// The value without quotes and without a comment behind it.
fn content(right: &[u8]) -> &[u8] {
    let right = right.trim_ascii();
    match right.first() {
        Some(quote @ (b'"' | b'\'')) => {
            let inner = &right[1..];
            let mut escaped = false;
            let end = inner.iter().position(|byte| {
                let ends = byte == quote && !escaped;
                escaped = *byte == b'\\' && !escaped && *quote == b'"';
                ends
            });
            end.map_or(right, |end| &inner[..end])
        }
        Some(b'#') => b"",
        Some(_) | None => {
            let comment = right
                .windows(2)
                .position(|pair| pair[0].is_ascii_whitespace() && pair[1] == b'#');
            comment.map_or(right, |start| right[..start].trim_ascii_end())
        }
    }
}

/// Whether loaders that put variables in place see the same scheme and address as those that do not.
fn is_same_for_all(right: &[u8]) -> bool {
    let value = content(right);
    if right.trim_ascii().starts_with(b"'") {
        return true;
    }
    let Some(expanded) = expand(value) else {
        return false;
    };
    match (divide(value), divide(&expanded)) {
        (Some(raw), Some(expanded)) => {
            raw.scheme == expanded.scheme && raw.address == expanded.address
        }
        (None, None) => value == expanded,
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// The value with an `x` for each variable; none if more than variables would be put in place.
fn expand(value: &[u8]) -> Option<Vec<u8>> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut expanded = Vec::new();
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'`', _) | (b'$', Some(b'(')) => return None,
            (b'$', Some(b'{')) => {
                let inner: Vec<u8> = bytes
                    .by_ref()
                    .skip(1)
                    .take_while(|byte| *byte != b'}')
                    .collect();
                if inner.is_empty() || !inner.iter().all(is_word) {
                    return None;
                }
                expanded.push(b'x');
            }
            (b'$', Some(first)) if is_word(first) && !first.is_ascii_digit() => {
                while bytes.next_if(is_word).is_some() {}
                expanded.push(b'x');
            }
            (b'\\', _) => {
                expanded.push(byte);
                expanded.extend(bytes.next());
            }
            (byte, _) => expanded.push(byte),
        }
    }
    Some(expanded)
}

/// Whether `new` is `old` with the master in place of what it named before.
fn is_renamed(old: &[u8], new: &[u8], edit: Edit<'_>) -> bool {
    if old.windows(3).any(|window| window == b"://") {
        return is_renamed_url(old, new, edit.master);
    }
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return false;
    };
    let is_number = !old.is_empty() && old.bytes().all(|byte| byte.is_ascii_digit());
    let is_endpoint = old.parse::<Endpoint>().is_ok();
    let kind = match edit.value {
        Some(kind) => kind,
        None if is_number => ValueKind::Port,
        None if is_endpoint => ValueKind::Endpoint,
        None => ValueKind::Host,
    };
    match kind {
        ValueKind::Url => false,
        ValueKind::Endpoint => new.parse().as_ref() == Ok(edit.master),
        ValueKind::Host => new.trim_matches(['[', ']']) == edit.master.host(),
        ValueKind::Port => new.parse() == Ok(edit.master.port()),
    }
}

fn is_renamed_url(old: &[u8], new: &[u8], master: &Endpoint) -> bool {
    let (Some(old), Some(new)) = (divide(old), divide(new)) else {
        return false;
    };
    let Ok(named) = std::str::from_utf8(new.address) else {
        return false;
    };
    let with_port = format!("{named}:{}", address::DEFAULT_PORT);
    let names_master =
        named.parse().as_ref() == Ok(master) || with_port.parse().as_ref() == Ok(master);
    names_master && old.before == new.before && old.behind == new.behind
}

struct Divided<'a> {
    scheme: &'a [u8],
    before: &'a [u8],
    address: &'a [u8],
    behind: &'a [u8],
}

/// Divides a URL around its host and port, from the right: the last `@` ends the password.
fn divide(url: &[u8]) -> Option<Divided<'_>> {
    let scheme_end = url.windows(3).position(|window| window == b"://")?;
    let start = url.iter().rposition(|byte| *byte == b'@');
    let start = start.map_or(scheme_end + 3, |position| position + 1);
    let rest = url.get(start..)?;
    let length = rest
        .iter()
        .take_while(|byte| !b"/?#".contains(byte))
        .count();
    Some(Divided {
        scheme: &url[..scheme_end],
        before: &url[..start],
        address: &rest[..length],
        behind: &rest[length..],
    })
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    fn checked(old: &str, new: &str, splices: &[(Range<usize>, &str)]) -> Result<(), Discrepancy> {
        let splices: Vec<Splice> = splices
            .iter()
            .map(|(range, text)| Splice {
                range: range.clone(),
                text: (*text).to_owned(),
            })
            .collect();
        let edit = Edit {
            keys: &["K".to_owned()],
            value: None,
            master: &"b:2".parse().unwrap(),
        };
        check(old.as_bytes(), new.as_bytes(), &splices, edit)
    }

    #[test]
    fn a_faithful_edit_passes() {
        assert_eq!(
            checked("A=1\nK=a:1\n", "A=1\nK=b:2\n", &[(6..9, "b:2")]),
            Ok(())
        );
        let (old, new) = ("K=\"redis://:p@a:1/0\" # x", "K=\"redis://:p@b:2/0\" # x");
        assert_eq!(checked(old, new, &[(14..17, "b:2")]), Ok(()));
        let (old, new) = ("K=redis://:$P@a:1/${D}", "K=redis://:$P@b:2/${D}");
        assert_eq!(checked(old, new, &[(14..17, "b:2")]), Ok(()));
    }

    #[test]
    fn every_kind_of_unwanted_change_is_seen() {
        for (old, new, splices, seen) in [
            (
                "A=1\nK=a:1",
                "A=2\nK=b:2",
                vec![(6..9, "b:2")],
                Discrepancy::Outside,
            ),
            (
                "A=1\nK=a:1",
                "A=2\nK=b:2",
                vec![(0..9, "A=2\nK=b:2")],
                Discrepancy::Line { line: 1 },
            ),
            (
                "K=a:1\n",
                "K=b:2",
                vec![(2..6, "b:2")],
                Discrepancy::Lines { old: 2, new: 1 },
            ),
            (
                "K=a:1",
                "K=c:2",
                vec![(2..5, "c:2")],
                Discrepancy::Value { line: 1 },
            ),
            (
                "K=a:1",
                "K=b",
                vec![(2..5, "b")],
                Discrepancy::Value { line: 1 },
            ),
            (
                "K=a:1",
                "J=b:2",
                vec![(0..5, "J=b:2")],
                Discrepancy::Line { line: 1 },
            ),
            (
                "K=redis://:p@a:1/0",
                "K=redis://:q@b:2/0",
                vec![(11..16, "q@b:2")],
                Discrepancy::Value { line: 1 },
            ),
            (
                "K=redis://:p@a:1/0",
                "K=redis://:p@b:2/1",
                vec![(13..18, "b:2/1")],
                Discrepancy::Value { line: 1 },
            ),
            (
                "K=a:1\nK=b:2",
                "K=b:2\nK=b:2",
                vec![(2..5, "b:2")],
                Discrepancy::Occurrences { seen: 2, found: 1 },
            ),
            ("K=a:1", "K=b:2", vec![(2..9, "b:2")], Discrepancy::Outside),
            (
                "K=$A",
                "K=b",
                vec![(2..4, "b")],
                Discrepancy::Substituted { line: 1 },
            ),
            (
                "K=redis://${A}:1/0",
                "K=redis://b:2/0",
                vec![(10..16, "b:2")],
                Discrepancy::Substituted { line: 1 },
            ),
            (
                "K=redis://a:1$P/0",
                "K=redis://b:2/0",
                vec![(10..15, "b:2")],
                Discrepancy::Substituted { line: 1 },
            ),
            (
                "K=\"redis$S://a:1\"",
                "K=\"redis$S://b:2\"",
                vec![(13..16, "b:2")],
                Discrepancy::Substituted { line: 1 },
            ),
            (
                "K=redis://${U:-x:p@a:1/0}",
                "K=redis://${U:-x:p@b:2/0}",
                vec![(19..22, "b:2")],
                Discrepancy::Substituted { line: 1 },
            ),
            (
                "K=redis://:${P:-x}@a:1",
                "K=redis://:${P:-x}@b:2",
                vec![(19..22, "b:2")],
                Discrepancy::Substituted { line: 1 },
            ),
            (
                "K=redis://:`x`@a:1",
                "K=redis://:`x`@b:2",
                vec![(15..18, "b:2")],
                Discrepancy::Substituted { line: 1 },
            ),
            (
                "K=redis://:$(x)@a:1",
                "K=redis://:$(x)@b:2",
                vec![(16..19, "b:2")],
                Discrepancy::Substituted { line: 1 },
            ),
        ] {
            assert_eq!(checked(old, new, &splices), Err(seen), "{old:?} to {new:?}");
        }
    }
}
