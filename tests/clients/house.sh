# What every run of other people's clients needs: the binary to try, a place to install clients to,
# and a fresh home for each. Sourced by the scripts here and beside, not run.
#
# PETTYCASH_BIN names the binary, the release build if it is not set. Clients are installed under
# the target directory, once for each state of their lock files.
# shellcheck shell=bash

clients=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$clients/../../target}
mkdir -p "$target/clients"
cache=$(cd "$target/clients" && pwd)

export PETTYCASH_BIN=${PETTYCASH_BIN:-$cache/../release/pettycash}
if [[ ! -x $PETTYCASH_BIN ]]; then
    echo "error: there is no pettycash at $PETTYCASH_BIN" >&2
    echo "hint: cargo build --release, or set PETTYCASH_BIN" >&2
    exit 2
fi
PETTYCASH_BIN=$(cd "$(dirname "$PETTYCASH_BIN")" && pwd)/$(basename "$PETTYCASH_BIN")

# install_python NAME REQUIREMENTS: a virtual environment of its own, for they do not all agree.
install_python() {
    local into=$cache/$1
    cmp -s "$2" "$into/installed.txt" && return
    python3 -m venv --clear "$into"
    "$into/bin/pip" install --quiet --disable-pip-version-check --requirement "$2" >&2
    cp "$2" "$into/installed.txt"
}

open_home() {
    "$PETTYCASH_BIN" agent create scout --cap 5.00/day --per-call 0.25 --funding allowance &&
        "$PETTYCASH_BIN" service add search --payee "Acme Search" --price 0.02 &&
        "$PETTYCASH_BIN" service add report --payee "Acme Reports" --no-price
} >>"$log" 2>&1

# A client's tidy answers prove little if the books behind them do not hold.
verify() {
    local said
    said=$("$PETTYCASH_BIN" verify 2>&1) && [[ -z $said ]] && return
    echo "pettycash verify: ${said:-failed without a word}" >>"$log"
    return 1
}

# The first command above started a server of its own, which ends when its directory is gone.
close_home() {
    local pid='' tries=50
    [[ -f $PETTYCASH_HOME/serve.json ]] &&
        pid=$(sed -n 's/.*"pid" *: *\([0-9][0-9]*\).*/\1/p' "$PETTYCASH_HOME/serve.json")
    rm -rf "$PETTYCASH_HOME"
    [[ -n $pid ]] || return 0
    while ((tries-- > 0)); do
        # A process that ended but that nobody has collected yet still has a line, in state Z.
        case $(ps -o stat= -p "$pid" || true) in '' | Z*) return 0 ;; esac
        sleep 0.1
    done
    echo "the server of this home, $pid, is still there 5 s after its directory is gone" >>"$log"
    kill "$pid"
    return 1
}

# Where the client comes over HTTP: a server that listens, in place of the one that was started by
# the first command, and a token. `fixtures` is one with other tools, which `run` builds.
listen() {
    local serve=("$PETTYCASH_BIN" serve --listen 127.0.0.1:0)
    [[ $1 == fixtures ]] && serve=("$target/debug/examples/fixtures")
    "${serve[@]}" 2>>"$log" &
    local serving=$! tries=100
    until grep -q "\"pid\":$serving.*listen" "$PETTYCASH_HOME/serve.json" 2>/dev/null; do
        ((tries-- > 0)) || return 1
        sleep 0.1
    done
    PETTYCASH_URL=http://$(sed -n 's/.*"listen":"\([^"]*\)".*/\1/p' "$PETTYCASH_HOME/serve.json")
    PETTYCASH_TOKEN=$("$PETTYCASH_BIN" agent token scout 2>>"$log")
    export PETTYCASH_URL PETTYCASH_TOKEN
}

prepare() {
    open_home || return 1
    [[ $1 == stdio ]] || listen "$1"
}

# check OVER COMMAND...: runs a client in a home of its own; it comes over stdio, http or sse, or
# over http to the fixtures.
check() {
    local over=$1
    shift
    : >"$log"
    if prepare "$over" && "$@" 2>>"$log" && verify && close_home; then return; fi
    echo "FAILED over $over: $*"
    cat "$log"
    [[ -f $PETTYCASH_HOME/serve.log ]] && tail -n 20 "$PETTYCASH_HOME/serve.log"
    close_home || true
    failed=1
}

# Nothing after this may read or write what belongs to the person who runs it: the Inspector keeps
# settings in the home directory, pettycash a file or two beside its own home. Call it once
# everything is installed.
live_apart() {
    work=$(mktemp -d)
    mkdir "$work/user"
    export HOME=$work/user PETTYCASH_HOME=$work/home
    unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME XDG_RUNTIME_DIR
    # As at a terminal of the operator's, also where an AI agent runs this.
    unset CLAUDECODE CLAUDE_CODE_ENTRYPOINT CURSOR_AGENT GEMINI_CLI CLINE_ACTIVE OPENCODE "${!CODEX_@}"
    log=$work/log
    trap 'close_home || true; rm -rf "$work"' EXIT
    failed=0
}
