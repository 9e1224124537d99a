/*
 * /proc/cpuinfo from CPUID (SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E), with Linux's names of the features. The
 * text is made once: each CPUID costs several microseconds on software KVM.
 */
#include "fs/procfs_cpu.h"

#include "arch/bootinfo.h"
#include "arch/cpu.h"
#include "lib/string.h"

enum cpuid_register { EAX, EBX, ECX, EDX };

static const struct feature_word {
    uint32_t leaf, subleaf;
    enum cpuid_register reg;
    const char *names; /* from bit 0 on, separated by spaces; "-" has no name */
} words[] = {
    { 1, 0, EDX,
      "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr sse sse2 "
      "ss ht tm ia64 pbe" },
    { 0x80000001, 0, EDX,
      "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow" },
    { 1, 0, ECX,
      "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 "
      "x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor" },
    { 0x80000001, 0, ECX,
      "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 "
      "tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx" },
    { 7, 0, EBX,
      "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f avx512dq rdseed adx "
      "smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl" },
    { 0xd, 1, EAX, "xsaveopt xsavec xgetbv1 xsaves" },
    { 7, 1, EAX, "- - - - avx_vnni avx512_bf16" },
    { 0x80000008, 0, EBX, "clzero irperf xsaveerptr - rdpru - - - - wbnoinvd" },
    { 7, 0, ECX,
      "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme "
      "avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri movdir64b enqcmd" },
    { 7, 0, EDX,
      "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - serialize - tsxldtrk - pconfig "
      "arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 - - flush_l1d arch_capabilities" },
};

static uint32_t max_leaf(uint32_t base)
{
    uint32_t r[4];

    cpuid(base, 0, r);
    return r[EAX];
}

static void put_flags(struct seq *s)
{
    uint32_t max_basic = max_leaf(0), max_extended = max_leaf(0x80000000);

    seq_puts(s, "flags\t\t:");
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        const char *name = words[i].names;
        uint32_t r[4];

        if (words[i].leaf > (words[i].leaf >= 0x80000000 ? max_extended : max_basic))
            continue;
        cpuid(words[i].leaf, words[i].subleaf, r);
        for (uint32_t bits = r[words[i].reg]; *name; bits >>= 1) {
            const char *end = strchr(name, ' ');
            size_t len = end ? (size_t)(end - name) : strlen(name);

            if ((bits & 1) && name[0] != '-') {
                seq_puts(s, " ");
                seq_write(s, name, len);
            }
            name += len + (end != NULL);
        }
    }
    seq_puts(s, "\n");
}

static void put_identity(struct seq *s)
{
    uint32_t r[4], id[4];
    char vendor[13] = { 0 };
    uint32_t family, model;

    cpuid(0, 0, r);
    memcpy(vendor, &r[EBX], 4);
    memcpy(vendor + 4, &r[EDX], 4);
    memcpy(vendor + 8, &r[ECX], 4);
    cpuid(1, 0, id);
    family = id[EAX] >> 8 & 15;
    model = id[EAX] >> 4 & 15;
    if (family == 15 || family == 6)
        model |= id[EAX] >> 12 & 0xf0;
    if (family == 15)
        family += id[EAX] >> 20 & 0xff;
    seq_printf(s, "processor\t: 0\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", vendor, family, model);
}

static void put_name(struct seq *s)
{
    char brand[49] = { 0 };
    const char *start = brand;
    uint32_t r[4];

    for (uint32_t i = 0; i < 3 && max_leaf(0x80000000) >= 0x80000004; i++) {
        cpuid(0x80000002 + i, 0, r);
        memcpy(brand + 16 * i, r, 16);
    }
    while (*start == ' ')
        start++;
    cpuid(1, 0, r);
    seq_printf(s, "model name\t: %s\nstepping\t: %u\nmicrocode\t: 0x1\n", *start ? start : "unknown", r[EAX] & 15);
}

static void put_sizes(struct seq *s)
{
    uint32_t r[4] = { 0 };

    if (max_leaf(0x80000000) >= 0x80000008)
        cpuid(0x80000008, 0, r);
    seq_printf(s, "bugs\t\t:\nbogomips\t: %lu.%02lu\nclflush size\t: 64\ncache_alignment\t: 64\n"
                  "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n",
               (unsigned long)(boot_info.tsc_khz / 500), (unsigned long)(boot_info.tsc_khz / 5 % 100),
               r[EAX] ? r[EAX] & 0xff : 39, r[EAX] ? r[EAX] >> 8 & 0xff : 48);
}

int cpuinfo_show(struct seq *s)
{
    static struct seq text;

    if (text.len == 0) {
        put_identity(&text);
        put_name(&text);
        seq_printf(&text, "cpu MHz\t\t: %lu.%03lu\ncache size\t: 1024 KB\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\n"
                          "cpu cores\t: 1\napicid\t\t: 0\ninitial apicid\t: 0\nfpu\t\t: yes\nfpu_exception\t: yes\n"
                          "cpuid level\t: %u\nwp\t\t: yes\n",
                   (unsigned long)(boot_info.tsc_khz / 1000), (unsigned long)(boot_info.tsc_khz % 1000), max_leaf(0));
        put_flags(&text);
        put_sizes(&text);
    }
    if (text.failed) {
        seq_free(&text);
        return -ENOMEM;
    }
    seq_write(s, text.data, text.len);
    return 0;
}
