//! Pools of twemproxy (nutcracker): YAML with servers as `host:port:weight name`. Path: `POOL.NAME`.
//!
//! The name decides which keys a server gets, so it stays, and a server without one, whose address is its
//! name, is refused. IPv6 stands without brackets: twemproxy counts the colons from the end.

use std::ops::Range;

use saphyr_parser::ScalarStyle;

use super::address::Rewrite;
use super::tree::{Tree, compare_at};
use super::verify::Discrepancy;
use super::yaml::{Content, File, Node, Place, documents, quoted_if_needed, unreadable};
use super::{Edit, EditError, KeyPath, Slot, ValueKind, ValueProblem, text_of};
use crate::model::Endpoint;

/// Finds the server of every path in `keys`.
///
/// # Errors
/// [`EditError`] when the text is no YAML, or there is no such server, or it cannot be changed safely.
pub(super) fn locate<'a>(text: &[u8], keys: &'a [KeyPath]) -> Result<Vec<Slot<'a>>, EditError> {
    let (document, mark) = text_of(text)?;
    let file = File::read(document)?;
    let place = Place::new(document, mark, &file);
    keys.iter().map(|key| slot(&place, key)).collect()
}

/// Demands that `new` is `old` but for the addresses of the servers, and that these are the master's.
///
/// # Errors
/// [`Discrepancy`], the first one in the text.
pub(super) fn check(old: &[u8], new: &[u8], edit: Edit<'_>) -> Result<(), Discrepancy> {
    let (old, new) = (documents(old)?, documents(new)?);
    let [root] = old.as_slice() else {
        return Err(unreadable());
    };
    let mut places = Vec::new();
    for key in edit.keys {
        let wrong = || Discrepancy::ValueAt {
            key: key.to_string(),
        };
        let [pool, server] = key.segments() else {
            return Err(wrong());
        };
        let way = [pool.clone(), "servers".to_owned()];
        let Some(Tree::List(items)) = root.get(&way) else {
            return Err(wrong());
        };
        let is_meant = |item: &Tree| match item.get(&[]) {
            Some(Tree::Text(text)) => text.split(' ').nth(1) == Some(server),
            Some(_) | None => false,
        };
        let at = items.iter().position(is_meant).ok_or_else(wrong)?;
        let [pool, servers] = way;
        places.push((key, vec!["0".to_owned(), pool, servers, at.to_string()]));
    }
    let is_right = |old: &str, new: &str| is_moved(old, new, edit.master);
    compare_at(Tree::List(old), Tree::List(new), &places, is_right)
}

/// Whether name and weight are the same, and the rest is the master.
fn is_moved(old: &str, new: &str, master: &Endpoint) -> bool {
    let expected = format!("{}:{}:", master.host(), master.port());
    new.strip_prefix(&expected) == old.rsplit(':').next()
}

fn slot<'k>(place: &Place<'_>, key: &'k KeyPath) -> Result<Slot<'k>, EditError> {
    let missing = |missing: String| EditError::PathMissing {
        key: key.to_string(),
        missing,
    };
    let [pool, server] = key.segments() else {
        return Err(missing("server of a pool by this path".to_owned()));
    };
    let node = find(place, pool, server, key, &missing)?;
    let (range, letters, style) = place.scalar(node, key)?;
    let is_plain = style == ScalarStyle::Plain;
    Ok(Slot {
        key,
        line: place.line(node.start),
        range: place.mark + range.start..place.mark + range.end,
        references: Vec::new(),
        letters,
        rewriting: if is_plain { rewrite_plain } else { rewrite },
    })
}

fn find<'f>(
    place: &Place<'f>,
    pool: &str,
    server: &str,
    key: &KeyPath,
    missing: &dyn Fn(String) -> EditError,
) -> Result<&'f Node, EditError> {
    let servers = place.find(&[pool.to_owned(), "servers".to_owned()], key)?;
    let Content::List(items) = &servers.content else {
        return Err(missing(format!("list of servers in {pool}")));
    };
    let is_named = |node: &&Node| node.text().and_then(name) == Some(server);
    let mut named = items.iter().filter(is_named);
    match (named.next(), named.next()) {
        (Some(_), Some(second)) => Err(EditError::GivenTwice {
            key: key.to_string(),
            line: place.line(second.start),
            part: server.to_owned(),
        }),
        (Some(node), None) => Ok(node),
        (None, _) => {
            let nameless = items
                .iter()
                .find(|node| node.text().is_some_and(|text| name(text).is_none()));
            Err(match nameless {
                Some(node) => place.refusal(node, key, ValueProblem::Nameless),
                None => missing(format!("server {server} in {pool}")),
            })
        }
    }
}

fn name(server: &str) -> Option<&str> {
    server.rsplit_once(' ').map(|(_, name)| name)
}

/// Replaces host and port of `host:port:weight name`.
fn rewrite(value: &[u8], _: &[Range<usize>], edit: Edit<'_>) -> Result<Rewrite, ValueProblem> {
    if edit.value.is_some_and(|kind| kind != ValueKind::Endpoint) {
        return Err(ValueProblem::OtherKind);
    }
    let text = std::str::from_utf8(value).map_err(|_| ValueProblem::Unrecognised)?;
    if text.starts_with('/') {
        return Err(ValueProblem::Socket);
    }
    let (server, name) = text.rsplit_once(' ').ok_or(ValueProblem::Nameless)?;
    let (address, weight) = server.rsplit_once(':').ok_or(ValueProblem::Server)?;
    let (host, port) = address.rsplit_once(':').ok_or(ValueProblem::Server)?;
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_weight = is_plain(weight) && weight.parse::<u32>().is_ok() && !name.contains(':');
    let is_address = is_plain(port)
        && port
            .parse()
            .is_ok_and(|port| Endpoint::new(host, port).is_ok());
    if !is_weight || !is_address {
        return Err(ValueProblem::Server);
    }
    Ok(Rewrite {
        range: 0..address.len(),
        text: format!("{}:{}", edit.master.host(), edit.master.port()),
    })
}

fn rewrite_plain(
    value: &[u8],
    references: &[Range<usize>],
    edit: Edit<'_>,
) -> Result<Rewrite, ValueProblem> {
    let rewrite = rewrite(value, references, edit)?;
    Ok(quoted_if_needed(value, rewrite))
}
