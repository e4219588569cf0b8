//! One source as figment sees it: nested tables of raw strings, under known keys only.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::file::{Leaf, LeafValue};
use super::keys::{self, Key};
use super::mistakes::{Mistake, Problem};
use super::source::{example_in_toml, place_in_file};

/// One source as figment sees it: nested tables of raw strings.
pub(super) struct Layer {
    name: &'static str,
    dict: Dict,
}

impl Layer {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            dict: Dict::new(),
        }
    }

    pub(super) fn find(&self, path: &[String]) -> Option<&Value> {
        find(&self.dict, path)
    }

    /// Known keys are leaves and never tables, so no two of them are in each other's way.
    pub(super) fn set(&mut self, path: &[String], value: Value) {
        set(&mut self.dict, path, value);
    }

    /// Takes in what a TOML file says, and notes the line of each key.
    pub(super) fn fill(
        &mut self,
        leaves: Vec<Leaf>,
        file: Option<&Path>,
        lines: &mut BTreeMap<Vec<String>, usize>,
        mistakes: &mut Vec<Mistake>,
    ) {
        for leaf in leaves {
            let (line, written) = (leaf.line, leaf.path.join("."));
            let place = place_in_file(file, Some(line), Some(&written));
            let path: Vec<String> = leaf.path.iter().map(|part| part.to_lowercase()).collect();
            match accept(&path, leaf.value, lines) {
                Ok(text) => {
                    self.set(&path, Value::from(text));
                    lines.insert(path, line);
                }
                Err(problem) => mistakes.push(Mistake { place, problem }),
            }
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// Checks all about a leaf of the file but its value.
fn accept(
    path: &[String],
    value: LeafValue,
    lines: &BTreeMap<Vec<String>, usize>,
) -> Result<String, Problem> {
    let in_file = |key: &Key, label: &str| key.path(label).join(".");
    if value == LeafValue::Empty {
        return Err(Problem::EmptyTable);
    }
    if let Some((key, _)) = (1..path.len()).find_map(|length| keys::find(&path[..length])) {
        return Err(wrong_shape(key));
    }
    let Some((key, label)) = keys::find(path) else {
        return Err(unknown(path, in_file));
    };
    if std::ptr::eq(key, &keys::CONFIG) {
        return Err(Problem::EnvironmentOnly);
    }
    if let Some(line) = lines.get(path) {
        let other = format!("{} in line {line}", in_file(key, &label));
        return Err(Problem::GivenTwice { other });
    }
    match value {
        LeafValue::One(text) => Ok(text),
        LeafValue::Many(texts) if key.is_list => Ok(texts.join(",")),
        LeafValue::Many(_) | LeafValue::Deep | LeafValue::Empty => Err(wrong_shape(key)),
    }
}

fn wrong_shape(key: &Key) -> Problem {
    Problem::WrongShape {
        expected: if key.is_list {
            "a list of values"
        } else {
            "one value"
        },
        example: example_in_toml(key),
    }
}

/// The mistake of a key that is not known: it never repeats the value, which may be a secret.
pub(super) fn unknown(path: &[String], write: impl Fn(&Key, &str) -> String) -> Problem {
    let nearest = keys::nearest(path).map(|(key, label)| (key, write(key, &label)));
    let secret = path
        .last()
        .is_some_and(|last| last == "password" || last == "peer_key");
    match nearest {
        Some((key, instead)) if secret && key.name.ends_with("_FILE") => {
            Problem::InlineSecret { instead }
        }
        nearest => Problem::Unknown {
            nearest: nearest.map(|(_, name)| name),
        },
    }
}

/// The value at the end of a path.
pub(super) fn find<'a>(dict: &'a Dict, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = dict.get(first)?;
    if rest.is_empty() {
        return Some(value);
    }
    find(value.as_dict()?, rest)
}

fn set(dict: &mut Dict, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        dict.insert(first.clone(), value);
        return;
    }
    let mut inner = match dict.remove(first) {
        Some(Value::Dict(_, inner)) => inner,
        Some(_) | None => Dict::new(),
    };
    set(&mut inner, rest, value);
    dict.insert(first.clone(), Value::from(inner));
}
