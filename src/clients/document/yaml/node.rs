//! YAML documents as nodes that know where they stand, read by `saphyr-parser`. Nothing is put in place
//! of an alias, so no file grows.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::super::{EditError, line_at};

/// Longest text that is read, in bytes; the parser takes many times as much while it reads.
pub(super) const LENGTH_MAX: usize = 256 * 1024;

/// Most nodes within each other.
pub(super) const DEPTH_MAX: usize = 64;

/// One value, or one key.
pub(in super::super) struct Node {
    /// Its first byte in the document; behind anchor and tag where it is a scalar.
    pub(in super::super) start: usize,
    /// The anchor that it has, by number; 0 without one.
    pub(super) anchor: usize,
    /// Whether a tag makes more of it than a text or a number.
    pub(super) is_tagged: bool,
    pub(in super::super) content: Content,
}

pub(in super::super) enum Content {
    Scalar(String, ScalarStyle),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// In place of the node with this anchor.
    Alias(usize),
}

/// All documents of a file.
pub(in super::super) struct File {
    pub(in super::super) documents: Vec<Node>,
}

impl File {
    /// Reads a text without byte order mark.
    ///
    /// # Errors
    /// [`EditError::Syntax`] also for what is too long or goes too deep.
    pub(in super::super) fn read(document: &str) -> Result<Self, EditError> {
        if document.len() > LENGTH_MAX {
            return Err(syntax_error(1, "it is longer than 256 KiB"));
        }
        let starts = (!document.is_ascii()).then(|| {
            let starts = document.char_indices().map(|(start, _)| start);
            starts.chain([document.len()]).collect()
        });
        let mut reader = Reader {
            document,
            parser: Parser::new_from_str(document),
            starts,
        };
        let mut documents = Vec::new();
        loop {
            match reader.next()? {
                (Event::StreamEnd, _) => return Ok(Self { documents }),
                (Event::DocumentStart(_), _) => {
                    let first = reader.next()?;
                    documents.push(reader.node(first, 0)?);
                }
                (
                    Event::Nothing
                    | Event::StreamStart
                    | Event::DocumentEnd
                    | Event::Alias(_)
                    | Event::Scalar(..)
                    | Event::SequenceStart(..)
                    | Event::SequenceEnd
                    | Event::MappingStart(..)
                    | Event::MappingEnd,
                    _,
                ) => {}
            }
        }
    }

    /// Each node that has an anchor, by its number.
    pub(super) fn anchored(&self) -> BTreeMap<usize, &Node> {
        let mut anchored = BTreeMap::new();
        for document in &self.documents {
            document.visit(&mut |node| {
                if node.anchor > 0 {
                    anchored.insert(node.anchor, node);
                }
            });
        }
        anchored
    }
}

impl Node {
    /// The text of a scalar.
    pub(in super::super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(text, _) => Some(text),
            Content::List(_) | Content::Map(_) | Content::Alias(_) => None,
        }
    }

    fn visit<'n>(&'n self, look: &mut impl FnMut(&'n Self)) {
        look(self);
        match &self.content {
            Content::Scalar(..) | Content::Alias(_) => {}
            Content::List(items) => items.iter().for_each(|item| item.visit(look)),
            Content::Map(entries) => {
                for (key, value) in entries {
                    key.visit(look);
                    value.visit(look);
                }
            }
        }
    }

    /// The keys and positions that lead from here to the node with such an anchor.
    pub(super) fn way_to(&self, anchor: usize) -> Option<Vec<String>> {
        if self.anchor == anchor {
            return Some(Vec::new());
        }
        let behind = |segment: String, node: &Self| {
            let mut way = node.way_to(anchor)?;
            way.insert(0, segment);
            Some(way)
        };
        match &self.content {
            Content::Scalar(..) | Content::Alias(_) => None,
            Content::List(items) => {
                let mut items = items.iter().enumerate();
                items.find_map(|(position, item)| behind(position.to_string(), item))
            }
            Content::Map(entries) => entries
                .iter()
                .find_map(|(key, value)| behind(key.text()?.to_owned(), value)),
        }
    }
}

struct Reader<'t> {
    document: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    /// Where each letter begins, where not each is one byte; the parser counts letters.
    starts: Option<Vec<usize>>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), EditError> {
        let none = || syntax_error(1, "it ends too soon");
        let event = self.parser.next_event().ok_or_else(none)?;
        event.map_err(|error| {
            let line = line_at(self.document.as_bytes(), self.byte(error.marker().index()));
            syntax_error(line, "it cannot be read from there on")
        })
    }

    /// The node that begins with an event.
    fn node(&mut self, (event, span): (Event<'t>, Span), depth: usize) -> Result<Node, EditError> {
        let start = self.byte(span.start.index());
        if depth > DEPTH_MAX {
            let line = line_at(self.document.as_bytes(), start);
            return Err(syntax_error(line, "it is nested too deeply"));
        }
        let (anchor, tag, content) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, tag, Content::Scalar(text.into_owned(), style))
            }
            Event::Alias(anchor) => (0, None, Content::Alias(anchor)),
            Event::SequenceStart(anchor, tag) => (anchor, tag, self.list(depth)?),
            Event::MappingStart(anchor, tag) => (anchor, tag, self.map(depth)?),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => {
                let line = line_at(self.document.as_bytes(), start);
                return Err(syntax_error(line, "a value is missing"));
            }
        };
        let has_properties = anchor > 0 || tag.is_some();
        let start = match content {
            Content::Scalar(..) if has_properties => start + self.properties_length(start),
            Content::Scalar(..) | Content::List(_) | Content::Map(_) | Content::Alias(_) => start,
        };
        let is_plain = |suffix: &str| matches!(suffix, "str" | "int");
        let is_tagged = tag.is_some_and(|tag| !tag.is_yaml_core_schema() || !is_plain(&tag.suffix));
        Ok(Node {
            start,
            anchor,
            is_tagged,
            content,
        })
    }

    fn list(&mut self, depth: usize) -> Result<Content, EditError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::List(items)),
                first => items.push(self.node(first, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Content, EditError> {
        let mut entries = Vec::new();
        loop {
            match self.next()? {
                (Event::MappingEnd, _) => return Ok(Content::Map(entries)),
                first => {
                    let key = self.node(first, depth + 1)?;
                    let first = self.next()?;
                    entries.push((key, self.node(first, depth + 1)?));
                }
            }
        }
    }

    /// How long anchor and tag are, with the blanks behind them.
    fn properties_length(&self, start: usize) -> usize {
        let whole = self.document.get(start..).unwrap_or_default();
        let mut rest = whole;
        while rest.starts_with(['&', '!']) {
            rest = rest.trim_start_matches(|letter: char| !letter.is_whitespace());
            rest = rest.trim_start();
        }
        whole.len() - rest.len()
    }

    fn byte(&self, letter: usize) -> usize {
        match &self.starts {
            Some(starts) => starts.get(letter).copied().unwrap_or(self.document.len()),
            None => letter,
        }
    }
}

pub(super) fn syntax_error(line: usize, reason: &str) -> EditError {
    EditError::Syntax {
        format: "YAML",
        line,
        reason: reason.to_owned(),
    }
}
