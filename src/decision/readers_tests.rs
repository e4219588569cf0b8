//! When readers are told of a replica, and when no longer.

use super::*;
use crate::decision::ground_tests::{
    endpoint, group_name, master_info, milliseconds, node, policy, records, register, replica_info,
    watch_reading, watches,
};
use crate::model::{InstanceInfo, MasterLink, Role};
use ReplicaHealth::{Behind, Detached, Down, Healthy, Unknown};

const LAG_MAX: u64 = 1000;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A line that was well at first, and what it is told as after each of these looks: seconds from the start,
/// what is seen, and how far behind that is.
fn told_after(looks: &[(u64, Seen)]) -> Vec<ReplicaHealth> {
    let start = Instant::now();
    let readings: VecDeque<_> = [(start, ReplicationOffset(1_000_000))].into();
    let sight = |seen| match seen {
        Seen::Unsure => Sight::Unsure,
        Seen::Down => Sight::Down,
        Seen::Detached => Sight::Detached,
        Seen::BehindBy(lag) => Sight::Follows(start, Some(ReplicationOffset(1_000_000 - lag))),
    };
    let mut line = Line::new(sight(Seen::BehindBy(0)), &readings, Some(LAG_MAX));
    let mut told = Vec::new();
    for (second, seen) in looks {
        let before = line.health;
        let at = start + seconds(*second);
        let changed = line.judge(sight(*seen), &readings, Some(LAG_MAX), at);
        assert_eq!(changed, line.health != before);
        told.push(line.health);
    }
    told
}

#[derive(Clone, Copy)]
enum Seen {
    Unsure,
    Down,
    Detached,
    BehindBy(u64),
}

#[test]
fn who_is_down_is_left_out_at_once_and_others_when_it_lasts() {
    use Seen::{BehindBy, Unsure};
    let well = BehindBy(0);
    for (looks, told) in [
        (&[(1, Seen::Down)][..], &[Down][..]),
        (
            &[
                (1, Seen::Detached),
                (3, Seen::Detached),
                (4, Seen::Detached),
            ],
            &[Healthy, Healthy, Detached],
        ),
        // A master that is being replaced: it follows the new one soon.
        (
            &[(1, Seen::Detached), (3, well), (4, Seen::Detached)],
            &[Healthy, Healthy, Healthy],
        ),
        // Doubt is no sign that it is well again.
        (
            &[(1, Seen::Detached), (2, Unsure), (4, Seen::Detached)],
            &[Healthy, Healthy, Detached],
        ),
        (
            &[(1, BehindBy(LAG_MAX)), (9, BehindBy(LAG_MAX))],
            &[Healthy, Healthy],
        ),
        (
            &[(1, BehindBy(LAG_MAX + 1)), (4, BehindBy(LAG_MAX + 1))],
            &[Healthy, Behind],
        ),
        (&[(1, Unsure), (100, Unsure)], &[Healthy, Healthy]),
    ] {
        assert_eq!(told_after(looks), told);
    }
}

#[test]
fn who_was_left_out_is_told_of_again_when_it_has_been_well_for_a_while() {
    use Seen::{BehindBy, Unsure};
    let well = BehindBy(0);
    let down = (0, Seen::Down);
    for (looks, told) in [
        (&[down, (1, well), (5, well), (6, well)][..], Healthy),
        (&[down, (1, well), (5, well)], Down),
        (&[down, (1, well), (3, Unsure), (6, well)], Down),
        (&[down, (1, well), (3, Seen::Down), (6, well)], Down),
        // Why it is left out is told too, when that lasts.
        (&[down, (1, Seen::Detached), (4, Seen::Detached)], Detached),
        (&[down, (1, Seen::Detached), (3, Seen::Detached)], Down),
    ] {
        assert_eq!(told_after(looks).last(), Some(&told), "{}", looks.len());
    }
}

#[test]
fn who_is_behind_comes_back_at_half_of_the_limit() {
    use Seen::BehindBy;
    let late = |lag| {
        [
            (0, BehindBy(2000)),
            (3, BehindBy(2000)),
            (4, BehindBy(lag)),
            (99, BehindBy(lag)),
        ]
    };
    assert_eq!(told_after(&late(LAG_MAX / 2 + 1)).last(), Some(&Behind));
    assert_eq!(told_after(&late(LAG_MAX / 2)).last(), Some(&Healthy));
}

#[test]
fn who_goes_again_and_again_has_to_be_well_for_ever_longer() {
    let mut looks = Vec::new();
    let mut second = 0;
    for _ in 0..9 {
        looks.push((second, Seen::Down));
        looks.push((second + 1, Seen::BehindBy(0)));
        second += 1 + 300;
        looks.push((second, Seen::BehindBy(0)));
    }
    // Never longer than that.
    assert!(
        told_after(&looks)
            .iter()
            .step_by(3)
            .all(|told| *told == Down)
    );
    assert!(
        told_after(&looks)
            .iter()
            .skip(2)
            .step_by(3)
            .all(|told| *told == Healthy)
    );
    let returns_after = |departures: u64, wait: u64| {
        let mut looks = Vec::new();
        for departure in 0..departures {
            looks.push((departure * 400, Seen::Down));
            looks.push((departure * 400 + 1, Seen::BehindBy(0)));
            let wait = if departure + 1 == departures {
                wait
            } else {
                399
            };
            looks.push((departure * 400 + 1 + wait, Seen::BehindBy(0)));
        }
        *told_after(&looks).last().unwrap()
    };
    for (departures, wait) in [(1, 5), (2, 10), (3, 20), (7, 300)] {
        assert_eq!(returns_after(departures, wait - 1), Down, "{departures}");
        assert_eq!(returns_after(departures, wait), Healthy, "{departures}");
    }
}

#[test]
fn lag_is_what_the_master_had_before_the_replica_was_asked() {
    let start = Instant::now();
    let at = |ms| start + milliseconds(ms);
    let readings: VecDeque<_> = [(at(0), 500), (at(1000), 900), (at(2000), 5000)]
        .map(|(at, offset)| (at, ReplicationOffset(offset)))
        .into();
    for (asked, own, lag) in [
        (1000, Some(900), Some(0)),
        (1999, Some(800), Some(100)),
        // It went on meanwhile.
        (1500, Some(1200), Some(0)),
        (2500, Some(1200), Some(3800)),
        (2500, None, None),
    ] {
        let sight = Sight::Follows(at(asked), own.map(ReplicationOffset));
        assert_eq!(Line::new(sight, &readings, None).lag_bytes, lag, "{asked}");
    }
    let before = Sight::Follows(start - milliseconds(1), Some(ReplicationOffset(1)));
    assert_eq!(Line::new(before, &readings, None).lag_bytes, None);
}

/// A group of `a`, its master, and two more that say this.
fn group(b: InstanceInfo, c: Option<InstanceInfo>, now: Instant) -> Group {
    let mut group = Group::new(group_name(), node("n1"), policy(), now);
    let mut all = vec![
        watch_reading("a", master_info(1, 1, 1000), now),
        watch_reading("b", b, now),
    ];
    all.extend(c.map(|info| watch_reading("c", info, now)));
    group.watches = watches(all);
    group
}

fn record() -> GroupRecord {
    records([register()]).get(&group_name()).unwrap().clone()
}

#[test]
fn a_publication_tells_what_is_seen_and_a_later_look_only_what_changed() {
    let now = Instant::now();
    let (name, record) = (group_name(), record());
    let others = ["b", "c"].map(endpoint);
    let copies = |info: InstanceInfo| InstanceInfo {
        role: Role::Replica {
            master: endpoint("a"),
            link: MasterLink::Syncing,
        },
        ..info
    };
    let replica = || replica_info(2, 1, 990, "a");
    for (b, c, told) in [
        (replica(), None, [Healthy, Unknown]),
        (
            copies(replica()),
            Some(replica_info(3, 1, 0, "a")),
            [Detached, Healthy],
        ),
        (
            replica_info(2, 1, 990, "z"),
            Some(master_info(3, 1, 0)),
            [Detached, Detached],
        ),
    ] {
        let group = group(b, c, now);
        let mut readers = Readers::default();
        let master = (record.epoch(), &endpoint("a"));
        let replicas = readers.publish(&name, master, &others, Some((&group, &record)), now);
        let health: Vec<_> = replicas.iter().map(|replica| replica.health).collect();
        assert_eq!(health, told);
        assert_eq!(readers.told(&name), replicas);
        let groups = [(name.clone(), group)].into();
        assert_eq!(readers.look(&groups, &records([register()]), now), []);
    }
}

#[test]
fn a_replica_keeps_its_standing_over_a_change_of_the_master() {
    let now = Instant::now();
    let (name, record) = (group_name(), record());
    let group = group(replica_info(2, 1, 990, "z"), None, now);
    let mut readers = Readers::default();
    let known = Some((&group, &record));
    let mut publish = |master: &str, others: &[&str], known| {
        let others: Vec<Endpoint> = others.iter().map(|it| endpoint(it)).collect();
        let told = readers.publish(
            &name,
            (record.epoch(), &endpoint(master)),
            &others,
            known,
            now,
        );
        told.iter().map(|it| it.health).collect::<Vec<_>>()
    };
    assert_eq!(publish("c", &["a", "b"], None), [Unknown, Unknown]);
    // It follows somebody else, for a moment.
    assert_eq!(publish("a", &["b", "c"], known), [Unknown, Unknown]);
}
