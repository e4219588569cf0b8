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
    /// The documents of one file.
    Documents(Vec<Tree>),
    /// Keys and values; the order of keys says nothing.
    Map(BTreeMap<String, Tree>),
    /// A value with something said about it, such as the anchor and the tag of YAML.
    Marked(String, Box<Tree>),
    /// A value that was taken out.
    Taken,
}

impl Tree {
    /// Takes a value out.
    pub(super) fn take(&mut self, path: &[String]) -> Option<Self> {
        let Some((segment, rest)) = path.split_first() else {
            return match self {
                Self::Marked(_, tree) => tree.take(path),
                Self::Text(_)
                | Self::Other(_)
                | Self::List(_)
                | Self::Documents(_)
                | Self::Map(_)
                | Self::Taken => Some(std::mem::replace(self, Self::Taken)),
            };
        };
        match self {
            Self::Map(map) => map.get_mut(segment)?.take(rest),
            Self::List(list) | Self::Documents(list) => {
                list.get_mut(position(segment)?)?.take(rest)
            }
            Self::Marked(_, tree) => tree.take(path),
            Self::Text(_) | Self::Other(_) | Self::Taken => None,
        }
    }

    /// The value that a path leads to.
    pub(super) fn get(&self, path: &[String]) -> Option<&Self> {
        if let Self::Marked(_, tree) = self {
            return tree.get(path);
        }
        let Some((segment, rest)) = path.split_first() else {
            return Some(self);
        };
        match self {
            Self::Map(map) => map.get(segment)?.get(rest),
            Self::List(list) | Self::Documents(list) => list.get(position(segment)?)?.get(rest),
            Self::Text(_) | Self::Other(_) | Self::Marked(..) | Self::Taken => None,
        }
    }
}

/// Demands that two documents say the same but for the values of the keys, and that these name the
/// master.
///
/// # Errors
/// [`Discrepancy`] with the first path that is wrong.
pub(super) fn compare(old: Tree, new: Tree, edit: Edit<'_>) -> Result<(), Discrepancy> {
    let place = |key| (key, KeyPath::segments(key).to_vec());
    let places: Vec<_> = edit.keys.iter().map(place).collect();
    let is_right = |old: &str, new: &str| is_renamed(old.as_bytes(), new.as_bytes(), edit);
    compare_at(old, new, &places, is_right)
}

/// The same for keys with the way to each value; `is_right` tells whether a value became the wanted one.
///
/// # Errors
/// [`Discrepancy`] with the first path that is wrong.
pub(super) fn compare_at(
    mut old: Tree,
    mut new: Tree,
    places: &[(&KeyPath, Vec<String>)],
    is_right: impl Fn(&str, &str) -> bool,
) -> Result<(), Discrepancy> {
    for (key, way) in places {
        let is_right = match (old.take(way), new.take(way)) {
            (Some(Tree::Text(old)), Some(Tree::Text(new)))
            | (Some(Tree::Other(old)), Some(Tree::Other(new))) => is_right(&old, &new),
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
