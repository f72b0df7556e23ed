/** Arguments: a name, and options of systemd-nspawn. A container of one program: no bus, no systemd. */
export const plainContainer = `
root=/var/lib/plain/$1
mkdir -p "$root"/usr "$root"/etc "$root"/root "$root"/tmp
for name in bin sbin lib lib64; do ln -s usr/$name "$root/$name"; done
echo 'root:x:0:0::/root:/bin/sh' >"$root/etc/passwd"
echo 'bob:x:1000:1000::/tmp:/bin/sh' >>"$root/etc/passwd"
printf 'bob:x:1000:\\nwheel:x:10:bob\\n' >"$root/etc/group"
systemd-run --quiet --collect --unit="plain-$1" systemd-nspawn --quiet --directory="$root" --machine="$1" \\
  --bind-ro=/usr "\${@:2}" sleep infinity
until machinectl show "$1" >/dev/null 2>&1; do sleep 0.1; done
leader=$(machinectl show "$1" --property=Leader --value)
until [[ $(cat /proc/$leader/comm) == sleep ]]; do sleep 0.1; done`;
