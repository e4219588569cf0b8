//! The second reading of an env document: line by line, as docker's `--env-file` reads, sharing no
//! code with the first.
//!
//! Where the two readings do not agree on what is assigned, the edit is refused.

use super::super::verify::{Discrepancy, divide, is_renamed};
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
    let (old_lines, new_lines) = (lines(old), lines(new));
    if old_lines.len() != new_lines.len() {
        return Err(Discrepancy::Lines {
            old: old_lines.len(),
            new: new_lines.len(),
        });
    }
    let is_ours = |line: &&&[u8]| assignment(line, edit.keys).is_some();
    let seen = old_lines.iter().filter(is_ours).count();
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

fn lines(text: &[u8]) -> Vec<&[u8]> {
    let text = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text);
    text.split(|byte| *byte == b'\n').collect()
}

/// The key and the raw right side, when the line assigns a value to one of `keys`.
fn assignment<'a>(line: &'a [u8], keys: &'a [KeyPath]) -> Option<(&'a str, &'a [u8])> {
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
    let key = keys.iter().find(|wanted| wanted.text().as_bytes() == key)?;
    Some((key.text(), right))
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
        (None, None) => addresses(value).eq(addresses(&expanded)),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// The parts by commas that are no options: all of the value where it has none.
fn addresses(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let has_options = value.contains(&b',');
    let is_option = move |part: &&[u8]| has_options && part.contains(&b'=');
    let parts = value.split(|byte| *byte == b',');
    parts.filter(move |part| !is_option(part))
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

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::super::super::{Format, Splice};
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
            keys: &["K".parse().unwrap()],
            value: None,
            master: &"b:2".parse().unwrap(),
            readers: &[],
        };
        Format::Env.check(old.as_bytes(), new.as_bytes(), &splices, edit)
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
