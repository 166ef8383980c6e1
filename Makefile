# What is done by hand or by CI. Everything runs in the root of the repository; only Go is needed.

# buf and the linters are built from tools/go.mod. GOWORK=off: go does not take -modfile within a workspace.
TOOL := GOWORK=off go tool -modfile=tools/go.mod

.PHONY: all generate lint test bench soak sim

all: generate lint test

# Writes what is made from something else: the Go of the protos and the policy reference. The schema comes first, since
# the generator is built on it.
generate:
	$(TOOL) buf generate --template buf.gen.schema.yaml
	$(TOOL) buf generate
	go run ./internal/docgen

# Checks without running: format, vet, staticcheck, and the style of the protos.
lint:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; }
	go vet work
	$(TOOL) staticcheck ./...
	cd test && GOWORK=off go tool -modfile=../tools/go.mod staticcheck ./...
	cd runtime/discovery/etcd && GOWORK=off go tool -modfile=../../../tools/go.mod staticcheck ./...
	cd example/etcd && GOWORK=off go tool -modfile=../../tools/go.mod staticcheck ./...
	cd bench && GOWORK=off go vet ./... && GOWORK=off go tool -modfile=../tools/go.mod staticcheck ./...
	$(TOOL) buf lint

# Every module of the workspace, with the race detector.
test:
	go test -race work

# Ten minutes of calls while servers come and go through etcd, and etcd restarts. SOAK sets another time: make soak SOAK=1h
SOAK ?= 10m
soak:
	cd test && go test -race -v -timeout 0 ./soak -soak $(SOAK)

# Benchmarks alone. BENCH chooses some: make bench BENCH=Pick
BENCH ?= .
bench:
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...
	cd bench && GOWORK=off go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

# The simulation of load balancing: the pictures and tables of docs/balancing, in about three minutes of one core.
sim:
	cd bench && GOWORK=off go run ./sim/cmd
