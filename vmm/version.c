/* See version.h: the jail is really entered, so what is shown is what a sandbox would get. */
#include "vmm/version.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/jail.h"
#include "vmm/launch.h"

static bool cpu_has_virtualisation(void)
{
    char line[8192];
    FILE *f = fopen("/proc/cpuinfo", "re");
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f))
        if (!strncmp(line, "flags", 5))
            found = strstr(line, " vmx") || strstr(line, " svm");
    if (f)
        fclose(f);
    return found;
}

static void print_kvm(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        printf("kvm: /dev/kvm: %m\n");
        return;
    }
    printf("kvm: %s, %d memory slots\n",
           cpu_has_virtualisation() ? "hardware (vmx or svm)" : "software (the processor shows no vmx or svm)",
           ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS));
    close(fd);
}

static void print_layers(const char *who, unsigned layers)
{
    printf("jail of the %s:", who);
    for (unsigned bit = 1; bit && jail_layer_name(bit); bit <<= 1)
        printf("%s %s%s", bit > 1 ? "," : "", layers & bit ? "" : "NO ", jail_layer_name(bit));
    printf("\n");
    fflush(stdout);
}

/* A gofer with nothing to serve says what it got. */
static void print_gofer(void)
{
    static const struct options opt = { .file_size_max = UINT64_MAX };
    static struct view view;
    static struct sandbox sb = { .opt = &opt };
    struct launch l = { .arena_fd = -1, .doorbell_fd = -1, .control_fd = -1, .proc_fd = -1 };

    if (launch_gofer(&sb, &l, &view, 0) == 0 && launch_wait_ready(&l) == 0)
        print_layers("gofer", l.gofer_layers);
}

int version_print(int verbose)
{
    struct launch l = { .arena_fd = -1, .doorbell_fd = -1, .control_fd = -1, .proc_fd = -1 };

    printf("vmm %s\n", VMM_VERSION);
    if (!verbose)
        return 0;
    print_kvm();
    fflush(stdout);
    print_gofer();
    launch_jail_user();
    if (launch_jail_self(&l) < 0 || launch_filter_thread() < 0)
        return STATUS_VMM_ERROR;
    print_layers("vmm", jail_layers());
    _exit(0); /* what the C library would do at the end isn't in the filter */
}
