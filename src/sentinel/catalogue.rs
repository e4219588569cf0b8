//! The commands that there are, and what `COMMAND` tells of them.

use super::reply::Replies;

/// One command.
#[derive(Debug)]
pub struct Command {
    /// In lower case.
    pub name: &'static str,
    /// Which it is.
    pub what: Name,
    /// As `COMMAND` tells it: so many words, or at least so many where it is negative.
    pub arity: i64,
    /// Whether it is answered before a client showed its password.
    pub is_open: bool,
    /// Whether a client that has subscribed may send it without RESP3.
    pub is_for_subscribers: bool,
    /// What it does, in words.
    pub summary: &'static str,
}

/// Which command it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the commands")]
pub enum Name {
    Acl,
    Auth,
    Client,
    Command,
    Hello,
    Info,
    Ping,
    Psubscribe,
    Publish,
    Punsubscribe,
    Quit,
    Reset,
    Role,
    Sentinel,
    Shutdown,
    Subscribe,
    Unsubscribe,
}

impl Command {
    const fn new(name: &'static str, what: Name, arity: i64, summary: &'static str) -> Self {
        Self {
            name,
            what,
            arity,
            is_open: false,
            is_for_subscribers: false,
            summary,
        }
    }

    const fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    const fn for_subscribers(mut self) -> Self {
        self.is_for_subscribers = true;
        self
    }

    /// Whether it can have so many words, its name included.
    #[must_use]
    pub fn takes(&self, words: usize) -> bool {
        let words = i64::try_from(words).unwrap_or(i64::MAX);
        if self.arity < 0 {
            words >= -self.arity
        } else {
            words == self.arity
        }
    }
}

/// All of them.
pub static COMMANDS: &[Command] = &[
    Command::new("acl", Name::Acl, -2, "WHOAMI tells the name of the user"),
    Command::new("auth", Name::Auth, -2, "Shows the password").open(),
    Command::new(
        "client",
        Name::Client,
        -2,
        "Names a connection, and tells of it",
    ),
    Command::new("command", Name::Command, -1, "Tells of commands"),
    Command::new("hello", Name::Hello, -1, "Chooses the protocol").open(),
    Command::new(
        "info",
        Name::Info,
        -1,
        "Tells of this server and the masters",
    ),
    Command::new("ping", Name::Ping, -1, "Is answered").for_subscribers(),
    Command::new(
        "psubscribe",
        Name::Psubscribe,
        -2,
        "Hears of events whose names fit",
    )
    .for_subscribers(),
    Command::new("publish", Name::Publish, 3, "Is refused"),
    Command::new(
        "punsubscribe",
        Name::Punsubscribe,
        -1,
        "Hears no more of them",
    )
    .for_subscribers(),
    Command::new("quit", Name::Quit, -1, "Ends the connection")
        .open()
        .for_subscribers(),
    Command::new(
        "reset",
        Name::Reset,
        1,
        "Makes a connection as it was at first",
    )
    .open()
    .for_subscribers(),
    Command::new("role", Name::Role, 1, "Tells the names of the masters"),
    Command::new(
        "sentinel",
        Name::Sentinel,
        -2,
        "Tells of masters, replicas and Sentinels",
    ),
    Command::new("shutdown", Name::Shutdown, -1, "Is refused"),
    Command::new("subscribe", Name::Subscribe, -2, "Hears of events").for_subscribers(),
    Command::new(
        "unsubscribe",
        Name::Unsubscribe,
        -1,
        "Hears no more of them",
    )
    .for_subscribers(),
];

/// The command of that name, in whichever letters.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

/// `COMMAND`
pub fn answer(arguments: &[&[u8]], replies: &mut Replies<'_>) {
    let Some((subcommand, names)) = arguments.split_first() else {
        replies.array(COMMANDS.len());
        COMMANDS.iter().for_each(|command| entry(command, replies));
        return;
    };
    match subcommand.to_ascii_uppercase().as_slice() {
        b"COUNT" => replies.integer(i64::try_from(COMMANDS.len()).unwrap_or(i64::MAX)),
        b"LIST" => {
            replies.array(COMMANDS.len());
            COMMANDS
                .iter()
                .for_each(|command| replies.text(command.name));
        }
        b"INFO" if names.is_empty() => {
            replies.array(COMMANDS.len());
            COMMANDS.iter().for_each(|command| entry(command, replies));
        }
        b"INFO" => {
            replies.array(names.len());
            for name in names {
                match find(name) {
                    Some(command) => entry(command, replies),
                    None => replies.null(),
                }
            }
        }
        b"DOCS" => {
            let is_wanted = |command: &&Command| {
                let is_it = |name: &&[u8]| command.name.as_bytes().eq_ignore_ascii_case(name);
                names.is_empty() || names.iter().any(is_it)
            };
            let wanted: Vec<&Command> = COMMANDS.iter().filter(is_wanted).collect();
            replies.map(wanted.len());
            for command in wanted {
                replies.text(command.name);
                replies.map(2);
                replies.pair("summary", command.summary);
                replies.pair("group", "server");
            }
        }
        b"GETKEYS" | b"GETKEYSANDFLAGS" => {
            replies.error("ERR The command has no key arguments");
        }
        _ => replies.error("ERR unknown subcommand of COMMAND. Try COUNT, DOCS, INFO or LIST."),
    }
}

/// As Redis 7 gives it: name, words, flags, first key, last key, step, categories, tips, keys, subcommands.
fn entry(command: &Command, replies: &mut Replies<'_>) {
    replies.array(10);
    replies.text(command.name);
    replies.integer(command.arity);
    let flags = ["sentinel", "loading", "stale", "fast"];
    replies.array(flags.len());
    flags.iter().for_each(|flag| replies.status(flag));
    for _ in 0..3 {
        replies.integer(0);
    }
    for _ in 0..4 {
        replies.array(0);
    }
}
