//! Scripts of a group's life, each with the transcript that it has to lead to.
//!
//! A script stands above a line of dashes and its transcript below. It drives the real core of some
//! nodes, with instances and a log that exist only as far as decisions need them, in virtual time.
//! `PROMOTERD_REWRITE=1 cargo test --test scenarios` writes the transcripts anew: read what changed.
//!
//! A script says who there is, then what happens and when, in milliseconds:
//!
//! ```text
//! nodes n1 n2 n3              the first one leads
//! beside n1 a                 n1 runs on the host of a
//! at 0 writes a 100           a takes 100 bytes and its replicas get them
//! at 5 kill a                 also: hang, resume, restart a empty|data|aof|old, lag
//! at 5 cut n1 a               nothing comes through; `reject` answers with resets; `heal`
//! rescues                     RESCUE=on: what an old master has is saved before it is demoted
//! at 5 deny promote b         also: lose promote, deny follow, deny info, deny sync, load b, heed b, priority b 0
//! at 5 replicaof c z          somebody orders it by hand; `replicaof c none`
//! settings n2                 n2 has other settings than the others
//! at 5 ask n2 7 pause 500      somebody pauses the group by n2, as operation 7; `ask n2 8 resume`, `adopt b`
//! at 5 ask n2 9 switchover c   somebody wants c to be the master; without a name, the best one
//! at 5 client a 10             a client of a writes 10 bytes, waits while a holds writes, may be refused
//! at 5 slow b 3                the stream takes 3 ms to b; `deny hold a`: a cannot hold writes
//! at 5 sentinels 3            so many Sentinels watch all instances
//! at 5 lead n2                also: freeze log, drop log, thaw log, pause n1, wake n1
//! at 5 suspend n1             its host sleeps, with what is beside it, until `wake n1`
//! at 5 probes on              show what is asked of the probe connections too
//! at 9 show                   how everything stands
//! ```
#![allow(
    clippy::unwrap_used,
    reason = "a script that cannot be read fails its test"
)]

mod clients;
mod command;
mod fencing;
mod header;
mod instance;
#[path = "../model/invariants/mod.rs"]
mod invariants;
mod log;
mod node;
mod probing;
mod queue;
mod replication;
mod sweep;
mod transcript;
mod weather;
mod world;

use std::path::{Path, PathBuf};

const DASHES: &str = "----";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Plays a script to its end and returns what came of it.
fn transcribe(script: &str) -> String {
    let header = header::Header::read(script);
    let mut world = world::World::new(&header, true);
    world.run_until(world.origin);
    world.transcript = transcript::Transcript::new(true);
    let end = world.schedule(&header);
    world.run_until(end + 1);
    let text = world.transcript.last(usize::MAX);
    if let Some(violation) = world.violation {
        panic!("{violation}\n{text}");
    }
    text
}

fn play(name: &str) {
    let path = directory().join(name).with_extension("txt");
    let text = std::fs::read_to_string(&path).unwrap();
    let (script, expected) = text.split_once(DASHES).unwrap_or((&text, ""));
    let transcript = transcribe(script);
    if std::env::var_os("PROMOTERD_REWRITE").is_some() {
        let script = script.trim_end();
        std::fs::write(&path, format!("{script}\n\n{DASHES}\n{transcript}")).unwrap();
        return;
    }
    let expected = expected.strip_prefix('\n').unwrap_or(expected);
    for (expected, actual) in expected.lines().zip(transcript.lines()) {
        assert_eq!(actual, expected, "{name}; all of it:\n{transcript}");
    }
    assert_eq!(transcript, expected, "{name}");
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                play(stringify!($name));
            }
        )*

        #[test]
        fn every_script_is_played() {
            let played = [$(stringify!($name)),*];
            for entry in std::fs::read_dir(directory()).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "txt") {
                    let name = path.file_stem().unwrap().to_str().unwrap();
                    assert!(played.contains(&name), "{name} is not in the list");
                }
            }
        }
    };
}

scenarios! {
    a_group_with_two_masters_is_registered_by_hand
    a_leader_whose_settings_are_its_own_registers_nothing
    a_guarded_group_lets_its_replicas_in_anew_in_each_epoch
    a_lost_master_that_has_more_is_waited_for_as_long_as_silence
    a_master_that_loads_more_than_any_replica_has_is_waited_for
    a_master_that_dies_while_it_loads_and_loads_again_is_waited_for
    a_leader_that_never_saw_the_old_master_estimates_no_loss
    an_emptied_master_that_took_writes_has_not_its_data_back
    an_emptied_master_that_has_more_to_offer_no_longer_is_not_waited_for
    a_candidate_that_dies_is_not_waited_for
    a_candidate_that_restarted_empty_is_not_promoted
    a_crash_is_proven_by_the_node_beside_it
    a_crash_without_proof_needs_a_quorum
    a_deposed_leader_does_nothing_more
    an_instance_that_cannot_be_fenced_is_replaced_all_the_same
    under_strict_fencing_a_crash_waits_for_nobody
    under_strict_fencing_a_master_that_is_cut_off_stops_before_another_is_promoted
    under_strict_fencing_the_fencer_ends_what_its_daemon_left
    under_strict_fencing_a_hung_master_is_ended_before_another_is_promoted
    under_strict_fencing_a_host_that_slept_too_long_wakes_without_its_master
    under_strict_fencing_a_lease_from_before_a_sleep_counts_no_more
    under_strict_fencing_a_pause_may_lift_the_leases
    under_strict_fencing_a_master_whose_daemon_is_cut_off_is_replaced_although_it_answers
    under_strict_fencing_a_master_that_cannot_be_fenced_is_ended
    strict_fencing_that_cannot_be_in_force_promotes_nobody
    an_old_master_gets_back_the_limits_of_its_own
    a_fence_without_an_owner_is_lifted_where_that_is_safe
    a_group_that_sentinels_watch_is_left_to_them
    a_hung_master_is_silent
    a_given_up_master_that_is_well_again_is_kept
    a_lost_answer_to_a_promotion_is_looked_up
    a_master_that_answers_one_node_is_no_crash
    a_master_that_is_cut_off_is_fenced_and_let_go_when_its_epoch_stands
    a_master_that_rejects_a_quorum_is_lost_in_time
    a_master_that_turned_replica_is_replaced
    a_master_that_writes_after_an_old_restart_stays_lost
    a_new_leader_finishes_a_promotion_that_was_done
    a_promotion_that_happened_is_not_aborted
    a_restarted_master_is_kept_when_nobody_else_may_be
    a_new_leader_finishes_a_promotion_that_was_not_begun
    a_group_that_flaps_is_paused
    a_switchover_loses_nothing
    a_switchover_to_one_that_lags_is_given_up
    a_switchover_that_cannot_hold_writes_is_given_up
    a_switchover_is_refused_where_nobody_may_take_the_place
    a_master_that_dies_while_it_hands_over_is_replaced
    a_next_leader_finishes_the_switchover
    a_next_leader_lets_the_old_master_take_in_what_is_new
    a_planned_switchover_is_no_sign_of_flapping
    a_pause_stops_a_switchover_that_has_not_begun
    a_node_that_slept_takes_its_own_silence_for_nothing
    a_pause_after_begin_lets_the_epoch_end_and_repairs_nothing
    a_pause_before_begin_makes_it_void
    a_pause_ends_with_its_time
    a_pause_holds_while_the_master_is_down
    a_refused_promotion_is_followed_by_the_next_candidate
    a_replica_that_refuses_info_is_passed_over_at_once
    a_replica_that_gets_the_stream_delays_the_failover_as_long_as_it_may
    a_replica_that_strays_is_repointed
    a_request_reaches_the_next_leader
    a_restart_behind_what_a_replica_got_meanwhile_is_a_failover
    a_restart_with_all_data_is_no_failover
    a_restart_without_data_is_a_failover
    a_restarted_master_that_has_more_is_no_replica_for_long
    a_restarted_replica_is_brought_back_and_a_stranger_is_not
    a_second_crash_before_the_replicas_followed
    nobody_can_be_promoted
    data_that_nobody_has_are_not_waited_for
    what_is_left_is_gone_on_with_once_all_have_spoken
    the_old_master_returns
    what_an_old_master_takes_until_it_is_demoted_is_in_its_loss
    what_the_old_master_has_is_saved_before_it_is_demoted
    what_cannot_be_saved_is_told_and_the_group_goes_on
    the_first_start
}
