//! Hosts of clients without Redis: an observer follows the voters, and hundreds of them cost one little.

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use promoterd::model::{Endpoint, Epoch, NodeId, UnixTime};
use promoterd::peer::{FollowEvent, FollowSettings, Follower, Knowledge};
use promoterd::status::{EngineRole, StatusReport};
use tokio::runtime::Builder;

use crate::cluster::{Cluster, local};
use crate::daemon::{Daemon, client_file};
use crate::hosts::Host;
use crate::process::{PATIENCE, eventually, free_port};
use crate::server::Kind;

/// From `Done` on a voter to the observer's file: what other tests leave of the machine is not much.
const TOLD_MAX: Duration = Duration::from_millis(400);

/// A cluster whose voters listen to observers, and where.
fn cluster() -> (Cluster, Vec<Endpoint>) {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let ports = listen(&mut cluster);
    (cluster, ports)
}

/// Starts a cluster that is prepared, its voters listening to observers.
fn listen(cluster: &mut Cluster) -> Vec<Endpoint> {
    let ports: Vec<Endpoint> = cluster.daemons.iter().map(|_| local(free_port())).collect();
    for (daemon, port) in cluster.daemons.iter_mut().zip(&ports) {
        daemon.set("OBSERVERS__LISTEN", &port.to_string());
    }
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    ports
}

/// An observer of all voters, not started, whose client's file names the first server.
pub fn observer(cluster: &Cluster, ports: &[Endpoint], host: Option<Host>) -> Daemon {
    let master = &cluster.servers[0].endpoint;
    let mut observer = Daemon::new("x", cluster.directory.path(), master, host);
    let voters = cluster.daemons.iter().zip(ports);
    let voters: Vec<String> = voters
        .map(|(it, port)| format!("{}={port}", it.name))
        .collect();
    observer.set("ROLE", "observer");
    observer.set("PEERS", &voters.join(","));
    observer.set("CLIENTS__API__GROUP", "features");
    let unused = observer.variables.remove("PROMOTERD_ELECTION_TIMEOUT");
    assert!(unused.is_some());
    observer
}

pub fn await_fresh(observer: &Daemon, epoch: u64) -> StatusReport {
    observer.await_status("it follows, and its file is right", |report| {
        let following = report.following.as_ref().expect("an observer");
        let group = report.groups.first();
        let is_right = group.is_some_and(|group| {
            let named = group.files.first().and_then(|file| file.epoch);
            (group.epoch, named) == (Some(Epoch(epoch)), Some(Epoch(epoch)))
        });
        following.stale_ms.is_none() && is_right
    })
}

/// The position of the voter that it follows.
pub fn followed(cluster: &Cluster, report: &StatusReport) -> usize {
    let following = report.following.as_ref().expect("an observer");
    let voter = following.voter.as_ref().expect("it follows one");
    let mut daemons = cluster.daemons.iter();
    let position = daemons.position(|daemon| daemon.name == voter.as_str());
    position.expect("one of ours")
}

#[test]
fn an_observer_names_the_new_master_whatever_voter_is_lost_and_keeps_it_when_all_are() {
    let (mut cluster, ports) = cluster();
    let mut observer = observer(&cluster, &ports, None);
    observer.start();
    let report = await_fresh(&observer, 1);
    assert_eq!(report.role, EngineRole::Observer);
    let page = observer.output("status");
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(
        page.starts_with("all well\n\nnode x (observer), follows "),
        "{page}"
    );
    let voter = &cluster.daemons[followed(&cluster, &report)];
    voter.await_status("it shows its observer", |report| {
        let observers = report.observers.as_ref().expect("it listens to them");
        let named = observers.first().and_then(|it| it.epochs.values().next());
        named == Some(&Epoch(1))
    });

    // A crash: as fast as the voters' own files.
    let (told, done) = (observer.listen(), voter.listen());
    cluster.servers[0].kill();
    let at = |event: serde_json::Value| event["at"].as_u64().expect("a time");
    let done = at(done.await_event("done"));
    let written = at(told.await_event("file_rewritten"));
    let took = Duration::from_millis(written.saturating_sub(done));
    eprintln!("from Done to an observer's file: {took:?}");
    assert!(took < TOLD_MAX, "{took:?}");
    let master = cluster.await_healthy(2);
    observer
        .file_names(&cluster.servers[master].endpoint)
        .unwrap();

    // Another one, and the voter that it follows is lost in the same moment.
    cluster.servers[0].start(&[]);
    cluster.await_healthy(2);
    let lost = followed(&cluster, &await_fresh(&observer, 2));
    cluster.daemons[lost].kill();
    cluster.servers[master].kill();
    let report = await_fresh(&observer, 3);
    assert_ne!(followed(&cluster, &report), lost);
    cluster.servers[master].start(&[]);
    cluster.start_daemons();
    let master = cluster.await_healthy(3);
    let master = cluster.servers[master].endpoint.clone();
    observer.file_names(&master).unwrap();

    // Nobody is left to ask.
    for daemon in &mut cluster.daemons {
        daemon.stop();
    }
    let alone_since = Instant::now();
    eventually("it says that it is stale", || {
        let shown = observer.output("status");
        let page = String::from_utf8_lossy(&shown.stdout).into_owned();
        let is_said =
            page.starts_with("WRONG: stale for ") && page.contains("no voter is followed");
        let is_said = is_said && shown.status.code() == Some(1);
        is_said.then_some(()).ok_or(page)
    });
    observer.file_names(&master).unwrap();
    let refused = observer.output_of(&["pause", "features"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("is an observer and decides nothing: ask a voter"),
        "{said}"
    );

    // It knows as much when it starts again, and since when nobody has confirmed it. What somebody puts into
    // the file meanwhile stays, for nobody says that it is wrong.
    let other = &cluster.servers[0].endpoint;
    for ends_well in [true, false] {
        if ends_well {
            observer.stop();
        } else {
            observer.kill();
        }
        fs::write(&observer.file, client_file(other)).unwrap();
        let least = alone_since.elapsed();
        observer.start();
        let report = observer.await_status("it has its state", |report| {
            let group = report.groups.first();
            group.is_some_and(|group| group.master.as_ref() == Some(&master))
        });
        let following = report.following.expect("an observer");
        let stale = Duration::from_millis(following.stale_ms.expect("nobody confirms it"));
        assert!(stale >= least, "{stale:?} and not {least:?}");
        observer.file_names(other).unwrap();
    }
    cluster.start_daemons();
    await_fresh(&observer, 3);
    observer.file_names(&master).unwrap();
    observer.stop();
}

#[test]
fn the_observers_key_is_made_from_the_cluster_key_and_only_it_lets_an_observer_in() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let key = cluster.new_key("key");
    cluster.set("PEER_KEY_FILE", &key);
    let ports = listen(&mut cluster);
    let mut observer = observer(&cluster, &ports, None);
    observer.set("PEER_KEY_FILE", &key);
    observer.start();
    observer.await_status("it is told how to get in", |report| {
        let mut errors = report.voters.iter().filter_map(|it| it.last_error.as_ref());
        errors.any(|error| error.contains("`promoterd keygen --observer`"))
    });
    observer.stop();
    give_key(&mut observer, &cluster, &key);
    observer.start();
    await_fresh(&observer, 1);
    observer.stop();
}

/// Gives an observer the key that follows from the cluster key in this file.
pub fn give_key(observer: &mut Daemon, cluster: &Cluster, cluster_key: &str) {
    let made = observer.output_of(&["keygen", "--observer", cluster_key]);
    assert!(made.status.success(), "{made:?}");
    let own_key = cluster.directory.path().join("observers.key");
    fs::write(&own_key, made.stdout).unwrap();
    observer.set("PEER_KEY_FILE", &own_key.display().to_string());
}

/// What followers saw.
enum Seen {
    Ready,
    Told(UnixTime),
}

/// So many observers in this process, all of one voter; each says when it is told of `epoch`.
fn follow(count: usize, voter: (&str, &Endpoint), epoch: Epoch) -> mpsc::Receiver<Seen> {
    let (sender, seen) = mpsc::channel();
    let name: NodeId = voter.0.parse().unwrap();
    let voters = BTreeMap::from([(name, voter.1.clone())]);
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..count {
                let settings = FollowSettings {
                    node: format!("observer-{number}").parse().unwrap(),
                    voters: voters.clone(),
                    key: None,
                    seed: number as u64,
                };
                let (events, mut inbox) = tokio::sync::mpsc::channel(16);
                let follower = Follower::start(settings, Knowledge::default(), events);
                let sender = sender.clone();
                tasks.spawn(async move {
                    let _follower = follower;
                    while let Some(event) = inbox.recv().await {
                        let FollowEvent::Told { taken, .. } = event else {
                            continue;
                        };
                        for group in taken.values() {
                            let what = if group.epoch == epoch {
                                Seen::Told(now())
                            } else {
                                Seen::Ready
                            };
                            // The test ends when it has heard all.
                            if sender.send(what).is_err() {
                                return;
                            }
                        }
                    }
                });
            }
            while tasks.join_next().await.is_some() {}
        });
    });
    seen
}

fn now() -> UnixTime {
    UnixTime(0).after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

/// The processor time of all threads of a process.
fn processor_time(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let times = tasks.map(|task| {
        let path = task.unwrap().path().join("schedstat");
        let text = fs::read_to_string(path).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(times.sum())
}

/// How much of a processor it takes when nothing happens.
fn idle_share(process: u32, span: Duration) -> f64 {
    let before = processor_time(process);
    thread::sleep(span);
    (processor_time(process) - before).as_secs_f64() / span.as_secs_f64()
}

/// How long after `Done` the last of so many observers of one voter hears of it, and what they cost it.
fn crowd(count: usize, told_max: Duration) {
    const SPAN: Duration = Duration::from_secs(5);
    let (mut cluster, ports) = cluster();
    let process = cluster.daemons[0].id();
    let alone = idle_share(process, SPAN);
    let name = cluster.daemons[0].name.clone();
    let seen = follow(count, (&name, &ports[0]), Epoch(2));
    for _ in 0..count {
        assert!(matches!(seen.recv_timeout(PATIENCE), Ok(Seen::Ready)));
    }
    let with_all = idle_share(process, SPAN);
    let done = cluster.daemons[0].listen();
    cluster.servers[0].kill();
    let told: Vec<UnixTime> = (0..count)
        .map(|_| match seen.recv_timeout(PATIENCE) {
            Ok(Seen::Told(at)) => at,
            Ok(Seen::Ready) | Err(_) => panic!("not all are told"),
        })
        .collect();
    let done = done.await_event("done")["at"].as_u64().unwrap();
    let last = told.iter().map(|at| at.0).max().unwrap();
    let took = Duration::from_millis(last.saturating_sub(done));
    eprintln!(
        "{count} observers: the last one is told {took:?} after Done; idle {:.2} % of a core, {:.2} % without them",
        with_all * 100.0,
        alone * 100.0
    );
    assert!(took < told_max, "{took:?}");
    assert!(with_all < 0.02, "{with_all} of a core");
    cluster.await_healthy(2);
}

#[test]
fn a_hundred_observers_of_one_voter_are_told_at_once_and_cost_it_little() {
    crowd(100, TOLD_MAX);
}

#[test]
#[ignore = "a figure: it needs the machine for itself"]
fn five_hundred_observers_of_one_voter_are_told_within_100_ms_of_done() {
    crowd(500, Duration::from_millis(100));
}
