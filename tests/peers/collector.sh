#!/usr/bin/env bash
# Builds the OpenTelemetry Collector of otelcol-builder.yaml once and prints the path of its binary on the last line.
#
# The binary is kept under ${XDG_CACHE_HOME:-$HOME/.cache}/spanward/peers/, named by the manifest's checksum, so that
# a changed manifest is built anew and an unchanged one never twice. Everything but the last line goes to stderr.
set -euo pipefail

version=v0.161.0
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
manifest=$here/otelcol-builder.yaml
peers=${XDG_CACHE_HOME:-$HOME/.cache}/spanward/peers
checksum=$(sha256sum "$manifest" | cut -c1-12)
binary=$peers/otelcol-$version-$checksum

say() { printf 'collector: %s\n' "$*" >&2; }

if [[ -x $binary ]]; then
    printf '%s\n' "$binary"
    exit 0
fi

if ! command -v go >/dev/null; then
    say "cannot build the Collector: the 'go' command is not on PATH"
    say "install Go 1.25 or later (https://go.dev/dl), or point at a built Collector with: spanward bench --peer PATH"
    exit 69
fi

mkdir -p "$peers"
exec 9>"$peers/build.lock"
if command -v flock >/dev/null; then
    flock 9
fi
if [[ ! -x $binary ]]; then
    say "building $version with $(go version); the first time takes several minutes"
    work=$(mktemp -d "$peers/build.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp "$manifest" "$work/manifest.yaml"
    (cd "$work" && nice go run "go.opentelemetry.io/collector/cmd/builder@$version" --config manifest.yaml) >&2
    mv "$work/build/otelcol" "$binary"
    say "built $("$binary" --version)"
fi
printf '%s\n' "$binary"
