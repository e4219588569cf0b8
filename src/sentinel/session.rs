//! One client: what it is, what it has subscribed to, and the answers to its commands.

use std::time::Instant;

use super::access::Access;
use super::catalogue::{Command, Name};
use super::command::Words;
use super::reply::{Protocol, Replies};
use super::subscriptions::Subscriptions;
use super::view::View;
use super::{catalogue, connection_commands, sentinel_commands, server_commands};
use crate::model::GroupName;

/// The version of Redis whose Sentinel this speaks like.
pub const REDIS_VERSION: &str = "7.0.15";

/// One client of the endpoint.
#[derive(Debug)]
pub struct Session {
    /// Its number.
    pub id: u64,
    /// Which replies it understands.
    pub protocol: Protocol,
    /// Since when it has to show a password; none once it did, or where it need not.
    pub stranger_since: Option<Instant>,
    /// What it calls itself; many never do.
    pub identity: Option<Box<Identity>>,
    /// What it hears of.
    pub subscriptions: Subscriptions,
}

/// What a client calls itself.
#[derive(Debug, Default)]
pub struct Identity {
    /// Its name.
    pub name: Box<str>,
    /// The library that it is made with.
    pub library: Box<str>,
    /// The version of that.
    pub library_version: Box<str>,
}

/// What all sessions answer from.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// What this node knows.
    pub view: &'a View,
    /// Who may do what.
    pub access: &'a Access,
    /// What the server can tell of itself.
    pub server: ServerFacts,
    /// The moment.
    pub now: Instant,
}

/// What the server can tell of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerFacts {
    /// Since when it serves.
    pub started_at: Instant,
    /// Where it listens.
    pub port: u16,
    /// Clients at this moment.
    pub clients: usize,
    /// Clients that have subscribed to anything.
    pub subscribers: usize,
    /// Most clients at once.
    pub clients_max: usize,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were one too many.
    pub rejected: u64,
    /// Commands that were answered.
    pub commands: u64,
    /// Clients that were dropped since they took nothing of what was for them.
    pub dropped: u64,
}

/// What is to be done behind a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The next command.
    Go,
    /// A planned switchover of this group; its outcome is the answer.
    Failover(GroupName),
    /// The answer is the last one.
    Close,
}

impl Session {
    /// A client that has said nothing yet.
    #[must_use]
    pub fn new(id: u64, access: &Access, now: Instant) -> Self {
        Self {
            id,
            protocol: Protocol::Resp2,
            stranger_since: access.needs_password().then_some(now),
            identity: None,
            subscriptions: Subscriptions::default(),
        }
    }

    /// What it calls itself, to be changed.
    pub fn identity(&mut self) -> &mut Identity {
        self.identity.get_or_insert_default()
    }

    /// Whether it showed what it has to.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.stranger_since.is_none()
    }

    /// Answers a command behind what is in `bytes`.
    pub fn answer(
        &mut self,
        words: &Words<'_>,
        around: &Surroundings<'_>,
        bytes: &mut Vec<u8>,
    ) -> Next {
        let mut replies = Replies::new(self.protocol, bytes);
        let Some((name, arguments)) = words.split_first() else {
            return Next::Go;
        };
        let Some(command) = catalogue::find(name) else {
            unknown(name, arguments, &mut replies);
            return Next::Go;
        };
        match self.admit(command, arguments) {
            Ok(()) => self.carry_out(command.what, arguments, around, &mut replies),
            Err(refusal) => {
                replies.error(refusal);
                Next::Go
            }
        }
    }

    /// Whether a command may be carried out now; else its error.
    fn admit(&self, command: &Command, arguments: &[&[u8]]) -> Result<(), String> {
        let name = command.name;
        if !command.takes(1 + arguments.len()) {
            return Err(format!(
                "ERR wrong number of arguments for '{name}' command"
            ));
        }
        if !self.is_authenticated() && !command.is_open {
            return Err("NOAUTH Authentication required.".to_owned());
        }
        let is_busy = self.protocol == Protocol::Resp2 && !self.subscriptions.is_empty();
        if !is_busy || command.is_for_subscribers {
            return Ok(());
        }
        let subcommand = match (command.what, arguments) {
            (Name::Sentinel | Name::Client, [subcommand, ..]) => {
                format!("|{}", shown(&subcommand.to_ascii_lowercase()))
            }
            _ => String::new(),
        };
        Err(format!(
            "ERR Can't execute '{name}{subcommand}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
             RESET are allowed in this context"
        ))
    }

    fn carry_out(
        &mut self,
        command: Name,
        arguments: &[&[u8]],
        around: &Surroundings<'_>,
        replies: &mut Replies<'_>,
    ) -> Next {
        match command {
            Name::Hello => connection_commands::hello(self, arguments, around, replies),
            Name::Auth => connection_commands::auth(self, arguments, around, replies),
            Name::Ping => connection_commands::ping(self, arguments, replies),
            Name::Reset => connection_commands::reset(self, around, replies),
            Name::Client => connection_commands::client(self, arguments, replies),
            Name::Acl => connection_commands::acl(arguments, around, replies),
            Name::Quit => {
                replies.status("OK");
                return Next::Close;
            }
            Name::Subscribe => self.subscriptions.subscribe(arguments, replies),
            Name::Psubscribe => self.subscriptions.subscribe_patterns(arguments, replies),
            Name::Unsubscribe => self.subscriptions.unsubscribe(arguments, replies),
            Name::Punsubscribe => self.subscriptions.unsubscribe_patterns(arguments, replies),
            Name::Publish => server_commands::publish(replies),
            Name::Shutdown => server_commands::shutdown(replies),
            Name::Role => server_commands::role(around.view, replies),
            Name::Info => server_commands::info(arguments, around, replies),
            Name::Command => catalogue::answer(arguments, replies),
            Name::Sentinel => {
                return sentinel_commands::answer(self, arguments, around, replies);
            }
        }
        Next::Go
    }
}

/// Whether the answer to a command counts in seconds, so that an older view will not do.
#[must_use]
pub fn wants_a_fresh_view(words: &Words<'_>) -> bool {
    match words.as_slice() {
        [name] | [name, _] if name.eq_ignore_ascii_case(b"INFO") => true,
        [name, subcommand, ..] if name.eq_ignore_ascii_case(b"SENTINEL") => {
            sentinel_commands::wants_a_fresh_view(subcommand)
        }
        _ => false,
    }
}

fn unknown(name: &[u8], arguments: &[&[u8]], replies: &mut Replies<'_>) {
    let begin: String = arguments
        .iter()
        .map(|argument| format!("'{}' ", shown(argument)))
        .collect();
    let begin: String = begin.chars().take(128).collect();
    let name = shown(name);
    replies.error(format_args!(
        "ERR unknown command '{name}', with args beginning with: {begin}"
    ));
}

/// A word of a client as an error repeats it.
pub fn shown(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(word);
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(128)
        .collect()
}
