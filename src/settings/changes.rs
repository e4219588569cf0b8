//! What differs between settings, and which of it a running daemon can take on.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::{self, Key, Scope};
use super::source::path_of;
use super::{GroupSettings, Settings};
use crate::model::GroupName;

/// Keys of a group that count from the start of the daemon only, as its other keys do not.
const FROM_START: [&Key; 5] = [
    &keys::GROUP_NAME,
    &keys::FENCING,
    &keys::GUARD,
    &keys::MASTERUSER,
    &keys::MASTERAUTH_FILE,
];

/// The variables that differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that a running daemon takes on.
    pub live: BTreeSet<String>,
    /// Those that need a restart.
    pub from_start: BTreeSet<String>,
}

impl Settings {
    /// What `other` has that these have not, or have otherwise.
    #[must_use]
    pub fn changes(&self, other: &Self) -> Changes {
        let mut changes = Changes::default();
        let (before, after) = (values(self), values(other));
        let all: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
        let differing = all.iter().filter(|key| before.get(*key) != after.get(*key));
        for variable in differing {
            let is_live = self.is_live(other, variable);
            changes.note(is_live, (*variable).to_owned());
        }
        for (name, group) in &self.groups {
            let Some(next) = other.groups.get(name) else {
                continue;
            };
            let variable = keys::PASSWORD_FILE.variable(name.as_str());
            let is_same = group.credentials.password == next.credentials.password;
            if !is_same && !changes.live.contains(&variable) {
                changes
                    .live
                    .insert(format!("{variable} (what the file holds)"));
            }
        }
        let of = |settings: &Self| {
            settings
                .peer_key
                .as_ref()
                .map(|key| key.derive("comparison"))
        };
        if of(self) != of(other) {
            changes.from_start.insert(keys::PEER_KEY_FILE.variable(""));
        }
        changes
    }

    /// Whether a running daemon takes on another value of `variable`.
    fn is_live(&self, other: &Self, variable: &str) -> bool {
        let Some((key, label)) = path_of(variable).and_then(|path| keys::find(&path)) else {
            return false;
        };
        match key.scope {
            Scope::Node => std::ptr::eq(key, &keys::LOG),
            // Those who are to vote do not change before a restart.
            Scope::Group if std::ptr::eq(key, &keys::QUORUM) && !self.has_voters_of(other) => false,
            Scope::Group => {
                let is_kept = [self, other].iter().all(|it| it.has_group(&label));
                is_kept && !FROM_START.iter().any(|it| std::ptr::eq(*it, key))
            }
            Scope::Client => false,
        }
    }

    fn has_voters_of(&self, other: &Self) -> bool {
        self.voters.keys().eq(other.voters.keys())
    }

    fn has_group(&self, label: &str) -> bool {
        let prefix = keys::INSTANCES.variable(label);
        self.effective().iter().any(|setting| setting.key == prefix)
    }

    /// What a daemon that started with these takes on of `other` for the groups of both.
    #[must_use]
    pub fn live_groups(&self, other: &Self) -> BTreeMap<GroupName, GroupSettings> {
        let mut groups = other.groups.clone();
        groups.retain(|name, group| {
            let Some(started) = self.groups.get(name) else {
                return false;
            };
            if !self.has_voters_of(other) {
                group.policy.quorum = started.policy.quorum;
            }
            group.policy.fencing = started.policy.fencing;
            group.policy.guard = started.policy.guard;
            group.replica_login = started.replica_login.clone();
            true
        });
        groups
    }
}

impl Changes {
    fn note(&mut self, is_live: bool, variable: String) {
        match is_live {
            true => self.live.insert(variable),
            false => self.from_start.insert(variable),
        };
    }
}

fn values(settings: &Settings) -> BTreeMap<&str, &str> {
    let effective = settings.effective().iter();
    effective
        .map(|setting| (setting.key.as_str(), setting.value.as_str()))
        .collect()
}
