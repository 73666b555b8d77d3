#!/usr/bin/env bash
# Telegraf for the comparison, built from its Go module with only the plugins that the comparison
# needs, into the user's cache under its version. What the module is made of is checked: the module
# itself by the hash below, what it needs by the sums that it carries.
#
# Where it cannot be built, one line says so and the exit code is 1.
set -euo pipefail

version=1.37.3
sum=h1:PDWww98QhadDryGPk0GtJSW0c87a/vEcp7fucez6xhc=
go_needed=1.25.7
plugins=inputs.mqtt_consumer,outputs.influxdb_v2,outputs.mqtt,inputs.mock,parsers.influx,parsers.json_v2,serializers.influx
cache=${XDG_CACHE_HOME:-$HOME/.cache}/greendc
program=$cache/telegraf-$version

say() { printf 'telegraf: %s\n' "$*"; }
give_up() {
    printf '!!! NO TELEGRAF: %s\n' "$*"
    exit 1
}

mkdir -p "$cache"
# Two runs at once would build twice: the second waits here and finds the first one's program.
if command -v flock >/dev/null; then
    exec 9>"$cache/telegraf.lock"
    flock 9
fi
if [ -x "$program" ]; then
    say "version $version is there: $program"
    exit 0
fi

go=$(command -v go || true)
[ -n "$go" ] || give_up "no Go here: install Go $go_needed or later"
export GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
found=$("$go" env GOVERSION)
[ "$(printf '%s\n' "$go_needed" "${found#go}" | sort -V | head -n1)" = "$go_needed" ] ||
    give_up "Go ${found#go} is too old: it takes $go_needed or later"

say "building version $version from its Go module"
begin=$(date +%s)
module=$("$go" mod download -json "github.com/influxdata/telegraf@v$version") ||
    give_up "the module cannot be had: $module"
field() { printf '%s' "$module" | sed -n "s/^\t\"$1\": \"\(.*\)\",\{0,1\}$/\1/p"; }
[ "$(field Sum)" = "$sum" ] || give_up "the module's hash is $(field Sum), not $sum"
nice "$go" build -C "$(field Dir)" -mod=readonly -trimpath -tags "custom,$plugins" \
    -ldflags "-s -w -X github.com/influxdata/telegraf/internal.Version=$version" \
    -o "$program.part" ./cmd/telegraf || give_up "building it failed"
timeout 30 "$program.part" --version >/dev/null || give_up "what was built does not start"
mv "$program.part" "$program"
say "built in $(($(date +%s) - begin)) s: $program"
