//! What a run says in the end: the figures, or what was broken and all that led to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::checker::{Broken, ISOLATED_WITHIN, REPLACED_WITHIN, Tally};
use super::history::{At, History};
use super::site::Site;

/// So much of what happened is shown before a breach, and after it.
const BEFORE: Duration = Duration::from_secs(8);
const AFTER: Duration = Duration::from_secs(2);
/// Breaches that are shown with what led to them.
const SHOWN_MAX: usize = 4;
/// Breaches of one rule in one group that are told.
const TOLD_MAX: usize = 5;
/// What is told again and again, and explains nothing.
const DULL: &[&str] = &[
    "\"file_rewritten\"",
    "\"settled\"",
    "\"answers_again\"",
    "\"peer_",
];

/// The figures of a run.
pub fn summary(
    tally: &Tally,
    done: &BTreeMap<&'static str, u64>,
    passed_over: &BTreeMap<&'static str, u64>,
) -> String {
    let mut text = String::new();
    let faults: u64 = done.values().sum();
    let estimates = tally.losses.iter();
    let estimates = estimates.filter_map(|(bytes, estimate, _)| Some((*bytes, (*estimate)?)));
    let estimates: Vec<(u64, u64)> = estimates.collect();
    let within = estimates.iter().filter(|(bytes, most)| bytes <= most);
    let _ = writeln!(text, "faults: {faults} ({})", list(done));
    let _ = writeln!(text, "faults that did not fit: {}", list(passed_over));
    let _ = writeln!(
        text,
        "failovers: {} ({}), {} of them kept the master; {} epochs aborted",
        tally.failovers_done(),
        list(&tally.failovers),
        tally.reinstated,
        tally.aborted
    );
    let _ = writeln!(
        text,
        "writes: {} acknowledged, {} refused, {} unanswered",
        tally.taken, tally.refused, tally.unknown
    );
    let _ = writeln!(
        text,
        "acknowledged and lost: {} ({})",
        tally.lost.values().sum::<u64>(),
        list(&tally.lost)
    );
    let _ = writeln!(
        text,
        "failovers with a loss: {}, estimated {}, of these within the estimate {}; the most bytes beyond it: {}",
        tally.losses.len(),
        estimates.len(),
        within.count(),
        estimates
            .iter()
            .map(|(bytes, most)| bytes.saturating_sub(*most))
            .max()
            .unwrap_or(0)
    );
    for (why, (count, longest)) in &tally.judged {
        let _ = writeln!(
            text,
            "old masters that took writes and had to stop by a bound, {why}: {count}, the longest {longest:?} \
             (bounds: replaced {REPLACED_WITHIN:?}, cut off {ISOLATED_WITHIN:?})"
        );
    }
    let _ = writeln!(
        text,
        "longest time with two masters, where faults left no bound too: {:?}",
        tally.two_masters
    );
    let _ = write!(text, "settled after: {:?}", tally.settled);
    text
}

fn list<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let counts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    counts.join(", ")
}

/// What was broken, with what happened around it.
pub fn failure(seed: u64, history: &History, broken: &[Broken]) -> String {
    let mut text = format!("PROMOTERD_NEMESIS_SEED={seed}: {} breaches\n", broken.len());
    let mut told: BTreeMap<_, usize> = BTreeMap::new();
    let mut shown = Vec::new();
    for one in broken {
        let count = told.entry((one.rule, one.group)).or_default();
        *count += 1;
        if *count <= TOLD_MAX {
            let _ = writeln!(text, "{one}");
        }
        if *count == 1 {
            shown.push(one);
        }
    }
    let _ = writeln!(text, "in all: {told:?}");
    for one in shown.into_iter().take(SHOWN_MAX) {
        let _ = writeln!(text, "\n--- around {one}");
        let from = one.at.saturating_sub(BEFORE);
        around(&mut text, history, from, one.at + AFTER, one.group);
    }
    text
}

fn around(text: &mut String, history: &History, from: At, until: At, group: Option<usize>) {
    for (at, of, what) in &history.notes {
        let is_near = (from..=until).contains(at);
        let matters = of.is_none() || group.is_none() || *of == group;
        let is_dull = DULL.iter().any(|dull| what.contains(dull));
        if is_near && matters && !is_dull {
            let of = of.map_or_else(String::new, |of| format!(" g{}", of + 1));
            let _ = writeln!(text, "{:9.3}{of} {what}", at.as_secs_f64());
        }
    }
}

/// Keeps the logs of a run that failed, and says where.
pub fn keep(site: &Site, seed: u64) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/nemesis-{seed}"));
    fs::create_dir_all(&kept).unwrap();
    for daemon in &site.daemons {
        fs::write(
            kept.join(format!("daemon-{}.log", daemon.name)),
            daemon.logged(),
        )
        .unwrap();
    }
    for group in &site.groups {
        for (instance, server) in group.servers.iter().enumerate() {
            let target = kept.join(format!("{}-{instance}.log", group.name));
            // One that never started has none.
            drop(fs::copy(server.log(), target));
        }
    }
    eprintln!("the logs of daemons and servers are in {}", kept.display());
}
