//! Where settings come from: raw texts of the environment over those of a file, each with its origin.
//!
//! figment merges the two. Its own environment provider guesses types (`007` becomes 7), so it gets
//! raw strings from a provider of ours, and values are parsed by their field types afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Profile, Provider};

use super::file;
use super::keys::{self, Key, Scope};
use super::layer::{Layer, find, unknown};
use super::mistakes::{Mistake, Problem};
use super::variables::Assignment;

/// All that settings are made of, taken from the process by the caller.
#[derive(Clone)]
pub struct Sources {
    environment: BTreeMap<OsString, OsString>,
    host_name: String,
}

/// Where the value of a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A variable.
    Environment,
    /// The file that `PROMOTERD_CONFIG` names.
    File {
        /// Its path.
        path: PathBuf,
        /// The line of the key, from 1.
        line: Option<usize>,
    },
    /// Nobody gave it.
    Default,
    /// A credential of the service manager.
    Credential,
}

/// A key that was given, with its raw text.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// All known keys that were given, merged.
pub(super) struct Tree {
    figment: Figment,
    dict: Dict,
    file: Option<PathBuf>,
    lines: BTreeMap<Vec<String>, usize>,
}

/// What the sources yield before any value is parsed.
pub(super) struct Gathered {
    pub(super) tree: Tree,
    pub(super) mistakes: Vec<Mistake>,
    /// Whether something that was given could not be read, so that nothing can be called missing.
    pub(super) incomplete: bool,
}

impl Sources {
    /// Takes the environment (all of it: what is not ours is passed over) and the host name.
    pub fn new<K: Into<OsString>, V: Into<OsString>>(
        environment: impl IntoIterator<Item = (K, V)>,
        host_name: impl Into<String>,
    ) -> Self {
        let pairs = environment.into_iter();
        Self {
            environment: pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            host_name: host_name.into(),
        }
    }

    pub(super) fn host_name(&self) -> &str {
        &self.host_name
    }

    /// The file of a systemd credential, when the service manager passed that one.
    pub(super) fn credential(&self, name: &str) -> Option<PathBuf> {
        let directory = self
            .environment
            .get(&OsString::from("CREDENTIALS_DIRECTORY"))?;
        let path = Path::new(directory).join(name);
        path.exists().then_some(path)
    }

    /// Reads the file and sorts all keys: the known ones into the tree, the others to the mistakes.
    pub(super) fn gather(&self) -> Gathered {
        let mut mistakes = Vec::new();
        let environment = self.read_environment(&mut mistakes);
        let config = environment
            .find(&["config".to_owned()])
            .and_then(Value::as_str);
        // Whether the name is an absolute path is seen where that key is read.
        let path = config.map(PathBuf::from).filter(|path| path.is_absolute());
        let mut incomplete = config.is_some() && path.is_none();
        let mut lines = BTreeMap::new();
        let mut file = Layer::new("file");
        if let Some(path) = path.as_deref()
            && let Err((problem, line)) = read_file(path, &mut file, &mut lines, &mut mistakes)
        {
            incomplete = true;
            let place = match line {
                Some(line) => place_in_file(Some(path), Some(line), None),
                None => keys::CONFIG.variable(""),
            };
            mistakes.push(Mistake { place, problem });
        }
        incomplete |= mistakes
            .iter()
            .any(|mistake| mistake.problem.hides_a_value());
        Gathered {
            tree: Tree::merge(file, environment, path, lines),
            mistakes,
            incomplete,
        }
    }

    fn read_environment(&self, mistakes: &mut Vec<Mistake>) -> Layer {
        let mut layer = Layer::new("environment");
        let mut seen: BTreeMap<Vec<String>, &str> = BTreeMap::new();
        for (name, value) in &self.environment {
            let lossy = name.to_string_lossy();
            let Some(path) = path_of(&lossy) else {
                continue;
            };
            let problem = match (name.to_str(), value.to_str(), keys::find(&path)) {
                (Some(name), Some(value), Some((key, label))) => match seen.insert(path, name) {
                    Some(other) => Problem::GivenTwice {
                        other: other.to_owned(),
                    },
                    None => {
                        layer.set(&key.path(&label), Value::from(value));
                        continue;
                    }
                },
                (Some(_), _, None) => unknown(&path, |key, label| key.variable(label)),
                (None, ..) | (_, None, _) => Problem::NotText,
            };
            let place = lossy.escape_debug().to_string();
            mistakes.push(Mistake { place, problem });
        }
        layer
    }
}

impl fmt::Debug for Sources {
    /// Shows no variable: others than ours may hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sources")
            .field("host_name", &self.host_name)
            .finish_non_exhaustive()
    }
}

impl Tree {
    fn merge(
        file: Layer,
        environment: Layer,
        path: Option<PathBuf>,
        lines: BTreeMap<Vec<String>, usize>,
    ) -> Self {
        let figment = Figment::new().merge(file).merge(environment);
        // Neither layer can fail: both are in memory.
        let mut profiles = figment.data().unwrap_or_default();
        let dict = profiles.remove(&Profile::Default).unwrap_or_default();
        Self {
            figment,
            dict,
            file: path,
            lines,
        }
    }

    /// What was given for a key. A list of the file is joined by commas.
    pub(super) fn find(&self, key: &Key, label: &str) -> Option<Entry> {
        let path = key.path(label);
        let value = find(&self.dict, &path)?;
        let metadata = self.figment.get_metadata(value.tag());
        let origin = match &self.file {
            Some(file) if metadata.is_some_and(|metadata| metadata.name == "file") => {
                Origin::File {
                    path: file.clone(),
                    line: self.lines.get(&path).copied(),
                }
            }
            Some(_) | None => Origin::Environment,
        };
        let text = value.as_str()?.to_owned();
        Some(Entry { text, origin })
    }

    /// The labels of all sections of a scope.
    pub(super) fn labels(&self, scope: Scope) -> BTreeSet<String> {
        let section = match scope {
            Scope::Node => return BTreeSet::new(),
            Scope::Group => "groups",
            Scope::Client => "clients",
        };
        let labels = self.dict.get(section).and_then(Value::as_dict);
        labels.into_iter().flat_map(Map::keys).cloned().collect()
    }
}

/// Reads the file that `PROMOTERD_CONFIG` names, in the form that its name tells.
fn read_file(
    path: &Path,
    layer: &mut Layer,
    lines: &mut BTreeMap<Vec<String>, usize>,
    mistakes: &mut Vec<Mistake>,
) -> Result<(), (Problem, Option<usize>)> {
    if !has_variables(path) {
        layer.fill(file::read_toml(path)?, Some(path), lines, mistakes);
        return Ok(());
    }
    for Assignment { name, value, line } in file::read_variables(path)? {
        let Some(key_path) = path_of(&name) else {
            continue;
        };
        let problem = match keys::find(&key_path) {
            None => unknown(&key_path, |key, label| key.variable(label)),
            Some((key, _)) if std::ptr::eq(key, &keys::CONFIG) => Problem::EnvironmentOnly,
            Some((key, label)) => match lines.insert(key.path(&label), line) {
                Some(line) => Problem::GivenTwice {
                    other: format!("{} in line {line}", key.variable(&label)),
                },
                None => {
                    layer.set(&key.path(&label), Value::from(value));
                    continue;
                }
            },
        };
        let place = place_in_file(Some(path), Some(line), Some(&name));
        mistakes.push(Mistake { place, problem });
    }
    Ok(())
}

/// Whether a settings file holds variables: `.env`. Every other one is TOML.
fn has_variables(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "env")
}

/// What a key is called in a settings file.
pub(super) fn name_in_file(file: &Path, key: &Key, label: &str) -> String {
    match has_variables(file) {
        true => key.variable(label),
        false => key.path(label).join("."),
    }
}

/// A line for a settings file that is accepted.
pub(super) fn example_in_file(file: &Path, key: &Key, label: &str) -> String {
    match has_variables(file) {
        true => format!("{}={}", key.variable(label), key.example),
        false => example_in_toml(key),
    }
}

/// A line for a TOML file that is accepted: `quorum = "2"`.
pub(super) fn example_in_toml(key: &Key) -> String {
    let name = key.name.to_lowercase();
    let name = name.rsplit("__").next().unwrap_or_default();
    if key.is_list {
        let items: Vec<String> = key
            .example
            .split(',')
            .map(|item| format!("{item:?}"))
            .collect();
        return format!("{name} = [{}]", items.join(", "));
    }
    format!("{name} = {:?}", key.example)
}

/// `/etc/promoterd.toml:7: groups.f.quorum`, as far as known.
pub(super) fn place_in_file(file: Option<&Path>, line: Option<usize>, key: Option<&str>) -> String {
    let file = file
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    let key = key
        .map(|key| format!(": {}", key.escape_debug()))
        .unwrap_or_default();
    format!("{file}{line}{key}")
}

/// The path of the key that a variable means, if it is meant for us.
pub(super) fn path_of(name: &str) -> Option<Vec<String>> {
    const PREFIX: &str = "PROMOTERD_";
    let start = name.get(..PREFIX.len())?;
    let rest = start
        .eq_ignore_ascii_case(PREFIX)
        .then(|| name[PREFIX.len()..].to_lowercase())?;
    Some(rest.split("__").map(str::to_owned).collect())
}
