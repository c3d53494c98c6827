#!/bin/sh
# Builds kube-apiserver and etcd, the API of Kubernetes and its store, once and prints the folder of both on the last line.
#
# Kubernetes' own module takes its libraries from folders beside it, which a release has under versions of their own: v1.36.3 has
# v0.36.3. So it is built inside a module made for it, as promtool is. The binaries are kept under
# ${XDG_CACHE_HOME:-$HOME/.cache}/spanward/peers/. Everything but the last line goes to stderr.
set -eu

version=36.3
etcd=v3.6.8 # that of Kubernetes' own go.mod
peers=${XDG_CACHE_HOME:-$HOME/.cache}/spanward/peers
folder=$peers/kubernetes-v1.$version

if [ ! -d "$folder" ]; then
    if ! command -v go >/dev/null; then
        echo "kubernetes: cannot build it: the 'go' command is not on PATH; install Go 1.26 or later (https://go.dev/dl)" >&2
        exit 69
    fi
    echo "kubernetes: building v1.$version with $(go version); the first time takes ten minutes" >&2
    mkdir -p "$peers"
    work=$(mktemp -d "$peers/kubernetes.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir "$work/built"
    cd "$work"
    go mod init kubernetes >&2
    its_own=$(go mod download -json "k8s.io/kubernetes@v1.$version" | sed -n 's/^.*"GoMod": "\(.*\)",$/\1/p')
    sed -n "s#^.*\(k8s.io/[a-z-]*\) => ./staging/.*#-replace=\1=\1@v0.$version#p" "$its_own" |
        xargs go mod edit "-require=k8s.io/kubernetes@v1.$version"
    go get "k8s.io/kubernetes/cmd/kube-apiserver@v1.$version" "go.etcd.io/etcd/server/v3@$etcd" >&2
    nice go build -ldflags "-s -w" -o built/etcd go.etcd.io/etcd/server/v3 >&2
    nice go build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v1.$version" \
        -o built/kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver >&2
    mv -T built "$folder"
fi
echo "$folder"
