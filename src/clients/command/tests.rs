//! Commands on real processes.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Instant;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

/// Runs to its end, on a runtime of its own.
fn ran(words: &[String], limit: Duration) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (sender, receiver) = mpsc::channel();
    let variables = [("FAILOVER_MASTER", "b:2".to_owned())];
    let done = move |report| drop(sender.send(report));
    let running = match start(words, limit, &variables, runtime.handle(), done) {
        Ok(running) => running,
        Err(error) => {
            let output = String::new();
            let result = Err(error);
            return Report { result, output };
        }
    };
    let report = runtime.block_on(async {
        loop {
            match receiver.try_recv() {
                Ok(report) => break report,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    });
    drop(running);
    report
}

#[test]
fn a_command_line_is_split_as_a_shell_splits_it() {
    for (text, words) in [
        ("haproxy -c -f {}", Ok(vec!["haproxy", "-c", "-f", "/f x"])),
        (
            "/bin/sh -c 'kill -HUP $(cat {})' \"a b\" c\\ d",
            Ok(vec!["/bin/sh", "-c", "kill -HUP $(cat /f x)", "a b", "c d"]),
        ),
        ("x --file={}", Ok(vec!["x", "--file=/f x"])),
        ("x 'a", Err(InvalidCommandLine::Unclosed)),
        ("x \\", Err(InvalidCommandLine::Unclosed)),
        ("", Err(InvalidCommandLine::Empty)),
        ("'' x", Err(InvalidCommandLine::Empty)),
        ("bin/x", Err(InvalidCommandLine::Relative)),
        ("./x", Err(InvalidCommandLine::Relative)),
        ("x\0", Err(InvalidCommandLine::Nul)),
    ] {
        let line: Result<CommandLine, _> = text.parse();
        let split = line.map(|line| line.with_file(&PathBuf::from("/f x")));
        let words = words.map(|words| {
            let words = words.into_iter().map(str::to_owned);
            words.collect::<Vec<String>>()
        });
        assert_eq!(split, words, "{text}");
    }
}

#[test]
fn the_file_comes_last_where_no_place_is_named() {
    let file = PathBuf::from("/f");
    for (text, words) in [
        ("x -c", vec!["x", "-c", "/f"]),
        ("x {} -c", vec!["x", "/f", "-c"]),
        ("x a{}b{}", vec!["x", "a/fb/f"]),
    ] {
        let line: CommandLine = text.parse().unwrap();
        assert_eq!(line.about_file(&file), words, "{text}");
    }
    let line: CommandLine = "systemctl reload api".parse().unwrap();
    assert_eq!(line.with_file(&file), ["systemctl", "reload", "api"]);
}

#[test]
fn a_command_that_succeeds_tells_what_it_printed_in_its_order() {
    let report = ran(
        &shell("echo out; echo err >&2; echo $FAILOVER_MASTER; pwd"),
        PATIENCE,
    );
    assert!(report.result.is_ok(), "{report:?}");
    assert_eq!(report.output, "out\nerr\nb:2\n/");
}

#[test]
fn a_command_sees_no_variable_of_the_daemon_but_the_harmless_ones() {
    let report = ran(&shell("env | cut -d= -f1 | grep -v _ | sort"), PATIENCE);
    let names: Vec<&str> = report.output.lines().collect();
    let allowed = [
        "PATH", "HOME", "USER", "LANG", "TZ", "PWD", "SHLVL", "OLDPWD",
    ];
    assert!(names.contains(&"PATH"), "{names:?}");
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
}

#[test]
fn each_bad_end_says_what_happened_and_names_the_program() {
    let words = |line: &str| shlex::split(line).unwrap();
    for (words, message) in [
        (shell("echo no; exit 3"), "/bin/sh failed (exit code 3)"),
        (shell("kill -9 $$"), "/bin/sh failed (killed by signal 9)"),
        (
            words("/missing/x y"),
            "/missing/x cannot be run: name a program that exists, with the interpreter that it wants",
        ),
        (
            words("/etc/passwd"),
            "/etc/passwd cannot be run: let the service user execute it",
        ),
        (
            words("no-such-program-anywhere"),
            "no-such-program-anywhere cannot be run: name a program that exists, with the interpreter that it wants",
        ),
    ] {
        let report = ran(&words, PATIENCE);
        assert_eq!(report.result.unwrap_err().to_string(), message);
    }
}

#[test]
fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let (pid, alive) = (directory.path().join("pid"), directory.path().join("alive"));
    // The grandchild ignores what can be ignored, and leaves a sign if it outlives the kill.
    let script = format!(
        "trap '' TERM INT HUP; (trap '' TERM INT HUP; sleep 2; touch {}) & echo $! > {}; echo begun; sleep 100",
        alive.display(),
        pid.display(),
    );
    let begun = Instant::now();
    let report = ran(&shell(&script), Duration::from_millis(300));
    assert!(
        begun.elapsed() < Duration::from_millis(1500),
        "{:?}",
        begun.elapsed()
    );
    let message = report.result.unwrap_err().to_string();
    assert_eq!(
        message,
        "/bin/sh did not end within 300ms and was killed, with all that it had started"
    );
    assert_eq!(report.output, "begun");
    let grandchild = fs::read_to_string(&pid).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", grandchild.trim()));
    // Gone, or dead and not yet collected by whoever adopted it.
    assert!(
        stat.is_err() || stat.unwrap().contains(") Z "),
        "{grandchild}"
    );
    assert!(!alive.exists());
}

#[test]
fn a_daemon_that_a_command_leaves_behind_holds_up_nobody_and_lives() {
    let directory = tempfile::tempdir().unwrap();
    let sign = directory.path().join("sign");
    let script = format!("(sleep 1; touch {}) & echo started", sign.display());
    let begun = Instant::now();
    let report = ran(&shell(&script), PATIENCE);
    assert!(
        report.result.is_ok() && report.output == "started",
        "{report:?}"
    );
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    while !sign.exists() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_command_that_prints_without_end_is_read_and_bounded() {
    let report = ran(&shell("yes | head -c 30000000; exit 1"), PATIENCE);
    assert!(report.result.is_err());
    assert!(report.output.len() <= 4100, "{}", report.output.len());
}

#[test]
fn a_command_that_nobody_waits_for_any_more_is_killed() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let script = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; sleep 100",
        pid.display()
    );
    let done = |_: Report| panic!("nobody is told");
    let running = start(&shell(&script), PATIENCE, &[], runtime.handle(), done).unwrap();
    let begun = Instant::now();
    runtime.block_on(async {
        while !pid.exists() {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(running);
        let number = fs::read_to_string(&pid).unwrap();
        let stat = PathBuf::from(format!("/proc/{}/stat", number.trim()));
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(begun.elapsed() < PATIENCE, "{number} lives");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}
