<?php
// Writes to the master that Sentinel names, again and again, with Predis or phpredis, and says what came of
// each write.
//
// Usage: php.php predis|phpredis HOST:PORT,HOST:PORT,...   A line of JSON for each write, until nobody reads them.

const NAME = 'features';
const PAUSE_MICROSECONDS = 2000;
const TIMEOUT = 1.0;

[, $library, $addresses] = $argv;
$addresses = explode(',', $addresses);

/** Predis asks for the master again by itself when a connection is lost. */
function predis(array $addresses): callable
{
    require 'Predis/Autoloader.php';
    Predis\Autoloader::register();
    $sentinels = array_map(fn ($address) => "tcp://$address?timeout=" . TIMEOUT, $addresses);
    $client = new Predis\Client($sentinels, ['replication' => 'sentinel', 'service' => NAME]);
    // Its own pause is a second.
    $client->getConnection()->setRetryWait(10);
    return function () use ($client) {
        $client->incr('writes');
        return (int) $client->config('GET', 'port')['port'];
    };
}

/** With phpredis an application asks for itself. */
function phpredis(array $addresses): callable
{
    $redis = null;
    return function () use ($addresses, &$redis) {
        try {
            $redis ??= connected($addresses);
            $redis->incr('writes');
            return (int) $redis->config('GET', 'port')['port'];
        } catch (RedisException $exception) {
            $redis = null;
            throw $exception;
        }
    };
}

function connected(array $addresses): Redis
{
    foreach ($addresses as $address) {
        [$host, $port] = explode(':', $address);
        $master = (new RedisSentinel($host, (int) $port, TIMEOUT))->getMasterAddrByName(NAME);
        if ($master) {
            $redis = new Redis();
            $redis->connect($master[0], (int) $master[1], TIMEOUT);
            return $redis;
        }
    }
    throw new RedisException('no Sentinel names a master');
}

$write = $library($addresses);
while (true) {
    $line = ['begun' => microtime(true) * 1000, 'port' => null, 'error' => null];
    try {
        $line['port'] = $write();
    } catch (Predis\PredisException | RedisException $exception) {
        $line['error'] = get_class($exception) . ': ' . $exception->getMessage();
    }
    $line['ended'] = microtime(true) * 1000;
    if (!fwrite(STDOUT, json_encode($line) . "\n")) {
        exit;
    }
    usleep(PAUSE_MICROSECONDS);
}
