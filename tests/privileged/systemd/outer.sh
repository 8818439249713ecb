# outer.sh PLACE QFT SYSTEMD: a system of its own, whose first process is systemd. It can write to PLACE and to what is made for it
# here; the rest of the machine it only reads, and its control groups lie below one of its own. SIGTERM ends all of it.
export PLACE=$1 QFT=$2 SYSTEMD=$3

# The groups are seen in a namespace of this process, and are removed when nothing is left in them.
if [ "$4" != inside ]; then
    exec unshare --mount --propagation private bash "$0" "$1" "$2" "$3" inside
fi
set -e
export GROUPS_AT=$PLACE/groups
mkdir "$GROUPS_AT"
mount -t cgroup2 groups "$GROUPS_AT"
export GROUP=$GROUPS_AT/qft-test-$$
mkdir "$GROUP"
trap 'kill -KILL $system || true; wait $system || true; until find "$GROUP" -depth -type d -exec rmdir {} + 2>/dev/null; do sleep 0.05; done; exit 0' TERM

bash -ec '
echo $$ >"$GROUP/cgroup.procs"
exec unshare --cgroup --mount --pid --uts --ipc --net --fork --kill-child --propagation private bash -ec "
    mount -t proc proc /proc
    mount -t tmpfs run /run
    mkdir /run/place /run/groups /run/etc /run/work
    mount --bind \"\$PLACE\" /run/place
    install -m 755 \"\$QFT\" /run/qft
    mount -t cgroup2 groups /run/groups
    umount -R /sys/fs/cgroup 2>/dev/null || true
    mount --bind /run/groups /sys/fs/cgroup
    ip link set lo up
    mount -t overlay etc -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
    for place in /var /tmp /root /home /usr/local/bin; do mount -t tmpfs own \$place; done
    mkdir -p /var/lib /var/log /var/tmp
    install -m 755 /run/qft /usr/local/bin/qft
    # At its start a system empties places such as /tmp, and it shall find none but its own.
    mount -o remount,bind,ro /
    rm -rf /etc/systemd/system/*.wants /etc/systemd/system/qft*
    printf \"%s\\n\" [Service] Type=oneshot \"ExecStart=/bin/bash /run/place/inner.sh /run/place\" TimeoutStartSec=infinity \
        [Install] WantedBy=multi-user.target >/etc/systemd/system/inner.service
    mkdir -p /etc/systemd/system/multi-user.target.wants
    ln -s ../inner.service /etc/systemd/system/multi-user.target.wants/
    : >/run/place/console
    mount --bind /run/place/console /dev/console
    : >/run/place/begun
    exec env -i container=test PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        \"\$SYSTEMD\" --system --unit=multi-user.target --log-target=console --show-status=no
"
' </dev/null &
system=$!
wait $system
