//! The table of known keys: it drives parsing, messages, the report and the reference in the README.

use std::fmt;

/// Which section of the settings a key is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// About this node: `PROMOTERD_NODE`.
    Node,
    /// About one group: `PROMOTERD_GROUPS__F__…`.
    Group,
    /// About one client of a group: `PROMOTERD_CLIENTS__API__…`.
    Client,
}

/// What holds where a key is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// It must be given.
    Required,
    /// This value, in the form in which it could be given.
    Value(&'static str),
    /// What these words say.
    Told(&'static str),
}

/// Whether this version can do what a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Now,
    /// It cannot; the key is refused.
    Later,
}

/// One known key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its section.
    pub scope: Scope,
    /// Its name within the section, in capitals: `DOWN_AFTER`, `HTTP__LISTEN`.
    pub name: &'static str,
    /// A value that is accepted.
    pub example: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What holds without it.
    pub default: Fallback,
    /// Whether it takes several values, by commas.
    pub is_list: bool,
    /// The smallest and the largest value that are accepted.
    pub bounds: Option<(&'static str, &'static str)>,
    /// What of it is there.
    pub availability: Availability,
}

impl Key {
    const fn new(
        scope: Scope,
        name: &'static str,
        example: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            scope,
            name,
            example,
            meaning,
            default: Fallback::Required,
            is_list: false,
            bounds: None,
            availability: Availability::Now,
        }
    }

    const fn list(mut self) -> Self {
        self.is_list = true;
        self
    }

    const fn value(mut self, value: &'static str) -> Self {
        self.default = Fallback::Value(value);
        self
    }

    const fn told(mut self, words: &'static str) -> Self {
        self.default = Fallback::Told(words);
        self
    }

    const fn within(mut self, min: &'static str, max: &'static str) -> Self {
        self.bounds = Some((min, max));
        self
    }

    const fn later(mut self) -> Self {
        self.availability = Availability::Later;
        self
    }

    /// The variable: `PROMOTERD_GROUPS__FEATURES__QUORUM` for the label `features`.
    #[must_use]
    pub fn variable(&self, label: &str) -> String {
        let label = label.to_uppercase();
        match self.scope {
            Scope::Node => format!("PROMOTERD_{}", self.name),
            Scope::Group => format!("PROMOTERD_GROUPS__{label}__{}", self.name),
            Scope::Client => format!("PROMOTERD_CLIENTS__{label}__{}", self.name),
        }
    }

    /// The way to it in a file: `["groups", "features", "quorum"]` for the label `features`.
    #[must_use]
    pub fn path(&self, label: &str) -> Vec<String> {
        let name = self.name.to_lowercase();
        let section: &[&str] = match self.scope {
            Scope::Node => &[],
            Scope::Group => &["groups", label],
            Scope::Client => &["clients", label],
        };
        let segments = section.iter().copied().chain(name.split("__"));
        segments.map(str::to_owned).collect()
    }

    /// Where it stands in [`KEYS`].
    pub(super) fn position(&'static self) -> usize {
        KEYS.iter()
            .take_while(|key| !std::ptr::eq(**key, self))
            .count()
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Required => "required",
            Self::Value(text) | Self::Told(text) => text,
        })
    }
}

/// Finds the key, and the label of its section, that a path in lower case leads to.
pub(super) fn find(path: &[String]) -> Option<(&'static Key, String)> {
    let (scope, label, rest) = match path {
        [section, label, rest @ ..] if section == "groups" => (Scope::Group, label.as_str(), rest),
        [section, label, rest @ ..] if section == "clients" => {
            (Scope::Client, label.as_str(), rest)
        }
        rest => (Scope::Node, "", rest),
    };
    let name = rest.join("__").to_uppercase();
    let found = |key: &&&Key| key.scope == scope && key.name == name;
    let key = KEYS.iter().find(found)?;
    Some((key, label.to_owned()))
}

/// The variable of the known key that looks most like `path`, when one does.
pub(super) fn nearest(path: &[String]) -> Option<(&'static Key, String)> {
    /// Below this two keys have too little in common.
    const SIMILARITY_MIN: f64 = 0.6;
    let label = if path.len() > 2 { &path[1] } else { "f" };
    let wrong = path.join("__");
    let similarity =
        |key: &Key| strsim::normalized_damerau_levenshtein(&wrong, &key.path(label).join("__"));
    let (best, score) = KEYS
        .iter()
        .map(|key| (*key, similarity(key)))
        .max_by(|one, other| one.1.total_cmp(&other.1))?;
    let last = path.last()?.to_uppercase();
    let namesake = KEYS.iter().find(|key| key.name == last);
    match namesake {
        _ if score >= SIMILARITY_MIN => Some((best, label.to_owned())),
        namesake => namesake.map(|key| (*key, label.to_owned())),
    }
}

macro_rules! table {
    ($($constant:ident = $scope:ident $name:literal $example:literal $meaning:literal $(. $change:ident ($($argument:literal),*))*;)*) => {
        $(pub(super) static $constant: Key =
            Key::new(Scope::$scope, $name, $example, $meaning)$(.$change($($argument),*))*;)*

        /// Every known key, in the order in which a person would read them.
        pub static KEYS: &[&Key] = &[$(&$constant),*];
    };
}

table! {
    CONFIG = Node "CONFIG" "/etc/promoterd/promoterd.toml"
        "a file with the same keys, `.env` or TOML; the environment wins".told("none");
    NODE = Node "NODE" "a" "who we are".told("the host name");
    ROLE = Node "ROLE" "witness" "`voter`; `witness`: a voter on a host without Redis and clients; or `observer`: a client host".value("voter");
    PEERS = Node "PEERS" "a=10.0.0.1:7400,b=10.0.0.2:7400,c=10.0.0.3:7400"
        "all voters, ourselves included".list().told("none");
    ALONE = Node "ALONE" "true" "a cluster of one, in place of PEERS".value("false");
    LISTEN = Node "LISTEN" "10.0.0.1:7400" "address of the peer port".told("our entry in PEERS");
    OBSERVERS_LISTEN = Node "OBSERVERS__LISTEN" "10.0.0.1:7401" "where a voter tells observers".told("off");
    PEER_KEY_FILE = Node "PEER_KEY_FILE" "/etc/promoterd/peer.key"
        "the cluster key, as `promoterd keygen` writes it".told("the credential peer-key");
    STATE_DIR = Node "STATE_DIR" "/var/lib/promoterd" "where votes and decisions are kept"
        .value("/var/lib/promoterd");
    STATUS_SOCKET = Node "STATUS_SOCKET" "/run/promoterd/status.sock" "where status is asked for"
        .value("/run/promoterd/status.sock");
    FENCER_SOCKET = Node "FENCER_SOCKET" "/run/promoterd-fencer/fencer.sock"
        "where the fencer of this host is asked".value("/run/promoterd-fencer/fencer.sock");
    ELECTION_TIMEOUT = Node "ELECTION_TIMEOUT" "300ms-600ms"
        "how long a follower waits for its leader".value("300ms-600ms");
    LOG = Node "LOG" "info" "which events are logged: a level, or TARGET=LEVEL by commas".value("info");
    ADMIN_GROUP = Node "ADMIN_GROUP" "promoterd-admin"
        "whose members may pause, resume and the like; root always may".value("promoterd-admin");
    LOG_FORMAT = Node "LOG_FORMAT" "json" "`text`, `json` or `journald`".told("journald where that listens, or text");
    SENTINEL_LISTEN = Node "SENTINEL__LISTEN" "10.0.0.1:26379" "the Sentinel endpoint".told("off");
    SENTINEL_ANNOUNCE = Node "SENTINEL__ANNOUNCE" "10.0.0.1:26379"
        "where clients are told that the Sentinel endpoint is".told("its address");
    SENTINEL_USERNAME = Node "SENTINEL__USERNAME" "app" "the user of the Sentinel endpoint".told("default");
    SENTINEL_PASSWORD_FILE = Node "SENTINEL__PASSWORD_FILE" "/etc/promoterd/sentinel.password"
        "what clients of the Sentinel endpoint have to show".told("the credential sentinel-password");
    HTTP_LISTEN = Node "HTTP__LISTEN" "127.0.0.1:7480" "metrics and health over TCP".told("off").later();
    GROUP_NAME = Group "NAME" "Features" "where the name is not a lower-case word"
        .told("the label of the section");
    INSTANCES = Group "INSTANCES" "10.0.0.1:6379,10.0.0.2:6379" "any of its instances".list();
    EXCLUDE = Group "EXCLUDE" "10.0.0.9:6379" "instances that are never promoted".list().told("none");
    QUORUM = Group "QUORUM" "2" "how many views make it objectively down".told("majority of voters");
    DOWN_AFTER = Group "DOWN_AFTER" "1s" "silence that counts as down".value("1s").within("10ms", "10m");
    GONE_AFTER = Group "GONE_AFTER" "20ms" "refusal that counts as down".value("20ms").within("1ms", "1m");
    EXITED = Group "EXITED" "on" "whether a process that was seen to exit is proof".value("on");
    REPLICA_VETO_MAX = Group "REPLICA_VETO_MAX" "10s"
        "how long a replica whose link moves delays `silent`".value("10s").within("0s", "1h");
    USERNAME = Group "USERNAME" "promoterd" "for Redis".told("none");
    PASSWORD_FILE = Group "PASSWORD_FILE" "/etc/promoterd/features.password" "for Redis"
        .told("the credential F.password");
    COMMANDS = Group "COMMANDS" "REPLICAOF=x7f2,CONFIG=k0p9"
        "what renamed commands are called on its servers".list().told("none");
    FENCING = Group "FENCING" "off" "what stops an old master: `off`, `fast` or `strict`".value("fast");
    LEASE = Group "LEASE" "800ms" "how long a lease is, where fencing is strict"
        .told("four fifths of down_after").within("200ms", "10s");
    ISOLATION_AFTER = Group "ISOLATION_AFTER" "1s" "a master cut off for so long is fenced by the node beside it"
        .told("down_after, 1s at least").within("1s", "10m");
    GUARD = Group "GUARD" "on" "whether only a master that was looked at feeds the replicas".value("off");
    MASTERUSER = Group "MASTERUSER" "replica" "what its replicas have as masteruser, without the guard"
        .told("none");
    MASTERAUTH_FILE = Group "MASTERAUTH_FILE" "/etc/promoterd/features.masterauth"
        "holds what its replicas have as masterauth, without the guard".told("the credential F.masterauth");
    RESCUE = Group "RESCUE" "on"
        "whether what only a returning master has is saved before it is demoted".value("off");
    RESCUE_SIZE_MAX = Group "RESCUE_SIZE_MAX" "16GiB" "a larger data set is not saved".value("16GiB");
    RESCUE_TIMEOUT = Group "RESCUE_TIMEOUT" "2m" "how long that may take".value("2m").within("1s", "1h");
    GONE_LOSS_MAX = Group "GONE_LOSS_MAX" "1MiB"
        "a lost master is waited for where the best replica lacks more".value("1MiB");
    PARALLEL_SYNCS = Group "PARALLEL_SYNCS" "1" "replicas that are repointed at a time"
        .value("1").within("1", "64");
    LAG_MAX = Group "LAG_MAX" "10MiB" "a replica further behind is not promoted".value("none");
    READERS_LAG_MAX = Group "READERS_LAG_MAX" "10MiB" "readers are not told of a replica further behind".value("none");
    PROMOTE_TIMEOUT = Group "PROMOTE_TIMEOUT" "5s" "how long one promotion may take"
        .value("5s").within("100ms", "5m");
    COOLDOWN = Group "COOLDOWN" "10s" "pause after a failover in which only certain causes act"
        .value("10s").within("0s", "1d");
    FAILOVERS_MAX = Group "FAILOVERS_MAX" "10"
        "so many failovers within an hour, and the next one pauses the group instead; 0: no limit"
        .value("10").within("0", "30");
    TAKE_OVER = Group "TAKE_OVER" "true" "whether to act on it although a Sentinel watches it too"
        .value("false");
    CLIENT_GROUP = Client "GROUP" "features" "whose master the file names".told("the only group");
    FILE = Client "FILE" "/etc/api/redis.env" "the file to keep right";
    FORMAT = Client "FORMAT" "env" "`env`, `json`, `toml`, `jsonc`, `ini`, `properties`, `yaml`, `haproxy`, `twemproxy`, `hosts` or `template`".told("by file name");
    EDIT = Client "EDIT" "REDIS_URL" "key or path of the value, as `redis.primary.url`; several by commas".list();
    VALUE = Client "VALUE" "url" "`url`, `endpoint` (host:port), `host`, `port` or `connection` (host:port,key=value)"
        .told("by the old value");
    TEMPLATE = Client "TEMPLATE" "/etc/promoterd/redis.conf.j2" "the template that the file is made from, in place of EDIT".told("none");
    CHECK = Client "CHECK" "/usr/sbin/haproxy -c -f {}"
        "a command that tries the new content in a copy, `{}`, before it counts".told("none");
    CHECK_TIMEOUT = Client "CHECK_TIMEOUT" "10s" "after that it is killed, and the old file stays"
        .value("10s").within("10ms", "10m");
    RELOAD = Client "RELOAD" "/usr/local/bin/reload-api {}"
        "a command that makes the client read its file, `{}`, again".told("none");
    RELOAD_TIMEOUT = Client "RELOAD_TIMEOUT" "30s" "after that it is killed, and tried again"
        .value("30s").within("10ms", "10m");
}
