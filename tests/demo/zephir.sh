#!/bin/sh
# Server records, both ways of docs/zephir.md, with a stand-in for the application that keeps them.
# usage: zephir.sh FOLDER-OF-PROGRAMS. Touches nothing outside a temporary directory.
set -eu
# shellcheck source=tests/demo/stage.sh
. "$(dirname "$0")/stage.sh"
connect=$(dirname "$0")/../../keytool/brine-connect.sh

for tool in curl jq; do
    command -v "$tool" >/dev/null || {
        echo "this demo needs $tool: the application speaks HTTP and JSON to the master" >&2
        exit 1
    }
done

# The application keeps records and tells the master of each. It cannot know whether its message
# arrived, so it says everything twice, as queues do.
application() {
    progress "(the application sends this message twice)"
    show curl --unix-socket run/brine/control.sock http://brine/v1/servers -d "$1"
    for time in first second; do
        curl -sS --fail-with-body --unix-socket "$demo/M/run/brine/control.sock" \
            -H 'content-type: application/json' -d "$1" http://brine/v1/servers >"$demo/$time.json"
        # The keys of a bundle are not for the eyes of an audience.
        jq -c 'if .bundle then .bundle |= (split("\n")[0] + " …") else . end' "$demo/$time.json" | sed 's/^/  /'
    done
    jq -es '.[0].id == .[1].id and .[0].made and (.[1].made | not)' "$demo/first.json" "$demo/second.json" >/dev/null
}

# Whether the minion of a record is there.
answers() {
    brine --root-dir "$demo/M" server run "$1" test.ping
}

title "A master"
start_master </dev/null
fingerprint=$(of_master fingerprint)

title "WAY 1. The application creates a server. There is no machine yet."
application '{"name": "Collège Éluard", "model": "scribe-2.9", "zone": "Dijon", "external_id": "z-101"}'
run brine server list

title "The machine comes and knocks. brine-connect checks the master before it writes anything."
show sh brine-connect.sh --master 127.0.0.1 --fingerprint "$fingerprint" --id eluard --server z-101
mkdir "$demo/eluard" "$demo/pasteur" "$demo/hugo"
sh "$connect" --root-dir "$demo/eluard" --master 127.0.0.1 --publish-port "$publish_port" \
    --ret-port "$ret_port" --fingerprint "$fingerprint" --id eluard --server z-101 --yes </dev/null
start_minion eluard
progress "waiting for its key (it makes its own)"
run brine-key -L --wait-for 1
show brine-minion fingerprint
brine-minion --root-dir "$demo/eluard" fingerprint

title "An operator pairs the two: accepted and linked, in one decision."
run brine server pair z-101 eluard -y
until_true answers z-101
run brine server run z-101 test.ping
run brine server history z-101

title "WAY 2. The application creates a server and asks for a key pair made for it."
application '{"name": "pasteur", "model": "amon-2.8", "zone": "Dijon", "external_id": "z-102", "preseed": true, "bundle": {"master": "127.0.0.1"}}'
progress "(one record and one key: the second answer says that it was there, and has no bundle)"
(umask 077 && jq -r .bundle "$demo/first.json" >"$demo/pasteur.bundle")
rm "$demo/first.json"
run brine server list

title "The bundle is carried to the machine. Its minion is in at its first connection."
show awk '/: /' pasteur.bundle
awk '/: /' "$demo/pasteur.bundle"
show sh brine-connect.sh --bundle pasteur.bundle
sh "$connect" --root-dir "$demo/pasteur" --bundle "$demo/pasteur.bundle" --yes </dev/null
start_minion pasteur
progress "waiting for it to connect"
until_true answers z-102
run brine server run z-102 test.ping
run brine server show z-102

title "BETTER: a token. No private key travels; the machine makes its own."
run brine server create --name hugo --model scribe-2.9 --zone Besançon
show brine server connect-script hugo --master 127.0.0.1 -o connect-hugo.sh
brine --root-dir "$demo/M" server connect-script hugo --master 127.0.0.1 -o "$demo/connect-hugo.sh"
show sh connect-hugo.sh
sh "$demo/connect-hugo.sh" --root-dir "$demo/hugo" --yes </dev/null
start_minion hugo
progress "waiting for it to enrol"
until_true answers hugo
run brine -Z 'zone:*' test.ping
run brine server list

title "Everything that was decided, and by whom, is in the ledger."
show jq -c '[.seq, .act, .by]' var/lib/brine/master/ledger.jsonl
jq -c '[.seq, .act, .by]' "$demo/M/var/lib/brine/master/ledger.jsonl" | sed 's/^/  /'

title "Done. The master, the minions and $demo are gone."
