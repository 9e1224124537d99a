# The vDSO: a shared object for the app, embedded in the shim. Included by the top Makefile.

VDSO_CFLAGS := -std=c17 -O2 -g0 -ffreestanding -fPIC -fvisibility=hidden -mgeneral-regs-only -fno-stack-protector \
	-fcf-protection=none -fasynchronous-unwind-tables -fno-builtin -nostdlib -Iguest -I. $(WARN)
VDSO_LDFLAGS := -nostdlib -shared -Wl,-soname=linux-vdso.so.1 -Wl,-T,guest/vdso/vdso.lds -Wl,--hash-style=both \
	-Wl,--eh-frame-hdr -Wl,--build-id=sha1 -Wl,-Bsymbolic -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack

VDSO_OBJS := $(OBJ)/guest/vdso/vdso_blob.o

$(OBJ)/guest/vdso/vdso.o: guest/vdso/vdso.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(VDSO_CFLAGS) -MMD -MP -c -o $@ $<

$(OBJ)/guest/vdso/vdso.so: $(OBJ)/guest/vdso/vdso.o guest/vdso/vdso.lds
	$(call say,LD)$(CC) $(VDSO_LDFLAGS) -o $@.tmp $< && strip --strip-unneeded $@.tmp && mv $@.tmp $@

$(OBJ)/guest/vdso/vdso_blob.o: guest/vdso/vdso_blob.S $(OBJ)/guest/vdso/vdso.so
	$(call say,AS)$(CC) -c -Wa,-I$(OBJ)/guest/vdso -o $@ $<

-include $(OBJ)/guest/vdso/vdso.d
