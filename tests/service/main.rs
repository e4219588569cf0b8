//! The files under `systemd/`, as README.md installs them, under a real systemd.
#![allow(clippy::unwrap_used, reason = "tests")]

mod lab;
mod readme;

use std::path::Path;

use lab::{Lab, file};

const SETTINGS: &str = "
PROMOTERD_NODE=a
PROMOTERD_ALONE=true
PROMOTERD_GROUPS__FEATURES__INSTANCES=127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003
PROMOTERD_CLIENTS__API__FILE=/etc/api/redis.env
PROMOTERD_CLIENTS__API__EDIT=REDIS_URL
PROMOTERD_SENTINEL__LISTEN=127.0.0.1:26379
";

/// The daemon, its user, its settings, a client's file and three servers; nothing is started but these.
fn installed() -> Lab {
    let lab = Lab::start();
    lab.push(
        Path::new(env!("CARGO_BIN_EXE_promoterd")),
        "/usr/local/bin/promoterd",
        "0755",
    );
    for (from, to) in [
        (
            "systemd/promoterd.service",
            "/etc/systemd/system/promoterd.service",
        ),
        (
            "systemd/promoterd.sysusers",
            "/usr/lib/sysusers.d/promoterd.conf",
        ),
        (
            "systemd/promoterd.tmpfiles",
            "/usr/lib/tmpfiles.d/promoterd.conf",
        ),
        (
            "systemd/client-files.conf",
            "/etc/systemd/system/promoterd.service.d/client-files.conf",
        ),
    ] {
        lab.push(&file(from), to, "0644");
    }
    lab.shell(&format!(
        "systemd-sysusers
        systemd-tmpfiles --create promoterd.conf
        promoterd keygen > /etc/promoterd/peer.key
        chmod 600 /etc/promoterd/peer.key
        cat > /etc/promoterd/promoterd.env <<'END'
{SETTINGS}
END
        install -d -o promoterd -m 2775 /etc/api
        echo REDIS_URL=redis://127.0.0.1:7001/0 > /etc/api/redis.env
        chown promoterd /etc/api/redis.env
        sed -i 's:^ReadWritePaths=.*:ReadWritePaths=/etc/api:' \\
            /etc/systemd/system/promoterd.service.d/client-files.conf
        server() {{
            systemd-run -q --unit=redis-$1 redis-server --port $1 --save '' --repl-diskless-sync-delay 0 ${{2:-}}
        }}
        server 7001
        server 7002 '--replicaof 127.0.0.1 7001'
        server 7003 '--replicaof 127.0.0.1 7001'
        systemctl daemon-reload"
    ));
    lab
}

#[test]
fn as_a_service_it_heals_and_comes_back_from_whatever_ends_it() {
    let lab = installed();
    let status = "systemctl show promoterd -P StatusText";

    lab.shell("systemctl start promoterd");
    lab.await_output(status, "leader; features epoch 1 at 127.0.0.1:7001");
    let verdict = "promoterd status | head -1";
    lab.await_output(verdict, "all well");

    // The sandbox lets the thread that answers Sentinel clients give way to the loop.
    let nicer = "p=/proc/$(systemctl show promoterd -P MainPID); \
        t=$(dirname $(grep -lx sentinel $p/task/*/comm)); \
        echo $(($(cut -d' ' -f19 $t/stat) - $(cut -d' ' -f19 $p/stat)))";
    lab.await_output(nicer, "5");

    // The log is the journal, with fields to look for.
    let fields =
        "journalctl -q -o cat PROMOTERD_GROUP=features PROMOTERD_MASTER=127.0.0.1:7001 | head -1";
    lab.await_output(
        fields,
        "group registered group=features master=127.0.0.1:7001",
    );

    // What changes in the file is taken on, or named; a mistake changes nothing, and is told at once.
    let file = "/etc/promoterd/promoterd.env";
    lab.shell(&format!(
        "echo PROMOTERD_GROUPS__FEATURES__DOWN_AFTER=soon >> {file}"
    ));
    lab.shell("! systemctl reload promoterd");
    lab.shell(&format!(
        "sed -i s/DOWN_AFTER=soon/DOWN_AFTER=900ms/ {file}"
    ));
    lab.shell("systemctl reload promoterd");
    lab.await_output(
        "journalctl -q -o cat -u promoterd -g 'settings reloaded' | grep -o 'FEATURES__DOWN_AFTER'",
        "FEATURES__DOWN_AFTER",
    );
    lab.shell("[ $(systemctl show promoterd -P NRestarts) = 0 ]");

    // The sandbox leaves it what it needs to see a process exit, and to replace a file.
    lab.shell("systemctl kill -s KILL redis-7001");
    lab.await_output(
        "sed s/700[23]/700x/ /etc/api/redis.env",
        "REDIS_URL=redis://127.0.0.1:700x/0",
    );
    let cause = "promoterd status --json | grep -o '\"exited\"' | sort -u";
    lab.await_output(cause, "\"exited\"");

    lab.shell("systemctl kill -s KILL promoterd");
    lab.wait("promoterd", "NRestarts=1", 10);
    lab.wait("promoterd", "ActiveState=active", 10);
    lab.await_output(
        "systemctl show promoterd -P StatusText | grep -o 'leader; features epoch 2'",
        "leader; features epoch 2",
    );

    // One that hangs is found by its watchdog, which the loop itself feeds.
    lab.shell(
        "mkdir -p /run/systemd/system/promoterd.service.d
        printf '[Service]\\nWatchdogSec=1\\n' > /run/systemd/system/promoterd.service.d/watchdog.conf
        systemctl daemon-reload
        systemctl restart promoterd",
    );
    lab.shell("sleep 2; [ $(systemctl show promoterd -P NRestarts) = 0 ]");
    lab.shell("systemctl kill -s STOP promoterd");
    lab.wait("promoterd", "NRestarts=1", 10);

    lab.shell("systemctl stop promoterd");
    let ended =
        lab.shell("systemctl show promoterd -P Result; journalctl -u promoterd -o cat | tail -1");
    assert_eq!(ended.lines().next(), Some("success"));

    // Wrong settings are no reason to try again.
    lab.shell("echo PROMOTERD_GROUPS__FEATURES__QUORUM=none >> /etc/promoterd/promoterd.env");
    lab.shell("! systemctl start promoterd");
    lab.wait("promoterd", "ActiveState=failed", 5);
    lab.await_output("systemctl show promoterd -P ExecMainStatus", "78");
}
