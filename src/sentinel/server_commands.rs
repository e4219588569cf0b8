//! Commands about this server as a whole: `INFO`, `ROLE`, and those that are refused.

use std::fmt::{self, Write};

use super::reply::Replies;
use super::session::{REDIS_VERSION, Surroundings};
use super::view::{GroupView, View};

/// The sections that a Sentinel has, in their order.
const SECTIONS: [(&str, WriteSection); 5] = [
    ("server", write_server),
    ("clients", write_clients),
    ("cpu", write_cpu),
    ("stats", write_stats),
    ("sentinel", write_masters),
];

type WriteSection = fn(&Surroundings<'_>, &mut String) -> fmt::Result;

/// `PUBLISH`
pub fn publish(replies: &mut Replies<'_>) {
    replies.error(
        "ERR PUBLISH is refused: events are those of this node alone, and promoterd's nodes do not tell one \
         another by it",
    );
}

/// `SHUTDOWN`
pub fn shutdown(replies: &mut Replies<'_>) {
    replies.error("ERR SHUTDOWN is refused: stop the unit promoterd on this host");
}

/// `ROLE`
pub fn role(view: &View, replies: &mut Replies<'_>) {
    replies.array(2);
    replies.text("sentinel");
    replies.array(view.groups.len());
    for name in view.groups.keys() {
        replies.text(name.as_str());
    }
}

/// `INFO`
pub fn info(arguments: &[&[u8]], around: &Surroundings<'_>, replies: &mut Replies<'_>) {
    let is_all = |word: &&[u8]| {
        let all = ["all", "default", "everything"];
        all.iter()
            .any(|name| name.as_bytes().eq_ignore_ascii_case(word))
    };
    let everything = arguments.is_empty() || arguments.iter().any(is_all);
    let is_wanted = |section: &str| {
        let is_it = |word: &&[u8]| section.as_bytes().eq_ignore_ascii_case(word);
        everything || arguments.iter().any(is_it)
    };
    let mut page = String::new();
    for (_, write_section) in SECTIONS.iter().filter(|(name, _)| is_wanted(name)) {
        if !page.is_empty() {
            page.push_str("\r\n");
        }
        // A String takes all that it is given.
        let _ = write_section(around, &mut page);
    }
    // No page even in RESP3: so Sentinel has it.
    replies.text(&page);
}

fn write_server(around: &Surroundings<'_>, page: &mut String) -> fmt::Result {
    let since = around.server.started_at;
    let uptime = around.now.saturating_duration_since(since).as_secs();
    write!(
        page,
        "# Server\r\nredis_version:{REDIS_VERSION}\r\nredis_mode:sentinel\r\n\
         promoterd_version:{}\r\npromoterd_node:{}\r\nos:{} {}\r\narch_bits:{}\r\n\
         process_id:{}\r\nrun_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{uptime}\r\n\
         uptime_in_days:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        around.view.node,
        std::env::consts::OS,
        std::env::consts::ARCH,
        usize::BITS,
        std::process::id(),
        around.view.id(),
        around.server.port,
        uptime / 86_400,
    )
}

fn write_clients(around: &Surroundings<'_>, page: &mut String) -> fmt::Result {
    let facts = &around.server;
    write!(
        page,
        "# Clients\r\nconnected_clients:{}\r\nmaxclients:{}\r\npubsub_clients:{}\r\n",
        facts.clients, facts.clients_max, facts.subscribers
    )
}

/// What the process uses is told by the service manager.
fn write_cpu(_: &Surroundings<'_>, page: &mut String) -> fmt::Result {
    write!(page, "# CPU\r\n")
}

fn write_stats(around: &Surroundings<'_>, page: &mut String) -> fmt::Result {
    let facts = &around.server;
    write!(
        page,
        "# Stats\r\ntotal_connections_received:{}\r\ntotal_commands_processed:{}\r\n\
         rejected_connections:{}\r\nclient_output_buffer_limit_disconnections:{}\r\n",
        facts.accepted, facts.commands, facts.rejected, facts.dropped
    )
}

fn write_masters(around: &Surroundings<'_>, page: &mut String) -> fmt::Result {
    let view = around.view;
    write!(
        page,
        "# Sentinel\r\nsentinel_masters:{}\r\nsentinel_tilt:0\r\nsentinel_tilt_since_seconds:-1\r\n\
         sentinel_running_scripts:0\r\nsentinel_scripts_queue_length:0\r\n\
         sentinel_simulate_failure_flags:0\r\n",
        view.groups.len()
    )?;
    for (number, (name, group)) in view.groups.iter().enumerate() {
        let master = &group.outline.master;
        write!(
            page,
            "master{number}:name={name},status={},address={}:{},slaves={},sentinels={}\r\n",
            status(group),
            master.host(),
            master.port(),
            group.outline.instances.len() - 1,
            view.other_sentinels(around.now) + 1
        )?;
    }
    Ok(())
}

fn status(group: &GroupView) -> &'static str {
    let is_subjectively_down = group.outline.instances.first();
    let is_subjectively_down = is_subjectively_down.is_some_and(|it| it.down_since.is_some());
    match (group.outline.is_down, is_subjectively_down) {
        (true, _) => "odown",
        (false, true) => "sdown",
        (false, false) => "ok",
    }
}
