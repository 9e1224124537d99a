# vmm: a Linux program in its own virtual machine. `make help` lists the targets.

BUILD ?= release
V ?= 0
PREFIX ?= /usr/local
APP ?=
ARGS ?=

O := $(if $(filter release,$(BUILD)),build,build/$(BUILD))
OBJ := $(O)/obj
# $(call say,WORD) before a command: one short line instead of the command, unless V=1.
say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' '$(1)' '$@';)

CC := gcc
VERSION := 0.1.0

WARN := -Wall -Wextra -Wshadow -Wvla -Wundef -Wstrict-prototypes -Wmissing-prototypes \
	-Wimplicit-fallthrough -Wcast-qual -Wformat=2 -Wconversion $(if $(CI),-Werror)

# --- host side -------------------------------------------------------------------------------------------------------

HOST_CFLAGS := -std=c17 -O2 -g -D_GNU_SOURCE -DVMM_VERSION='"$(VERSION)"' -I. -I$(O)/gen $(WARN)
HOST_LDFLAGS := -static-pie
HOST_LIBS := -lfdt -l:liburing.a
ifeq ($(BUILD),release)
HOST_CFLAGS += -fpie -fstack-protector-strong -D_FORTIFY_SOURCE=2
endif
ifeq ($(BUILD),asan)
HOST_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DVMM_SANITIZED
HOST_LDFLAGS := -fsanitize=address,undefined
endif
ifeq ($(BUILD),cov)
HOST_CFLAGS += --coverage -O0
HOST_LDFLAGS := --coverage
endif

HOST_LIB_SRC := $(sort $(wildcard common/*.c devices/*.c gofer/*.c) $(filter-out vmm/main.c,$(wildcard vmm/*.c)))
HOST_LIB_OBJ := $(HOST_LIB_SRC:%.c=$(OBJ)/%.o)

# --- the shim --------------------------------------------------------------------------------------------------------

SHIM_CFLAGS := -std=c17 -O2 -g -ffreestanding -fpie -fvisibility=hidden -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-omit-frame-pointer \
	-fno-strict-aliasing -nostdlib -Wframe-larger-than=2048 -include guest/lib/hidden.h -Iguest -I. $(WARN)
SHIM_SRC := $(sort $(wildcard guest/arch/*.c guest/mm/*.c guest/proc/*.c guest/fs/*.c guest/net/*.c \
	guest/drivers/*.c guest/ipc/*.c guest/sys/*.c guest/tty/*.c guest/lib/*.c))
SHIM_ASM := $(sort $(wildcard guest/arch/*.S guest/mm/*.S guest/proc/*.S))
SHIM_OBJ := $(SHIM_SRC:%.c=$(OBJ)/%.o) $(SHIM_ASM:%.S=$(OBJ)/%.S.o)

.PHONY: all
all: $(O)/vmm ## build/vmm, the one file to ship

# Libraries of others for the shim, built from Debian's source packages. LZ4: only its decompressor, without the C library.
SRC := build/src
LZ4 := $(SRC)/lz4/lib
LZ4_CFLAGS := -DLZ4_FREESTANDING=1 -DLZ4_memcpy=__builtin_memcpy -DLZ4_memmove=__builtin_memmove \
	-DLZ4_memset=__builtin_memset

$(SRC)/%/.fetched: common/build/debian_source.sh
	$(call say,FETCH)common/build/debian_source.sh $* $(SRC)/$*
	@touch $@

$(LZ4)/lz4.h: $(SRC)/lz4/.fetched ;

$(OBJ)/lz4.o: $(LZ4)/lz4.h
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(SHIM_CFLAGS) $(LZ4_CFLAGS) -include guest/lib/string.h -w -ffunction-sections -c -o $@.all $(LZ4)/lz4.c
	@ld -r --gc-sections -e LZ4_decompress_safe_partial -o $@ $@.all

$(OBJ)/guest/fs/erofs_unpack.o: SHIM_CFLAGS += -isystem $(LZ4)
$(OBJ)/guest/fs/erofs_unpack.o: $(LZ4)/lz4.h

# lwIP: its core, for guest/net/lwip_*.c; guest/net/lwip has its settings.
LWIP := $(SRC)/lwip/src
LWIP_NAMES := $(addprefix core/,def inet_chksum init ip mem memp netif pbuf raw tcp tcp_in tcp_out timeouts udp) \
	$(addprefix core/ipv4/,dhcp etharp icmp igmp ip4 ip4_addr ip4_frag) \
	$(addprefix core/ipv6/,ethip6 icmp6 inet6 ip6 ip6_addr ip6_frag mld6 nd6) netif/ethernet
LWIP_OBJ := $(LWIP_NAMES:%=$(OBJ)/lwip/%.o)
LWIP_CFLAGS := -Iguest/net/lwip -isystem $(LWIP)/include

$(OBJ)/lwip/core/ipv4/dhcp.o: LWIP_CFLAGS += -DLWIP_DNS=1

$(LWIP)/include/lwip/init.h: $(SRC)/lwip/.fetched ;

$(OBJ)/lwip/%.o: $(LWIP)/include/lwip/init.h $(wildcard guest/net/lwip/*.h guest/net/lwip/arch/*.h)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(SHIM_CFLAGS) $(LWIP_CFLAGS) -w -c -o $@ $(LWIP)/$*.c

$(OBJ)/guest/net/lwip_%.o: SHIM_CFLAGS += $(LWIP_CFLAGS)
$(patsubst %.c,$(OBJ)/%.o,$(wildcard guest/net/lwip_*.c)): $(LWIP)/include/lwip/init.h

BUILD_DIR := $(O)
SECCOMP_SANITIZED := $(filter asan,$(BUILD))

-include guest/vdso/vdso.mk
-include common/build/seccomp.mk
-include tests/tests.mk

$(OBJ)/guest/%.o: guest/%.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(SHIM_CFLAGS) -MMD -MP -c -o $@ $<

$(OBJ)/guest/%.S.o: guest/%.S
	@mkdir -p $(@D)
	$(call say,AS)$(CC) -nostdlib -g -Iguest -I. -MMD -MP -c -o $@ $<

$(O)/shim.elf: $(SHIM_OBJ) $(OBJ)/lz4.o $(LWIP_OBJ) $(VDSO_OBJS) guest/shim.lds
	$(call say,LD)$(CC) -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,--no-warn-rwx-segments -Wl,--no-relax -Wl,-T,guest/shim.lds -o $@ $(SHIM_OBJ) $(OBJ)/lz4.o $(LWIP_OBJ) $(VDSO_OBJS)

$(O)/shim.bin: $(O)/shim.elf
	$(call say,BIN)objcopy -O binary $< $@

# Symbols for backtraces: address and name, ascending.
$(O)/shim.sym: $(O)/shim.elf
	$(call say,SYM)nm -n $< | awk '$$2 ~ /^[tT]$$/ { print $$1, $$3 }' > $@

$(OBJ)/vmm/shim_blob.o: vmm/shim_blob.S $(O)/shim.bin $(O)/shim.sym
	@mkdir -p $(@D)
	$(call say,AS)$(CC) -c -Wa,-I$(O) -o $@ $<

# Names of system calls for --report, by number.
$(O)/gen/syscall_names.h:
	@mkdir -p $(@D)
	$(call say,GEN){ echo 'static const char *const syscall_names[] = {'; \
	echo '#include <asm/unistd_64.h>' | $(CC) -E -dM - | \
	awk '$$2 ~ /^__NR_/ { print "    [" $$3 "] = \"" substr($$2, 6) "\"," }' | sort; echo '};'; } > $@

$(OBJ)/vmm/report.o $(OBJ)/vmm/stats.o: | $(O)/gen/syscall_names.h

$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(HOST_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/vmm: $(OBJ)/vmm/main.o $(HOST_LIB_OBJ) $(SECCOMP_OBJS) $(OBJ)/vmm/shim_blob.o
	$(call say,LD)$(CC) $(HOST_LDFLAGS) -pthread -o $@ $^ $(HOST_LIBS)

# --- packages ---------------------------------------------------------------------------------------------------------

BUILD_PACKAGES := gcc make libc6-dev linux-libc-dev binutils libfdt-dev libseccomp-dev liburing-dev
TEST_PACKAGES = $(shell sed 's/#.*//' tests/packages.txt)

# Install what is missing of the packages in $(1); nothing is asked of apt if all are there.
install_missing = @missing=$$(for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | \
	grep -q 'ok installed' || echo $$p; done); if [ -n "$$missing" ]; then \
	sudo=$$([ $$(id -u) = 0 ] || echo sudo); echo "installing:" $$missing; \
	$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq \
	--no-install-recommends $$missing; fi

.PHONY: deps test-deps
deps: ## install the Debian packages that the build needs
	$(call install_missing,$(BUILD_PACKAGES))

test-deps: deps ## and those of the tests
	$(call install_missing,$(TEST_PACKAGES))

# --- the two commands -------------------------------------------------------------------------------------------------

.PHONY: run check
run: deps ## run a sample program in a VM; APP=/usr/bin/python3 ARGS='-c "print(6*7)"' runs another
	@$(MAKE) --no-print-directory $(O)/vmm
ifeq ($(APP),)
	@$(MAKE) --no-print-directory $(O)/sample
	$(O)/vmm --app $(O)/sample
else
	$(O)/vmm --app $(APP) -- $(ARGS)
endif

$(O)/sample: bench/sample.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -O2 -o $@ $<

check: test-deps ## build and run all tests
	@$(MAKE) --no-print-directory check-all

.PHONY: check-all
check-all: lint-includes
	@$(MAKE) --no-print-directory -j2 $(O)/vmm $(O)/unit guest-programs
	@tests/check.sh

# --- unit tests: host code and the shim's pure logic ------------------------------------------------------------------

UNIT_SRC := $(sort $(wildcard tests/unit/*.c))
UNIT_OBJ := $(UNIT_SRC:%.c=$(OBJ)/%.o)

$(OBJ)/tests/unit/%.o: HOST_CFLAGS += -iquote guest -Wno-missing-prototypes -Wno-conversion

# The shim's pure logic, built as host code.
HOSTED_SRC := $(wildcard guest/arch/fdt.c guest/lib/rbtree.c guest/mm/vma.c guest/mm/elf.c guest/fs/path.c guest/fs/blkdev_parts.c)
HOSTED_SRC += guest/arch/insn.c guest/arch/rewrite_plan.c
HOSTED_SRC += guest/fs/erofs_parse.c guest/fs/erofs_index.c guest/fs/erofs_xattr.c
HOSTED_OBJ := $(HOSTED_SRC:%.c=$(OBJ)/hosted/%.o)

$(OBJ)/hosted/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(HOST_CFLAGS) -iquote guest -MMD -MP -c -o $@ $<

$(O)/unit: $(UNIT_OBJ) $(HOSTED_OBJ) $(HOST_LIB_OBJ) $(SECCOMP_OBJS) $(OBJ)/vmm/shim_blob.o
	$(call say,LD)$(CC) $(filter-out -static-pie,$(HOST_LDFLAGS)) -pthread -o $@ $^ $(HOST_LIBS) -lcriterion

.PHONY: check-unit
check-unit: $(O)/unit ## unit tests
	$(O)/unit -j2 --timeout 60

# --- fuzzing ----------------------------------------------------------------------------------------------------------

FUZZ_SECONDS ?= 60
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_LIB := $(filter-out vmm/%,$(HOST_LIB_SRC))

$(O)/fuzz/%: tests/fuzz/%.c $(FUZZ_LIB) $(SECCOMP_OBJS) $(LZ4)/lz4.h
	@mkdir -p $(@D)
	$(call say,FUZZ)clang -std=c17 -g -O1 -D_GNU_SOURCE -I. -iquote guest -isystem $(LZ4) -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -pthread -o $@ $< $(FUZZ_LIB) $(SECCOMP_OBJS) -l:liburing.a

.PHONY: fuzz
fuzz: $(FUZZ_TARGETS:%=$(O)/fuzz/%) ## every fuzz target for FUZZ_SECONDS (60)
	@for t in $(FUZZ_TARGETS); do mkdir -p $(O)/fuzz/corpus/$$t; echo "fuzz $$t"; \
	$(O)/fuzz/$$t -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 \
	-artifact_prefix=$(O)/fuzz/ $(O)/fuzz/corpus/$$t $(wildcard tests/fuzz/corpus/$$t) 2>&1 | tail -15 || exit 1; done

# The shim's EROFS reader against broken images: 2000 mutations of each of five kinds.
MUTATIONS ?= 2000
$(O)/mutate_erofs: tests/fuzz/mutate_erofs.c tests/fuzz/fuzz_erofs.c $(wildcard guest/fs/erofs_*.[ch]) $(LZ4)/lz4.h
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -std=gnu17 -g -O1 -D_GNU_SOURCE -I. -iquote guest -isystem $(LZ4) -fsanitize=address,undefined \
		-fno-sanitize-recover=undefined -o $@ $<

.PHONY: check-images
check-images: $(O)/mutate_erofs ## broken EROFS images under sanitizers; MUTATIONS=2000 of each kind
	@python3 tests/fuzz/mutate.py $< $(MUTATIONS)

# --- care -------------------------------------------------------------------------------------------------------------

C_FILES = $(shell git ls-files '*.c' '*.h')

.PHONY: lint lint-includes format coverage docs install clean help
# Who may include whom (docs/architecture.md); a grep is enough to hold it.
lint-includes:
	@! grep -rnE '^#include "(common|devices|gofer|guest|vmm)/' hypercalls
	@! grep -rnE '^#include "(common|devices|gofer|vmm|guest)/' guest
	@! grep -rnE '^#include "(devices|gofer|guest|vmm)/' common --include='*.[ch]' --exclude-dir=build
	@! grep -rnE '^#include "(gofer|guest|vmm)/' devices
	@! grep -rnE '^#include "(devices|guest|vmm)/' gofer
	@! grep -rnE '^#include "(gofer|guest)/' vmm

lint: lint-includes ## clang-tidy, cppcheck
	cppcheck --quiet --enable=warning,portability --inline-suppr --std=c11 -I. common devices gofer vmm
	clang-tidy --quiet $(HOST_LIB_SRC) -- -std=c17 -D_GNU_SOURCE -I. -I$(O)/gen 2>/dev/null

format: ## clang-format on every C file
	clang-format -i $(C_FILES)

coverage: ## unit tests with coverage; needs gcovr
	$(MAKE) BUILD=cov check-unit
	gcovr -r . build/cov

docs/syscalls.md: guest/sys/table.h docs/syscalls.awk
	awk -f docs/syscalls.awk guest/sys/table.h > $@

docs: docs/syscalls.md ## the table of system calls

install: $(O)/vmm ## to DESTDIR and PREFIX
	install -D -m 755 $(O)/vmm $(DESTDIR)$(PREFIX)/bin/vmm
	install -D -m 644 docs/vmm.1 $(DESTDIR)$(PREFIX)/share/man/man1/vmm.1

clean: ## remove what was built
	rm -rf build

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16
	@echo "BUILD=release|asan|cov, V=1 shows commands, PREFIX, DESTDIR"

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
