//! The address within a value: which bytes of it name a host and a port, and what replaces them.

use std::ops::Range;

use thiserror::Error;

use super::ValueKind;
use crate::model::Endpoint;

/// The port of a URL that names none.
pub(super) const DEFAULT_PORT: u16 = 6379;

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
}

/// Some bytes of a value, and what takes their place.
#[derive(Debug)]
pub(super) struct Rewrite {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// Finds the address in `value` and says how it shall read.
///
/// Some readers put variables in place of the `references`: none of them may be part of the address.
///
/// # Errors
/// [`ValueProblem`] when the value holds no address, or more than one could be meant.
pub(super) fn rewrite(
    value: &[u8],
    references: &[Range<usize>],
    kind: Option<ValueKind>,
    master: &Endpoint,
) -> Result<Rewrite, ValueProblem> {
    let told = tell(value);
    if !references.is_empty() && told != Ok(ValueKind::Url) {
        return Err(ValueProblem::Reference);
    }
    let kind = match (kind, told) {
        (None, told) => told?,
        (Some(ValueKind::Url), Err(ValueProblem::Empty)) => return Err(ValueProblem::EmptyUrl),
        (Some(kind), Err(ValueProblem::Empty)) => kind,
        (Some(kind), Ok(told)) if kind == told => kind,
        (Some(_), Ok(_)) => return Err(ValueProblem::OtherKind),
        (Some(_), Err(problem)) => return Err(problem),
    };
    let whole = |text| Rewrite {
        range: 0..value.len(),
        text,
    };
    match kind {
        ValueKind::Url => rewrite_url(value, references, master),
        ValueKind::Endpoint => Ok(whole(master.to_string())),
        ValueKind::Host if value.starts_with(b"[") => Ok(whole(bracketed(master))),
        ValueKind::Host => Ok(whole(master.host().to_owned())),
        ValueKind::Port => Ok(whole(master.port().to_string())),
    }
}

fn tell(value: &[u8]) -> Result<ValueKind, ValueProblem> {
    if value.is_empty() {
        return Err(ValueProblem::Empty);
    }
    if find(value, b"://").is_some() {
        return Ok(ValueKind::Url);
    }
    if value.starts_with(b"/") || value.to_ascii_lowercase().starts_with(b"unix:") {
        return Err(ValueProblem::Socket);
    }
    if value.contains(&b',') {
        return Err(ValueProblem::SeveralHosts);
    }
    let text = std::str::from_utf8(value).map_err(|_| ValueProblem::Unrecognised)?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_port(text)
            .map(|_| ValueKind::Port)
            .ok_or(ValueProblem::Unrecognised);
    }
    if text.parse::<Endpoint>().is_ok() {
        return Ok(ValueKind::Endpoint);
    }
    if is_host(text) {
        return Ok(ValueKind::Host);
    }
    Err(ValueProblem::Unrecognised)
}

fn rewrite_url(
    value: &[u8],
    references: &[Range<usize>],
    master: &Endpoint,
) -> Result<Rewrite, ValueProblem> {
    let scheme_end = find(value, b"://").ok_or(ValueProblem::OtherKind)?;
    let start = scheme_end + b"://".len();
    let end = value[start..]
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .map_or(value.len(), |position| start + position);
    let host_start = value[start..end]
        .iter()
        .rposition(|byte| *byte == b'@')
        .map_or(start, |position| start + position + 1);
    let is_apart = |reference: &Range<usize>| {
        let in_user_info = start <= reference.start && reference.end <= host_start;
        in_user_info || end <= reference.start
    };
    if !references.iter().all(is_apart) {
        return Err(ValueProblem::Reference);
    }
    check_scheme(&value[..scheme_end])?;
    if value[end..].contains(&b'@') {
        return Err(ValueProblem::StrayAt);
    }
    let has_port = check_authority(&value[host_start..end])?;
    let mut text = bracketed(master);
    if has_port || master.port() != DEFAULT_PORT {
        text = format!("{text}:{}", master.port());
    }
    Ok(Rewrite {
        range: host_start..end,
        text,
    })
}

fn check_scheme(scheme: &[u8]) -> Result<(), ValueProblem> {
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_slice() {
        b"redis" | b"rediss" | b"valkey" | b"valkeys" | b"tcp" | b"tls" => Ok(()),
        _ if find(&scheme, b"unix").is_some() || find(&scheme, b"socket").is_some() => {
            Err(ValueProblem::Socket)
        }
        _ if find(&scheme, b"sentinel").is_some() => Err(ValueProblem::Sentinel),
        _ => Err(ValueProblem::Scheme),
    }
}

/// Accepts a host with or without a port, and says whether there is one.
fn check_authority(authority: &[u8]) -> Result<bool, ValueProblem> {
    if authority.contains(&b',') {
        return Err(ValueProblem::SeveralHosts);
    }
    let text = std::str::from_utf8(authority).map_err(|_| ValueProblem::Authority)?;
    let is_bare_address = text.contains(':') && !text.starts_with('[');
    if text.parse::<Endpoint>().is_ok() {
        Ok(true)
    } else if is_host(text) && !is_bare_address {
        Ok(false)
    } else {
        Err(ValueProblem::Authority)
    }
}

fn is_host(text: &str) -> bool {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.contains(':') && Endpoint::new(inner, DEFAULT_PORT).is_ok(),
        None => Endpoint::new(text, DEFAULT_PORT).is_ok(),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// The host as it stands before a port: IPv6 in brackets.
fn bracketed(master: &Endpoint) -> String {
    if master.host().contains(':') {
        format!("[{}]", master.host())
    } else {
        master.host().to_owned()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(
        value: &str,
        kind: Option<ValueKind>,
        master: &str,
    ) -> Result<String, ValueProblem> {
        let rewrite = rewrite(value.as_bytes(), &[], kind, &master.parse().unwrap())?;
        let mut text = value.to_owned();
        text.replace_range(rewrite.range, &rewrite.text);
        Ok(text)
    }

    #[test]
    fn only_host_and_port_of_a_value_change() {
        for (old, new) in [
            ("redis://a:6379", "redis://b.example:7001"),
            ("redis://a", "redis://b.example:7001"),
            ("redis://a/0", "redis://b.example:7001/0"),
            ("REDIS://a:1/0", "REDIS://b.example:7001/0"),
            (
                "rediss://u:p@a:6380/2?x=1#f",
                "rediss://u:p@b.example:7001/2?x=1#f",
            ),
            ("redis://:p@ss@a:6379", "redis://:p@ss@b.example:7001"),
            (
                "redis://:%2F%40@[::1]:6379/0",
                "redis://:%2F%40@b.example:7001/0",
            ),
            ("valkey://u@[fd77::1]?x", "valkey://u@b.example:7001?x"),
            ("tcp://10.0.0.1:6379", "tcp://b.example:7001"),
            ("10.0.0.1:6379", "b.example:7001"),
            ("[::1]:6379", "b.example:7001"),
            ("10.0.0.1", "b.example"),
            ("::1", "b.example"),
            ("[::1]", "b.example"),
            ("6379", "7001"),
        ] {
            assert_eq!(rewritten(old, None, "b.example:7001").unwrap(), new);
        }
    }

    #[test]
    fn an_ipv6_master_has_brackets_where_a_port_may_follow() {
        for (old, new) in [
            ("redis://a:1/0", "redis://[fd77::2]:6379/0"),
            ("redis://a/0", "redis://[fd77::2]/0"),
            ("a:1", "[fd77::2]:6379"),
            ("a", "fd77::2"),
            ("[::1]", "[fd77::2]"),
        ] {
            assert_eq!(rewritten(old, None, "[fd77::2]:6379").unwrap(), new);
        }
    }

    #[test]
    fn a_value_without_one_sure_address_is_refused() {
        use ValueProblem as Problem;
        for (value, problem) in [
            ("", Problem::Empty),
            ("0", Problem::Unrecognised),
            ("70000", Problem::Unrecognised),
            ("a b", Problem::Unrecognised),
            ("host:port", Problem::Unrecognised),
            ("a:1,b:2", Problem::SeveralHosts),
            ("/run/redis.sock", Problem::Socket),
            ("unix:/run/redis.sock", Problem::Socket),
            ("unix:///run/redis.sock", Problem::Socket),
            ("redis+unix:///run/redis.sock", Problem::Socket),
            ("redis-sentinel://a:26379", Problem::Sentinel),
            ("https://a:1", Problem::Scheme),
            ("://a:1", Problem::Scheme),
            ("redis://", Problem::Authority),
            ("redis://:6379/0", Problem::Authority),
            ("redis://u:p@/0", Problem::Authority),
            ("redis://a:/0", Problem::Authority),
            ("redis://a:0", Problem::Authority),
            ("redis://a:99999", Problem::Authority),
            ("redis://::1", Problem::Authority),
            ("redis://[::1", Problem::Authority),
            ("redis://${HOST}:6379", Problem::Authority),
            ("redis://u:p/w@a:6379", Problem::StrayAt),
            ("redis://a:1,b:2/0", Problem::SeveralHosts),
        ] {
            assert_eq!(
                rewritten(value, None, "b:1").unwrap_err(),
                problem,
                "{value}"
            );
        }
    }

    #[test]
    fn a_stated_kind_fills_an_empty_value_and_refuses_another_kind() {
        use ValueKind::{Endpoint, Host, Port, Url};
        for (kind, filled) in [(Endpoint, "b:1"), (Host, "b"), (Port, "1")] {
            assert_eq!(rewritten("", Some(kind), "b:1").unwrap(), filled);
        }
        assert_eq!(rewritten("", Some(Url), "b:1"), Err(ValueProblem::EmptyUrl));
        for (kind, value) in [
            (Host, "a:1"),
            (Port, "a"),
            (Endpoint, "a"),
            (Url, "a:1"),
            (Host, "1"),
        ] {
            assert_eq!(
                rewritten(value, Some(kind), "b:1"),
                Err(ValueProblem::OtherKind)
            );
        }
    }
}
