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
	build/asan/sim $(SEEDS) $(FIRST)

.PHONY: sim

$(B)/wire_gen: $(call obj,tests/interop/wire/wire_gen.c tests/wire/random.c) $(LIB)
	$(CC) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)
