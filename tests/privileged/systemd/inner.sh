# inner.sh PLACE: runs as a service of the system, as root. Each line says what was tried and holds.
place=$1
exec >"$place/said" 2>"$place/inner.errors"
export HOME=/root QFT_HOME=$place/client
fail() {
    echo "--- $(systemctl status qft.service qft.socket --no-pager 2>&1 | head -40)"
    echo "--- $(journalctl -u qft --no-pager 2>&1 | tail -20)"
    tail -5 "$place/inner.errors"
    echo "failed: $*"
    exit 1
}
until_it() {
    local times=2400
    until "$@"; do
        times=$((times - 1))
        [ $times -gt 0 ] || fail "waited for: $*"
        sleep 0.05
    done
}
show() { systemctl show -p "$1" --value qft.service; }
as_qft() { setpriv --reuid=qft --regid=qft --clear-groups env QFT_HOME=/var/lib/qft/home qft "$@"; }

qft service install -l 127.0.0.1:4433 -- -v >"$place/installed" || fail "install"
grep -q 'let a client in:  sudo -u qft QFT_HOME=/var/lib/qft/home' "$place/installed" || fail "it tells what comes next"
systemctl is-active -q qft.service qft.socket || fail "it runs"
systemctl is-enabled -q qft.service qft.socket || fail "it runs after the next boot"
show StatusText | grep -q 'serving /var/lib/qft/files' || fail "it says what it does: $(show StatusText)"
[ "$(stat -c %U /var/lib/qft/files)" = qft ] || fail "it runs as an account of its own"
echo "installed, and it runs"

ticket=$(as_qft peers invite 2>/dev/null | grep -o 'qft://[^ ]*4433') || fail "invite"
mkdir -p "$place/src"
head -c 24000000 /dev/urandom >"$place/src/large"
cd "$place/src" && echo first >first && qft send -q first --to "$ticket" || fail "the first file"
[ "$(cat /var/lib/qft/files/first)" = first ] || fail "the first file is there"
echo "a client came in"

qft send -q --bwlimit 6M large &
client=$!
until_it test -s /var/lib/qft/files/.large.qft-part
before=$(show MainPID)
systemctl restart qft || fail "restart"
[ "$(show MainPID)" != "$before" ] || fail "another process"
wait $client || fail "the transfer ends well"
cmp large /var/lib/qft/files/large || fail "the file is whole"
echo "restarted under a transfer"

systemctl reload qft || fail "reload"
systemctl is-active -q qft.service || fail "it runs after a reload"
show StatusText | grep -q 'read the list of clients again' || fail "it says that it read: $(show StatusText)"
echo "reloaded"

# What does not answer is started anew: a stopped process says nothing, within a time that is short here.
mkdir -p /run/systemd/system/qft.service.d
printf '[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\nRestart=always\n' >/run/systemd/system/qft.service.d/soon.conf
systemctl daemon-reload && systemctl restart qft || fail "a short time"
before=$(show MainPID)
kill -STOP "$before"
is_another() { [ "$(show MainPID)" != "$before" ] && systemctl is-active -q qft.service; }
until_it is_another
echo again >again && qft send -q again || fail "the next server takes files"
echo "one that hung was replaced"
rm -r /run/systemd/system/qft.service.d && systemctl daemon-reload && systemctl restart qft || fail "as before"

head -c 24000000 /dev/urandom >other
qft send -q --timeout 1s --bwlimit 6M other &
client=$!
until_it test -s /var/lib/qft/files/.other.qft-part
systemctl stop qft.socket qft.service || fail "stop"
wait $client && fail "nobody serves it any more"
[ "$(show Result)" = success ] || fail "it ended well: $(show Result)"
[ -s /var/lib/qft/files/.other.qft-part ] || fail "what came is kept"
systemctl start qft.socket qft.service || fail "start"
qft send -v other 2>&1 | grep -q resumed || fail "and continued"
echo "stopped under a transfer, started, and it was continued"

qft service remove || fail "remove"
systemctl is-active -q qft.service && fail "it runs no more"
[ ! -e /etc/systemd/system/qft.service ] && [ ! -e /etc/systemd/system/qft.socket ] || fail "no units are left"
[ -e /var/lib/qft/files/large ] || fail "what was received stays"
echo "removed"
echo "all of it"
