//! The fuzz targets without a fuzzer: their seeds, what was ever found, and mutations of both.
//!
//! `tests/fuzz/run` searches for longer, led by coverage. `PROMOTERD_REWRITE=1` writes the seeds anew.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails where it should, and looks only at what it is about"
)]

#[path = "fuzz/bodies/mod.rs"]
mod bodies;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use promoterd::model::SplitMix;

/// Mutations of each file of a corpus in an ordinary run of the tests.
const MUTATIONS: u64 = 40;

fn corpus(target: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fuzz/corpus").join(target)
}

/// By name, so that a run repeats exactly.
fn files(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(corpus(target)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    paths.into_iter().map(read).collect()
}

/// A few bytes are changed, doubled, cut out, or replaced by what is interesting.
fn mutate(bytes: &[u8], random: &mut SplitMix) -> Vec<u8> {
    let mut mutant = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let place = |random: &mut SplitMix, length: usize| {
            usize::try_from(random.below(length as u64 + 1)).unwrap()
        };
        let at = place(random, mutant.len());
        let to = (at + place(random, 8)).min(mutant.len());
        match random.below(5) {
            0 => mutant[at..to]
                .iter_mut()
                .for_each(|byte| *byte ^= 1 << random.below(8)),
            1 => drop(mutant.drain(at..to)),
            2 => drop(mutant.splice(at..at, bytes[at.min(bytes.len())..].to_vec())),
            3 => drop(mutant.splice(at..to, [0xff; 8].into_iter().take(to - at + 1))),
            _ => mutant.truncate(to),
        }
    }
    mutant
}

/// Runs `body` on the corpus of `target` and on mutations of it; the seed is that of the file's place.
fn run(target: &str, body: bodies::Body) {
    let mut files = files(target);
    assert!(files.len() >= 4, "{target} has no corpus");
    let said_now = bodies::seeds::of(target).into_iter();
    files.extend(said_now.map(|seed| (PathBuf::from("a seed"), seed)));
    for (number, (path, bytes)) in files.iter().enumerate() {
        let mut random = SplitMix::new(number as u64);
        let mut tried = bytes.clone();
        for mutation in 0..=MUTATIONS {
            let outcome = catch_unwind(AssertUnwindSafe(|| body(&tried)));
            if outcome.is_err() {
                let kept = std::env::temp_dir().join(format!("{target}-finding"));
                fs::write(&kept, &tried).unwrap();
                panic!(
                    "{target}: mutation {mutation} of {}, kept as {}",
                    path.display(),
                    kept.display()
                );
            }
            tried = mutate(bytes, &mut random);
        }
    }
}

/// Bytes of another version are worth no less to a fuzzer, so what is kept need not be what is said now.
#[test]
fn every_target_has_seeds_that_were_said_by_honest_ones() {
    for (target, _) in bodies::TARGETS {
        let seeds = bodies::seeds::of(target);
        let path = |number: usize| corpus(target).join(format!("seed-{number:02}"));
        if std::env::var_os("PROMOTERD_REWRITE").is_some() {
            fs::create_dir_all(corpus(target)).unwrap();
            for (number, seed) in seeds.iter().enumerate() {
                fs::write(path(number), seed).unwrap();
            }
        }
        assert!(
            path(seeds.len() - 1).is_file(),
            "{target}: write the seeds anew"
        );
    }
}

macro_rules! targets {
    ($($name:ident: $target:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let (_, body) = bodies::TARGETS.iter().find(|(name, _)| *name == $target).unwrap();
                run($target, *body);
            }
        )*
    };
}

targets! {
    no_bytes_to_the_peer_port_let_a_stranger_in: "peer_session";
    nothing_that_peers_say_makes_a_daemon_panic: "peer_message";
    no_bytes_to_the_observers_port_let_a_stranger_in_or_take_an_epoch_back: "observers_port";
    no_log_and_no_snapshot_make_a_daemon_panic: "log";
    no_journal_is_read_twice_in_two_ways: "journal";
    every_reply_of_a_server_has_a_bounded_meaning: "redis_reply";
    no_stream_of_a_server_breaks_its_connection: "redis_connection";
    settings_are_taken_on_or_refused_with_a_reason: "settings";
    an_edit_changes_the_values_alone_or_nothing: "document";
    a_template_makes_a_bounded_file_or_none: "template";
    every_request_is_answered_or_dropped: "status_request";
    no_answer_of_an_impostor_makes_the_command_panic: "status_answer";
    every_command_of_a_client_is_answered_as_a_whole: "sentinel_command";
}
