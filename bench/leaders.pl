# Forks leaders of machines, each in a cgroup of its own that is named like a service, and waits.
# Arguments: the prefix of the machines' names, the first number, the number after the last.
# A cgroup that systemd did not make is a unit that systemd does not know: far cheaper than a unit of systemd's.
use strict;
use warnings;

my ($prefix, $first, $end) = @ARGV;
for my $number ($first .. $end - 1) {
    my $cgroup = "/sys/fs/cgroup/machine.slice/leader-$prefix$number.service";
    mkdir $cgroup or die "$cgroup: $!\n";
    my $leader = fork // die "fork: $!\n";
    if ($leader == 0) { sleep while 1 }
    open my $processes, '>', "$cgroup/cgroup.procs" or die "$cgroup: $!\n";
    print $processes $leader;
    close $processes or die "$cgroup: $!\n";
}
open my $ready, '>', "/run/bench/leaders-$end" or die "$!\n";
close $ready;
sleep while 1;
