//! Which module may use which, and what the pure ones may not touch.

use crate::checkout::SourceFile;
use crate::text::{code_only, find_word, line_of, without_tests};

/// Each top-level module with those that it may use. Arrows point down only: a module uses none that
/// stands before it here. Those of one floor (`status` to `peer`) know nothing of each other; what
/// they share is carried by the daemon, in the words of `decision` and `model`. `settings` parses into
/// the types of those that use them.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "command",
        &[
            "daemon",
            "settings",
            "status",
            "sentinel",
            "clients",
            "peer",
            "fencer",
            "redis",
            "consensus",
            "decision",
            "model",
        ],
    ),
    (
        "daemon",
        &[
            "settings",
            "status",
            "sentinel",
            "clients",
            "peer",
            "fencer",
            "redis",
            "consensus",
            "decision",
            "model",
            "breaks",
        ],
    ),
    (
        "settings",
        &["sentinel", "clients", "peer", "redis", "decision", "model"],
    ),
    ("status", &["decision", "model"]),
    ("sentinel", &["decision", "model"]),
    ("clients", &["decision", "model", "breaks"]),
    // Peers carry the engine's messages.
    ("peer", &["consensus", "decision", "model", "breaks"]),
    ("fencer", &["decision", "model"]),
    ("redis", &["decision", "model"]),
    ("consensus", &["decision", "model", "breaks"]),
    ("decision", &["model", "breaks"]),
    ("model", &[]),
    ("breaks", &[]),
];

/// Modules that own no clock, chance, disk, network or thread.
const PURE: &[&str] = &["decision", "model", "consensus"];

/// The edge of `consensus`: its log file and the thread that waits for the disk; and its tests.
const EDGE: &[&str] = &[
    "src/consensus/disk.rs",
    "src/consensus/writer.rs",
    "src/consensus/cluster.rs",
    "src/consensus/hostile.rs",
];

/// What is impure, and what to do instead.
const IMPURE: &[(&str, &str)] = &[
    ("Instant::now", "take `now` as an argument"),
    (".elapsed()", "take `now` as an argument"),
    ("SystemTime", "take the time as an argument"),
    ("HashMap", "a BTreeMap replays in the same order"),
    ("HashSet", "a BTreeSet replays in the same order"),
    ("RandomState", "a BTreeMap replays in the same order"),
    ("fastrand", "use SplitMix with the caller's seed"),
    ("getrandom", "use SplitMix with the caller's seed"),
    ("rand", "use SplitMix with the caller's seed"),
    ("tokio", "return an action; the daemon carries it out"),
    ("rustix", "return an action; the daemon carries it out"),
    ("std::env", "take the value as an argument"),
    ("std::fs", "return an action; the daemon carries it out"),
    ("std::io", "return an action; the daemon carries it out"),
    (
        "std::process",
        "return an action; the daemon carries it out",
    ),
    ("std::thread", "return an action; the daemon carries it out"),
    ("TcpListener", "return an action; the daemon carries it out"),
    ("TcpStream", "return an action; the daemon carries it out"),
    ("UdpSocket", "return an action; the daemon carries it out"),
    ("ToSocketAddrs", "resolving a name asks the network"),
    ("to_socket_addrs", "resolving a name asks the network"),
    ("std::os", "return an action; the daemon carries it out"),
];

/// What a pure module reaches for that it may not.
pub fn impurities(file: &SourceFile) -> Vec<String> {
    let module = file.module_path();
    let is_pure = module.first().is_some_and(|name| PURE.contains(name));
    if !is_pure || file.is_test() || EDGE.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let code = code_only(&file.text);
    let code = without_tests(&code);
    let complain = |word: &str, instead: &str, at| {
        let line = line_of(code, at);
        format!("{}:{line}: `{word}` in a pure module: {instead}", file.path)
    };
    let found = |(word, instead): &(&'static str, &str)| {
        find_word(code, word)
            .map(|at| complain(word, instead, at))
            .collect::<Vec<_>>()
    };
    IMPURE
        .iter()
        .flat_map(found)
        .chain(grouped_impurities(file, code))
        .collect()
}

/// `use std::{fs, …}`, which hides the paths that are looked for above.
fn grouped_impurities(file: &SourceFile, code: &str) -> Vec<String> {
    let complain = |at| {
        format!(
            "{}:{}: one `use std::…` a line here",
            file.path,
            line_of(code, at)
        )
    };
    find_word(code, "std::{").map(complain).collect()
}

/// Uses of a module that this file's module may not use.
pub fn upward_uses(file: &SourceFile) -> Vec<String> {
    let module = file.module_path();
    let Some(own) = module.first() else {
        return Vec::new(); // lib.rs and main.rs see everything
    };
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| name == own) else {
        return vec![format!(
            "{}: module `{own}` is not in the table of tests/tidy/modules.rs",
            file.path
        )];
    };
    let code = code_only(&file.text);
    let complain = |(at, used): (usize, String)| {
        let line = line_of(&code, at);
        format!("{}:{line}: `{own}` may not use `{used}`", file.path)
    };
    let is_wrong = |(_, used): &(usize, String)| {
        used != own && is_module(used) && !allowed.contains(&used.as_str())
    };
    let mut uses = uses_from_crate(&code);
    uses.extend(uses_by_super(&code, module.len()));
    uses.into_iter().filter(is_wrong).map(complain).collect()
}

fn is_module(name: &str) -> bool {
    MAY_USE.iter().any(|(module, _)| *module == name)
}

/// Modules named as `crate::name` or in `crate::{name, …}`.
fn uses_from_crate(code: &str) -> Vec<(usize, String)> {
    let uses = find_word(code, "crate::").flat_map(|at| {
        let names = first_names(&code[at + "crate::".len()..]);
        names.into_iter().map(move |name| (at, name))
    });
    uses.collect()
}

/// Modules named by climbing to the root with `super::`, from a file `depth` modules below it.
fn uses_by_super(code: &str, depth: usize) -> Vec<(usize, String)> {
    let is_start = |at: &usize| !code[..*at].ends_with("super::");
    let uses = find_word(code, "super::").filter(is_start).flat_map(|at| {
        let mut rest = &code[at..];
        let mut climbed = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            rest = after;
            climbed += 1;
        }
        let names = if climbed >= depth {
            first_names(rest)
        } else {
            Vec::new()
        };
        names.into_iter().map(move |name| (at, name))
    });
    uses.collect()
}

/// The name that a path begins with, or the first names of all paths in its braces.
fn first_names(path: &str) -> Vec<String> {
    let name = |path: &str| -> String {
        path.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let mut depth = 0;
    let mut names = vec![name(group)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&group[at + 1..])),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
fn file(path: &str, text: &str) -> SourceFile {
    SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn impure_code_in_a_pure_module_is_found() {
    for text in [
        "let now = Instant::now();",
        "use std::collections::HashMap;",
        "use std::{fs, io};",
        "use tokio::time::sleep;",
        "std::fs::read(path)",
        "since.elapsed()",
        "let roll = fastrand::u64(..);",
    ] {
        for path in [
            "src/decision/a.rs",
            "src/model/a.rs",
            "src/consensus/engine.rs",
        ] {
            assert!(!impurities(&file(path, text)).is_empty(), "{path}: {text}");
        }
        for path in [
            "src/daemon/a.rs",
            "src/consensus/disk.rs",
            "src/decision/a_tests.rs",
        ] {
            assert!(impurities(&file(path, text)).is_empty(), "{path}: {text}");
        }
    }
}

#[test]
fn words_and_tests_about_impure_things_are_no_impurity() {
    for text in [
        "// tokio would be wrong here",
        "let name = \"HashMap\";",
        "use std::net::IpAddr;",
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    let now = Instant::now();\n}",
    ] {
        assert_eq!(impurities(&file("src/decision/a.rs", text)), [""; 0]);
    }
}

#[test]
fn an_arrow_that_points_up_or_sideways_is_found() {
    for (path, text) in [
        ("src/model/a.rs", "use crate::decision::Event;"),
        ("src/decision/a.rs", "fn f(x: crate::redis::Info) {}"),
        (
            "src/redis/a.rs",
            "use crate::{\n    model::{Epoch, NodeId},\n    daemon,\n};",
        ),
        ("src/clients/a/b.rs", "use crate::status::Reply;"),
        ("src/decision/a.rs", "use super::super::redis::Info;"),
        ("src/peer/mod.rs", "use super::{model, clients::File};"),
        ("src/novelty/mod.rs", "use crate::model::Epoch;"),
    ] {
        assert_eq!(upward_uses(&file(path, text)).len(), 1, "{path}: {text}");
    }
}

#[test]
fn an_arrow_that_points_down_is_fine() {
    for (path, text) in [
        ("src/main.rs", "use crate::daemon::Daemon;"),
        (
            "src/daemon/mod.rs",
            "use crate::{redis, model::{Epoch, NodeId}, decision};",
        ),
        (
            "src/redis/a.rs",
            "use super::status::Line; use crate::redis::b; use crate::decision::c;",
        ),
        (
            "src/model/a.rs",
            "// crate::daemon\nlet a = \"crate::daemon\";",
        ),
        (
            "src/decision/a.rs",
            "pub(crate) struct A; use super::model;",
        ),
    ] {
        assert_eq!(upward_uses(&file(path, text)), [""; 0], "{path}: {text}");
    }
}
