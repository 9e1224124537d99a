/*
 * What the vmm may ask of the host's kernel while the guest runs, and who needs it. For the form see
 * gofer/seccomp_policy.h. Each thread installs it before the guest runs: vCPU, events (events.c), one per device.
 */
#define SECCOMP_POLICY(ALLOW, ALLOW_ARG, ALLOW_MASK, REFUSE)                                       \
    /* the virtual machine */                                                                      \
    ALLOW_ARG(ioctl, 1, KVM_RUN, "vcpu.c: run loop")                                               \
    ALLOW_ARG(ioctl, 1, KVM_SET_USER_MEMORY_REGION, "vm.c: RAM and window grow")                   \
    ALLOW_ARG(ioctl, 1, KVM_IOEVENTFD, "vcpu.c: the doorbell")                                     \
    ALLOW_ARG(ioctl, 1, KVM_TRANSLATE, "vcpu.c: is there a breakpoint?")                            \
    ALLOW_ARG(ioctl, 1, KVM_GET_SREGS, "hypercall.c: TR_RETRY")                                    \
    ALLOW_ARG(ioctl, 1, KVM_SET_SREGS, "hypercall.c: TR_RETRY")                                    \
    ALLOW(madvise, "hypercall.c: DISCARD, POPULATE; window.c: PROBE")                               \
    ALLOW_MASK(mmap, 2, PROT_EXEC, 0, "window.c: donated files; the C library's memory")           \
    ALLOW(munmap, "the C library's memory")                                                        \
    ALLOW(brk, "the C library's memory")                                                           \
    /* donated descriptors */                                                                      \
    ALLOW(recvmsg, "window.c: notes of the gofer")                                                 \
    ALLOW(fstat, "window.c: a donated file's type and size")                                       \
    ALLOW(newfstatat, "the same, as the C library makes it")                                       \
    ALLOW_ARG(fcntl, 1, F_GETFL, "window.c: a donated file's access mode")                         \
    ALLOW_ARG(fcntl, 1, F_DUPFD_CLOEXEC, "window.c: mappings keep their file")                     \
    ALLOW(close, "window.c: tokens dropped")                                                       \
    /* disks: each is a descriptor that was opened before the jail */                             \
    ALLOW(io_uring_enter, "devices/disk_ring.c; the ring does no more than what is listed here")   \
    ALLOW(preadv, "window.c: LOAD; devices/disk.c where there is no io_uring")                     \
    ALLOW(preadv2, "devices/disk.c: what the page cache has")                                      \
    ALLOW(pwritev2, "devices/disk.c: writes")                                                      \
    ALLOW(pwritev, "devices/disk.c, as the C library makes pwritev2 without flags")                \
    ALLOW(fdatasync, "the same")                                                                   \
    ALLOW(fallocate, "the same")                                                                   \
    ALLOW(pwrite64, "devices/disk.c: zeroes where a file system has no fallocate")                 \
    /* the network device: a tap that was opened before the jail */                                \
    ALLOW(readv, "devices/tap.c: frames that come")                                                \
    ALLOW_ARG(ioctl, 1, TUNSETOFFLOAD, "devices/tap.c: what the driver has negotiated")            \
    /* waiting, kicks, time */                                                                     \
    ALLOW(ppoll, "hypercall.c: WAIT; events.c")                                                    \
    ALLOW(read, "eventfds, timerfds, signalfd")                                                    \
    ALLOW(writev, "log lines")                                                                     \
    ALLOW(write, "eventfds; log, trace and report")                                                \
    ALLOW(timerfd_settime, "hypercall.c: DEADLINE; events.c")                                      \
    ALLOW(futex, "locks between the two threads")                                                  \
    ALLOW(tgkill, "vcpu.c: kick")                                                                  \
    ALLOW(getpid, "vcpu.c: kick; hypercall.c: STOP")                                               \
    ALLOW(gettid, "the C library")                                                                 \
    ALLOW_ARG(kill, 1, SIGSTOP, "hypercall.c: STOP")                                               \
    ALLOW(rt_sigreturn, "vcpu.c: end of the kick's handler")                                       \
    ALLOW(rt_sigprocmask, "the C library")                                                         \
    ALLOW(clock_gettime, "clock.c where there is no vDSO; --cpu-time")                             \
    ALLOW(restart_syscall, "ppoll after a stop")                                                   \
    ALLOW(getrusage, "report.c")                                                                   \
    /* the end */                                                                                  \
    ALLOW(exit, "a thread's end")                                                                  \
    ALLOW(exit_group, "the end")
