"""Planned switchovers, one after the other, under a client that writes all the time; and what Sentinel makes of
`SENTINEL FAILOVER`."""

import json
import threading
import time

from ground import Cluster, Failure, Redis, Refusal

# Milliseconds.
PAUSE = {"p99": 50}
# So long Sentinel needs at most until the old master knows that it is one.
SENTINEL_SETTLES = 15


class Writer:
    """Writes every millisecond to the port that `where` names, and asks it again when a write fails; a key that was
    acknowledged has to be there later."""

    def __init__(self, where):
        self.where, self.is_over = where, False
        self.tried, self.doubtful, self.pause_max = 0, set(), 0.0
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def write(self):
        connection, last = None, time.monotonic()
        while not self.is_over:
            key, self.tried = self.tried, self.tried + 1
            try:
                connection = connection or Redis(self.where(), 3)
                if isinstance(connection.ask("SET", f"k:{key}", "1"), Refusal):
                    raise OSError("refused")
                now = time.monotonic()
                self.pause_max = max(self.pause_max, 1000 * (now - last))
                last = now
            except (OSError, IndexError, TypeError, ValueError):
                self.doubtful.add(key)
                if connection:
                    connection.close()
                connection = None
            time.sleep(0.001)

    def stop(self):
        self.is_over = True
        self.thread.join()

    def missing(self, port):
        """How many acknowledged writes are not there."""
        asked = Redis(port, 5)
        keys = [f"k:{key}" for key in range(self.tried) if key not in self.doubtful]
        return len(keys) - int(asked.ask("EXISTS", *keys))


def switch(daemon):
    """Asks for a switchover, and returns what became of it."""
    connection = daemon.connection(15)
    try:
        connection.request("POST", "/v1/groups/demo/switchover", body="{}")
        report = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if "operation" not in report:
        raise Failure(f"no switchover: {report}")
    while report["state"] == "open":
        report = daemon.get(f"/v1/operations/{report['operation']}")
    return report["groups"][0]["switchover"]


def switchovers(promoterd, server, count, settings=()):
    """For each of `count` switchovers the milliseconds for which writes were held, and for which the client
    that writes every millisecond had nothing acknowledged; and the acknowledged writes that are missing."""
    held, pauses, missing, written = [], [], 0, 0
    with Cluster(promoterd, server, settings) as cluster:
        for number in range(count):
            daemon = cluster.daemons[number % len(cluster.daemons)]
            writer = Writer(cluster.daemons[(number + 1) % len(cluster.daemons)].port_in_file)
            time.sleep(0.3)
            outcome = switch(daemon)
            if outcome["outcome"] != "done":
                raise Failure(f"switchover {number} was not done: {outcome}")
            cluster.await_whole()
            writer.stop()
            missing += writer.missing(int(outcome["to"].rsplit(":", 1)[1]))
            written += writer.tried - len(writer.doubtful)
            held.append(outcome["held_ms"])
            pauses.append(writer.pause_max)
    return held, pauses, missing, written


def sentinel_switchover(cluster):
    """The same by `SENTINEL FAILOVER`, for a client that asks a Sentinel whenever a write fails."""
    sentinel = Redis(cluster.sentinel_ports[0], 3)

    def where():
        return int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "demo")[1])

    writer = Writer(where)
    time.sleep(0.3)
    said = Redis(cluster.sentinel_ports[1], 3).ask("SENTINEL", "FAILOVER", "demo")
    if said != "OK":
        raise Failure(f"Sentinel does not fail over: {said}")
    time.sleep(SENTINEL_SETTLES)
    writer.stop()
    return writer.pause_max, writer.missing(where()), writer.tried - len(writer.doubtful)


def measure_switchovers(promoterd, server, runs, sentinel_runs, sentinel_cluster, table, note):
    if runs:
        held, pauses, missing, written = switchovers(promoterd, server, runs)
        table.add("switchover: writes held, ms", held)
        table.add("switchover: longest pause of a client, ms", pauses, PAUSE)
        table.remarks.append(
            f"switchover: {missing} of {written} acknowledged writes lost in {runs} switchovers"
        )
        note(f"{runs} switchovers: writes held for {max(held):.1f} ms at most")
    seen = []
    for _ in range(sentinel_runs if runs else 0):
        with sentinel_cluster(server) as cluster:
            seen.append(sentinel_switchover(cluster))
        note(f"Sentinel, FAILOVER: {seen[-1][1]} of {seen[-1][2]} acknowledged writes lost")
    table.add("Sentinel, FAILOVER: longest pause, ms", [pause for pause, _, _ in seen])
    if seen:
        lost, written = sum(it[1] for it in seen), sum(it[2] for it in seen)
        table.remarks.append(
            f"Sentinel, FAILOVER: {lost} of {written} acknowledged writes lost in {len(seen)} of them"
        )
