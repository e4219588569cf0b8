// Writes to the master that Sentinel names, again and again, with ioredis or node-redis, and says what came
// of each write.
//
// Usage: node.js LIBRARY HOST:PORT,HOST:PORT,...   A line of JSON for each write, until its input ends.
// The library is a directory of node_modules: ioredis-5, ioredis-6, redis-5 or redis-6. NODE_PATH names
// where.
"use strict";

const NAME = "features";
const PAUSE_MS = 2;
const PATIENCE_MS = 3000;

const [library, addresses] = process.argv.slice(2);
const sentinels = addresses.split(",").map((address) => {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
});

let ended = false;
process.stdin.on("end", () => {
  ended = true;
});
process.stdin.resume();

function say(begun, port, error) {
  const line = { begun, ended: Date.now(), port, error };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

// A library that waits for ever would say nothing.
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function ioredis() {
  const Redis = require(library);
  const client = new Redis({
    sentinels,
    name: NAME,
    // By +switch-master.
    failoverDetector: true,
    sentinelRetryStrategy: () => 10,
    retryStrategy: () => 10,
    maxRetriesPerRequest: 3,
  });
  client.on("error", () => {});
  // An event that comes while it asks for the master ends it for good: its own connection is closed then, too.
  client.on("end", () => client.connect().catch(() => {}));
  return async () => {
    const [[failed], [unknown, config]] = await client
      .pipeline()
      .incr("writes")
      .config("GET", "port")
      .exec();
    if (failed || unknown) {
      throw failed || unknown;
    }
    return Number(config[1]);
  };
}

async function nodeRedis() {
  const { createSentinel } = require(library);
  const client = createSentinel({ name: NAME, sentinelRootNodes: sentinels });
  client.on("error", () => {});
  await client.connect();
  return async () => {
    const answers = await client.multi().incr("writes").configGet("port").exec();
    return Number(answers[1].port);
  };
}

async function main() {
  const write = library.startsWith("ioredis") ? ioredis() : await nodeRedis();
  while (!ended) {
    const begun = Date.now();
    try {
      say(begun, await within(write(), "write"), null);
    } catch (error) {
      say(begun, null, String(error));
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  process.exit(0);
}

main();
