# Writes to the master that Sentinel names, again and again, with Redis.pm, and says what came of each write.
#
# Usage: perl_redis.pl HOST:PORT,HOST:PORT,...   A line of JSON for each write, until nobody reads them.
use strict;
use warnings;

use JSON::PP;
use Redis;
use Time::HiRes qw(sleep time);

use constant PAUSE => 0.002;

my @sentinels = split /,/, $ARGV[0];
my $json = JSON::PP->new;
my $redis;
$| = 1;

# It connects again by itself, and asks for the master each time.
sub connected {
    return $redis //= Redis->new(
        sentinels => [@sentinels],
        service => 'features',
        read_timeout => 1,
        write_timeout => 1,
        reconnect => 1,
        every => 1000,
    );
}

sub written {
    my $redis = connected();
    $redis->incr('writes');
    my %config = $redis->config_get('port');
    return int $config{port};
}

while (1) {
    my $begun = time;
    my $port = eval { written() };
    my $error = defined $port ? undef : "$@";
    my %line = (begun => $begun * 1000, ended => time() * 1000, port => $port, error => $error);
    print $json->encode(\%line), "\n" or exit;
    sleep PAUSE;
}
