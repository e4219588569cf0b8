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
    /// What `next` has otherwise than a daemon that started with these and took `latest` on since.
    #[must_use]
    pub fn changes(&self, latest: &Self, next: &Self) -> Changes {
        let live = differing(latest, next).filter(|variable| self.is_live(next, variable));
        let from_start = differing(self, next).filter(|variable| !self.is_live(next, variable));
        let mut changes = Changes {
            live: live.collect(),
            from_start: from_start.collect(),
        };
        for name in self.groups.keys() {
            let of = |settings: &Self| settings.groups.get(name).cloned();
            let (Some(started), Some(latest), Some(next)) = (of(self), of(latest), of(next)) else {
                continue;
            };
            if latest.credentials.password != next.credentials.password {
                note_content(&mut changes.live, &keys::PASSWORD_FILE, name);
            }
            if started.replica_login.password != next.replica_login.password {
                note_content(&mut changes.from_start, &keys::MASTERAUTH_FILE, name);
            }
        }
        let key = |settings: &Self| {
            let key = settings.peer_key.as_ref();
            key.map(|key| key.derive("comparison"))
        };
        let access = |settings: &Self| settings.sentinel.clone().map(|sentinel| sentinel.access);
        let is_endpoint = self.sentinel.is_some() && next.sentinel.is_some();
        if is_endpoint && access(self) != access(next) {
            changes
                .from_start
                .insert(keys::SENTINEL_PASSWORD_FILE.variable(""));
        }
        if key(self) != key(next) {
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

/// The file may be named as before.
fn note_content(variables: &mut BTreeSet<String>, key: &Key, group: &GroupName) {
    let variable = key.variable(group.as_str());
    if !variables.contains(&variable) {
        variables.insert(format!("{variable} (what the file holds)"));
    }
}

/// The variables that have another value, or have one in one of both only.
fn differing(one: &Settings, other: &Settings) -> impl Iterator<Item = String> {
    let (one, other) = (values(one), values(other));
    let all: BTreeSet<&str> = one.keys().chain(other.keys()).copied().collect();
    let differing = all.into_iter().filter(|key| one.get(key) != other.get(key));
    let differing: Vec<String> = differing.map(str::to_owned).collect();
    differing.into_iter()
}

fn values(settings: &Settings) -> BTreeMap<&str, &str> {
    let effective = settings.effective().iter();
    effective
        .map(|setting| (setting.key.as_str(), setting.value.as_str()))
        .collect()
}
