//! Tables: what a look at a candidate comes to, and how long to rest after failures.

use super::super::Records;
use super::super::ground_tests::*;
use super::*;

/// The candidate `b` as it was chosen: life 2, history 1, offset 900.
fn chosen() -> InstanceInfo {
    replica_info(2, 1, 900, "a")
}

fn look_at(info: &InstanceInfo) -> String {
    let begin = begin(2, identity_of_a(), "b", &chosen());
    let records = records([register(), Entry::Begin(begin)]);
    let mandate = records.get(&group_name()).unwrap().mandate().unwrap();
    match check(&mandate, info) {
        Check::AsChosen => "promote".to_owned(),
        Check::Promoted(identity) => format!("promoted, {}", identity.endpoint),
        Check::Unfit(why) => why.to_string(),
    }
}

#[test]
fn a_candidate_is_promoted_only_as_it_was_chosen() {
    let changed = "the candidate is not what it was when it was chosen";
    let refused = "the candidate could not be promoted";
    let loading = |loading| InstanceInfo {
        loading,
        ..chosen()
    };
    let cases = [
        ("as it was", chosen(), "promote".to_owned()),
        (
            "with more data",
            replica_info(2, 1, 901, "a"),
            "promote".to_owned(),
        ),
        (
            "restarted, with all its data",
            replica_info(3, 1, 900, "a"),
            format!(
                "{changed}: it restarted (run id {}, was {})",
                run_id(3),
                run_id(2)
            ),
        ),
        (
            "with less data",
            replica_info(2, 1, 899, "a"),
            format!("{changed}: its offset is 899, was 900"),
        ),
        (
            "with another history",
            replica_info(2, 9, 900, "a"),
            format!(
                "{changed}: its replication history is {}, was {}",
                history_id(9),
                history_id(1)
            ),
        ),
        (
            "loading",
            loading(Loading::Blocking),
            format!("{refused}: it is loading its data set"),
        ),
        (
            "loading beside its old data",
            loading(Loading::InBackground),
            format!("{refused}: it is loading its data set"),
        ),
        (
            "promoted by an earlier command of this epoch",
            continuing(master_info(2, 2, 900), 1, 901),
            "promoted, b:6379".to_owned(),
        ),
        (
            "promoted, and turned to another master since",
            continuing(replica_info(2, 2, 950, "c"), 1, 901),
            "promote".to_owned(),
        ),
        (
            "a master with another history",
            master_info(2, 9, 900),
            format!(
                "{changed}: its replication history is {}, was {}",
                history_id(9),
                history_id(1)
            ),
        ),
    ];
    for (name, info, expected) in cases {
        assert_eq!(look_at(&info), expected, "{name}");
    }
}

#[test]
fn the_first_abort_is_followed_at_once_and_later_ones_after_longer_and_longer_rests() {
    let mut records = records([register()]);
    let rest =
        |records: &Records| rest_after_aborts(records.get(&group_name()).unwrap()).as_millis();
    assert_eq!(rest(&records), 0);
    let expected = [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000];
    for (epoch, expected) in (2..).zip(expected) {
        records.apply(Entry::Begin(begin(epoch, identity_of_a(), "b", &chosen())));
        records.apply(abort(epoch));
        assert_eq!(rest(&records), expected, "epoch {epoch}");
    }
    for epoch in 11..60 {
        records.apply(Entry::Begin(begin(epoch, identity_of_a(), "b", &chosen())));
        records.apply(abort(epoch));
    }
    assert_eq!(rest(&records), 5000);
    let master = Identity::of(endpoint("b"), &continuing(master_info(2, 2, 900), 1, 901));
    records.apply(Entry::Begin(begin(60, identity_of_a(), "b", &chosen())));
    records.apply(done(60, master));
    assert_eq!(rest(&records), 0);
}

#[test]
fn only_an_open_epoch_is_taken_over() {
    let now = Instant::now();
    let timeout = milliseconds(2000);
    let mut records = records([register()]);
    let resumed = |records: &Records| {
        Failover::resume(records.get(&group_name()).unwrap(), timeout, now)
            .map(|failover| (failover.phase(), failover.next_deadline()))
    };
    assert_eq!(resumed(&records), None);
    records.apply(Entry::Begin(begin(2, identity_of_a(), "b", &chosen())));
    assert_eq!(resumed(&records), Some(("checking", Some(now + timeout))));
    records.apply(abort(2));
    assert_eq!(resumed(&records), None);
}
