//! Real proxies before real servers: HAProxy, nginx and twemproxy try the files that the daemon makes for
//! them, and writers go through them to the new master.
//!
//! `bash tests/proxies` gets them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use promoterd::model::Endpoint;
use promoterd::status::FileReport;
use rustix::process::Signal;

use crate::cluster::{Cluster, local};
use crate::process::{PATIENCE, Process, eventually, free_port};
use crate::server::Kind;

/// From the end of an epoch to the first write through a proxy that read its file again: that takes it some
/// 50 ms, on a machine that is busy with other things too.
const LATE_MAX: Duration = Duration::from_secs(3);
/// Longest wait for an answer through a proxy.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// Longest wait for a proxy to end before it is killed.
const ENDING_MAX: Duration = Duration::from_secs(2);
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(2);

fn proxies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/proxies")
}

fn program(name: &str) -> String {
    let program = proxies().join("bin").join(name);
    assert!(
        program.is_file(),
        "{} is missing: run `bash tests/proxies`",
        program.display()
    );
    program.display().to_string()
}

/// How nginx is called, with its modules where they were unpacked.
fn nginx() -> String {
    let prefix = proxies().join("root/usr/share/nginx");
    format!("{} -e stderr -p {}", program("nginx"), prefix.display())
}

/// A proxy, and the processes that it started.
struct Proxy(Process);

fn command_of(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let until = Instant::now() + ENDING_MAX;
        if !self.0.has_ended() {
            // Killed, it would leave its workers behind.
            self.0.signal(Signal::TERM);
        }
        while !self.0.has_ended() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Where a proxy listens for writers, and for readers.
struct Ports {
    write: Endpoint,
    read: Endpoint,
}

impl Ports {
    fn draw() -> Self {
        let [write, read] = [free_port(), free_port()].map(local);
        Self { write, read }
    }

    /// One of the templates in `config/`, with these ports.
    fn template(&self, text: &str) -> String {
        let replaced = [
            ("127.0.0.1:6380", &self.write),
            ("127.0.0.1:6381", &self.read),
        ];
        replaced
            .into_iter()
            .fold(text.to_owned(), |text, (shipped, port)| {
                assert!(text.contains(shipped), "{text}");
                text.replace(shipped, &port.to_string())
            })
    }
}

/// What came of one write: when it ended, by the wall clock in milliseconds, and which server took it.
struct Write {
    ended: f64,
    result: Result<u16, String>,
}

/// Writes all the time through a proxy.
struct Writer {
    name: &'static str,
    writes: Receiver<Write>,
}

impl Writer {
    fn start(name: &'static str, address: &Endpoint) -> Self {
        let address = address.clone();
        let (sender, writes) = mpsc::channel();
        thread::spawn(move || {
            let mut connection = None;
            loop {
                let result = ask(&mut connection, &address, name);
                if result.is_err() {
                    connection = None;
                }
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let ended = since.as_secs_f64() * 1000.0;
                if sender.send(Write { ended, result }).is_err() {
                    return;
                }
                thread::sleep(PAUSE);
            }
        });
        Self { name, writes }
    }

    /// When the first write was taken by this server.
    fn until_written_to(&self, port: u16) -> f64 {
        let until = Instant::now() + PATIENCE;
        let mut last = Err("it never tried".to_owned());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.writes.recv_timeout(left) {
                Ok(write) if write.result == Ok(port) => return write.ended,
                Ok(write) => last = write.result,
                Err(error) => {
                    panic!("{} does not write to {port} ({error}): {last:?}", self.name)
                }
            }
        }
    }
}

/// The port of the server that takes a write to this key.
fn ask(
    connection: &mut Option<redis::Connection>,
    address: &Endpoint,
    key: &str,
) -> Result<u16, String> {
    let says = |error: redis::RedisError| error.to_string();
    if connection.is_none() {
        let opened = open(address)?;
        *connection = Some(opened);
    }
    let open = connection.as_mut().expect("it was opened");
    let mut pipeline = redis::pipe();
    pipeline
        .set(key, 1)
        .ignore()
        .cmd("CONFIG")
        .arg("GET")
        .arg("port");
    let ((_, port),): ((String, String),) = pipeline.query(open).map_err(says)?;
    port.parse().map_err(|_| format!("no port: {port}"))
}

fn open(address: &Endpoint) -> Result<redis::Connection, String> {
    let says = |error: redis::RedisError| error.to_string();
    let client = redis::Client::open(format!("redis://{address}")).map_err(says)?;
    let opened = client
        .get_connection_with_timeout(ANSWER_MAX)
        .map_err(says)?;
    opened.set_read_timeout(Some(ANSWER_MAX)).map_err(says)?;
    Ok(opened)
}

/// The port of the server that a new connection to this address reads from.
fn read_by(address: &Endpoint) -> Result<u16, String> {
    let mut command = redis::cmd("CONFIG");
    let asked = command.arg("GET").arg("port").query(&mut open(address)?);
    let (_, port): (String, String) = asked.map_err(|error| error.to_string())?;
    port.parse().map_err(|_| format!("no port: {port}"))
}

/// Gives a daemon a client whose file is tried by its reader.
fn client(cluster: &mut Cluster, daemon: usize, name: &str, settings: &[(&str, &str)]) {
    for (key, value) in settings {
        let key = format!("CLIENTS__{}__{key}", name.to_uppercase());
        cluster.daemons[daemon].set(&key, value);
    }
}

/// How a client's file of a daemon stands, once it is as `is_right` wants it.
fn await_file(
    cluster: &Cluster,
    daemon: usize,
    client: &str,
    is_right: impl Fn(&FileReport) -> bool,
) -> FileReport {
    eventually(&format!("the file of {client} is as it should"), || {
        let files = cluster.daemons[daemon].group()?.files;
        let file = files.into_iter().find(|it| it.client.as_str() == client);
        let file = file.ok_or("no such client")?;
        match is_right(&file) {
            true => Ok(file),
            false => Err(format!("{file:?}")),
        }
    })
}

const HAPROXY: &str = include_str!("../../config/haproxy.cfg.j2");
const NGINX: &str = include_str!("../../config/nginx.conf.j2");

/// The file of an HAProxy that is edited in place, as a person would write it.
fn haproxy_by_hand(master: &Endpoint, write: &Endpoint, more: &str) -> String {
    format!(
        "# by hand\ndefaults\n\tmode tcp\n    timeout connect 1s # each\n    retries 0\n    timeout client 1m\n    timeout server 1m\n\
         {more}\nfrontend redis\n    bind {write}\n    default_backend redis_write\n\n\
         backend redis_write\n    server master {master} check inter 1s\n"
    )
}

fn nutcracker_by_hand(master: &Endpoint, other: &Endpoint) -> String {
    format!(
        "alpha:\n  listen: 127.0.0.1:22121\n  hash: fnv1a_64\n  distribution: ketama\n  redis: true\n  servers: # two\n   \
         - {master}:1 shard1\n   - {other}:1 shard2\n"
    )
}

/// What has an HAProxy with a master process read its file again.
fn reload_haproxy(socket: &Path) -> String {
    let socket = socket.display();
    format!(
        "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{socket}'); \
         s.sendall(b'reload\\n'); s.recv(100)\""
    )
}

/// Whatever the daemon writes for a proxy, that proxy takes; and writers follow by it.
#[test]
fn writers_through_real_proxies_follow_a_crash_and_a_switchover() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let directory = cluster.directory.path().to_owned();
    let path = |name: &str| directory.join(name);
    let shown = |name: &str| path(name).display().to_string();
    let [by_hand, made, nginx_ports] = [Ports::draw(), Ports::draw(), Ports::draw()];
    let master = cluster.servers[0].endpoint.clone();

    let socket = path("by-hand.sock");
    fs::write(
        path("by-hand.cfg"),
        haproxy_by_hand(&master, &by_hand.write, ""),
    )
    .unwrap();
    let check_haproxy = format!("{} -c -f {{}}", program("haproxy"));
    client(
        &mut cluster,
        0,
        "by_hand",
        &[
            ("FILE", &shown("by-hand.cfg")),
            ("FORMAT", "haproxy"),
            ("EDIT", "redis_write.master"),
            ("CHECK", &check_haproxy),
            ("RELOAD", &reload_haproxy(&socket)),
        ],
    );
    fs::write(path("made.j2"), made.template(HAPROXY)).unwrap();
    let made_socket = path("made.sock");
    client(
        &mut cluster,
        1,
        "made",
        &[
            ("FILE", &shown("made.cfg")),
            ("TEMPLATE", &shown("made.j2")),
            ("FORMAT", "template"),
            ("CHECK", &check_haproxy),
            ("RELOAD", &reload_haproxy(&made_socket)),
        ],
    );
    let nginx_pid = shown("nginx.pid");
    let template = nginx_ports.template(NGINX);
    let template = template.replace("/run/nginx-redis.pid", &nginx_pid);
    fs::write(path("nginx.j2"), template).unwrap();
    client(
        &mut cluster,
        2,
        "nginx",
        &[
            ("FILE", &shown("nginx.conf")),
            ("TEMPLATE", &shown("nginx.j2")),
            ("CHECK", &format!("{} -t -c {{}}", nginx())),
            ("RELOAD", &format!("{} -s reload -c {{}}", nginx())),
        ],
    );
    let other = cluster.servers[1].endpoint.clone();
    fs::write(path("nutcracker.yml"), nutcracker_by_hand(&master, &other)).unwrap();
    client(
        &mut cluster,
        2,
        "nutcracker",
        &[
            ("FILE", &shown("nutcracker.yml")),
            ("FORMAT", "twemproxy"),
            ("EDIT", "alpha.shard1"),
            ("CHECK", &format!("{} -t -c {{}}", program("nutcracker"))),
        ],
    );

    cluster.start_servers();
    // Nobody reads the files of the proxies that are not there yet.
    let log = path("proxies.log");
    let haproxy = |file: &str, socket: &Path| {
        let (haproxy, file, socket) = (program("haproxy"), shown(file), socket.display());
        let mut command = command_of(&format!("{haproxy} -W -S {socket} -f {file}"));
        Proxy(Process::start(&mut command, &log))
    };
    let _by_hand = haproxy("by-hand.cfg", &socket);
    cluster.start_daemons();
    for (daemon, name) in [(1, "made"), (2, "nginx")] {
        await_file(&cluster, daemon, name, |it| it.epoch.is_some());
    }
    let _made = haproxy("made.cfg", &made_socket);
    let words = format!("{} -c {} -g", nginx(), shown("nginx.conf"));
    let mut command = command_of(&words);
    let _nginx = Proxy(Process::start(command.arg("daemon off;"), &log));
    cluster.await_healthy(1);

    let writers = [
        Writer::start("haproxy, edited", &by_hand.write),
        Writer::start("haproxy, by template", &made.write),
        Writer::start("nginx", &nginx_ports.write),
    ];
    for writer in &writers {
        writer.until_written_to(master.port());
    }
    for (epoch, what) in [(2, "crash"), (3, "switchover")] {
        let old = cluster.await_healthy(epoch - 1);
        let leader = cluster.await_leader();
        let events = cluster.daemons[leader].listen();
        if epoch == 2 {
            cluster.servers[old].kill();
        } else {
            let output = cluster.daemons[0].output_of(&["switchover", "features"]);
            assert!(output.status.success());
        }
        let done = events.await_event("done");
        let done_at = done["at"].as_f64().unwrap();
        let master: Endpoint = done["master"].as_str().unwrap().parse().unwrap();
        for writer in &writers {
            let written_at = writer.until_written_to(master.port());
            let late = Duration::from_secs_f64((written_at - done_at).max(0.0) / 1000.0);
            eprintln!("{}, {what}: writes again {late:?} after Done", writer.name);
            assert!(late <= LATE_MAX, "{}: {late:?}", writer.name);
        }
        if epoch == 2 {
            cluster.servers[old].start(&[]);
        }
        cluster.await_healthy(epoch);
        let edited = fs::read_to_string(path("by-hand.cfg")).unwrap();
        assert_eq!(edited, haproxy_by_hand(&master, &by_hand.write, ""));
        let edited = fs::read_to_string(path("nutcracker.yml")).unwrap();
        assert_eq!(edited, nutcracker_by_hand(&master, &other));
        for ports in [&made, &nginx_ports] {
            eventually("a replica answers readers", || {
                match read_by(&ports.read)? {
                    port if port == master.port() => Err("the master answers".to_owned()),
                    _ => Ok(()),
                }
            });
        }
    }
}

#[test]
fn what_haproxy_refuses_leaves_its_file_as_it_was_and_is_shown() {
    let mut cluster = Cluster::prepare(Kind::Redis7);
    let file = cluster.directory.path().join("haproxy.cfg");
    let (master, port) = (cluster.servers[0].endpoint.clone(), local(free_port()));
    let wrong = haproxy_by_hand(&master, &port, "    balance roundabout\n");
    fs::write(&file, &wrong).unwrap();
    client(
        &mut cluster,
        0,
        "proxy",
        &[
            ("FILE", &file.display().to_string()),
            ("FORMAT", "haproxy"),
            ("EDIT", "redis_write.master"),
            ("CHECK", &format!("{} -c -f {{}}", program("haproxy"))),
        ],
    );
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    cluster.servers[0].kill();
    let shown = await_file(&cluster, 0, "proxy", |it| it.error.is_some());
    assert!(
        shown
            .check_output
            .contains("Fatal errors found in configuration"),
        "{}",
        shown.check_output
    );
    assert_eq!(shown.epoch.map(|epoch| epoch.0), Some(1));
    assert_eq!(fs::read_to_string(&file).unwrap(), wrong);

    fs::write(&file, haproxy_by_hand(&master, &port, "")).unwrap();
    let new = cluster.await_healthy(2);
    let new = &cluster.servers[new].endpoint;
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        haproxy_by_hand(new, &port, "")
    );
}
