# shellcheck shell=sh
# What the demos share: a temporary root, a master, and a way to show each command that is run.
# Sourced with the folder of programs in $1; touches nothing outside a temporary directory.

bin=${1:?usage: $0 FOLDER-OF-PROGRAMS}
# What is found through PATH has to be found from everywhere.
bin=$(cd -- "$bin" && pwd)
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

# Shows a command as one would type it.
show() {
    line=$1
    shift
    for word in "$@"; do
        case $word in
            '&' | '>') line="$line $word" ;;
            '' | *[!A-Za-z0-9_./=:@%,+-]*) line="$line '$word'" ;;
            *) line="$line $word" ;;
        esac
    done
    printf '%s$ %s%s\n' "$green" "$line" "$plain"
}

# Shows a command, and runs it on the demo's master.
run() {
    show "$@"
    program=$1
    shift
    "$program" --root-dir "$demo/M" "$@"
}

progress() {
    printf '%s\n' "$*" >&2
}

# Waits until a command succeeds; says what the daemons said when it does not within two minutes.
until_true() {
    waited=0
    until "$@" >/dev/null 2>&1; do
        waited=$((waited + 1))
        if [ "$waited" -gt 1200 ]; then
            cat "$demo"/*.log >&2
            exit 1
        fi
        sleep 0.1
    done
}

# Starts the master and learns its ports; more options come from standard input.
start_master() {
    mkdir -p "$demo/M/etc/brine"
    {
        printf 'interface: 127.0.0.1\npublish_port: 0\nret_port: 0\n'
        cat
    } >"$demo/M/etc/brine/master.yaml"
    show brine-master '&'
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
    # shellcheck disable=SC2034 # for whoever sourced this
    publish_port=$(of_master publish_port) ret_port=$(of_master ret_port)
}

# A number or text of the file in which the master says where it is.
of_master() {
    sed -n "s/.*\"$1\": *\"\{0,1\}\([0-9a-f:]*\).*/\1/p" "$demo/M/run/brine/master.json"
}

# Starts the minion whose root is the folder $1.
start_minion() {
    brine-minion --root-dir "$demo/$1" 2>"$demo/$1.log" &
    pids="$pids $!"
}
