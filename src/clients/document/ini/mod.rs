//! INI: sections in brackets, `key = value` or `key: value` in them, comments behind `;` and `#`.
//!
//! There is no standard: Python's `configparser`, PHP, systemd and Git differ on comments behind a
//! value, on quotes, and on values that go on in the next line. A wanted value is changed only where
//! its bounds are the same for all of them.

use std::ops::Range;

use super::{EditError, KeyPath, Letters, Slot, ValueProblem};
use super::{address, check_lines, mark_length, references};

mod verify;

pub(super) use verify::check;

/// Finds the value of every path in `keys`.
///
/// # Errors
/// [`EditError`] when a section or a key is there twice, or a value may end elsewhere for some readers.
pub(super) fn locate<'a>(text: &[u8], keys: &'a [KeyPath]) -> Result<Vec<Slot<'a>>, EditError> {
    check_lines(text)?;
    let lines = lines(text);
    let slot = |key| {
        let index = find(&lines, key)?;
        slot(text, &lines, index, key)
    };
    keys.iter().map(slot).collect()
}

struct Line<'t> {
    /// Without what ends it.
    range: Range<usize>,
    indent: usize,
    content: Content<'t>,
    /// Whether `configparser` takes it for a part of the value before it.
    is_joined: bool,
}

enum Content<'t> {
    Nothing,
    Section(&'t [u8]),
    /// A name, and where the right side begins.
    Key(&'t [u8], usize),
    Other,
}

fn lines(text: &[u8]) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut start = mark_length(text);
    // How far the last key is indented that began a value.
    let mut level = None;
    for raw in text[start..].split(|byte| *byte == b'\n') {
        let trimmed = raw.trim_ascii();
        let indent = raw.len() - raw.trim_ascii_start().len();
        let content = content(trimmed, start + indent);
        let is_joined = level.is_some_and(|level| indent > level);
        match content {
            Content::Nothing => {}
            Content::Section(_) => level = None,
            Content::Key(..) | Content::Other if is_joined => {}
            Content::Key(..) | Content::Other => level = Some(indent),
        }
        lines.push(Line {
            range: start..start + raw.strip_suffix(b"\r").unwrap_or(raw).len(),
            indent,
            content,
            is_joined,
        });
        start += raw.len() + 1;
    }
    lines
}

/// What a line holds that begins at `start`.
fn content(line: &[u8], start: usize) -> Content<'_> {
    match line.first() {
        None | Some(b';' | b'#') => Content::Nothing,
        Some(b'[') => match line.iter().position(|byte| *byte == b']') {
            Some(end) => Content::Section(&line[1..end]),
            None => Content::Other,
        },
        Some(_) => match line.iter().position(|byte| matches!(byte, b'=' | b':')) {
            Some(end) => Content::Key(line[..end].trim_ascii_end(), start + end + 1),
            None => Content::Other,
        },
    }
}

/// The line that assigns the key, within the only section of its name.
fn find(lines: &[Line<'_>], key: &KeyPath) -> Result<usize, EditError> {
    let (section, name) = match key.segments() {
        [name] => (None, name),
        [section, name] => (Some(section), name),
        segments => return Err(missing(key, segments.join("."))),
    };
    let twice = |index: usize, part: &str| EditError::GivenTwice {
        key: key.to_string(),
        line: index + 1,
        part: part.to_owned(),
    };
    let mut is_inside = section.is_none();
    let mut is_known = is_inside;
    let mut found = None;
    for (index, line) in lines.iter().enumerate() {
        match (line.content.as_section(), line.content.as_key()) {
            (Some(other), _) => {
                let wanted = section.filter(|section| section.as_bytes() == other);
                is_inside = wanted.is_some();
                if let Some(wanted) = wanted.filter(|_| is_known) {
                    return Err(twice(index, &format!("[{wanted}]")));
                }
                is_known |= is_inside;
            }
            // Some readers do not tell capitals apart.
            (None, Some(other)) if is_inside && other.eq_ignore_ascii_case(name.as_bytes()) => {
                if found.is_some() {
                    return Err(twice(index, name));
                }
                found = Some((index, other == name.as_bytes()));
            }
            (None, Some(_) | None) => {}
        }
    }
    match (found, section) {
        (Some((index, true)), _) => Ok(index),
        (_, Some(section)) if !is_known => Err(missing(key, format!("section [{section}]"))),
        (Some((_, false)) | None, _) => Err(missing(key, name.clone())),
    }
}

fn missing(key: &KeyPath, missing: String) -> EditError {
    let key = key.to_string();
    EditError::PathMissing { key, missing }
}

impl<'t> Content<'t> {
    fn as_section(&self) -> Option<&'t [u8]> {
        match self {
            Self::Section(name) => Some(name),
            Self::Nothing | Self::Key(..) | Self::Other => None,
        }
    }

    fn as_key(&self) -> Option<&'t [u8]> {
        match self {
            Self::Key(name, _) => Some(name),
            Self::Nothing | Self::Section(_) | Self::Other => None,
        }
    }
}

fn slot<'k>(
    text: &[u8],
    lines: &[Line<'_>],
    index: usize,
    key: &'k KeyPath,
) -> Result<Slot<'k>, EditError> {
    let line = index + 1;
    let found = check_bounds(text, lines, index).and_then(|()| sure_value(text, &lines[index]));
    let (range, references) = found.map_err(|problem| EditError::Value {
        key: key.to_string(),
        line,
        problem,
    })?;
    Ok(Slot {
        key,
        line,
        range,
        references,
        letters: Letters::AsWritten,
        rewriting: address::rewrite,
    })
}

/// Refuses a line that some reader joins with one before or behind it.
fn check_bounds(text: &[u8], lines: &[Line<'_>], index: usize) -> Result<(), ValueProblem> {
    let line = &lines[index];
    if line.is_joined {
        return Err(ValueProblem::Indented);
    }
    let is_filled = |line: &&Line<'_>| !matches!(line.content, Content::Nothing);
    let behind = lines[index + 1..].iter().find(is_filled);
    if behind.is_some_and(|behind| behind.indent > line.indent) {
        return Err(ValueProblem::IndentedBehind);
    }
    let before = index.checked_sub(1).map(|before| &lines[before]);
    let before = before.filter(is_filled).map(|before| before.range.clone());
    if before.is_some_and(|range| text[range].trim_ascii_end().ends_with(b"\\")) {
        return Err(ValueProblem::Continued);
    }
    Ok(())
}

/// The bytes of the value without quotes, when all readers agree on them, and the references in it.
fn sure_value(
    text: &[u8],
    line: &Line<'_>,
) -> Result<(Range<usize>, Vec<Range<usize>>), ValueProblem> {
    let Content::Key(_, start) = line.content else {
        return Err(ValueProblem::Unrecognised);
    };
    let whole = &text[line.range.clone()];
    if references::is_template(whole) {
        return Err(ValueProblem::Template);
    }
    if whole.trim_ascii_end().ends_with(b"\\") {
        return Err(ValueProblem::Continuation);
    }
    let right_side = &text[start..line.range.end];
    let blanks = right_side.len() - right_side.trim_ascii_start().len();
    let first = start + blanks;
    let range = match right_side.get(blanks) {
        Some(quote @ (b'"' | b'\'')) => {
            let length = quoted_length(&right_side[blanks + 1..], *quote)?;
            first + 1..first + 1 + length
        }
        Some(_) => match unquoted_length(&right_side[blanks..])? {
            0 => start..start,
            length => first..first + length,
        },
        None => first..first,
    };
    let value = &text[range.clone()];
    if value.iter().any(u8::is_ascii_control) {
        return Err(ValueProblem::Control);
    }
    let references = references::find(value)?;
    Ok((range, references))
}

/// How long the text is before its closing quote.
fn quoted_length(text: &[u8], quote: u8) -> Result<usize, ValueProblem> {
    let mut is_escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == quote && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    let end = end.ok_or(ValueProblem::SpansLines)?;
    let behind = &text[end + 1..];
    let comment = behind.trim_ascii_start();
    let is_comment = comment.len() < behind.len() && matches!(comment.first(), Some(b';' | b'#'));
    if comment.is_empty() || is_comment {
        Ok(end)
    } else {
        Err(ValueProblem::TextBehindQuote)
    }
}

/// How long a value is that ends with the line, or before a comment behind a blank.
fn unquoted_length(raw: &[u8]) -> Result<usize, ValueProblem> {
    let comment = raw.iter().position(|byte| matches!(byte, b';' | b'#'));
    let value = match comment {
        Some(0) => &raw[..0],
        Some(at) if raw[at - 1].is_ascii_whitespace() => &raw[..at],
        Some(at) if raw[at] == b';' => return Err(ValueProblem::UnquotedSemicolon),
        Some(_) => return Err(ValueProblem::UnquotedHash),
        None => raw,
    };
    let value = value.trim_ascii_end();
    if value.iter().any(u8::is_ascii_whitespace) {
        return Err(ValueProblem::UnquotedSpace);
    }
    Ok(value.len())
}
