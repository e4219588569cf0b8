//! Tests of the page, by its exact text.

use super::example::{self, NOW};
use super::{StatusReport, StatusSource, render};

fn page(source: &StatusSource) -> String {
    render(&StatusReport::from(source), NOW)
}

/// The page from the line that begins with `start`.
fn page_from(source: &StatusSource, start: &str) -> String {
    let page = page(source);
    let from = page.find(&format!("\n{start}")).unwrap();
    page[from + 1..].to_owned()
}

#[test]
fn a_healthy_cluster_is_one_short_page() {
    let expected = "\
all well

node b (leader), leader b, term 7, promoterd 0.1.0, up 2 h 5 min
  VOTER  ADDRESS        LINK
  a      10.0.0.1:7400  up for 2 h 5 min
  b      10.0.0.2:7400  this node
  c      10.0.0.3:7400  up for 2 h 5 min

group features: master 10.0.0.1:6379, epoch 1, watching
  INSTANCE       ROLE     HEALTH  OFFSET      LAG  PRIORITY  VERSION       NOTE
  10.0.0.1:6379  master   up       89536        -       100  redis 7.0.15
  10.0.0.2:6379  replica  up       89536      0 B       100  redis 7.0.15
  10.0.0.3:6379  replica  up       88000  1.5 KiB       100  redis 7.0.15
  CLIENT  FILE                EPOCH  ERROR
  api     /etc/api/redis.env      1  -
"
    .replace("0.1.0", env!("CARGO_PKG_VERSION"));
    assert_eq!(page(&example::healthy()), expected);
}

#[test]
fn a_failover_is_told_step_by_step_with_its_cause_and_its_loss() {
    let expected = "\
WRONG: group features: replica 10.0.0.1:6379 is not well: copying the master's data
   and voter c is not connected: connection refused

node b (leader), leader b, term 7, promoterd 0.1.0, up 2 h 5 min
  VOTER  ADDRESS        LINK
  a      10.0.0.1:7400  up for 2 h 5 min
  b      10.0.0.2:7400  this node
  c      10.0.0.3:7400  down for 3.2 s: connection refused

group features: master 10.0.0.2:6379, epoch 2, watching
  INSTANCE       ROLE     HEALTH    OFFSET      LAG  PRIORITY  VERSION       NOTE
  10.0.0.2:6379  master   up         89536        -       100  redis 7.0.15
  10.0.0.1:6379  replica  not well   89536      0 B       100  redis 7.0.15  copying the master's data
  10.0.0.3:6379  replica  up         88000  1.5 KiB       100  redis 7.0.15
  CLIENT  FILE                EPOCH  ERROR
  api     /etc/api/redis.env      2  -

last failovers
  2026-02-02T02:40:00.123Z (30 min ago)  features, epoch 2: 10.0.0.1:6379 to 10.0.0.2:6379, done
    cause: gone (a says gone, b says silent; 2 needed), decided by b
    passed over: 10.0.0.4:6379: its priority is 0
    +     20.4 ms  objectively down        took 20.4 ms
    +     22.0 ms  begin committed         took 1.6 ms
    +     23.1 ms  replica promoted        took 1.1 ms
    +   1031.5 ms  client files rewritten  took 1008.4 ms
    loss: 1.2 KiB in fact, 4.0 KiB at most by estimate
"
    .replace("0.1.0", env!("CARGO_PKG_VERSION"));
    assert_eq!(page(&example::after_failover()), expected);
}

#[test]
fn a_group_that_waits_for_discovery_says_for_what() {
    let expected = "\
WRONG: no leader: nothing is promoted until a majority of the voters can talk
   and no leader has confirmed this node's state yet: its files are not touched
   and group features is not registered: no answer from 10.0.0.3:6379 (connection refused): \
start them, or take them out of INSTANCES

node b (candidate), no leader, term 0, promoterd 0.1.0, up 2 h 5 min
  VOTER  ADDRESS        LINK
  a      10.0.0.1:7400  up for 2 h 5 min
  b      10.0.0.2:7400  this node
  c      10.0.0.3:7400  up for 2 h 5 min

group features: discovering, no answer from 10.0.0.3:6379 (connection refused): start them, or \
take them out of INSTANCES
  INSTANCE       ROLE     HEALTH      OFFSET  LAG  PRIORITY  VERSION       NOTE
  10.0.0.2:6379  replica  up           89536  0 B       100  redis 7.0.15
  10.0.0.3:6379  -        down: gone       -    -         -  -             connection refused
  CLIENT  FILE                EPOCH  ERROR
  api     /etc/api/redis.env      -  -
"
    .replace("0.1.0", env!("CARGO_PKG_VERSION"));
    assert_eq!(page(&example::discovering()), expected);
}

#[test]
fn a_file_that_is_behind_stands_in_the_first_line_and_commands_no_terminal() {
    let page = page(&example::file_errors());
    let first = "WRONG: client api: file /etc/api/redis.env: names the master of epoch 1, not 2: \
                 cannot write /etc/api: permission denied?[2J\n";
    assert!(page.starts_with(first), "{page}");
    let files = "
  CLIENT  FILE                  EPOCH  ERROR
  api     /etc/api/redis.env        1  cannot write /etc/api: permission denied?[2J
  worker  /etc/worker/app.toml      1  -
";
    assert!(page.contains(files), "{page}");
    assert!(!page.contains('\u{1b}'));
}

#[test]
fn what_a_command_printed_that_failed_is_on_the_page_and_commands_no_terminal() {
    let page = page(&example::command_errors());
    let first = "WRONG: client api: file /etc/api/redis.env: names the master of epoch 1, not 2: CHECK \
                 refused the new content\n   and client worker: file /etc/api/redis.env: RELOAD failed\n";
    assert!(page.starts_with(first), "{page}");
    let files = "
  CLIENT  FILE                EPOCH  ERROR
  api     /etc/api/redis.env      1  CHECK refused the new content
  worker  /etc/api/redis.env      2  RELOAD failed
  CHECK of api printed: line 7: no such server
  CHECK of api printed: Fatal errors found
  RELOAD of worker: failed, epoch 2
  RELOAD of worker printed: Unit worker.service not loaded.?[2J
";
    assert!(page.contains(files), "{page}");
}

#[test]
fn who_holds_the_master_down_and_who_cannot_take_its_place_is_told() {
    let expected = "\
group features: master 10.0.0.1:6379, epoch 1, suspecting
  INSTANCE       ROLE     HEALTH        OFFSET      LAG  PRIORITY  VERSION       NOTE
  10.0.0.1:6379  master   down: silent   89536        -       100  redis 7.0.15  read 1 min 1 s ago
  10.0.0.2:6379  replica  up             89536      0 B       100  redis 7.0.15
  10.0.0.3:6379  replica  up             88000  1.5 KiB       100  redis 7.0.15
  held down by a: wrong role for 1.2 s
  suspected by b for 300 ms
  not promoted: 10.0.0.3:6379: 1536 bytes behind, 1000 allowed
  CLIENT  FILE                EPOCH  ERROR
  api     /etc/api/redis.env      1  -
";
    assert_eq!(
        page_from(&example::suspecting(), "group features"),
        expected
    );
}

#[test]
fn an_aborted_epoch_says_why_and_claims_no_loss() {
    let expected = "\
last failovers
  2026-02-02T02:40:00.123Z (30 min ago)  features, epoch 2: 10.0.0.1:6379 to 10.0.0.2:6379, aborted
    cause: gone (a says gone, b says silent; 2 needed), decided by b
    why: the candidate was not promoted within 2000 ms
    loss: not counted, the epoch came to nothing
";
    assert_eq!(page_from(&example::aborted(), "last failovers"), expected);
}

#[test]
fn a_loss_is_an_estimate_until_the_old_master_is_back() {
    let mut source = example::after_failover();
    source.groups[0].failovers[0].loss = None;
    let page = page(&source);
    let last = page.lines().last().unwrap();
    assert_eq!(
        last,
        "    loss: 4.0 KiB at most by estimate, the fact is known once 10.0.0.1:6379 is back"
    );
}

#[test]
fn an_instance_that_is_not_logged_or_not_yet_known_is_marked() {
    let mut source = example::healthy();
    let instance = &mut source.groups[0].instances[2];
    instance.is_member = false;
    instance.is_healthy = false;
    instance.read_ago = None;
    let page = page(&source);
    let line = page
        .lines()
        .find(|line| line.starts_with("  10.0.0.3:6379"))
        .unwrap();
    assert_eq!(
        line,
        "  10.0.0.3:6379  replica  unknown   88000  1.5 KiB       100  redis 7.0.15  not of the \
         group yet"
    );
}

#[test]
fn the_page_ends_with_the_five_newest_failovers_of_all_groups() {
    let mut source = example::after_failover();
    let first = source.groups[0].failovers[0].clone();
    source.groups[0].failovers = (2..=9_u64)
        .map(|epoch| {
            let mut record = first.clone();
            record.begin.epoch.0 = epoch;
            record.begin.at.0 += epoch;
            record
        })
        .collect();
    let mut other = source.groups[0].clone();
    other.failovers.drain(..7);
    other.failovers[0].begin.group = "sessions".parse().unwrap();
    other.failovers[0].begin.at.0 += 1;
    source.groups.push(other);
    let page = page_from(&source, "last failovers");
    let shown: Vec<&str> = page
        .lines()
        .filter_map(|line| line.split("ago)  ").nth(1)?.split(':').next())
        .collect();
    assert_eq!(
        shown,
        [
            "sessions, epoch 9",
            "features, epoch 9",
            "features, epoch 8",
            "features, epoch 7",
            "features, epoch 6"
        ]
    );
}

#[test]
fn a_pause_stands_under_its_group_and_its_master_in_the_first_line() {
    let page = page(&example::paused());
    let first = "WRONG: group features: master 10.0.0.1:6379 is down, and nothing is done about it \
                 while the group is paused\n   and group features is paused by uid 1000 on a: nothing \
                 is done about it (`promoterd resume features` ends that)\n";
    assert!(page.starts_with(first), "{page}");
    let line = "
group features: master 10.0.0.1:6379, epoch 1, down
  PAUSED by uid 1000 on a since 2026-02-02T03:09:00.123Z, until 2026-02-02T03:39:00.123Z (29 min \
                left): new disks
";
    assert!(page.contains(line), "{page}");
}
