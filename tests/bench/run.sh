#!/bin/sh
# Runs all benchmarks, and counts user instructions (valgrind) and system calls (strace) per echoed message
# where these tools are installed. Builds nothing.
#
#     run.sh [--rounds N] [FOLDER]      FOLDER: where the programs are (build/release/bench)
#     run.sh --counts [FOLDER]          only instructions and system calls
#     run.sh --tls [--rounds N] [FOLDER]    only what concerns TLS
set -eu

rounds=9
counts_only=false
tls_only=false
bin=build/release/bench

while [ $# -gt 0 ]; do
    case $1 in
    --rounds)
        rounds=${2:?--rounds N}
        shift 2
        ;;
    --counts)
        counts_only=true
        shift
        ;;
    --tls)
        tls_only=true
        shift
        ;;
    -*)
        sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    *)
        bin=$1
        shift
        ;;
    esac
done
if [ ! -x "$bin/echo" ] && [ ! -x "$bin/tls" ]; then
    echo "run.sh: no benchmarks in $bin (./dev bench builds them in build/release/bench)" >&2
    exit 1
fi

work=$(mktemp -d)
server=''
port=$((20000 + $$ % 10000))

clean_up() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

median() {
    sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# load CONNECTIONS MESSAGES, as $how says.
how=plain
load() {
    case $how in
    plain) "$bin/echo" --load "$port" "$1" "$2" ;;
    tls) "$bin/tls" --load "$port" "$1" 64 "$2" ;;
    handshakes) "$bin/tls" --greet "$port" "$2" ;;
    resumed) "$bin/tls" --greet "$port" "$2" resumed ;;
    esac
}

# under TOOL MESSAGES CONNECTIONS SERVER...: runs the server under the tool for so many messages.
under() {
    tool=$1 messages=$2 connections=$3
    shift 3
    port=$((port + 1))
    case $tool in
    callgrind)
        valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" "$port" 2>"$work/out" &
        ;;
    strace)
        # The server is our child, and strace its tracer in the background.
        strace -D -f -c -U name,calls -o "$work/out" "$@" "$port" 2>/dev/null &
        ;;
    esac
    server=$!
    tries=0
    until load 1 1 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ]; then
            echo "run.sh: $* did not start under $tool" >&2
            exit 1
        fi
        sleep 0.1
    done
    load "$connections" "$messages"
    kill -TERM "$server"
    wait "$server" 2>/dev/null || true
    server=''
}

instructions() {
    under callgrind "$@"
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$work/out"
}

system_calls() {
    : >"$work/out"
    under strace "$@"
    tries=0 # strace writes when the server is gone
    until grep -q total "$work/out" || [ "$tries" -gt 50 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    awk '$2 == "total" { print $1 } $1 == "total" { print $2 }' "$work/out"
}

# per_message COUNT CONNECTIONS MESSAGES SERVER...: the difference of a long and a short run, in which
# start-up does not count.
per_message() {
    count=$1 conns=$2 many=$3
    shift 3
    few=$((many < 1000 ? 20 : 1000))
    short=$($count $few "$conns" "$@")
    long=$($count $((many + few)) "$conns" "$@")
    awk "BEGIN { print ($long - $short) / $many }"
}

# row TITLE COUNT CONNECTIONS MESSAGES RUNS
row() {
    title=$1 what=$2 conn=$3 msgs=$4 runs=$5
    : >"$work/ours"
    : >"$work/bare"
    for _ in $(seq "$runs"); do
        per_message "$what" "$conn" "$msgs" "$bin/echo_server" >>"$work/ours"
        per_message "$what" "$conn" "$msgs" "$bin/echo" --bare >>"$work/bare"
    done
    ours=$(median <"$work/ours")
    bare=$(median <"$work/bare")
    awk -v t="$title" -v o="$ours" -v b="$bare" \
        'BEGIN { printf "| %-46s | %8.2f | %10.2f | %+10.2f |\n", t, o, b, o - b }'
}

# tls_row TITLE HOW COUNT CONNECTIONS MESSAGES
tls_row() {
    title=$1 how=$2 what=$3 conn=$4 msgs=$5
    echo 0 >"$work/libevent"
    for who in $("$bin/tls" --servers); do
        per_message "$what" "$conn" "$msgs" "$bin/tls" --serve "$who" >"$work/$who"
    done
    awk -v t="$title" -v e="$(cat "$work/eddy")" -v s="$(cat "$work/socket")" -v b="$(cat "$work/bio")" \
        -v l="$(cat "$work/libevent")" 'BEGIN { printf "| %-46s | %10.2f | %10.2f | %10.2f | %10.2f |\n", t, e, s, b, l }'
    how=plain
}

# The servers of tests/bench/tls.c; if libevent was not there when it was built, its figures are 0.
tls_counts() {
    [ -x "$bin/tls" ] || return 0
    printf '\nTLS, per echoed message of 64 B, or per handshake, echo and close\n'
    printf '| %-46s | %10s | %10s | %10s | %10s |\n' '' Eddy 'socket BIO' 'own BIO' libevent
    printf '|%s|%s:|%s:|%s:|%s:|\n' ------------------------------------------------ ----------- ----------- ----------- -----------
    if command -v valgrind >/dev/null; then
        tls_row 'user instructions, 50 connections' tls instructions 50 5000
        tls_row 'user instructions, 1 connection' tls instructions 1 5000
        tls_row 'user instructions, full handshake' handshakes instructions 1 100
        tls_row 'user instructions, resumed handshake' resumed instructions 1 100
    fi
    if command -v strace >/dev/null; then
        tls_row 'system calls, 50 connections' tls system_calls 50 5000
        tls_row 'system calls, 1 connection' tls system_calls 1 5000
        tls_row 'system calls, full handshake' handshakes system_calls 1 100
    fi
}

counts() {
    printf '\nper echoed message of 64 B (median of 5 runs, of 1 for system calls)\n'
    printf '| %-46s | %8s | %10s | %10s |\n' '' Eddy 'bare epoll' difference
    printf '|%s|%s:|%s:|%s:|\n' ------------------------------------------------ --------- ----------- -----------
    if command -v valgrind >/dev/null; then
        row 'user instructions, 50 connections (budget +130)' instructions 50 20000 5
        row 'user instructions, 1 connection' instructions 1 10000 5
    else
        echo "(no valgrind: instructions were not counted)"
    fi
    if command -v strace >/dev/null; then
        row 'system calls, 50 connections (budget +0)' system_calls 50 10000 1
        row 'system calls, 1 connection' system_calls 1 5000 1
    else
        echo "(no strace: system calls were not counted)"
    fi
}

if [ "$counts_only" = false ]; then
    programs='echo reply churn idle call_soon post timers tls tls_floods'
    [ "$tls_only" = false ] || programs='tls tls_floods'
    for name in $programs; do
        [ ! -x "$bin/$name" ] || "$bin/$name" --rounds "$rounds"
    done
fi
[ "$tls_only" = true ] || counts
tls_counts
