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
HOST_LIBS := -lfdt
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
	-fno-strict-aliasing -nostdlib -Wframe-larger-than=2048 -Iguest -I. $(WARN)
SHIM_SRC := $(sort $(wildcard guest/arch/*.c guest/mm/*.c guest/proc/*.c guest/fs/*.c guest/net/*.c \
	guest/drivers/*.c guest/sys/*.c guest/lib/*.c))
SHIM_ASM := $(sort $(wildcard guest/arch/*.S guest/mm/*.S guest/proc/*.S))
SHIM_OBJ := $(SHIM_SRC:%.c=$(OBJ)/%.o) $(SHIM_ASM:%.S=$(OBJ)/%.S.o)

.PHONY: all
all: $(O)/vmm

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

$(O)/shim.elf: $(SHIM_OBJ) $(VDSO_OBJS) guest/shim.lds
	$(call say,LD)$(CC) -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,--no-warn-rwx-segments -Wl,-T,guest/shim.lds -o $@ $(SHIM_OBJ) $(VDSO_OBJS)

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

$(OBJ)/vmm/report.o: | $(O)/gen/syscall_names.h

$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(HOST_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/vmm: $(OBJ)/vmm/main.o $(HOST_LIB_OBJ) $(SECCOMP_OBJS) $(OBJ)/vmm/shim_blob.o
	$(call say,LD)$(CC) $(HOST_LDFLAGS) -pthread -o $@ $^ $(HOST_LIBS)

# --- unit tests: host code and the shim's pure logic ------------------------------------------------------------------

UNIT_SRC := $(sort $(wildcard tests/unit/*.c))
UNIT_OBJ := $(UNIT_SRC:%.c=$(OBJ)/%.o)

$(OBJ)/tests/unit/%.o: HOST_CFLAGS += -Iguest -Wno-missing-prototypes -Wno-conversion

$(O)/unit: $(UNIT_OBJ) $(HOST_LIB_OBJ) $(SECCOMP_OBJS) $(OBJ)/vmm/shim_blob.o
	$(call say,LD)$(CC) $(filter-out -static-pie,$(HOST_LDFLAGS)) -pthread -o $@ $^ $(HOST_LIBS) -lcriterion

.PHONY: check-unit
check-unit: $(O)/unit
	$(O)/unit -j2 --timeout 60

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
