//! README.md to the letter: three hosts, a systemd on each, installed by the commands that stand there.

use std::fs;

use crate::lab::{Lab, Network, file};

const HOSTS: [usize; 3] = [1, 2, 3];

/// A client that notes each address it is told, when it is told to read its file again.
const CLIENT: &str = "[Service]
ExecStart=bash -c 'cat /etc/api/redis.env >> /run/api.seen; trap \"cat /etc/api/redis.env >> /run/api.seen\" HUP; \
    while :; do sleep 1 & wait $!; done'
ExecReload=kill -HUP $MAINPID
";

/// The blocks of commands in the section that tells how to install, in their order.
fn blocks() -> Vec<String> {
    let readme = fs::read_to_string(file("README.md")).unwrap();
    let start = readme
        .find("\n## Install it\n")
        .expect("the section is there");
    let section = &readme[start + 1..];
    let end = section[1..].find("\n## ").expect("another one follows");
    let parts = section[..end].split("```sh\n").skip(1);
    parts
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect()
}

/// What a host of the reader has before: a Redis, and a service that reads an address from a file.
fn furnish(lab: &Lab, host: usize) {
    let follows = match host {
        1 => "",
        _ => "--replicaof 10.77.0.1 6379",
    };
    lab.shell(&format!(
        "systemd-run -q --unit=feature-cache redis-server --bind 0.0.0.0 --protected-mode no --save '' \
            --repl-diskless-sync-delay 0 {follows}
        mkdir /etc/api
        echo REDIS_URL=redis://10.77.0.1:6379/0 > /etc/api/redis.env
        cat > /etc/systemd/system/api.service <<'END'
{CLIENT}
END
        systemctl daemon-reload
        systemctl start api"
    ));
}

#[test]
fn three_hosts_are_installed_by_the_commands_of_the_readme_and_a_client_follows_its_master() {
    let network = Network::start(HOSTS.len());
    let labs: Vec<Lab> = HOSTS.iter().map(|host| network.boot(*host)).collect();
    let [install, key, client, reload, start] = blocks()
        .try_into()
        .expect("the section has five blocks of commands");
    let built = env!("CARGO_BIN_EXE_promoterd")
        .strip_prefix(file("").to_str().unwrap())
        .expect("it was built in the checkout");
    let install = install
        .replace("cargo build --release --locked\n", "")
        .replace("target/release/promoterd", built);
    for (lab, host) in labs.iter().zip(HOSTS) {
        furnish(lab, host);
        lab.shell(&format!("cd /root/promoterd\n{install}"));
        // What the reader is told to edit.
        let name = ["a", "b", "c"][host - 1];
        lab.shell(&format!(
            "sed -i 's/10[.]0[.]0[.]/10.77.0./g; s/^PROMOTERD_NODE=.*/PROMOTERD_NODE={name}/; \
                s/^#PROMOTERD_CLIENTS/PROMOTERD_CLIENTS/' /etc/promoterd/promoterd.env"
        ));
    }
    labs[0].shell(&key);
    let key = labs[0].shell("cat /etc/promoterd/peer.key");
    for lab in &labs[1..] {
        lab.shell(&format!(
            "umask 077; printf '%s' '{key}' > /etc/promoterd/peer.key"
        ));
    }
    for lab in &labs {
        lab.shell(&format!("cd /root/promoterd\n{client}\n{reload}"));
        // The last command tells that not all is well yet.
        lab.shell(&format!("set +e\n{start}\ntrue"));
    }
    for lab in &labs {
        lab.await_output("promoterd status | head -1", "all well");
    }

    labs[0].shell("systemctl kill -s KILL feature-cache");
    for lab in &labs {
        lab.await_output(
            "sed 's/77.0.[23]/77.0.x/' /etc/api/redis.env",
            "REDIS_URL=redis://10.77.0.x:6379/0",
        );
        lab.await_output(
            "tail -1 /run/api.seen | sed 's/77.0.[23]/77.0.x/'",
            "REDIS_URL=redis://10.77.0.x:6379/0",
        );
        lab.await_output("wc -l < /run/api.seen", "2");
    }
    // Nothing was restarted for it.
    labs[0].shell("[ $(systemctl show api -P NRestarts) = 0 ]");
    labs[1].shell("[ $(systemctl show promoterd -P NRestarts) = 0 ]");
}
