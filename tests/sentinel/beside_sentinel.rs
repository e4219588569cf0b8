//! The same questions to an endpoint of ours and to a real Sentinel that watches the same servers.

use std::fs;
use std::process::Command;

use promoterd::model::Endpoint;
use redis::Value;

use crate::cluster::{Cluster, local};
use crate::endpoint::prepare;
use crate::process::{Process, eventually, free_port};
use crate::wire::{Client, fields, items, text, texts};

/// So patient that neither of both ever acts.
const DOWN_AFTER_MS: &str = "600000";

/// Three Sentinels that know the group and one another, as many as there are daemons.
fn start_sentinels(cluster: &Cluster) -> (Vec<Process>, Vec<Endpoint>) {
    let endpoints: Vec<Endpoint> = (0..3).map(|_| local(free_port())).collect();
    let master = &cluster.servers[0].endpoint;
    let start = |(number, endpoint): (usize, &Endpoint)| {
        let directory = cluster.directory.path().join(format!("sentinel-{number}"));
        fs::create_dir(&directory).unwrap();
        let file = directory.join("sentinel.conf");
        let text = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor features {} {} 2\n\
             sentinel down-after-milliseconds features {DOWN_AFTER_MS}\n",
            endpoint.port(),
            directory.display(),
            master.host(),
            master.port()
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel");
        Process::start(&mut command, &directory.join("log"))
    };
    let processes = endpoints.iter().enumerate().map(start).collect();
    for endpoint in &endpoints {
        eventually("the Sentinels know the group and one another", || {
            is_complete(endpoint)
        });
    }
    (processes, endpoints)
}

fn is_complete(endpoint: &Endpoint) -> Result<(), String> {
    let stream = std::net::TcpStream::connect((endpoint.host(), endpoint.port()));
    stream.map_err(|error| error.to_string())?;
    let mut client = Client::connect(endpoint);
    let master = fields(&client.ask("SENTINEL MASTER features"));
    let replicas = client.ask("SENTINEL REPLICAS features");
    let others = client.ask("SENTINEL SENTINELS features");
    let are_well = |value: &Value, flags: &str| {
        let all: Vec<_> = items(value).iter().map(fields).collect();
        let is_well = |one: &Vec<(String, String)>| {
            of(one, "flags") == flags && of(one, "master-link-status") != "err"
        };
        all.len() == 2 && all.iter().all(is_well)
    };
    let is_complete = of(&master, "num-slaves") == "2"
        && of(&master, "num-other-sentinels") == "2"
        && of(&master, "flags") == "master"
        && are_well(&replicas, "slave")
        && are_well(&others, "sentinel");
    is_complete
        .then_some(())
        .ok_or_else(|| format!("{master:?} {replicas:?} {others:?}"))
}

fn of(fields: &[(String, String)], name: &str) -> String {
    let found = fields.iter().find(|(field, _)| field == name);
    found.map_or_else(String::new, |(_, value)| value.clone())
}

/// Names in their order, and the values of `equal`.
fn compare(ours: &Value, theirs: &Value, equal: &[&str]) {
    let (ours, theirs) = (fields(ours), fields(theirs));
    let names = |fields: &[(String, String)]| -> Vec<String> {
        fields.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&ours), names(&theirs));
    for name in equal {
        assert!(names(&theirs).iter().any(|known| known == name), "{name}");
        assert_eq!(of(&ours, name), of(&theirs, name), "{name}");
    }
    // What one of both tells as a number the other does too.
    for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        let is_number = |text: &str| text.parse::<i64>().is_ok();
        assert_eq!(
            is_number(ours),
            is_number(theirs),
            "{name}: {ours} {theirs}"
        );
    }
}

/// The same for each of a list, whichever order that has.
fn compare_all(ours: &Value, theirs: &Value, by: &str, equal: &[&str]) {
    let sorted = |value: &Value| {
        let mut all = items(value).to_vec();
        all.sort_by_key(|one| of(&fields(one), by));
        all
    };
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(
            std::mem::discriminant(ours),
            std::mem::discriminant(theirs),
            "maps in RESP3, flat arrays else"
        );
        compare(ours, theirs, equal);
    }
}

const OF_A_MASTER: &[&str] = &[
    "name",
    "ip",
    "port",
    "runid",
    "flags",
    "link-refcount",
    "down-after-milliseconds",
    "role-reported",
    "num-slaves",
    "num-other-sentinels",
    "quorum",
    "parallel-syncs",
];

const OF_A_REPLICA: &[&str] = &[
    "name",
    "ip",
    "port",
    "runid",
    "flags",
    "link-refcount",
    "down-after-milliseconds",
    "role-reported",
    "master-link-down-time",
    "master-link-status",
    "master-host",
    "master-port",
    "slave-priority",
    "replica-announced",
];

const OF_A_SENTINEL: &[&str] = &[
    "ip",
    "flags",
    "link-refcount",
    "down-after-milliseconds",
    "voted-leader",
    "voted-leader-epoch",
];

/// Commands that both answer alike, to the letter.
const ALIKE: &[&str] = &[
    "PING",
    "PING hello",
    "PING hello you",
    "ROLE",
    "HELLO 4",
    "HELLO x",
    "HELLO 2 COLOUR red",
    "SENTINEL GET-MASTER-ADDR-BY-NAME features",
    "sentinel get-master-addr-by-name FEATURES",
    "SENTINEL GET-MASTER-ADDR-BY-NAME none",
    "SENTINEL MASTER none",
    "SENTINEL REPLICAS none",
    "SENTINEL SLAVES none",
    "SENTINEL SENTINELS none",
    "SENTINEL CKQUORUM features",
    "SENTINEL CKQUORUM none",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 0 *",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 x 0 *",
    "SENTINEL PENDING-SCRIPTS",
    "SENTINEL INFO-CACHE none",
    "SENTINEL CONFIG NONSENSE x",
    "SENTINEL CONFIG GET none",
    "SENTINEL MASTER",
    "SENTINEL NONSENSE",
    "SENTINEL",
    "INFO replication",
    "CLIENT GETNAME",
    "CLIENT SETNAME me",
    "CLIENT GETNAME",
    "CLIENT NONSENSE",
    "CLIENT TRACKING ON OPTIN",
    "ACL WHOAMI",
    "AUTH secret",
    "AUTH default secret",
    "GET key",
    "GET",
    "SELECT 0",
    "MULTI",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "SUBSCRIBE +switch-master",
    "SUBSCRIBE +switch-master",
    "PSUBSCRIBE [-+]sdown",
    "PING",
    "PING hello",
    "UNSUBSCRIBE none",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "PING",
];

#[test]
fn an_endpoint_answers_as_a_real_sentinel_of_the_same_servers_does() {
    let (mut cluster, ours) = prepare();
    cluster.set("GROUPS__FEATURES__DOWN_AFTER", "10m");
    cluster.set("GROUPS__FEATURES__TAKE_OVER", "true");
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    let (_sentinels, theirs) = start_sentinels(&cluster);
    for endpoint in &ours {
        eventually("the endpoints know one another", || is_complete(endpoint));
    }
    for connect in [Client::connect, Client::connect_resp3] {
        let (mut ours, mut theirs) = (connect(&ours[0]), connect(&theirs[0]));
        let mut both = |line: &str| (ours.ask(line), theirs.ask(line));
        for line in ALIKE {
            let (ours, theirs) = both(line);
            assert_eq!(ours, theirs, "{line}");
        }
        let (ours, theirs) = both("SENTINEL MASTERS");
        compare_all(&ours, &theirs, "name", OF_A_MASTER);
        let (ours, theirs) = both("SENTINEL MASTER features");
        compare(&ours, &theirs, OF_A_MASTER);
        for line in ["SENTINEL REPLICAS features", "SENTINEL SLAVES features"] {
            let (ours, theirs) = both(line);
            compare_all(&ours, &theirs, "port", OF_A_REPLICA);
        }
        let (ours, theirs) = both("SENTINEL SENTINELS features");
        compare_all(&ours, &theirs, "port", OF_A_SENTINEL);
        let (ours, theirs) = both("SENTINEL CONFIG GET *");
        compare(
            &ours,
            &theirs,
            &["announce-ip", "sentinel-user", "sentinel-pass"],
        );
        let (ours, theirs) = both("SENTINEL MYID");
        assert_eq!(text(&ours).len(), text(&theirs).len());
        let (ours, theirs) = both("INFO sentinel");
        let keys = |page: &Value| -> Vec<String> {
            let page = text(page);
            page.lines()
                .map(|line| line.split(':').next().unwrap().to_owned())
                .collect()
        };
        assert_eq!(keys(&ours), keys(&theirs));
        let (ours, theirs) = both("SENTINEL INFO-CACHE features");
        let shape = |value: &Value| {
            let pairs = items(value).iter().skip(1).flat_map(items);
            let is_pair =
                |pair: &Value| matches!(items(pair), [Value::Int(_), Value::BulkString(_)]);
            (
                text(&items(value)[0]),
                pairs.map(is_pair).collect::<Vec<_>>(),
            )
        };
        assert_eq!(shape(&ours), shape(&theirs));
    }
}

#[test]
fn sentinels_are_named_as_they_name_themselves() {
    let (_cluster, endpoints) = crate::endpoint::start();
    for endpoint in &endpoints {
        eventually("the endpoints know one another", || is_complete(endpoint));
    }
    let known = |endpoint: &Endpoint| -> Vec<(String, String)> {
        let sentinels = Client::connect(endpoint).ask("SENTINEL SENTINELS features");
        let named = items(&sentinels).iter().map(fields);
        named
            .map(|it| (of(&it, "runid"), of(&it, "port")))
            .collect()
    };
    let mut first = known(&endpoints[0]);
    let of_others = endpoints[1..].iter().map(|endpoint| {
        let id = text(&Client::connect(endpoint).ask("SENTINEL MYID"));
        (id, endpoint.port().to_string())
    });
    let mut of_others: Vec<_> = of_others.collect();
    first.sort();
    of_others.sort();
    assert_eq!(first, of_others);
    let address = Client::connect(&endpoints[2]).ask("SENTINEL GET-MASTER-ADDR-BY-NAME features");
    assert_eq!(texts(&address)[0], "127.0.0.1");
}
