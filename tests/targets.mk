# The targets that people type, beyond `all`.

help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile tests/targets.mk | sed -E 's/:.*## /\t/' | expand -t 16

unit: ## every unit test, with sanitizers (ONLY=pattern for some)
	@$(MAKE) --no-print-directory V=asan build/asan/unit build/asan/unit_uv
	build/asan/unit $(ONLY)
	build/asan/unit_uv $(ONLY)

.PHONY: help unit

SEEDS ?= 200
sim: ## SEEDS=n seeds of every scenario, and one seed twice in different processes (FIRST=n)
	@$(MAKE) --no-print-directory V=asan build/asan/sim
	tests/sim/test_repeat.sh build/asan/sim
	tests/sim/canaries.sh
	build/asan/sim $(SEEDS) $(FIRST)

.PHONY: sim

$(B)/wire_gen: $(call obj,tests/interop/wire/wire_gen.c tests/wire/random.c) $(LIB)
	$(CC) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)

# Every tests/fuzz/fuzz_NAME.c is a target, and built a second time with its planted bug.
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_WITH = $(call obj,tests/wire/random.c $(SIM_SRC)) $(LIB)
SECONDS ?= 60
fuzz: ## SECONDS=n of fuzzing, shared by every decoder; the planted bug must be found first
	@$(MAKE) --no-print-directory V=fuzz CC=clang WERROR= fuzz-build
	tests/fuzz/run.sh build/fuzz $(SECONDS)
fuzz-build: $(FUZZ:%=$(B)/fuzz_%) $(FUZZ:%=$(B)/canary_%)
$(B)/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h $(FUZZ_WITH)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -fsanitize=fuzzer,address,undefined $< $(FUZZ_WITH) -o $@ $(LIBS)
$(B)/canary_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h $(FUZZ_WITH)
	$(CC) $(ALL_CFLAGS) -DFUZZ_CANARY $(ALL_LDFLAGS) -fsanitize=fuzzer,address,undefined $< $(FUZZ_WITH) -o $@ $(LIBS)

interop-wire: ## the codec beside Kafka's own classes, both ways (SEED=n ROUNDS=n; needs Java and Maven)
	tests/interop/wire/run.sh $(SEED) $(ROUNDS)

.PHONY: fuzz fuzz-build interop-wire

# What a newcomer and a packager type. DATA and PORT are make run's.
DATA ?= ./data
PORT ?= 9092
run: ## install what is missing, build, and run one node on 127.0.0.1:9092 (DATA=dir PORT=n)
	@deploy/packages.sh $(BUILD_PACKAGES)
	@$(MAKE) --no-print-directory all
	@exec ./build/opt/weir server --data $(DATA) --port $(PORT)

PREFIX ?= /usr/local
DESTDIR ?=
SCRIPTS = $(shell sed -nE 's/^COMMAND\([^)]*"(kafka-[a-z-]+\.sh)".*/\1/p' tools/commands.def)
install: all ## both programs, and Kafka's script names for them (DESTDIR, PREFIX=/usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 build/opt/weir build/opt/weir-console $(DESTDIR)$(PREFIX)/bin
	@for name in $(SCRIPTS); do ln -sf weir $(DESTDIR)$(PREFIX)/bin/$$name; done

.PHONY: run install

$(B)/bench_load: tests/bench/load.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $< -o $@ -lrdkafka
$(B)/bench_floor: tests/bench/floor.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $< -o $@ -lisal
SCALE ?= 0.3
bench: ## weir beside Apache Kafka, figures and ratios (SCALE=gigabytes ONLY=groups SYSTEM=kafka,weir; needs Java and Maven)
	@$(MAKE) --no-print-directory all $(B)/bench_load $(B)/bench_floor
	/usr/bin/python3 tests/bench/bench.py --scale $(SCALE) $(if $(ONLY),--only $(ONLY)) $(if $(SYSTEM),--system $(SYSTEM)) --out build/bench.json


# Rows of the product's trace go through the bench: it notes the pauses of the control loop.
$(B)/bench_metadata: $(call obj,tests/bench/metadata.c tests/bench/meta_node.c $(UV_SRC)) $(LIB)
	@echo "  ld $@"; $(CC) $(ALL_LDFLAGS) -Wl,--wrap=trace_emit $^ -o $@ $(LIBS)
$(B)/bench_commits: $(call obj,tests/bench/commits.c tests/bench/meta_node.c $(UV_SRC)) $(LIB)
	@echo "  ld $@"; $(CC) $(ALL_LDFLAGS) -Wl,--wrap=trace_emit $^ -o $@ $(LIBS)
TOPICS ?= 10000
PARTITIONS ?= 100
bench-metadata: ## one image of a million partitions: memory, snapshot, start, diff, pauses; commits (TOPICS=n PARTITIONS=n each)
	@$(MAKE) --no-print-directory V=opt build/opt/bench_metadata build/opt/bench_commits
	@rm -rf build/bench-metadata build/bench-metadata.json && mkdir -p build/bench-metadata
	@export WEIR_BENCH_JSON=build/bench-metadata.json; \
		build/opt/bench_metadata build build/bench-metadata $(TOPICS) $(PARTITIONS) && \
		build/opt/bench_metadata start build/bench-metadata && \
		mkdir -p build/bench-metadata/1 build/bench-metadata/3 && \
		build/opt/bench_commits build/bench-metadata/1 1 && build/opt/bench_commits build/bench-metadata/3 3 crash && \
		build/opt/bench_commits build/bench-metadata/3 3
	@rm -rf build/bench-metadata

.PHONY: bench bench-metadata

# ---- what .ci/run runs: each ends with one line `N passed, N failed` ----

OUT := build/results
packages: ## install Debian's packages that building and testing need, if any is missing
	@deploy/packages.sh $(BUILD_PACKAGES) $(TEST_PACKAGES)

TEST_SEEDS ?= 40
test: packages ## unit tests, simulation, Debian's clients, all with sanitizers
	@$(MAKE) --no-print-directory V=asan build/asan/weir build/asan/weir-console build/asan/unit build/asan/unit_uv \
		build/asan/sim
	@mkdir -p $(OUT)
	@tests/results.sh unit build/asan/unit
	@tests/results.sh unit_uv build/asan/unit_uv
	@tests/results.sh sim build/asan/sim $(TEST_SEEDS)
	@tests/results.sh repeat tests/sim/test_repeat.sh build/asan/sim
	@tests/results.sh clients tests/clients/run.py asan
	@$(MAKE) --no-print-directory real-build
	@tests/results.sh real tests/real/run.py
	@tests/results.sh dump tests/tools/test_dump.sh build/asan/weir
	@tests/results.sh tools tests/tools/test_tools.py build/asan
	@tests/results.sh metadata tests/tools/test_metadata.py build/asan
	@python3 tests/clients/tally.py $(addprefix $(OUT)/,unit unit_uv sim repeat clients real dump tools metadata)

tidy: packages ## directions, seams, calls to the outside, globals, lengths, dead files, formatting
	@$(MAKE) --no-print-directory V=opt build/opt/weir
	@mkdir -p $(OUT)
	@tests/results.sh tidy-test tests/tidy_test.py
	@tests/results.sh tidy tests/tidy.py --build build/opt
	@python3 tests/clients/tally.py $(addprefix $(OUT)/,tidy-test tidy)

interop: packages ## clients of other languages and Kafka's tools, beside Kafka itself (ONLY=name,…)
	@$(MAKE) --no-print-directory V=opt build/opt/weir build/opt/weir-console build/opt/wire_gen
	tests/interop/run.py $(if $(ONLY),--only $(ONLY))

.PHONY: packages test tidy interop

fmt: ## formats every source as make tidy wants it
	git ls-files '*.[ch]' | xargs clang-format -i

.PHONY: fmt

tools-test: all ## commands against a real node, and dump against Kafka's own text
	tests/tools/test_dump.sh build/opt/weir
	tests/tools/test_tools.py build/opt
	tests/tools/test_metadata.py build/opt

.PHONY: tools-test

real-build:
	@$(MAKE) --no-print-directory V=opt build/opt/weir
	@$(MAKE) --no-print-directory V=asan build/asan/weir build/asan/wire_gen
real: real-build ## kill -9, full and dying disks, signals, hostile clients, for real (ONLY=pattern ROUNDS=n kills)
	tests/real/run.py $(if $(ONLY),--only '$(ONLY)')

asan: test ## the tests with AddressSanitizer: all of them
tsan: ## threads for real, with ThreadSanitizer: no report, no suppression
	@$(MAKE) --no-print-directory V=tsan build/tsan/unit_uv build/tsan/weir
	@$(MAKE) --no-print-directory V=asan build/asan/wire_gen
	build/tsan/unit_uv
	tests/real/run.py --tsan

.PHONY: real real-build asan tsan
