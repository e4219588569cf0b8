//! Lists of addresses, which grow and shrink: a text with commas between them, or a list of JSON, TOML or
//! YAML.
//!
//! Who is named already stays where he is, who is not to be goes, and who is missing comes behind the last
//! one, written as that is: with the user, password and database of its URL, its quotes, and its line. A
//! list is never left empty.

use std::ops::Range;

use super::address::{self, Rewrite};
use super::tree::Tree;
use super::verify::{Discrepancy, check_outside, is_renamed};
use super::{Edit, EditError, Edited, Format, KeyPath, Splice, ValueKind, ValueProblem};
use super::{apply, splice};
use crate::model::Endpoint;

/// Most items of a list that is edited: more than a group has instances.
const ITEMS_MAX: usize = 256;

/// Makes the value of one key list the readers, and nobody else.
///
/// # Errors
/// [`EditError`] as an edit of single values has them.
pub(super) fn edit(format: Format, text: &[u8], edit: Edit<'_>) -> Result<Edited, EditError> {
    match super::edit(format, text, edit) {
        Err(EditError::NotAValue {
            key,
            line,
            found: "a list",
        }) => {
            let key = edit.keys.iter().find(|it| it.text() == key);
            let key = key.ok_or(EditError::NoKeys)?;
            edit_items(format, text, key, line, edit)
        }
        other => other,
    }
}

fn edit_items(
    format: Format,
    text: &[u8],
    key: &KeyPath,
    line: usize,
    edit: Edit<'_>,
) -> Result<Edited, EditError> {
    let refuse = |problem| EditError::Value {
        key: key.to_string(),
        line,
        problem,
    };
    let keys = item_keys(format, text, key).map_err(refuse)?;
    let slots = format.locate(text, &keys)?;
    let items = slots.iter().map(|slot| with_quotes(text, &slot.range));
    let items: Vec<Range<usize>> = items.collect();
    let gaps = gaps(text, &items).map_err(refuse)?;
    let read = |range: &Range<usize>| String::from_utf8_lossy(&text[range.clone()]).into_owned();
    let written = |position: usize, reader: &Endpoint| -> Result<String, EditError> {
        let around = &items[position];
        let edit = Edit {
            master: reader,
            readers: &[],
            ..edit
        };
        let Splice { range, text } = splice(text, &slots[position], edit)?;
        let mut written = read(around);
        let range = range.start - around.start..range.end - around.start;
        written.replace_range(range, &text);
        Ok(written)
    };
    let old: Vec<String> = items.iter().map(read).collect();
    let new = listed(&old, edit.readers, written)?;
    let splices = [Splice {
        range: items[0].start..items[items.len() - 1].end,
        text: joined(&new, &gaps),
    }];
    let bytes = apply(text, &splices);
    let verified = check_outside(text, &bytes, &splices)
        .and_then(|()| check(format.readings(text, &bytes)?, key, edit));
    verified.map_err(|discrepancy| EditError::Unverified { discrepancy })?;
    let changed = bytes != text;
    Ok(Edited { bytes, changed })
}

/// The ways to all items of a list, of which there is one at least.
fn item_keys(format: Format, text: &[u8], key: &KeyPath) -> Result<Vec<KeyPath>, ValueProblem> {
    let is_there = |position: &usize| {
        let item = key.item(*position);
        let found = format.locate(text, std::slice::from_ref(&item));
        !matches!(found, Err(EditError::PathMissing { .. }))
    };
    let positions: Vec<usize> = (0..=ITEMS_MAX).collect();
    match positions.partition_point(is_there) {
        0 => Err(ValueProblem::ListEmpty),
        count if count > ITEMS_MAX => Err(ValueProblem::ListLong),
        count => Ok((0..count).map(|position| key.item(position)).collect()),
    }
}

/// The text of a list with commas.
///
/// # Errors
/// [`ValueProblem`] when something else than addresses stands between them.
pub(super) fn rewrite(
    value: &[u8],
    references: &[Range<usize>],
    edit: Edit<'_>,
) -> Result<Rewrite, ValueProblem> {
    if !references.is_empty() {
        return Err(ValueProblem::Reference);
    }
    let text = std::str::from_utf8(value).map_err(|_| ValueProblem::Unrecognised)?;
    if text.trim().is_empty() {
        let written = |reader: &Endpoint| from_nothing(reader, edit.value);
        let new: Result<Vec<String>, _> = edit.readers.iter().map(written).collect();
        return Ok(Rewrite {
            range: 0..value.len(),
            text: new?.join(","),
        });
    }
    let mut parts = Vec::new();
    let mut start = 0;
    for part in text.split(',') {
        let behind = start + part.len() + 1;
        let lead = part.len() - part.trim_start().len();
        parts.push(start + lead..start + lead + part.trim().len());
        start = behind;
    }
    if parts.iter().any(Range::is_empty) || parts.len() > ITEMS_MAX {
        return Err(ValueProblem::Unrecognised);
    }
    let between = parts
        .windows(2)
        .map(|pair| &text[pair[0].end..pair[1].start]);
    let mut gaps: Vec<String> = between.map(str::to_owned).collect();
    if gaps.is_empty() {
        gaps.push(",".to_owned());
    }
    let old: Vec<String> = parts
        .iter()
        .map(|part| text[part.clone()].to_owned())
        .collect();
    let written = |position: usize, reader: &Endpoint| -> Result<String, ValueProblem> {
        let item = Edit {
            master: reader,
            readers: &[],
            ..edit
        };
        let mut written = old[position].clone();
        let Rewrite { range, text } = address::rewrite(written.as_bytes(), &[], item)?;
        written.replace_range(range, &text);
        if written.bytes().all(|byte| byte.is_ascii_digit()) {
            // Nobody reads at a port alone.
            return Err(ValueProblem::Unrecognised);
        }
        Ok(written)
    };
    let new = listed(&old, edit.readers, written)?;
    let range = parts[0].start..parts[parts.len() - 1].end;
    let text = joined(&new, &gaps);
    // A plain scalar of YAML that says it already gets no quotes.
    if value[range.clone()] == *text.as_bytes() {
        let text = String::new();
        return Ok(Rewrite { range: 0..0, text });
    }
    Ok(Rewrite { range, text })
}

fn from_nothing(reader: &Endpoint, kind: Option<ValueKind>) -> Result<String, ValueProblem> {
    match kind {
        None | Some(ValueKind::Endpoint | ValueKind::Connection) => Ok(reader.to_string()),
        Some(ValueKind::Host) => Ok(reader.host().to_owned()),
        Some(ValueKind::Url) => Err(ValueProblem::EmptyUrl),
        Some(ValueKind::Port) => Err(ValueProblem::OtherKind),
    }
}

/// The items of the new list: of the old ones those that name a reader, then all other readers in their
/// order.
/// `written` is an item as it would name one.
fn listed<E>(
    old: &[String],
    readers: &[Endpoint],
    written: impl Fn(usize, &Endpoint) -> Result<String, E>,
) -> Result<Vec<String>, E> {
    let mut missing: Vec<&Endpoint> = readers.iter().collect();
    let mut new = Vec::new();
    for (position, item) in old.iter().enumerate() {
        let mut place = None;
        for (at, reader) in missing.iter().enumerate() {
            if written(position, reader)? == *item {
                place = Some(at);
            }
        }
        if let Some(at) = place {
            missing.remove(at);
            new.push(item.clone());
        }
    }
    for reader in missing {
        new.push(written(old.len() - 1, reader)?);
    }
    Ok(new)
}

fn joined(items: &[String], gaps: &[String]) -> String {
    let mut text = String::new();
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            let gap = gaps.get(position - 1).or(gaps.last());
            text.push_str(gap.map_or(",", String::as_str));
        }
        text.push_str(item);
    }
    text
}

/// A value with the quotes around it.
fn with_quotes(text: &[u8], value: &Range<usize>) -> Range<usize> {
    let before = value.start.checked_sub(1).and_then(|at| text.get(at));
    match (before, text.get(value.end)) {
        (Some(b'"'), Some(b'"')) | (Some(b'\''), Some(b'\'')) => value.start - 1..value.end + 1,
        (Some(_) | None, Some(_) | None) => value.clone(),
    }
}

/// What stands between the items. Where there is one only, what would stand behind it.
///
/// # Errors
/// [`ValueProblem::ListGap`] where that is anything but blanks with a comma or a dash.
fn gaps(text: &[u8], items: &[Range<usize>]) -> Result<Vec<String>, ValueProblem> {
    let Some(first) = items.first() else {
        return Err(ValueProblem::ListEmpty);
    };
    let is_gap = |gap: &str| gap.trim() == "," || (gap.trim() == "-" && gap.contains('\n'));
    let mut gaps = Vec::new();
    for pair in items.windows(2) {
        let gap = text.get(pair[0].end..pair[1].start).unwrap_or_default();
        let gap = String::from_utf8_lossy(gap).into_owned();
        gaps.push(
            Some(gap)
                .filter(|gap| is_gap(gap))
                .ok_or(ValueProblem::ListGap)?,
        );
    }
    if gaps.is_empty() {
        gaps.push(gap_behind(&text[..first.start]).ok_or(ValueProblem::ListGap)?);
    }
    Ok(gaps)
}

/// What would stand behind the only item of a list, by what stands before it.
fn gap_behind(before: &[u8]) -> Option<String> {
    let before = std::str::from_utf8(before).ok()?;
    let bare = before.trim_end();
    let blanks = &before[bare.len()..];
    if bare.ends_with('[') {
        let gap = if blanks.contains('\n') { blanks } else { " " };
        return Some(format!(",{gap}"));
    }
    let (above, line) = before.rsplit_once('\n').unwrap_or(("", before));
    let end = if above.ends_with('\r') { "\r\n" } else { "\n" };
    (line.trim() == "-").then(|| format!("{end}{line}"))
}

/// Demands of each reading of old and new that they differ in the list alone, and that this names the
/// readers.
fn check(readings: Vec<(Tree, Tree)>, key: &KeyPath, edit: Edit<'_>) -> Result<(), Discrepancy> {
    for (mut old, mut new) in readings {
        let wrong = || Discrepancy::ValueAt {
            key: key.to_string(),
        };
        let way = way(&old, key).ok_or_else(wrong)?;
        let texts = |tree: &mut Tree| tree.take(&way).and_then(texts).ok_or_else(wrong);
        let (named_before, named) = (texts(&mut old)?, texts(&mut new)?);
        if !names_readers(&named_before, &named, edit) {
            return Err(wrong());
        }
        if old != new {
            return Err(Discrepancy::Elsewhere);
        }
    }
    Ok(())
}

/// Where a key leads: in a file of several documents to the only one that has it.
fn way(root: &Tree, key: &KeyPath) -> Option<Vec<String>> {
    let Tree::Documents(documents) = root else {
        return Some(key.segments().to_vec());
    };
    let mut having = documents.iter().enumerate().filter(|(number, document)| {
        let is_meant = key.document().is_none_or(|meant| meant == *number);
        is_meant && document.get(key.within()).is_some()
    });
    let (number, _) = having.next()?;
    let way = std::iter::once(number.to_string()).chain(key.within().iter().cloned());
    having.next().is_none().then(|| way.collect())
}

fn texts(tree: Tree) -> Option<Vec<String>> {
    let Tree::List(items) = tree else {
        return None;
    };
    let text = |item| match item {
        Tree::Text(text) => Some(text),
        Tree::Other(_)
        | Tree::List(_)
        | Tree::Map(_)
        | Tree::Documents(_)
        | Tree::Marked(..)
        | Tree::Taken => None,
    };
    items.into_iter().map(text).collect()
}

/// Whether a text of addresses by commas became the wanted one.
pub(super) fn is_listed(old: &[u8], new: &[u8], edit: Edit<'_>) -> bool {
    let parts = |text: &[u8]| -> Option<Vec<String>> {
        let text = std::str::from_utf8(text).ok()?;
        Some(text.split(',').map(|part| part.trim().to_owned()).collect())
    };
    let (Some(old), Some(new)) = (parts(old), parts(new)) else {
        return false;
    };
    names_readers(&old, &new, edit)
}

/// Whether each reader is named by one item of the new list, written as one of the old list, and nobody
/// else is.
fn names_readers(old: &[String], new: &[String], edit: Edit<'_>) -> bool {
    let names = |item: &String, reader: &Endpoint| {
        let edit = Edit {
            master: reader,
            readers: &[],
            ..edit
        };
        let is_like = |old: &String| is_renamed(old.as_bytes(), item.as_bytes(), edit);
        let is_endpoint = item.parse().as_ref() == Ok(reader) || item == reader.host();
        old.iter().any(is_like) || (old == [""] && is_endpoint)
    };
    let is_named = |reader| new.iter().any(|item| names(item, reader));
    let is_wanted = |item| edit.readers.iter().any(|reader| names(item, reader));
    new.len() == edit.readers.len()
        && edit.readers.iter().all(is_named)
        && new.iter().all(is_wanted)
}
