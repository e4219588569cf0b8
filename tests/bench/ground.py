"""Real servers and daemons on loopback that can be killed and started again, and how to ask them."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

# As in `promoterd demo`: time between two looks at anything, longest look.
INTERVAL, PATIENCE = 0.0005, 0.1
START_MAX, FAILOVER_MAX = 30, 30
NODES = ("a", "b", "c")
SERVER = "--bind 127.0.0.1 --save  --appendonly no --repl-diskless-sync-delay 0".split(" ")


class Failure(Exception):
    """Why there is no figure, or what went wrong."""


class Refusal(str):
    """An error that a server answered."""


class Redis:
    """A server that can be asked one thing at a time; a reply is text, or a list of texts."""

    def __init__(self, port, patience=PATIENCE):
        self.port, self.patience, self.socket = port, patience, None

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), self.patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb")

    def ask(self, *words):
        parts = [f"*{len(words)}\r\n"] + [f"${len(word)}\r\n{word}\r\n" for word in words]
        try:
            if not self.socket:
                self.connect()
            self.socket.sendall("".join(parts).encode())
            return self.read()
        except OSError:
            self.close()
            raise

    def read(self):
        line = self.replies.readline().decode().rstrip()
        kind, rest = line[:1], line[1:]
        if kind == "*":
            return [self.read() for _ in range(int(rest))]
        if kind == "$":
            return None if rest == "-1" else self.replies.read(int(rest) + 2)[:-2].decode()
        if kind in ("+", ":"):
            return rest
        if kind == "-":
            return Refusal(rest)
        raise OSError("closed")

    def close(self):
        """What comes too late would be taken for the answer to the next question."""
        if self.socket:
            self.socket.close()
        self.socket = None


def answer(connection, *words):
    try:
        return connection.ask(*words)
    except OSError:
        return None


def wait_for(look, what, patience=START_MAX):
    """Looks until nothing speaks against it: a look returns why not yet, or nothing."""
    until = time.monotonic() + patience
    while True:
        try:
            why = look()
        except (OSError, http.client.HTTPException) as error:
            why = str(error)
        if not why:
            return
        if time.monotonic() > until:
            raise Failure(f"{what}: not within {patience} s: {why}")
        time.sleep(0.01)


def free_ports(count):
    """Ports that nobody listens at; all are held until all are found, so that none comes twice."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Process:
    """A program that can be killed and started again; what it writes goes to one file."""

    def __init__(self, log):
        self.log, self.child = log, None

    def start(self, command, environment=None):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

    def is_running(self):
        return self.child is not None and self.child.poll() is None

    def kill(self):
        """Returns the moment of the signal, and does not wait for the end."""
        at = time.monotonic()
        self.child.send_signal(signal.SIGKILL)
        return at

    def end(self):
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None


class Server(Process):
    """A server without any file of its own: killed, it loses all that it had."""

    def __init__(self, program, port, directory):
        super().__init__(directory / f"redis-{port}.log")
        self.program, self.port, self.directory = program, port, directory / f"redis-{port}"
        self.directory.mkdir()

    def run(self, master=None):
        follow = ["--replicaof", "127.0.0.1", str(master)] if master else []
        self.start([self.program, "--port", str(self.port), "--dir", str(self.directory), *SERVER, *follow])

    def replication(self):
        text = Redis(self.port, 1).ask("INFO", "replication")
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)


class Daemon(Process):
    """A daemon and the file of its client."""

    def __init__(self, promoterd, node, directory, settings):
        super().__init__(directory / f"promoterd-{node}.log")
        self.promoterd, self.node = promoterd, node
        self.socket, self.file = directory / f"{node}.sock", directory / f"{node}.env"
        own = {
            "NODE": node,
            "STATE_DIR": directory / f"state-{node}",
            "STATUS_SOCKET": self.socket,
            "CLIENTS__APP__FILE": self.file,
            "CLIENTS__APP__EDIT": "REDIS_URL",
        }
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PROMOTERD_")}
        named = {f"PROMOTERD_{key}": str(value) for key, value in {**own, **settings}.items()}
        self.environment = {**clean, **named}

    def run(self):
        self.start([self.promoterd, "run"], self.environment)

    def connection(self, patience=2):
        connection = http.client.HTTPConnection("promoterd")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(patience)
        connection.sock.connect(str(self.socket))
        return connection

    def get(self, path):
        connection = self.connection()
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def port_in_file(self):
        """The port that the client would connect to."""
        text = self.file.read_text()
        return int(text.split("REDIS_URL=redis://127.0.0.1:")[1].split("/")[0])


class Events:
    """What a daemon tells on its event stream, from now until it dies; on its word, if one is given."""

    def __init__(self, daemon, last_word=None):
        self.daemon, self.last_word = daemon, last_word
        self.names, self.connection = [], daemon.connection(FAILOVER_MAX)
        self.connection.request("GET", "/v1/events")
        self.response = self.connection.getresponse()
        self.response.readline()
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        try:
            for line in self.response:
                self.names.append(json.loads(line)["event"])
                if self.names[-1] == self.last_word:
                    self.daemon.kill()
                    self.last_word = None
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            pass

    def all(self):
        """Everything that came before the stream broke off."""
        self.thread.join(FAILOVER_MAX)
        self.connection.close()
        return self.names


class Cluster:
    """A master, two replicas, three daemons with a client each: like the demo, and mendable."""

    def __init__(self, promoterd, server, settings=()):
        self.directory = Path(tempfile.mkdtemp(prefix="promoterd-kills-"))
        ports = free_ports(2 * len(NODES))
        self.servers = [Server(server, port, self.directory) for port in ports[: len(NODES)]]
        instances = ",".join(f"127.0.0.1:{each.port}" for each in self.servers)
        peers = ",".join(f"{node}=127.0.0.1:{port}" for node, port in zip(NODES, ports[len(NODES) :]))
        settings = {"PEERS": peers, "GROUPS__DEMO__INSTANCES": instances, **dict(settings)}
        self.daemons = [Daemon(promoterd, node, self.directory, settings) for node in NODES]

    def __enter__(self):
        try:
            first = self.servers[0].port
            for daemon in self.daemons:
                daemon.file.write_text(f"REDIS_URL=redis://127.0.0.1:{first}/0\n")
            self.servers[0].run()
            for server in self.servers[1:]:
                server.run(first)
            for server in self.servers[1:]:
                wait_for(lambda: self.why_astray(server, first), f"server {server.port} replicates")
            for daemon in self.daemons:
                daemon.run()
            self.await_whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.daemons + self.servers:
            process.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start_what_is_dead(self):
        for process in self.daemons + self.servers:
            if not process.is_running():
                process.run()

    def await_whole(self, patience=START_MAX):
        wait_for(self.why_not_whole, "everything is settled", patience)

    @staticmethod
    def why_astray(server, master):
        said = server.replication()
        wanted = {"role": "slave", "master_port": str(master), "master_link_status": "up"}
        if any(said.get(key) != value for key, value in wanted.items()):
            return f"server {server.port} does not follow {master}"
        return None

    def why_not_whole(self):
        """What is missing: all run and agree, and servers and files are as they say."""
        reports = [daemon.get("/v1/status") for daemon in self.daemons]
        leaders = {report["leader"] for report in reports}
        if len(leaders) != 1 or None in leaders:
            return f"leaders {leaders}"
        groups = [report["groups"][0] for report in reports]
        stands = {(group["epoch"], group["master"], group["phase"]) for group in groups}
        if len(stands) != 1:
            return f"the daemons say {stands}"
        epoch, master, phase = stands.pop()
        if phase != "watching" or master is None:
            return f"{master} in epoch {epoch}: {phase}"
        master = int(master.rsplit(":", 1)[1])
        for daemon in self.daemons:
            if daemon.port_in_file() != master:
                return f"the file of {daemon.node} names {daemon.port_in_file()}, not {master}"
        for server in self.servers:
            if server.port != master and (why := self.why_astray(server, master)):
                return why
            if server.port == master and server.replication().get("role") != "master":
                return f"server {master} is no master"
        unwell = [
            (it["endpoint"], it["trouble"])
            for group in groups
            for it in [group["master_instance"], *group["replicas"]]
            if not it["healthy"]
        ]
        return f"not well: {unwell}" if unwell else None

    def leader(self):
        name = self.daemons[0].get("/v1/status")["leader"]
        return next(daemon for daemon in self.daemons if daemon.node == name)

    def master(self):
        """The server that is the master now, by its own word."""
        return next(it for it in self.servers if it.replication().get("role") == "master")

    def await_writable(self, without, since):
        """Milliseconds from `since` until a server other than `without` takes a write."""
        others = [Redis(it.port) for it in self.servers if it is not without and it.is_running()]
        until = time.monotonic() + FAILOVER_MAX
        while time.monotonic() < until:
            if any(answer(other, "SET", "bench", "1") == "OK" for other in others):
                return 1000 * (time.monotonic() - since)
            time.sleep(INTERVAL)
        raise Failure("nobody took a write in time")
