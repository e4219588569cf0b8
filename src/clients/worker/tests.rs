//! The worker on real files: retries, restarts, superseding and stopping.

use std::fs;
use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::clients::{Content, Format};

const PATIENCE: Duration = Duration::from_secs(20);

/// A runtime for the commands, on a thread of its own, as the daemon's loop is.
pub(super) struct TestRuntime {
    handle: tokio::runtime::Handle,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl TestRuntime {
    pub(super) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        thread::spawn(move || drop(runtime.block_on(stopped)));
        Self {
            handle,
            _stop: stop,
        }
    }

    pub(super) fn handle(&self) -> tokio::runtime::Handle {
        self.handle.clone()
    }
}

struct Bench {
    directory: TempDir,
    worker: Worker,
    outcomes: Receiver<FileOutcome>,
    _runtime: TestRuntime,
}

pub(super) fn target(path: &Path, client: &str, group: &str) -> Target {
    Target {
        client: client.parse().unwrap(),
        group: group.parse().unwrap(),
        path: path.to_owned(),
        content: Content::Edit {
            format: Format::Env,
            keys: vec!["K".parse().unwrap()],
            lists: Vec::new(),
            value: None,
        },
        check: None,
        reload: None,
    }
}

/// A worker for files `NAME.env` of group `x`, in a directory that is their state's too.
fn start_in(directory: TempDir, clients: &[&str]) -> Bench {
    let journal = Journal::open(directory.path()).unwrap();
    start_with(directory, clients, journal)
}

fn start_with(directory: TempDir, clients: &[&str], journal: Journal) -> Bench {
    let (sender, outcomes) = mpsc::channel();
    let runtime = TestRuntime::start();
    let targets = clients.iter().map(|client| {
        let path = directory.path().join(format!("{client}.env"));
        target(&path, client, "x")
    });
    let report = Box::new(move |outcome| match outcome {
        Outcome::File(outcome) => drop(sender.send(outcome)),
        Outcome::Reload(outcome) => panic!("no command was given: {outcome:?}"),
    });
    let worker = Worker::start(
        targets.collect(),
        journal,
        Vec::new(),
        runtime.handle(),
        report,
    )
    .unwrap();
    Bench {
        directory,
        worker,
        outcomes,
        _runtime: runtime,
    }
}

fn start(clients: &[&str]) -> Bench {
    start_in(tempfile::tempdir().unwrap(), clients)
}

impl Bench {
    fn publish(&self, epoch: u64) {
        self.worker.publish(Publication {
            group: "x".parse().unwrap(),
            epoch: Epoch(epoch),
            master: format!("m:{epoch}").parse().unwrap(),
            replicas: Vec::new(),
        });
    }

    fn write(&self, client: &str) {
        let path = self.directory.path().join(format!("{client}.env"));
        fs::write(path, "K=old:1\n").unwrap();
    }

    fn read(&self, client: &str) -> String {
        fs::read_to_string(self.directory.path().join(format!("{client}.env"))).unwrap()
    }

    /// Client, epoch, and whether the file was changed; the error's text where it failed.
    fn outcome(&self) -> (String, u64, Result<bool, String>) {
        let outcome = self.outcomes.recv_timeout(PATIENCE).unwrap();
        let result = outcome.result.map(|replaced| replaced.changed);
        let result = result.map_err(|trouble| trouble.error);
        (outcome.client.to_string(), outcome.epoch.0, result)
    }

    fn stop(self) -> TempDir {
        self.worker.stop(PATIENCE).unwrap();
        self.directory
    }
}

#[test]
fn all_files_of_the_group_follow_each_epoch() {
    let bench = start(&["api", "jobs"]);
    bench.write("api");
    bench.write("jobs");
    for epoch in 1..=3 {
        bench.publish(epoch);
        assert_eq!(bench.outcome(), ("api".to_owned(), epoch, Ok(true)));
        assert_eq!(bench.outcome(), ("jobs".to_owned(), epoch, Ok(true)));
        assert_eq!(bench.read("api"), format!("K=m:{epoch}\n"));
        assert_eq!(bench.read("jobs"), format!("K=m:{epoch}\n"));
    }
    bench.publish(3);
    assert_eq!(bench.outcome(), ("api".to_owned(), 3, Ok(false)));
}

#[test]
fn a_thousand_files_follow_together_and_nothing_but_the_address_differs() {
    let names: Vec<String> = (0..1000).map(|number| format!("c{number}")).collect();
    let clients: Vec<&str> = names.iter().map(String::as_str).collect();
    let bench = start(&clients);
    let text = |name: &str, master: &str| {
        format!("# of {name}\r\nA='1'\nexport K=\"{master}\" # {name}\n\n")
    };
    for name in &names {
        let path = bench.directory.path().join(format!("{name}.env"));
        fs::write(path, text(name, "old:1")).unwrap();
    }
    for epoch in 1..=2 {
        let started = Instant::now();
        bench.publish(epoch);
        let mut told: Vec<String> = Vec::new();
        for _ in &names {
            let (client, said, result) = bench.outcome();
            assert_eq!((said, result), (epoch, Ok(true)), "{client}");
            told.push(client);
        }
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        told.sort();
        told.dedup();
        assert_eq!(told.len(), names.len());
        for name in &names {
            assert_eq!(bench.read(name), text(name, &format!("m:{epoch}")));
        }
    }
}

#[test]
fn a_file_that_appears_later_is_made_right_by_a_retry() {
    let bench = start(&["api"]);
    bench.publish(1);
    let (_, epoch, result) = bench.outcome();
    assert_eq!(epoch, 1);
    assert!(result.unwrap_err().contains("create the file"));
    bench.write("api");
    while bench.outcome().2.is_err() {}
    assert_eq!(bench.read("api"), "K=m:1\n");
}

#[test]
fn a_failing_epoch_is_superseded_by_a_newer_one() {
    let bench = start(&["api"]);
    bench.publish(1);
    assert!(bench.outcome().2.is_err());
    bench.publish(2);
    while bench.outcome().1 == 1 {}
    bench.write("api");
    loop {
        let (_, epoch, result) = bench.outcome();
        assert_eq!(epoch, 2);
        if result.is_ok() {
            break;
        }
    }
    assert_eq!(bench.read("api"), "K=m:2\n");
}

#[test]
fn one_file_that_fails_holds_up_no_other() {
    let bench = start(&["api", "jobs"]);
    bench.write("jobs");
    bench.publish(1);
    let outcomes = [bench.outcome(), bench.outcome()];
    assert!(
        outcomes.contains(&("jobs".to_owned(), 1, Ok(true))),
        "{outcomes:?}"
    );
}

#[test]
fn no_file_goes_back_even_after_a_restart() {
    let bench = start(&["api"]);
    bench.write("api");
    bench.publish(5);
    assert_eq!(bench.outcome(), ("api".to_owned(), 5, Ok(true)));
    let bench = start_in(bench.stop(), &["api"]);
    bench.publish(4);
    let (_, epoch, result) = bench.outcome();
    assert_eq!(epoch, 4);
    assert!(
        result
            .unwrap_err()
            .starts_with("publication older than the file's")
    );
    assert_eq!(bench.read("api"), "K=m:5\n");
    bench.publish(6);
    assert_eq!(bench.outcome(), ("api".to_owned(), 6, Ok(true)));
}

#[test]
fn what_is_reported_as_right_is_in_the_journal() {
    let bench = start(&["api"]);
    bench.write("api");
    bench.publish(7);
    assert_eq!(bench.outcome(), ("api".to_owned(), 7, Ok(true)));
    let journal = Journal::open(bench.directory.path()).unwrap();
    let entry = journal
        .last(&"api".parse().unwrap(), &"x".parse().unwrap())
        .unwrap();
    assert_eq!(
        (entry.epoch, entry.master.to_string().as_str()),
        (Epoch(7), "m:7")
    );
    assert_eq!(entry.digest, crate::clients::Digest::of(b"K=m:7\n"));
}

#[test]
fn a_file_is_right_but_not_reported_so_before_the_journal_knows() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    journal.fail_next_append();
    let bench = start_with(directory, &["api"], journal);
    bench.write("api");
    bench.publish(1);
    let (_, _, result) = bench.outcome();
    assert!(result.unwrap_err().starts_with("cannot append to"));
    assert_eq!(bench.read("api"), "K=m:1\n");
    assert_eq!(bench.outcome(), ("api".to_owned(), 1, Ok(false)));
    let journal = Journal::open(bench.directory.path()).unwrap();
    assert!(
        journal
            .last(&"api".parse().unwrap(), &"x".parse().unwrap())
            .is_some()
    );
}

#[test]
fn stopping_tries_once_what_was_published_and_then_ends() {
    let bench = start(&["api", "jobs"]);
    bench.write("api");
    bench.publish(1);
    let directory = bench.stop();
    let text = fs::read_to_string(directory.path().join("api.env")).unwrap();
    assert_eq!(text, "K=m:1\n");
}

#[test]
fn stopping_gives_up_at_its_limit_while_something_hangs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.env");
    fs::write(&path, "K=old:1\n").unwrap();
    let (entered, entry) = mpsc::channel();
    let (release, hang) = mpsc::channel::<()>();
    let report = Box::new(move |_| {
        entered.send(()).unwrap();
        let _ = hang.recv();
    });
    let journal = Journal::open(directory.path()).unwrap();
    let runtime = TestRuntime::start();
    let targets = vec![target(&path, "api", "x")];
    let worker = Worker::start(targets, journal, Vec::new(), runtime.handle(), report).unwrap();
    worker.publish(Publication {
        group: "x".parse().unwrap(),
        epoch: Epoch(1),
        master: "m:1".parse().unwrap(),
        replicas: Vec::new(),
    });
    entry.recv_timeout(PATIENCE).unwrap();
    let limit = Duration::from_millis(1);
    assert_eq!(worker.stop(limit), Err(StillWriting(limit)));
    drop(release);
}

#[test]
fn a_worker_that_is_dropped_ends_its_thread() {
    let Bench {
        worker, outcomes, ..
    } = start(&["api"]);
    drop(worker);
    assert_eq!(
        outcomes.recv_timeout(PATIENCE),
        Err(RecvTimeoutError::Disconnected)
    );
}

#[test]
fn copies_left_by_a_crash_are_removed_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join(".api.promoterd-0123456789abcdef.env");
    fs::write(&copy, "K=hal").unwrap();
    drop(start_in(directory, &["api"]).stop());
    assert!(!copy.exists());
}
