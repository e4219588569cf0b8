//! The demo's words.

use std::time::Duration;

use super::cluster::{Cluster, NODES};
use super::listen::Heard;
use super::{Fault, Seen, milliseconds};

/// Who plays.
pub(super) fn cast(cluster: &Cluster) -> String {
    let instances: Vec<String> = cluster
        .ports
        .iter()
        .zip(&cluster.instances)
        .enumerate()
        .map(|(position, (port, process))| {
            let role = if position == 0 { "master " } else { "replica" };
            format!("  {role}  127.0.0.1:{port}  process {}\n", process.id())
        })
        .collect();
    format!(
        "{}  daemons  {}, each with a client file to keep right\n\
         a client writes all the time to the address in its file ...\n",
        instances.concat(),
        NODES.join(", "),
    )
}

/// A line of the timeline.
pub(super) fn line(after: Duration, heard: &Heard) -> String {
    format!(
        "+{:>7.1} ms  {}  {}\n",
        milliseconds(after),
        heard.node,
        heard.happening
    )
}

/// What it came to.
pub(super) fn outcome(seen: &Seen) -> String {
    let line_of = |text: &str| {
        text.lines()
            .find(|line| line.starts_with("REDIS_URL"))
            .unwrap_or_default()
            .to_owned()
    };
    let loss = match seen.fault {
        Fault::Kill => "crash",
        Fault::Hang => "hang",
    };
    let steps: String = seen
        .steps
        .iter()
        .map(|step| format!("  +{:>7.1} ms  {}\n", step.after_ms, step.step))
        .collect();
    format!(
        "\nas the leader logged it, from its first evidence:\n{steps}\n\
         the client's file before  {}\n\
         the client's file after   {}\n\n\
         {loss} to a writable master         {:>7.1} ms\n\
         writable to all files rewritten   {:>7.1} ms\n\
         longest pause the client saw      {:>7.1} ms\n\
         acknowledged writes lost          {:>5} of {}\n",
        line_of(&seen.file_before),
        line_of(&seen.file_after),
        seen.loss_to_writable_ms,
        seen.writable_to_files_ms,
        seen.client_pause_ms,
        seen.acked_writes_lost,
        seen.acked_writes,
    )
}

/// How to go on by hand.
pub(super) fn how_to_look(cluster: &Cluster) -> String {
    let ids: Vec<String> = cluster
        .process_ids()
        .iter()
        .map(ToString::to_string)
        .collect();
    format!(
        "\nstill running, in {directory}:\n\
         \x20 promoterd status --socket {socket}\n\
         \x20 curl --unix-socket {socket} http://promoterd/v1/status\n\
         \x20 tail -f {directory}/promoterd-a.log\n\
         end it with:\n\
         \x20 kill {ids}; rm -rf {directory}\n",
        directory = cluster.directory.display(),
        socket = cluster.socket(NODES[0]).display(),
        ids = ids.join(" "),
    )
}
