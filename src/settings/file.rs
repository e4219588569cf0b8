//! Reading files: the settings file with the line of each key, and secret files.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use toml_edit::{Array, Document, Item, TableLike, Value};
use zeroize::Zeroizing;

use super::mistakes::Problem;
use super::variables::{self, Assignment};

/// Largest settings file in bytes.
const SETTINGS_MAX: usize = 1 << 20;
/// Largest secret file in bytes.
const SECRET_MAX: usize = 4096;

/// What a file says at one of its keys.
#[derive(Debug)]
pub(super) struct Leaf {
    /// The tables to it and its own name, as written.
    pub(super) path: Vec<String>,
    pub(super) value: LeafValue,
    /// From 1.
    pub(super) line: usize,
}

/// The value of a leaf, as raw text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LeafValue {
    One(String),
    Many(Vec<String>),
    /// A table without keys.
    Empty,
    /// A list of lists or tables.
    Deep,
}

/// The content of a secret file.
pub(super) struct SecretText {
    pub(super) text: Zeroizing<String>,
    /// The permission bits, when they let others read or change the file.
    pub(super) too_open: Option<u32>,
}

/// Reads a file of variables. The second part of an error is the line, where there is one.
pub(super) fn read_variables(path: &Path) -> Result<Vec<Assignment>, (Problem, Option<usize>)> {
    let (bytes, _) = read_bounded(path, SETTINGS_MAX).map_err(|problem| (problem, None))?;
    let reason = "it is no UTF-8 text".to_owned();
    let not_text = |_| (Problem::NotVariables { reason }, None);
    let text = std::str::from_utf8(&bytes).map_err(not_text)?;
    variables::parse(text).map_err(|(problem, line)| (problem, Some(line)))
}

/// Reads a TOML file. The second part of an error is the line, where there is one.
pub(super) fn read_toml(path: &Path) -> Result<Vec<Leaf>, (Problem, Option<usize>)> {
    let (bytes, _) = read_bounded(path, SETTINGS_MAX).map_err(|problem| (problem, None))?;
    let not_toml = |reason: &str| Problem::NotToml {
        reason: reason.to_owned(),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| (not_toml("it is no UTF-8 text"), None))?;
    let document = Document::parse(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        (not_toml(error.message()), line)
    })?;
    let mut leaves = Vec::new();
    collect(document.as_table(), text, &mut Vec::new(), 1, &mut leaves);
    Ok(leaves)
}

/// Reads a secret file; one line end behind the secret is not part of it.
pub(super) fn read_secret(path: &Path) -> Result<SecretText, Problem> {
    let (bytes, mode) = read_bounded(path, SECRET_MAX)?;
    let bad = |reason: &str| Problem::BadSecret {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| bad("it is no UTF-8 text"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let secret = line.strip_suffix('\r').unwrap_or(line);
    if secret.is_empty() {
        return Err(bad("it is empty"));
    }
    let open_to_others = mode & 0o027;
    Ok(SecretText {
        text: Zeroizing::new(secret.to_owned()),
        too_open: (open_to_others != 0).then_some(mode & 0o777),
    })
}

fn read_bounded(path: &Path, bytes_max: usize) -> Result<(Zeroizing<Vec<u8>>, u32), Problem> {
    let unreadable = |source| Problem::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Problem::NotAFile {
            path: path.to_owned(),
        });
    }
    // All at once, so that growing leaves no copy of a secret behind.
    let expected = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected.min(bytes_max) + 1));
    let limit = bytes_max as u64 + 1;
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > bytes_max {
        return Err(Problem::TooLarge {
            path: path.to_owned(),
            bytes_max,
        });
    }
    Ok((bytes, metadata.mode()))
}

/// Opens without waiting: a pipe that nobody writes to must not hold the start up.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn collect(
    table: &dyn TableLike,
    text: &str,
    path: &mut Vec<String>,
    line: usize,
    leaves: &mut Vec<Leaf>,
) {
    if table.is_empty() && !path.is_empty() {
        leaves.push(Leaf {
            path: path.clone(),
            value: LeafValue::Empty,
            line,
        });
    }
    for (name, item) in table.iter() {
        let span = table.key(name).and_then(toml_edit::Key::span);
        let line = span.map_or(line, |span| line_of(text, span.start));
        path.push(name.to_owned());
        match item.as_table_like() {
            Some(inner) => collect(inner, text, path, line, leaves),
            None => leaves.push(Leaf {
                path: path.clone(),
                value: raw_item(item),
                line,
            }),
        }
        path.pop();
    }
}

fn raw_item(item: &Item) -> LeafValue {
    match item {
        Item::Value(Value::Array(array)) => raw_array(array),
        Item::Value(value) => raw(value).map_or(LeafValue::Deep, LeafValue::One),
        Item::ArrayOfTables(_) | Item::Table(_) | Item::None => LeafValue::Deep,
    }
}

fn raw_array(array: &Array) -> LeafValue {
    let values: Option<Vec<String>> = array.iter().map(raw).collect();
    values.map_or(LeafValue::Deep, LeafValue::Many)
}

fn raw(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Float(number) => Some(number.value().to_string()),
        Value::Boolean(truth) => Some(truth.value().to_string()),
        Value::Datetime(moment) => Some(moment.value().to_string()),
        Value::Array(_) | Value::InlineTable(_) => None,
    }
}

fn line_of(text: &str, position: usize) -> usize {
    let before = text.as_bytes().iter().take(position);
    1 + before.filter(|byte| **byte == b'\n').count()
}
