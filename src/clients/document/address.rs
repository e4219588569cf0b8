//! The address within a value: which bytes of it name a host and a port, and what replaces them.

use std::ops::Range;

use super::{Edit, ValueKind, ValueProblem, connection, list};
use crate::model::Endpoint;

/// The port of a URL that names none.
pub(super) const DEFAULT_PORT: u16 = 6379;

/// Some bytes of a value, and what takes their place.
#[derive(Debug)]
pub(super) struct Rewrite {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// How an address is written in a value: finds it, and says how it shall read.
pub(super) type Rewriting =
    fn(value: &[u8], references: &[Range<usize>], edit: Edit<'_>) -> Result<Rewrite, ValueProblem>;

/// Finds the address in `value` and says how it shall read.
///
/// Some readers put variables in place of the `references`: none of them may be part of the address.
///
/// # Errors
/// [`ValueProblem`] when the value holds no address, or more than one could be meant.
pub(super) fn rewrite(
    value: &[u8],
    references: &[Range<usize>],
    edit: Edit<'_>,
) -> Result<Rewrite, ValueProblem> {
    if !edit.readers.is_empty() {
        return list::rewrite(value, references, edit);
    }
    let master = edit.master;
    let told = tell(value);
    let has_other_parts = matches!(told, Ok(ValueKind::Url | ValueKind::Connection));
    if !references.is_empty() && !has_other_parts {
        return Err(ValueProblem::Reference);
    }
    let kind = match (edit.value, told) {
        (None, told) => told?,
        (Some(ValueKind::Url), Err(ValueProblem::Empty)) => return Err(ValueProblem::EmptyUrl),
        (Some(kind), Err(ValueProblem::Empty)) => kind,
        (Some(kind), Ok(told)) if kind == told => kind,
        // Without options it is an address alone.
        (Some(ValueKind::Connection), Ok(ValueKind::Endpoint | ValueKind::Host)) => {
            ValueKind::Connection
        }
        (Some(_), Ok(_)) => return Err(ValueProblem::OtherKind),
        (Some(_), Err(problem)) => return Err(problem),
    };
    let whole = |text| Rewrite {
        range: 0..value.len(),
        text,
    };
    match kind {
        ValueKind::Url => rewrite_url(value, references, master),
        ValueKind::Connection => connection::rewrite(value, references, master),
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
        return connection::tell(value).map(|()| ValueKind::Connection);
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
    Ok(Rewrite {
        range: host_start..end,
        text: with_port_if(has_port, master),
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
pub(super) fn check_authority(authority: &[u8]) -> Result<bool, ValueProblem> {
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

/// Host and port; the latter may be left out where it is the usual one.
pub(super) fn with_port_if(has_port: bool, master: &Endpoint) -> String {
    if has_port || master.port() != DEFAULT_PORT {
        master.to_string()
    } else {
        bracketed(master)
    }
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
        let edit = Edit {
            keys: &[],
            value: kind,
            master: &master.parse().unwrap(),
            readers: &[],
        };
        let rewrite = rewrite(value.as_bytes(), &[], edit)?;
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
            (
                "a:6379,ssl=true,password=p=w,db=3",
                "b.example:7001,ssl=true,password=p=w,db=3",
            ),
            ("ssl=true, [::1]:1 ,db=3", "ssl=true, b.example:7001 ,db=3"),
            ("a,password=x", "b.example:7001,password=x"),
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
            ("a:1,db=1", "[fd77::2]:6379,db=1"),
            ("a,db=1", "[fd77::2],db=1"),
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
            ("a:1,password=p,w", Problem::SeveralHosts),
            ("ssl=true,db=1", Problem::Unrecognised),
            ("a:x,db=1", Problem::Unrecognised),
            (",db=1", Problem::Unrecognised),
            ("a:1,ServiceName=m", Problem::Sentinel),
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
        use ValueKind::{Connection, Endpoint, Host, Port, Url};
        assert_eq!(rewritten("a:7", Some(Connection), "b:1").unwrap(), "b:1");
        for (kind, filled) in [
            (Endpoint, "b:1"),
            (Host, "b"),
            (Port, "1"),
            (Connection, "b:1"),
        ] {
            assert_eq!(rewritten("", Some(kind), "b:1").unwrap(), filled);
        }
        assert_eq!(rewritten("", Some(Url), "b:1"), Err(ValueProblem::EmptyUrl));
        for (kind, value) in [
            (Host, "a:1"),
            (Port, "a"),
            (Endpoint, "a"),
            (Url, "a:1"),
            (Host, "1"),
            (Endpoint, "a:1,db=1"),
            (Connection, "redis://a:1"),
            (Connection, "1"),
        ] {
            assert_eq!(
                rewritten(value, Some(kind), "b:1"),
                Err(ValueProblem::OtherKind)
            );
        }
    }
}
