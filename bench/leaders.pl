# Forks leaders of machines, each in a cgroup of its own that is named like a service, and waits.
# Arguments: the prefix of the machines' names, the first number, the number after the last, a file that is made when all
# are there.
# A cgroup that systemd did not make is a unit that systemd does not know: far cheaper than a unit of systemd's.
use strict;
use warnings;

my ($prefix, $first, $end, $done) = @ARGV;
for my $number ($first .. $end - 1) {
    my $cgroup = "/sys/fs/cgroup/machine.slice/leader-$prefix$number.service";
    mkdir $cgroup or die "$cgroup: $!\n";
    my $leader = fork // die "fork: $!\n";
    if ($leader == 0) { sleep while 1 }
    open my $processes, '>', "$cgroup/cgroup.procs" or die "$cgroup: $!\n";
    print $processes $leader;
    close $processes or die "$cgroup: $!\n";
}
open my $ready, '>', $done or die "$done: $!\n";
close $ready;
sleep while 1;
