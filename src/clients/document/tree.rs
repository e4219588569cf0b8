//! What a document says, whatever its format: for the second reading of edits by path.

use std::collections::BTreeMap;

use super::path::position;
use super::verify::{Discrepancy, is_renamed};
use super::{Edit, KeyPath};

/// A document, read whole.
#[derive(Debug, PartialEq)]
pub(super) enum Tree {
    /// A text.
    Text(String),
    /// A number, a date, a truth value or nothing, in the parser's words.
    Other(String),
    /// A list.
    List(Vec<Tree>),
    /// Keys and values; the order of keys says nothing.
    Map(BTreeMap<String, Tree>),
    /// A value that was taken out.
    Taken,
}

impl Tree {
    /// Takes a value out.
    fn take(&mut self, path: &KeyPath) -> Option<Self> {
        let mut tree = self;
        for segment in path.segments() {
            tree = match tree {
                Self::Map(map) => map.get_mut(segment)?,
                Self::List(list) => list.get_mut(position(segment)?)?,
                Self::Text(_) | Self::Other(_) | Self::Taken => return None,
            };
        }
        Some(std::mem::replace(tree, Self::Taken))
    }
}

/// Demands that two documents say the same but for the values of the keys, and that these name the
/// master.
///
/// # Errors
/// [`Discrepancy`] with the first path that is wrong.
pub(super) fn compare(mut old: Tree, mut new: Tree, edit: Edit<'_>) -> Result<(), Discrepancy> {
    for key in edit.keys {
        let is_right = match (old.take(key), new.take(key)) {
            (Some(Tree::Text(old)), Some(Tree::Text(new)))
            | (Some(Tree::Other(old)), Some(Tree::Other(new))) => {
                is_renamed(old.as_bytes(), new.as_bytes(), edit)
            }
            (Some(_) | None, Some(_) | None) => false,
        };
        if !is_right {
            let key = key.to_string();
            return Err(Discrepancy::ValueAt { key });
        }
    }
    if old == new {
        Ok(())
    } else {
        Err(Discrepancy::Elsewhere)
    }
}
