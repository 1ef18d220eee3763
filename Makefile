# make help lists the targets. Everything lands in $(BUILD); folders are looked through, no list of files is kept here.
#   BUILD=folder   where to (default build)     SAN=address,undefined   with sanitizers
#   V=1            show the commands
#   NO_DEPS=1      do not call scripts/deps     FAISS_PREFIX=/path      a FAISS with its C API that is there

VERSION := 0.1.0
BUILD ?= build
SAN ?=
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
ifeq ($(filter -j%,$(MAKEFLAGS))$(filter-out 0,$(MAKELEVEL)),)
MAKEFLAGS += -j$(JOBS)
endif
MAKEFLAGS += --no-print-directory
Q := $(if $(V),,@)
show = $(if $(V),,@printf '  %-5s %s\n' $(1) '$(2)')

# ---- flags ------------------------------------------------------------------------------------------------------
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
WARN := -Wall -Wextra -Werror -Wno-format-truncation -Wno-unknown-warning-option -Wshadow -Wformat=2 -Wpointer-arith -Wwrite-strings -Wundef -Wvla
CWARN := $(WARN) -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
OPT := $(if $(SAN),-O1,-O2 -D_FORTIFY_SOURCE=2)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
BASE := -g $(OPT) -D_GNU_SOURCE -DRAGLINE_VERSION='"$(VERSION)"' -pthread -fstack-protector-strong \
    -ffile-prefix-map=$(CURDIR)/= $(SANFLAGS)
CFLAGS_ALL = $(BASE) -std=gnu11 $(CWARN) $(CFLAGS)
# what checks the types behind C++ pointers is in a library that only the C++ compiler links
CXXFLAGS_ALL = $(BASE) $(if $(SAN),-fno-sanitize=vptr) -std=gnu++17 $(WARN) $(CXXFLAGS)
# read when a recipe runs, so after scripts/deps has put FAISS there
FAISS_CFLAGS = $(shell scripts/deps --faiss cflags)
FAISS_LIBS = $(shell scripts/deps --faiss libs)
LIBS := -lczmq -lzmq -lmsgpackc -lcurl -levent_openssl -levent_pthreads -levent -ljansson -lssl -lcrypto \
    -Wl,--push-state,--as-needed -lsimdjson -lstdc++ -Wl,--pop-state -lm
LIBS_SCREEN := -lncursesw -ltinfo
LIBS_SEARCH = $(FAISS_LIBS) -lxapian -lopenblas -llmdb -lxxhash -lgumbo -lmd4c -lyaml -lz -lgomp -lstdc++ -lm

# ---- rooms ----------------------------------------------------------------------------------------------------------
# A process is a folder of rooms. A room sees common/, itself and the rooms named before it; the process's own folder
# sees all of them. An #include of a room that comes later does not compile.
ROOMS_gateway := http question workers observe retrieval response request
ROOMS_retriever := terms store vector text live search engine
ROOMS_retriever/index := read embed generation build change check capacity
ROOMS_generator := prompt upstream
# programs of one folder, which see common/ and themselves
SINGLE := gateway/ask gateway/top gateway/profile

upto = $(if $(filter $(1),$(firstword $(2))),$(1),$(firstword $(2)) $(if $(word 2,$(2)),$(call upto,$(1),$(wordlist 2,$(words $(2)),$(2)))))
inc_rooms = $(patsubst %,-I$(1)/%,$(2))
BASE_gateway := -Icommon
BASE_generator := -Icommon
BASE_retriever := -Icommon -idirafter retriever/compat
BASE_retriever/index := $(BASE_retriever) $(call inc_rooms,retriever,$(ROOMS_retriever)) -Iretriever
inc_room = $(BASE_$(1)) $(call inc_rooms,$(1),$(call upto,$(2),$(ROOMS_$(1))))
inc_process = $(BASE_$(1)) $(call inc_rooms,$(1),$(ROOMS_$(1))) -I$(1)
folders = $(1) $(patsubst %,$(1)/%,$(ROOMS_$(1)))
# what a test of a process sees, and is linked with
INC_TEST_common := -Icommon
INC_TEST_gateway := $(call inc_process,gateway) $(patsubst %,-I%,$(SINGLE))
INC_TEST_retriever = $(call inc_process,retriever/index) $(FAISS_CFLAGS)
INC_TEST_generator := $(call inc_process,generator)
PROCESSES := common gateway retriever generator

# ---- what there is ------------------------------------------------------------------------------------------------
sources = $(filter-out %/main.c,$(foreach folder,$(1),$(wildcard $(folder)/*.c $(folder)/*.cc)))
objects = $(patsubst %,$(BUILD)/%.o,$(call sources,$(1)))

LIB_common := $(BUILD)/libcommon.a
LIB_gateway := $(BUILD)/libgateway.a
LIB_ask := $(BUILD)/libask.a
LIB_top := $(BUILD)/libtop.a
LIB_profile := $(BUILD)/libprofile.a
LIB_retriever := $(BUILD)/libretriever.a
LIB_index := $(BUILD)/libindex.a
LIB_generator := $(BUILD)/libgenerator.a

PROGRAMS := $(if $(wildcard gateway/main.c),$(BUILD)/ragline-gateway) \
    $(if $(wildcard gateway/ask/main.c),$(BUILD)/ragline-ask) \
    $(if $(wildcard gateway/top/main.c),$(BUILD)/ragline-top) \
    $(if $(wildcard gateway/profile/main.c),$(BUILD)/ragline-profile) \
    $(if $(wildcard retriever/main.c),$(BUILD)/ragline-retriever) \
    $(if $(wildcard retriever/index/main.c),$(BUILD)/ragline-index) \
    $(if $(wildcard generator/main.c),$(BUILD)/ragline-generator)
LIBS_OF_common := $(LIB_common)
LIBS_OF_gateway := $(LIB_gateway) $(LIB_ask) $(LIB_top) $(LIB_profile) $(LIB_common)
LIBS_OF_retriever := $(LIB_index) $(LIB_retriever) $(LIB_common)
LIBS_OF_generator := $(LIB_generator) $(LIB_common)
# tests, fuzz programs and benches stand in a folder by process; each is linked with that process alone
programs_in = $(foreach process,$(PROCESSES),$(patsubst $(1)/$(process)/%.c,$(BUILD)/$(2)/%,$(wildcard $(1)/$(process)/$(3).c)))
UNIT := $(call programs_in,tests/unit,tests,test_*)
BENCH := $(call programs_in,tests/bench,bench,*)
FUZZ := $(call programs_in,tests/fuzz,fuzz,fuzz_*)

.PHONY: help all deps demo test unit unit-programs e2e bench bench-programs bench-latency scale-check chaos profile-check soak eval lint format asan tsan fuzz \
    fuzz-programs fuzz-all docs install clean system
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS)  ## the programs, in build/ (installs what is missing first)

help:  ## this list
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
	    || sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

deps:  ## install what building needs
	@scripts/deps build

# every object waits for this; it does nothing, in well under a second, where nothing is missing
system:
ifndef NO_DEPS
	@scripts/deps build
endif

# ---- libraries and programs ---------------------------------------------------------------------------------------
define library
$$(LIB_$(1)): $$(call objects,$(2))
	@mkdir -p $$(@D) && $$(AR) rcs $$@.$$$$$$$$ $$^ && mv $$@.$$$$$$$$ $$@
endef
$(eval $(call library,common,common))
$(eval $(call library,gateway,$(call folders,gateway)))
$(eval $(call library,ask,gateway/ask))
$(eval $(call library,top,gateway/top))
$(eval $(call library,profile,gateway/profile))
$(eval $(call library,retriever,$(call folders,retriever)))
$(eval $(call library,index,$(call folders,retriever/index)))
$(eval $(call library,generator,$(call folders,generator)))

# a program is put in place whole, also while the one before it runs
link = $(CC) $(BASE) $(LDFLAGS) -o $@.$$$$ $(filter %.o %.a,$^) $(1) && mv $@.$$$$ $@
$(BUILD)/ragline-gateway: $(BUILD)/gateway/main.c.o $(LIB_gateway) $(LIB_common)
	$(call show,LINK,$@)
	$(Q)$(call link,$(LIBS))
$(BUILD)/ragline-ask: $(BUILD)/gateway/ask/main.c.o $(LIB_ask) $(LIB_common)
	$(call show,LINK,$@)
	$(Q)$(call link,$(LIBS))
$(BUILD)/ragline-top: $(BUILD)/gateway/top/main.c.o $(LIB_top) $(LIB_common)
	$(call show,LINK,$@)
	$(Q)$(call link,$(LIBS) $(LIBS_SCREEN))
$(BUILD)/ragline-profile: $(BUILD)/gateway/profile/main.c.o $(LIB_profile) $(LIB_common)
	$(call show,LINK,$@)
	$(Q)$(call link,$(LIBS))
$(BUILD)/ragline-generator: $(BUILD)/generator/main.c.o $(LIB_generator) $(LIB_common)
	$(call show,LINK,$@)
	$(Q)$(call link,$(LIBS))
$(BUILD)/ragline-retriever: $(BUILD)/retriever/main.c.o $(LIB_retriever) $(LIB_common)
	$(call show,LINK,$@)
	$(Q)$(call link,$(LIBS) $(LIBS_SEARCH))
$(BUILD)/ragline-index: $(BUILD)/retriever/index/main.c.o $(LIB_index) $(LIB_retriever) $(LIB_common)
	$(call show,LINK,$@)
	$(Q)$(call link,$(LIBS) $(LIBS_SEARCH))

# ---- objects ----------------------------------------------------------------------------------------------------------
# compile FOLDER,FLAGS
define compile
$$(BUILD)/$(1)/%.c.o: $(1)/%.c Makefile | system
	@mkdir -p $$(@D)
	$$(call show,CC,$$<)
	$$(Q)$$(CC) $$(CFLAGS_ALL) $(2) -MMD -MP -c -o $$@ $$<
$$(BUILD)/$(1)/%.cc.o: $(1)/%.cc Makefile | system
	@mkdir -p $$(@D)
	$$(call show,C++,$$<)
	$$(Q)$$(CXX) $$(CXXFLAGS_ALL) $(2) -MMD -MP -c -o $$@ $$<
endef
# compile_process PROCESS,MORE FLAGS: each of its rooms, then its own folder
define compile_process
$(foreach room,$(ROOMS_$(1)),$(eval $(call compile,$(1)/$(room),$(call inc_room,$(1),$(room)) $(2))))
$(eval $(call compile,$(1),$(call inc_process,$(1)) $(2)))
endef
$(eval $(call compile,common,-Icommon))
$(foreach folder,$(SINGLE),$(eval $(call compile,$(folder),-Icommon -I$(folder))))
$(call compile_process,gateway)
$(call compile_process,retriever/index,$$(FAISS_CFLAGS))
$(call compile_process,retriever,$$(FAISS_CFLAGS))
$(call compile_process,generator)
$(eval $(call compile,tests/bench/lib,-Icommon -Itests/bench))
$(foreach process,$(PROCESSES),$(eval $(call compile,tests/unit/$(process),$$(INC_TEST_$(process)) -Itests/unit/common)))
$(foreach process,$(PROCESSES),$(eval $(call compile,tests/bench/$(process),$$(INC_TEST_$(process)) -Itests/bench)))
$(foreach process,$(PROCESSES),$(eval $(call compile,tests/fuzz/$(process),$$(INC_TEST_$(process)) -Itests/fuzz/common)))

# the page is put into the gateway by .incbin, which -MMD does not see
$(BUILD)/gateway/page.c.o: $(wildcard gateway/web/*)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- tests ------------------------------------------------------------------------------------------------------------
# What is under test comes from its library; whatever a test brings itself wins over the library's.
LIBS_TEST_common := $(LIBS)
LIBS_TEST_gateway := $(LIBS) $(LIBS_SCREEN)
LIBS_TEST_retriever = $(LIBS) $(LIBS_SEARCH)
LIBS_TEST_generator := $(LIBS)
# test_program OUTPUT FOLDER,SOURCES,PROCESS,HELPERS,MORE LIBRARIES,NAMES
define test_program
$(patsubst $(2)/$(3)/%.c,$(BUILD)/$(1)/%,$(wildcard $(2)/$(3)/$(6).c)): $(BUILD)/$(1)/%: $(BUILD)/$(2)/$(3)/%.c.o $(4) $(LIBS_OF_$(3))
	@mkdir -p $$(@D)
	$$(call show,LINK,$$@)
	$$(Q)$$(CC) $$(BASE) $$(LDFLAGS) -o $$@.$$$$$$$$ $$< $(4) -Wl,--start-group $(LIBS_OF_$(3)) -Wl,--end-group $$(LIBS_TEST_$(3)) $(5) && mv $$@.$$$$$$$$ $$@
endef
object_of = $(patsubst %,$(BUILD)/%.o,$(1))
unit_help = $(call object_of,$(filter-out tests/unit/$(1)/test_%,$(wildcard tests/unit/$(1)/*.c)) $(wildcard tests/unit/common/loopback.c))
fuzz_help = $(call object_of,$(wildcard tests/fuzz/common/scratch.c))
bench_help = $(call object_of,$(wildcard tests/bench/lib/*.c))
$(foreach process,$(PROCESSES),$(eval $(call test_program,tests,tests/unit,$(process),$(sort $(call unit_help,$(process))),-lcmocka,test_*)))
$(foreach process,$(PROCESSES),$(eval $(call test_program,bench,tests/bench,$(process),$(bench_help),,*)))

unit-programs: $(UNIT)
bench-programs: $(BENCH)

unit: $(PROGRAMS) $(UNIT)  ## the unit tests
	@failed=0; for t in $(UNIT); do echo "== $$t"; RAGLINE_BUILD=$(BUILD) $$t || failed=1; done; exit $$failed

e2e:  ## the end-to-end tests (real processes, real clients, real models)
	@scripts/test --only e2e

test:  ## everything: unit, end to end, sanitizers, a short fuzz (the second command of the README)
	@scripts/test

asan:  ## unit tests and the end-to-end tests with stand-ins under address and undefined-behaviour sanitizers
	@scripts/test --only asan

tsan:  ## unit tests under the thread sanitizer
	@scripts/test --only tsan

# A fuzz program: clang, libFuzzer, address and undefined-behaviour sanitizers, in a folder of its own.
# FUZZ_SECONDS each; a crash leaves its input in build-fuzz/.
FUZZ_SECONDS ?= 10
ifdef FUZZING
$(foreach process,$(PROCESSES),$(eval $(call test_program,fuzz,tests/fuzz,$(process),$(fuzz_help),-fsanitize=fuzzer,fuzz_*)))
endif
fuzz-programs:
	@$(MAKE) FUZZING=1 BUILD=build-fuzz CC=clang CXX=clang++ SAN=fuzzer-no-link,address,undefined fuzz-all
fuzz-all: $(FUZZ)
fuzz:  ## fuzz the code that parses foreign bytes (FUZZ_SECONDS=10 each)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/test --only fuzz

bench: all bench-programs  ## measure, a line per claim: name, measured, limit, holds or falls short
	@RAGLINE_BUILD=$(BUILD) tests/bench/run $(BENCH_ARGS)

chaos: all bench-programs  ## kill, stop, overrun, swap: a line per claim (CHAOS_ARGS="--short storm tail", --list)
	@$(if $(NO_DEPS),,scripts/deps test)
	@RAGLINE_BUILD=$(BUILD) "$${XDG_CACHE_HOME:-$$HOME/.cache}/ragline/venv-test/bin/python" tests/chaos/run.py $(CHAOS_ARGS)

profile-check: all bench-programs  ## where the time went, checked: a line per claim (PROFILE_ARGS="--short timeline", --list)
	@$(if $(NO_DEPS),,scripts/deps test)
	@RAGLINE_BUILD=$(BUILD) "$${XDG_CACHE_HOME:-$$HOME/.cache}/ragline/venv-test/bin/python" tests/profile/run.py $(PROFILE_ARGS)

SOAK_N ?= 1000000
SOAK_SEED ?= 1
soak: all bench-programs  ## SOAK_N questions (a million) to a random LLM server (SOAK_SEED): each ends, none half and marked whole
	@$(if $(NO_DEPS),,scripts/deps test)
	@RAGLINE_BUILD=$(BUILD) "$${XDG_CACHE_HOME:-$$HOME/.cache}/ragline/venv-test/bin/python" tests/profile/soak.py $(SOAK_N) $(SOAK_SEED)

# LATENCY_ARGS="--short original", --list; DATA=folder of a labelled set (as for make eval). All of it puts the table of tests/README.md right.
bench-latency: all bench-programs  ## how soon something is to be seen, from the usual program to drafts and prefill
	@$(if $(NO_DEPS),,scripts/deps test && scripts/deps demo && scripts/models)
	@RAGLINE_BUILD=$(BUILD) "$${XDG_CACHE_HOME:-$$HOME/.cache}/ragline/venv-test/bin/python" tests/bench/latency/run.py \
	    --write $(if $(DATA),--data "$(DATA)") $(LATENCY_ARGS)

# SCALE_ARGS="--short million", --list, --folder FOLDER (what is built is kept there); DATA as for eval. All of it puts the table of tests/README.md right.
scale-check: all bench-programs  ## a million passages, filters, changes, kills, growth: a line per claim
	@$(if $(NO_DEPS),,scripts/deps test)
	@RAGLINE_BUILD=$(BUILD) "$${XDG_CACHE_HOME:-$$HOME/.cache}/ragline/venv-test/bin/python" tests/bench/scale/run.py \
	    $(addprefix --data ,$(DATA)) $(if $(SCALE_ARGS),$(SCALE_ARGS),--write)

eval: all  ## quality of retrieval on labelled sets: make eval DATA="folder…" (EVAL_ARGS=--sweep)
	@scripts/models
	@RAGLINE_BUILD=$(BUILD) tests/eval/run $(DATA) $(EVAL_ARGS)

docs: $(BUILD)/ragline-gateway  ## put the tables of options in the READMEs right
	@scripts/doc-options $(BUILD)/ragline-gateway

demo:  ## index real documentation, ask a question, leave the page running
	@scripts/demo

# ---- the rest -----------------------------------------------------------------------------------------------------------
C_FILES = $(shell find common gateway retriever generator tests -name '*.[ch]' -o -name '*.cc' 2>/dev/null)
# (compilers see uninitialised variables better: cppcheck takes what a callee fills in for one)
lint:  ## cppcheck, the format check, and what keeps the house small (scripts/check-house)
	@$(if $(NO_DEPS),,scripts/deps lint)
	@scripts/check-house
	@clang-format --dry-run -Werror $(C_FILES)
	@cppcheck -q -j $(JOBS) --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,performance,portability \
	    --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=uninitvar \
	    $(addprefix --include=,$(firstword $(wildcard /usr/include/*/sys/queue.h))) -D_GNU_SOURCE -DRAGLINE_VERSION='"$(VERSION)"' $(sort $(INC_TEST_gateway) $(INC_TEST_retriever) $(INC_TEST_generator)) \
	    common gateway retriever generator
	@echo "lint: no complaint about $(words $(C_FILES)) files"

format:  ## bring all C into the house's form
	@scripts/deps lint
	clang-format -i $(C_FILES)

DEPLOY := scripts/deploy/systemd
install: all  ## to $(DESTDIR)$(PREFIX): programs, systemd units, what Prometheus and Grafana take
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/ragline"
	install -m 755 $(PROGRAMS) "$(DESTDIR)$(PREFIX)/bin/"
	for part in gateway retriever generator; do install -D -m 644 $$part/README.md "$(DESTDIR)$(PREFIX)/share/ragline/$$part/README.md" || exit 1; done
	install -D -m 644 scripts/deploy/README.md "$(DESTDIR)$(PREFIX)/share/ragline/scripts/deploy/README.md"
	install -m 644 README.md LICENSE $(DEPLOY)/ragline.conf generator/templates/* "$(DESTDIR)$(PREFIX)/share/ragline/"
	install -d "$(DESTDIR)$(PREFIX)/share/ragline/prometheus" "$(DESTDIR)$(PREFIX)/share/ragline/grafana"
	install -m 644 scripts/deploy/prometheus/* "$(DESTDIR)$(PREFIX)/share/ragline/prometheus/"
	install -m 644 scripts/deploy/grafana/* "$(DESTDIR)$(PREFIX)/share/ragline/grafana/"
	install -d "$(DESTDIR)$(PREFIX)/lib/systemd/system" "$(DESTDIR)$(PREFIX)/lib/sysusers.d"
	@for unit in $(notdir $(wildcard $(DEPLOY)/ragline*.service $(DEPLOY)/ragline*.socket)); do \
	    sed 's|/usr/local/bin|$(PREFIX)/bin|' "$(DEPLOY)/$$unit" >"$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit" && \
	    chmod 644 "$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit" || exit 1; done
	install -m 644 $(DEPLOY)/ragline.sysusers "$(DESTDIR)$(PREFIX)/lib/sysusers.d/ragline.conf"

clean:  ## remove what was built (not the cache folder)
	rm -rf build build-asan build-tsan build-fuzz
