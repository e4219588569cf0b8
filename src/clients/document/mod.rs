//! Editing of clients' documents: a few bytes change, and a second reading agrees. Touches no file.
//!
//! Each format has a module that says where the values are (`locate`) and that reads old and new once
//! more by other means (`check`): `env`, `json`, `ini` and so on. To add one is a variant of [`Format`]
//! and such a module. The addresses within values are the same in most of them (`address`).
//! No error and no `Debug` text here repeats a value: it may hold a password.

use std::fmt;
use std::ops::Range;

use crate::model::Endpoint;

mod address;
mod connection;
mod env;
mod error;
mod format;
mod haproxy;
mod hosts;
mod ini;
mod json;
mod jsonc;
mod kind;
mod letters;
mod list;
mod path;
mod problem;
mod properties;
mod references;
mod toml;
mod tree;
mod twemproxy;
mod verify;
mod yaml;

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod generated_tests;
#[cfg(test)]
mod line_tests;
#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod yaml_tests;

use address::Rewriting;
pub use error::EditError;
pub use format::Format;
pub use kind::{UnknownValueKind, ValueKind};
use letters::Letters;
pub use path::{InvalidKeyPath, KeyPath, split_paths};
pub use problem::ValueProblem;
pub use verify::Discrepancy;

/// What to change: each value of each key shall name `master`.
#[derive(Debug, Clone, Copy)]
pub struct Edit<'a> {
    /// The keys, or the paths of the values.
    pub keys: &'a [KeyPath],
    /// What the values hold; none to tell it from each old value.
    pub value: Option<ValueKind>,
    /// What they shall name.
    pub master: &'a Endpoint,
    /// What they shall list instead, where there is any: see [`edit_lists`].
    pub readers: &'a [Endpoint],
}

/// A verified edit. Its `Debug` text shows no content.
pub struct Edited {
    bytes: Vec<u8>,
    changed: bool,
}

/// A value that was found: its bytes without quotes, and whose it is.
struct Slot<'a> {
    key: &'a KeyPath,
    line: usize,
    range: Range<usize>,
    /// Parts of the value in place of which some readers put a variable's content, from its start.
    references: Vec<Range<usize>>,
    /// What its bytes mean.
    letters: Letters,
    /// How an address is written there.
    rewriting: Rewriting,
}

/// Some bytes of the old text, and what takes their place.
struct Splice {
    range: Range<usize>,
    text: String,
}

/// Makes every value of every key name the master; all other bytes stay.
///
/// # Errors
/// [`EditError`] when a key is missing, when a value cannot be changed without a guess, or when a
/// second reading of the result disagrees.
pub fn edit(format: Format, text: &[u8], edit: Edit<'_>) -> Result<Edited, EditError> {
    if edit.keys.is_empty() {
        return Err(EditError::NoKeys);
    }
    let mut slots = format.locate(text, edit.keys)?;
    slots.sort_by_key(|slot| slot.range.start);
    if let Some(key) = edit
        .keys
        .iter()
        .find(|key| slots.iter().all(|slot| slot.key != *key))
    {
        let key = key.to_string();
        return Err(EditError::KeyMissing { key });
    }
    let splices = slots
        .iter()
        .map(|slot| splice(text, slot, edit))
        .collect::<Result<Vec<_>, _>>()?;
    let overlaps = |pair: &[Splice]| pair[1].range.start < pair[0].range.end;
    if splices.windows(2).any(overlaps) {
        let discrepancy = Discrepancy::Outside;
        return Err(EditError::Unverified { discrepancy });
    }
    let bytes = apply(text, &splices);
    let verified = format.check(text, &bytes, &splices, edit);
    verified.map_err(|discrepancy| EditError::Unverified { discrepancy })?;
    let changed = bytes != text;
    Ok(Edited { bytes, changed })
}

/// Makes every value of every key a list of the readers, of which there must be one; all other bytes stay.
///
/// # Errors
/// [`EditError`] as [`edit`] has it.
pub fn edit_lists(format: Format, text: &[u8], edit: Edit<'_>) -> Result<Edited, EditError> {
    let mut bytes = text.to_vec();
    for key in edit.keys {
        let keys = std::slice::from_ref(key);
        bytes = list::edit(format, &bytes, Edit { keys, ..edit })?.into_bytes();
    }
    let changed = bytes != text;
    Ok(Edited { bytes, changed })
}

fn splice(text: &[u8], slot: &Slot<'_>, edit: Edit<'_>) -> Result<Splice, EditError> {
    let value = slot.letters.read(&text[slot.range.clone()]);
    let rewrite = (slot.rewriting)(value, &slot.references, edit);
    let rewrite = rewrite.map_err(|problem| EditError::Value {
        key: slot.key.to_string(),
        line: slot.line,
        problem,
    })?;
    let written = slot.letters.place(&rewrite.range);
    Ok(Splice {
        range: slot.range.start + written.start..slot.range.start + written.end,
        text: rewrite.text,
    })
}

/// Refuses what is no text, and lines that end for some readers only. Bytes beyond ASCII are taken as
/// they are.
///
/// # Errors
/// [`EditError`] with the line.
fn check_lines(text: &[u8]) -> Result<(), EditError> {
    let mut line = 1;
    for (position, byte) in text.iter().enumerate() {
        match byte {
            b'\n' => line += 1,
            b'\0' => return Err(EditError::NotText { line }),
            b'\r' if text.get(position + 1) != Some(&b'\n') => {
                return Err(EditError::LoneCarriageReturn { line });
            }
            _ => {}
        }
    }
    Ok(())
}

const BYTE_ORDER_MARK: &str = "\u{FEFF}";

/// How long the byte order mark is that a text begins with.
fn mark_length(text: &[u8]) -> usize {
    let has_mark = text.starts_with(BYTE_ORDER_MARK.as_bytes());
    if has_mark { BYTE_ORDER_MARK.len() } else { 0 }
}

/// The text behind a byte order mark, and how long that is.
///
/// # Errors
/// [`EditError::NotUtf8`] with the line.
fn text_of(bytes: &[u8]) -> Result<(&str, usize), EditError> {
    let text = std::str::from_utf8(bytes).map_err(|error| EditError::NotUtf8 {
        line: line_at(bytes, error.valid_up_to()),
    })?;
    let mark = mark_length(bytes);
    Ok((&text[mark..], mark))
}

/// The line that a byte is in, counted from 1.
fn line_at(text: &[u8], offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

fn apply(text: &[u8], splices: &[Splice]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + splices.len() * 64);
    let mut copied = 0;
    for splice in splices {
        bytes.extend_from_slice(&text[copied..splice.range.start]);
        bytes.extend_from_slice(splice.text.as_bytes());
        copied = splice.range.end;
    }
    bytes.extend_from_slice(&text[copied..]);
    bytes
}

impl Edited {
    /// The whole new text.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole new text, for whoever keeps it.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether it differs from the old text.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed
    }
}

impl fmt::Debug for Edited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Edited")
            .field("length", &self.bytes.len())
            .field("changed", &self.changed)
            .finish()
    }
}
