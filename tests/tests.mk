# Tests from outside: programs in the VM, the command line, hardware KVM; and the measurements.
# Included by the top Makefile, whose O is the build directory.

O ?= build
VMM ?= $(O)/vmm
TEST_PYTHON ?= /usr/bin/python3
GUEST_TESTS := build/guest-tests
MUSL_INCLUDE := build/musl-include
E2E_LOGS := $(O)/e2e
TESTS_Q := $(if $(filter 1,$(V)),,@)

GUEST_CC ?= gcc
GUEST_CFLAGS := -std=gnu17 -O1 -g -Wall -Wextra -Wno-unused-parameter -Wno-stringop-overflow -Wno-stringop-overread \
	-Wno-nonnull -D_GNU_SOURCE= -pthread -Itests/guest

guest_sources := $(wildcard tests/guest/*.c)
guest_programs := $(patsubst tests/guest/%.c,$(GUEST_TESTS)/%,$(guest_sources))
# The same sources linked in the other ways.
# What musl's headers have what it needs for, in one test of each family.
musl_tests := aio events faults futex inet_sockets memory nested processes pty signals timers
guest_programs += $(addprefix $(GUEST_TESTS)/,hello-nopie hello-static hello-static-pie hello-musl hello-musl-dynamic)
guest_programs += $(addprefix $(GUEST_TESTS)/,$(addsuffix -musl,$(musl_tests)))
guest_programs += $(addprefix $(GUEST_TESTS)/,startup-nopie startup-static startup-static-pie)
guest_programs += $(addprefix $(GUEST_TESTS)/,faults-static threads-static signals-static)
guest_programs += $(GUEST_TESTS)/gohello

RUN_E2E = VMM=$(VMM) $(TEST_PYTHON) tests/e2e/run.py --guest-dir $(GUEST_TESTS) --log-dir $(E2E_LOGS)

# With REQUIRE_KVM and no usable /dev/kvm, the tests run inside the test machine of tests/hw.
ifneq ($(REQUIRE_KVM),)
  have_kvm := $(shell $(TEST_PYTHON) tests/e2e/run.py --have-kvm && echo yes)
endif
in_hw := $(if $(REQUIRE_KVM),$(if $(have_kvm),,yes))

.PHONY: guest-programs check-others check-e2e check-guest check-hw soak bench check-tests

guest-programs: $(guest_programs)

ifeq ($(in_hw),yes)
check-guest: $(VMM) guest-programs
	$(TESTS_Q)HW_TIMEOUT=3600 tests/hw/check-hw.sh $(VMM) $(GUEST_TESTS) guest
check-e2e: $(VMM) guest-programs
	$(TESTS_Q)HW_TIMEOUT=3600 tests/hw/check-hw.sh $(VMM) $(GUEST_TESTS) e2e
else
check-guest: $(VMM) guest-programs ## C programs, each one promise, natively and in the VM
	$(TESTS_Q)$(RUN_E2E) --list tests/guest/cases.list --no-checks
check-e2e: $(VMM) guest-programs ## real programs and the command line, natively and in the VM
	$(TESTS_Q)$(RUN_E2E)
endif

check-hw: $(VMM) guest-programs ## a share of the tests on hardware KVM (QEMU-TCG with SVM)
	$(TESTS_Q)tests/hw/check-hw.sh $(VMM) $(GUEST_TESTS)

soak: $(VMM) guest-programs ## the long tests: a million kicks, gigabytes through stdio
	$(TESTS_Q)$(RUN_E2E) --list tests/e2e/cases.list --list tests/guest/cases.list --soak

# --- virtio against what others wrote (docs/virtio.md, "Conformance") ---

CONFORMANCE := $(O)/conformance
CONFORMANCE_H := tests/conformance/client.h tests/conformance/vhost_user.h tests/conformance/vu_server.h

$(CONFORMANCE)/%_server: tests/conformance/%_server.c tests/conformance/vu_server.c $(CONFORMANCE_H) \
		$(wildcard devices/*.[ch] common/*.[ch])
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(TESTS_Q)$(CC) -std=gnu17 -g -O1 -D_GNU_SOURCE -Wall -Wextra -I. -fsanitize=address,undefined \
		-fno-sanitize-recover=undefined -pthread -o $@ $< tests/conformance/vu_server.c $(wildcard devices/*.c common/*.c) -l:liburing.a

# The drivers' objects are the shim's own.
$(CONFORMANCE)/%.guest.o: tests/conformance/%.c $(CONFORMANCE_H)
	@mkdir -p $(@D)
	$(TESTS_Q)$(CC) $(SHIM_CFLAGS) -c -o $@ $<

conformance_link = $(CC) -std=gnu17 -g -O1 -D_GNU_SOURCE -Wall -Wextra -I. -static -no-pie -o $@ $(filter %.c %.o,$^)

$(CONFORMANCE)/driver_client: tests/conformance/client_host.c tests/conformance/client_report.c $(CONFORMANCE)/client_guest.guest.o $(CONFORMANCE)/client_shim.guest.o \
		$(OBJ)/guest/drivers/virtio_blk.o $(OBJ)/guest/drivers/virtq.o $(CONFORMANCE_H)
	@echo "  CC      $@"
	$(TESTS_Q)$(conformance_link)
$(CONFORMANCE)/net_client: tests/conformance/net_client_host.c tests/conformance/client_report.c $(CONFORMANCE)/net_client_guest.guest.o \
		$(CONFORMANCE)/client_shim.guest.o $(OBJ)/guest/drivers/virtio_net.o $(OBJ)/guest/drivers/virtq.o $(CONFORMANCE_H)
	@echo "  CC      $@"
	$(TESTS_Q)$(conformance_link)

.PHONY: check-driver check-device
check-driver: $(CONFORMANCE)/driver_client ## the shim's virtio-blk driver against QEMU's device
	$(TESTS_Q)tests/conformance/driver_run.sh $<
# The client's driver needs vhost-net, which not every machine has.
check-device: $(CONFORMANCE)/blk_server $(CONFORMANCE)/net_server $(CONFORMANCE)/net_client ## our virtio devices against Linux's drivers, our network driver against its vhost-net (boots Debian's kernel under QEMU-TCG)
	$(TESTS_Q)tests/conformance/linux_blk_run.sh $(CONFORMANCE)/blk_server
	$(TESTS_Q)tests/conformance/linux_net_run.sh $(CONFORMANCE)/net_server
	$(TESTS_Q)tests/conformance/linux_vhost_run.sh $(CONFORMANCE)/net_client

# Not a test of CI's: they take half an hour, and not everything passes.
check-others: $(VMM) ## what others wrote: CPython's tests, stress-ng's, the kernel's selftests, natively and in the VM (long)
	-$(TESTS_Q)$(TEST_PYTHON) tests/others/run.py --vmm $(VMM) cpython
	$(TESTS_Q)$(TEST_PYTHON) tests/others/run.py --vmm $(VMM) stress-ng
	-$(TESTS_Q)$(TEST_PYTHON) tests/others/run.py --vmm $(VMM) selftests

check-tests: guest-programs ## the tests themselves: compare two native runs
	$(TESTS_Q)$(RUN_E2E) --list tests/e2e/cases.list --list tests/guest/cases.list --no-checks --native-only

build/bench/%: bench/%.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(TESTS_Q)$(GUEST_CC) -std=gnu17 -O2 -Wall -Wextra -pthread -o $@ $<

bench: $(VMM) guest-programs build/bench/micro build/bench/files ## measurements beside native, runsc and crun; CASE=start, memory, io, calls, compute, net, tap, files or disks
	$(TESTS_Q)$(TEST_PYTHON) bench/bench.py --vmm $(VMM) --guest-dir $(GUEST_TESTS) --out $(O)/bench $(CASE)

# The kernel's headers, which musl-gcc doesn't look for where the C library's own are.
$(MUSL_INCLUDE):
	$(TESTS_Q)mkdir -p $@ && ln -sfn /usr/include/linux /usr/include/asm-generic /usr/include/x86_64-linux-gnu/asm $@/

$(GUEST_TESTS):
	$(TESTS_Q)mkdir -p $@

define guest_link
	@echo "  GUEST   $(notdir $@)"
	$(TESTS_Q)$(1) $(GUEST_CFLAGS) -MMD -MP -MF $@.d $(2) -o $@ $< $(3)
endef

$(GUEST_TESTS)/%-nopie: tests/guest/%.c tests/tests.mk | $(GUEST_TESTS)
	$(call guest_link,$(GUEST_CC),-fno-pie -no-pie)
$(GUEST_TESTS)/%-static-pie: tests/guest/%.c tests/tests.mk | $(GUEST_TESTS)
	$(call guest_link,$(GUEST_CC),-fpie -static-pie)
$(GUEST_TESTS)/%-static: tests/guest/%.c tests/tests.mk | $(GUEST_TESTS)
	$(call guest_link,$(GUEST_CC),-static)
$(GUEST_TESTS)/%-musl-dynamic: tests/guest/%.c tests/tests.mk | $(GUEST_TESTS) $(MUSL_INCLUDE)
	$(call guest_link,musl-gcc,-isystem $(MUSL_INCLUDE))
$(GUEST_TESTS)/%-musl: tests/guest/%.c tests/tests.mk | $(GUEST_TESTS) $(MUSL_INCLUDE)
	$(call guest_link,musl-gcc,-static -isystem $(MUSL_INCLUDE))
$(GUEST_TESTS)/%: tests/guest/%.c tests/tests.mk | $(GUEST_TESTS)
	$(call guest_link,$(GUEST_CC),-fpie -pie)
$(GUEST_TESTS)/gohello: tests/guest/gohello.go | $(GUEST_TESTS)
	@echo "  GO      $(notdir $@)"
	$(TESTS_Q)GO111MODULE=off CGO_ENABLED=0 GOFLAGS= GOCACHE=$(abspath $(O))/go-cache go build -o $@ $<

-include $(wildcard $(GUEST_TESTS)/*.d)
