//! Five hosts, and a network that fails: how long there are two masters, and what the loser takes.
//!
//! Needs root, for network namespaces. `PROMOTERD_LAB=full` plays every fault for 15 s.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use promoterd::model::Epoch;

use crate::cluster::Cluster;
use crate::process::eventually;
use crate::server::Server;

/// Two servers may take writes at once for so long.
const TWO_MASTERS_MAX: Duration = Duration::from_secs(1);
/// From the cut on, the loser may take writes for so long.
const LOSER_MAX: Duration = Duration::from_millis(1500);
/// From the end of the cut on, it may take so long until all follow one master.
const ONE_AGAIN_MAX: Duration = Duration::from_secs(1);
/// Time between two writes to one server.
const WRITE_INTERVAL: Duration = Duration::from_millis(5);

fn is_full() -> bool {
    std::env::var("PROMOTERD_LAB").is_ok_and(|value| value == "full")
}

fn start() -> Cluster {
    let mut cluster = Cluster::prepare_on_five_hosts();
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster
}

/// When a server took a write.
pub type Taken = Vec<Instant>;

/// Writes to every server from its own host, whatever it is, until `during` is over.
pub fn write_everywhere<T>(cluster: &Cluster, during: impl FnOnce() -> T) -> (T, Vec<Taken>) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = cluster
            .servers
            .iter()
            .map(|server| scope.spawn(|| write(server, &is_over)))
            .collect();
        let result = during();
        is_over.store(true, Ordering::Relaxed);
        let taken = writers.into_iter().map(|writer| writer.join().unwrap());
        (result, taken.collect())
    })
}

fn write(server: &Server, is_over: &AtomicBool) -> Taken {
    let mut taken = Taken::new();
    let mut connection = None;
    while !is_over.load(Ordering::Relaxed) {
        if connection.is_none() {
            connection = server.connect().ok();
        }
        if let Some(open) = &mut connection {
            let answer = redis::cmd("INCR").arg("writes").query::<i64>(open);
            match answer {
                Ok(_) => taken.push(Instant::now()),
                // A demotion disconnects its clients.
                Err(error) if error.is_io_error() => connection = None,
                Err(_) => {}
            }
        }
        thread::sleep(WRITE_INTERVAL);
    }
    taken
}

/// What a cut of the master's side came to.
struct Measured {
    two_masters: Duration,
    loser: Duration,
    one_again: Duration,
    taken_by_loser: usize,
}

/// Cuts by `netlab` with these words for `span`, with the master on the first host, until all is one
/// group again.
fn cut(cluster: &Cluster, words: &[&str], span: Duration) -> Measured {
    let lab = cluster.lab.as_ref().unwrap();
    let ((cut_at, healed_at, one_at), taken) = write_everywhere(cluster, || {
        let cut_at = Instant::now();
        lab.run(words);
        thread::sleep(span);
        lab.run(&["heal"]);
        let healed_at = Instant::now();
        let one_at = eventually("all follow one master", || {
            let master = all_follow_one(cluster)?;
            if master == 0 {
                return Err("it is still the old one".to_owned());
            }
            Ok(Instant::now())
        });
        (cut_at, healed_at, one_at)
    });
    let winner = (1..taken.len())
        .filter(|server| !taken[*server].is_empty())
        .collect::<Vec<_>>();
    assert_eq!(winner.len(), 1, "one new master took writes");
    let first = taken[winner[0]][0];
    let last = *taken[0].last().expect("the old master took writes");
    let late = taken[0].iter().filter(|at| **at > cut_at).count();
    Measured {
        two_masters: last.saturating_duration_since(first),
        loser: last.saturating_duration_since(cut_at),
        one_again: one_at.saturating_duration_since(healed_at),
        taken_by_loser: late,
    }
}

/// The position of the master that all others follow, as the servers say.
pub fn all_follow_one(cluster: &Cluster) -> Result<usize, String> {
    let mut masters = Vec::new();
    for (position, server) in cluster.servers.iter().enumerate() {
        if server.is_master()? {
            masters.push(position);
        }
    }
    let [master] = masters[..] else {
        return Err(format!("{masters:?} are masters"));
    };
    let endpoint = &cluster.servers[master].endpoint;
    for (position, server) in cluster.servers.iter().enumerate() {
        if position != master {
            server.follows(endpoint)?;
        }
    }
    Ok(master)
}

fn check_cut(words: &[&str]) {
    let cluster = start();
    let span = Duration::from_secs(if is_full() { 15 } else { 4 });
    let measured = cut(&cluster, words, span);
    let Measured {
        two_masters,
        loser,
        one_again,
        taken_by_loser,
    } = measured;
    eprintln!(
        "{words:?} for {span:?}: two masters for {two_masters:?}; the loser took writes for {loser:?} \
         ({taken_by_loser} of them); one group again {one_again:?} after the cut"
    );
    cluster.await_healthy(2);
    assert_eq!(cluster.failovers().len(), 1);
    assert!(two_masters <= TWO_MASTERS_MAX, "{two_masters:?}");
    assert!(loser <= LOSER_MAX, "{loser:?}");
    assert!(one_again <= ONE_AGAIN_MAX, "{one_again:?}");
    for server in &cluster.servers {
        let (_, limit): (String, String) = server.must(&["CONFIG", "GET", "min-replicas-to-write"]);
        assert_eq!(limit, "0", "{} is still fenced", server.endpoint);
    }
}

#[test]
fn a_minority_with_the_master_stops_taking_writes_and_is_one_with_the_others_after_the_cut() {
    check_cut(&["split", "1", "2"]);
}

#[test]
fn a_master_that_is_cut_off_alone_stops_taking_writes() {
    check_cut(&["split", "1"]);
}

#[test]
fn a_minority_that_is_not_heard_stops_taking_writes() {
    check_cut(&["split", "1", "2", "--out"]);
}

#[test]
fn a_minority_that_hears_nothing_stops_taking_writes() {
    check_cut(&["split", "1", "2", "--in"]);
}

/// Cuts the master's side off and heals it again and again.
fn flap(period: Duration) {
    let cluster = start();
    let lab = cluster.lab.as_ref().unwrap();
    let until = Instant::now() + Duration::from_secs(if is_full() { 15 } else { 6 });
    while Instant::now() < until {
        lab.run(&["split", "1", "2"]);
        thread::sleep(period);
        lab.run(&["heal"]);
        thread::sleep(period);
    }
    eventually("all follow one master", || all_follow_one(&cluster));
    eventually("all agree on the history", || {
        let count = cluster.daemons[0].failovers()?.len();
        cluster.check(u64::try_from(count).unwrap() + 1)
    });
    let failovers = cluster.failovers();
    eprintln!(
        "links that flap every {period:?}: {} failovers",
        failovers.len()
    );
    assert!(failovers.len() <= 1, "{failovers:?}");
}

#[test]
fn links_that_flap_every_700_ms_cost_no_more_than_one_failover() {
    flap(Duration::from_millis(700));
}

#[test]
fn links_that_flap_every_1500_ms_cost_no_more_than_one_failover() {
    flap(Duration::from_millis(1500));
}

#[test]
fn a_master_whose_link_goes_down_again_and_again_is_replaced_as_often_as_it_may_be() {
    let mut cluster = Cluster::prepare_on_five_hosts();
    cluster.set("GROUPS__FEATURES__FAILOVERS_MAX", "2");
    cluster.set("GROUPS__FEATURES__COOLDOWN", "0s");
    cluster.start_servers();
    cluster.start_daemons();
    let lab = cluster.lab.as_ref().unwrap();
    for epoch in 1..=3 {
        let master = cluster.await_healthy(epoch);
        lab.run(&["split", &(master + 1).to_string()]);
        // The daemon of another host is among the majority.
        let other = &cluster.daemons[(master + 1) % 5];
        other.await_status("it is replaced, or paused", |report| {
            let group = &report.groups[0];
            let is_replaced = group.epoch == Some(Epoch(epoch + 1)) && epoch < 3;
            let paused = group.paused.as_ref().filter(|_| epoch == 3);
            is_replaced
                || paused.is_some_and(|it| it.by == "promoterd, after 2 failovers within an hour")
        });
        lab.run(&["heal"]);
    }
    // It is the master still, and nobody else is.
    eventually("all follow one master", || all_follow_one(&cluster));
    assert_eq!(cluster.failovers().len(), 2);
    for daemon in &cluster.daemons {
        eventually("its status says why", || {
            let page = daemon.output("status");
            let page = String::from_utf8_lossy(&page.stdout).into_owned();
            let says = page.contains("after 2 failovers within an hour");
            says.then_some(()).ok_or(page)
        });
    }
}

#[test]
fn slow_and_uneven_links_cost_no_failover_and_no_fence() {
    let cluster = start();
    let lab = cluster.lab.as_ref().unwrap();
    for host in 1..=5 {
        lab.run(&["delay", &host.to_string(), "80", "40"]);
    }
    let span = Duration::from_secs(if is_full() { 15 } else { 5 });
    let ((), taken) = write_everywhere(&cluster, || thread::sleep(span));
    let longest = taken[0]
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]))
        .max();
    eprintln!("delays of 80 ± 40 ms for {span:?}: the longest pause of a writer was {longest:?}");
    assert!(longest.is_some_and(|pause| pause < Duration::from_millis(500)));
    lab.run(&["heal"]);
    cluster.await_healthy(1);
    cluster.assert_no_failover();
}
