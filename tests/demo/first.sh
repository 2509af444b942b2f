#!/bin/sh
# A master and three minions on this machine, from the first key to a stored job.
# usage: first.sh FOLDER-OF-PROGRAMS. Touches nothing outside a temporary directory.
set -eu
# shellcheck source=tests/demo/stage.sh
. "$(dirname "$0")/stage.sh"

title "A master. It makes its own key, and listens on ports the system chose."
start_master </dev/null

title "Three minions dial out to it. Nobody commands a machine before its key is accepted."
for id in db1 web1 web2; do
    mkdir -p "$demo/$id/etc/brine"
    printf 'master: 127.0.0.1\npublish_port: %s\nret_port: %s\nid: %s\n' \
        "$publish_port" "$ret_port" "$id" >"$demo/$id/etc/brine/minion.yaml"
    printf '%s$ brine-minion &%s    # id: %s\n' "$green" "$plain" "$id"
    start_minion "$id"
done

title "Their keys wait. Compare a fingerprint before you accept it."
progress "waiting for three keys (each minion makes its own)"
three_wait() {
    [ "$(brine-key --root-dir "$demo/M" -l pre --out json | grep -oE '"(db1|web1|web2)"' | wc -l)" -eq 3 ]
}
until_true three_wait
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
