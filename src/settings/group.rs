//! The settings of groups: their instances, and when and how a promotion happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::keys::{self, Key, Scope};
use super::mistakes::Problem;
use super::node::read_secret;
use super::parse::{Address, Count, Level, List, Renamed, Size, Span, Switch, Username};
use super::reader::{Reader, Reading, example};
use super::source::Origin;
use crate::decision::{Fencing, GroupPolicy, RescueLimits};
use crate::model::{Endpoint, GroupName};
use crate::redis::{CommandNames, Credentials, Secret};

/// Most groups that one daemon watches.
const GROUPS_MAX: usize = 64;
/// Most instances that one list may hold.
const INSTANCES_MAX: usize = 64;

/// One replication group.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// What decisions follow: at least one instance, a quorum of 1 to the number of voters, and
    /// `gone_after` below `down_after`.
    pub policy: GroupPolicy,
    /// What lets us into its instances.
    pub credentials: Credentials,
    /// What its replicas show their master without a guard.
    pub replica_login: Credentials,
}

/// What reading all groups came to.
pub(super) struct Groups {
    /// All names, unless one of them is mistaken.
    pub(super) names: Option<BTreeSet<GroupName>>,
    /// All groups, unless there is a mistake in one.
    pub(super) settings: Option<BTreeMap<GroupName, GroupSettings>>,
}

impl Groups {
    /// Reads all sections. How many voters there are is not known when that is mistaken.
    pub(super) fn read(reader: &mut Reader, voters: Option<usize>) -> Self {
        let labels = reader.labels(Scope::Group);
        if labels.is_empty() && !reader.is_incomplete() {
            let example = example(&keys::INSTANCES, "features", &Origin::Environment);
            reader.refuse(&keys::INSTANCES, "f", Problem::NoGroup { example });
        }
        if labels.len() > GROUPS_MAX {
            let (count, max) = (labels.len(), GROUPS_MAX);
            reader.refuse(
                &keys::GROUP_NAME,
                &labels[0],
                Problem::TooMany { count, max },
            );
            return Self {
                names: None,
                settings: None,
            };
        }
        let mut owners = BTreeMap::new();
        let mut names = Some(BTreeSet::new());
        let mut settings = Some(BTreeMap::new());
        for label in &labels {
            let name = read_name(reader, label, names.as_ref());
            let group = GroupSettings::read(reader, label, voters, &mut owners);
            match (name, group) {
                (Some(name), Some(group)) => {
                    names.as_mut().map(|names| names.insert(name.clone()));
                    settings
                        .as_mut()
                        .map(|settings| settings.insert(name, group));
                }
                (Some(name), None) => {
                    names.as_mut().map(|names| names.insert(name));
                    settings = None;
                }
                (None, _) => (names, settings) = (None, None),
            }
        }
        Self { names, settings }
    }
}

fn read_name(
    reader: &mut Reader,
    label: &str,
    names: Option<&BTreeSet<GroupName>>,
) -> Option<GroupName> {
    let key = &keys::GROUP_NAME;
    let labelled: GroupName = match label.parse() {
        Ok(name) => name,
        Err(error) => {
            let reason = format!("the label of the section is not usable: {error}");
            let example = example(&keys::INSTANCES, "features", &Origin::Environment);
            reader.refuse(key, label, Problem::Invalid { reason, example });
            return None;
        }
    };
    let name = match reader.read(key, label) {
        Reading::Given(name) => name,
        Reading::Mistaken => return None,
        Reading::Absent => {
            reader.settle(key, label, label);
            labelled
        }
    };
    if names.is_some_and(|names| names.contains(&name)) {
        reader.refuse(key, label, Problem::SameName { name });
        return None;
    }
    Some(name)
}

impl GroupSettings {
    fn read(
        reader: &mut Reader,
        label: &str,
        voters: Option<usize>,
        owners: &mut BTreeMap<Endpoint, String>,
    ) -> Option<Self> {
        let policy = read_policy(reader, label, voters, owners);
        let credentials = read_credentials(reader, label, &keys::USERNAME, &keys::PASSWORD_FILE);
        let names = read_command_names(reader, label);
        let replica_login =
            read_credentials(reader, label, &keys::MASTERUSER, &keys::MASTERAUTH_FILE);
        Some(Self {
            policy: policy?,
            credentials: Credentials {
                names: names?,
                ..credentials?
            },
            replica_login: replica_login?,
        })
    }
}

fn read_policy(
    reader: &mut Reader,
    label: &str,
    voters: Option<usize>,
    owners: &mut BTreeMap<Endpoint, String>,
) -> Option<GroupPolicy> {
    let instances = read_instances(reader, &keys::INSTANCES, label, true);
    let is_own = instances
        .as_ref()
        .is_some_and(|instances| claim(reader, label, instances, owners));
    let excluded = read_instances(reader, &keys::EXCLUDE, label, false);
    let quorum = read_quorum(reader, label, voters);
    let span = |reader: &mut Reader, key| reader.read_within(key, label).map(|Span(span)| span);
    let down_after = span(reader, &keys::DOWN_AFTER);
    let gone_after = span(reader, &keys::GONE_AFTER);
    let is_ordered = check_order(reader, label, gone_after, down_after);
    let exited = reader
        .read_or_default(&keys::EXITED, label)
        .map(|Switch(on)| on);
    let replica_veto_max = span(reader, &keys::REPLICA_VETO_MAX);
    let parallel_syncs = reader
        .read_within(&keys::PARALLEL_SYNCS, label)
        .map(|Count(count)| count);
    let lag_max = reader
        .read_or_default(&keys::LAG_MAX, label)
        .map(|Size(size)| size);
    let readers_lag_max = reader
        .read_or_default(&keys::READERS_LAG_MAX, label)
        .map(|Size(size)| size);
    let promote_timeout = span(reader, &keys::PROMOTE_TIMEOUT);
    let cooldown = span(reader, &keys::COOLDOWN);
    let fencing = reader
        .read_or_default(&keys::FENCING, label)
        .map(|Level(fencing)| fencing);
    let lease = read_derived(
        reader,
        &keys::LEASE,
        label,
        down_after.map(lease_by_default),
    );
    let isolation_after = down_after.map(|span| span.max(GroupPolicy::ISOLATION_MIN));
    let isolation_after = read_derived(reader, &keys::ISOLATION_AFTER, label, isolation_after);
    let take_over = reader
        .read_or_default(&keys::TAKE_OVER, label)
        .map(|Switch(take_over)| take_over);
    let gone_loss_max = reader
        .read_or_default(&keys::GONE_LOSS_MAX, label)
        .map(|Size(size)| size.unwrap_or(u64::MAX));
    let guard = reader
        .read_or_default(&keys::GUARD, label)
        .map(|Switch(on)| on);
    let rescue = read_rescue(reader, label, fencing);
    let rescue_limits = read_rescue_limits(reader, label);
    let failovers_max = reader
        .read_or_default(&keys::FAILOVERS_MAX, label)
        .map(|Count(count)| count);
    (is_own && is_ordered).then_some(GroupPolicy {
        instances: instances?,
        quorum: quorum?,
        down_after: down_after?,
        gone_after: gone_after?,
        exited: exited?,
        replica_veto_max: replica_veto_max?,
        promote_timeout: promote_timeout?,
        parallel_syncs: parallel_syncs?,
        lag_max: lag_max?,
        readers_lag_max: readers_lag_max?,
        cooldown: cooldown?,
        failovers_max: failovers_max?,
        take_over: take_over?,
        excluded: excluded?,
        fencing: fencing?,
        lease: lease?,
        isolation_after: isolation_after?,
        gone_loss_max: gone_loss_max?,
        guard: guard?,
        rescue: rescue?,
        rescue_limits: rescue_limits?,
    })
}

/// What takes writes while it is saved is not saved whole.
fn read_rescue(reader: &mut Reader, label: &str, fencing: Option<Fencing>) -> Option<bool> {
    let Switch(on) = reader.read_or_default(&keys::RESCUE, label)?;
    if on && fencing? == Fencing::Off {
        reader.refuse(&keys::RESCUE, label, Problem::RescueUnfenced);
        return None;
    }
    Some(on)
}

fn read_rescue_limits(reader: &mut Reader, label: &str) -> Option<RescueLimits> {
    let size_max = reader.read_or_default(&keys::RESCUE_SIZE_MAX, label);
    let lasts_max = reader.read_within(&keys::RESCUE_TIMEOUT, label);
    let (Size(size_max), Span(lasts_max)) = (size_max?, lasts_max?);
    Some(RescueLimits {
        size_max: size_max.unwrap_or(u64::MAX),
        lasts_max,
    })
}

fn read_instances(
    reader: &mut Reader,
    key: &'static Key,
    label: &str,
    is_required: bool,
) -> Option<BTreeSet<Endpoint>> {
    let listed: Vec<Address> = if is_required {
        let List(listed) = reader.read_or_default(key, label)?;
        listed
    } else {
        let listed = reader.read_or_told(key, label)?;
        listed.map(|List(listed)| listed).unwrap_or_default()
    };
    if listed.len() > INSTANCES_MAX {
        let (count, max) = (listed.len(), INSTANCES_MAX);
        reader.refuse(key, label, Problem::TooMany { count, max });
        return None;
    }
    let endpoints = listed.iter().map(|Address(endpoint)| endpoint.to_string());
    let is_right = reader.demand_once(key, label, endpoints);
    is_right.then(|| {
        listed
            .into_iter()
            .map(|Address(endpoint)| endpoint)
            .collect()
    })
}

/// Notes whose instances these are; false when another group has one of them.
fn claim(
    reader: &mut Reader,
    label: &str,
    instances: &BTreeSet<Endpoint>,
    owners: &mut BTreeMap<Endpoint, String>,
) -> bool {
    let mut is_own = true;
    for endpoint in instances {
        if let Some(other) = owners.insert(endpoint.clone(), label.to_owned()) {
            let endpoint = endpoint.clone();
            reader.refuse(
                &keys::INSTANCES,
                label,
                Problem::SharedInstance { endpoint, other },
            );
            is_own = false;
        }
    }
    is_own
}

fn read_quorum(reader: &mut Reader, label: &str, voters: Option<usize>) -> Option<usize> {
    let key = &keys::QUORUM;
    match (reader.read(key, label), voters) {
        (Reading::Given(Count(quorum)), Some(voters)) if !(1..=voters).contains(&quorum) => {
            reader.refuse(key, label, Problem::QuorumOutOfBounds { quorum, voters });
            None
        }
        (Reading::Given(Count(quorum)), _) => Some(quorum),
        (Reading::Absent, Some(voters)) => {
            let majority = voters / 2 + 1;
            reader.settle(key, label, majority);
            Some(majority)
        }
        (Reading::Absent, None) | (Reading::Mistaken, _) => None,
    }
}

/// So that no failover has to wait for one: it is over before the master is held down.
fn lease_by_default(down_after: Duration) -> Duration {
    let span = down_after * 4 / 5;
    span.clamp(Duration::from_millis(200), Duration::from_secs(10))
}

/// A span whose default follows from another setting.
fn read_derived(
    reader: &mut Reader,
    key: &'static Key,
    label: &str,
    default: Option<Duration>,
) -> Option<Duration> {
    match reader.read(key, label) {
        Reading::Given(span) => {
            let Span(span) = reader.demand_bounds(key, label, span)?;
            Some(span)
        }
        Reading::Absent => {
            let span = default?;
            reader.settle(key, label, humantime::format_duration(span));
            Some(span)
        }
        Reading::Mistaken => None,
    }
}

fn check_order(
    reader: &mut Reader,
    label: &str,
    gone_after: Option<Duration>,
    down_after: Option<Duration>,
) -> bool {
    let (Some(gone_after), Some(down_after)) = (gone_after, down_after) else {
        return false;
    };
    if gone_after < down_after {
        return true;
    }
    let problem = Problem::GoneTooLate {
        gone_after: humantime::format_duration(gone_after).to_string(),
        down_after: humantime::format_duration(down_after).to_string(),
    };
    reader.refuse(&keys::GONE_AFTER, label, problem);
    false
}

fn read_credentials(
    reader: &mut Reader,
    label: &str,
    username: &'static Key,
    password_file: &'static Key,
) -> Option<Credentials> {
    let username = reader.read_or_told(username, label);
    let password = read_password(reader, label, password_file);
    Some(Credentials {
        username: username?.map(|Username(username)| username),
        password: password?,
        names: CommandNames::default(),
    })
}

fn read_command_names(reader: &mut Reader, label: &str) -> Option<CommandNames> {
    let key = &keys::COMMANDS;
    let listed: Option<List<Renamed>> = reader.read_or_told(key, label)?;
    let List(listed) = listed.unwrap_or(List(Vec::new()));
    let commands = listed.iter().map(|renamed| renamed.command.clone());
    let is_right = reader.demand_once(key, label, commands);
    let pairs = listed.into_iter().map(|it| (it.command, it.name));
    is_right.then(|| CommandNames::new(pairs.collect()))
}

fn read_password(reader: &mut Reader, label: &str, key: &'static Key) -> Option<Option<Secret>> {
    let credential = match std::ptr::eq(key, &keys::PASSWORD_FILE) {
        true => format!("{label}.password"),
        false => format!("{label}.masterauth"),
    };
    match reader.read_secret_path(key, label, &credential) {
        Reading::Given(path) => {
            // Moved out, so that no copy of it is left behind.
            let mut text = read_secret(reader, key, label, &path)?;
            Some(Some(Secret::new(std::mem::take(&mut *text))))
        }
        Reading::Mistaken => None,
        Reading::Absent => Some(None),
    }
}
