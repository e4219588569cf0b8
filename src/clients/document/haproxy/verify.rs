//! The second reading of a HAProxy configuration: every line as the words that it has between blanks.

use super::super::verify::{Assigned, Discrepancy, compare_assigned};
use super::super::{Edit, KeyPath};

/// Demands that `new` is `old` but for the addresses of the servers, and that these are the master's.
///
/// # Errors
/// [`Discrepancy`], the first one in the text.
pub(in crate::clients::document) fn check(
    old: &[u8],
    new: &[u8],
    found: usize,
    edit: Edit<'_>,
) -> Result<(), Discrepancy> {
    let is_wanted = |assigned: &Assigned, key: &KeyPath| {
        let [section, keyword, name, ..] = assigned.place.as_slice() else {
            return false;
        };
        keyword == "server" && key.segments() == [section.as_str(), name.as_str()]
    };
    let is_right = |old: &[u8], new: &[u8]| {
        let (old, new) = (bare(old), bare(new));
        let is_four = edit.master.address().map(|address| address.is_ipv4());
        let fits = match (new.0.last(), is_four) {
            (Some(b'4'), Some(is_four)) => is_four,
            (Some(b'6'), Some(is_four)) => !is_four,
            (Some(_) | None, _) => new.0 == old.0,
        };
        fits && old.0.len() == new.0.len() && new.1 == edit.master.to_string().as_bytes()
    };
    compare_assigned((read(old), read(new)), found, edit, is_wanted, is_right)
}

/// Family and address, without quotes.
fn bare(word: &[u8]) -> (&[u8], &[u8]) {
    let quotes = |byte: &u8| matches!(byte, b'"' | b'\'');
    let start = word.iter().take_while(|byte| quotes(byte)).count();
    let end = word.iter().rev().take_while(|byte| quotes(byte)).count();
    let word = word.get(start..word.len() - end).unwrap_or_default();
    match word.iter().position(|byte| *byte == b'@') {
        Some(at) => (&word[..at], &word[at + 1..]),
        None => (b"", word),
    }
}

/// The section, and the words of each line; the third of a server is its value.
fn read(text: &[u8]) -> Vec<Assigned> {
    let sections = [
        "acme",
        "backend",
        "cache",
        "crt-store",
        "defaults",
        "dynamic-update",
        "fcgi-app",
        "frontend",
        "global",
        "http-errors",
        "listen",
        "log-forward",
        "log-profile",
        "mailers",
        "peers",
        "program",
        "resolvers",
        "ring",
        "traces",
        "userlist",
    ];
    let text = String::from_utf8_lossy(text);
    let mut section = String::new();
    let mut assigned = Vec::new();
    for line in text.trim_start_matches('\u{FEFF}').split('\n') {
        let mut words: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
        let first = words.first().map_or("", String::as_str);
        if sections.contains(&first) {
            let is_backend = matches!(first, "backend" | "listen");
            section = words
                .get(1)
                .filter(|_| is_backend)
                .cloned()
                .unwrap_or_default();
            section = section.trim_matches(['"', '\'']).to_owned();
        }
        let is_server = words.first().is_some_and(|first| first == "server");
        let value = if is_server && words.len() > 2 {
            words[1] = words[1].trim_matches(['"', '\'']).to_owned();
            words.remove(2)
        } else {
            String::new()
        };
        words.insert(0, section.clone());
        assigned.push(Assigned {
            place: words,
            value: value.into_bytes(),
        });
    }
    assigned
}
