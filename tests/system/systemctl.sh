#!/bin/sh
# As much of systemd as brine-connect asks for, and strict: a service that is started is what was
# loaded, and what is not understood is refused. Every call is a line of /var/tmp/systemd/calls.
set -eu
here=/var/tmp/systemd
service=brine-minion.service
printf '%s\n' "$*" >>$here/calls

# One that has ended and that nobody waited for runs no more.
runs() {
    [ -s $here/pid ] && grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$(cat $here/pid)/status" 2>/dev/null
}

stop() {
    if runs; then
        kill "$(cat $here/pid)"
        while runs; do sleep 0.05; done
    fi
}

case $* in
    "is-enabled --quiet $service") [ -e $here/enabled ] ;;
    "enable --quiet $service") touch $here/enabled ;;
    "disable --quiet $service") rm $here/enabled ;;
    daemon-reload)
        rm -f $here/loaded
        for folder in /etc/systemd/system /usr/lib/systemd/system; do
            [ -e $here/loaded ] || [ ! -e $folder/$service ] || cp $folder/$service $here/loaded
        done
        ;;
    "is-active --quiet $service") runs ;;
    "start $service" | "restart $service")
        [ ! -e $here/broken ] || exit 1
        stop
        program=$(sed -n 's/^ExecStart=//p' $here/loaded)
        "$program" </dev/null >>$here/log 2>&1 &
        echo $! >$here/pid
        ;;
    "stop $service") stop ;;
    *)
        echo "not understood: $*" >&2
        exit 64
        ;;
esac
