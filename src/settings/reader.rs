//! Reads one key after the other out of the sources, and keeps all mistakes and all effective values.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use super::keys::{Availability, Fallback, Key, Scope};
use super::mistakes::{Mistake, Mistakes, Problem};
use super::parse::{AbsolutePath, InvalidValue, quote};
use super::report::EffectiveSetting;
use super::source::{
    Entry, Gathered, Origin, Sources, Tree, example_in_file, name_in_file, place_in_file,
};

/// What reading a key came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading<T> {
    /// It was given, and is right.
    Given(T),
    /// It was not given.
    Absent,
    /// It was given and is wrong, or a source that may hold it could not be read.
    Mistaken,
}

/// Where a key stands among all: sections stay together, and keys in the order of their table.
type Order = (Scope, String, usize);

/// Takes keys out of the sources, one after the other.
pub(super) struct Reader {
    tree: Tree,
    incomplete: bool,
    mistakes: Vec<(Option<Order>, Mistake)>,
    effective: Vec<(Order, EffectiveSetting)>,
    warnings: Vec<String>,
    sources: Sources,
}

/// What is known once all keys are read.
pub(super) struct Remarks {
    pub(super) effective: Vec<EffectiveSetting>,
    pub(super) warnings: Vec<String>,
}

impl<T> Reading<T> {
    /// Changes what was given.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Given(value) => Reading::Given(change(value)),
            Self::Absent => Reading::Absent,
            Self::Mistaken => Reading::Mistaken,
        }
    }
}

impl Reader {
    pub(super) fn open(sources: &Sources) -> Self {
        let Gathered {
            tree,
            mistakes,
            incomplete,
        } = sources.gather();
        Self {
            tree,
            incomplete,
            // What concerns no known key comes first.
            mistakes: mistakes
                .into_iter()
                .map(|mistake| (None, mistake))
                .collect(),
            effective: Vec::new(),
            warnings: Vec::new(),
            sources: sources.clone(),
        }
    }

    /// The file of a secret: the one that the key names, or the credential of that name that the
    /// service manager passed.
    pub(super) fn read_secret_path(
        &mut self,
        key: &'static Key,
        label: &str,
        credential: &str,
    ) -> Reading<PathBuf> {
        match self.read(key, label) {
            Reading::Given(AbsolutePath(path)) => Reading::Given(path),
            Reading::Mistaken => Reading::Mistaken,
            Reading::Absent => match self.sources.credential(credential) {
                Some(path) => {
                    self.note(key, label, path.display().to_string(), Origin::Credential);
                    Reading::Given(path)
                }
                None => {
                    self.settle(key, label, "none");
                    Reading::Absent
                }
            },
        }
    }

    /// Reads a key that may be absent; what holds then is the caller's to say with [`Self::settle`].
    pub(super) fn read<T>(&mut self, key: &'static Key, label: &str) -> Reading<T>
    where
        T: FromStr<Err: Into<InvalidValue>>,
    {
        let Some(entry) = self.tree.find(key, label) else {
            return if self.incomplete {
                Reading::Mistaken
            } else {
                Reading::Absent
            };
        };
        match accept(key, label, &entry) {
            Ok(value) => {
                self.note(key, label, entry.text, entry.origin);
                Reading::Given(value)
            }
            Err(problem) => {
                self.refuse(key, label, problem);
                Reading::Mistaken
            }
        }
    }

    /// Reads a key with a default of its own, or a required one.
    pub(super) fn read_or_default<T>(&mut self, key: &'static Key, label: &str) -> Option<T>
    where
        T: FromStr<Err: Into<InvalidValue>>,
    {
        match (self.read(key, label), key.default) {
            (Reading::Given(value), _) => Some(value),
            (Reading::Mistaken, _) => None,
            (Reading::Absent, Fallback::Value(text)) => {
                self.settle(key, label, text);
                text.parse().ok()
            }
            (Reading::Absent, Fallback::Required | Fallback::Told(_)) => {
                let example = example(key, label, &Origin::Environment);
                self.refuse(key, label, Problem::Missing { example });
                None
            }
        }
    }

    /// Reads a key whose bounds are in the table of keys.
    pub(super) fn read_within<T>(&mut self, key: &'static Key, label: &str) -> Option<T>
    where
        T: FromStr<Err: Into<InvalidValue>> + PartialOrd,
    {
        let value: T = self.read_or_default(key, label)?;
        self.demand_bounds(key, label, value)
    }

    /// Refuses a value outside of the bounds that the table of keys names.
    pub(super) fn demand_bounds<T>(&mut self, key: &'static Key, label: &str, value: T) -> Option<T>
    where
        T: FromStr<Err: Into<InvalidValue>> + PartialOrd,
    {
        let (min, max) = key.bounds?;
        let (lowest, highest): (T, T) = (min.parse().ok()?, max.parse().ok()?);
        if lowest <= value && value <= highest {
            return Some(value);
        }
        let entry = self.tree.find(key, label)?;
        let given = quote(&entry.text);
        let reason = InvalidValue::Bounds { given, min, max }.to_string();
        let example = example(key, label, &entry.origin);
        self.refuse(key, label, Problem::Invalid { reason, example });
        None
    }

    /// Reads a key that this version may know and not accept.
    pub(super) fn read_restricted(&mut self, key: &'static Key, label: &str) -> bool {
        let entry = self.tree.find(key, label);
        match (entry, key.availability) {
            (None, _) => self.settle(key, label, key.default),
            (Some(_), Availability::Later) => {
                self.refuse(key, label, Problem::NotYet);
                return false;
            }
            (Some(entry), Availability::Now) => {
                self.note(key, label, entry.text, entry.origin);
            }
        }
        true
    }

    /// Reads a key whose default is not a value: none of it when it is absent.
    pub(super) fn read_or_told<T>(&mut self, key: &'static Key, label: &str) -> Option<Option<T>>
    where
        T: FromStr<Err: Into<InvalidValue>>,
    {
        match self.read(key, label) {
            Reading::Given(value) => Some(Some(value)),
            Reading::Mistaken => None,
            Reading::Absent => {
                self.settle(key, label, key.default);
                Some(None)
            }
        }
    }

    /// Refuses what a list holds twice; whether all is well.
    pub(super) fn demand_once(
        &mut self,
        key: &'static Key,
        label: &str,
        items: impl Iterator<Item = String>,
    ) -> bool {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<String> = items.filter(|item| !seen.insert(item.clone())).collect();
        let is_right = twice.is_empty();
        for item in twice {
            self.refuse(key, label, Problem::ListedTwice { item });
        }
        is_right
    }

    /// What a key says, where it is given and right. It is not read by that.
    pub(super) fn peek<T: FromStr>(&self, key: &'static Key, label: &str) -> Option<T> {
        let entry = self.tree.find(key, label)?;
        entry.text.parse().ok()
    }

    /// Whether some source has the key.
    pub(super) fn is_given(&self, key: &'static Key, label: &str) -> bool {
        self.tree.find(key, label).is_some()
    }

    /// States what holds for a key that was not given.
    pub(super) fn settle(&mut self, key: &'static Key, label: &str, value: impl Display) {
        self.note(key, label, value.to_string(), Origin::Default);
    }

    /// States what holds for a key, and why.
    pub(super) fn note(&mut self, key: &'static Key, label: &str, value: String, origin: Origin) {
        let setting = EffectiveSetting {
            key: key.variable(label),
            value,
            origin,
        };
        self.effective.push((order(key, label), setting));
    }

    /// Adds a mistake at the place where a key was given, or could be.
    pub(super) fn refuse(&mut self, key: &'static Key, label: &str, problem: Problem) {
        let place = match self.tree.find(key, label).map(|entry| entry.origin) {
            Some(Origin::File { path, line }) => {
                let name = name_in_file(&path, key, label);
                place_in_file(Some(&path), line, Some(&name))
            }
            Some(Origin::Environment | Origin::Default | Origin::Credential) | None => {
                key.variable(label).escape_debug().to_string()
            }
        };
        self.mistakes
            .push((Some(order(key, label)), Mistake { place, problem }));
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    pub(super) fn labels(&self, scope: Scope) -> Vec<String> {
        self.tree.labels(scope).into_iter().collect()
    }

    /// Whether a source could not be read, so that what is not there may yet be given.
    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Closes the reading: all mistakes, or what else there is to know.
    pub(super) fn finish(mut self) -> Result<Remarks, Mistakes> {
        if !self.mistakes.is_empty() {
            self.mistakes.sort_by(|one, other| one.0.cmp(&other.0));
            let mistakes = self.mistakes.into_iter().map(|(_, mistake)| mistake);
            return Err(Mistakes::new(mistakes.collect()));
        }
        self.effective.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(Remarks {
            effective: self
                .effective
                .into_iter()
                .map(|(_, setting)| setting)
                .collect(),
            warnings: self.warnings,
        })
    }
}

/// A line that is accepted, in the form of the source where the key was given.
pub(super) fn example(key: &Key, label: &str, origin: &Origin) -> String {
    match origin {
        Origin::File { path, .. } => example_in_file(path, key, label),
        Origin::Environment | Origin::Default | Origin::Credential => {
            format!("{}={}", key.variable(label), key.example)
        }
    }
}

fn order(key: &'static Key, label: &str) -> Order {
    (key.scope, label.to_owned(), key.position())
}

fn accept<T>(key: &'static Key, label: &str, entry: &Entry) -> Result<T, Problem>
where
    T: FromStr<Err: Into<InvalidValue>>,
{
    let parsed = match entry.text.trim() {
        "" => Err(InvalidValue::Empty),
        _ => entry.text.parse().map_err(Into::into),
    };
    parsed.map_err(|reason: InvalidValue| Problem::Invalid {
        reason: reason.to_string(),
        example: example(key, label, &entry.origin),
    })
}
