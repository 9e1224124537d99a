# The system call filters of the roles, made from their policies at build time.
#
# Included by the top Makefile. Defines SECCOMP_OBJS, to be linked into the executable and the unit tests.

O ?= build
SECCOMP_DIR := $(O)/gen
SECCOMP_ROLES := gofer gofer_net vmm
# A role's policy: the header, and the macro in it.
SECCOMP_HEADER_gofer := gofer/seccomp_policy.h
SECCOMP_HEADER_gofer_net := gofer/seccomp_policy.h
SECCOMP_HEADER_vmm := vmm/seccomp_policy.h
SECCOMP_MACRO_gofer_net := SECCOMP_POLICY_NET
SECCOMP_OBJS := $(SECCOMP_ROLES:%=$(SECCOMP_DIR)/seccomp_%.o)

$(SECCOMP_DIR)/seccomp_gen_%: common/build/seccomp_gen.c gofer/seccomp_policy.h vmm/seccomp_policy.h
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -std=c17 -O1 -Wall -Wextra -D_GNU_SOURCE -I. $(if $(filter asan,$(BUILD)),-DVMM_SANITIZED) \
		-DPOLICY_HEADER='"$(SECCOMP_HEADER_$*)"' -DPOLICY=$(or $(SECCOMP_MACRO_$*),SECCOMP_POLICY) -DROLE='"$*"' -o $@ $< -lseccomp

$(SECCOMP_DIR)/seccomp_%.c: $(SECCOMP_DIR)/seccomp_gen_%
	$(call say,GEN)$< >$@.tmp && mv $@.tmp $@

$(SECCOMP_DIR)/seccomp_%.o: $(SECCOMP_DIR)/seccomp_%.c
	$(call say,CC)$(CC) -std=c17 -O2 -fpie -c -o $@ $<

.SECONDARY: $(SECCOMP_ROLES:%=$(SECCOMP_DIR)/seccomp_%.c) $(SECCOMP_ROLES:%=$(SECCOMP_DIR)/seccomp_gen_%)
