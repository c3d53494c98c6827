#!/usr/bin/env bash
# Makes the environment of a real Triton server once and prints the path of its interpreter on the last line.
#
# The server is the one that nvidia-pytriton ships; it needs numpy below 2, and so an environment of its own. It is kept
# under ${XDG_CACHE_HOME:-$HOME/.cache}/spanward/peers/, unless a folder is given; Spanward in it is that of this checkout. All but the
# last line goes to stderr.
set -euo pipefail

readonly version=0.7.0 edition=2 # of what is installed beside it
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/spanward/peers/pytriton-$version-$edition}

if [[ ! -e $folder/complete ]]; then
    python3 -m venv --clear "$folder" >&2
    "$folder/bin/pip" install --quiet "nvidia-pytriton==$version" 'numpy<2' 'opentelemetry-exporter-otlp>=1.45' \
        opentelemetry-instrumentation 'xxhash>=3.5' hatchling editables >&2
    touch "$folder/complete"
fi
"$folder/bin/pip" install --quiet --no-deps --no-build-isolation --editable "$(dirname "$0")/../.." >&2
printf '%s\n' "$folder/bin/python"
