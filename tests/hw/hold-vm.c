/*
 * Keep one KVM virtual machine open for as long as the test machine runs.
 *
 * Linux patches its scheduler whenever the first VM comes and the last one goes (the static key of preempt
 * notifiers), and QEMU-TCG with several CPUs sometimes goes on to execute the stale int3 of such a patch for
 * ever, on all CPUs. With one VM always there, nothing is patched.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0 || ioctl(kvm, KVM_CREATE_VM, 0) < 0)
        return 1;
    for (;;)
        pause();
}
