"""Planned switchovers, one after the other, under a client that writes all the time and follows its file."""

import json
import socket
import threading
import time

from ground import Cluster, Failure, Redis, Refusal, wait_for


class Writer:
    """Writes every millisecond to whom the file names; a key that was acknowledged has to be there later."""

    def __init__(self, daemon):
        self.daemon, self.is_over = daemon, False
        self.tried, self.doubtful, self.pause_max = 0, set(), 0.0
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def write(self):
        connection, last = None, time.monotonic()
        while not self.is_over:
            key, self.tried = self.tried, self.tried + 1
            try:
                connection = connection or Redis(self.daemon.port_in_file(), 3)
                if isinstance(connection.ask("SET", f"k:{key}", "1"), Refusal):
                    raise OSError("refused")
                now = time.monotonic()
                self.pause_max = max(self.pause_max, 1000 * (now - last))
                last = now
            except (OSError, IndexError, ValueError):
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


def measure_switchovers(promoterd, server, count, settings=()):
    """For each of `count` switchovers the milliseconds for which writes were held, and for which the client
    that writes every millisecond had nothing acknowledged; and the acknowledged writes that are missing."""
    held, pauses, missing = [], [], 0
    with Cluster(promoterd, server, settings) as cluster:
        for number in range(count):
            daemon = cluster.daemons[number % len(cluster.daemons)]
            writer = Writer(cluster.daemons[(number + 1) % len(cluster.daemons)])
            time.sleep(0.3)
            outcome = switch(daemon)
            if outcome["outcome"] != "done":
                raise Failure(f"switchover {number} was not done: {outcome}")
            cluster.await_whole()
            writer.stop()
            missing += writer.missing(int(outcome["to"].rsplit(":", 1)[1]))
            held.append(outcome["held_ms"])
            pauses.append(writer.pause_max)
    return held, pauses, missing
