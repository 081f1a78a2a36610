# weir. `make help` says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all

BUILD_PACKAGES := gcc libc6-dev make python3 pkg-config libuv1-dev libraft-dev libzstd-dev liblz4-dev libsnappy-dev \
	zlib1g-dev libisal-dev libprotobuf-c-dev protobuf-c-compiler librdkafka-dev libjansson-dev libedit-dev
TEST_PACKAGES := kcat python3-confluent-kafka clang-format clang libclang-rt-14-dev iproute2 e2fsprogs

V ?= opt
B := build/$(V)
GEN := build/gen

CC := gcc
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wundef -Wno-unused-parameter
WERROR ?= -Werror
CFLAGS.opt := -O2 -g1 -fno-omit-frame-pointer
CFLAGS.asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS.tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
CFLAGS.fuzz := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LDFLAGS.asan := -fsanitize=address,undefined
LDFLAGS.tsan := -fsanitize=thread
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -I. -isystem $(GEN) $(WARN) $(WERROR) $(CFLAGS.$(V)) -fno-common -pthread \
	-ffunction-sections -fdata-sections $(CFLAGS)
ALL_LDFLAGS := $(LDFLAGS.$(V)) -pthread -Wl,--gc-sections $(LDFLAGS)
LIBS := -l:libraft.a -luv -lzstd -llz4 -lsnappy -lz -lisal -lprotobuf-c -ljansson -lm
CONSOLE_LIBS := -lrdkafka -ledit

# Sources: what lies in a product folder is built; nothing else needs to know.
LIB_SRC := $(sort $(shell find base proto log metadata quorum broker tools -name '*.c' \
	! -path 'base/io_uv*.c' ! -path tools/weir.c ! -path 'tools/console/*'))
UV_SRC := $(sort $(wildcard base/io_uv*.c))
SIM_SRC := $(sort $(filter-out tests/sim/main.c,$(wildcard tests/sim/*.c)))
UNIT_SRC := $(sort $(shell find tests/unit tests/wire -name '*.c'))
UNIT_UV_SRC := $(sort $(shell find tests/unit_uv -name '*.c'))
CONSOLE_SRC := $(sort $(wildcard tools/console/*.c))
GEN_SRC := $(GEN)/proto_gen.c $(GEN)/records.pb-c.c
GEN_STAMP := $(GEN)/.done

obj = $(patsubst %.c,$(B)/%.o,$(1))
LIB := $(B)/libweir.a

all: $(B)/weir $(B)/weir-console ## build both programs (into build/opt)
	@ln -sf $(B)/weir weir

include tests/targets.mk

$(GEN_STAMP): proto/gen.py $(wildcard proto/schema/*.msg proto/records/*.msg) proto/records.proto
	@mkdir -p $(GEN)
	python3 proto/gen.py --out $(GEN) proto/schema proto/records
	protoc-c --c_out=$(GEN) --proto_path=proto proto/records.proto
	@touch $@
$(GEN_SRC): $(GEN_STAMP)

$(B)/%.o: %.c $(GEN_STAMP)
	@mkdir -p $(@D)
	@echo "  cc $<"; $(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
$(B)/build/gen/%.o: $(GEN)/%.c $(GEN_STAMP)
	@mkdir -p $(@D)
	@echo "  cc $<"; $(CC) $(ALL_CFLAGS) -Wno-error -w -MMD -MP -c $< -o $@

$(LIB): $(call obj,$(LIB_SRC) $(GEN_SRC))
	@rm -f $@
	@ar rcs $@ $^
$(B)/weir: $(B)/tools/weir.o $(call obj,$(UV_SRC)) $(LIB)
	@echo "  ld $@"; $(CC) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)
$(B)/weir-console: $(call obj,$(CONSOLE_SRC) $(UV_SRC)) $(LIB)
	@echo "  ld $@"; $(CC) $(ALL_LDFLAGS) $^ -o $@ $(CONSOLE_LIBS) $(LIBS)
$(B)/unit: $(call obj,$(UNIT_SRC) $(SIM_SRC) tests/check.c) $(LIB)
	@echo "  ld $@"; $(CC) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)
$(B)/unit_uv: $(call obj,$(UNIT_UV_SRC) $(UV_SRC) tests/check.c) $(LIB)
	@echo "  ld $@"; $(CC) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)
$(B)/sim: $(call obj,tests/sim/main.c $(SIM_SRC)) $(LIB)
	@echo "  ld $@"; $(CC) $(ALL_LDFLAGS) $^ -o $@ $(LIBS)

-include $(shell find build -name '*.d' 2>/dev/null)

clean: ## remove what was built
	rm -rf build weir
.PHONY: all clean
