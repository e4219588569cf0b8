//! Editing of clients' documents: a few bytes change, and a second reading agrees. Touches no file.
//!
//! A format says where the values are (`env`) and reads old and new once more in another way
//! (`verify`); the addresses within values are the same in all of them (`address`).
//! No error and no `Debug` text here repeats a value: it may hold a password.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::Endpoint;

mod address;
mod env;
mod kind;
mod verify;

#[cfg(test)]
mod tests;

pub use address::ValueProblem;
pub use kind::{UnknownValueKind, ValueKind};
pub use verify::Discrepancy;

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines of `KEY=value`: `.env`, systemd's `EnvironmentFile=`, docker's `--env-file`, or a file
    /// that a shell reads.
    Env,
}

/// What to change: each value of each key shall name `master`.
#[derive(Debug, Clone, Copy)]
pub struct Edit<'a> {
    /// The keys.
    pub keys: &'a [String],
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
    key: &'a str,
    line: usize,
    range: Range<usize>,
    /// Parts of the value in place of which some readers put a variable's content, from its start.
    references: Vec<Range<usize>>,
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
    let slots = match format {
        Format::Env => env::locate(text, edit.keys)?,
    };
    if let Some(key) = edit
        .keys
        .iter()
        .find(|key| slots.iter().all(|slot| slot.key != key.as_str()))
    {
        return Err(EditError::KeyMissing { key: key.clone() });
    }
    let splices = slots
        .iter()
        .map(|slot| splice(text, slot, edit))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes = apply(text, &splices);
    let verified = match format {
        Format::Env => verify::check(text, &bytes, &splices, edit),
    };
    verified.map_err(|discrepancy| EditError::Unverified { discrepancy })?;
    let changed = bytes != text;
    Ok(Edited { bytes, changed })
}

fn splice(text: &[u8], slot: &Slot<'_>, edit: Edit<'_>) -> Result<Splice, EditError> {
    let value = &text[slot.range.clone()];
    let rewrite = address::rewrite(value, &slot.references, edit.value, edit.master);
    let rewrite = rewrite.map_err(|problem| EditError::Value {
        key: slot.key.to_owned(),
        line: slot.line,
        problem,
    })?;
    let start = slot.range.start + rewrite.range.start;
    Ok(Splice {
        range: start..start + rewrite.range.len(),
        text: rewrite.text,
    })
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
