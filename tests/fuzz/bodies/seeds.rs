//! The inputs that a fuzzer begins with: what honest nodes, servers, files and people say.

use promoterd::consensus::{
    HardState, Identity, LogEntry, Payload, Position, SnapshotData, begin, encode, encode_snapshot,
};
use promoterd::model::{ClusterId, Epoch, Life, LogIndex, Replica, Term};
use promoterd::peer::{
    self, Answer, News, OBSERVERS_VERSION, ObserverRefusal, Opening, PeerMessage, PublicGroup,
};
use promoterd::status::StatusReport;

use super::node::{Trio, register, seat};
use super::peers::{name, voters};
use super::{disk, join, status};

/// Most messages of an election that become seeds each.
const MESSAGES_MAX: usize = 60;

/// The seeds of a target; none where files of the tests serve as well.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "peer_session" => sessions(),
        "peer_message" => messages(),
        "observers_port" => observers(),
        "log" => logs(),
        "journal" => journals(),
        "redis_reply" => replies(),
        "redis_connection" => replies()
            .into_iter()
            .map(|reply| in_pieces(&reply))
            .collect(),
        "settings" => settings(),
        "document" => documents(),
        "template" => templates(),
        "status_request" => requests(),
        "status_answer" => answers(),
        "sentinel_command" => commands(),
        other => panic!("no target is called {other}"),
    }
}

fn commands() -> Vec<Vec<u8>> {
    let all: [(u8, &[&[u8]]); 8] = [
        (0, &[b"PING\r\n", b"*2\r\n$4\r\nINFO\r\n$8\r\nsentinel\r\n"]),
        (2, &[b"SENTINEL MASTERS\r\nSENTINEL REPL", b"ICAS features\r\nSENTINEL SENTINELS features\r\n"]),
        (1, &[b"AUTH wrong\r\nHELLO 3 AUTH default s3cret SETNAME me\r\nSENTINEL FAILOVER features\r\n"]),
        (0, &[b"PSUBSCRIBE [-+]* \\*?\r\nPING\r\nSUBSCRIBE +switch-master\r\nUNSUBSCRIBE\r\nQUIT\r\n"]),
        (2, &[b"COMMAND\r\nCOMMAND DOCS ping\r\nCLIENT INFO\r\nROLE\r\nSENTINEL CONFIG GET *\r\n"]),
        (0, &[b"*0\r\n\r\n*3\r\n$8\r\nSENTINEL\r\n$8\r\nCKQUORUM\r\n$8\r\nfeatures\r\n"]),
        (2, &[b"SENTINEL IS-MASTER-DOWN-BY-ADDR 10.0.0.1 6379 0 *\r\nSENTINEL INFO-CACHE\r\nRESET\r\n"]),
        (0, &[b"*1025\r\n"]),
    ];
    let seed = |(mode, parts): (u8, &[&[u8]])| [&[mode][..], &join(parts)].concat();
    all.into_iter().map(seed).collect()
}

fn sessions() -> Vec<Vec<u8>> {
    let hello = |protocol: u16, node: &str| {
        let digest = promoterd::peer::VotersDigest::of(&voters());
        let body = postcard::to_stdvec(&(name(node), Life(1), digest, None::<u64>));
        [&protocol.to_be_bytes()[..], &body.expect("plain data")].concat()
    };
    let version = promoterd::peer::PROTOCOL_VERSION;
    let frames: [&[u8]; 4] = [&[0], &[1, 1, 2, 3], &[3, 0, 1, 2], &[1]];
    let mut seeds = vec![
        vec![0, 255, 0, 200, 7, 7, 7],
        [&[0, 255][..], b"GET / HTTP/1.1\r\n\r\n"].concat(),
        vec![1, 9, 0, 48, 1, 2, 3, 4],
    ];
    for (mode, said) in [
        (2, hello(version, "a")),
        (2, hello(version + 1, "a")),
        (2, hello(version, "x")),
        (3, [&[0][..], &hello(version, "c")].concat()),
        (3, vec![1, 2, 1, b'a']),
    ] {
        let mut parts: Vec<&[u8]> = vec![&said];
        parts.extend(frames);
        seeds.push([&[mode][..], &join(&parts)].concat());
    }
    let fragment = vec![2; 65_535 - 16];
    let opening = hello(version, "a");
    seeds.push([&[2][..], &join(&[&opening, &[0], &fragment, &[1]])].concat());
    seeds
}

fn observers() -> Vec<Vec<u8>> {
    let opening = Opening {
        version: OBSERVERS_VERSION,
        node: name("api-7"),
    };
    let position = peer::Position {
        files: [("f".parse().expect("a name"), Epoch(2))].into(),
    };
    let news = |cluster, epoch, master: &str| {
        let group = PublicGroup {
            epoch: Epoch(epoch),
            master: master.parse().expect("an endpoint"),
            replicas: vec![Replica::unknown(
                "10.0.0.2:6379".parse().expect("an endpoint"),
            )],
            is_paused: false,
            index: LogIndex(9),
        };
        let news = News {
            cluster: Some(ClusterId(cluster)),
            is_confirmed: true,
            groups: [("f".parse().expect("a name"), group.into())].into(),
        };
        news.encode()
    };
    let (first, second) = (news(7, 1, "10.0.0.1:6379"), news(7, 2, "10.0.0.3:6379"));
    let other = news(8, 3, "10.0.0.9:6379");
    let refused = Answer::Refused(ObserverRefusal::Full { max: 1_000 }).encode();
    let insider = join(&[
        &opening.encode(),
        &position.encode(),
        &[],
        &position.encode(),
    ]);
    vec![
        vec![0, 255, 0, 48, 1, 2, 3, 4],
        [&[0, 255][..], b"GET / HTTP/1.1\r\n\r\n"].concat(),
        vec![1, 9, 0, 48, 1, 2, 3, 4],
        [&[2][..], &insider].concat(),
        [&[2][..], &join(&[&[0, 9, 1], &[0xff; 40]])].concat(),
        [&[3][..], &join(&[&first, &second, &first])].concat(),
        [&[3][..], &join(&[&second, &other, &refused])].concat(),
    ]
}

fn messages() -> Vec<Vec<u8>> {
    let heard = Trio::with_leader().heard;
    let step = |message: &PeerMessage| [&[14][..], &join(&[&message.encode()])].concat();
    let mut all = vec![1];
    let mut seeds = Vec::new();
    for (from, _, message) in heard.iter().take(MESSAGES_MAX) {
        let part = step(message);
        // The peers of a daemon are told apart by the lowest bit.
        let sender = u8::from(*from == name("c"));
        all.extend([14 | sender]);
        all.extend(&part[1..]);
        seeds.push([&[sender][..], &part, &[8, 0, 8, 200, 8, 0]].concat());
    }
    all.truncate(8_000);
    seeds.push(all);
    seeds
}

fn entries() -> Vec<LogEntry> {
    let entry = |index: u64, payload: Vec<u8>| LogEntry {
        index: LogIndex(index),
        term: Term(1),
        payload: Payload::from(payload),
    };
    vec![entry(1, Vec::new()), entry(2, register().encode())]
}

fn logs() -> Vec<Vec<u8>> {
    let identity = Identity {
        node: name("a"),
        voters: voters(),
    };
    let hard_state = HardState {
        term: Term(1),
        vote: Some(name("b")),
        committed: LogIndex(2),
    };
    let mut plain = begin(&identity, &seat(&name("a")), Position::default());
    let head = plain.len();
    encode(&mut plain, Some(&hard_state), &entries());
    let mut zeros = plain.clone();
    zeros.extend([0; 64]);
    let snapshot = SnapshotData {
        position: Position {
            index: LogIndex(2),
            term: Term(1),
        },
        state: Payload::from(vec![0, 0]),
    };
    let snapshot_file = encode_snapshot(&snapshot);
    let behind = begin(&identity, &seat(&name("a")), snapshot.position);
    let bodies = [&plain[16..head], &plain[head + 8..]];
    vec![
        [&[4, 0, 0][..], &plain].concat(),
        [&[4, 0, 0][..], &zeros].concat(),
        [&[4, 0, 0][..], &plain[..plain.len() - 3]].concat(),
        [&[0][..], &join(&[&snapshot_file]), &behind].concat(),
        [&[5, 0, 0][..], &join(&bodies)].concat(),
        [
            &[1][..],
            &join(&[&snapshot_file[16..]]),
            &join(&[&behind[16..]]),
        ]
        .concat(),
    ]
}

fn journals() -> Vec<Vec<u8>> {
    let batch = postcard::to_stdvec(&[disk::entry(Epoch(4))].to_vec()).expect("plain data");
    let two = postcard::to_stdvec(&vec![disk::entry(Epoch(4)), disk::entry(Epoch(5))]);
    let two = two.expect("plain data");
    vec![
        vec![0],
        [&[0][..], disk::JOURNAL_MAGIC].concat(),
        [&[1][..], &join(&[&batch])].concat(),
        [&[1][..], &join(&[&batch, &two])].concat(),
    ]
}

fn replies() -> Vec<Vec<u8>> {
    let info = |role: &str| {
        let text = format!(
            "# Server\r\nredis_version:7.0.15\r\nprocess_id:77\r\nrun_id:{}\r\n# Persistence\r\nloading:0\r\n\
             # Replication\r\n{role}master_replid:{}\r\nmaster_replid2:{}\r\nmaster_repl_offset:100\r\n\
             second_repl_offset:-1\r\n# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n",
            "1".repeat(40),
            "2".repeat(40),
            "0".repeat(40),
        );
        format!("${}\r\n{text}\r\n", text.len())
    };
    let master = info(
        "role:master\r\nconnected_slaves:1\r\nslave0:ip=127.0.0.1,port=7002,state=online,offset=90,lag=1\r\n",
    );
    let replica = info(
        "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:7001\r\nmaster_link_status:up\r\n\
         master_last_io_seconds_ago:1\r\nmaster_sync_in_progress:0\r\nslave_read_repl_offset:90\r\n\
         slave_repl_offset:90\r\nslave_priority:100\r\nconnected_slaves:0\r\n",
    );
    let limits = "*4\r\n$20\r\nmin-replicas-max-lag\r\n$2\r\n10\r\n$21\r\nmin-replicas-to-write\r\n$1\r\n2\r\n";
    let whole = |text: &str| text.as_bytes().to_vec();
    vec![
        whole("+PONG\r\n"),
        whole("-LOADING Redis is loading the dataset in memory\r\n"),
        whole("-NOPERM no\r\n"),
        whole(&master),
        whole(&replica),
        master.as_bytes()[5..].to_vec(),
        replica.as_bytes()[5..].to_vec(),
        whole(limits),
        whole("*2\r\n$18\r\n__sentinel__:hello\r\n:3\r\n"),
        join(&[b"+OK\r\n", b"*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n"]),
        join(&[limits.as_bytes(), b"+OK\r\n", b"+OK\r\n"]),
        join(&[
            b"+OK\r\n",
            b"+QUEUED\r\n",
            b"+QUEUED\r\n",
            b"+QUEUED\r\n",
            b"*3\r\n+OK\r\n:1\r\n:0\r\n",
        ]),
        whole(
            "+PONG\r\n+OK\r\n*0\r\n$4\r\nbulk\r\n$-1\r\n*-1\r\n:-5\r\n%1\r\n+a\r\n:1\r\n~1\r\n#t\r\n,1.5\r\n",
        ),
        whole("*1073741824\r\n$1\r\n"),
        whole("$1073741824\r\nx"),
        b"*1\r\n".repeat(200),
    ]
}

/// As the connection's target takes it: pieces of 61 bytes.
fn in_pieces(bytes: &[u8]) -> Vec<u8> {
    let mut pieces = Vec::new();
    for piece in bytes.chunks(61) {
        pieces.push(15);
        pieces.extend_from_slice(piece);
    }
    pieces
}

fn settings() -> Vec<Vec<u8>> {
    let variables = "PEERS=a=127.0.0.1:7400,b=127.0.0.2:7400\nROLE=witness\nGROUPS__F__QUORUM=2\n\
                     GROUPS__F__INSTANCES=10.0.0.1:6379\nGROUPS__F__DOWN_AFTER=250ms\nCLIENTS__API__EDIT=a.b\n\
                     ELECTION_TIMEOUT=150ms-300ms\nGROUPS__F__COMMANDS=CONFIG=x1,PING=y\nGROUPS__F__LAG_MAX=1MiB\n\
                     LOG=info,promoterd=debug\nGROUPS__F__FENCING=off\nCLIENTS__API__RELOAD=touch {}\n";
    let toml = "node = \"a\"\nalone = true\n[groups.f]\ninstances = [\"10.0.0.1:6379\", \"10.0.0.2:6379\"]\n\
                quorum = 2\ndown_after = \"1s\"\n[clients.api]\nedit = [\"a.b\"]\ngroup = \"f\"\n";
    let file = "# a file\nPROMOTERD_NODE=\"a\"\nexport X=1\nPROMOTERD_GROUPS__F__QUORUM='2' # two\n\
                PROMOTERD_ALONE=tr\\\nue\n";
    let example = include_bytes!("../../../config/promoterd.toml");
    let example_env = include_bytes!("../../../config/promoterd.env");
    vec![
        [&[0][..], variables.as_bytes()].concat(),
        [&[4][..], variables.as_bytes()].concat(),
        [&[1][..], toml.as_bytes()].concat(),
        [&[5][..], toml.as_bytes()].concat(),
        [&[2][..], file.as_bytes()].concat(),
        [&[5][..], example.as_slice()].concat(),
        [&[6][..], example_env.as_slice()].concat(),
    ]
}

fn documents() -> Vec<Vec<u8>> {
    let shapes: [(u8, u8, &str); 35] = [
        (0x40, 0, "K=a:1\n"),
        (
            0x40,
            1,
            "# x\nexport REDIS_URL=\"redis://u:p@h:1/0\" # why\r\nJ='x\ny'\n",
        ),
        (0x10, 0, "K=\"a:1\"\nK='b:2'\n"),
        (0x40, 0, "K=redis://:${P}@a:1/$D?n=1\n"),
        (0x40, 0, "\u{FEFF}J=a\\\nK=b\nK=[::1]:1\n"),
        (0x30, 6, "port=6379\n"),
        (
            0x41,
            2,
            "{\"redis\": {\"url\": \"redis://u:p\\u0041@h:1/0\", \"x\": [1, 2.5e3, null]}}",
        ),
        (
            0x41,
            4,
            "{\"servers\": [{\"host\": \"10.0.0.1\", \"port\": 6379}]}\n",
        ),
        (
            0x41,
            5,
            "{\"a.b\": {\"c\": \"h:1\"}, \"c\": \"\\ud83d\\ude00\"}",
        ),
        (0x31, 6, "{\"port\": 6379}"),
        (
            0xC1,
            0x32,
            "{\"redis\": {\"url\": \"redis://h:1\"}, \"port\": 1}",
        ),
        (
            0x42,
            2,
            "[redis]\nurl = \"redis://h:1/0\" # x\nother = '''a\nb'''\n",
        ),
        (
            0x42,
            4,
            "[[servers]]\nhost = '10.0.0.1'\n[[servers]]\nhost = \"b\"\n",
        ),
        (0x42, 2, "redis = { url = \"h:1\", n = 1979-05-27 }\n"),
        (0x42, 7, "a.b.c.d = \"h:1\"\n\"k\" = [1, [\"x\"]]\n"),
        (0x32, 6, "port = 6379\n"),
        (0x50, 0, "K=h:1,ssl=true,password=$P\n"),
        (
            0x43,
            2,
            "{ // x\n\"redis\": {\"url\": \"h:1,a=b\", /* , */ }, }\n",
        ),
        (0x43, 4, "{\"servers\": [{\"host\": \"h\", },],}//"),
        (
            0x44,
            2,
            "[redis] ; x\r\nurl = \"redis://u:%(p)s@h:1/0\" # y\r\n",
        ),
        (0x44, 0, "\u{FEFF}K: h:1\n[S]\nK=1\n  2\n"),
        (0x44, 5, "[a.b]\n\tc = h\n\td='x\n"),
        (0x45, 2, "# x\nredis.url = redis\\://:\\u0070@h\\:1/0 \n"),
        (
            0x45,
            3,
            "redis.primary.host h\n#---\n!---\nredis.primary.host:h\n",
        ),
        (0x45, 0, "J=x\\\n  K=1\nK=${P:x}\n"),
        (
            0x46,
            2,
            "# x\r\nredis: &r\r\n  url: \"redis://:\\x41@h:1/0\" # y\r\np:\r\n  <<: *r\r\n",
        ),
        (
            0x46,
            4,
            "---\nservers: [{host: h, 'é': [1, 2.5]}]\n...\n--- !t\nx: |\n  y\n\n  z",
        ),
        (
            0x46,
            5,
            "\u{FEFF}a.b:\n  - x\n? [q]\n: >-\n  w\n\"a.b\": {c: &h 'it''s:1'}\n",
        ),
        (0x06, 2, "redis: {url: <%= u %>}\n"),
        (0x36, 6, "port: 6379\n---\nx: *y\n"),
        (
            0x47,
            2,
            "backend redis # x\n\tserver url ipv4@10.0.0.1:6379 check\n.if x\nlisten s\n.endif\n",
        ),
        (
            0x47,
            5,
            "listen \"a.b\"\r\n server 'c' \"[::1]:1\" a\\ b\r\n",
        ),
        (
            0x48,
            2,
            "redis:\n  servers:\n   - 10.0.0.1:6379:1 url\n   - h:1:2 b\n",
        ),
        (0x49, 0, "127.0.0.1 localhost\n10.0.0.1\tx K # y\n"),
        (0x49, 2, "::1 redis.url\r\n"),
    ];
    let seed =
        |(first, second, text): &(u8, u8, &str)| [&[*first, *second], text.as_bytes()].concat();
    shapes.iter().map(seed).collect()
}

fn templates() -> Vec<Vec<u8>> {
    let example = include_bytes!("../../../config/haproxy.cfg.j2");
    [
        example.as_slice(),
        b"server {{ master.host }}:{{ master.port }}\n",
        b"{% for r in replicas %}{{ loop.index }} {{ r.url|upper }}\n{% endfor %}",
        b"{% macro m(x) %}{{ x }}{% endmacro %}{{ m(epoch + 1) }}{% set y = [1, 2] %}{{ y|join('-') }}",
        b"{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
        b"{{ 'x' * 100000 }}{{ \"%s\"|format(client) }}{% if group is defined %}{{ group[0] }}{% endif %}",
    ]
    .map(<[u8]>::to_vec)
    .into()
}

fn requests() -> Vec<Vec<u8>> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let post = |path: &str, body: &str| {
        let length = body.len();
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let mut seeds: Vec<String> = [
        "/v1/status",
        "/v1/groups/features",
        "/v1/groups/%ff",
        "/v1/history",
        "/v1/events",
        "/v1/operations/0000000000000001",
        "/livez?x=1",
        "/readyz",
        "/../etc",
    ]
    .map(get)
    .into();
    let paused = "{\"for_ms\": 1000, \"reason\": \"disks\", \"operation\": \"0000000000000007\"}";
    seeds.push(post("/v1/groups/features/pause", paused));
    seeds.push(post("/v1/resume", "{}"));
    seeds.push(post("/v1/reload", ""));
    seeds.push(post(
        "/v1/groups/features/adopt",
        "{\"master\": \"127.0.0.1:7001\"}",
    ));
    seeds.push(
        "POST /v1/pause HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_owned(),
    );
    seeds.into_iter().map(String::into_bytes).collect()
}

fn answers() -> Vec<Vec<u8>> {
    let report = StatusReport::from(&status::source());
    let report = serde_json::to_vec(&report).expect("a report is JSON");
    let whole = b"HTTP/1.1 503 no\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n0\r\n\r\n";
    vec![
        [&[0][..], &report].concat(),
        [&[1][..], b"{\"schema\": 1, \"failovers\": [], \"pauses\": []}"].concat(),
        [&[2][..], b"{\"schema\": 1, \"operation\": \"0000000000000001\", \"state\": \"open\", \"groups\": []}"]
            .concat(),
        [&[3][..], b"{\"event\":\"hello\"}\n{\"event\":\"peer_up\"}\nhalf"].concat(),
        [&[4][..], whole].concat(),
        [&[7][..], b"-ERR unknown\r\n"].concat(),
    ]
}
