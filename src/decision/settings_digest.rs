//! The digest by which nodes tell whether a group has the same settings on all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use blake2::{Blake2s256, Digest};
use serde::{Deserialize, Serialize};

use super::policy::{Fencing, GroupPolicy};
use crate::model::{Endpoint, GroupName};

/// Of all settings of a group that have to be equal on all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsDigest(pub u64);

/// Of one key with its value, so that two nodes can find out in which keys they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMark(pub u32);

/// What a node tells the others of its settings of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupClaim {
    /// The group.
    pub group: GroupName,
    /// Of all its settings.
    pub digest: SettingsDigest,
    /// Of each of them; empty while everybody says the same.
    pub marks: Vec<KeyMark>,
}

/// A group's settings as they are compared: the same text on every platform, and in every version
/// that gives them the same meaning. A key that a later version adds belongs in it only where its
/// value is another one than that by which the versions before it acted.
#[derive(Debug)]
pub(super) struct Canonical(Vec<(&'static str, String)>);

impl Canonical {
    /// All keys of `policy`: nothing of it is a matter of one host alone.
    pub(super) fn of(policy: &GroupPolicy) -> Self {
        let GroupPolicy {
            instances,
            quorum,
            down_after,
            gone_after,
            exited,
            replica_veto_max,
            promote_timeout,
            parallel_syncs,
            lag_max,
            readers_lag_max,
            cooldown,
            failovers_max,
            take_over,
            excluded,
            fencing,
            lease,
            isolation_after,
            gone_loss_max,
            guard,
            rescue,
            rescue_limits,
        } = policy;
        let level = match fencing {
            Fencing::Off => "off",
            Fencing::Fast => "fast",
            Fencing::Strict => "strict",
        };
        let lag_max = lag_max.map_or_else(|| "none".to_owned(), |bytes| bytes.to_string());
        let mut keys = vec![
            ("INSTANCES", list(instances)),
            ("EXCLUDE", list(excluded)),
            ("QUORUM", quorum.to_string()),
            ("DOWN_AFTER", span(*down_after)),
            ("GONE_AFTER", span(*gone_after)),
            ("EXITED", exited.to_string()),
            ("REPLICA_VETO_MAX", span(*replica_veto_max)),
            ("FENCING", level.to_owned()),
            ("ISOLATION_AFTER", span(*isolation_after)),
            ("GUARD", guard.to_string()),
            ("GONE_LOSS_MAX", gone_loss_max.to_string()),
            ("PARALLEL_SYNCS", parallel_syncs.to_string()),
            ("LAG_MAX", lag_max),
            ("PROMOTE_TIMEOUT", span(*promote_timeout)),
            ("COOLDOWN", span(*cooldown)),
            ("FAILOVERS_MAX", failovers_max.to_string()),
            ("TAKE_OVER", take_over.to_string()),
        ];
        // Elsewhere it means nothing, and versions before it did not know it.
        if *fencing == Fencing::Strict {
            keys.push(("LEASE", span(*lease)));
        }
        if let Some(bytes) = readers_lag_max {
            keys.push(("READERS_LAG_MAX", bytes.to_string()));
        }
        if *rescue {
            keys.extend([
                ("RESCUE", rescue.to_string()),
                ("RESCUE_SIZE_MAX", rescue_limits.size_max.to_string()),
                ("RESCUE_TIMEOUT", span(rescue_limits.lasts_max)),
            ]);
        }
        Self(keys)
    }

    pub(super) fn digest(&self) -> SettingsDigest {
        let text: String = self.lines().map(|(_, line)| line).collect();
        let [one, two, three, four, five, six, seven, eight, ..] = hash(&text);
        let bytes = [one, two, three, four, five, six, seven, eight];
        SettingsDigest(u64::from_le_bytes(bytes))
    }

    /// Each key with its mark.
    pub(super) fn marks(&self) -> impl Iterator<Item = (&'static str, KeyMark)> {
        self.lines().map(|(key, line)| {
            let [one, two, three, four, ..] = hash(&line);
            (key, KeyMark(u32::from_le_bytes([one, two, three, four])))
        })
    }

    fn lines(&self) -> impl Iterator<Item = (&'static str, String)> {
        let line = |(key, value): &(&'static str, String)| (*key, format!("{key}={value}\n"));
        self.0.iter().map(line)
    }
}

fn hash(text: &str) -> [u8; 32] {
    Blake2s256::digest(text).into()
}

/// In the order of their texts, whatever order endpoints have otherwise.
fn list(endpoints: &BTreeSet<Endpoint>) -> String {
    let texts: BTreeSet<String> = endpoints.iter().map(ToString::to_string).collect();
    let texts: Vec<String> = texts.into_iter().collect();
    texts.join(",")
}

fn span(span: Duration) -> String {
    format!("{}ns", span.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::super::ground_tests::{endpoint, milliseconds, policy};
    use super::super::rescue::RescueLimits;
    use super::*;

    fn digest(policy: &GroupPolicy) -> SettingsDigest {
        Canonical::of(policy).digest()
    }

    #[test]
    fn how_long_a_lease_is_counts_where_one_is_needed() {
        let of = |fencing, lease| {
            digest(&GroupPolicy {
                fencing,
                lease: milliseconds(lease),
                ..policy()
            })
        };
        assert_ne!(of(Fencing::Strict, 800), of(Fencing::Strict, 700));
        assert_eq!(of(Fencing::Fast, 800), of(Fencing::Fast, 700));
    }

    #[test]
    fn a_digest_is_the_same_wherever_and_whenever_it_is_made() {
        // Known once: another value would part nodes of two versions from each other.
        assert_eq!(
            digest(&policy()),
            SettingsDigest(16_181_897_214_471_528_323)
        );
        let marks: Vec<_> = Canonical::of(&policy()).marks().take(2).collect();
        assert_eq!(
            marks,
            [
                ("INSTANCES", KeyMark(837_352_918)),
                ("EXCLUDE", KeyMark(1_429_673_071))
            ]
        );
    }

    #[test]
    fn how_a_rescue_is_bounded_counts_where_there_is_one() {
        let rescuing = GroupPolicy {
            rescue: true,
            ..policy()
        };
        let mut digests = vec![digest(&policy()), digest(&rescuing)];
        for limits in [
            RescueLimits {
                size_max: 1,
                ..rescuing.rescue_limits
            },
            RescueLimits {
                lasts_max: milliseconds(5),
                ..rescuing.rescue_limits
            },
        ] {
            let with = |rescue| GroupPolicy {
                rescue,
                rescue_limits: limits,
                ..policy()
            };
            assert_eq!(digest(&with(false)), digest(&policy()));
            digests.push(digest(&with(true)));
        }
        digests.sort_by_key(|digest| digest.0);
        digests.dedup();
        assert_eq!(digests.len(), 4, "each is another one");
    }

    #[test]
    fn what_readers_are_not_told_of_is_compared_where_there_is_a_limit() {
        let limited = GroupPolicy {
            readers_lag_max: Some(1),
            ..policy()
        };
        assert_ne!(digest(&limited), digest(&policy()));
    }

    #[test]
    fn each_setting_changes_the_digest_and_the_mark_of_its_own_key_alone() {
        type Change = fn(&mut GroupPolicy);
        let changes: &[(&str, Change)] = &[
            ("INSTANCES", |it| it.instances = [endpoint("a")].into()),
            ("EXCLUDE", |it| it.excluded = [endpoint("a")].into()),
            ("QUORUM", |it| it.quorum = 3),
            ("DOWN_AFTER", |it| it.down_after = milliseconds(999)),
            ("GONE_AFTER", |it| it.gone_after = milliseconds(21)),
            ("EXITED", |it| it.exited = false),
            ("REPLICA_VETO_MAX", |it| {
                it.replica_veto_max = milliseconds(1)
            }),
            ("FENCING", |it| it.fencing = Fencing::Off),
            ("ISOLATION_AFTER", |it| it.isolation_after = milliseconds(2)),
            ("GUARD", |it| it.guard = true),
            ("GONE_LOSS_MAX", |it| it.gone_loss_max = 0),
            ("PARALLEL_SYNCS", |it| it.parallel_syncs = 2),
            ("LAG_MAX", |it| it.lag_max = Some(0)),
            ("PROMOTE_TIMEOUT", |it| it.promote_timeout = milliseconds(3)),
            ("COOLDOWN", |it| it.cooldown = milliseconds(4)),
            ("FAILOVERS_MAX", |it| it.failovers_max = 0),
            ("TAKE_OVER", |it| it.take_over = true),
        ];
        let before = policy();
        let marks = |policy: &GroupPolicy| Canonical::of(policy).marks().collect::<Vec<_>>();
        let keys: Vec<&str> = marks(&before).into_iter().map(|(key, _)| key).collect();
        let changed: Vec<&str> = changes.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, changed, "each key is here");
        for (key, change) in changes {
            let mut after = before.clone();
            change(&mut after);
            assert_ne!(digest(&after), digest(&before), "{key}");
            let pairs = marks(&before).into_iter().zip(marks(&after));
            let differing: Vec<&str> = pairs
                .filter(|(one, other)| one != other)
                .map(|((key, _), _)| key)
                .collect();
            assert_eq!(differing, [*key]);
        }
    }
}
