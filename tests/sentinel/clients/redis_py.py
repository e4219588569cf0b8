"""Writes to the master that Sentinel names, again and again, with redis-py, and says what came of each write.

Usage: redis_py.py sync|async 2|3 HOST:PORT,HOST:PORT,...   A line of JSON for each write, until its input ends.
"""

import asyncio
import json
import sys
import threading
import time

import redis
import redis.asyncio

NAME = "features"
PAUSE = 0.002
ENDED = threading.Event()


def watch_input():
    sys.stdin.read()
    ENDED.set()


def say(begun, port=None, error=None):
    line = {"begun": begun * 1000, "ended": time.time() * 1000, "port": port, "error": error}
    print(json.dumps(line), flush=True)


def settings(protocol):
    """redis-py 4 knows no other protocol than RESP2, and takes no word about it."""
    limits = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
    if int(redis.__version__.split(".")[0]) >= 5:
        limits["protocol"] = protocol
    return limits


def port_of(config):
    """Which server it was."""
    if isinstance(config, list):
        config = dict(zip(config[::2], config[1::2]))
    value = config.get("port", config.get(b"port"))
    return int(value)


def write(master):
    with master.pipeline(transaction=False) as pipeline:
        pipeline.incr("writes")
        pipeline.config_get("port")
        return port_of(pipeline.execute()[1])


async def write_async(master):
    async with master.pipeline(transaction=False) as pipeline:
        pipeline.incr("writes")
        pipeline.config_get("port")
        return port_of((await pipeline.execute())[1])


def run(sentinels, limits):
    sentinel = redis.sentinel.Sentinel(sentinels, sentinel_kwargs=limits, **limits)
    master = sentinel.master_for(NAME)
    while not ENDED.is_set():
        begun = time.time()
        try:
            say(begun, port=write(master))
        except redis.RedisError as error:
            say(begun, error=repr(error))
        time.sleep(PAUSE)


async def run_async(sentinels, limits):
    sentinel = redis.asyncio.sentinel.Sentinel(sentinels, sentinel_kwargs=limits, **limits)
    master = sentinel.master_for(NAME)
    while not ENDED.is_set():
        begun = time.time()
        try:
            say(begun, port=await write_async(master))
        except (redis.RedisError, OSError, asyncio.TimeoutError) as error:
            say(begun, error=repr(error))
        await asyncio.sleep(PAUSE)


def main():
    mode, protocol, addresses = sys.argv[1:]
    sentinels = [(host, int(port)) for host, port in (it.rsplit(":", 1) for it in addresses.split(","))]
    threading.Thread(target=watch_input, daemon=True).start()
    if mode == "sync":
        run(sentinels, settings(int(protocol)))
    else:
        asyncio.run(run_async(sentinels, settings(int(protocol))))


main()
