//! The worker with commands and with other people's hands on its files, all of them real.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Instant;

use tempfile::TempDir;

use super::tests::TestRuntime;
use super::*;
use crate::clients::command::Command;
use crate::clients::{Content, Format};

const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    directory: TempDir,
    worker: Option<Worker>,
    outcomes: Receiver<Outcome>,
    runtime: TestRuntime,
    check: Option<String>,
    reload: Option<String>,
    limit: Duration,
}

impl Bench {
    /// A client `api` with `api.json`; `{dir}` stands for the directory in its commands.
    fn new(check: Option<&str>, reload: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let filled = |command: &str| command.replace("{dir}", &directory.path().to_string_lossy());
        let (check, reload) = (check.map(filled), reload.map(filled));
        fs::write(directory.path().join("api.json"), Bench::file_of(0)).unwrap();
        let (_, outcomes) = mpsc::channel();
        let mut bench = Self {
            directory,
            worker: None,
            outcomes,
            runtime: TestRuntime::start(),
            check,
            reload,
            limit: PATIENCE,
        };
        bench.start();
        bench
    }

    fn start(&mut self) {
        self.work_on(self.target(self.path("api.json")));
    }

    fn target(&self, path: PathBuf) -> Target {
        let command = |line: &String| Command {
            line: line.parse().unwrap(),
            limit: self.limit,
        };
        Target {
            client: "api".parse().unwrap(),
            group: "x".parse().unwrap(),
            path,
            content: Content::Edit {
                format: Format::Json,
                keys: vec!["url".parse().unwrap()],
                lists: Vec::new(),
                value: None,
            },
            check: self.check.as_ref().map(command),
            reload: self.reload.as_ref().map(command),
        }
    }

    fn work_on(&mut self, target: Target) {
        let (sender, outcomes) = mpsc::channel();
        let journal = Journal::open_or_begin(self.directory.path()).unwrap();
        let report = Box::new(move |outcome| drop(sender.send(outcome)));
        let runtime = self.runtime.handle();
        let worker = Worker::start(vec![target], journal, Vec::new(), runtime, report);
        (self.worker, self.outcomes) = (Some(worker.unwrap()), outcomes);
    }

    fn restart(&mut self) {
        self.worker.take().unwrap().stop(PATIENCE).unwrap();
        self.start();
    }

    /// The next time that the file is right: whoever writes it in place may be caught in the midst of that.
    fn replaced(&self) -> Replaced {
        loop {
            if let Ok(replaced) = self.file().1 {
                return replaced;
            }
        }
    }

    fn publish(&self, epoch: u64) {
        self.publish_master(epoch, &format!("m{epoch}:6379"));
    }

    fn publish_master(&self, epoch: u64, master: &str) {
        self.worker.as_ref().unwrap().publish(Publication {
            group: "x".parse().unwrap(),
            epoch: Epoch(epoch),
            master: master.parse().unwrap(),
            replicas: Vec::new(),
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn file_of(epoch: u64) -> String {
        format!("{{\"url\": \"redis://m{epoch}:6379/0\"}}\n")
    }

    fn outcome(&self) -> Outcome {
        self.outcomes.recv_timeout(PATIENCE).unwrap()
    }

    fn file(&self) -> (u64, Result<Replaced, Trouble>) {
        loop {
            if let Outcome::File(outcome) = self.outcome() {
                return (outcome.epoch.0, outcome.result);
            }
        }
    }

    /// How the next reload ended.
    fn reload(&self) -> (u64, Result<String, Trouble>) {
        loop {
            match self.outcome() {
                Outcome::File(_) => {}
                Outcome::Reload(outcome) => match outcome.state {
                    ReloadState::Running => {}
                    ReloadState::Done { output, .. } => return (outcome.epoch.0, Ok(output)),
                    ReloadState::Failed(trouble) => return (outcome.epoch.0, Err(trouble)),
                },
            }
        }
    }

    fn await_that(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "never: {what}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// That nothing is reported while something else, which came later, is.
    fn assert_quiet(&self) {
        let quiet = Duration::from_millis(300);
        let heard = self.outcomes.recv_timeout(quiet);
        assert_eq!(heard, Err(RecvTimeoutError::Timeout));
    }
}

/// Notes each run: the file's content, and what the command is told.
const NOTE: &str = "/bin/sh -c 'cat $0 >> {dir}/runs; echo $FAILOVER_CLIENT $FAILOVER_GROUP $FAILOVER_EPOCH $FAILOVER_MASTER' {}";

#[test]
fn a_reload_runs_once_behind_each_change_and_sees_the_new_file() {
    let bench = Bench::new(None, Some(NOTE));
    for epoch in [1, 2] {
        bench.publish(epoch);
        assert!(bench.file().1.unwrap().changed);
        let (reloaded, output) = bench.reload();
        assert_eq!(reloaded, epoch);
        assert_eq!(output.unwrap(), format!("api x {epoch} m{epoch}:6379"));
    }
    assert_eq!(bench.read("runs"), Bench::file_of(1) + &Bench::file_of(2));
    // To hear the same again changes nothing.
    bench.publish(2);
    assert!(!bench.file().1.unwrap().changed);
    bench.assert_quiet();
}

#[test]
fn a_restart_neither_repeats_a_reload_nor_forgets_one() {
    let mut bench = Bench::new(
        None,
        Some("/bin/sh -c 'echo run >> {dir}/runs; test -e {dir}/well'"),
    );
    bench.publish(1);
    assert!(bench.reload().1.is_err());
    bench.restart();
    fs::write(bench.path("well"), "").unwrap();
    bench.publish(1);
    let (_, replaced) = bench.file();
    assert!(!replaced.unwrap().changed, "the file was right");
    assert!(bench.reload().1.is_ok(), "and its reader did not know");
    bench.restart();
    bench.publish(1);
    assert!(!bench.file().1.unwrap().changed);
    bench.assert_quiet();
    let runs = bench.read("runs");
    // What is not known is done again.
    bench.worker.take().unwrap().stop(PATIENCE).unwrap();
    fs::write(bench.path("clients.journal"), "rubbish").unwrap();
    bench.start();
    bench.publish(1);
    assert!(bench.reload().1.is_ok());
    assert_eq!(bench.read("runs"), runs + "run\n");
}

#[test]
fn a_reload_that_fails_is_told_with_its_output_tried_again_and_the_file_stays() {
    let bench = Bench::new(
        None,
        Some("/bin/sh -c 'echo cannot reach redis://u:hunter2@m:1; test -e {dir}/well'"),
    );
    bench.publish(1);
    let (epoch, result) = bench.reload();
    let trouble = result.unwrap_err();
    assert_eq!(epoch, 1);
    assert!(
        trouble
            .error
            .starts_with("RELOAD failed, so the client may go on"),
        "{trouble:?}"
    );
    assert!(
        trouble.error.ends_with("/bin/sh failed (exit code 1)"),
        "{trouble:?}"
    );
    assert_eq!(trouble.output, "cannot reach redis://***@m:1");
    assert_eq!(bench.read("api.json"), Bench::file_of(1));
    fs::write(bench.path("well"), "").unwrap();
    while bench.reload().1.is_err() {}
    assert_eq!(bench.read("api.json"), Bench::file_of(1));
}

#[test]
fn a_reload_that_hangs_is_killed_and_a_newer_file_is_written_meanwhile() {
    let mut bench = Bench::new(
        None,
        Some("/bin/sh -c 'cat $0 >> {dir}/runs; test -e {dir}/well || sleep 100' {}"),
    );
    bench.limit = Duration::from_millis(600);
    bench.restart();
    bench.publish(1);
    bench.await_that("the reload of epoch 1 runs", || {
        bench.read("runs") == Bench::file_of(1)
    });
    bench.publish(2);
    bench.await_that("epoch 2 is written", || {
        bench.read("api.json") == Bench::file_of(2)
    });
    fs::write(bench.path("well"), "").unwrap();
    let (_, result) = bench.reload();
    let trouble = result.unwrap_err();
    assert!(
        trouble
            .error
            .contains("did not end within 600ms and was killed"),
        "{trouble:?}"
    );
    let (epoch, result) = bench.reload();
    assert!(epoch == 2 && result.is_ok());
    assert_eq!(bench.read("runs"), Bench::file_of(1) + &Bench::file_of(2));
}

#[test]
fn a_newer_file_during_a_reload_that_succeeds_is_reloaded_after_it() {
    let bench = Bench::new(
        None,
        Some("/bin/sh -c 'cat $0 >> {dir}/runs; while ! test -e {dir}/go; do sleep 0.01; done' {}"),
    );
    bench.publish(1);
    bench.await_that("the reload of epoch 1 runs", || {
        bench.read("runs") == Bench::file_of(1)
    });
    bench.publish(2);
    bench.await_that("epoch 2 is written", || {
        bench.read("api.json") == Bench::file_of(2)
    });
    fs::write(bench.path("go"), "").unwrap();
    assert_eq!(bench.reload().0, 1);
    assert_eq!(bench.reload().0, 2);
    assert_eq!(bench.read("runs"), Bench::file_of(1) + &Bench::file_of(2));
}

#[test]
fn a_check_sees_the_copy_while_the_old_file_stands_and_decides() {
    let bench = Bench::new(
        Some("/bin/sh -c 'cat {dir}/api.json $0 >> {dir}/checks; echo $0; ! grep -q m2: $0'"),
        None,
    );
    bench.publish(1);
    assert!(bench.file().1.unwrap().changed);
    assert_eq!(bench.read("checks"), Bench::file_of(0) + &Bench::file_of(1));
    bench.publish(2);
    let (epoch, result) = bench.file();
    let trouble = result.unwrap_err();
    assert_eq!(epoch, 2);
    let path = bench.path("api.json");
    let message = format!(
        "CHECK refused the new content of client file {}, which stays as it is: correct the file, or CHECK: \
         /bin/sh failed (exit code 1)",
        path.display()
    );
    assert_eq!(trouble.error, message);
    let ending = trouble
        .output
        .strip_prefix(&*path.with_file_name(".api.promoterd-").to_string_lossy());
    assert!(
        ending.is_some_and(|ending| ending.ends_with(".json")),
        "{trouble:?}"
    );
    assert_eq!(bench.read("api.json"), Bench::file_of(1));
    // It is tried again, and what is newer is tried at once.
    assert!(bench.file().1.is_err());
    bench.publish(3);
    loop {
        let (epoch, result) = bench.file();
        if epoch == 3 {
            assert!(result.unwrap().changed);
            break;
        }
    }
    assert_eq!(bench.read("api.json"), Bench::file_of(3));
    let entries = fs::read_dir(bench.directory.path()).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    let is_copy = |name: &std::ffi::OsString| name.to_string_lossy().starts_with(".api");
    assert!(!names.iter().any(is_copy), "{names:?}");
}

#[test]
fn a_check_that_hangs_holds_up_no_newer_epoch() {
    let bench = Bench::new(
        Some("/bin/sh -c 'echo $$ >> {dir}/pids; if grep -q m1: $0; then sleep 100; fi'"),
        None,
    );
    bench.publish(1);
    bench.await_that("the check of epoch 1 runs", || {
        !bench.read("pids").is_empty()
    });
    bench.publish(2);
    let (epoch, result) = bench.file();
    assert!(epoch == 2 && result.unwrap().changed);
    assert_eq!(bench.read("api.json"), Bench::file_of(2));
    let first = bench.read("pids").lines().next().unwrap().to_owned();
    let stat = PathBuf::from(format!("/proc/{first}/stat"));
    bench.await_that("the check of epoch 1 is killed", || {
        fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
    });
}

#[test]
fn a_copy_of_an_older_epoch_never_takes_the_place_of_a_newer_file() {
    let bench = Bench::new(
        Some("/bin/sh -c 'touch {dir}/tried; while ! test -e {dir}/go; do sleep 0.01; done'"),
        None,
    );
    bench.publish(1);
    bench.await_that("the check of epoch 1 runs", || bench.path("tried").exists());
    // The master of epoch 2 is the one that the file names still: there is nothing to check.
    bench.publish_master(2, "m0:6379");
    let (epoch, replaced) = bench.file();
    assert!(epoch == 2 && !replaced.unwrap().changed);
    fs::write(bench.path("go"), "").unwrap();
    bench.assert_quiet();
    assert_eq!(bench.read("api.json"), Bench::file_of(0));
}

#[test]
fn a_file_that_changes_while_its_copy_is_tried_is_edited_anew() {
    let bench = Bench::new(
        Some(
            "/bin/sh -c 'echo run >> {dir}/checks; test -e {dir}/edited || { sed s,/0,/7, {dir}/api.json > {dir}/new; mv {dir}/new {dir}/api.json; touch {dir}/edited; }'",
        ),
        None,
    );
    bench.publish(1);
    assert!(bench.file().1.unwrap().changed);
    assert_eq!(bench.read("api.json"), "{\"url\": \"redis://m1:6379/7\"}\n");
    assert_eq!(bench.read("checks"), "run\nrun\n");
}

#[test]
fn a_stop_in_the_middle_of_a_reload_is_bounded_and_the_next_start_repeats_it() {
    let mut bench = Bench::new(
        None,
        Some("/bin/sh -c 'echo run >> {dir}/runs; test -e {dir}/well || sleep 100'"),
    );
    bench.publish(1);
    bench.await_that("the reload runs", || bench.read("runs") == "run\n");
    let limit = Duration::from_millis(50);
    assert_eq!(
        bench.worker.take().unwrap().stop(limit),
        Err(StillWriting(limit))
    );
    fs::write(bench.path("well"), "").unwrap();
    bench.start();
    bench.publish(1);
    assert!(bench.reload().1.is_ok());
    assert_eq!(bench.read("runs"), "run\nrun\n");
}

#[test]
fn a_file_that_somebody_puts_back_is_brought_in_line_and_reloaded_at_once() {
    let bench = Bench::new(None, Some(NOTE));
    bench.publish(3);
    assert_eq!(bench.reload().0, 3);
    let by_rename = || {
        fs::write(bench.path("new"), Bench::file_of(1)).unwrap();
        fs::rename(bench.path("new"), bench.path("api.json")).unwrap();
    };
    let in_place = || fs::write(bench.path("api.json"), Bench::file_of(2)).unwrap();
    for write in [&by_rename as &dyn Fn(), &in_place] {
        write();
        assert!(bench.replaced().is_correction);
        assert_eq!(bench.read("api.json"), Bench::file_of(3));
        assert_eq!(bench.reload().0, 3);
    }
    assert_eq!(bench.read("runs"), Bench::file_of(3).repeat(3));
}

#[test]
fn without_a_leader_what_others_write_is_left_alone_until_there_is_one() {
    let bench = Bench::new(None, None);
    bench.publish(1);
    assert!(bench.file().1.unwrap().changed);
    bench.worker.as_ref().unwrap().lead(false);
    fs::write(bench.path("api.json"), Bench::file_of(7)).unwrap();
    bench.assert_quiet();
    assert_eq!(bench.read("api.json"), Bench::file_of(7));
    bench.worker.as_ref().unwrap().lead(true);
    assert!(bench.file().1.unwrap().is_correction);
    assert_eq!(bench.read("api.json"), Bench::file_of(1));
}

#[test]
fn a_change_of_other_values_is_kept_and_needs_no_reload_of_ours() {
    let bench = Bench::new(None, Some(NOTE));
    bench.publish(1);
    assert_eq!(bench.reload().0, 1);
    let text = "{\"url\": \"redis://m1:6379/0\", \"level\": 7}\n";
    fs::write(bench.path("api.json"), text).unwrap();
    assert!(!bench.replaced().changed);
    bench.assert_quiet();
    assert_eq!(bench.read("api.json"), text);
    assert_eq!(bench.read("runs"), Bench::file_of(1));
}

#[test]
fn a_file_that_is_taken_away_and_comes_back_is_told_and_brought_in_line() {
    let bench = Bench::new(None, None);
    bench.publish(1);
    assert!(bench.file().1.is_ok());
    fs::remove_file(bench.path("api.json")).unwrap();
    let trouble = bench.file().1.unwrap_err();
    assert!(trouble.error.contains("create the file"), "{trouble:?}");
    fs::write(bench.path("api.json"), Bench::file_of(0)).unwrap();
    while bench.file().1.is_err() {}
    assert_eq!(bench.read("api.json"), Bench::file_of(1));
}

#[test]
fn a_directory_that_is_replaced_is_watched_again() {
    let mut bench = Bench::new(None, None);
    let (inner, old) = (bench.path("etc"), bench.path("old"));
    fs::create_dir(&inner).unwrap();
    bench.worker.take().unwrap().stop(PATIENCE).unwrap();
    let file = inner.join("api.json");
    fs::write(&file, Bench::file_of(0)).unwrap();
    std::os::unix::fs::symlink(&inner, bench.path("link")).unwrap();
    let target = bench.target(bench.path("link").join("api.json"));
    bench.work_on(target);
    bench.publish(1);
    assert!(bench.file().1.unwrap().changed);
    for _ in 0..2 {
        fs::rename(&inner, &old).unwrap();
        fs::create_dir(&inner).unwrap();
        fs::write(&file, Bench::file_of(0)).unwrap();
        bench.await_that("the file in the new directory is right", || {
            fs::read_to_string(&file).unwrap() == Bench::file_of(1)
        });
        fs::remove_dir_all(&old).unwrap();
    }
}

#[test]
fn a_command_that_may_not_run_says_so() {
    let bench = Bench::new(Some("{dir}/check"), None);
    fs::write(bench.path("check"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(bench.path("check"), fs::Permissions::from_mode(0o644)).unwrap();
    bench.publish(1);
    let trouble = bench.file().1.unwrap_err();
    let advice = "cannot be run: let the service user execute it";
    assert!(trouble.error.contains(advice), "{trouble:?}");
    fs::set_permissions(bench.path("check"), fs::Permissions::from_mode(0o755)).unwrap();
    while bench.file().1.is_err() {}
    assert_eq!(bench.read("api.json"), Bench::file_of(1));
}
