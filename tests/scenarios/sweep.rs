//! A failover, and a switchover, that is disturbed at every moment of its course: whatever is hit, and
//! whenever, somebody finishes or aborts the open epoch, and the group is whole again. What clients were
//! told is written is there.

use crate::world::World;

/// Tenths of a millisecond: when the master dies; from when on the other replica is repointed before
/// anybody can know of the end of the promoted one; when, undisturbed, everything has followed.
const DIES: u32 = 50;
const REPOINTED: u32 = 74;
const FOLLOWED: u32 = 120;

/// What is disturbed, from its first tenth of a millisecond on.
struct Course {
    script: String,
    begins: u32,
}

/// A failover of `a`.
fn failover() -> Course {
    Course {
        script: "nodes n1 n2 n3\nbeside n1 a\nat 5 kill a\n".to_owned(),
        begins: DIES,
    }
}

/// A switchover of `a`, whose clients write all the time, and again when what disturbs it ends. The stream to
/// its replicas takes so many milliseconds.
fn switchover(stream: f64) -> Course {
    let mut script = String::from("nodes n1 n2 n3\nbeside n1 a\n");
    for name in ["b", "c"] {
        script.push_str(&format!("at 0 slow {name} {stream}\n"));
    }
    let often = (0..50).map(|number| 1.0 + 0.3 * f64::from(number));
    let later = (0..60).map(|number| 2503.0 + 0.3 * f64::from(number));
    for at in often.chain(later) {
        script.push_str(&format!("at {at:.1} client a 10\n"));
    }
    script.push_str("at 5 ask n2 7 switchover\n");
    Course {
        script,
        begins: DIES,
    }
}

/// Plays `course` with `disturbance` at every tenth of a millisecond of it until `until`, and with `mend` some
/// milliseconds later; checks how everything stands when it is long over.
fn sweep(course: &Course, until: u32, disturbance: &[&str], later: f64, mend: &[&str]) {
    for tenths in course.begins..until {
        let at = f64::from(tenths) / 10.0;
        let mut script = course.script.clone();
        let disturbed = disturbance.iter().map(|line| format!("at {at} {line}\n"));
        let mended = mend
            .iter()
            .map(|line| format!("at {} {line}\n", at + later));
        script.extend(disturbed.chain(mended));
        script.push_str("at 9000 show\n");
        let transcript = World::play(&script);
        if let Err(why) = is_whole(&transcript) {
            panic!("{disturbance:?} at {at}: {why}; all of it:\n{transcript}");
        }
    }
}

/// Reads the last `show`: the nodes that run agree and have nothing left to do, and one of the
/// instances that run is the master that they name, which the others follow.
fn is_whole(transcript: &str) -> Result<(), String> {
    let mut shown = transcript.lines().rev().peekable();
    let acknowledged = shown
        .next_if(|line| line.contains("acknowledged"))
        .and_then(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok())
        .unwrap_or(0);
    let instances = shown.next().ok_or("nothing was shown")?;
    let nodes = shown.next().ok_or("nobody was shown")?;
    let mut agreed: Vec<&str> = parts(nodes)
        .filter_map(|node| node.split_once(' '))
        .filter(|(node, _)| {
            let is_paused = transcript.contains(&format!("pause {node}"));
            !is_paused || transcript.contains(&format!("wake {node}"))
        })
        .map(|(_, state)| state)
        .collect();
    agreed.dedup();
    let [state] = agreed[..] else {
        return Err(format!("the nodes disagree: {agreed:?}"));
    };
    let master = state
        .strip_prefix("watching, epoch ")
        .and_then(|rest| rest.split_once(" of "))
        .map(|(_, master)| master)
        .ok_or_else(|| format!("not at rest: {state}"))?;
    let running = parts(instances).filter(|it| !it.ends_with(" dead") && !it.ends_with(" hung"));
    for instance in running {
        let is_master = instance.starts_with(&format!("{master} master at "));
        if !is_master && !instance.contains(&format!(" follows {master} at ")) {
            return Err(format!("{instance}, and the master is {master}"));
        }
    }
    let expected = 1000 + acknowledged;
    let lives = parts(instances).any(|it| it == format!("{master} master at {expected}"));
    lives
        .then_some(())
        .ok_or_else(|| format!("{master} is no master with the data, {expected} of them"))
}

/// `  9000.0      one; another`.
fn parts(line: &str) -> impl Iterator<Item = &str> {
    let text = line
        .trim_start()
        .split_once("      ")
        .map_or("", |(_, text)| text);
    text.split("; ")
}

macro_rules! sweeps {
    ($($name:ident, $course:expr, $until:expr, $disturbance:expr, $later:expr => $mend:expr;)*) => {
        $(
            #[test]
            fn $name() {
                sweep(&$course, $until, &$disturbance, $later, &$mend);
            }
        )*
    };
}

sweeps! {
    whenever_the_leader_dies_the_next_one_finishes, failover(), FOLLOWED,
        ["pause n1", "lead n2"], 3000.0 => [];
    whenever_the_leader_dies_and_comes_back_it_does_no_harm, failover(), FOLLOWED,
        ["pause n1", "lead n2"], 3000.0 => ["wake n1"];
    whenever_the_candidate_dies_the_other_replica_is_promoted, failover(), FOLLOWED,
        ["kill b"], 3000.0 => [];
    whenever_the_candidate_hangs_the_other_replica_is_promoted, failover(), FOLLOWED,
        ["hang b"], 3000.0 => ["resume b"];
    whenever_the_candidate_restarts_empty_the_data_survive, failover(), REPOINTED,
        ["restart b empty"], 3000.0 => [];
    whenever_the_candidate_loads_it_is_waited_for_or_passed_over, failover(), FOLLOWED,
        ["load b"], 3000.0 => ["heed b"];
    whenever_the_candidate_loses_its_connections_the_promotion_is_looked_up, failover(), FOLLOWED,
        ["reject n1 b"], 3000.0 => ["heal n1 b"];
    whenever_leader_and_candidate_die_together_the_other_replica_is_promoted, failover(), FOLLOWED,
        ["pause n1", "lead n2", "kill b"], 3000.0 => [];
    whenever_the_leader_dies_and_the_candidate_restarts_empty_the_data_survive, failover(), REPOINTED,
        ["pause n1", "lead n2", "restart b empty"], 3000.0 => [];
    whenever_the_next_leader_stops_too_the_third_one_finishes, failover(), FOLLOWED,
        ["pause n1", "lead n2"], 0.3 => ["pause n2", "lead n3", "wake n1"];
    whenever_the_leader_of_a_switchover_dies_the_next_one_finishes_or_gives_up, switchover(0.4), FOLLOWED,
        ["pause n1", "lead n2"], 2500.0 => [];
    whenever_the_leader_of_a_switchover_dies_and_comes_back_it_does_no_harm, switchover(0.4), FOLLOWED,
        ["pause n1", "lead n2"], 2500.0 => ["wake n1"];
    whenever_the_leader_of_a_switchover_dies_and_nobody_leads_for_long_nothing_is_lost, switchover(0.4), FOLLOWED,
        ["pause n1"], 2500.0 => ["lead n2"];
    whenever_the_leader_of_a_switchover_sleeps_it_looks_again, switchover(3.0), FOLLOWED,
        ["pause n1"], 2500.0 => ["wake n1"];
    whenever_the_log_of_a_switchover_stands_still_nothing_is_lost, switchover(3.0), FOLLOWED,
        ["freeze log"], 2500.0 => ["thaw log"];
    whenever_the_candidate_of_a_switchover_dies_the_master_goes_on, switchover(0.4), FOLLOWED,
        ["kill b"], 2500.0 => ["restart b empty"];
    whenever_the_candidate_of_a_switchover_hangs_the_master_goes_on, switchover(0.4), FOLLOWED,
        ["hang b"], 2500.0 => ["resume b"];
    whenever_the_master_of_a_switchover_dies_it_is_replaced, switchover(0.0), FOLLOWED,
        ["kill a"], 2500.0 => [];
    whenever_the_master_of_a_switchover_hangs_it_is_replaced_or_goes_on, switchover(0.0), FOLLOWED,
        ["hang a"], 2500.0 => ["resume a"];
    whenever_the_leader_of_a_switchover_loses_the_master_nothing_is_lost, switchover(0.4), FOLLOWED,
        ["reject n1 a"], 2500.0 => ["heal n1 a"];
    whenever_the_leader_of_a_switchover_is_cut_from_the_master_nothing_is_lost, switchover(0.4), FOLLOWED,
        ["cut n1 a"], 2500.0 => ["heal n1 a"];
    whenever_the_leader_of_a_switchover_loses_the_candidate_nothing_is_lost, switchover(0.4), FOLLOWED,
        ["reject n1 b"], 2500.0 => ["heal n1 b"];
    whenever_the_stream_of_a_switchover_lags_nothing_is_lost, switchover(0.4), FOLLOWED,
        ["slow b 30", "slow c 30"], 2500.0 => [];
    whenever_a_switchover_is_paused_nothing_is_lost, switchover(0.4), FOLLOWED,
        ["ask n3 8 pause"], 2500.0 => ["ask n3 9 resume"];
}
