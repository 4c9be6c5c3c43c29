#!/usr/bin/env bash
# Cuts the power for real, again and again: `serve` pays on a file system of its own on a loop
# device, and what has reached the device at some moment is all that is left. Every payment that
# was acknowledged must be there and the record must verify. A file that was never synced must be
# gone, or the cut was none. Needs root, ext4 and loop devices; for Linux only.
#
#   tests/power_cut.sh [ROUNDS] [PROGRAM]
set -euo pipefail

rounds=${1:-20}
program=$(realpath "${2:-$(dirname "${BASH_SOURCE[0]}")/../target/debug/pettycash}")
work=$(mktemp -d)
disk=$work/disk mount=$work/mount
mkdir "$mount"
serve=
cleanup() {
    [[ -n $serve ]] && kill -9 "$serve" 2>/dev/null
    for job in $(jobs -p); do kill "$job" 2>/dev/null; done
    wait
    mountpoint -q "$mount" && umount "$mount"
    rm -rf "$work"
}
trap cleanup EXIT

export PETTYCASH_HOME=$mount/home XDG_STATE_HOME=$mount/state PETTYCASH_LOG=error

# The system writes nothing by itself while a round lasts: only what is synced gets to the device.
attach() { mount -o loop,commit=600 "$1" "$mount"; }

start() {
    "$program" serve >"$work/serve.log" 2>&1 &
    serve=$!
    for _ in $(seq 200); do
        "$program" agent list >/dev/null 2>&1 && [[ -S $PETTYCASH_HOME/agent.sock ]] && return
        sleep 0.05
    done
    echo "serve does not listen"; cat "$work/serve.log"; exit 1
}

pay() {
    local answer
    while answer=$("$program" pay scout search --json 2>/dev/null); do
        sed -n 's/.*"payment_id": *"\(pay_[^"]*\)".*/\1/p' <<<"$answer" >>"$work/acknowledged.$1"
    done
}

truncate -s 192M "$disk"
mkfs.ext4 -q "$disk"
attach "$disk"
start
"$program" service add search --payee Acme --price 0.01 >/dev/null
"$program" agent create scout --funding allowance --cap 100000.00/lifetime >/dev/null
kill "$serve"; wait "$serve" || true
umount "$mount"

lost_unsynced=0
for round in $(seq "$rounds"); do
    attach "$disk"
    start
    payers=()
    # Each in a group of its own, with the client it runs: one that lives on would start a serve.
    set -m
    for n in 1 2 3; do pay "$n" & payers+=("-$!"); done
    set +m
    sleep "$(printf '0.%03d' $((RANDOM % 700 + 250)))"
    echo "never synced" >"$mount/canary"
    kill -STOP "$serve"
    cp --sparse=always "$disk" "$work/cut"
    # Whoever waits for an answer gets none: only what was answered before the cut counts.
    kill -9 -- "${payers[@]}" 2>/dev/null || true
    kill -9 "$serve"
    wait 2>/dev/null || true
    serve=
    umount "$mount"
    mv "$work/cut" "$disk"
    attach "$disk"
    [[ -s $mount/canary ]] || lost_unsynced=$((lost_unsynced + 1))
    rm -f "$mount/canary"
    start
    "$program" verify
    "$program" ledger scout --json --limit 1000000 >"$work/ledger"
    cat "$work"/acknowledged.* 2>/dev/null | sort -u >"$work/acknowledged" || true
    grep -o 'pay_[A-Za-z0-9_]*' "$work/ledger" | sort -u >"$work/recorded"
    missing=$(comm -23 "$work/acknowledged" "$work/recorded")
    [[ -z $missing ]] || { echo "round $round lost: $missing"; exit 1; }
    kill "$serve"; wait "$serve" || true
    serve=
    umount "$mount"
done
acknowledged=$(wc -l <"$work/acknowledged")
echo "$rounds cuts, $acknowledged payments acknowledged, none lost; $lost_unsynced cuts lost what was not synced"
[[ $lost_unsynced -gt 0 && $acknowledged -gt 0 ]]
