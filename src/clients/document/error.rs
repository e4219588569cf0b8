//! Why a document stays as it is. No message here repeats a value: it may hold a password.

use thiserror::Error;

use super::{Discrepancy, ValueProblem};

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
    /// A file of several documents has the value in more than one.
    #[error(
        "documents {first} and {second} of the file (line {line}) both have {key}: say which one is meant, as \
         ---{second}.{key}"
    )]
    SeveralDocuments {
        /// As in the settings.
        key: String,
        /// Of the second one, counted from 1.
        line: usize,
        /// The first document that has it, counted from 0.
        first: usize,
        /// The next one.
        second: usize,
    },
    /// An alias or a merge key of YAML.
    #[error(
        "line {line} takes {key} from another place of the file: set EDIT to {instead}, which changes all that is \
         taken from there"
    )]
    Elsewhere {
        /// As in the settings.
        key: String,
        /// Of the alias, counted from 1.
        line: usize,
        /// The path of the place.
        instead: String,
    },
    /// Two names of one line.
    #[error("line {line} has both {key} and {other}: leave one out of EDIT")]
    SameLine {
        /// Counted from 1.
        line: usize,
        /// As in the settings.
        key: String,
        /// As in the settings.
        other: String,
    },
    /// A template decides which lines are there.
    #[error(
        "line {line} holds a statement of a template ('<%', '{{%'), by which lines come and go: nothing can be edited \
         in it"
    )]
    Statement {
        /// Counted from 1.
        line: usize,
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
