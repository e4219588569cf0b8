//! Where to read: lists and templates leave out a replica that is too far behind, or down, and are never
//! empty.
//!
//! Needs root, for network namespaces.

use std::fs;
use std::path::PathBuf;

use promoterd::model::{Endpoint, ReplicaHealth};

use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::following::{give_key, observer};
use crate::process::eventually;

const TEMPLATE: &str = "{% for it in replicas %}{{ it.endpoint }} {{ it.health }}\n{% endfor %}\
                        {% for it in readers %}read {{ it.endpoint }}\n{% endfor %}";

/// The files of one daemon that name replicas.
struct Reading {
    list: PathBuf,
    made: PathBuf,
}

fn list(endpoints: &[&Endpoint]) -> String {
    let items: Vec<String> = endpoints
        .iter()
        .map(|endpoint| format!("\n      \"redis://:s3cret@{endpoint}/0\""))
        .collect();
    format!(
        "{{\n  \"redis\": {{\n    \"read\": [{}\n    ],\n    \"level\": 7 }} }}\n",
        items.join(",")
    )
}

impl Reading {
    fn set(daemon: &mut Daemon, cluster: &Cluster) -> Self {
        let directory = cluster.directory.path();
        let path = |end: &str| directory.join(format!("{}-{end}", daemon.name));
        let reading = Self {
            list: path("read.json"),
            made: path("made.txt"),
        };
        let template = directory.join("readers.j2");
        fs::write(&template, TEMPLATE).unwrap();
        fs::write(&reading.list, list(&[&cluster.servers[1].endpoint])).unwrap();
        for (key, value) in [
            ("LIST__FILE", reading.list.display().to_string()),
            ("LIST__EDIT", "redis.read=replicas".to_owned()),
            ("MADE__FILE", reading.made.display().to_string()),
            ("MADE__TEMPLATE", template.display().to_string()),
        ] {
            daemon.set(&format!("CLIENTS__{key}"), &value);
        }
        for client in ["LIST", "MADE"] {
            daemon.set(&format!("CLIENTS__{client}__GROUP"), "features");
        }
        reading
    }

    /// Waits until the list names these, in this order, and the template those that are like this.
    fn await_readers(&self, readers: &[&Endpoint], replicas: &[(&Endpoint, &str)]) {
        let lines = replicas
            .iter()
            .map(|(endpoint, health)| format!("{endpoint} {health}\n"));
        let mut made: String = lines.collect();
        let mut sorted = readers.to_vec();
        sorted.sort();
        made.extend(sorted.iter().map(|endpoint| format!("read {endpoint}\n")));
        let wanted = (list(readers), made);
        eventually(&format!("{} is right", self.list.display()), || {
            let read = |path| fs::read_to_string(path).unwrap_or_default();
            let found = (read(&self.list), read(&self.made));
            match found == wanted {
                true => Ok(()),
                false => Err(format!("{found:?} and not {wanted:?}")),
            }
        });
    }
}

#[test]
fn readers_are_sent_to_replicas_that_are_well_and_to_the_master_when_none_is() {
    let (mut cluster, host) = Cluster::prepare_beside_a_host();
    cluster.set("GROUPS__FEATURES__READERS_LAG_MAX", "64KiB");
    let port = Endpoint::new(cluster.servers[1].endpoint.host(), 7401).unwrap();
    let mut daemon = cluster.daemons.remove(1);
    daemon.set("OBSERVERS__LISTEN", &port.to_string());
    let of_voter = Reading::set(&mut daemon, &cluster);
    cluster.daemons.insert(1, daemon);
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    // One that follows the voter between the two that will not hear each other.
    let ports = [port];
    let mut observer = observer(&cluster, &ports, Some(host));
    let name = cluster.daemons[1].name.clone();
    observer.set("PEERS", &format!("{name}={}", ports[0]));
    let key = cluster.daemons[0].variables["PROMOTERD_PEER_KEY_FILE"].clone();
    give_key(&mut observer, &cluster, &key);
    let of_observer = Reading::set(&mut observer, &cluster);
    observer.start();

    let [a, b, c] = [0, 1, 2].map(|position: usize| cluster.servers[position].endpoint.clone());
    let await_all = |readers: &[&Endpoint], replicas: &[(&Endpoint, &str)]| {
        of_voter.await_readers(readers, replicas);
        of_observer.await_readers(readers, replicas);
    };
    await_all(&[&b, &c], &[(&b, "healthy"), (&c, "healthy")]);

    // Its stream stops, and nobody but its own host notices any other thing.
    let netlab = |words: &[&str]| cluster.lab.as_ref().unwrap().run(words);
    netlab(&["cut", "1", "3", "--one-way"]);
    cluster.servers[0].must::<()>(&["SET", "much", &"x".repeat(200_000)]);
    await_all(&[&b], &[(&b, "healthy"), (&c, "behind")]);
    let told = cluster.daemons[1].group().unwrap().readers;
    assert_eq!(told[1].health, ReplicaHealth::Behind);
    assert!(
        told[1].lag_bytes.is_some_and(|lag| lag > 200_000),
        "{told:?}"
    );
    let shown = observer.output_of(&["render", "made"]);
    assert_eq!(
        String::from_utf8(shown.stdout).unwrap(),
        fs::read_to_string(&of_observer.made).unwrap()
    );
    netlab(&["heal", "1", "3"]);
    await_all(&[&b, &c], &[(&b, "healthy"), (&c, "healthy")]);

    cluster.servers[1].kill();
    await_all(&[&c], &[(&b, "down"), (&c, "healthy")]);
    cluster.servers[2].kill();
    await_all(&[&a], &[(&b, "down"), (&c, "down")]);
    cluster.assert_no_failover();
}
