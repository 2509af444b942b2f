#!/bin/sh
# brine-connect: connects this machine to its Brine master. `sh brine-connect.sh --help` explains it.
#
# Reads top-down: settings, what is done, how each step is done. Everything is checked before anything
# is written, and nothing runs before the last line, so half a download does nothing.
# No secret is an argument of a program: printf is part of the shell (checked below).
set -u
umask 077
LC_ALL=C
export LC_ALL

# These are never exported, whatever the environment has by the same names.
unset bundle token key master_pem answer opt_token token_now
unset CDPATH

# What stands in place of the next line wins over the environment, and loses to the flags.
# @brine-settings@

usage() {
    cat <<'HELP'
Connects this machine to its Brine master.

  brine-connect.sh --bundle FILE                       a key pair made for this machine on the master
  brine-connect.sh --master HOST --fingerprint FP --token-file FILE
                                                       an enrolment token that lets this machine in
  brine-connect.sh --master HOST --fingerprint FP      the key waits on the master until somebody accepts it

On the master, in the same order:
  brine server bundle NAME -o FILE
  (umask 077; brine token create --server NAME --out txt > token)
  brine server pair NAME ID            once the machine waits
  brine-key -F master                  shows the fingerprint that --fingerprint takes

What is missing is asked on a terminal. The master has to show that fingerprint before anything is written.
An earlier identity of this machine is kept in etc/brine/backup-<time>. Run twice, it changes nothing.

Who and where:
  --bundle FILE          bundle with everything in it; - reads standard input
  --master HOST          host name or address of the master
  --fingerprint FP       fingerprint of the master's key: 64 hex digits, colons or not
  --publish-port PORT    the master's publish port (default 4505)
  --ret-port PORT        the master's return port (default 4506)
  --id ID                this machine's minion id (default: the one it has, else the host name)
  --server TEXT          the server record this machine claims: uuid, external id or name
  --token TOKEN          enrolment token; other users can see it with ps, so better one of
  --token-file FILE      a file or pipe with the token in its first line, or the variable BRINE_CONNECT_TOKEN

The program:
  --binary FILE          install this brine-minion (default: the one in PATH is used); it is tried in
                         the folder TMPDIR, or /tmp
  --sha256 HEX           its checksum, compared before it is run or installed
  --prefix DIR           it goes to DIR/bin (default /usr/local)

How:
  --root-dir DIR         everything under DIR, without root rights and without systemd
  --no-start             install the service, do not start it
  --dry-run              say what would be done, write nothing
  --yes                  do not ask before something is changed; without a terminal to ask on, needed
                         for --uninstall, and where a machine that has a key is connected otherwise
  --uninstall            remove the service, the configuration, the key and the state of this minion;
                         only the backup stays, and what the master knows: brine-key -d ID, or
                         brine server unpair NAME, there
  --help                 this text

The same from the environment: BRINE_CONNECT_MASTER, _PUBLISH_PORT, _RET_PORT, _FINGER, _ID, _SERVER,
_TOKEN, and _BUNDLE (the text of a bundle). Flags win; a bundle wins over the other variables.

Exit codes:
  0  done, or there was nothing to do       6  cannot write, or not root
  1  stopped by whoever was asked           7  bundle unreadable, incomplete or expired
  2  usage, or a value is missing           8  what is configured here stands in the way
  3  master unreachable                     9  the service does not start or stop
  4  wrong fingerprint                    129, 130, 141, 143  interrupted
  5  no usable brine-minion, or a wrong checksum
HELP
}

# ---- what is done ------------------------------------------------------------------------------

main() {
    prepare
    read_flags "$@"
    name_files
    if [ -n "$is_uninstall" ]; then
        uninstall
        return
    fi
    choose_way
    find_program
    ask_missing
    check_values
    check_rights
    check_master
    compare
    if [ -z "$changes" ]; then
        say "nothing to change: this machine is configured for $master as $id"
        remove_leftovers
        start
        return
    fi
    if [ -n "$is_dry" ]; then
        say "would do, as $id of the master $master:"
        printf '%s' "$changes"
        return
    fi
    confirm "connect this machine to $master as $id:
$changes" "$replaces_identity"
    build_stage
    try_stage
    back_up
    install_files
    start
    say_what_follows
}

uninstall() {
    [ -n "$is_dry" ] || check_rights
    find_remains
    if [ -z "$changes" ]; then
        remove_leftovers
        say "nothing to remove: this machine was not connected by this script"
        return
    fi
    if [ -n "$is_dry" ]; then
        say "would do:"
        printf '%s' "$changes"
        return
    fi
    confirm "disconnect this machine:
$changes" 1
    stop_service
    remove_files
    say "removed; what it was is in ${backup:-no backup, for there was no identity}"
    [ -z "$removed_key" ] ||
        say "the master still knows its key: brine-key -d ${removed_id:-ID} or brine server unpair NAME there"
}

# ---- settings ----------------------------------------------------------------------------------

prepare() {
    mark='# Written by brine-connect: run it again to change this, or with --uninstall to remove it.'
    nl='
'
    stage='' work='' temp='' made='' is_echo_off='' is_stopped='' is_started='' backup='' changes=''
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 141' PIPE
    trap 'exit 143' TERM
    # Where printf is a program of its own, its arguments are there for everybody to see.
    [ "$(command -v printf)" = printf ] || fail 5 "this shell has no printf built in; use dash or bash"
    for tool in awk base64 date env expr find grep head mktemp sed sha256sum tr; do
        command -v "$tool" >/dev/null || fail 5 "$tool is needed, and not on this machine"
    done
    opt_bundle='' opt_master='' opt_finger='' opt_publish='' opt_ret='' opt_id='' opt_server=''
    opt_token='' opt_token_file='' opt_binary='' opt_sha256='' prefix=/usr/local root=''
    is_dry='' is_yes='' is_no_start='' is_uninstall=''
}

read_flags() {
    while [ $# -gt 0 ]; do
        case $1 in
            --help | -h) usage && exit 0 ;;
            --dry-run) is_dry=1 ;;
            --yes | -y) is_yes=1 ;;
            --no-start) is_no_start=1 ;;
            --uninstall) is_uninstall=1 ;;
            --bundle | --master | --fingerprint | --publish-port | --ret-port | --id | --server | --token | \
                --token-file | --binary | --sha256 | --prefix | --root-dir)
                [ -n "${2:-}" ] || fail 2 "$1 needs a value; see --help"
                take_option "$1" "$2"
                shift
                ;;
            --?*=*)
                flag=${1%%=*}
                answer=${1#*=}
                shift
                set -- "$flag" "$answer" "$@"
                unset answer
                continue
                ;;
            -*) fail 2 "there is no such flag; see --help" ;;
            *) fail 2 "only flags are understood; see --help" ;;
        esac
        shift
    done
    case $prefix in /*) ;; *) fail 2 "--prefix needs an absolute folder" ;; esac
    prefix=${prefix%/}
    if [ -n "$root" ]; then
        [ -d "$root" ] || fail 6 "the folder that --root-dir names does not exist"
        root=$(cd -- "$root" && pwd) || fail 6 "the folder that --root-dir names cannot be entered"
        [ "$root" != / ] || root=''
    fi
}

take_option() {
    case $1 in
        --bundle) opt_bundle=$2 ;;
        --master) opt_master=$2 ;;
        --fingerprint) opt_finger=$2 ;;
        --publish-port) opt_publish=$2 ;;
        --ret-port) opt_ret=$2 ;;
        --id) opt_id=$2 ;;
        --server) opt_server=$2 ;;
        --token) opt_token=$2 ;;
        --token-file) opt_token_file=$2 ;;
        --binary) opt_binary=$2 ;;
        --sha256) opt_sha256=$2 ;;
        --prefix) prefix=$2 ;;
        --root-dir) root=$2 ;;
    esac
}

name_files() {
    etc=$root/etc/brine
    yaml=$etc/minion.yaml
    yaml_d=$etc/minion.d
    beside=$yaml_d/50-brine-connect.yaml
    enrolment=$yaml_d/60-enrolment.yaml
    pki=$etc/pki/minion
    state=$root/var/lib/brine/minion
    unit=/etc/systemd/system/brine-minion.service
    service=brine-minion.service
    # Somebody else's minion.yaml is left alone.
    config=$yaml
    if [ -e "$yaml" ] && ! is_ours "$yaml"; then
        config=$beside
    fi
    old_config=''
    for file in "$yaml" "$beside"; do
        if is_ours "$file"; then
            old_config=$file
        fi
    done
}

# Flags before settings and environment; of those, one way and not two.
choose_way() {
    bundle='' token=''
    if [ -n "$opt_bundle" ] && [ -n "$opt_token$opt_token_file" ]; then
        fail 2 "give a bundle or a token, not both"
    elif [ -n "$opt_bundle" ]; then
        read_bundle "$opt_bundle"
    elif [ -n "$opt_token" ] && [ -n "$opt_token_file" ]; then
        fail 2 "give --token or --token-file, not both"
    elif [ -n "$opt_token_file" ]; then
        read_token "$opt_token_file"
    elif [ -n "$opt_token" ]; then
        token=$opt_token
    elif [ -n "${BRINE_CONNECT_BUNDLE:-}" ] && [ -n "${BRINE_CONNECT_TOKEN:-}" ]; then
        fail 2 "BRINE_CONNECT_BUNDLE and BRINE_CONNECT_TOKEN are both set: give one of them"
    else
        bundle=${BRINE_CONNECT_BUNDLE:-}
        token=${BRINE_CONNECT_TOKEN:-}
    fi
    # What the shell was given in the environment, it gives to every program that it starts.
    unset BRINE_CONNECT_BUNDLE BRINE_CONNECT_TOKEN
    master=${BRINE_CONNECT_MASTER:-}
    publish_port=${BRINE_CONNECT_PUBLISH_PORT:-4505}
    ret_port=${BRINE_CONNECT_RET_PORT:-4506}
    finger=${BRINE_CONNECT_FINGER:-}
    id=${BRINE_CONNECT_ID:-}
    server=${BRINE_CONNECT_SERVER:-}
    bundle_line='' key=''
    [ -z "$bundle" ] || use_bundle
    master=${opt_master:-$master}
    publish_port=${opt_publish:-$publish_port}
    ret_port=${opt_ret:-$ret_port}
    finger=${opt_finger:-$finger}
    id=${opt_id:-$id}
    server=${opt_server:-$server}
}

read_token() {
    if [ -d "$1" ] || ! [ -r "$1" ]; then
        fail 2 "the file that --token-file names cannot be read"
    fi
    # A last line without its end counts too, and one that ends as on Windows.
    IFS=' 	' read -r token <"$1"
    token=${token%"$(printf '\r')"}
    [ -n "$token" ] || fail 2 "the file that --token-file names has no token in its first line"
}

read_bundle() {
    if [ "$1" = - ]; then
        bundle=$(head -c 65537)
    elif [ -f "$1" ] && [ -r "$1" ]; then
        bundle=$(head -c 65537 <"$1")
        if [ -n "$(find -H "$1" -prune \( -perm -040 -o -perm -004 \) -print)" ]; then
            warn "other users can read the bundle, which holds a private key: chmod 600 it"
        fi
    else
        fail 7 "the bundle cannot be read"
    fi
    [ "${#bundle}" -le 65536 ] || fail 7 "the bundle has more than 65536 bytes, so it is none"
    [ -n "$bundle" ] || fail 7 "the bundle is empty"
}

use_bundle() {
    wrong=$(bundle_fault)
    [ -z "$wrong" ] || fail 7 "the bundle cannot be used: $wrong"
    master=$(bundle_field master)
    publish_port=$(bundle_field publish-port)
    ret_port=$(bundle_field ret-port)
    finger=$(bundle_field master-finger)
    id=$(bundle_field minion-id)
    server=$(bundle_field server)
    key=$(bundle_pem 'PRIVATE KEY')
    master_pem=$(bundle_pem 'PUBLIC KEY')
    expires=$(bundle_field expires)
    if [ -n "$opt_id" ] && [ "$opt_id" != "$id" ]; then
        fail 2 "the key in the bundle is for the id that the bundle names; leave --id out"
    fi
    if [ -n "$opt_finger" ] && [ "$(plain_finger "$opt_finger")" != "$(plain_finger "$finger")" ]; then
        fail 4 "--fingerprint and the bundle name two different masters"
    fi
    key_sum=$(printf '%s\n' "$master_pem" | sed '/^-----/d' | base64 -d 2>/dev/null | sha256sum)
    [ "${key_sum%% *}" = "$(plain_finger "$finger")" ] ||
        fail 7 "the bundle cannot be used: its master-finger is not that of the master's key in it"
    case $server in
        *[!0-9A-Fa-f-]*) fail 7 "the bundle cannot be used: its server is no uuid" ;;
    esac
    # Which bundle this identity is from: its key may have been rotated since, and is not put back.
    bundle_line="# bundle: $server $expires$nl"
    if is_from_this_bundle; then
        return
    fi
    # Microseconds do not matter.
    limit=$(printf '%s' "$expires" | sed -n 's/^\([0-9]*\)-\([0-9]*\)-\([0-9]*\)T\([0-9]*\):\([0-9]*\):\([0-9]*\)\(\.[0-9]*\)\{0,1\}Z$/\1\2\3\4\5\6/p')
    [ "${#limit}" -eq 14 ] || fail 7 "the bundle cannot be used: when it expires is not understood"
    if [ "$(date -u +%Y%m%d%H%M%S)" -ge "$limit" ]; then
        fail 7 "the bundle expired at $expires, and this machine's clock says $(date -u +%Y-%m-%dT%H:%M:%SZ): \
make another one on the master, or set the clock"
    fi
}

is_from_this_bundle() {
    [ -n "$old_config" ] && grep -Fqx -e "${bundle_line%"$nl"}" "$old_config" &&
        { [ -s "$pki/minion.pem" ] || [ -s "$pki/minion.next.pem" ]; }
}

# One sentence about the first thing that is wrong with the bundle's form; nothing if it is fine.
bundle_fault() {
    printf '%s\n' "$bundle" | awk '
        { sub(/\r$/, "") }
        NR == 1 {
            part = "head"
            if ($0 == "brine-bundle: 1") next
            wrong = $0 ~ /^brine-bundle: [0-9]+$/ ? "it is of a version that this script does not read" \
                : "it does not begin with the line \"brine-bundle: 1\""
            exit
        }
        part != "private" && part != "public" && /^$/ { next }
        part == "head" && /^-----BEGIN PRIVATE KEY-----$/ { part = "private"; next }
        part == "head" && /^[a-z-]+: ./ && !/[\001-\037\177]/ {
            name = substr($0, 1, index($0, ":") - 1)
            if (name in seen) { wrong = "it says " name " twice"; exit }
            seen[name] = 1
            next
        }
        part == "private" && /^-----END PRIVATE KEY-----$/ && lines { part = "between"; lines = 0; next }
        part == "between" && /^-----BEGIN PUBLIC KEY-----$/ { part = "public"; next }
        part == "public" && /^-----END PUBLIC KEY-----$/ && lines { part = "end"; next }
        (part == "private" || part == "public") && /^[A-Za-z0-9+\/=]+$/ { lines++; next }
        { wrong = "line " NR " is not understood"; exit }
        END {
            count = split("server minion-id master publish-port ret-port master-finger expires", names, " ")
            for (i = 1; i <= count && !wrong && part == "end"; i++)
                if (!(names[i] in seen)) wrong = "it does not say " names[i]
            if (!wrong && part != "end") wrong = "it is cut short"
            if (wrong) print wrong
        }'
}

bundle_field() {
    printf '%s\n' "$bundle" | awk -v start="$1: " '
        { sub(/\r$/, "") }
        /^-----/ { exit }
        index($0, start) == 1 { print substr($0, length(start) + 1); exit }'
}

bundle_pem() {
    printf '%s\n' "$bundle" | awk -v kind="$1" '
        { sub(/\r$/, "") }
        $0 == "-----BEGIN " kind "-----" { is_in = 1 }
        is_in { print }
        $0 == "-----END " kind "-----" { exit }'
}

# Without a terminal, what is missing is named instead.
ask_missing() {
    asked=''
    if [ -z "$master" ]; then
        ask "the master's host name or address: " "the master is missing: give --master HOST or BRINE_CONNECT_MASTER"
        master=$answer
    fi
    if [ -z "$finger" ]; then
        ask "the fingerprint that brine-key -F master shows there: " \
            "the master's fingerprint is missing: give --fingerprint FP or BRINE_CONNECT_FINGER"
        finger=$answer
    fi
    [ -n "$id" ] || find_id
    if [ -n "$asked" ] && [ -z "$bundle$opt_id${BRINE_CONNECT_ID:-}" ]; then
        ask "this machine's minion id [$id]: " "the minion id is missing: give --id ID"
        id=${answer:-$id}
    fi
    if [ -n "$asked" ] && [ -z "$bundle$token" ]; then
        is_echo_off=1
        stty -echo
        ask "an enrolment token, if there is one: " ""
        stty echo
        is_echo_off=''
        printf '\n' >&2
        token=$answer
    fi
}

ask() {
    [ -t 0 ] || fail 2 "$2"
    asked=1
    printf '%s' "$1" >&2
    IFS=' 	' read -r answer || fail 2 "nothing was answered"
}

# The id that the machine has: by its configuration, else by its host name.
find_id() {
    if ! said=$(run_program call --out txt grains.get id 2>&1); then
        [ -n "$old_config" ] || ! [ -e "$yaml" ] ||
            fail 8 "which id this machine has is not clear, give one with --id: ${said#brine-minion: }"
        said=$(uname -n)
    fi
    id=${said#local: }
}

# ---- checks, which write nothing ---------------------------------------------------------------

# A value that is not understood is not shown: it may be a secret in the wrong place, or worse.
check_values() {
    bad=2
    [ -z "$bundle" ] || bad=7
    colons=$(printf '%s' "$master" | tr -dc :)
    case $master in
        '' | -* | *[!]A-Za-z0-9._:[-]*) fail "$bad" "the master is no host name or address" ;;
    esac
    [ "$colons" != : ] || fail "$bad" "the master is given without a port; the ports are --publish-port and --ret-port"
    for port in "$publish_port" "$ret_port"; do
        case $port in
            '' | 0* | *[!0-9]* | ??????*) fail "$bad" "a port is a number from 1 to 65535" ;;
        esac
        [ "$port" -le 65535 ] || fail "$bad" "a port is a number from 1 to 65535"
    done
    finger=$(plain_finger "$finger")
    case $finger in
        *[!0-9a-f]*) fail "$bad" "the fingerprint is not made of 64 hex digits" ;;
    esac
    [ "${#finger}" -eq 64 ] || fail "$bad" "the fingerprint is not made of 64 hex digits"
    finger=$(printf '%s' "$finger" | sed 's/../&:/g; s/:$//')
    case $id in
        '' | [.-]* | *[!A-Za-z0-9._-]*)
            fail "$bad" "the minion id has to be made of letters, digits, '.', '_' and '-': give another one with --id" ;;
    esac
    [ "${#id}" -le 253 ] || fail "$bad" "the minion id has more than 253 characters: give another one with --id"
    case $server in
        *[[:cntrl:]]*) fail "$bad" "--server takes a text of one line" ;;
    esac
    [ "${#server}" -le 256 ] || fail "$bad" "--server takes at most 256 bytes"
    case $token in
        *[!A-Za-z0-9_.~+/=-]*) fail "$bad" "the enrolment token is not one as brine token create prints it" ;;
    esac
    [ "${#token}" -le 256 ] || fail "$bad" "the enrolment token is not one as brine token create prints it"
}

plain_finger() {
    printf '%s' "$1" | tr -d ': \t' | tr A-F a-f
}

check_rights() {
    [ -z "$is_dry" ] || return 0
    if [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then
        fail 6 "this writes to $etc: run it as root, or somewhere else with --root-dir"
    fi
    check_writable "$etc"
    [ -z "$opt_binary" ] || check_writable "$root$prefix/bin"
    for folder in "$etc" "$etc/pki" "$pki" "$yaml_d"; do
        [ ! -L "$folder" ] || fail 6 "$folder is a symbolic link: put the folder itself there"
        if [ -e "$folder" ] && [ -n "$(find "$folder" -prune ! -user "$(id -u)")" ]; then
            fail 6 "$folder belongs to another user: run this as that user"
        fi
        if [ -e "$folder" ] && [ -n "$(find "$folder" -prune -perm -002)" ]; then
            fail 6 "every user can write to $folder: chmod o-w it, and look at what is in it"
        fi
    done
}

check_writable() {
    folder=$1
    while ! [ -e "$folder" ] && [ -n "$folder" ]; do
        folder=${folder%/*}
    done
    if ! [ -d "${folder:-/}" ] || ! [ -w "${folder:-/}" ]; then
        fail 6 "${folder:-/} cannot be written"
    fi
}

find_program() {
    installed=''
    if [ -n "$opt_binary" ]; then
        [ -n "$opt_sha256" ] || fail 2 "--binary needs --sha256 HEX: what is installed is to be what you meant"
        check_binary
        installed=$root$prefix/bin/brine-minion
        program=$work/brine-minion
        runs=$prefix/bin/brine-minion
    else
        [ -z "$opt_sha256" ] || fail 2 "--sha256 is the checksum of --binary FILE"
        program=$root$prefix/bin/brine-minion
        runs=$prefix/bin/brine-minion
        if [ -z "$root" ] || ! [ -x "$program" ]; then
            program=$(command -v brine-minion) || program=$prefix/bin/brine-minion
            runs=$program
        fi
        [ -x "$program" ] || fail 5 "brine-minion is not on this machine: install it, or give --binary FILE --sha256 HEX"
    fi
    case $runs in
        /*) ;;
        *) fail 5 "brine-minion was found at a relative path: give PATH absolute folders" ;;
    esac
    case $runs in
        *[!A-Za-z0-9/._+@-]*) fail 5 "the path of brine-minion has characters that a service file does not take" ;;
    esac
    "$program" --version >/dev/null 2>&1 || fail 5 "$program does not run on this machine"
    "$program" probe-master --help >/dev/null 2>&1 || fail 5 "$program is too old for this script: update it"
}

# What is checked is the copy that is run and installed, whatever becomes of the file meanwhile.
check_binary() {
    sum_wanted=$(printf '%s' "$opt_sha256" | tr A-F a-f)
    work=$(mktemp -d "${TMPDIR:-/tmp}/brine-connect.XXXXXX") || fail 6 "no temporary folder can be made"
    if ! printf '#!/bin/sh\n' >"$work/try" || ! chmod 700 "$work/try" || ! "$work/try" 2>/dev/null; then
        fail 6 "no program runs in ${work%/*}, which may be mounted noexec: name another folder in the variable TMPDIR"
    fi
    cp -- "$opt_binary" "$work/brine-minion" 2>/dev/null || fail 5 "the file that --binary names cannot be read"
    sum=$(sha256sum <"$work/brine-minion")
    sum=${sum%% *}
    [ "$sum" = "$sum_wanted" ] || fail 5 "the file that --binary names has another checksum, $sum; it was not installed"
    chmod 700 "$work/brine-minion"
}

# Without this shell's environment: the minion that will run takes no option from it.
run_program() {
    run_in "$root" "$@"
}

run_in() {
    folder=$1
    shift
    env -i PATH="$PATH" "$program" --root-dir "${folder:-/}" "$@"
}

check_master() {
    set -- probe-master "$master" --publish-port "$publish_port" --ret-port "$ret_port"
    said=$(run_program "$@" --expect "$finger" 2>&1) && return
    # One that answers this is there, and is another one.
    if run_program "$@" >/dev/null 2>&1; then
        fail 4 "${said#brine-minion: }"
    fi
    fail 3 "${said#brine-minion: }"
}

# ---- what has to change ------------------------------------------------------------------------

compare() {
    write_program='' write_unit='' write_config='' write_token='' write_keys='' drop_token='' drop_beside=''
    has_earlier='' earlier_program='' earlier_enrolment=''
    if [ -d "$pki" ] || [ -f "$yaml" ] || [ -f "$beside" ]; then
        has_earlier=1
    fi
    if [ -n "$installed" ] && ! has_sum "$installed" "$sum"; then
        write_program=1
        plan "install brine-minion to $installed"
        if [ -e "$installed" ] && ! installs "$runs"; then
            earlier_program=$installed
        fi
    fi
    config_now=$(config_text)
    if ! has_text "$config" 644 "$config_now"; then
        write_config=1
        plan "write $config"
    fi
    if [ "$config" != "$beside" ] && is_ours "$beside"; then
        drop_beside=1
        plan "remove $beside, which $config replaces"
    fi
    if [ -n "$token" ]; then
        token_now=$(token_text)
        if ! has_text "$enrolment" 600 "$token_now"; then
            write_token=1
            plan "write the enrolment token to $enrolment"
            if [ -e "$enrolment" ] && ! is_ours "$enrolment"; then
                earlier_enrolment=$enrolment
            fi
        fi
    elif is_ours "$enrolment"; then
        drop_token=1
        plan "remove the enrolment token of before, $enrolment"
    fi
    if [ -n "$bundle" ] && ! is_from_this_bundle; then
        write_keys=1
        plan "put the key of the bundle, and the master's, into $pki"
    fi
    if wants_unit && ! has_text "$unit" 644 "$(unit_text)"; then
        write_unit=1
        plan "write the service $unit"
    fi
    changes_identity=$write_config$write_token$write_keys$drop_token$drop_beside
    needs_backup=$earlier_program$earlier_enrolment
    [ -z "$has_earlier" ] || needs_backup=$needs_backup$changes_identity
    if [ -n "$needs_backup" ]; then
        changes="  keep what is there now in $etc/backup-<time>$nl$changes"
    fi
    replaces_identity=''
    if [ -s "$pki/minion.pem" ] || [ -s "$pki/minion.next.pem" ]; then
        replaces_identity=$write_config$write_keys$drop_beside
    fi
    check_later_files
}

# Whether the program at this path was put there by this script.
installs() {
    [ -n "$old_config" ] && grep -Fqx -e "# program: $1" "$old_config"
}

config_text() {
    printf '%s\n' "$mark"
    # What --uninstall removes: never a program that was there before.
    if [ -n "$write_program" ]; then
        printf '# program: %s\n' "$runs"
    elif [ -n "$old_config" ]; then
        grep '^# program: /' "$old_config"
    fi
    printf '%s' "$bundle_line"
    printf 'master: %s\n' "$(quote "$master")"
    printf 'publish_port: %s\n' "$publish_port"
    printf 'ret_port: %s\n' "$ret_port"
    # Another name of the same option, which an earlier file may use.
    [ "$config" = "$yaml" ] || printf 'master_port: %s\n' "$ret_port"
    printf 'id: %s\n' "$(quote "$id")"
    printf 'master_finger: %s\n' "$(quote "$finger")"
    [ -z "$server" ] || printf 'server: %s\n' "$(quote "$server")"
}

token_text() {
    printf '%s\n' "$mark"
    printf 'enrolment_token: %s\n' "$(quote "$token")"
}

# As YAML takes any text of one line.
quote() {
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"
}

unit_text() {
    printf '%s\n' "$mark"
    cat <<UNIT
[Unit]
Description=Brine minion
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
# Started is when orders are read, whether or not the master is there.
Type=notify
ExecStart=$runs
ExecReload=/bin/kill -HUP \$MAINPID
Restart=always
RestartSec=5
# A loop that no longer turns is ended and started anew. A disk that stalls is no such loop.
WatchdogSec=180
TimeoutStopSec=30
# Only the minion itself is stopped: a service that a job has started lives on, and so does a detached
# job, one that replaces this program say. Other jobs the minion ends itself.
KillMode=process
# A command that ran out of memory is that command's end, not the minion's.
OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=65536
# No ProtectSystem, PrivateTmp, NoNewPrivileges or the like: the commands that operators run here are
# children of the minion, and would be locked in with it.

[Install]
WantedBy=multi-user.target
UNIT
}

# Not where a package brings a service of its own, and not in place of one that somebody wrote.
wants_unit() {
    has_systemctl && { [ -d /run/systemd/system ] || [ -d /etc/systemd/system ]; } || return 1
    ! is_packaged || return 1
    ! [ -e "$unit" ] || is_ours "$unit"
}

# Options in a file that is read after ours would win over them.
check_later_files() {
    names='master|publish_port|ret_port|master_port|master_finger'
    [ -z "$server" ] || names="$names|server"
    [ -z "$token" ] || names="$names|enrolment_token|enrolment_token_file"
    for file in "$yaml_d"/*.yaml; do
        case $file in "$beside" | "$enrolment") continue ;; esac
        if [ -f "$file" ] && is_after_ours "$file" && grep -Eq "^[\"']?($names)[\"']?[[:space:]]*:" "$file"; then
            fail 8 "$file sets options that this script has to set ($names): take them out there first"
        fi
    done
}

is_after_ours() {
    [ "$config" = "$yaml" ] || expr "x$1" '>' "x$beside" >/dev/null
}

has_text() {
    [ -f "$1" ] && [ ! -L "$1" ] && [ -n "$(find "$1" -prune -perm "$2")" ] && [ "$(cat -- "$1" && echo .)" = "$3$nl." ]
}

has_sum() {
    [ -f "$1" ] && [ -n "$(find "$1" -prune -perm 755)" ] && [ "$(sha256sum <"$1")" = "$2  -" ]
}

is_ours() {
    [ -f "$1" ] && IFS= read -r first <"$1" && [ "$first" = "$mark" ]
}

plan() {
    changes="$changes  $*$nl"
}

# ---- writing -----------------------------------------------------------------------------------

# The folder as it will be, beside the real one, so that the program can be asked what it makes of it.
build_stage() {
    make_folder "$etc" 755
    remove_leftovers
    stage=$(mktemp -d "$etc/.brine-connect.XXXXXX") || fail 6 "$etc cannot be written"
    staged=$stage/etc/brine
    mkdir -p "$staged/minion.d" "$staged/pki/minion" || fail 6 "$etc cannot be written"
    for file in "$yaml" "$yaml_d"/*.yaml; do
        case $file in "$config" | "$beside" | "$enrolment") continue ;; esac
        [ ! -f "$file" ] || cp -- "$file" "$staged${file#"$etc"}" || fail 6 "$file cannot be read"
    done
    put 644 "$staged${config#"$etc"}" "$config_now"
    put 644 "$stage/unfinished" "$(printf '%s\n' "$config_now" | grep -v '^# bundle: ')"
    [ -z "$token" ] || put 600 "$staged${enrolment#"$etc"}" "$token_now"
    if [ -n "$write_keys" ]; then
        put 600 "$staged/pki/minion/minion.pem" "$key"
        put 644 "$staged/pki/minion/minion_master.pub" "$master_pem"
    fi
}

put() {
    if ! printf '%s\n' "$3" >"$2" || ! chmod "$1" "$2"; then
        fail 6 "$2 cannot be written"
    fi
}

try_stage() {
    said=$(run_in "$stage" call --out txt grains.get id 2>&1) ||
        fail 8 "brine-minion does not take the configuration: $(without_stage "$said")"
    [ "${said#local: }" = "$id" ] ||
        fail 8 "a file in $yaml_d gives this machine another id than $id: take that out there first"
    if [ -n "$write_keys" ]; then
        said=$(run_in "$stage" fingerprint 2>&1) ||
            fail 7 "the bundle cannot be used: $(without_stage "$said")"
    fi
}

without_stage() {
    printf '%s' "${1#brine-minion: }" | awk -v stage="$stage" '{
        while (at = index($0, stage)) $0 = substr($0, 1, at - 1) substr($0, at + length(stage))
        print
    }'
}

back_up() {
    [ -n "$needs_backup" ] || return 0
    make_backup
    [ ! -d "$pki" ] || cp -Rp -- "$pki" "$backup/pki/" || fail 6 "$pki cannot be backed up"
    for file in "$yaml" "$beside" "$earlier_enrolment" "$earlier_program"; do
        [ ! -f "$file" ] || cp -p -- "$file" "$backup/" || fail 6 "$file cannot be backed up"
    done
}

make_backup() {
    now=$etc/backup-$(date -u +%Y%m%dT%H%M%SZ)
    backup=$now
    count=1
    while ! mkdir -m 700 -- "$backup" 2>/dev/null; do
        [ -e "$backup" ] || fail 6 "$backup cannot be made"
        count=$((count + 1))
        backup=$now.$count
    done
    [ ! -d "$pki" ] || mkdir -m 700 -- "$backup/pki" || fail 6 "$backup cannot be written"
}

# The id before the key, so that a minion that starts in between knocks under no wrong name. Killed
# between any two steps, the next run does the rest: what says that something is done comes after it.
install_files() {
    if [ "$config" = "$beside" ] || [ -n "$write_token" ]; then
        make_folder "$yaml_d" 755
    fi
    if [ -n "$write_keys" ]; then
        # It may be about to change its key by itself.
        ! is_running_service || stop_service
        move "$stage/unfinished" 644 "$config"
        make_folder "$etc/pki" 755
        make_folder "$pki" 700
        chmod 700 "$pki"
        rm -f -- "$pki/minion.next.pem" "$pki/minion.pub" "$pki/minion_master.json" || fail 6 "$pki cannot be written"
        move "$staged/pki/minion/minion_master.pub" 644 "$pki/minion_master.pub"
        move "$staged/pki/minion/minion.pem" 600 "$pki/minion.pem"
        sync_etc
    fi
    # With the line that says which bundle the key is from.
    [ -z "$write_config$write_keys" ] || move "$staged${config#"$etc"}" 644 "$config"
    [ -z "$drop_beside" ] || rm -f -- "$beside"
    [ -z "$drop_token" ] || rm -f -- "$enrolment"
    [ -z "$write_token" ] || move "$staged${enrolment#"$etc"}" 600 "$enrolment"
    # The configuration tells by now that the program is ours to be removed.
    if [ -n "$write_program" ]; then
        make_temp_beside "$installed"
        cp -- "$program" "$temp" || fail 6 "$temp cannot be written"
        move "$temp" 755 "$installed"
    fi
    if [ -n "$write_unit" ]; then
        make_temp_beside "$unit"
        unit_text >"$temp" || fail 6 "$temp cannot be written"
        move "$temp" 644 "$unit"
    fi
    sync_etc
    made=''
}

# A bundle is handed out once: its key has to survive a power cut.
sync_etc() {
    sync -f "$etc" 2>/dev/null || sync
}

make_temp_beside() {
    make_folder "${1%/*}" 755
    rm -f -- "${1%/*}"/.brine-minion.??????
    temp=$(mktemp "${1%/*}/.brine-minion.XXXXXX") || fail 6 "${1%/*} cannot be written"
}

# What a run that was killed could not remove: it has a private key or a token in it.
remove_leftovers() {
    [ -n "$is_dry" ] || rm -rf -- "$etc"/.brine-connect.?????? || fail 6 "$etc cannot be written"
}

# Whoever reads the file sees the old one or the new one.
move() {
    if ! chmod "$2" "$1" || ! mv -f -- "$1" "$3"; then
        fail 6 "$3 cannot be written"
    fi
}

make_folder() {
    if [ -z "$1" ] || [ -d "$1" ]; then
        return
    fi
    make_folder "${1%/*}" 755
    mkdir -m "$2" -- "$1" || fail 6 "$1 cannot be made"
    made=$1$nl$made
}

# ---- the service -------------------------------------------------------------------------------

has_systemctl() {
    [ -z "$root" ] && command -v systemctl >/dev/null
}

has_systemd() {
    has_systemctl && [ -d /run/systemd/system ]
}

is_packaged() {
    [ -e "/usr/lib/systemd/system/$service" ] || [ -e "/lib/systemd/system/$service" ]
}

has_service() {
    has_systemctl && { [ -e "$unit" ] || is_packaged; }
}

is_enabled_service() {
    has_service && systemctl is-enabled --quiet "$service" 2>/dev/null
}

is_running_service() {
    has_systemd && systemctl is-active --quiet "$service"
}

# The minion writes its lock when it starts: it runs with what an interrupted run, or one with
# --no-start, found and not with what it left.
is_outdated_service() {
    [ -n "$(find "$config" "$enrolment" "$unit" -prune -newer "$state/lock" 2>/dev/null)" ]
}

start() {
    if [ -z "$is_dry" ] && has_service && ! is_enabled_service; then
        systemctl enable --quiet "$service" 2>/dev/null || warn "the service cannot be enabled"
    fi
    [ -z "$is_dry" ] || return 0
    if [ -n "$is_no_start" ]; then
        [ -z "$changes" ] || say "not started, as you asked; a minion that runs already goes on as it was"
        return
    fi
    if ! has_systemd; then
        if [ -n "$changes" ]; then
            find_holder
            [ -z "$holder" ] || say "a minion runs here as process $holder: stop it first, for it goes on as it was"
            say "systemd does not run here: start the minion with: ${installed:-$program}${root:+ --root-dir $root}"
        fi
        return
    fi
    if [ -n "$changes" ]; then
        said='the service runs'
    elif ! is_running_service; then
        said='the service was not running, and runs now'
    elif is_outdated_service; then
        said='the service ran with an earlier configuration, and runs with this one now'
    else
        return 0
    fi
    if ! systemctl daemon-reload || ! systemctl restart "$service"; then
        fail 9 "the service does not start: systemctl status $service says why"
    fi
    is_stopped='' is_started=1
    say "$said"
}

stop_service() {
    if is_running_service; then
        systemctl stop "$service" || fail 9 "the service does not stop: systemctl status $service says why"
        is_stopped=1
    fi
    find_holder
    [ -z "$holder" ] || fail 9 "a minion runs here still, as process $holder: stop it first"
}

# The process whose number is in the lock, if it is a minion: the number may be another's by now.
find_holder() {
    holder=$(cat -- "$state/lock" 2>/dev/null)
    case $holder in
        '' | *[!0-9]*) holder='' ;;
        *) tr '\0' ' ' 2>/dev/null <"/proc/$holder/cmdline" | grep -q brine-minion || holder='' ;;
    esac
}

say_what_follows() {
    [ -z "$backup" ] || say "what was there before is in $backup"
    did="configured as $id" when='once the minion runs'
    [ -z "$is_started" ] || did="connected as $id" when=now
    if [ -n "$bundle" ]; then
        say "$did, whose key the master has accepted already"
        say "remove the bundle: it holds this machine's private key"
    elif [ -n "$token" ]; then
        say "$did: the token lets it in at its first contact"
    else
        say "$did: its key waits on the master $when; compare what brine-minion fingerprint shows here, then:"
        say "  brine-key -a $id       or       brine server pair SERVER $id"
    fi
}

# ---- removing ----------------------------------------------------------------------------------

find_remains() {
    removed_program='' removed_id='' removed_key=''
    if [ -z "$old_config" ] && ! is_ours "$enrolment" && ! { [ -z "$root" ] && is_ours "$unit"; }; then
        return
    fi
    if [ -n "$old_config" ]; then
        removed_program=$(sed -n 's/^# program: \(\/.*\)$/\1/p' "$old_config")
        removed_program=${removed_program:+$root$removed_program}
        removed_id=$(sed -n "s/^id: '\(.*\)'$/\1/p" "$old_config")
        plan "remove $old_config"
    fi
    ! is_ours "$enrolment" || plan "remove $enrolment"
    if [ -d "$pki" ]; then
        removed_key=1
        plan "remove the key in $pki, after it was kept in $etc/backup-<time>"
    fi
    [ ! -d "$state" ] || plan "remove $state"
    [ -z "$removed_program" ] || [ ! -f "$removed_program" ] || plan "remove $removed_program"
    if [ -z "$root" ] && is_ours "$unit"; then
        plan "stop and remove the service"
    elif is_enabled_service || is_running_service; then
        plan "stop and disable the service, which somebody else put there"
    fi
}

remove_files() {
    remove_leftovers
    ! is_enabled_service || systemctl disable --quiet "$service" || fail 9 "the service cannot be disabled"
    if [ -z "$root" ] && is_ours "$unit"; then
        rm -f -- "$unit" || fail 6 "$unit cannot be removed"
        ! has_systemd || systemctl daemon-reload
    fi
    if [ -d "$pki" ] || [ -n "$old_config" ]; then
        make_backup
        [ ! -d "$pki" ] || mv -- "$pki" "$backup/pki/" || fail 6 "$pki cannot be moved"
        # What grains.setval wrote.
        [ ! -f "$etc/grains" ] || mv -f -- "$etc/grains" "$backup/" || fail 6 "$etc/grains cannot be moved"
    fi
    ! is_ours "$enrolment" || rm -f -- "$enrolment" || fail 6 "$enrolment cannot be removed"
    rm -rf -- "$state" || fail 6 "$state cannot be removed"
    if [ -n "$removed_program" ]; then
        rm -f -- "$removed_program" || fail 6 "$removed_program cannot be removed"
    fi
    # Last, because it tells what else there is to be removed.
    for file in "$yaml" "$beside"; do
        ! is_ours "$file" || mv -f -- "$file" "$backup/" || fail 6 "$file cannot be moved"
    done
    is_stopped=''
    # A master may live here too: only what is empty goes.
    rmdir -- "$yaml_d" "$etc/pki" "$etc" "${state%/*}" 2>/dev/null
    return 0
}

# ---- small things ------------------------------------------------------------------------------

say() {
    printf 'brine-connect: %s\n' "$*"
}

warn() {
    printf 'brine-connect: %s\n' "$*" >&2
}

fail() {
    exit_code=$1
    shift
    warn "$*"
    exit "$exit_code"
}

# Without a terminal, what cannot be undone by removing a file or two needs --yes: the second value says so.
confirm() {
    [ -z "$is_yes" ] || return 0
    if ! [ -t 0 ]; then
        [ -z "$2" ] || fail 2 "this machine has an identity, and there is no terminal to ask on; give --yes to go on:
$1"
        return
    fi
    printf '%s' "$1" >&2
    ask "go on? [y/N] " ""
    case $answer in
        y | Y | yes) ;;
        *) fail 1 "stopped; nothing was changed" ;;
    esac
}

clean_up() {
    [ -z "$is_echo_off" ] || stty echo
    [ -z "$temp" ] || rm -f -- "$temp"
    [ -z "$stage" ] || rm -rf -- "$stage"
    [ -z "$work" ] || rm -rf -- "$work"
    printf '%s' "$made" | while IFS= read -r folder; do
        rmdir -- "$folder" 2>/dev/null
    done
    [ -z "$is_stopped" ] || warn "the service is stopped; start it with: systemctl start $service"
}

main "$@"
