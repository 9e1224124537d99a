/* What uname(2) and /proc say of the kernel. Programs parse the release; features behind it must be there or answer ENOSYS. */
#ifndef LINUX_ABI_RELEASE_H
#define LINUX_ABI_RELEASE_H

#define KERNEL_RELEASE "6.1.0-vmm"
#define KERNEL_VERSION "#1 SMP PREEMPT_DYNAMIC vmm"

#endif
