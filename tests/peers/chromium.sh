#!/bin/sh
# Installs Debian's Chromium for the browser tests (`pytest -m chromium`); does nothing where it is installed.
set -eu

browser=/usr/bin/chromium

if [ -x "$browser" ]; then
    echo "chromium: present, $("$browser" --version 2>/dev/null)"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "chromium: $browser is absent and this system has no apt-get; install Chromium with its package manager" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "chromium: $browser is absent and installing it needs root; run: sudo sh $0" >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# fonts-dejavu-core: without any font pages render as empty boxes, and recommended packages are left out.
apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core
echo "chromium: installed, $("$browser" --version 2>/dev/null)"
