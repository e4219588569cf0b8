//! A nemesis: five hosts with real daemons and servers, writers on every side, and faults from a seed;
//! afterwards a checker judges what was recorded.
//!
//! Needs root, for network namespaces, and a C compiler. `PROMOTERD_NEMESIS_SEED` plays another plan,
//! `PROMOTERD_NEMESIS_SECONDS` and `PROMOTERD_NEMESIS_GROUPS` make it longer and larger,
//! `PROMOTERD_NEMESIS_FENCING` has another level.

mod checker;
mod daemon_faults;
mod harm;
mod history;
mod listeners;
#[allow(
    clippy::module_inception,
    reason = "the nemesis is what the others serve"
)]
mod nemesis;
mod plan;
mod recorder;
mod report;
mod server_logs;
mod site;
mod writers;

use std::time::{Duration, Instant, SystemTime};

use checker::SETTLES_WITHIN;
use history::Level;
use nemesis::Nemesis;
use recorder::Recorder;
use site::{Site, Wanted};

/// After so long all faults are taken back, and everything has to settle.
const ROUND: Duration = Duration::from_secs(40);
/// What is asked for by a test run.
const SECONDS: u64 = 60;
const GROUPS: usize = 4;
/// The plan of a test run: what is found in one is to be found in the next.
const SEED: u64 = 5;
/// What the soak is for.
const SOAK_SECONDS: u64 = 600;
const SOAK_GROUPS: usize = 8;

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable);
    value.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}"))
    })
}

fn drawn_seed() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    u64::from(since.subsec_nanos()) ^ since.as_secs()
}

fn run(seed: u64, seconds: u64, groups: usize) {
    let seed = number("PROMOTERD_NEMESIS_SEED", seed);
    let wanted = Wanted {
        groups: usize::try_from(number("PROMOTERD_NEMESIS_GROUPS", groups as u64)).unwrap(),
        fencing: std::env::var("PROMOTERD_NEMESIS_FENCING").unwrap_or_else(|_| "fast".to_owned()),
        log: std::env::var("PROMOTERD_NEMESIS_LOG").unwrap_or_else(|_| "promoterd=info".to_owned()),
    };
    let seconds = number("PROMOTERD_NEMESIS_SECONDS", seconds);
    eprintln!("nemesis: PROMOTERD_NEMESIS_SEED={seed}, {seconds} s, {wanted:?}");
    let mut site = Site::start(&wanted);
    let recorder = Recorder::start(&site);
    let mut calms = Vec::new();
    let found = play(
        &mut site,
        &recorder,
        seed,
        Duration::from_secs(seconds),
        &mut calms,
    );
    let done = (found.done.clone(), found.passed_over.clone());
    let history = recorder.end(&site, found, calms, Level::read(&wanted.fencing));
    let verdict = checker::check(&history);
    eprintln!("{}", report::summary(&verdict.tally, &done.0, &done.1));
    if !verdict.broken.is_empty() {
        report::keep(&site, seed);
        panic!("{}", report::failure(seed, &history, &verdict.broken));
    }
}

/// Rounds of faults, each until everything has settled; between them everything is restarted.
fn play(
    site: &mut Site,
    recorder: &Recorder,
    seed: u64,
    span: Duration,
    calms: &mut Vec<(Duration, Result<Duration, String>)>,
) -> nemesis::Found {
    let hosts = site.daemons.len();
    let groups = site.groups.len();
    let mut nemesis = Nemesis::new(site, recorder.began, seed);
    for round in 0_u64.. {
        let left = span.saturating_sub(nemesis.now());
        if left.is_zero() {
            break;
        }
        let lasts = ROUND.min(left);
        let plan = plan::draw(seed.wrapping_add(round), lasts, hosts, groups);
        nemesis.play(plan, lasts);
        if !settle(&mut nemesis, calms) {
            break;
        }
        if !span.saturating_sub(nemesis.now()).is_zero() {
            nemesis.restart_everything(round % 2 == 1);
            if !settle(&mut nemesis, calms) {
                break;
            }
        }
    }
    nemesis.found
}

fn settle(
    nemesis: &mut Nemesis<'_>,
    calms: &mut Vec<(Duration, Result<Duration, String>)>,
) -> bool {
    let start = Instant::now();
    let at = nemesis.now();
    nemesis.note(None, "all faults are taken back");
    loop {
        nemesis.supervise();
        match nemesis.site.settled() {
            Ok(()) => {
                calms.push((at, Ok(start.elapsed())));
                nemesis.note(None, "all has settled");
                return true;
            }
            Err(why) if start.elapsed() > SETTLES_WITHIN => {
                calms.push((at, Err(format!("not within {SETTLES_WITHIN:?}: {why}"))));
                return false;
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[test]
#[ignore = "measures time, so nothing may run beside it: tests/run soak"]
fn a_minute_of_random_faults_breaks_no_promise() {
    run(SEED, SECONDS, GROUPS);
}

/// Prints the figures that README.md has.
#[test]
#[ignore = "takes ten minutes: cargo test --test redis nemesis_soak -- --ignored --nocapture"]
fn nemesis_soak() {
    run(drawn_seed(), SOAK_SECONDS, SOAK_GROUPS);
}
