//! What the commands that we send are called on a server, where its file renames them.

use std::collections::BTreeMap;

use redis::Cmd;

/// The commands that a server's `rename-command` may have given other names, of those that we send.
pub const RENAMABLE: [&str; 8] = [
    "ACL",
    "CLIENT",
    "CONFIG",
    "INFO",
    "PING",
    "PUBSUB",
    "REPLICAOF",
    "ROLE",
];

/// The names of the commands on the servers of one group; their own unless told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandNames(BTreeMap<String, String>);

impl CommandNames {
    /// Takes pairs of a command, one of [`RENAMABLE`], and what it is called.
    #[must_use]
    pub fn new(renamed: BTreeMap<String, String>) -> Self {
        Self(renamed)
    }

    /// What to send for `command`.
    #[must_use]
    pub fn of<'a>(&'a self, command: &'a str) -> &'a str {
        self.0.get(command).map_or(command, String::as_str)
    }

    /// The command, without its arguments.
    pub(super) fn command(&self, command: &str) -> Cmd {
        redis::cmd(self.of(command))
    }
}
