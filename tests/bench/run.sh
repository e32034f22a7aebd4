#!/bin/sh
# Runs all benchmarks, and counts user instructions (valgrind) and system calls (strace) per echoed message
# where these tools are installed. Builds nothing.
#
#     run.sh [--rounds N] [FOLDER]      FOLDER: where the programs are (build/release/bench)
#     run.sh --counts [FOLDER]          only instructions and system calls
set -eu

rounds=9
counts_only=false
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
    -*)
        sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    *)
        bin=$1
        shift
        ;;
    esac
done
if [ ! -x "$bin/echo" ]; then
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
    until "$bin/echo" --load "$port" 1 1 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ]; then
            echo "run.sh: $* did not start under $tool" >&2
            exit 1
        fi
        sleep 0.1
    done
    "$bin/echo" --load "$port" "$connections" "$messages"
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
    short=$($count 1000 "$conns" "$@")
    long=$($count $((many + 1000)) "$conns" "$@")
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
    for name in echo reply churn idle call_soon post timers; do
        "$bin/$name" --rounds "$rounds"
    done
fi
counts
