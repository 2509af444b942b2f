#!/bin/sh
# A master and three minions on this machine, from the first key to a stored job.
# usage: demo.sh FOLDER-OF-PROGRAMS. Touches nothing outside a temporary directory.
set -eu

bin=${1:?usage: demo.sh FOLDER-OF-PROGRAMS}
for program in brine brine-key brine-master brine-minion; do
    if ! [ -x "$bin/$program" ]; then
        echo "$bin/$program is missing; run \`make build\`" >&2
        exit 1
    fi
done
PATH=$bin:$PATH

# A Unix socket's path has at most 107 bytes, so the directory is a short one.
demo=$(mktemp -d /tmp/brine.XXXXXX)
pids=

cleanup() {
    trap - EXIT INT TERM
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in $pids; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$demo"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Colours are for people.
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') green=$(printf '\033[32m') plain=$(printf '\033[0m')
else
    bold='' green='' plain=''
fi

title() {
    printf '\n%s# %s%s\n' "$bold" "$*" "$plain"
}

# Prints a command as one would type it, and runs it on the demo's root.
run() {
    program=$1
    shift
    line=$program
    for word in "$@"; do
        case $word in
            *[!A-Za-z0-9_./=-]*) line="$line '$word'" ;;
            *) line="$line $word" ;;
        esac
    done
    printf '%s$ %s%s\n' "$green" "$line" "$plain"
    "$program" --root-dir "$demo/M" "$@"
}

progress() {
    printf '%s\n' "$*" >&2
}

title "A master. It makes its own key, and listens on ports the system chose."
mkdir -p "$demo/M/etc/brine"
printf 'interface: 127.0.0.1\npublish_port: 0\nret_port: 0\n' >"$demo/M/etc/brine/master.yaml"
printf '%s$ brine-master &%s\n' "$green" "$plain"
brine-master --root-dir "$demo/M" 2>"$demo/master.log" &
master=$!
pids=$master
progress "waiting for the master (a 4096-bit key takes a few seconds)"
while ! [ -s "$demo/M/run/brine/master.json" ]; do
    if ! kill -0 "$master" 2>/dev/null; then
        cat "$demo/master.log" >&2
        exit 1
    fi
    sleep 0.1
done
number() {
    sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" "$demo/M/run/brine/master.json"
}
publish_port=$(number publish_port)
ret_port=$(number ret_port)

title "Three minions dial out to it. Nobody commands a machine before its key is accepted."
for id in db1 web1 web2; do
    mkdir -p "$demo/$id/etc/brine"
    printf 'master: 127.0.0.1\npublish_port: %s\nret_port: %s\nid: %s\n' \
        "$publish_port" "$ret_port" "$id" >"$demo/$id/etc/brine/minion.yaml"
    printf '%s$ brine-minion &%s    # id: %s\n' "$green" "$plain" "$id"
    brine-minion --root-dir "$demo/$id" 2>"$demo/$id.log" &
    pids="$pids $!"
done

title "Their keys wait. Compare a fingerprint before you accept it."
progress "waiting for three keys (each minion makes its own)"
waited=0
until [ "$(brine-key --root-dir "$demo/M" -l pre --out json 2>/dev/null | grep -oE '"(db1|web1|web2)"' | wc -l)" -eq 3 ]; do
    waited=$((waited + 1))
    if [ "$waited" -gt 1200 ]; then
        cat "$demo"/*.log >&2
        exit 1
    fi
    sleep 0.1
done
run brine-key -L
run brine-key -f '*'
run brine-key -A -y

title "Who is there?"
run brine '*' test.ping

title "A command on some of them"
# shellcheck disable=SC2016 # the minions expand it
run brine 'web*' cmd.run 'echo "$(uname -sr) up since $(uptime -s 2>/dev/null || echo a while)"'

title "What they know about themselves"
run brine '*' grains.get os

title "Every job and every return is on disk"
run brine jobs list
jid=$(brine --root-dir "$demo/M" jobs list | grep -oE '[0-9]{20}' | head -n 1)
run brine jobs show "$jid"

title "Done. The master, the minions and $demo are gone."
