//! The guard step by step, its orders carried out by hand.

use super::super::entry::Identity;
use super::super::ground_tests::*;
use super::super::record::Records;
use super::*;

const MASTER: u8 = 1;

/// A guard whose orders are carried out, or not, by hand.
struct Bench {
    guard: Guard,
    records: Records,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            guard: Guard::default(),
            records: records([register()]),
            start: Instant::now(),
        }
    }

    fn commit(&mut self, entry: Option<Entry>) {
        self.records.apply(entry.expect("something to commit"));
    }

    /// The tasks given at `at` milliseconds, with the lives and standings of `b` and `c`.
    fn poll(
        &mut self,
        wanted: bool,
        others: &[(&str, u8, Standing)],
        at: u64,
    ) -> (Vec<GuardOrder>, Option<Entry>) {
        let others = others
            .iter()
            .map(|(name, life, standing)| (endpoint(name), (run_id(*life), *standing)))
            .collect();
        let record = self.records.get(&group_name()).unwrap();
        let now = self.start + milliseconds(at);
        self.guard.poll(&group_name(), record, wanted, &others, now)
    }

    fn tasks(&mut self, wanted: bool, others: &[(&str, u8, Standing)], at: u64) -> Vec<String> {
        let (orders, _) = self.poll(wanted, others, at);
        orders.iter().map(describe).collect()
    }

    fn end(
        &mut self,
        name: &str,
        life: u8,
        task: GuardTask,
        failure: Option<CommandFailure>,
    ) -> Option<String> {
        let order = GuardOrder {
            group: group_name(),
            epoch: Epoch(1),
            endpoint: endpoint(name),
            run_id: run_id(life),
            task,
        };
        let result = failure.map_or(Ok(()), Err);
        self.guard.on_outcome(&GuardOutcome { order, result })
    }

    fn login(&self, wanted: bool) -> Option<Login> {
        let record = self.records.get(&group_name()).unwrap();
        self.guard.login(record, wanted)
    }
}

fn describe(order: &GuardOrder) -> String {
    format!("{} {:?}", order.endpoint.host(), order.task)
}

fn denied() -> Option<CommandFailure> {
    Some(CommandFailure::Denied("NOPERM".to_owned()))
}

const BOTH: [(&str, u8, Standing); 2] = [("b", 2, Standing::Follows), ("c", 3, Standing::Joins)];

/// A group whose master admits its replicas.
fn admitted() -> Bench {
    let mut bench = Bench::new();
    let (_, entry) = bench.poll(true, &BOTH, 0);
    bench.commit(entry);
    bench.poll(true, &BOTH, 1);
    bench.end("a", MASTER, GuardTask::Admit, None);
    bench
}

/// One whose replicas are armed too.
fn armed() -> Bench {
    let mut bench = admitted();
    bench.poll(true, &BOTH, 2);
    bench.end("b", 2, GuardTask::Arm, None);
    bench.end("c", 3, GuardTask::Arm, None);
    bench
}

#[test]
fn a_group_that_wants_no_guard_is_left_alone() {
    let mut bench = Bench::new();
    assert_eq!(bench.poll(false, &BOTH, 0), (Vec::new(), None));
    assert_eq!(bench.login(false), Some(Login::Kept));
}

#[test]
fn nothing_is_changed_before_the_log_says_so_and_no_replica_before_the_master() {
    let mut bench = Bench::new();
    let (orders, entry) = bench.poll(true, &BOTH, 0);
    assert_eq!(orders, Vec::new());
    assert_eq!(bench.login(true), Some(Login::Kept));
    bench.commit(entry);
    assert_eq!(bench.login(true), None);
    assert_eq!(bench.tasks(true, &BOTH, 1), ["a Admit"]);
    assert_eq!(bench.tasks(true, &BOTH, 2), Vec::<String>::new());
    assert_eq!(bench.login(true), None);
    bench.end("a", MASTER, GuardTask::Admit, None);
    assert_eq!(bench.login(true), Some(Login::Guard));
    assert_eq!(bench.tasks(true, &BOTH, 3), ["b Arm", "c Arm"]);
    assert_eq!(bench.tasks(true, &BOTH, 4), Vec::<String>::new());
}

#[test]
fn only_what_follows_the_master_is_armed() {
    for (standing, is_armed) in [
        (Standing::Follows, true),
        (Standing::Joins, true),
        (Standing::Astray, false),
        (Standing::Rogue, false),
        (Standing::Stranger, false),
    ] {
        let tasks = admitted().tasks(true, &[("b", 2, standing)], 10);
        assert_eq!(tasks == ["b Arm"], is_armed, "{standing:?} {tasks:?}");
    }
}

#[test]
fn a_replica_that_restarted_is_armed_again() {
    let mut bench = armed();
    let restarted = [("b", 9, Standing::Follows), ("c", 3, Standing::Follows)];
    assert_eq!(bench.tasks(true, &restarted, 10), ["b Arm"]);
}

#[test]
fn a_master_that_cannot_know_its_replicas_has_them_all_the_same() {
    let mut bench = Bench::new();
    let (_, entry) = bench.poll(true, &BOTH, 0);
    bench.commit(entry);
    bench.poll(true, &BOTH, 1);
    let told = bench.end("a", MASTER, GuardTask::Admit, denied());
    let why = "cannot be given a user for its replicas: access denied: NOPERM";
    assert_eq!(told.as_deref(), Some(why));
    assert_eq!(bench.login(true), Some(Login::Own));
    assert_eq!(bench.tasks(true, &BOTH, 10), ["b Release", "c Release"]);
    // Tried again, and told once.
    assert_eq!(bench.tasks(true, &BOTH, 5000), Vec::<String>::new());
    assert_eq!(bench.tasks(true, &BOTH, 5001), ["a Admit"]);
    assert_eq!(bench.end("a", MASTER, GuardTask::Admit, denied()), None);
    bench.end("a", MASTER, GuardTask::Admit, None);
    assert_eq!(bench.login(true), Some(Login::Guard));
}

#[test]
fn nobody_is_made_to_follow_a_master_that_may_be_another_process_by_now() {
    for failure in [
        CommandFailure::OtherProcess(run_id(9)),
        CommandFailure::Lost("closed".to_owned()),
        CommandFailure::TimedOut,
        CommandFailure::Loading,
    ] {
        let mut bench = Bench::new();
        let (_, entry) = bench.poll(true, &BOTH, 0);
        bench.commit(entry);
        bench.poll(true, &BOTH, 1);
        bench.end("a", MASTER, GuardTask::Admit, Some(failure));
        assert_eq!(bench.login(true), None);
        assert_eq!(bench.tasks(true, &BOTH, 500), Vec::<String>::new());
        assert_eq!(bench.tasks(true, &BOTH, 501), ["a Admit"]);
        assert_eq!(bench.login(true), None);
        bench.end("a", MASTER, GuardTask::Admit, None);
        assert_eq!(bench.login(true), Some(Login::Guard));
    }
}

#[test]
fn what_somebody_undid_is_done_again_and_sooner_when_a_link_is_down() {
    let mut bench = armed();
    let well = [("b", 2, Standing::Follows), ("c", 3, Standing::Follows)];
    assert_eq!(bench.tasks(true, &well, 59_000), Vec::<String>::new());
    assert_eq!(
        bench.tasks(true, &well, 60_002),
        ["a Admit", "b Arm", "c Arm"]
    );
    // What was done holds meanwhile.
    assert_eq!(bench.login(true), Some(Login::Guard));
    assert_eq!(
        armed().tasks(true, &BOTH, 2002),
        ["a Admit", "b Arm", "c Arm"]
    );
}

#[test]
fn another_process_in_the_masters_place_is_not_the_one_that_was_admitted() {
    let mut bench = armed();
    let identity = Identity::of(endpoint("a"), &master_info(7, 7, 0));
    bench.records.apply(Entry::Identify {
        group: group_name(),
        epoch: Epoch(1),
        master: identity,
    });
    assert_eq!(bench.login(true), None);
    assert_eq!(bench.tasks(true, &BOTH, 10), ["a Admit"]);
    // What is still said of the process before it counts for nothing.
    bench.end("a", MASTER, GuardTask::Admit, None);
    assert_eq!(bench.login(true), None);
}

#[test]
fn a_guard_that_is_switched_off_leaves_no_trace() {
    let mut bench = armed();
    assert_eq!(bench.login(false), Some(Login::Own));
    assert_eq!(
        bench.tasks(false, &BOTH[..1], 10),
        ["b Release", "a Release"]
    );
    bench.end("a", MASTER, GuardTask::Release, None);
    bench.end("b", 2, GuardTask::Release, None);
    // Somebody is missing who may show it still.
    assert_eq!(bench.poll(false, &BOTH[..1], 20), (Vec::new(), None));
    assert_eq!(bench.tasks(false, &BOTH, 30), ["c Release"]);
    bench.end("c", 3, GuardTask::Release, None);
    assert_eq!(bench.tasks(false, &BOTH, 40), ["a Close"]);
    assert_eq!(bench.poll(false, &BOTH, 50), (Vec::new(), None));
    bench.end("a", MASTER, GuardTask::Close, None);
    let (orders, entry) = bench.poll(false, &BOTH, 60);
    assert_eq!(orders, Vec::new());
    bench.commit(entry);
    assert_eq!(bench.poll(false, &BOTH, 70), (Vec::new(), None));
    assert_eq!(bench.login(false), Some(Login::Kept));
}

#[test]
fn the_overview_counts_those_that_only_this_master_can_feed() {
    let mut bench = admitted();
    let all = BOTH
        .iter()
        .map(|(name, life, standing)| (endpoint(name), (run_id(*life), *standing)))
        .collect();
    bench.poll(true, &BOTH, 2);
    bench.end("b", 2, GuardTask::Arm, None);
    bench.end("c", 3, GuardTask::Arm, denied());
    let record = bench.records.get(&group_name()).unwrap();
    let overview = bench.guard.overview(record, &all);
    let trouble = "cannot be given a login for its master: access denied: NOPERM".to_owned();
    assert_eq!(
        overview,
        GuardOverview {
            admitted: true,
            armed: 1,
            replicas: 2,
            troubles: vec![(endpoint("c"), trouble)],
        }
    );
}
