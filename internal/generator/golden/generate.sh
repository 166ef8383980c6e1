#!/bin/sh
# Regenerates the messages and stubs that the goldens are compiled with. It needs buf, protoc-gen-go and
# protoc-gen-go-grpc in PATH. The goldens themselves are rewritten by: go test ./internal/generator -update
set -eu
golden=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$golden/../../../proto/goresilient" "$work"
for folder in "$golden"/*/; do cp -R "${folder%/}" "$work"; done
cat >"$work/buf.yaml" <<'YAML'
version: v2
YAML
cat >"$work/buf.gen.yaml" <<'YAML'
version: v2
plugins:
  - {local: protoc-gen-go, out: gen, opt: paths=source_relative}
  - {local: protoc-gen-go-grpc, out: gen, opt: paths=source_relative}
YAML
cd "$work"
buf generate
rm -rf gen/goresilient
cp -R gen/. "$golden"
