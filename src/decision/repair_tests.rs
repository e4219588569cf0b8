//! Tables of instances, how they stand to the master, and what they are told to do.

use super::super::ground_tests::*;
use super::super::{CommandFailure, Entry, Records};
use super::*;

/// Epoch 2: `b` took the place of `a` at offset 900.
fn promoted() -> Records {
    let candidate = replica_info(2, 1, 900, "a");
    records([
        register(),
        Entry::Begin(begin(2, identity_of_a(), "b", &candidate)),
        done(2, master_b()),
    ])
}

fn master_b() -> Identity {
    Identity::of(endpoint("b"), &continuing(master_info(2, 2, 900), 1, 901))
}

fn with_link(info: InstanceInfo, master: &str, link: MasterLink) -> InstanceInfo {
    let master = endpoint(master);
    InstanceInfo {
        role: Role::Replica { master, link },
        ..info
    }
}

fn empty(info: InstanceInfo) -> InstanceInfo {
    InstanceInfo {
        has_keys: false,
        ..info
    }
}

#[test]
fn each_instance_stands_to_the_master_in_one_way() {
    use Standing::{Astray, Follows, Joins, Rogue, Stranger};
    let records = promoted();
    let record = records.get(&group_name()).unwrap();
    let replica = || replica_info(3, 2, 950, "b");
    for (name, place, info, expected) in [
        ("a replica with its stream", "c", replica(), Follows),
        (
            "one that copies",
            "c",
            with_link(replica(), "b", MasterLink::Syncing),
            Joins,
        ),
        (
            "one whose link is down",
            "c",
            with_link(replica(), "b", MasterLink::Down { seconds: Some(3) }),
            Joins,
        ),
        (
            "one that has the master by another name",
            "c",
            replica_info(3, 2, 950, "b-alias"),
            Follows,
        ),
        (
            "a replica of the old master",
            "c",
            replica_info(3, 1, 900, "a"),
            Astray,
        ),
        (
            "a replica of a stranger",
            "c",
            replica_info(3, 9, 900, "z"),
            Astray,
        ),
        (
            "an unlisted one that was given to another group",
            "d",
            replica_info(4, 9, 900, "z"),
            Stranger,
        ),
        (
            "one that copies from that group for the first time",
            "d",
            with_link(replica_info(4, 1, 900, "a"), "z", MasterLink::Syncing),
            Stranger,
        ),
        (
            "an unlisted one that looks for the old master by a name that nobody knows",
            "d",
            with_link(
                replica_info(4, 1, 900, "a"),
                "a-alias",
                MasterLink::Down { seconds: Some(3) },
            ),
            Astray,
        ),
        (
            "a chained replica",
            "d",
            replica_info(4, 2, 950, "c"),
            Astray,
        ),
        (
            "the old master as it was",
            "a",
            master_info(1, 1, 950),
            Rogue,
        ),
        (
            "the old master, restarted from its AOF",
            "a",
            master_info(7, 9, 0),
            Rogue,
        ),
        (
            "the old master, restarted empty",
            "a",
            empty(master_info(7, 9, 0)),
            Rogue,
        ),
        (
            "a listed one, restarted empty",
            "c",
            empty(master_info(7, 9, 0)),
            Rogue,
        ),
        (
            "a listed one that never was a master, before it has read its file",
            "c",
            InstanceInfo {
                loading: Loading::Blocking,
                ..empty(master_info(7, 9, 0))
            },
            Stranger,
        ),
        (
            "a listed one that never was a master, with other data",
            "c",
            master_info(7, 9, 0),
            Stranger,
        ),
        (
            "one that somebody promoted by hand",
            "c",
            continuing(master_info(3, 9, 990), 2, 951),
            Rogue,
        ),
        (
            "an unlisted one with the group's history",
            "d",
            master_info(4, 2, 950),
            Rogue,
        ),
        (
            "an unlisted one without data",
            "d",
            empty(master_info(4, 9, 0)),
            Stranger,
        ),
        (
            "an unlisted one with other data",
            "d",
            master_info(4, 9, 0),
            Stranger,
        ),
    ] {
        let aliases = [(endpoint("b-alias"), endpoint("b"))].into();
        let found = standing(&endpoint(place), &info, record, &policy(), &aliases);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn the_loss_is_what_the_old_life_holds_beyond_the_parting() {
    let from = identity_of_a();
    for (name, info, expected) in [
        ("nothing lost", master_info(1, 1, 900), Some(0)),
        ("some bytes", master_info(1, 1, 912), Some(12)),
        ("less than the new one", master_info(1, 1, 800), Some(0)),
        ("another life", master_info(7, 1, 912), None),
        ("another history", master_info(1, 9, 912), None),
    ] {
        let found = loss(&master_b(), &from, info.run_id, &info.history);
        assert_eq!(found, expected, "{name}");
    }
    let info = master_info(1, 1, 912);
    assert_eq!(loss(&from, &from, info.run_id, &info.history), None);
}

struct Bench {
    repair: Repair,
    records: Records,
    parallel: usize,
    start: Instant,
}

impl Bench {
    fn new(parallel: usize) -> Self {
        Self {
            repair: Repair::default(),
            records: promoted(),
            parallel,
            start: Instant::now(),
        }
    }

    /// Whom the instances of these standings are told to follow, each read 1 ms before.
    fn poll(&mut self, standings: &[(&str, Standing)], at: u64) -> Vec<FollowOrder> {
        let now = self.start + milliseconds(at);
        let read_at = now - milliseconds(1);
        let all: Vec<(Standing, Watch)> = standings
            .iter()
            .map(|(name, standing)| {
                let info = replica_info(3, 1, 900, "a");
                (*standing, watch_reading(name, info, read_at))
            })
            .collect();
        let standings = all
            .iter()
            .map(|(standing, watch)| (watch.endpoint().clone(), (*standing, watch)))
            .collect();
        let record = self.records.get(&group_name()).unwrap();
        self.repair.poll(
            &group_name(),
            record,
            self.parallel,
            &standings,
            Some(Login::Kept),
            now,
        )
    }

    fn names(&mut self, standings: &[(&str, Standing)], at: u64) -> Vec<String> {
        self.poll(standings, at)
            .iter()
            .map(|order| order.endpoint.host().to_owned())
            .collect()
    }

    /// Whether the outcome is news.
    fn finish(&mut self, order: &FollowOrder, result: Result<(), CommandFailure>) -> bool {
        self.repair.on_outcome(&FollowOutcome {
            order: order.clone(),
            result: result.map(|()| None),
        })
    }
}

#[test]
fn a_process_that_an_epoch_chose_is_of_the_group_whatever_it_copied_before_its_promotion() {
    let candidate = replica_info(3, 1, 900, "a");
    let records = records([
        register(),
        Entry::Begin(begin(2, identity_of_a(), "c", &candidate)),
        abort(2),
    ]);
    let record = records.get(&group_name()).unwrap();
    for (life, expected) in [(3, Standing::Rogue), (7, Standing::Stranger)] {
        let info = master_info(life, 9, 40);
        let found = standing(&endpoint("c"), &info, record, &policy(), &BTreeMap::new());
        assert_eq!(found, expected, "{life}");
    }
}

#[test]
fn an_order_names_the_process_that_is_meant_and_the_epoch() {
    let mut bench = Bench::new(1);
    let orders = bench.poll(&[("a", Standing::Rogue), ("c", Standing::Astray)], 10);
    let order = |name, demotes| FollowOrder {
        group: group_name(),
        epoch: crate::model::Epoch(2),
        endpoint: endpoint(name),
        run_id: run_id(3),
        master: endpoint("b"),
        demotes,
        restores: None,
        login: Login::Kept,
    };
    assert_eq!(orders, [order("a", true), order("c", false)]);
}

#[test]
fn only_the_astray_and_the_rogue_are_told_anything() {
    let mut bench = Bench::new(9);
    let standings = [
        ("d", Standing::Follows),
        ("e", Standing::Joins),
        ("f", Standing::Stranger),
    ];
    assert_eq!(bench.names(&standings, 10), Vec::<String>::new());
}

#[test]
fn replicas_are_repointed_so_many_at_a_time_and_masters_demoted_all_at_once() {
    let astray = [
        ("c", Standing::Astray),
        ("d", Standing::Astray),
        ("e", Standing::Astray),
        ("x", Standing::Rogue),
        ("y", Standing::Rogue),
    ];
    assert_eq!(Bench::new(2).names(&astray, 10), ["c", "d", "x", "y"]);
    assert_eq!(Bench::new(0).names(&astray, 10), ["x", "y"]);

    let mut bench = Bench::new(1);
    let first = bench.poll(&astray[..3], 10);
    assert_eq!(bench.names(&astray[..3], 20), Vec::<String>::new());
    bench.finish(&first[0], Ok(()));
    let mut joining = astray;
    joining[0].1 = Standing::Joins;
    assert_eq!(bench.names(&joining[..3], 30), Vec::<String>::new());
    joining[0].1 = Standing::Follows;
    assert_eq!(bench.names(&joining[..3], 40), ["d"]);
}

#[test]
fn one_that_never_gets_its_stream_does_not_keep_the_others_waiting() {
    let mut bench = Bench::new(1);
    let first = bench.poll(&[("c", Standing::Astray), ("d", Standing::Astray)], 10);
    bench.finish(&first[0], Ok(()));
    let joining = [("c", Standing::Joins), ("d", Standing::Astray)];
    assert_eq!(bench.names(&joining, 2009), Vec::<String>::new());
    assert_eq!(bench.names(&joining, 2010), ["d"]);
}

#[test]
fn an_order_is_given_again_when_it_is_done_and_had_no_effect_for_a_while() {
    let mut bench = Bench::new(1);
    let astray = [("c", Standing::Astray)];
    let order = bench.poll(&astray, 10).remove(0);
    assert_eq!(bench.names(&astray, 9000), Vec::<String>::new());
    let denied = CommandFailure::Denied("NOPERM".to_owned());
    bench.finish(&order, Err(denied));
    assert_eq!(
        bench.repair.error(&endpoint("c")),
        Some("access denied: NOPERM: allow it to the user that promoterd logs in as")
    );
    assert_eq!(bench.names(&astray, 511), Vec::<String>::new());
    let order = bench.poll(&astray, 512).remove(0);
    // It stands until it is known to be otherwise.
    assert!(bench.repair.error(&endpoint("c")).is_some());
    bench.finish(&order, Ok(()));
    assert_eq!(bench.repair.error(&endpoint("c")), None);
}

#[test]
fn what_an_order_failed_with_is_no_trouble_of_one_that_follows_all_the_same() {
    let mut bench = Bench::new(1);
    let orders = bench.poll(&[("c", Standing::Astray)], 0);
    bench.finish(&orders[0], Err(CommandFailure::TimedOut));
    assert!(bench.repair.error(&endpoint("c")).is_some());
    // Somebody else's order had reached its new process.
    assert_eq!(
        bench.names(&[("c", Standing::Follows)], 10),
        Vec::<String>::new()
    );
    assert_eq!(bench.repair.error(&endpoint("c")), None);
}

#[test]
fn what_does_not_pass_by_itself_is_tried_less_and_less_and_told_once() {
    let denied = CommandFailure::Denied("NOPERM".to_owned());
    let unknown = CommandFailure::Refused("ERR unknown command 'REPLICAOF'".to_owned());
    let astray = [("c", Standing::Astray)];
    let cases = [
        (denied, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]),
        (unknown, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]),
        (CommandFailure::Loading, [500; 7]),
    ];
    for (failure, waits) in cases {
        let mut bench = Bench::new(1);
        let mut at = 10;
        for (round, wait) in waits.into_iter().enumerate() {
            let order = bench.poll(&astray, at).remove(0);
            assert_eq!(
                bench.finish(&order, Err(failure.clone())),
                round == 0,
                "{}",
                failure
            );
            assert_eq!(bench.names(&astray, at + wait + 1), Vec::<String>::new());
            at += wait + 2;
        }
        let order = bench.poll(&astray, at).remove(0);
        assert!(bench.finish(&order, Ok(())), "success is news");
    }
}

#[test]
fn an_outcome_of_an_older_epoch_ends_no_order_of_this_one() {
    let mut bench = Bench::new(1);
    let astray = [("c", Standing::Astray)];
    let order = bench.poll(&astray, 10).remove(0);
    let older = FollowOrder {
        epoch: crate::model::Epoch(1),
        ..order.clone()
    };
    bench.finish(&older, Ok(()));
    assert_eq!(bench.names(&astray, 9000), Vec::<String>::new());
    bench.finish(&order, Ok(()));
    assert_eq!(bench.names(&astray, 9001), ["c"]);
}

#[test]
fn what_comes_of_an_order_is_worth_knowing_soon_for_a_while_unless_it_failed() {
    let mut bench = Bench::new(1);
    let at = |bench: &Bench, ms| bench.start + milliseconds(ms);
    assert!(!bench.repair.is_under_way(at(&bench, 10)));
    let order = bench.poll(&[("c", Standing::Astray)], 10).remove(0);
    bench.finish(&order, Ok(()));
    assert!(bench.repair.is_under_way(at(&bench, 2009)));
    assert!(!bench.repair.is_under_way(at(&bench, 2010)));
    let order = bench.poll(&[("c", Standing::Astray)], 3000).remove(0);
    bench.finish(&order, Err(CommandFailure::TimedOut));
    assert!(!bench.repair.is_under_way(at(&bench, 3001)));
}
