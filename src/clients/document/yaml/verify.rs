//! The second reading of YAML, by `libyaml-safer`: the documents as trees, in which an alias stands for
//! itself.

use libyaml_safer::{Event, EventData, Parser, ScalarStyle};

use super::super::tree::{Tree, compare_at};
use super::super::verify::{Discrepancy, is_renamed};
use super::super::{Edit, text_of};
use super::node::DEPTH_MAX;

/// Demands that `new` is `old` but for the values of the keys, and that these name the master.
///
/// # Errors
/// [`Discrepancy`], the first one in the text.
pub(in super::super) fn check(old: &[u8], new: &[u8], edit: Edit<'_>) -> Result<(), Discrepancy> {
    let (old, new) = (documents(old)?, documents(new)?);
    let mut places = Vec::new();
    for key in edit.keys {
        let has = |(number, root): (usize, &Tree)| {
            let is_meant = key.document().is_none_or(|meant| meant == number);
            (is_meant && root.get(key.within()).is_some()).then_some(number)
        };
        let having: Vec<usize> = old.iter().enumerate().filter_map(has).collect();
        let [number] = having.as_slice() else {
            let key = key.to_string();
            return Err(Discrepancy::ValueAt { key });
        };
        let way = std::iter::once(number.to_string()).chain(key.within().iter().cloned());
        places.push((key, way.collect()));
    }
    let is_right = |old: &str, new: &str| is_renamed(old.as_bytes(), new.as_bytes(), edit);
    compare_at(Tree::List(old), Tree::List(new), &places, is_right)
}

pub(in super::super) fn unreadable() -> Discrepancy {
    Discrepancy::Unreadable { format: "YAML" }
}

/// All documents of a file. Anchors and tags stand in them as texts of their own.
pub(in super::super) fn documents(text: &[u8]) -> Result<Vec<Tree>, Discrepancy> {
    let (document, _) = text_of(text).map_err(|_| unreadable())?;
    // The parser panics where a text ends in the middle of certain things. A last line that is closed
    // keeps it from most of that; for what may be left, a panic is one more way not to read a file.
    let document = format!("{document}\n");
    std::panic::catch_unwind(|| read(&document)).unwrap_or_else(|_| Err(unreadable()))
}

fn read(document: &str) -> Result<Vec<Tree>, Discrepancy> {
    let mut parser = Parser::new();
    parser.set_input(document.as_bytes());
    let mut reader = Reader { parser };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            EventData::StreamEnd => return Ok(documents),
            EventData::DocumentStart { .. } => {
                let first = reader.next()?;
                documents.push(reader.tree(first, 0)?);
            }
            EventData::StreamStart { .. }
            | EventData::DocumentEnd { .. }
            | EventData::Alias { .. }
            | EventData::Scalar { .. }
            | EventData::SequenceStart { .. }
            | EventData::SequenceEnd
            | EventData::MappingStart { .. }
            | EventData::MappingEnd => {}
        }
    }
}

struct Reader<'t> {
    parser: Parser<&'t [u8]>,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<EventData, Discrepancy> {
        let Event { data, .. } = self.parser.parse().map_err(|_| unreadable())?;
        Ok(data)
    }

    fn tree(&mut self, first: EventData, depth: usize) -> Result<Tree, Discrepancy> {
        if depth > DEPTH_MAX {
            return Err(unreadable());
        }
        match first {
            EventData::Alias { anchor } => Ok(Tree::Other(format!("*{anchor}"))),
            EventData::Scalar {
                anchor,
                tag,
                value,
                style,
                ..
            } => Ok(marked(anchor, tag, scalar(value, style))),
            EventData::SequenceStart { anchor, tag, .. } => {
                let mut items = Vec::new();
                loop {
                    let first = self.next()?;
                    if first == EventData::SequenceEnd {
                        break;
                    }
                    items.push(self.tree(first, depth + 1)?);
                }
                Ok(marked(anchor, tag, Tree::List(items)))
            }
            EventData::MappingStart { anchor, tag, .. } => {
                let mut entries = std::collections::BTreeMap::new();
                loop {
                    let first = self.next()?;
                    if first == EventData::MappingEnd {
                        break;
                    }
                    let mut key = name(self.tree(first, depth + 1)?);
                    let first = self.next()?;
                    let value = self.tree(first, depth + 1)?;
                    // What is there twice is kept, under a name that no path has.
                    while entries.contains_key(&key) {
                        key.push('\0');
                    }
                    entries.insert(key, value);
                }
                Ok(marked(anchor, tag, Tree::Map(entries)))
            }
            EventData::StreamStart { .. }
            | EventData::StreamEnd
            | EventData::DocumentStart { .. }
            | EventData::DocumentEnd { .. }
            | EventData::SequenceEnd
            | EventData::MappingEnd => Err(unreadable()),
        }
    }
}

fn name(key: Tree) -> String {
    match key {
        Tree::Text(text) | Tree::Other(text) => text,
        Tree::Marked(_, tree) => name(*tree),
        other @ (Tree::List(_) | Tree::Documents(_) | Tree::Map(_) | Tree::Taken) => {
            format!("{other:?}")
        }
    }
}

fn marked(anchor: Option<String>, tag: Option<String>, tree: Tree) -> Tree {
    if anchor.is_none() && tag.is_none() {
        return tree;
    }
    let mark = format!(
        "&{} !{}",
        anchor.unwrap_or_default(),
        tag.unwrap_or_default()
    );
    Tree::Marked(mark, Box::new(tree))
}

/// A text, or what a plain scalar is taken for by somebody: a number, a truth value, a date, nothing.
fn scalar(value: String, style: ScalarStyle) -> Tree {
    let is_plain = style == ScalarStyle::Plain;
    let lower = value.to_lowercase();
    let words = "~ null true false yes no on off y n .inf .nan";
    let is_word = lower.is_empty() || words.split(' ').any(|word| word == lower);
    let digits = lower.trim_start_matches(['-', '+']);
    let in_parts = |by: char| {
        let parts = digits.split(by).filter(|part| part.parse::<f64>().is_ok());
        digits.contains(by) && parts.count() == digits.split(by).count()
    };
    let begins_so = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let is_number = begins_so
        && (digits.replace('_', "").parse::<f64>().is_ok()
            || digits.starts_with("0x")
            || digits.starts_with("0o")
            || digits.starts_with("0b")
            || in_parts('-'));
    if is_plain && (is_word || is_number) {
        Tree::Other(value)
    } else {
        Tree::Text(value)
    }
}
