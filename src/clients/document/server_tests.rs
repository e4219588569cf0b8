//! HAProxy, twemproxy and hosts files: only the address changes, or nothing does.

use super::path_tests::{edited, text_of};
use super::*;

#[test]
fn only_the_address_changes() {
    for (format, paths, master, old, new) in [
        (
            Format::Haproxy,
            "w.r1, \"w.x\".r1",
            "10.0.0.2:2",
            "global\n  server r1 a:1\nbackend w # x\n\tserver r1  10.0.0.1:6379 check inter 1s # a:1\n\tserver r2 a:1\nlisten \"w.x\"\r\n server \"r1\" \"a:1\" backup\r\npeers w\n server r1 a:1\n",
            "global\n  server r1 a:1\nbackend w # x\n\tserver r1  10.0.0.2:2 check inter 1s # a:1\n\tserver r2 a:1\nlisten \"w.x\"\r\n server \"r1\" \"10.0.0.2:2\" backup\r\npeers w\n server r1 a:1\n",
        ),
        (
            Format::Haproxy,
            "w.a, w.b, w.c, w.d",
            "[fd77::2]:2",
            "backend w\nserver a ipv4@10.0.0.1:1\nserver b ::1:6379 check\nserver c tcp@[::1]:1\nserver d tcp6@[::1]:1\n",
            "backend w\nserver a ipv6@[fd77::2]:2\nserver b [fd77::2]:2 check\nserver c tcp@[fd77::2]:2\nserver d tcp6@[fd77::2]:2\n",
        ),
        (
            Format::Haproxy,
            "w.a",
            "redis-b:2",
            "\u{FEFF}.if defined(X)\nbackend v\n.endif\nbackend w\n server a ipv4@x:1 name\\ x 'it''s'",
            "\u{FEFF}.if defined(X)\nbackend v\n.endif\nbackend w\n server a ipv4@redis-b:2 name\\ x 'it''s'",
        ),
        (
            Format::Twemproxy,
            "alpha.s1, beta.\"s.2\"",
            "10.0.0.2:2",
            "alpha:\n  hash: fnv1a_64 # x\n  servers:\n   - 10.0.0.1:6379:1 s1\n   - 10.0.0.9:6379:1 s2\nbeta:\n  servers: ['a:1:10 s1', \"a:1:20 s.2\"]\n",
            "alpha:\n  hash: fnv1a_64 # x\n  servers:\n   - 10.0.0.2:2:1 s1\n   - 10.0.0.9:6379:1 s2\nbeta:\n  servers: ['a:1:10 s1', \"10.0.0.2:2:20 s.2\"]\n",
        ),
        (
            Format::Twemproxy,
            "a.s",
            "[::2]:2",
            "a:\r\n  servers:\r\n  - fd77::1:6379:1 s\r\n",
            "a:\r\n  servers:\r\n  - \"::2:2:1 s\"\r\n",
        ),
        (
            Format::Hosts,
            "redis-master, Other.example",
            "10.0.0.2:2",
            "127.0.0.1 localhost\n# 10.0.0.1 redis-master\n10.0.0.1\tredis-master.example redis-master # x\r\n ::1 other.EXAMPLE#y\n10.0.0.1 redis-master2",
            "127.0.0.1 localhost\n# 10.0.0.1 redis-master\n10.0.0.2\tredis-master.example redis-master # x\r\n 10.0.0.2 other.EXAMPLE#y\n10.0.0.1 redis-master2",
        ),
        (
            Format::Hosts,
            "r",
            "[fd77::2]:2",
            "\u{FEFF}10.0.0.1 r\n",
            "\u{FEFF}fd77::2 r\n",
        ),
    ] {
        let bytes = edited(format, old.as_bytes(), paths, master);
        let bytes = bytes.unwrap_or_else(|error| panic!("{old:?}: {}", text_of(&error)));
        assert_eq!(String::from_utf8(bytes).unwrap(), new);
    }
}

#[test]
fn a_server_that_cannot_be_moved_surely_is_refused_with_its_line() {
    use ValueProblem as Problem;
    for (format, path, text, line, problem) in [
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s\n",
            2,
            Problem::Empty,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s a\n",
            2,
            Problem::NoPort,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s /run/r.sock\n",
            2,
            Problem::Socket,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s unix@/run/r\n",
            2,
            Problem::Socket,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s quic4@a:1\n",
            2,
            Problem::Unrecognised,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s \"${R}:1\"\n",
            2,
            Problem::Reference,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s a\\:1\n",
            2,
            Problem::Unrecognised,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s 'a':1\n",
            2,
            Problem::Unrecognised,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s a:+1\n",
            2,
            Problem::Unrecognised,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n.if 1\n server s a:1\n.endif",
            3,
            Problem::Conditional,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s a:1 {{ x }}\n",
            2,
            Problem::Template,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s a:1 \\\n check\n",
            2,
            Problem::Continuation,
        ),
        (
            Format::Twemproxy,
            "p.s",
            "p: {servers: [\"a:1:1\"]}",
            1,
            Problem::Nameless,
        ),
        (
            Format::Twemproxy,
            "p.s",
            "p:\n servers:\n - a:1 s\n",
            3,
            Problem::Server,
        ),
        (
            Format::Twemproxy,
            "p.s",
            "p:\n servers:\n - a:1:x s\n",
            3,
            Problem::Server,
        ),
        (
            Format::Twemproxy,
            "p.s",
            "p:\n servers:\n - a:0:1 s\n",
            3,
            Problem::Server,
        ),
        (
            Format::Twemproxy,
            "p.s",
            "p:\n servers:\n - /run/r:1 s\n",
            3,
            Problem::Socket,
        ),
        (Format::Hosts, "r", "host r\n", 1, Problem::Unrecognised),
    ] {
        let error = edited(format, text.as_bytes(), path, "10.0.0.2:2").unwrap_err();
        let key = path.to_owned();
        assert_eq!(error, EditError::Value { key, line, problem }, "{text:?}");
    }
    let error = edited(Format::Hosts, b"10.0.0.1 r\n", "r", "redis-b:2").unwrap_err();
    let problem = Problem::NoAddress;
    let (key, line) = ("r".to_owned(), 1);
    assert_eq!(error, EditError::Value { key, line, problem });
}

#[test]
fn what_is_missing_or_there_twice_is_named() {
    for (format, path, text, message) in [
        (
            Format::Haproxy,
            "w.s",
            "frontend w\n server s a:1\nbackend v\n server s a:1\n",
            "w.s leads nowhere, for there is no server s in a backend w: add it, or correct EDIT",
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\n server s a:1\nlisten w\n server s a:1\n",
            "line 4 gives server s a second time, on the way to w.s: remove one of them",
        ),
        (
            Format::Twemproxy,
            "p.s",
            "p:\n servers:\n - a:1:1 t\n",
            "p.s leads nowhere, for there is no server s in p: add it, or correct EDIT",
        ),
        (
            Format::Twemproxy,
            "q.s",
            "p:\n servers:\n - a:1:1 t\n",
            "q.s leads nowhere, for there is no q: add it, or correct EDIT",
        ),
        (
            Format::Twemproxy,
            "p.s",
            "p:\n servers:\n - a:1:1 s\n - b:1:1 s\n",
            "line 4 gives s a second time, on the way to p.s: remove one of them",
        ),
        (
            Format::Hosts,
            "r",
            "10.0.0.1 rr\n",
            "no line assigns r: add one, or correct EDIT",
        ),
        (
            Format::Hosts,
            "r",
            "10.0.0.1 r\n::1 R\n",
            "line 2 gives r a second time, on the way to r: remove one of them",
        ),
        (
            Format::Hosts,
            "r, s",
            "10.0.0.1 r s\n",
            "line 1 has both r and s: leave one out of EDIT",
        ),
    ] {
        let error = edited(format, text.as_bytes(), path, "10.0.0.2:2").unwrap_err();
        assert_eq!(text_of(&error), message, "{text:?}");
    }
}

#[test]
fn the_second_reading_sees_every_unwanted_change() {
    let at = |key: &str| Discrepancy::ValueAt {
        key: key.to_owned(),
    };
    for (format, path, old, new, seen) in [
        (
            Format::Haproxy,
            "w.s",
            "backend w\nserver s a:1 x",
            "backend w\nserver s b:2 y",
            Discrepancy::Elsewhere,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\nserver s a:1",
            "backend w\nserver s b:3",
            at("w.s"),
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\nserver s a:1",
            "backend w\nserver s ipv4@b:2",
            at("w.s"),
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\nserver s ipv4@a:1",
            "backend w\nserver s ipv6@b:2",
            at("w.s"),
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\nserver s a:1",
            "backend w\nserver t b:2",
            Discrepancy::Elsewhere,
        ),
        (
            Format::Haproxy,
            "w.s",
            "backend w\nserver s a:1",
            "backend v\nserver s b:2",
            Discrepancy::Elsewhere,
        ),
        (
            Format::Twemproxy,
            "p.s",
            "p: {servers: ['a:1:1 s']}",
            "p: {servers: ['b:2:2 s']}",
            at("p.s"),
        ),
        (
            Format::Twemproxy,
            "p.s",
            "p: {servers: ['a:1:1 s']}",
            "p: {servers: ['b:2:1 t']}",
            at("p.s"),
        ),
        (
            Format::Twemproxy,
            "p.s",
            "p: {servers: ['a:1:1 s']}",
            "p: {servers: ['b:3:1 s']}",
            at("p.s"),
        ),
        (
            Format::Twemproxy,
            "p.s",
            "p: {servers: ['a:1:1 s', 'a:1:1 t']}",
            "p: {servers: ['b:2:1 s', 'b:2:1 t']}",
            Discrepancy::Elsewhere,
        ),
        (Format::Hosts, "r", "10.0.0.1 r", "10.0.0.3 r", at("r")),
        (
            Format::Hosts,
            "r",
            "10.0.0.1 r",
            "10.0.0.2 r s",
            Discrepancy::Elsewhere,
        ),
        (
            Format::Hosts,
            "r",
            "10.0.0.1 r\n10.0.0.1 s",
            "10.0.0.2 r\n10.0.0.2 s",
            Discrepancy::Elsewhere,
        ),
    ] {
        // All of the text in one splice, as a first reading gone wrong would have it.
        let splices = [Splice {
            text: new.to_owned(),
            range: 0..old.len(),
        }];
        let master = if format == Format::Hosts {
            "10.0.0.2:2"
        } else {
            "b:2"
        };
        let edit = Edit {
            keys: &[path.parse().unwrap()],
            value: None,
            master: &master.parse().unwrap(),
            readers: &[],
        };
        let checked = format.check(old.as_bytes(), new.as_bytes(), &splices, edit);
        assert_eq!(checked, Err(seen), "{old:?} to {new:?}");
    }
}
