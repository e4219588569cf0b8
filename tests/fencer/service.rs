//! `systemd/promoterd-fencer.service` and the drop-in for Redis under a real systemd, as README.md installs
//! them.

use std::path::Path;

use crate::client::{MARK, SOCKET, TEST};
use crate::ground::PROGRAM;
use crate::lab::{Lab, file};

const SOCKET_PATH: &str = "/run/promoterd-fencer/fencer.sock";

/// As Debian ships it, as far as it matters here, for a user who is not root.
const REDIS: &str = "[Service]
Type=notify
ExecStart=/usr/bin/redis-server /etc/redis/redis.conf --supervised systemd --daemonize no
Restart=always
User=nobody
PrivateTmp=true
PrivateDevices=true
PrivateUsers=true
ProtectSystem=strict
ProtectProc=invisible
CapabilityBoundingSet=
NoNewPrivileges=true
NoExecPaths=/
ExecPaths=/usr/bin/redis-server /usr/bin/redis-check-rdb /usr/lib /lib
";

fn installed() -> Lab {
    let lab = Lab::start();
    let client = std::env::current_exe().unwrap();
    for (from, to) in [
        (Path::new(PROGRAM), "/usr/local/bin/promoterd"),
        (client.as_path(), "/usr/local/bin/fencer-client"),
    ] {
        lab.push(from, to, "0755");
    }
    for (from, to) in [
        (
            "systemd/promoterd-fencer.service",
            "/etc/systemd/system/promoterd-fencer.service",
        ),
        (
            "systemd/promoterd.sysusers",
            "/usr/lib/sysusers.d/promoterd.conf",
        ),
    ] {
        lab.push(&file(from), to, "0644");
    }
    // A bare machine has the program by another name, and no user of Redis.
    lab.shell(&format!(
        "systemd-sysusers
        [ -e /usr/bin/redis-server ] || ln -s redis-check-rdb /usr/bin/redis-server
        mkdir -p /etc/redis; chmod 755 /etc/redis
        printf 'port 7001\\nsave \"\"\\ndir /tmp\\n' > /etc/redis/redis.conf; chmod 644 /etc/redis/redis.conf
        cat > /etc/systemd/system/redis-server.service <<'END'
{REDIS}
END
        systemctl daemon-reload
        systemctl start redis-server promoterd-fencer"
    ));
    lab
}

/// What comes of orders, each a line of `client.rs` in which the server is `$pid`.
fn ask(lab: &Lab, user: &str, lines: &str) -> Vec<String> {
    let said = lab.shell(&format!(
        "pid=$(systemctl show redis-server -P MainPID)
        printf '%s\\n' \"{lines}\" | {SOCKET}={SOCKET_PATH} setpriv --reuid {user} --regid {user} --init-groups \\
            fencer-client --ignored --nocapture --exact {TEST}"
    ));
    let lines = said.lines().filter_map(|line| line.split_once(MARK));
    lines.map(|(_, said)| said.to_owned()).collect()
}

fn limits(lab: &Lab) -> String {
    lab.shell(
        "exec 3<>/dev/tcp/127.0.0.1/7001
        printf 'CONFIG GET min-replicas-*\\r\\nSET a b\\r\\nQUIT\\r\\n' >&3; cat <&3 | tr -d '\\r' | grep -v '^[$*]'",
    )
}

#[test]
fn as_a_service_it_ends_servers_that_start_fenced_and_no_others() {
    let lab = installed();
    let rights = lab.shell(&format!(
        "stat -c '%A %U %G' {SOCKET_PATH} $(dirname {SOCKET_PATH})"
    ));
    assert_eq!(
        rights,
        "srw-rw---- root promoterd\ndrwxr-x--- root promoterd\n"
    );

    // Without the drop-in it names the very lines that are missing.
    let [check, until] = ask(&lab, "promoterd", "check $pid\nuntil $pid 0")
        .try_into()
        .unwrap();
    for said in [check, until] {
        assert!(
            said.starts_with("refused: redis-server.service starts a server that takes writes"),
            "{said}"
        );
        let line = "ExecStart=/usr/bin/redis-server /etc/redis/redis.conf --supervised systemd --daemonize no \
                    --min-replicas-to-write 2147483647 --min-replicas-max-lag 1";
        assert!(said.contains(line), "{said}");
    }
    lab.shell("[ $(systemctl show redis-server -P NRestarts) = 0 ]");

    // With it, from the next word of systemd on, and without a restart of the server.
    let drop_in = "/etc/systemd/system/redis-server.service.d/redis-fenced.conf";
    lab.push(&file("systemd/redis-fenced.conf"), drop_in, "0644");
    lab.shell("systemctl daemon-reload");
    assert_eq!(
        ask(
            &lab,
            "promoterd",
            "check $pid\nuntil $pid 60000\nrelease $pid"
        ),
        ["ok"; 3]
    );
    assert!(limits(&lab).contains("OK\n"), "{}", limits(&lab));

    // It ends, systemd starts it again, and it takes no writes.
    assert_eq!(ask(&lab, "promoterd", "until $pid 300"), ["ok"]);
    lab.wait("redis-server", "NRestarts=1", 10);
    lab.wait("redis-server", "ActiveState=active", 10);
    let limits = limits(&lab);
    assert!(
        limits.contains("2147483647\n") && limits.contains("-NOREPLICAS"),
        "{limits}"
    );

    // A fencer that dies comes back, and what it held it holds.
    assert_eq!(ask(&lab, "promoterd", "until $pid 2000"), ["ok"]);
    lab.shell("systemctl kill -s KILL promoterd-fencer");
    lab.wait("promoterd-fencer", "NRestarts=1", 10);
    lab.wait("redis-server", "NRestarts=2", 10);
    // So does one that hangs.
    lab.shell("systemctl kill -s STOP promoterd-fencer");
    lab.wait("promoterd-fencer", "NRestarts=2", 10);
    lab.wait("promoterd-fencer", "ActiveState=active", 10);

    // A server that nobody listed.
    let other = lab.shell(
        "systemd-run -q --unit=other redis-server --port 7002 --save ''
        systemctl show other -P MainPID",
    );
    let said = ask(&lab, "promoterd", &format!("check {}", other.trim()));
    assert!(
        said[0].contains("belongs to other.service, and the fencer may not end that"),
        "{said:?}"
    );

    lab.shell("systemctl stop promoterd-fencer; [ $(systemctl show promoterd-fencer -P Result) = success ]");
    let said = ask(&lab, "promoterd", "check $pid");
    assert!(said[0].starts_with("absent: "), "{said:?}");
}

#[test]
fn its_unit_and_the_drop_ins_are_understood_and_its_exposure_is_small() {
    let lab = installed();
    let said = lab.shell("systemd-analyze verify --man=no promoterd-fencer.service 2>&1; true");
    assert!(!said.contains("promoterd-fencer"), "{said}");
    let score = lab.shell("systemd-analyze security --no-pager promoterd-fencer | tail -1");
    println!("{score}");
    let score: f64 = score
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .expect("the last line has the score");
    assert!(score < 2.0, "{score}");
    for server in ["redis", "valkey"] {
        let drop_in = file(&format!("systemd/{server}-fenced.conf"));
        let to = format!("/etc/systemd/system/{server}-server.service.d/{server}-fenced.conf");
        lab.push(&drop_in, &to, "0644");
    }
    lab.shell(
        "cp /etc/systemd/system/redis-server.service /etc/systemd/system/valkey-server.service",
    );
    lab.shell("systemctl daemon-reload");
    for server in ["redis", "valkey"] {
        let started = lab.shell(&format!("systemctl show {server}-server -P ExecStart"));
        assert_eq!(started.lines().count(), 1, "{started}");
        let command = format!(
            "/usr/bin/{server}-server /etc/{server}/{server}.conf --supervised systemd --daemonize no \
             --min-replicas-to-write 2147483647 --min-replicas-max-lag 1"
        );
        assert!(
            started.contains(&format!("argv[]={command} ;")),
            "{started}"
        );
    }
}
