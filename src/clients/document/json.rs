//! JSON: `jsonc-parser` says where the values are, `serde_json` reads old and new once more.

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions};

use super::path::position;
use super::tree::{Tree, compare};
use super::verify::Discrepancy;
use super::{Edit, EditError, KeyPath, Letters, Slot, ValueProblem};
use super::{address, line_at, text_of};

/// Finds the value of every path in `keys`.
///
/// # Errors
/// [`EditError`] when the text is no JSON, or a path leads to no value that can name a host.
pub(super) fn locate<'a>(text: &[u8], keys: &'a [KeyPath]) -> Result<Vec<Slot<'a>>, EditError> {
    let (document, mark) = text_of(text)?;
    check_syntax(document, "JSON")?;
    let place = Place {
        text,
        document,
        mark,
    };
    place.slots(&strict(), "JSON", keys)
}

/// Bounds how deep other parsers have to go, too.
pub(super) fn check_syntax(document: &str, format: &'static str) -> Result<(), EditError> {
    let read = serde_json::from_str::<serde::de::IgnoredAny>(document);
    read.map(|_| ()).map_err(|error| {
        let reason = match error.classify() {
            serde_json::error::Category::Eof => "it ends too soon",
            serde_json::error::Category::Io
            | serde_json::error::Category::Data
            | serde_json::error::Category::Syntax => "it breaks off there",
        };
        syntax_error(format, error.line(), reason)
    })
}
/// Demands that `new` is `old` but for the values of the keys, and that these name the master.
///
/// # Errors
/// [`Discrepancy`], the first one in the text.
pub(super) fn check(old: &[u8], new: &[u8], edit: Edit<'_>) -> Result<(), Discrepancy> {
    compare(reading(old)?, reading(new)?, edit)
}

/// What a text says.
///
/// # Errors
/// [`Discrepancy::Unreadable`]
pub(super) fn reading(text: &[u8]) -> Result<Tree, Discrepancy> {
    let unreadable = Discrepancy::Unreadable { format: "JSON" };
    let (document, _) = text_of(text).map_err(|_| unreadable.clone())?;
    read(document).ok_or(unreadable)
}

fn syntax_error(format: &'static str, line: usize, reason: &str) -> EditError {
    EditError::Syntax {
        format,
        line,
        reason: reason.to_owned(),
    }
}

fn collect() -> CollectOptions {
    CollectOptions {
        comments: CommentCollectionStrategy::Off,
        tokens: false,
    }
}

pub(super) fn strict() -> ParseOptions {
    ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// Where a document stands.
pub(super) struct Place<'t> {
    pub(super) text: &'t [u8],
    pub(super) document: &'t str,
    /// Length of the byte order mark before it.
    pub(super) mark: usize,
}

impl Place<'_> {
    /// The value of every path in `keys`, read with such options.
    pub(super) fn slots<'k>(
        &self,
        options: &ParseOptions,
        format: &'static str,
        keys: &'k [KeyPath],
    ) -> Result<Vec<Slot<'k>>, EditError> {
        let parsed = jsonc_parser::parse_to_ast(self.document, &collect(), options)
            .map_err(|error| syntax_error(format, error.line_display(), "it cannot be read"))?;
        let root = parsed.value;
        let root = root.ok_or_else(|| syntax_error(format, 1, "it is empty"))?;
        keys.iter().map(|key| self.slot(&root, key)).collect()
    }

    fn slot<'k>(&self, root: &Value<'_>, key: &'k KeyPath) -> Result<Slot<'k>, EditError> {
        let mut value = root;
        for (depth, segment) in key.segments().iter().enumerate() {
            let next = match value {
                Value::Object(object) => self.property(object, segment, key)?,
                Value::Array(array) => position(segment).and_then(|at| array.elements.get(at)),
                Value::StringLit(_)
                | Value::NumberLit(_)
                | Value::BooleanLit(_)
                | Value::NullKeyword(_) => None,
            };
            value = next.ok_or_else(|| EditError::PathMissing {
                key: key.to_string(),
                missing: key.segments()[..=depth].join("."),
            })?;
        }
        self.scalar(value, key)
    }

    fn property<'v, 't>(
        &self,
        object: &'v Object<'t>,
        name: &str,
        key: &KeyPath,
    ) -> Result<Option<&'v Value<'t>>, EditError> {
        let is_named =
            |property: &&jsonc_parser::ast::ObjectProp<'_>| property.name.as_str() == name;
        let mut named = object.properties.iter().filter(is_named);
        let first = named.next();
        if let Some(second) = named.next() {
            return Err(EditError::GivenTwice {
                key: key.to_string(),
                line: self.line(second.range.start),
                part: name.to_owned(),
            });
        }
        Ok(first.map(|property| &property.value))
    }

    fn scalar<'k>(&self, value: &Value<'_>, key: &'k KeyPath) -> Result<Slot<'k>, EditError> {
        let not_a_value = |found, start| EditError::NotAValue {
            key: key.to_string(),
            line: self.line(start),
            found,
        };
        match value {
            Value::StringLit(text) => {
                let range = text.range.start + 1..text.range.end - 1;
                let letters = Letters::escaped(&self.document[range.clone()], &text.value);
                let letters =
                    letters.ok_or_else(|| not_a_value("a text with odd escapes", range.start))?;
                Ok(self.found(key, range, letters))
            }
            Value::NumberLit(number) => {
                let range = number.range.start..number.range.end;
                let is_plain = number.value.bytes().all(|byte| byte.is_ascii_digit());
                if !is_plain {
                    return Err(EditError::Value {
                        key: key.to_string(),
                        line: self.line(range.start),
                        problem: ValueProblem::Number,
                    });
                }
                Ok(self.found(key, range, Letters::AsWritten))
            }
            Value::BooleanLit(truth) => Err(not_a_value("a truth value", truth.range.start)),
            Value::NullKeyword(null) => Err(not_a_value("null", null.range.start)),
            Value::Object(object) => Err(not_a_value("an object", object.range.start)),
            Value::Array(array) => Err(not_a_value("a list", array.range.start)),
        }
    }

    fn found<'k>(
        &self,
        key: &'k KeyPath,
        range: std::ops::Range<usize>,
        letters: Letters,
    ) -> Slot<'k> {
        Slot {
            key,
            line: self.line(range.start),
            range: self.mark + range.start..self.mark + range.end,
            references: Vec::new(),
            letters,
            rewriting: address::rewrite,
        }
    }

    fn line(&self, offset: usize) -> usize {
        line_at(self.text, self.mark + offset)
    }
}

pub(super) fn read(document: &str) -> Option<Tree> {
    let value: serde_json::Value = serde_json::from_str(document).ok()?;
    Some(tree(value))
}

fn tree(value: serde_json::Value) -> Tree {
    use serde_json::Value;
    match value {
        Value::String(text) => Tree::Text(text),
        Value::Array(list) => Tree::List(list.into_iter().map(tree).collect()),
        Value::Object(map) => {
            let entries = map.into_iter().map(|(key, value)| (key, tree(value)));
            Tree::Map(entries.collect())
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => Tree::Other(other.to_string()),
    }
}
