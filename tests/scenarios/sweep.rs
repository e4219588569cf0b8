//! A failover that is disturbed at every moment of its course: whatever is hit, and whenever, somebody
//! finishes or aborts the open epoch, and the group is whole again.

use crate::transcribe;

/// Tenths of a millisecond: when the master dies; from when on the other replica is repointed before
/// anybody can know of the end of the promoted one; when, undisturbed, everything has followed.
const DIES: u32 = 50;
const REPOINTED: u32 = 74;
const FOLLOWED: u32 = 120;

/// Plays a failover of `a` with `disturbance` at every tenth of a millisecond of it until `until`, and with `mend` some
/// milliseconds later; checks how everything stands when it is long over.
fn sweep(until: u32, disturbance: &[&str], later: f64, mend: &[&str]) {
    for tenths in DIES..until {
        let at = f64::from(tenths) / 10.0;
        let mut script = String::from("nodes n1 n2 n3\nbeside n1 a\nat 5 kill a\n");
        let disturbed = disturbance.iter().map(|line| format!("at {at} {line}\n"));
        let mended = mend
            .iter()
            .map(|line| format!("at {} {line}\n", at + later));
        script.extend(disturbed.chain(mended));
        script.push_str("at 9000 show\n");
        let transcript = transcribe(&script);
        if let Err(why) = is_whole(&transcript) {
            panic!("{disturbance:?} at {at}: {why}; all of it:\n{transcript}");
        }
    }
}

/// Reads the last `show`: the nodes that run agree and have nothing left to do, and one of the
/// instances that run is the master that they name, which the others follow.
fn is_whole(transcript: &str) -> Result<(), String> {
    let mut shown = transcript.lines().rev();
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
    let lives = instances.contains(&format!("{master} master at 1000"));
    lives
        .then_some(())
        .ok_or_else(|| format!("{master} is no master with the data"))
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
    ($($name:ident, $until:expr, $disturbance:expr, $later:expr => $mend:expr;)*) => {
        $(
            #[test]
            fn $name() {
                sweep($until, &$disturbance, $later, &$mend);
            }
        )*
    };
}

sweeps! {
    whenever_the_leader_dies_the_next_one_finishes, FOLLOWED,
        ["pause n1", "lead n2"], 3000.0 => [];
    whenever_the_leader_dies_and_comes_back_it_does_no_harm, FOLLOWED,
        ["pause n1", "lead n2"], 3000.0 => ["wake n1"];
    whenever_the_candidate_dies_the_other_replica_is_promoted, FOLLOWED,
        ["kill b"], 3000.0 => [];
    whenever_the_candidate_hangs_the_other_replica_is_promoted, FOLLOWED,
        ["hang b"], 3000.0 => ["resume b"];
    whenever_the_candidate_restarts_empty_the_data_survive, REPOINTED,
        ["restart b empty"], 3000.0 => [];
    whenever_the_candidate_loads_it_is_waited_for_or_passed_over, FOLLOWED,
        ["load b"], 3000.0 => ["heed b"];
    whenever_the_candidate_loses_its_connections_the_promotion_is_looked_up, FOLLOWED,
        ["reject n1 b"], 3000.0 => ["heal n1 b"];
    whenever_leader_and_candidate_die_together_the_other_replica_is_promoted, FOLLOWED,
        ["pause n1", "lead n2", "kill b"], 3000.0 => [];
    whenever_the_leader_dies_and_the_candidate_restarts_empty_the_data_survive, REPOINTED,
        ["pause n1", "lead n2", "restart b empty"], 3000.0 => [];
    whenever_the_next_leader_stops_too_the_third_one_finishes, FOLLOWED,
        ["pause n1", "lead n2"], 0.3 => ["pause n2", "lead n3", "wake n1"];
}
