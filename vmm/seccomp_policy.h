/*
 * What the vmm may ask of the host's kernel once a guest runs, and who needs it. The form is that of
 * gofer/seccomp_policy.h.
 */
#define SECCOMP_POLICY(ALLOW, ALLOW_ARG, ALLOW_MASK, REFUSE)                                       \
    /* the virtual machine */                                                                      \
    ALLOW_ARG(ioctl, 1, KVM_RUN, "the run loop")                                                   \
    ALLOW_ARG(ioctl, 1, KVM_SET_USER_MEMORY_REGION, "RAM_GROW, MAP, UNMAP")                        \
    ALLOW_ARG(ioctl, 1, KVM_GET_REGS, "diverting to the shim where registers aren't synced")       \
    ALLOW_ARG(ioctl, 1, KVM_SET_REGS, "diverting to the shim where registers aren't synced")       \
    ALLOW_ARG(ioctl, 1, KVM_GET_SREGS, "a report of a broken guest; TR_RETRY")                     \
    ALLOW_ARG(ioctl, 1, KVM_SET_SREGS, "TR_RETRY")                                                 \
    ALLOW_ARG(ioctl, 1, KVM_GET_VCPU_EVENTS, "is an exception queued? where it isn't synced")      \
    ALLOW_ARG(ioctl, 1, KVM_SET_VCPU_EVENTS, "dropping a queued exception")                        \
    /* memory of the guest and of malloc */                                                        \
    ALLOW_MASK(mmap, 2, PROT_EXEC, 0, "RAM_GROW, MAP, a lost window page, malloc")                 \
    ALLOW_MASK(mprotect, 2, PROT_EXEC, 0, "malloc")                                                \
    ALLOW(munmap, "UNMAP, malloc")                                                                 \
    ALLOW(mremap, "malloc")                                                                        \
    ALLOW(madvise, "DISCARD, huge pages")                                                          \
    ALLOW(brk, "malloc")                                                                           \
    ALLOW(newfstatat, "donated files: type and size (fstat)")                                      \
    ALLOW(fstat, "donated files: type and size")                                                   \
    ALLOW_ARG(fcntl, 1, F_GETFL, "donated files: access mode")                                     \
    /* events */                                                                                   \
    ALLOW(read, "eventfds, timerfds, signalfd")                                                    \
    ALLOW(write, "eventfds; LOG and errors on stderr, --strace, --report")                         \
    ALLOW(writev, "LOG")                                                                           \
    ALLOW(recvmsg, "notes of the gofer")                                                           \
    ALLOW(poll, "WAIT")                                                                            \
    ALLOW(ppoll, "WAIT")                                                                           \
    ALLOW(timerfd_settime, "DEADLINE")                                                             \
    ALLOW(timer_settime, "DEADLINE")                                                               \
    ALLOW(futex, "between the event thread and the run loop")                                      \
    ALLOW(clock_gettime, "where the vDSO can't serve it")                                          \
    ALLOW(clock_nanosleep, "waiting for the gofer's end")                                          \
    ALLOW(getrusage, "--report, --cpu-time")                                                       \
    ALLOW(wait4, "how the gofer ended")                                                            \
    ALLOW(waitid, "how the gofer ended")                                                           \
    ALLOW(close, "donated files that are dropped")                                                 \
    ALLOW(lseek, "--report")                                                                       \
    /* signals and threads */                                                                      \
    ALLOW(rt_sigreturn, "kicks")                                                                   \
    ALLOW(rt_sigprocmask, "kicks; thread start and end")                                           \
    ALLOW(rt_sigaction, "stopping with the app")                                                   \
    ALLOW(tgkill, "kicks; ending by the app's signal")                                             \
    ALLOW_ARG(kill, 1, SIGSTOP, "STOP: the vmm stops with the app")                                \
    ALLOW(getpid, "kicks")                                                                         \
    ALLOW(gettid, "kicks")                                                                         \
    ALLOW_MASK(clone, 0, CLONE_THREAD | CLONE_VM | CLONE_NEWUSER, CLONE_THREAD | CLONE_VM, "the event thread") \
    REFUSE(clone3, ENOSYS, "its flags can't be seen by a filter; libc falls back to clone")        \
    ALLOW(set_robust_list, "the event thread")                                                     \
    ALLOW(rseq, "the event thread")                                                                \
    ALLOW(sched_yield, "the event thread")                                                         \
    ALLOW(restart_syscall, "waiting after a stop signal")                                          \
    ALLOW(exit, "the event thread")                                                                \
    ALLOW(exit_group, "the end")
