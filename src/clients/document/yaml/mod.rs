//! YAML, also with several documents: `saphyr-parser` says where the values are, `libyaml-safer`, a port
//! of the library that Ruby and Python read with, reads old and new once more.
//!
//! An alias or a merge key leads to a value that stands elsewhere, under a path of its own, and perhaps
//! for others too: it is refused, and that path told. ERB and Jinja are refused where they could make
//! something of the value.

use std::collections::{BTreeMap, BTreeSet};

mod node;
mod scalar;
mod verify;

use saphyr_parser::ScalarStyle;

use self::scalar::Meaning;
pub(super) use node::{Content, File, Node};
pub(super) use scalar::quoted_if_needed;
pub(super) use verify::{check, documents, unreadable};

use super::path::{position, written};
use super::{EditError, KeyPath, Letters, Slot, ValueProblem};
use super::{address, line_at, references, text_of};

/// Finds the value of every path in `keys`.
///
/// # Errors
/// [`EditError`] when the text is no YAML, or a path leads to no value that can name a host.
pub(super) fn locate<'a>(text: &[u8], keys: &'a [KeyPath]) -> Result<Vec<Slot<'a>>, EditError> {
    let (document, mark) = text_of(text)?;
    check_statements(document)?;
    let file = File::read(document)?;
    let place = Place::new(document, mark, &file);
    let slot = |key: &'a KeyPath| place.slot(place.find(key.within(), key)?, key);
    keys.iter().map(slot).collect()
}

/// Refuses statements of templates, by which lines come and go; what only prints a value is none.
fn check_statements(document: &str) -> Result<(), EditError> {
    let is_statement = |line: &str| {
        let mut behind = line.split("<%").skip(1);
        line.contains("{%") || behind.any(|text| !text.starts_with(['=', '%', '#']))
    };
    match document.lines().position(is_statement) {
        Some(index) => Err(EditError::Statement { line: index + 1 }),
        None => Ok(()),
    }
}

/// A file, and what helps to find a value in it.
pub(super) struct Place<'f> {
    document: &'f str,
    /// Length of the byte order mark before it.
    pub(super) mark: usize,
    file: &'f File,
    anchored: BTreeMap<usize, &'f Node>,
}

impl<'f> Place<'f> {
    pub(super) fn new(document: &'f str, mark: usize, file: &'f File) -> Self {
        let anchored = file.anchored();
        Self {
            document,
            mark,
            file,
            anchored,
        }
    }

    /// The node that `way` leads to, in the only document that has it or the one that the key names.
    pub(super) fn find(&self, way: &[String], key: &KeyPath) -> Result<&'f Node, EditError> {
        let documents = self.file.documents.iter().enumerate();
        let is_meant = |(index, _): &(usize, _)| key.document().is_none_or(|meant| meant == *index);
        let mut missing = None;
        let mut found = None;
        for (index, root) in documents.filter(is_meant) {
            match (self.follow(root, way, key), &found) {
                (Err(error @ EditError::PathMissing { .. }), _) => {
                    missing = missing.or(Some(error))
                }
                (other, None) => found = Some((index, other)),
                (other, Some((first, _))) => {
                    let start = other.map_or(0, |node| node.start);
                    return Err(EditError::SeveralDocuments {
                        key: key.to_string(),
                        line: self.line(start),
                        first: *first,
                        second: index,
                    });
                }
            }
        }
        match (found, missing) {
            (Some((_, found)), _) => found,
            (None, Some(error)) => Err(error),
            (None, None) => Err(EditError::PathMissing {
                key: key.to_string(),
                missing: "such document".to_owned(),
            }),
        }
    }

    fn follow(&self, root: &'f Node, way: &[String], key: &KeyPath) -> Result<&'f Node, EditError> {
        let mut node = root;
        for (depth, segment) in way.iter().enumerate() {
            let rest = &way[depth..];
            let next = match &node.content {
                Content::Map(entries) => self.entry(entries, rest, key)?,
                Content::List(items) => position(segment).and_then(|at| items.get(at)),
                Content::Scalar(..) => None,
                Content::Alias(anchor) => return Err(self.elsewhere(*anchor, rest, node, key)),
            };
            node = next.ok_or_else(|| EditError::PathMissing {
                key: key.to_string(),
                missing: way[..=depth].join("."),
            })?;
        }
        match &node.content {
            Content::Alias(anchor) => Err(self.elsewhere(*anchor, &[], node, key)),
            Content::Scalar(..) | Content::List(_) | Content::Map(_) => Ok(node),
        }
    }

    /// The value of the first key of `rest`; none when nothing of that name is there or merged.
    fn entry(
        &self,
        entries: &'f [(Node, Node)],
        rest: &[String],
        key: &KeyPath,
    ) -> Result<Option<&'f Node>, EditError> {
        let name = rest.first().map_or("", String::as_str);
        let mut named = entries.iter().filter(|(key, _)| key.text() == Some(name));
        let first = named.next();
        if let Some((second, _)) = named.next() {
            return Err(EditError::GivenTwice {
                key: key.to_string(),
                line: self.line(second.start),
                part: name.to_owned(),
            });
        }
        if let Some((_, value)) = first {
            return Ok(Some(value));
        }
        match self.merged(entries, name, &mut BTreeSet::new()) {
            Some((anchor, by)) => Err(self.elsewhere(anchor, rest, by, key)),
            None => Ok(None),
        }
    }

    /// The anchor that a merge key takes the name from, and the merge key.
    fn merged(
        &self,
        entries: &'f [(Node, Node)],
        name: &str,
        seen: &mut BTreeSet<usize>,
    ) -> Option<(usize, &'f Node)> {
        for (key, value) in entries.iter().filter(|(key, _)| key.text() == Some("<<")) {
            let sources = match &value.content {
                Content::List(items) => items.as_slice(),
                Content::Scalar(..) | Content::Map(_) | Content::Alias(_) => {
                    std::slice::from_ref(value)
                }
            };
            for source in sources {
                let Content::Alias(anchor) = source.content else {
                    continue;
                };
                // Each once: merged maps may merge others, without end.
                if !seen.insert(anchor) {
                    continue;
                }
                let Some(Content::Map(entries)) =
                    self.anchored.get(&anchor).map(|node| &node.content)
                else {
                    continue;
                };
                if entries.iter().any(|(key, _)| key.text() == Some(name)) {
                    return Some((anchor, key));
                }
                if let Some((anchor, _)) = self.merged(entries, name, seen) {
                    return Some((anchor, key));
                }
            }
        }
        None
    }

    /// What to say of a value that stands where the anchor is.
    fn elsewhere(&self, anchor: usize, rest: &[String], by: &Node, key: &KeyPath) -> EditError {
        let mut roots = self.file.documents.iter().enumerate();
        let way = roots.find_map(|(index, root)| Some((index, root.way_to(anchor)?)));
        let instead = way.map(|(index, way)| {
            let document = key.document().map(|_| format!("---{index}."));
            document.unwrap_or_default() + &written(way.iter().chain(rest))
        });
        EditError::Elsewhere {
            key: key.to_string(),
            line: self.line(by.start),
            instead: instead.unwrap_or_default(),
        }
    }

    fn slot<'k>(&self, node: &Node, key: &'k KeyPath) -> Result<Slot<'k>, EditError> {
        let refuse = |problem| self.refusal(node, key, problem);
        let (range, letters, style) = self.scalar(node, key)?;
        let value = letters.read(&self.document.as_bytes()[range.clone()]);
        let references = references::find(value).map_err(refuse)?;
        let is_plain = style == ScalarStyle::Plain;
        Ok(Slot {
            key,
            line: self.line(node.start),
            range: self.mark + range.start..self.mark + range.end,
            references,
            letters,
            rewriting: if is_plain {
                scalar::rewrite_plain
            } else {
                address::rewrite
            },
        })
    }

    /// Where a text or a number is written within the document.
    pub(super) fn scalar(
        &self,
        node: &Node,
        key: &KeyPath,
    ) -> Result<(std::ops::Range<usize>, Letters, ScalarStyle), EditError> {
        let not_a_value = |found| EditError::NotAValue {
            key: key.to_string(),
            line: self.line(node.start),
            found,
        };
        let refuse = |problem| self.refusal(node, key, problem);
        let (text, style) = match &node.content {
            Content::Scalar(text, style) => (text, *style),
            Content::List(_) => return Err(not_a_value("a list")),
            Content::Map(_) => return Err(not_a_value("a mapping")),
            Content::Alias(_) => return Err(not_a_value("an alias")),
        };
        if node.is_tagged {
            return Err(refuse(ValueProblem::Tagged));
        }
        if references::is_template(self.line_of(node.start)) {
            return Err(refuse(ValueProblem::Template));
        }
        if style == ScalarStyle::Plain {
            match scalar::meaning(text) {
                Meaning::Nothing => return Err(not_a_value("nothing")),
                Meaning::Truth => return Err(not_a_value("a truth value")),
                Meaning::Date => return Err(not_a_value("a date")),
                Meaning::OtherNumber => return Err(refuse(ValueProblem::Number)),
                Meaning::Port | Meaning::Text => {}
            }
        }
        let placed = scalar::place(self.document, node.start, text, style);
        let (range, letters) = placed.map_err(refuse)?;
        Ok((range, letters, style))
    }

    pub(super) fn refusal(&self, node: &Node, key: &KeyPath, problem: ValueProblem) -> EditError {
        EditError::Value {
            key: key.to_string(),
            line: self.line(node.start),
            problem,
        }
    }

    pub(super) fn line(&self, offset: usize) -> usize {
        line_at(self.document.as_bytes(), offset)
    }

    fn line_of(&self, offset: usize) -> &[u8] {
        let lines = self.document.as_bytes().split(|byte| *byte == b'\n');
        lines
            .into_iter()
            .nth(self.line(offset) - 1)
            .unwrap_or_default()
    }
}
