#!/bin/sh
# Builds h2spec, the conformance tester of HTTP/2, once and prints the path of its binary on the last line.
#
# v2.2.1 is the newest version that Go's module rules can name: later ones lack the /v2 in their module path.
# The binary is kept under ${XDG_CACHE_HOME:-$HOME/.cache}/spanward/peers/. Everything but the last line goes to stderr.
set -eu

version=v2.2.1+incompatible
peers=${XDG_CACHE_HOME:-$HOME/.cache}/spanward/peers
binary=$peers/h2spec-$version

if [ ! -x "$binary" ]; then
    if ! command -v go >/dev/null; then
        echo "h2spec: cannot build it: the 'go' command is not on PATH; install Go 1.25 or later (https://go.dev/dl)" >&2
        exit 69
    fi
    mkdir -p "$peers"
    work=$(mktemp -d "$peers/h2spec.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    GOBIN="$work" go install "github.com/summerwind/h2spec/cmd/h2spec@$version" >&2
    mv "$work/h2spec" "$binary"
fi
echo "$binary"
