//! TOML: `toml_edit` says where the values are and reads the result again; `toml-span`, of another
//! house, reads old and new too wherever it can (it knows no dates).

use toml_edit::{Document, Item, Table, TableLike, Value};

use super::path::position;
use super::tree::{Tree, compare};
use super::verify::Discrepancy;
use super::{Edit, EditError, KeyPath, Letters, Slot, ValueProblem};
use super::{address, line_at, text_of};

/// Finds the value of every path in `keys`.
///
/// # Errors
/// [`EditError`] when the text is no TOML, or a path leads to no value that can name a host.
pub(super) fn locate<'a>(text: &[u8], keys: &'a [KeyPath]) -> Result<Vec<Slot<'a>>, EditError> {
    let (content, mark) = text_of(text)?;
    let document = Document::parse(content).map_err(|error| EditError::Syntax {
        format: "TOML",
        line: line_at(text, mark + error.span().map_or(0, |span| span.start)),
        reason: error.message().to_owned(),
    })?;
    let slot = |key| {
        let value = find(Node::Table(document.as_table()), key)?;
        slot(content, mark, value, key)
    };
    keys.iter().map(slot).collect()
}

/// Demands that `new` is `old` but for the values of the keys, and that these name the master.
///
/// # Errors
/// [`Discrepancy`], the first one in the text.
pub(super) fn check(old: &[u8], new: &[u8], edit: Edit<'_>) -> Result<(), Discrepancy> {
    let readings = readings(old, new)?.into_iter();
    let mut compared = readings.map(|(old, new)| compare(old, new, edit));
    compared.try_for_each(|outcome| outcome)
}

/// What both texts say, by each parser that can read the old one.
///
/// # Errors
/// [`Discrepancy::Unreadable`]
pub(super) fn readings(old: &[u8], new: &[u8]) -> Result<Vec<(Tree, Tree)>, Discrepancy> {
    let unreadable = || Discrepancy::Unreadable { format: "TOML" };
    let (Ok((old, _)), Ok((new, _))) = (text_of(old), text_of(new)) else {
        return Err(unreadable());
    };
    let read = |text| read(text).ok_or_else(unreadable);
    let mut readings = vec![(read(old)?, read(new)?)];
    if let Ok(old) = toml_span::parse(old) {
        let new = toml_span::parse(new).map_err(|_| unreadable())?;
        readings.push((span_tree(old), span_tree(new)));
    }
    Ok(readings)
}

/// A place in a document.
enum Node<'d> {
    Table(&'d Table),
    Item(&'d Item),
    Value(&'d Value),
}

impl<'d> Node<'d> {
    fn child(self, segment: &str) -> Option<Self> {
        match self {
            Self::Table(table) => table.get(segment).map(Self::Item),
            Self::Item(Item::None) => None,
            Self::Item(Item::Table(table)) => table.get(segment).map(Self::Item),
            Self::Item(Item::ArrayOfTables(tables)) => {
                let table = tables.get(position(segment)?)?;
                Some(Self::Table(table))
            }
            Self::Item(Item::Value(value)) | Self::Value(value) => match value {
                Value::Array(list) => list.get(position(segment)?).map(Self::Value),
                Value::InlineTable(table) => table.get(segment).map(Self::Value),
                Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_) => None,
            },
        }
    }
}

fn find<'d>(root: Node<'d>, key: &KeyPath) -> Result<Node<'d>, EditError> {
    let mut node = root;
    for (depth, segment) in key.segments().iter().enumerate() {
        node = node.child(segment).ok_or_else(|| EditError::PathMissing {
            key: key.to_string(),
            missing: key.segments()[..=depth].join("."),
        })?;
    }
    Ok(node)
}

fn slot<'k>(
    content: &str,
    mark: usize,
    node: Node<'_>,
    key: &'k KeyPath,
) -> Result<Slot<'k>, EditError> {
    let table = |span: Option<std::ops::Range<usize>>| (span, "a table");
    let (span, found) = match &node {
        Node::Table(node) => table(node.span()),
        Node::Item(item) => match item {
            Item::None => (None, "nothing"),
            Item::Table(table_item) => table(table_item.span()),
            Item::ArrayOfTables(tables) => (tables.span(), "a list of tables"),
            Item::Value(value) => (value.span(), kind(value)),
        },
        Node::Value(value) => (value.span(), kind(value)),
    };
    let start = span.as_ref().map_or(0, |span| span.start);
    let line = line_at(content.as_bytes(), start);
    let refuse = |problem| EditError::Value {
        key: key.to_string(),
        line,
        problem,
    };
    let value = match node {
        Node::Value(value) | Node::Item(Item::Value(value)) => Some(value),
        Node::Table(_) | Node::Item(Item::None | Item::Table(_) | Item::ArrayOfTables(_)) => None,
    };
    let (range, letters) = match (value, span) {
        (Some(Value::String(text)), Some(span)) => {
            text_range(content, span, text.value()).map_err(refuse)?
        }
        (Some(Value::Integer(_)), Some(span)) => {
            let is_plain = content[span.clone()]
                .bytes()
                .all(|byte| byte.is_ascii_digit());
            if !is_plain {
                return Err(refuse(ValueProblem::Number));
            }
            (span, Letters::AsWritten)
        }
        (Some(_) | None, Some(_) | None) => {
            let key = key.to_string();
            return Err(EditError::NotAValue { key, line, found });
        }
    };
    Ok(Slot {
        key,
        line,
        range: mark + range.start..mark + range.end,
        references: Vec::new(),
        letters,
        rewriting: address::rewrite,
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "a truth value",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::InlineTable(_) => "a table",
    }
}

/// What is between the quotes of a text on one line.
fn text_range(
    content: &str,
    span: std::ops::Range<usize>,
    meaning: &str,
) -> Result<(std::ops::Range<usize>, Letters), ValueProblem> {
    let written = &content[span.clone()];
    if written.starts_with("\"\"\"") || written.starts_with("'''") {
        return Err(ValueProblem::SeveralLines);
    }
    let range = span.start + 1..span.end - 1;
    let inner = &content[range.clone()];
    let letters = match written.as_bytes().first() {
        Some(b'\'') => (inner == meaning).then_some(Letters::AsWritten),
        Some(_) | None => Letters::escaped(inner, meaning),
    };
    Ok((range, letters.ok_or(ValueProblem::Unrecognised)?))
}

fn read(text: &str) -> Option<Tree> {
    let document = Document::parse(text).ok()?;
    Some(table_tree(document.as_table()))
}

fn table_tree(table: &dyn TableLike) -> Tree {
    let entries = table
        .iter()
        .map(|(key, item)| (key.to_owned(), item_tree(item)));
    Tree::Map(entries.collect())
}

fn item_tree(item: &Item) -> Tree {
    match item {
        Item::None => Tree::Taken,
        Item::Value(value) => value_tree(value),
        Item::Table(table) => table_tree(table),
        Item::ArrayOfTables(tables) => {
            Tree::List(tables.iter().map(|table| table_tree(table)).collect())
        }
    }
}

fn value_tree(value: &Value) -> Tree {
    match value {
        Value::String(text) => Tree::Text(text.value().clone()),
        Value::Integer(number) => Tree::Other(number.value().to_string()),
        Value::Float(number) => Tree::Other(format!("{:?}", number.value())),
        Value::Boolean(truth) => Tree::Other(truth.value().to_string()),
        Value::Datetime(date) => Tree::Other(date.value().to_string()),
        Value::Array(list) => Tree::List(list.iter().map(value_tree).collect()),
        Value::InlineTable(table) => table_tree(table),
    }
}

fn span_tree(mut value: toml_span::Value<'_>) -> Tree {
    use toml_span::value::ValueInner;
    match value.take() {
        ValueInner::String(text) => Tree::Text(text.into_owned()),
        ValueInner::Integer(number) => Tree::Other(number.to_string()),
        ValueInner::Float(number) => Tree::Other(format!("{number:?}")),
        ValueInner::Boolean(truth) => Tree::Other(truth.to_string()),
        ValueInner::Array(list) => Tree::List(list.into_iter().map(span_tree).collect()),
        ValueInner::Table(table) => {
            let entries = table.into_iter();
            Tree::Map(
                entries
                    .map(|(key, value)| (key.name.into_owned(), span_tree(value)))
                    .collect(),
            )
        }
    }
}
