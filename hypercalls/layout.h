/*
 * Where everything is: guest-physical and guest-virtual memory, selectors, ports.
 *
 * The vmm builds this layout before the first instruction runs; the shim is linked against it.
 * docs/memory-map.md is the same as a table. Nothing here may include anything but stdint.
 */
#ifndef HYPERCALLS_LAYOUT_H
#define HYPERCALLS_LAYOUT_H

#ifndef __ASSEMBLER__
#include <stdint.h>
#endif

/*
 * Guest-physical memory. All of it lies below 2^38, so that a host with 39 physical address bits
 * (client processors) can map it.
 */
#define GPA_RAM_BASE 0x0
#define GPA_SMALL_PAGES_END 0x1000000      /* RAM from the boot tables to here is on small pages of the host, so that small programs stay small */
#define GPA_RAM_HOLE_BASE 0xfec00000       /* I/O APIC, local APIC, TSS pages of KVM: never RAM */
#define GPA_RAM_HOLE_END 0x100000000
#define GPA_RAM_END 0x2000000000           /* 128 GiB: the largest --mem */
#define GPA_ARENA_BASE 0x2000000000        /* shared with the gofer */
#define GPA_ARENA_END 0x2040000000
#define GPA_WINDOW_RO_BASE 0x2400000000    /* donated files, read-only by the host's hand */
#define GPA_WINDOW_RO_END 0x3000000000     /* 48 GiB */
#define GPA_WINDOW_RW_BASE 0x3000000000    /* donated files, writable */
#define GPA_WINDOW_RW_END 0x3c00000000     /* 48 GiB */
#define GPA_END 0x4000000000               /* 256 GiB */

/* Granule of RAM, window and arena slots. Everything that KVM maps is aligned to it. */
#define SLOT_ALIGN 0x200000

/*
 * Guest-virtual memory. The app owns everything from APP_BASE to APP_END. The top slot of the
 * lower half's page-map level 4 is the shim's: guest-physical address g is mapped at DIRECT_BASE + g in
 * every address space. User bit set everywhere: nothing but the trampoline runs in ring 0.
 */
#define APP_BASE 0x10000
#define APP_END 0x7f8000000000
#define DIRECT_BASE 0x7f8000000000
#define DIRECT_END 0x7fc000000000          /* DIRECT_BASE + GPA_END */
#define SHIM_PML4_INDEX 255

/*
 * The bottom of RAM: fixed pages, the shim's image, and memory for what a small program takes first, all in one huge page of the
 * host and of the guest. On software KVM that is one shadow fault instead of fifty. No page table may lie in it: KVM maps a
 * range with one in small pages. Those begin behind it, with the first ones made by the vmm.
 */
#define GPA_GDT 0x1000
#define GPA_IDT 0x2000
#define GPA_TSS 0x3000                     /* 104 bytes, then the I/O bitmap of 8 KiB and its end byte */
#define GPA_SHARED 0x6000                  /* struct shared_page */
#define GPA_CLOCK 0x7000                   /* struct clock_page, also mapped into the app for the vDSO */
#define GPA_FDT 0x10000                    /* flattened device tree */
#define GPA_FDT_SIZE 0x10000
#define SHIM_GPA 0x20000
#define SHIM_BASE 0x7f8000020000           /* DIRECT_BASE + SHIM_GPA: where the shim is linked */
#define GPA_BOOT_PT 0x200000               /* first page tables; the rest of these 2 MiB are tables too */
#define GPA_BOOT_PT_END 0x208000
#define GPA_TABLES_READY 0x220000          /* tables below are had from the host before the start */

/* Linux's selectors: software KVM accepts no others. */
#define KERNEL_CS 0x10
#define KERNEL_SS 0x18
#define USER_CS 0x33
#define USER_SS 0x2b
#define TSS_SELECTOR 0x40
#define GDT_ENTRIES 10
#define TSS_SIZE 104
#define TSS_LIMIT (TSS_SIZE + 8192)        /* the byte at the limit ends the bitmap */

/* SYSCALL masks: AC, NT, DF, TF; IF stays as it is (software KVM refuses to run with IF clear). */
#define SYSCALL_FLAG_MASK 0x44500
#define RING3_RFLAGS 0x202

/*
 * Ports. All but PORT_PANIC are open to ring 3 through the TSS I/O bitmap (PORT_DEVICE: devices.h); where that isn't honoured,
 * PORT_HYPERCALL and PORT_DOORBELL are reached through the gate. PORT_DOORBELL is bound to an ioeventfd.
 */
#define PORT_HYPERCALL 0x10
#define PORT_PANIC 0x14                    /* an exception that the stubs can't handle; value: vector */
#define PORT_DOORBELL 0x20                 /* + queue number */

#endif
