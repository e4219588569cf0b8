# Writes to the master that Sentinel names, again and again, with ruby-redis, and says what came of each write.
#
# Usage: ruby_redis.rb HOST:PORT,HOST:PORT,...   A line of JSON for each write, until nobody reads them.
require "json"
require "redis"

PAUSE = 0.002

sentinels = ARGV.fetch(0).split(",").map do |address|
  host, port = address.split(":")
  { host: host, port: Integer(port) }
end
redis = Redis.new(url: "redis://features", sentinels: sentinels, role: :master, timeout: 1.0)

def milliseconds
  Time.now.to_f * 1000
end

def write(redis)
  _, config = redis.multi do |transaction|
    transaction.incr("writes")
    transaction.config(:get, "port")
  end
  Integer(config.to_a.flatten.last)
end

$stdout.sync = true
loop do
  line = { begun: milliseconds, port: nil, error: nil }
  begin
    line[:port] = write(redis)
  rescue Redis::BaseError => error
    line[:error] = error.inspect
  end
  puts JSON.generate(line.merge(ended: milliseconds))
  sleep PAUSE
rescue Errno::EPIPE
  exit
end
