//! Editing of clients' documents: a few bytes change, and a second reading agrees. Touches no file.
//!
//! Each format has a module that says where the values are (`locate`) and that reads old and new once
//! more by other means (`check`): `env`, `json`, `toml`. To add one is a variant of [`Format`] and such
//! a module. The addresses within values are the same in all of them (`address`).
//! No error and no `Debug` text here repeats a value: it may hold a password.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::Endpoint;

mod address;
mod env;
mod json;
mod kind;
mod letters;
mod path;
mod toml;
mod tree;
mod verify;

#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod tests;

pub use address::ValueProblem;
pub use kind::{UnknownValueKind, ValueKind};
use letters::Letters;
pub use path::{InvalidKeyPath, KeyPath, split_paths};
pub use verify::Discrepancy;

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines of `KEY=value`: `.env`, systemd's `EnvironmentFile=`, docker's `--env-file`, or a file
    /// that a shell reads.
    Env,
    /// JSON without comments, as RFC 8259 has it.
    Json,
    /// TOML 1.0.
    Toml,
}

impl Format {
    /// Every format, for tests and messages.
    pub const ALL: [Self; 3] = [Self::Env, Self::Json, Self::Toml];

    /// Its name, as in the settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Json => "json",
            Self::Toml => "toml",
        }
    }

    /// Where the values are, in the order of the text.
    fn locate<'a>(self, text: &[u8], keys: &'a [KeyPath]) -> Result<Vec<Slot<'a>>, EditError> {
        match self {
            Self::Env => env::locate(text, keys),
            Self::Json => json::locate(text, keys),
            Self::Toml => toml::locate(text, keys),
        }
    }

    /// Reads old and new once more: they differ in the values only, and these name the master.
    fn check(
        self,
        old: &[u8],
        new: &[u8],
        splices: &[Splice],
        edit: Edit<'_>,
    ) -> Result<(), Discrepancy> {
        match self {
            Self::Env => env::check(old, new, splices, edit),
            Self::Json => json::check(old, new, splices, edit),
            Self::Toml => toml::check(old, new, splices, edit),
        }
    }
}

/// What to change: each value of each key shall name `master`.
#[derive(Debug, Clone, Copy)]
pub struct Edit<'a> {
    /// The keys, or the paths of the values.
    pub keys: &'a [KeyPath],
    /// What the values hold; none to tell it from each old value.
    pub value: Option<ValueKind>,
    /// What they shall name.
    pub master: &'a Endpoint,
}

/// A verified edit. Its `Debug` text shows no content.
pub struct Edited {
    bytes: Vec<u8>,
    changed: bool,
}

/// Why a document stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// There is nothing to look for.
    #[error("no key is named: set EDIT to the keys that name the master")]
    NoKeys,
    /// The document holds a NUL byte, as UTF-16 text and binaries do.
    #[error("line {line} holds a NUL byte: save it as UTF-8 text")]
    NotText {
        /// Counted from 1.
        line: usize,
    },
    /// A carriage return ends a line for some readers and not for others.
    #[error("line {line} holds a carriage return that no line feed follows: remove it")]
    LoneCarriageReturn {
        /// Counted from 1.
        line: usize,
    },
    /// Nothing assigns a value to the key.
    #[error("no line assigns {key}: add one, or correct EDIT")]
    KeyMissing {
        /// As in the settings.
        key: String,
    },
    /// It is no text.
    #[error("line {line} holds bytes that are no UTF-8: save it as UTF-8 text")]
    NotUtf8 {
        /// Counted from 1.
        line: usize,
    },
    /// It is not what its format says.
    #[error("line {line} is no {format} ({reason}): correct the file, or FORMAT")]
    Syntax {
        /// The format.
        format: &'static str,
        /// Counted from 1.
        line: usize,
        /// What the parser says; never a part of the text.
        reason: String,
    },
    /// The path leads nowhere.
    #[error("{key} leads nowhere, for there is no {missing}: add it, or correct EDIT")]
    PathMissing {
        /// As in the settings.
        key: String,
        /// The first part of the path that is not there.
        missing: String,
    },
    /// Two keys of one name: loaders take the first, the last, or refuse both.
    #[error("line {line} gives {part} a second time, on the way to {key}: remove one of them")]
    GivenTwice {
        /// As in the settings.
        key: String,
        /// Counted from 1.
        line: usize,
        /// The key that is there twice.
        part: String,
    },
    /// The path leads to something that names no host.
    #[error("line {line} has {found} at {key}, where a text or a port belongs: correct EDIT")]
    NotAValue {
        /// As in the settings.
        key: String,
        /// Counted from 1.
        line: usize,
        /// What is there.
        found: &'static str,
    },
    /// The value cannot be changed without a guess.
    #[error("line {line} assigns {key} in a way that cannot be changed safely")]
    Value {
        /// As in the settings.
        key: String,
        /// Counted from 1.
        line: usize,
        /// What is in the way.
        #[source]
        problem: ValueProblem,
    },
    /// A second, different reading of old and new text does not see just the wanted change.
    #[error("the edit did not pass its second reading, so nothing was changed")]
    Unverified {
        /// What the second reading saw.
        #[source]
        discrepancy: Discrepancy,
    },
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
    let slots = format.locate(text, edit.keys)?;
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

fn splice(text: &[u8], slot: &Slot<'_>, edit: Edit<'_>) -> Result<Splice, EditError> {
    let value = slot.letters.read(&text[slot.range.clone()]);
    let rewrite = address::rewrite(value, &slot.references, edit.value, edit.master);
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

/// The text behind a byte order mark, and how long that is.
///
/// # Errors
/// [`EditError::NotUtf8`] with the line.
fn text_of(bytes: &[u8]) -> Result<(&str, usize), EditError> {
    const BYTE_ORDER_MARK: char = '\u{FEFF}';
    let text = std::str::from_utf8(bytes).map_err(|error| EditError::NotUtf8 {
        line: line_at(bytes, error.valid_up_to()),
    })?;
    Ok(match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => (rest, BYTE_ORDER_MARK.len_utf8()),
        None => (text, 0),
    })
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
