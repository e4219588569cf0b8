//! Why a value cannot be changed without a guess, and what to do.

use thiserror::Error;

/// Why a value cannot be changed without a guess. Never repeats the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ValueProblem {
    /// Nothing tells what belongs there.
    #[error("the value is empty: set VALUE to endpoint, host or port")]
    Empty,
    /// User, password and database cannot be invented.
    #[error("the value is empty and shall be a URL: write the URL once, with any host")]
    EmptyUrl,
    /// It is nothing that we know.
    #[error("the value is no URL, host:port, host or port")]
    Unrecognised,
    /// It is not what `VALUE` says.
    #[error("the value is not what VALUE says: correct VALUE, or leave it out")]
    OtherKind,
    /// A Unix socket.
    #[error("the value names a Unix socket: write an address of TCP instead")]
    Socket,
    /// Sentinels, which find the master themselves.
    #[error("the URL names Sentinels and no master: take the file out of the settings")]
    Sentinel,
    /// Neither `redis` nor any other known scheme.
    #[error("the scheme of the URL is none of redis, rediss, valkey, valkeys, tcp, tls")]
    Scheme,
    /// No host can be found in the URL.
    #[error(
        "the URL holds no valid host and port: percent-encode the password, or correct the host"
    )]
    Authority,
    /// An `@` in the path: some readers see the host before it and some behind it.
    #[error(
        "the URL holds an '@' behind its host: percent-encode '/', '?', '#' and '@' in the password"
    )]
    StrayAt,
    /// A list of hosts.
    #[error("the value names several hosts: name only one")]
    SeveralHosts,
    /// A list without an item, so that nobody knows how one is written there.
    #[error("the list is empty: write one address into it, any one")]
    ListEmpty,
    /// More than one group can have.
    #[error("the list has more than 256 items: correct EDIT")]
    ListLong,
    /// A comment, or whatever else goes with an item that may have to go.
    #[error(
        "something else than commas and blanks stands between the items of the list, or before its only one: move \
         comments above or behind the list"
    )]
    ListGap,
    /// A backslash joins the line to the next one.
    #[error("the line ends with a backslash: write the value on one line")]
    Continuation,
    /// The quotes are closed on a later line, or never.
    #[error("the quoted value does not end on its line: write it on one line")]
    SpansLines,
    /// Something else stands behind the closing quote.
    #[error("there is text behind the closing quote: quote the whole value")]
    TextBehindQuote,
    /// `#` begins a comment for some readers and not for others.
    #[error("the value holds a '#' that is no comment for all readers: quote the value")]
    UnquotedHash,
    /// White space ends the value for some readers and not for others.
    #[error("the value holds white space: quote the value")]
    UnquotedSpace,
    /// A control character.
    #[error("the value holds a control character: remove it")]
    Control,
    /// A variable that some readers replace, elsewhere than in the user info, path or query of a URL.
    #[error(
        "the value refers to a variable where host and port are, or may be: write these out, or put a literal '$' in single quotes"
    )]
    Reference,
    /// A number that is no port as people write it.
    #[error("the number is no port in plain digits: write it so, or write the value as a text")]
    Number,
    /// Text over several lines.
    #[error("the value is a text of several lines: write it on one line, with one pair of quotes")]
    SeveralLines,
    /// More than a variable: nobody can tell what some readers put in its place.
    #[error(
        "the value holds a '`', a '$(', or more than a name within '${{' and '}}': write it out, or put the value in single quotes"
    )]
    Substitution,
    /// ERB, Jinja or the like.
    #[error(
        "a template ('<%', '{{{{', '{{%') makes the value or its line: write the address out, or have promoterd make \
         the file (FORMAT=template)"
    )]
    Template,
    /// `;` begins a comment for some readers and not for others.
    #[error("the value holds a ';' that is no comment for all readers: quote the value")]
    UnquotedSemicolon,
    /// The line is a part of the value before it for some readers.
    #[error(
        "the line is indented further than the key before it, which joins them for some readers: indent both alike"
    )]
    Indented,
    /// The next line is a part of the value for some readers.
    #[error(
        "the next line is indented further, which joins it to the value for some readers: indent both alike"
    )]
    IndentedBehind,
    /// The backslash of the line before joins this one to it.
    #[error("the line before ends with a backslash, which joins them for some readers: remove it")]
    Continued,
    /// A tag of YAML.
    #[error("the value has a tag that makes something else of it: write it without")]
    Tagged,
    /// A server of twemproxy that is told apart by its address.
    #[error(
        "the server has no name, so that its address decides which keys it gets: write its present host:port behind \
         it, as its name, and have EDIT name that"
    )]
    Nameless,
    /// No `host:port:weight name`.
    #[error("the server is not written as host:port:weight name: write it so")]
    Server,
    /// A server of HAProxy on the port that its client asked for.
    #[error("the address has no port: write host:port")]
    NoPort,
    /// Between `.if` and `.endif`.
    #[error("the line counts only under a condition (.if): take it out of that")]
    Conditional,
    /// A host name where only an address can stand.
    #[error(
        "the master is known by a host name, and only an address can stand here: give its group's INSTANCES as addresses"
    )]
    NoAddress,
}
