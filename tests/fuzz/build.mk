# Builds the fuzz targets as one program, $(OUT)/fuzz, with clang, libFuzzer, ASan and UBSan; with
# COVERAGE=1 $(OUT)/replay instead, which runs files and tells lines (llvm-cov). By run.sh and
# coverage.sh:
#
#   make -f tests/fuzz/build.mk OUT=/tmp/weir-fuzz -j2
TOP := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))/../..)
CLANG ?= clang

PACKAGES := libevent libevent_pthreads openssl libxxhash yaml-0.1 jansson libcares
CFLAGS := -std=gnu17 -D_GNU_SOURCE -pthread -g -O1 -I$(OUT) -I$(TOP) -Wall -Wextra -Werror -MMD \
	-fno-omit-frame-pointer $(shell pkg-config --cflags $(PACKAGES))
ifdef COVERAGE
INSTRUMENT := -fprofile-instr-generate -fcoverage-mapping
PROGRAM := $(OUT)/replay
else
INSTRUMENT := -fsanitize=address,undefined -fno-sanitize-recover=all
# What guides libFuzzer are the edges of Weir, not those of the targets.
GUIDE := -fsanitize=fuzzer-no-link
PROGRAM := $(OUT)/fuzz
LINK := -fsanitize=fuzzer
endif
CFLAGS += $(INSTRUMENT)

# fake_kernel.c has clocks of its own.
SOURCES := $(filter-out proxy/main.c base/clock.c, $(patsubst $(TOP)/%, %, \
	$(wildcard $(TOP)/base/*.c $(TOP)/conf/*.c $(TOP)/net/*.c $(TOP)/cache/*.c $(TOP)/pool/*.c \
	$(TOP)/proxy/*.c $(TOP)/proxy/admin/*.c)))
TARGETS := $(filter-out $(if $(COVERAGE),,tests/fuzz/replay.c), \
	$(patsubst $(TOP)/%, %, $(wildcard $(TOP)/tests/fuzz/*.c)))
PARSER := $(filter net/http1%.c, $(SOURCES))

objects = $(patsubst %.c, $(OUT)/$1/%.o, $2)
OBJECTS := $(call objects,vector,$(SOURCES) $(TARGETS)) $(call objects,scalar,$(PARSER))

$(PROGRAM): $(OBJECTS)
	$(CLANG) $(CFLAGS) $(LINK) $(OBJECTS) $(shell pkg-config --libs $(PACKAGES)) -lm -o $@

$(OUT)/config.h:
	@mkdir -p $(@D)
	echo '#define PACKAGE_VERSION "fuzz"' >$@

$(OUT)/vector/tests/fuzz/%.o: CFLAGS += -DFUZZ_SCALAR_TWIN
$(OUT)/vector/tests/fuzz/%.o: GUIDE :=
$(OUT)/vector/%.o: $(TOP)/%.c | $(OUT)/config.h
	@mkdir -p $(@D)
	$(CLANG) $(CFLAGS) $(GUIDE) -c $< -o $@

# The scalar twin: the parser's sources again, every name of theirs that others see renamed.
$(OUT)/scalar.h: $(call objects,vector,$(PARSER))
	nm -g --defined-only $^ | awk '$$3 ~ /^http1_/ { print "#define", $$3, "scalar_" $$3 }' >$@
$(OUT)/scalar/%.o: $(TOP)/%.c $(OUT)/scalar.h
	@mkdir -p $(@D)
	$(CLANG) $(CFLAGS) $(GUIDE) -DWEIR_HTTP1_SCALAR -include $(OUT)/scalar.h -c $< -o $@

-include $(OBJECTS:.o=.d)
