#!/bin/sh
# Builds promtool, Prometheus' own checker of rules, once and prints the path of its binary on the last line.
#
# It is built inside a module made for it: Prometheus' own has exclude directives, which `go install` refuses.
# The binary is kept under ${XDG_CACHE_HOME:-$HOME/.cache}/spanward/peers/. Everything but the last line goes to stderr.
set -eu

version=v0.307.3
peers=${XDG_CACHE_HOME:-$HOME/.cache}/spanward/peers
binary=$peers/promtool-$version

if [ ! -x "$binary" ]; then
    if ! command -v go >/dev/null; then
        echo "promtool: cannot build it: the 'go' command is not on PATH; install Go 1.25 or later (https://go.dev/dl)" >&2
        exit 69
    fi
    mkdir -p "$peers"
    work=$(mktemp -d "$peers/promtool.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    go mod init promtool >&2
    go get "github.com/prometheus/prometheus/cmd/promtool@$version" >&2
    go build -o promtool github.com/prometheus/prometheus/cmd/promtool >&2
    mv promtool "$binary"
fi
echo "$binary"
