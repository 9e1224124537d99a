/*
 * What the gofer may ask of the host's kernel once it serves a guest, and who needs it.
 *
 * common/build/seccomp_gen.c makes a filter of it at build time. Everything that isn't listed ends the process.
 *   ALLOW(call, why)
 *   ALLOW_ARG(call, argument, value, why)         only with that value (rules of one call add up)
 *   ALLOW_MASK(call, argument, mask, value, why)  only if argument & mask == value
 *   REFUSE(call, errno, why)                      fails, but does no harm
 */
#define SECCOMP_POLICY(ALLOW, ALLOW_ARG, ALLOW_MASK, REFUSE)                                       \
    /* paths: path.c, beneath the exports' own mounts */                                           \
    ALLOW(openat2, "path_open_at: every name that a guest sends")                                  \
    ALLOW_MASK(openat, 2, O_CREAT, 0, "path_reopen: own descriptors in /proc/self/fd")             \
    ALLOW(statx, "attributes of everything")                                                       \
    ALLOW(readlinkat, "Treadlink, Twalkx")                                                         \
    ALLOW(fstatfs, "Tstatfs; what may be donated")                                                 \
    ALLOW(getdents64, "Treaddir")                                                                  \
    ALLOW(lseek, "Treaddir, Tseek")                                                                \
    ALLOW(close, "Tclunk")                                                                         \
    /* names, in writable exports */                                                               \
    ALLOW(mkdirat, "Tmkdir")                                                                       \
    ALLOW_MASK(mknodat, 2, 0x2000, 0, "Tmknod: regular files, FIFOs, sockets; no devices")         \
    ALLOW_MASK(mknodat, 3, 0xffffffff, 0, "Tmknod: whiteouts, device 0/0")                         \
    ALLOW(symlinkat, "Tsymlink")                                                                   \
    ALLOW(linkat, "Tlink")                                                                         \
    ALLOW(unlinkat, "Tunlinkat, Tremove")                                                          \
    ALLOW(renameat, "Trename")                                                                     \
    ALLOW(renameat2, "Trenameat, Trename2")                                                        \
    /* attributes, in writable exports */                                                          \
    ALLOW_MASK(chmod, 1, 04000, 0, "Tsetattr: never setuid")                                       \
    ALLOW(fchownat, "Tsetattr")                                                                    \
    ALLOW(utimensat, "Tsetattr")                                                                   \
    ALLOW(truncate, "Tsetattr of a file that isn't open")                                          \
    ALLOW(ftruncate, "Tsetattr of an open file")                                                   \
    ALLOW(getxattr, "Txattrwalk")                                                                  \
    ALLOW(listxattr, "Txattrwalk without a name")                                                  \
    ALLOW(setxattr, "Tclunk after Txattrcreate")                                                   \
    ALLOW(removexattr, "Tclunk after Txattrcreate")                                                \
    /* data */                                                                                     \
    ALLOW(preadv, "Tread")                                                                         \
    ALLOW(preadv2, "Tread of cached data")                                                         \
    ALLOW(pwritev, "Twrite")                                                                       \
    ALLOW(readv, "Tread of stdio")                                                                 \
    ALLOW(writev, "Twrite of stdio")                                                               \
    ALLOW(recvmsg, "Tread of stdio that is a socket; socket transport")                            \
    ALLOW(sendmsg, "Twrite of stdio that is a socket; donations on the control socket")            \
    ALLOW(accept4, "socket transport; a sandbox's gofer has no socket to accept on")               \
    ALLOW(eventfd2, "socket transport: a client's finished jobs")                                  \
    ALLOW(fsync, "Tfsync")                                                                         \
    ALLOW(fdatasync, "Tfsync")                                                                     \
    ALLOW(syncfs, "Tsync")                                                                         \
    ALLOW(fallocate, "Tfallocate")                                                                 \
    ALLOW_ARG(fcntl, 1, F_DUPFD_CLOEXEC, "Tattach")                                                \
    ALLOW_ARG(fcntl, 1, F_GETFL, "Tattach of stdio")                                               \
    ALLOW(dup3, "Tclunk of stdio: its number stays taken")                                         \
    ALLOW_ARG(fcntl, 1, F_OFD_SETLK, "Tlock")                                                      \
    ALLOW_ARG(fcntl, 1, F_OFD_GETLK, "Tgetlock")                                                   \
    /* terminals among the inherited descriptors: op_stdio.c has the same list */                  \
    ALLOW_ARG(ioctl, 1, TCGETS, "Tioctl")                                                          \
    ALLOW_ARG(ioctl, 1, TCSETS, "Tioctl")                                                          \
    ALLOW_ARG(ioctl, 1, TCSETSW, "Tioctl")                                                         \
    ALLOW_ARG(ioctl, 1, TCSETSF, "Tioctl")                                                         \
    ALLOW_ARG(ioctl, 1, TCGETA, "Tioctl")                                                          \
    ALLOW_ARG(ioctl, 1, TCSETA, "Tioctl")                                                          \
    ALLOW_ARG(ioctl, 1, TCSETAW, "Tioctl")                                                         \
    ALLOW_ARG(ioctl, 1, TCSETAF, "Tioctl")                                                         \
    ALLOW_ARG(ioctl, 1, 0x802c542a, "Tioctl: TCGETS2")                                             \
    ALLOW_ARG(ioctl, 1, 0x402c542b, "Tioctl: TCSETS2")                                             \
    ALLOW_ARG(ioctl, 1, 0x402c542c, "Tioctl: TCSETSW2")                                            \
    ALLOW_ARG(ioctl, 1, 0x402c542d, "Tioctl: TCSETSF2")                                            \
    ALLOW_ARG(ioctl, 1, TIOCGWINSZ, "Tioctl")                                                      \
    ALLOW_ARG(ioctl, 1, TIOCSWINSZ, "Tioctl")                                                      \
    ALLOW_ARG(ioctl, 1, TIOCGPGRP, "Tioctl")                                                       \
    ALLOW_ARG(ioctl, 1, TIOCGSID, "Tioctl")                                                        \
    ALLOW_ARG(ioctl, 1, TIOCOUTQ, "Tioctl")                                                        \
    ALLOW_ARG(ioctl, 1, FIONREAD, "Tioctl")                                                        \
    ALLOW_ARG(ioctl, 1, TCSBRK, "Tioctl")                                                          \
    ALLOW_ARG(ioctl, 1, TCSBRKP, "Tioctl")                                                         \
    ALLOW_ARG(ioctl, 1, TCXONC, "Tioctl")                                                          \
    ALLOW_ARG(ioctl, 1, TCFLSH, "Tioctl")                                                          \
    /* the loop, workers, memory */                                                                \
    ALLOW(read, "eventfds")                                                                        \
    ALLOW(write, "eventfds; errors on stderr")                                                     \
    ALLOW_ARG(sched_setaffinity, 0, 0, "placement.c: leaving the guest's core, and any core again")  \
    ALLOW(getcpu, "placement.c, where libc has no rseq")                                           \
    ALLOW(poll, "waiting for requests")                                                            \
    ALLOW(futex, "workers")                                                                        \
    ALLOW_MASK(clone, 0, CLONE_THREAD | CLONE_VM | CLONE_NEWUSER, CLONE_THREAD | CLONE_VM, "starting a worker") \
    REFUSE(clone3, ENOSYS, "its flags can't be seen by a filter; libc falls back to clone")        \
    ALLOW_MASK(mmap, 2, PROT_EXEC, 0, "malloc, stacks of workers")                                 \
    ALLOW_MASK(mprotect, 2, PROT_EXEC, 0, "malloc, stacks of workers")                             \
    ALLOW(munmap, "malloc")                                                                        \
    ALLOW(mremap, "malloc")                                                                        \
    ALLOW(madvise, "malloc, an ending worker")                                                     \
    ALLOW(brk, "malloc")                                                                           \
    ALLOW(set_robust_list, "a starting worker")                                                    \
    ALLOW(rseq, "a starting worker")                                                               \
    ALLOW(rt_sigaction, "starting the first worker")                                               \
    ALLOW(rt_sigprocmask, "starting a worker")                                                     \
    ALLOW(rt_sigreturn, "a worker that was interrupted")                                           \
    ALLOW(tgkill, "interrupting a worker")                                                         \
    ALLOW(getpid, "interrupting a worker")                                                         \
    ALLOW(gettid, "interrupting a worker")                                                         \
    ALLOW(clock_gettime, "where the vDSO can't serve it")                                          \
    ALLOW(restart_syscall, "poll after a stop signal")                                             \
    ALLOW(exit, "an ending worker")                                                                \
    ALLOW(exit_group, "the end")

/*
 * With --net, --allow or --publish, these as well. Addresses can't be seen by a filter: net_check.c decides on them.
 */
#define SECCOMP_POLICY_NET(ALLOW, ALLOW_ARG, ALLOW_MASK, REFUSE)                                   \
    SECCOMP_POLICY(ALLOW, ALLOW_ARG, ALLOW_MASK, REFUSE)                                           \
    ALLOW_ARG(socket, 0, AF_INET, "Tnsocket")                                                      \
    ALLOW_ARG(socket, 0, AF_INET6, "Tnsocket")                                                     \
    ALLOW(connect, "Tnconnect; a sandbox's gofer has no other sockets to connect")                 \
    ALLOW(bind, "Tnbind: source addresses; there is no privilege for ports below 1024")            \
    ALLOW(listen, "Tnlisten: sockets that --publish has bound")                                    \
    ALLOW(sendto, "routes; Tnoob")                                                                 \
    ALLOW(recvfrom, "routes; Tnoob")                                                               \
    ALLOW(shutdown, "Tnshutdown, Tnclose")                                                         \
    ALLOW(getsockname, "Tnname, Tnaccept")                                                         \
    ALLOW(getpeername, "Tnname, Tnaccept")                                                         \
    ALLOW(setsockopt, "Tnsetopt: net_options.c; SO_LINGER of Tnclose")                             \
    ALLOW(getsockopt, "Tngetopt; SO_ERROR")                                                        \
    ALLOW(epoll_wait, "net_poll.c")                                                                \
    ALLOW(epoll_ctl, "net_add, net_remove")
