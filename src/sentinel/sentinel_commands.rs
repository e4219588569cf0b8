//! The subcommands of `SENTINEL`, with Valkey's spellings of them.

use super::fields;
use super::pattern;
use super::reply::Replies;
use super::session::{Next, Session, Surroundings, shown};
use super::view::{GroupView, View};
use crate::model::{InstanceInfo, MasterLink, Role};

/// As Sentinel has it.
const NO_SUCH_MASTER: &str = "ERR No such master with that name";

/// What is set elsewhere, and where.
const SET_ELSEWHERE: &str = "is set by PROMOTERD_GROUPS__F__… on all hosts, not by clients: change it there \
                             and reload promoterd";

/// One subcommand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subcommand {
    Help,
    MyId,
    Masters,
    Master,
    Replicas,
    Sentinels,
    MasterAddress,
    IsMasterDown,
    Quorum,
    Failover,
    InfoCache,
    PendingScripts,
    Config,
    FlushConfig,
    Reset,
    Monitor,
    Remove,
    Set,
    Debug,
    SimulateFailure,
}

impl Subcommand {
    fn find(word: &[u8]) -> Option<Self> {
        // The longest name is 23 bytes; what is longer is none.
        let mut name = [0; 32];
        let name = name.get_mut(..word.len())?;
        name.copy_from_slice(word);
        name.make_ascii_uppercase();
        Some(match &*name {
            b"GET-MASTER-ADDR-BY-NAME" | b"GET-PRIMARY-ADDR-BY-NAME" => Self::MasterAddress,
            b"MASTERS" | b"PRIMARIES" => Self::Masters,
            b"MASTER" | b"PRIMARY" => Self::Master,
            b"REPLICAS" | b"SLAVES" => Self::Replicas,
            b"SENTINELS" => Self::Sentinels,
            b"IS-MASTER-DOWN-BY-ADDR" | b"IS-PRIMARY-DOWN-BY-ADDR" => Self::IsMasterDown,
            b"CKQUORUM" => Self::Quorum,
            b"FAILOVER" => Self::Failover,
            b"MYID" => Self::MyId,
            b"INFO-CACHE" => Self::InfoCache,
            b"PENDING-SCRIPTS" => Self::PendingScripts,
            b"CONFIG" => Self::Config,
            b"FLUSHCONFIG" => Self::FlushConfig,
            b"RESET" => Self::Reset,
            b"MONITOR" => Self::Monitor,
            b"REMOVE" => Self::Remove,
            b"SET" => Self::Set,
            b"DEBUG" => Self::Debug,
            b"SIMULATE-FAILURE" => Self::SimulateFailure,
            b"HELP" => Self::Help,
            _ => return None,
        })
    }

    /// Whether it can have so many arguments.
    fn takes(self, count: usize) -> bool {
        match self {
            Self::Help | Self::MyId | Self::Masters | Self::PendingScripts | Self::FlushConfig => {
                count == 0
            }
            Self::Master
            | Self::Replicas
            | Self::Sentinels
            | Self::MasterAddress
            | Self::Quorum
            | Self::Reset
            | Self::Remove => count == 1,
            Self::Failover => (1..=2).contains(&count),
            Self::IsMasterDown | Self::Monitor => count == 4,
            Self::Config => count >= 2,
            Self::Set => count >= 3,
            Self::InfoCache | Self::Debug | Self::SimulateFailure => true,
        }
    }
}

/// Whether ages and offsets are told. What decides where a client goes is told in any view at once.
pub fn wants_a_fresh_view(subcommand: &[u8]) -> bool {
    match Subcommand::find(subcommand) {
        Some(
            Subcommand::Masters
            | Subcommand::Master
            | Subcommand::Replicas
            | Subcommand::Sentinels
            | Subcommand::IsMasterDown
            | Subcommand::Quorum
            | Subcommand::InfoCache,
        ) => true,
        Some(
            Subcommand::Help
            | Subcommand::MyId
            | Subcommand::MasterAddress
            | Subcommand::Failover
            | Subcommand::PendingScripts
            | Subcommand::Config
            | Subcommand::FlushConfig
            | Subcommand::Reset
            | Subcommand::Monitor
            | Subcommand::Remove
            | Subcommand::Set
            | Subcommand::Debug
            | Subcommand::SimulateFailure,
        )
        | None => false,
    }
}

/// `SENTINEL …`
pub fn answer(
    session: &Session,
    arguments: &[&[u8]],
    around: &Surroundings<'_>,
    replies: &mut Replies<'_>,
) -> Next {
    let Some((word, arguments)) = arguments.split_first() else {
        return Next::Go;
    };
    let Some(subcommand) = Subcommand::find(word) else {
        let word = shown(word);
        replies.error(format_args!(
            "ERR unknown subcommand '{word}'. Try SENTINEL HELP."
        ));
        return Next::Go;
    };
    if !subcommand.takes(arguments.len()) {
        let word = shown(&word.to_ascii_lowercase());
        replies.error(format_args!(
            "ERR wrong number of arguments for 'sentinel|{word}' command"
        ));
        return Next::Go;
    }
    let (view, now) = (around.view, around.now);
    let named = || arguments.first().and_then(|name| view.group(name));
    match subcommand {
        Subcommand::Help => help(replies),
        Subcommand::MyId => replies.shown(view.id()),
        Subcommand::Masters => {
            replies.array(view.groups.len());
            for group in view.groups.values() {
                fields::master(view, group, now, replies);
            }
        }
        Subcommand::MasterAddress => match named() {
            Some(group) => {
                let master = &group.outline.master;
                replies.array(2);
                replies.text(master.host());
                replies.shown(master.port());
            }
            None => replies.null_array(),
        },
        Subcommand::Master => match named() {
            Some(group) => fields::master(view, group, now, replies),
            None => replies.error(NO_SUCH_MASTER),
        },
        Subcommand::Replicas => match named() {
            Some(group) => fields::replicas(group, now, replies),
            None => replies.error(NO_SUCH_MASTER),
        },
        Subcommand::Sentinels => match named() {
            Some(group) => fields::sentinels(view, group, now, replies),
            None => replies.error(NO_SUCH_MASTER),
        },
        Subcommand::Quorum => match named() {
            Some(group) => check_quorum(group, around, replies),
            None => replies.error(NO_SUCH_MASTER),
        },
        Subcommand::IsMasterDown => is_master_down(arguments, view, replies),
        Subcommand::Failover => return failover(session, arguments, around, replies),
        Subcommand::InfoCache => info_cache(arguments, around, replies),
        Subcommand::PendingScripts => replies.array(0),
        Subcommand::Config => config(arguments, around, replies),
        // Whatever was decided is on the disks of a majority.
        Subcommand::FlushConfig => replies.status("OK"),
        Subcommand::Reset => replies.error(
            "ERR RESET is refused: promoterd forgets an instance once it is taken out of \
             PROMOTERD_GROUPS__F__INSTANCES and follows no more",
        ),
        Subcommand::Monitor | Subcommand::Remove => replies.error(format_args!(
            "ERR {} is refused: which groups there are {SET_ELSEWHERE}",
            shown(&word.to_ascii_uppercase())
        )),
        Subcommand::Set => replies.error(format_args!("ERR SET is refused: this {SET_ELSEWHERE}")),
        Subcommand::Debug | Subcommand::SimulateFailure => {
            let word = shown(&word.to_ascii_uppercase());
            replies.error(format_args!(
                "ERR {word} is refused: promoterd has nothing of that kind"
            ));
        }
    }
    Next::Go
}

fn check_quorum(group: &GroupView, around: &Surroundings<'_>, replies: &mut Replies<'_>) {
    let (usable, voters) = (around.view.usable(), around.view.peers.len() + 1);
    let has_views = usable >= group.outline.quorum;
    let has_majority = usable > voters / 2 && around.view.has_quorum(around.now);
    if has_views && has_majority {
        replies.status(&format!(
            "OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
        ));
        return;
    }
    let views = if has_views {
        ""
    } else {
        " Not enough available Sentinels to reach the specified quorum for this master."
    };
    let majority = if has_majority {
        ""
    } else {
        " Not enough available Sentinels to reach the majority and authorize a failover."
    };
    replies.error(format_args!(
        "NOQUORUM {usable} usable Sentinels.{views}{majority}"
    ));
}

/// Says what this node holds of an address, and votes for nobody.
fn is_master_down(arguments: &[&[u8]], view: &View, replies: &mut Replies<'_>) {
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<i64>().ok();
    let [host, port, epoch, _] = arguments else {
        return;
    };
    let (Some(port), Some(_)) = (number(port), number(epoch)) else {
        return replies.error("ERR value is not an integer or out of range");
    };
    let is_down = view.groups.values().any(|group| {
        let master = group.outline.instances.first();
        master.is_some_and(|master| {
            master.endpoint.host().as_bytes() == *host
                && i64::from(master.endpoint.port()) == port
                && master.down_since.is_some()
        })
    });
    replies.array(3);
    replies.integer(i64::from(is_down));
    replies.text("*");
    replies.integer(0);
}

fn failover(
    session: &Session,
    arguments: &[&[u8]],
    around: &Surroundings<'_>,
    replies: &mut Replies<'_>,
) -> Next {
    if !(around.access.needs_password() && session.is_authenticated()) {
        replies.error(
            "NOPERM FAILOVER is refused where clients show no password: set \
             PROMOTERD_SENTINEL__PASSWORD_FILE, or run `promoterd switchover` on a host of it",
        );
        return Next::Go;
    }
    let group = arguments.first().and_then(|name| around.view.group(name));
    match (group, arguments.get(1)) {
        (None, _) => replies.error(NO_SUCH_MASTER),
        (_, Some(option)) if !option.eq_ignore_ascii_case(b"COORDINATED") => {
            replies.error("ERR Unknown failover option specified");
        }
        // Without the word too: nothing that was acknowledged is lost.
        (Some(group), _) => return Next::Failover(group.outline.name.clone()),
    }
    Next::Go
}

fn info_cache(names: &[&[u8]], around: &Surroundings<'_>, replies: &mut Replies<'_>) {
    let groups: Vec<&GroupView> = match names {
        [] => around.view.groups.values().map(|group| &**group).collect(),
        names => names
            .iter()
            .filter_map(|name| around.view.group(name))
            .collect(),
    };
    replies.array(groups.len() * 2);
    for group in groups {
        replies.text(group.outline.name.as_str());
        replies.array(group.outline.instances.len());
        for instance in &group.outline.instances {
            replies.array(2);
            match &instance.read {
                Some((at, info)) => {
                    let age = around.now.saturating_duration_since(*at).as_millis();
                    replies.integer(i64::try_from(age).unwrap_or(i64::MAX));
                    replies.text(&info_text(info));
                }
                None => {
                    replies.integer(0);
                    replies.null();
                }
            }
        }
    }
}

/// What was kept of an `INFO`, in its form.
fn info_text(info: &InstanceInfo) -> String {
    let (server, version) = info
        .version
        .split_once(' ')
        .unwrap_or(("redis", &info.version));
    let role = match &info.role {
        Role::Master { replicas } => {
            format!("role:master\r\nconnected_slaves:{}\r\n", replicas.len())
        }
        Role::Replica { master, link } => {
            let status = match link {
                MasterLink::Up => "up",
                MasterLink::Syncing | MasterLink::Down { .. } => "down",
            };
            format!(
                "role:slave\r\nmaster_host:{}\r\nmaster_port:{}\r\nmaster_link_status:{status}\r\n\
                 slave_priority:{}\r\nslave_repl_offset:{}\r\n",
                master.host(),
                master.port(),
                info.priority,
                info.history.offset
            )
        }
    };
    format!(
        "# Server\r\n{server}_version:{version}\r\nrun_id:{}\r\n\r\n# Replication\r\n{role}\
         master_replid:{}\r\nmaster_repl_offset:{}\r\n",
        info.run_id, info.history.id, info.history.offset
    )
}

fn config(arguments: &[&[u8]], around: &Surroundings<'_>, replies: &mut Replies<'_>) {
    let Some((action, patterns)) = arguments.split_first() else {
        return;
    };
    if action.eq_ignore_ascii_case(b"SET") {
        return replies.error(
            "ERR CONFIG SET is refused: this is set by PROMOTERD_SENTINEL__… on this host, not by clients",
        );
    }
    if !action.eq_ignore_ascii_case(b"GET") {
        return replies
            .error("ERR Only SENTINEL CONFIG GET <option> / SET <option> <value> are supported.");
    }
    let port = around.server.port.to_string();
    let known = [
        // Hosts are told as the settings write them.
        ("resolve-hostnames", "yes"),
        ("announce-hostnames", "yes"),
        ("announce-ip", ""),
        ("announce-port", port.as_str()),
        ("sentinel-user", ""),
        ("sentinel-pass", ""),
    ];
    let is_wanted = |name: &str| {
        patterns
            .iter()
            .any(|pattern| pattern::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let wanted: Vec<_> = known
        .into_iter()
        .filter(|(name, _)| is_wanted(name))
        .collect();
    replies.map(wanted.len());
    for (name, value) in wanted {
        replies.pair(name, value);
    }
}

fn help(replies: &mut Replies<'_>) {
    let lines = [
        "SENTINEL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CKQUORUM <master-name>",
        "    Check whether promoterd could fail the master over now.",
        "CONFIG GET <param> [<param> ...]",
        "    Get parameters of this endpoint.",
        "FAILOVER <master-name> [COORDINATED]",
        "    Hand the master's place over to a replica without losing a write; needs a password.",
        "FLUSHCONFIG",
        "    Does nothing: whatever was decided is on disk.",
        "GET-MASTER-ADDR-BY-NAME <master-name>",
        "    Return the ip and port number of the master with that name.",
        "INFO-CACHE [<master-name> ...]",
        "    Return what was last read from the instances.",
        "IS-MASTER-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
        "    Whether this node holds that master subjectively down; it votes for nobody.",
        "MASTER <master-name>",
        "    Show the state and info of the specified master.",
        "MASTERS",
        "    Show a list of monitored masters and their state.",
        "MYID",
        "    Return the ID of this node.",
        "PENDING-SCRIPTS",
        "    There are none.",
        "REPLICAS <master-name>",
        "    Show a list of replicas for this master and their state.",
        "SENTINELS <master-name>",
        "    Show the other nodes that have a Sentinel endpoint, and their state.",
        "HELP",
        "    Print this help.",
    ];
    replies.array(lines.len());
    lines.iter().for_each(|line| replies.status(line));
}
