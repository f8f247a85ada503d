# Rikki's chores. `make` lists them; `make test` is what CI runs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GOFUMPT  := v0.12.0
LINT     := v2.15.0

# Per package. A package that needs longer has a hanging test.
TIMEOUT  := 40m
# Packages tested at once: each of them runs a mongod of its own beside its tests. One more than two cores have, as tests of
# faults wait for most of their time.
PARALLEL := 3
# How often `make prove` does what a test of faults does once.
ROUNDS   := 20

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: quick
quick: bin/.gofumpt-$(GOFUMPT) ## What needs no server, in less than a minute: format, vet, the tests without MongoDB
	@.ci/format
	@.ci/modules go vet ./...
	@RIKKI_TEST_URI=none .ci/modules go test -short -timeout $(TIMEOUT) ./...

.PHONY: test
test: ## Everything CI checks: tools, format, module files, vet, lint, other platforms, tests with the race detector
	@rm -f bin/timings
	@.ci/step tools $(MAKE) --no-print-directory tools
	@.ci/step format .ci/format
	@.ci/step tidy .ci/modules go mod tidy -diff
	@.ci/step vet .ci/modules go vet ./...
	@.ci/step lint .ci/modules golangci-lint run
	@.ci/step cross .ci/modules $(CURDIR)/.ci/cross darwin/arm64 windows/amd64
	@cat bin/timings
	@.ci/step test .ci/tests $(TIMEOUT) $(PARALLEL)

.PHONY: prove
prove: ## What takes an hour or more: mutants, random generators, long chaos and soak, 20 rounds of each fault
	@rm -f bin/timings
	@.ci/step mutate go run ./internal/cmd/mutate
	@.ci/step fuzz .ci/fuzz
	@.ci/step chaos env RIKKI_CHAOS=2m go test -count=1 -timeout 30m -run 'TestServeSurvives|TestManySchedulersFireEachSlotOnce' -v . ./schedule
	@.ci/step soak env RIKKI_SOAK=15m go test -count=1 -timeout 1h -run Soak -v ./internal/faults
	@.ci/step faults env RIKKI_FAULTS=$(ROUNDS) go test -count=1 -timeout 10h -p 1 ./internal/faults ./backfill
	@cat bin/timings

.PHONY: check
check: ## Tests of the packages in PKG (default all) without the race detector, for the time between edits
	go test -timeout $(TIMEOUT) -p $(PARALLEL) $(or $(PKG),./...)

.PHONY: lint
lint: bin/.golangci-lint-$(LINT) ## Run the linters of .golangci.yml
	@.ci/modules golangci-lint run

.PHONY: fmt
fmt: bin/.gofumpt-$(GOFUMPT) ## Format all Go files
	@git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 -r ls -d 2>/dev/null | xargs -r bin/gofumpt -w

.PHONY: cross
cross: ## Compile for linux/arm64, darwin/arm64 and windows/amd64
	@.ci/modules $(CURDIR)/.ci/cross linux/arm64 darwin/arm64 windows/amd64

.PHONY: cover
cover: ## Coverage of the root module, as a list and as bin/cover.html
	@mkdir -p bin
	go test -timeout $(TIMEOUT) -p $(PARALLEL) -coverpkg ./... -coverprofile bin/cover.out ./...
	@go tool cover -html bin/cover.out -o bin/cover.html
	@go tool cover -func bin/cover.out | tail -1

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s)
	@.ci/fuzz

.PHONY: mutate
mutate: ## Take safeguards out of the code, one at a time: a test must notice each
	go run ./internal/cmd/mutate

.PHONY: bench
bench: ## Measure Rikki against its peers, scripts and backfills: tables, and JSON in bench/
	cd bench && go run . && go run ./backfill -json backfill.json

.PHONY: docs
docs: ## Rewrite the snippets and tables in the docs, and api.txt, from the code
	go test ./internal/arch -update

.PHONY: tools
tools: bin/.gofumpt-$(GOFUMPT) bin/.golangci-lint-$(LINT) ## Fetch the tools into ./bin

# A stamp per version: another version in this file means another build.
bin/.gofumpt-$(GOFUMPT):
	@$(call fetch,gofumpt,mvdan.cc/gofumpt@$(GOFUMPT),$@)

bin/.golangci-lint-$(LINT):
	@$(call fetch,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT),$@)

define fetch
mkdir -p bin && rm -f bin/.$(1)-v* && echo "    $(2)" && GOFLAGS= GOWORK=off GOBIN=$(CURDIR)/bin go install $(2) && touch $(3)
endef

.PHONY: clean
clean: ## Remove ./bin
	rm -rf bin
