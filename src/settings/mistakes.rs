//! What is wrong with the settings: all of it at once, each with its place and a way out.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::model::{ClientName, Endpoint, GroupName, NodeId};

/// Every mistake that was found, in the order of the table of keys; never empty.
#[derive(Debug)]
pub struct Mistakes(Vec<Mistake>);

/// One mistake: where it was made, and what it is.
#[derive(Debug)]
pub struct Mistake {
    /// The variable, or the file with line and key: `/etc/promoterd.toml:7: groups.f.quorum`.
    pub place: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with settings.
#[derive(Debug, Error)]
pub enum Problem {
    /// A variable whose name or value is no UTF-8.
    #[error("this is no UTF-8 text")]
    NotText,
    /// A key that does not exist.
    #[error("there is no such key{}", .nearest.as_ref().map(|key| format!("; did you mean {key}?")).unwrap_or_default())]
    Unknown {
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A secret where everybody can read it. It is not repeated.
    #[error("a secret is never given here: put it into a file and name that in {instead}")]
    InlineSecret {
        /// The key that takes the file's name.
        instead: String,
    },
    /// Two spellings of one key in the same place.
    #[error("this is given twice, the other time as {other}: keep one")]
    GivenTwice {
        /// The other spelling.
        other: String,
    },
    /// A key that only the environment may hold.
    #[error("only the environment can say this: take it out of the file")]
    EnvironmentOnly,
    /// A section of the file without any key.
    #[error("this table is empty: fill it or take it out")]
    EmptyTable,
    /// A table, or a list of more than values, where values belong.
    #[error("{expected} is expected here; for example {example}")]
    WrongShape {
        /// What belongs here.
        expected: &'static str,
        /// A line that is accepted.
        example: String,
    },
    /// A value that its type refuses.
    #[error("{reason}; for example {example}")]
    Invalid {
        /// Why, with the part of the value that is wrong.
        reason: String,
        /// A line that is accepted.
        example: String,
    },
    /// A required key that is nowhere.
    #[error("this is required; for example {example}")]
    Missing {
        /// A line that is accepted.
        example: String,
    },
    /// A key of a capability that is not built yet.
    #[error("this comes with a later version: leave it out")]
    NotYet,
    /// A file that cannot be opened or read.
    #[error("cannot read {path}: name a file that the service user can read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A directory, pipe or device where a file belongs.
    #[error("{path} is no regular file: name one")]
    NotAFile {
        /// What it is not.
        path: PathBuf,
    },
    /// A file beyond its bound.
    #[error("{path} is larger than {bytes_max} bytes: is it the right file?")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How much is read at most.
        bytes_max: usize,
    },
    /// A settings file that is no TOML.
    #[error("this is no TOML: {reason}")]
    NotToml {
        /// What the parser expected. It never holds text of the file.
        reason: String,
    },
    /// A file of variables that is none.
    #[error("this is no file of variables: {reason}")]
    NotVariables {
        /// What is wrong. It never holds text of the file.
        reason: String,
    },
    /// A secret file that holds no usable secret. Its content is not repeated.
    #[error("{path} holds no usable secret: {reason}")]
    BadSecret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither a list of voters nor the statement that there is only one.
    #[error(
        "this is required, or PROMOTERD_ALONE=true for a cluster of one; for example {example}"
    )]
    NoCluster {
        /// A line that is accepted.
        example: String,
    },
    /// `ALONE` beside other voters.
    #[error(
        "this names voters besides ourselves, but PROMOTERD_ALONE=true says that there are none: take one of the two out"
    )]
    NotAlone,
    /// Only ourselves in the list, without `ALONE`.
    #[error(
        "this names only ourselves: add the other voters, or say PROMOTERD_ALONE=true for a cluster of one"
    )]
    AloneUnsaid,
    /// A cluster that is too large to agree quickly.
    #[error("{count} voters are too many: list 1 to {max}, and run 3 or 5")]
    TooManyVoters {
        /// How many are listed.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// Our own name is no voter's.
    #[error("\"{node}\" is not in PROMOTERD_PEERS ({peers}): add it there, or give the right name")]
    NotAPeer {
        /// Our name.
        node: NodeId,
        /// The names that are there.
        peers: String,
    },
    /// One name or endpoint twice in a list.
    #[error("\"{item}\" is listed twice: each may be there once")]
    ListedTwice {
        /// What is there twice.
        item: String,
    },
    /// A peer port that strangers reach, without a key.
    #[error(
        "{endpoint} is beyond this machine, which needs a cluster key: run `promoterd keygen`, and name its file in PROMOTERD_PEER_KEY_FILE on every node"
    )]
    KeyNeeded {
        /// An endpoint that is not on loopback.
        endpoint: Endpoint,
    },
    /// A voter's port that strangers reach, without the observers' key.
    #[error(
        "{endpoint} is beyond this machine, which needs the observers' key: run `promoterd keygen --observer \
         /etc/promoterd/peer.key` on a voter, and name the file with what it prints in PROMOTERD_PEER_KEY_FILE here"
    )]
    ObserverKeyNeeded {
        /// An endpoint that is not on loopback.
        endpoint: Endpoint,
    },
    /// What only voters have a use for.
    #[error("an observer has no use for this: take it out")]
    NotForObserver,
    /// A group where nothing is watched.
    #[error(
        "an observer watches no group: take its GROUPS lines out, and name the group in PROMOTERD_CLIENTS__…__GROUP"
    )]
    GroupOfObserver,
    /// Nobody to follow.
    #[error(
        "this is required: the voters, each with its PROMOTERD_OBSERVERS__LISTEN; for example \
         PROMOTERD_PEERS=a=10.0.0.1:7401,b=10.0.0.2:7401,c=10.0.0.3:7401"
    )]
    NobodyToFollow,
    /// A voter that says it is none.
    #[error(
        "\"{node}\" is one of the voters in PROMOTERD_PEERS, and an observer is none: give this host another name, or \
         take PROMOTERD_ROLE out"
    )]
    ObserverIsVoter {
        /// Our name.
        node: NodeId,
    },
    /// An instance that is another one on each host.
    #[error(
        "{endpoint} is another server on each host, and the voters are on several: list the address by which all hosts reach it"
    )]
    LoopbackInstance {
        /// The instance.
        endpoint: Endpoint,
    },
    /// The guard's passwords are made from the cluster key.
    #[error(
        "this needs a cluster key, from which the replicas' passwords are made: write one with \
         `promoterd keygen` and name it in PROMOTERD_PEER_KEY_FILE on all nodes"
    )]
    GuardWithoutKey,
    /// Strict fencing where two voters are one host to whatever befalls it.
    #[error(
        "nodes {} and {} are both on {host}, and strict fencing takes one node on a host: give each an \
         address of its own in PROMOTERD_PEERS, or fence less strictly",
        .nodes[0],
        .nodes[1]
    )]
    StrictOnSharedHost {
        /// Two of them.
        nodes: [NodeId; 2],
        /// The host that both have.
        host: String,
    },
    /// What would be saved goes on changing.
    #[error("this needs FENCING: what takes writes while it is saved is not saved whole")]
    RescueUnfenced,
    /// No group at all.
    #[error("a voter needs a group to watch; for example {example}")]
    NoGroup {
        /// A line that is accepted.
        example: String,
    },
    /// More sections than the daemon is built for.
    #[error("{count} are too many: at most {max} are supported")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A quorum of nobody, or of more than can vote.
    #[error("a quorum of {quorum} does not fit {voters} voters: give 1 to {voters}")]
    QuorumOutOfBounds {
        /// What was asked for.
        quorum: usize,
        /// How many can vote.
        voters: usize,
    },
    /// `gone` would be slower than `silent`.
    #[error("GONE_AFTER ({gone_after}) must be less than DOWN_AFTER ({down_after})")]
    GoneTooLate {
        /// The span of `GONE_AFTER`.
        gone_after: String,
        /// The span of `DOWN_AFTER`.
        down_after: String,
    },
    /// One instance in two groups.
    #[error("{endpoint} is an instance of group \"{other}\" too: an instance belongs to one group")]
    SharedInstance {
        /// The instance.
        endpoint: Endpoint,
        /// The other group.
        other: String,
    },
    /// Two sections that give one name.
    #[error("two groups have the name \"{name}\": give another NAME to one of them")]
    SameName {
        /// The name.
        name: GroupName,
    },
    /// A client that does not say which of several groups it follows.
    #[error("this is required where there are several groups ({known}); for example {example}")]
    WhichGroup {
        /// The names of all groups.
        known: String,
        /// A line that is accepted.
        example: String,
    },
    /// A client beside a witness.
    #[error(
        "a witness has no clients: take the CLIENTS lines out here, or make this node a voter \
         (PROMOTERD_ROLE=voter)"
    )]
    ClientOfWitness,
    /// A client of a group that does not exist.
    #[error("there is no group \"{group}\": name one of {known}")]
    NoSuchGroup {
        /// What was named.
        group: GroupName,
        /// The names of all groups.
        known: String,
    },
    /// A file whose name speaks of a format that cannot be edited yet.
    #[error(
        "the file name says {extension}, from which no format can be told: name it, as in {insist}, or make the file \
         from a TEMPLATE"
    )]
    OtherFormat {
        /// The extension.
        extension: String,
        /// The line that overrules the name.
        insist: String,
    },
    /// A whole file that somebody else changes too.
    #[error(
        "client \"{other}\" changes {path} too, of which a template makes all: one of them must go"
    )]
    SameFile {
        /// The other client.
        other: ClientName,
        /// The file.
        path: PathBuf,
    },
    /// What a template leaves nothing to do for.
    #[error("a template makes the whole file, and nothing in it is edited: leave this out")]
    NotWithTemplate,
    /// A template for a file that is edited.
    #[error("FORMAT says that the file is edited: leave this out, or say FORMAT=template")]
    NotWithFormat,
    /// A path that leads nowhere in its format.
    #[error("\"{item}\" is no path in this format: write {shape}; for example {example}")]
    Misplaced {
        /// The path.
        item: String,
        /// How paths look there.
        shape: &'static str,
        /// A path.
        example: String,
    },
    /// Two changes of one value.
    #[error("client \"{other}\" changes \"{edit}\" in {path} too: one of them must go")]
    SameEdit {
        /// The other client.
        other: ClientName,
        /// The key in the file.
        edit: String,
        /// The file.
        path: PathBuf,
    },
}

impl Mistakes {
    /// Wraps what was found.
    ///
    /// # Panics
    /// When nothing was: a refusal without a reason helps nobody.
    pub(super) fn new(mistakes: Vec<Mistake>) -> Self {
        assert!(!mistakes.is_empty(), "a refusal gives its reasons");
        Self(mistakes)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl Problem {
    /// Whether a key was given in a way that left its value unread.
    pub(super) fn hides_a_value(&self) -> bool {
        matches!(self, Self::NotText | Self::WrongShape { .. })
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.problem)?;
        let mut cause = std::error::Error::source(&self.problem);
        while let Some(error) = cause {
            write!(formatter, " ({error})")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(formatter, "1 mistake in the settings:")?,
            count => write!(formatter, "{count} mistakes in the settings:")?,
        }
        self.0
            .iter()
            .try_for_each(|mistake| write!(formatter, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}
