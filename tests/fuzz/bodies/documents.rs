//! Clients' documents: whatever they hold, an edit changes the values and nothing else, or is refused.

use std::collections::BTreeMap;
use std::fs;

use promoterd::clients::transaction::{Prepared, prepare};
use promoterd::clients::{Content, Format, KeyPath, Publication, Target, ValueKind, document};
use promoterd::model::{Endpoint, Epoch, Replica};
use tempfile::TempDir;
use toml_edit::{Document, Item};

use super::Input;
use super::disk::client;
use super::node::{group, instance};

const PATHS: [&str; 8] = [
    "K",
    "REDIS_URL",
    "redis.url",
    "redis.primary.host",
    "servers.0.host",
    "\"a.b\".c",
    "port",
    "a.b.c.d",
];
const MASTERS: [&str; 4] = [
    "new-master:7777",
    "10.9.8.7:6379",
    "[2001:db8::7]:7777",
    "m:1",
];

/// First byte: the format (its low half), what the values hold (three bits), and whether there are two
/// keys; second: the keys and the master.
pub fn document(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (first, second) = (input.byte(), input.byte());
    let format = Format::ALL[usize::from(first & 15) % Format::ALL.len()];
    let value = match first >> 4 & 7 {
        0 => Some(ValueKind::Url),
        1 => Some(ValueKind::Endpoint),
        2 => Some(ValueKind::Host),
        3 => Some(ValueKind::Port),
        5 => Some(ValueKind::Connection),
        _ => None,
    };
    let path = |number: u8| PATHS[usize::from(number & 7)].parse().expect("a path");
    let mut keys: Vec<KeyPath> = vec![path(second)];
    if first & 0x80 != 0 {
        keys.push(path(second >> 3));
    }
    let master: Endpoint = MASTERS[usize::from(second >> 6)].parse().expect("one");
    let edit = document::Edit {
        keys: &keys,
        value,
        master: &master,
        readers: &[],
    };
    let old = input.rest();
    let Ok(edited) = document::edit(format, old, edit) else {
        return;
    };
    let new = edited.bytes();
    assert_eq!(edited.is_changed(), new != old);
    same_but_for_the_master(old, new, &master);
    match format {
        Format::Json => same_json(old, new, &keys),
        Format::Toml => same_toml(old, new, &keys),
        Format::Env
        | Format::Jsonc
        | Format::Ini
        | Format::Properties
        | Format::Yaml
        | Format::Haproxy
        | Format::Twemproxy
        | Format::Hosts => {}
    }
    let again = document::edit(format, new, edit).expect("what was written can be edited");
    assert!(!again.is_changed(), "an edit is not the end of it");
}

/// Line by line: where they differ, the new one names the master.
fn same_but_for_the_master(old: &[u8], new: &[u8], master: &Endpoint) {
    let lines = |text| <[u8]>::split(text, |byte: &u8| *byte == b'\n');
    assert_eq!(lines(old).count(), lines(new).count(), "lines");
    let port = master.port().to_string();
    let holds = |line: &[u8], part: &str| {
        let part = part.as_bytes();
        line.windows(part.len()).any(|window| window == part)
    };
    for (before, after) in lines(old).zip(lines(new)) {
        let names = holds(after, master.host()) || holds(after, &port);
        assert!(
            before == after || names,
            "{:?}",
            String::from_utf8_lossy(after)
        );
    }
}

fn same_json(old: &[u8], new: &[u8], keys: &[KeyPath]) {
    let parse = |text: &[u8]| {
        let text = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text);
        serde_json::from_slice::<serde_json::Value>(text).ok()
    };
    let Some(mut old) = parse(old) else {
        return;
    };
    let mut new = parse(new).expect("it was JSON before");
    for key in keys {
        for document in [&mut old, &mut new] {
            let mut place = document;
            for segment in key.segments() {
                place = match place {
                    serde_json::Value::Array(items) => {
                        let at: usize = segment.parse().expect("a position");
                        &mut items[at]
                    }
                    inner => inner.get_mut(segment).expect("the edit found it"),
                };
            }
            *place = serde_json::Value::Null;
        }
    }
    assert_eq!(old, new, "something else reads differently");
}

fn same_toml(old: &[u8], new: &[u8], keys: &[KeyPath]) {
    let read = |text: &[u8]| {
        let text = std::str::from_utf8(text).ok()?;
        let document = Document::parse(text).ok()?;
        let mut leaves = BTreeMap::new();
        collect(document.as_item(), &[], &mut leaves);
        leaves.retain(|path, _| keys.iter().all(|key| key.segments() != path));
        Some(leaves)
    };
    let Some(old) = read(old) else {
        return;
    };
    let new = read(new).expect("it was TOML before");
    assert!(old == new, "something else reads differently");
}

/// Each value by its path.
fn collect(item: &Item, path: &[String], leaves: &mut BTreeMap<Vec<String>, String>) {
    let below = |part: &str| [path, &[part.to_owned()]].concat();
    if let Some(table) = item.as_table_like() {
        for (key, inner) in table.iter() {
            collect(inner, &below(key), leaves);
        }
    } else if let Some(tables) = item.as_array_of_tables() {
        for (position, table) in tables.iter().enumerate() {
            let item = Item::Table(table.clone());
            collect(&item, &below(&position.to_string()), leaves);
        }
    } else if let Some(values) = item.as_array() {
        for (position, value) in values.iter().enumerate() {
            let item = Item::Value(value.clone());
            collect(&item, &below(&position.to_string()), leaves);
        }
    } else {
        leaves.insert(path.to_vec(), scalar(item));
    }
}

fn scalar(item: &Item) -> String {
    let text = item.as_str().map(|text| format!("text {text}"));
    let number = item.as_integer().map(|number| number.to_string());
    let float = item
        .as_float()
        .map(|float| format!("{:x}", float.to_bits()));
    let flag = item.as_bool().map(|flag| flag.to_string());
    let moment = item.as_datetime().map(|moment| moment.to_string());
    text.or(number)
        .or(float)
        .or(flag)
        .or(moment)
        .unwrap_or_default()
}

thread_local! {
    static DIRECTORY: TempDir = tempfile::tempdir().expect("a directory");
}

/// A template, and beside it the file that is made of it.
pub fn template(bytes: &[u8]) {
    DIRECTORY.with(|directory| {
        let source = directory.path().join("template.j2");
        let path = directory.path().join("app.cfg");
        fs::write(&source, bytes).expect("a file");
        fs::write(&path, b"old\n").expect("a file");
        let target = Target {
            client: client(),
            group: group(),
            path: path.clone(),
            content: Content::Template { source },
            check: None,
            reload: None,
        };
        let publication = Publication {
            group: group(),
            epoch: Epoch(3),
            master: instance(0),
            replicas: [instance(1), instance(2)].map(Replica::unknown).into(),
        };
        match prepare(&target, &publication) {
            Ok(Prepared::Staged(staged)) => {
                let length = fs::metadata(staged.path()).expect("a copy").len();
                assert!(length <= 1 << 20, "{length} bytes");
            }
            Ok(Prepared::Right(_)) => {}
            Err(error) => {
                let told = error.to_string();
                assert!(told.len() < 8192, "{} bytes", told.len());
            }
        }
        assert_eq!(fs::read(&path).expect("it stays"), b"old\n");
        let left = fs::read_dir(directory.path()).expect("a directory").count();
        assert_eq!(left, 2, "something was left behind");
    });
}
