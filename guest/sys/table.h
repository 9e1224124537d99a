/*
 * Every system call of x86-64 Linux up to 6.18, and what the shim makes of it.
 *   X(number, name, FULL)                   works as the manual says; a text, if any, says what needs to be known
 *   X(number, name, PART, "text")           works, but for what the text says
 *   X(number, name, REFUSED, error, "text") answers this error on purpose, and why
 *   X(number, name, NONE)                   isn't there yet: answers ENOSYS, and is counted
 * Enum, dispatch table, trace names and docs/syscalls.md are made from this list.
 */
#ifndef SYS_TABLE_H
#define SYS_TABLE_H

#define SYSCALL_LIST(X) \
    X(0, read, FULL) \
    X(1, write, FULL) \
    X(2, open, FULL) \
    X(3, close, FULL) \
    X(4, stat, FULL) \
    X(5, fstat, FULL) \
    X(6, lstat, FULL) \
    X(7, poll, FULL) \
    X(8, lseek, FULL) \
    X(9, mmap, FULL) \
    X(10, mprotect, FULL) \
    X(11, munmap, FULL) \
    X(12, brk, FULL) \
    X(13, rt_sigaction, FULL) \
    X(14, rt_sigprocmask, FULL) \
    X(15, rt_sigreturn, FULL) \
    X(16, ioctl, FULL) \
    X(17, pread64, FULL) \
    X(18, pwrite64, FULL) \
    X(19, readv, FULL) \
    X(20, writev, FULL) \
    X(21, access, FULL) \
    X(22, pipe, FULL) \
    X(23, select, FULL) \
    X(24, sched_yield, FULL) \
    X(25, mremap, FULL) \
    X(26, msync, FULL) \
    X(27, mincore, FULL) \
    X(28, madvise, FULL) \
    X(29, shmget, FULL) \
    X(30, shmat, FULL) \
    X(31, shmctl, FULL) \
    X(32, dup, FULL) \
    X(33, dup2, FULL) \
    X(34, pause, FULL) \
    X(35, nanosleep, FULL) \
    X(36, getitimer, FULL) \
    X(37, alarm, FULL) \
    X(38, setitimer, FULL) \
    X(39, getpid, FULL) \
    X(40, sendfile, FULL) \
    X(41, socket, FULL) \
    X(42, connect, FULL) \
    X(43, accept, FULL) \
    X(44, sendto, FULL) \
    X(45, recvfrom, FULL) \
    X(46, sendmsg, FULL) \
    X(47, recvmsg, FULL) \
    X(48, shutdown, FULL) \
    X(49, bind, FULL) \
    X(50, listen, FULL) \
    X(51, getsockname, FULL) \
    X(52, getpeername, FULL) \
    X(53, socketpair, FULL) \
    X(54, setsockopt, FULL) \
    X(55, getsockopt, FULL) \
    X(56, clone, FULL) \
    X(57, fork, FULL) \
    X(58, vfork, FULL) \
    X(59, execve, FULL) \
    X(60, exit, FULL) \
    X(61, wait4, FULL) \
    X(62, kill, FULL) \
    X(63, uname, FULL) \
    X(64, semget, FULL) \
    X(65, semop, FULL) \
    X(66, semctl, FULL) \
    X(67, shmdt, FULL) \
    X(68, msgget, FULL) \
    X(69, msgsnd, FULL) \
    X(70, msgrcv, FULL) \
    X(71, msgctl, FULL) \
    X(72, fcntl, FULL) \
    X(73, flock, FULL) \
    X(74, fsync, FULL) \
    X(75, fdatasync, FULL) \
    X(76, truncate, FULL) \
    X(77, ftruncate, FULL) \
    X(78, getdents, FULL) \
    X(79, getcwd, FULL) \
    X(80, chdir, FULL) \
    X(81, fchdir, FULL) \
    X(82, rename, FULL) \
    X(83, mkdir, FULL) \
    X(84, rmdir, FULL) \
    X(85, creat, FULL) \
    X(86, link, FULL) \
    X(87, unlink, FULL) \
    X(88, symlink, FULL) \
    X(89, readlink, FULL) \
    X(90, chmod, FULL) \
    X(91, fchmod, FULL) \
    X(92, chown, FULL) \
    X(93, fchown, FULL) \
    X(94, lchown, FULL) \
    X(95, umask, FULL) \
    X(96, gettimeofday, FULL) \
    X(97, getrlimit, FULL) \
    X(98, getrusage, FULL) \
    X(99, sysinfo, FULL) \
    X(100, times, FULL) \
    X(101, ptrace, PART, "no debug registers: EIO") \
    X(102, getuid, FULL) \
    X(103, syslog, REFUSED, EPERM, "there is no kernel log inside") \
    X(104, getgid, FULL) \
    X(105, setuid, FULL) \
    X(106, setgid, FULL) \
    X(107, geteuid, FULL) \
    X(108, getegid, FULL) \
    X(109, setpgid, FULL) \
    X(110, getppid, FULL) \
    X(111, getpgrp, FULL) \
    X(112, setsid, FULL) \
    X(113, setreuid, FULL) \
    X(114, setregid, FULL) \
    X(115, getgroups, FULL) \
    X(116, setgroups, FULL) \
    X(117, setresuid, FULL) \
    X(118, getresuid, FULL) \
    X(119, setresgid, FULL) \
    X(120, getresgid, FULL) \
    X(121, getpgid, FULL) \
    X(122, setfsuid, FULL) \
    X(123, setfsgid, FULL) \
    X(124, getsid, FULL) \
    X(125, capget, FULL) \
    X(126, capset, FULL) \
    X(127, rt_sigpending, FULL) \
    X(128, rt_sigtimedwait, FULL) \
    X(129, rt_sigqueueinfo, FULL) \
    X(130, rt_sigsuspend, FULL) \
    X(131, sigaltstack, FULL) \
    X(132, utime, FULL) \
    X(133, mknod, FULL) \
    X(134, uselib, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(135, personality, FULL) \
    X(136, ustat, FULL) \
    X(137, statfs, FULL) \
    X(138, fstatfs, FULL) \
    X(139, sysfs, FULL) \
    X(140, getpriority, FULL) \
    X(141, setpriority, FULL) \
    X(142, sched_setparam, FULL) \
    X(143, sched_getparam, FULL) \
    X(144, sched_setscheduler, FULL) \
    X(145, sched_getscheduler, FULL) \
    X(146, sched_get_priority_max, FULL) \
    X(147, sched_get_priority_min, FULL) \
    X(148, sched_rr_get_interval, FULL) \
    X(149, mlock, FULL) \
    X(150, munlock, FULL) \
    X(151, mlockall, FULL) \
    X(152, munlockall, FULL) \
    X(153, vhangup, REFUSED, EPERM, "administers a machine, and there is none") \
    X(154, modify_ldt, REFUSED, ENOSYS, "as a kernel without CONFIG_MODIFY_LDT_SYSCALL: only 16- and 32-bit code needs it") \
    X(155, pivot_root, REFUSED, EPERM, "the mount tree is made before the program starts") \
    X(156, _sysctl, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(157, prctl, FULL, "speculation control, core scheduling and MDWE give EINVAL, as in a kernel without them") \
    X(158, arch_prctl, FULL) \
    X(159, adjtimex, PART, "reads; setting the clock, which is the host's, gives EPERM") \
    X(160, setrlimit, FULL) \
    X(161, chroot, FULL) \
    X(162, sync, FULL) \
    X(163, acct, REFUSED, EPERM, "administers a machine, and there is none") \
    X(164, settimeofday, PART, "the clock is the host's: EPERM") \
    X(165, mount, REFUSED, EPERM, "the mount tree is made before the program starts") \
    X(166, umount2, REFUSED, EPERM, "the mount tree is made before the program starts") \
    X(167, swapon, REFUSED, EPERM, "administers a machine, and there is none") \
    X(168, swapoff, REFUSED, EPERM, "administers a machine, and there is none") \
    X(169, reboot, REFUSED, EPERM, "administers a machine, and there is none") \
    X(170, sethostname, FULL) \
    X(171, setdomainname, FULL) \
    X(172, iopl, REFUSED, EPERM, "ports belong to the VM's own devices") \
    X(173, ioperm, REFUSED, EPERM, "ports belong to the VM's own devices") \
    X(174, create_module, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(175, init_module, REFUSED, EPERM, "no code is loaded into the shim") \
    X(176, delete_module, REFUSED, EPERM, "no code is loaded into the shim") \
    X(177, get_kernel_syms, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(178, query_module, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(179, quotactl, REFUSED, EPERM, "administers a machine, and there is none") \
    X(180, nfsservctl, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(181, getpmsg, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(182, putpmsg, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(183, afs_syscall, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(184, tuxcall, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(185, security, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(186, gettid, FULL) \
    X(187, readahead, FULL, "hints are checked; what is read ahead is decided by the file system") \
    X(188, setxattr, FULL) \
    X(189, lsetxattr, FULL) \
    X(190, fsetxattr, FULL) \
    X(191, getxattr, FULL) \
    X(192, lgetxattr, FULL) \
    X(193, fgetxattr, FULL) \
    X(194, listxattr, FULL) \
    X(195, llistxattr, FULL) \
    X(196, flistxattr, FULL) \
    X(197, removexattr, FULL) \
    X(198, lremovexattr, FULL) \
    X(199, fremovexattr, FULL) \
    X(200, tkill, FULL) \
    X(201, time, FULL) \
    X(202, futex, FULL) \
    X(203, sched_setaffinity, FULL) \
    X(204, sched_getaffinity, FULL) \
    X(205, set_thread_area, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(206, io_setup, FULL) \
    X(207, io_destroy, FULL) \
    X(208, io_getevents, FULL) \
    X(209, io_submit, FULL) \
    X(210, io_cancel, FULL) \
    X(211, get_thread_area, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(212, lookup_dcookie, REFUSED, ENOSYS, "removed from Linux 6.6") \
    X(213, epoll_create, FULL) \
    X(214, epoll_ctl_old, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(215, epoll_wait_old, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(216, remap_file_pages, FULL) \
    X(217, getdents64, FULL) \
    X(218, set_tid_address, FULL) \
    X(219, restart_syscall, FULL) \
    X(220, semtimedop, FULL) \
    X(221, fadvise64, FULL, "hints are checked; what is read ahead is decided by the file system") \
    X(222, timer_create, FULL) \
    X(223, timer_settime, FULL) \
    X(224, timer_gettime, FULL) \
    X(225, timer_getoverrun, FULL) \
    X(226, timer_delete, FULL) \
    X(227, clock_settime, PART, "reads; setting the clock, which is the host's, gives EPERM") \
    X(228, clock_gettime, FULL) \
    X(229, clock_getres, FULL) \
    X(230, clock_nanosleep, FULL) \
    X(231, exit_group, FULL) \
    X(232, epoll_wait, FULL) \
    X(233, epoll_ctl, FULL) \
    X(234, tgkill, FULL) \
    X(235, utimes, FULL) \
    X(236, vserver, REFUSED, ENOSYS, "x86-64 Linux has no such call") \
    X(237, mbind, FULL, "a machine of one node") \
    X(238, set_mempolicy, FULL, "a machine of one node") \
    X(239, get_mempolicy, FULL, "a machine of one node") \
    X(240, mq_open, FULL) \
    X(241, mq_unlink, FULL) \
    X(242, mq_timedsend, FULL) \
    X(243, mq_timedreceive, FULL) \
    X(244, mq_notify, FULL) \
    X(245, mq_getsetattr, FULL) \
    X(246, kexec_load, REFUSED, EPERM, "no code is loaded into the shim") \
    X(247, waitid, FULL) \
    X(248, add_key, REFUSED, ENOSYS, "as a kernel without CONFIG_KEYS") \
    X(249, request_key, REFUSED, ENOSYS, "as a kernel without CONFIG_KEYS") \
    X(250, keyctl, REFUSED, ENOSYS, "as a kernel without CONFIG_KEYS") \
    X(251, ioprio_set, FULL) \
    X(252, ioprio_get, FULL) \
    X(253, inotify_init, FULL) \
    X(254, inotify_add_watch, FULL) \
    X(255, inotify_rm_watch, FULL) \
    X(256, migrate_pages, FULL, "a machine of one node: every page is there already") \
    X(257, openat, FULL) \
    X(258, mkdirat, FULL) \
    X(259, mknodat, FULL) \
    X(260, fchownat, FULL) \
    X(261, futimesat, FULL) \
    X(262, newfstatat, FULL) \
    X(263, unlinkat, FULL) \
    X(264, renameat, FULL) \
    X(265, linkat, FULL) \
    X(266, symlinkat, FULL) \
    X(267, readlinkat, FULL) \
    X(268, fchmodat, FULL) \
    X(269, faccessat, FULL) \
    X(270, pselect6, FULL) \
    X(271, ppoll, FULL) \
    X(272, unshare, PART, "no new namespaces: EPERM") \
    X(273, set_robust_list, FULL) \
    X(274, get_robust_list, FULL) \
    X(275, splice, FULL) \
    X(276, tee, FULL) \
    X(277, sync_file_range, FULL, "writes back the whole file, which is more than was asked for") \
    X(278, vmsplice, FULL, "copies pages, as Linux does without SPLICE_F_GIFT") \
    X(279, move_pages, FULL, "a machine of one node: every page is there already") \
    X(280, utimensat, FULL) \
    X(281, epoll_pwait, FULL) \
    X(282, signalfd, FULL) \
    X(283, timerfd_create, FULL) \
    X(284, eventfd, FULL) \
    X(285, fallocate, FULL) \
    X(286, timerfd_settime, FULL) \
    X(287, timerfd_gettime, FULL) \
    X(288, accept4, FULL) \
    X(289, signalfd4, FULL) \
    X(290, eventfd2, FULL) \
    X(291, epoll_create1, FULL) \
    X(292, dup3, FULL) \
    X(293, pipe2, FULL) \
    X(294, inotify_init1, FULL) \
    X(295, preadv, FULL) \
    X(296, pwritev, FULL) \
    X(297, rt_tgsigqueueinfo, FULL) \
    X(298, perf_event_open, REFUSED, EPERM, "no performance counters inside") \
    X(299, recvmmsg, FULL) \
    X(300, fanotify_init, REFUSED, ENOSYS, "as a kernel without CONFIG_FANOTIFY: its events would hold up the file system") \
    X(301, fanotify_mark, REFUSED, ENOSYS, "as a kernel without CONFIG_FANOTIFY: its events would hold up the file system") \
    X(302, prlimit64, FULL) \
    X(303, name_to_handle_at, REFUSED, EOPNOTSUPP, "handles would outlive what the sandbox knows of its files") \
    X(304, open_by_handle_at, REFUSED, EPERM, "handles would outlive what the sandbox knows of its files") \
    X(305, clock_adjtime, PART, "reads; setting the clock, which is the host's, gives EPERM") \
    X(306, syncfs, FULL) \
    X(307, sendmmsg, FULL) \
    X(308, setns, REFUSED, EPERM, "the sandbox has one of each namespace") \
    X(309, getcpu, FULL) \
    X(310, process_vm_readv, FULL) \
    X(311, process_vm_writev, FULL) \
    X(312, kcmp, FULL) \
    X(313, finit_module, REFUSED, EPERM, "no code is loaded into the shim") \
    X(314, sched_setattr, PART, "no SCHED_DEADLINE: EINVAL") \
    X(315, sched_getattr, FULL) \
    X(316, renameat2, FULL) \
    X(317, seccomp, FULL) \
    X(318, getrandom, FULL) \
    X(319, memfd_create, PART, "no MFD_HUGETLB: EINVAL") \
    X(320, kexec_file_load, REFUSED, EPERM, "no code is loaded into the shim") \
    X(321, bpf, REFUSED, EPERM, "no code is loaded into the shim") \
    X(322, execveat, FULL) \
    X(323, userfaultfd, REFUSED, EPERM, "as with vm.unprivileged_userfaultfd=0") \
    X(324, membarrier, FULL) \
    X(325, mlock2, FULL) \
    X(326, copy_file_range, FULL) \
    X(327, preadv2, FULL, "RWF_NOWAIT gives EOPNOTSUPP, as with file systems that can\'t say") \
    X(328, pwritev2, FULL, "RWF_NOWAIT gives EOPNOTSUPP, as with file systems that can\'t say") \
    X(329, pkey_mprotect, FULL) \
    X(330, pkey_alloc, FULL) \
    X(331, pkey_free, FULL) \
    X(332, statx, FULL) \
    X(333, io_pgetevents, FULL) \
    X(334, rseq, FULL) \
    X(335, uretprobe, REFUSED, ENOSYS, "as a kernel without CONFIG_UPROBES") \
    X(336, uprobe, REFUSED, ENOSYS, "as a kernel without CONFIG_UPROBES") \
    X(424, pidfd_send_signal, FULL) \
    X(425, io_uring_setup, REFUSED, ENOSYS, "programs fall back to other calls; a second way into every operation isn't worth its bugs") \
    X(426, io_uring_enter, REFUSED, ENOSYS, "programs fall back to other calls; a second way into every operation isn't worth its bugs") \
    X(427, io_uring_register, REFUSED, ENOSYS, "programs fall back to other calls; a second way into every operation isn't worth its bugs") \
    X(428, open_tree, REFUSED, EPERM, "the mount tree is made before the program starts") \
    X(429, move_mount, REFUSED, EPERM, "the mount tree is made before the program starts") \
    X(430, fsopen, REFUSED, EPERM, "the mount tree is made before the program starts") \
    X(431, fsconfig, REFUSED, EPERM, "the mount tree is made before the program starts") \
    X(432, fsmount, REFUSED, EPERM, "the mount tree is made before the program starts") \
    X(433, fspick, REFUSED, EPERM, "the mount tree is made before the program starts") \
    X(434, pidfd_open, FULL) \
    X(435, clone3, FULL) \
    X(436, close_range, FULL) \
    X(437, openat2, FULL) \
    X(438, pidfd_getfd, FULL) \
    X(439, faccessat2, FULL) \
    X(440, process_madvise, FULL) \
    X(441, epoll_pwait2, FULL) \
    X(442, mount_setattr, REFUSED, EPERM, "the mount tree is made before the program starts") \
    X(443, quotactl_fd, REFUSED, EPERM, "administers a machine, and there is none") \
    X(444, landlock_create_ruleset, REFUSED, ENOSYS, "as a kernel without Landlock: the sandbox's own border is the VM") \
    X(445, landlock_add_rule, REFUSED, ENOSYS, "as a kernel without Landlock: the sandbox's own border is the VM") \
    X(446, landlock_restrict_self, REFUSED, ENOSYS, "as a kernel without Landlock: the sandbox's own border is the VM") \
    X(447, memfd_secret, REFUSED, ENOSYS, "as with secretmem.enable=0") \
    X(448, process_mrelease, FULL, "the memory goes when the process next runs") \
    X(449, futex_waitv, FULL) \
    X(450, set_mempolicy_home_node, FULL, "a machine of one node") \
    X(451, cachestat, FULL) \
    X(452, fchmodat2, FULL) \
    X(453, map_shadow_stack, REFUSED, EOPNOTSUPP, "as a CPU without shadow stacks") \
    X(454, futex_wake, FULL) \
    X(455, futex_wait, FULL) \
    X(456, futex_requeue, FULL) \
    X(457, statmount, FULL) \
    X(458, listmount, FULL) \
    X(459, lsm_get_self_attr, REFUSED, ENOSYS, "as a kernel without security modules") \
    X(460, lsm_set_self_attr, REFUSED, ENOSYS, "as a kernel without security modules") \
    X(461, lsm_list_modules, REFUSED, ENOSYS, "as a kernel without security modules") \
    X(462, mseal, FULL) \
    X(463, setxattrat, FULL) \
    X(464, getxattrat, FULL) \
    X(465, listxattrat, FULL) \
    X(466, removexattrat, FULL) \
    X(467, open_tree_attr, REFUSED, EPERM, "the mount tree is made before the program starts") \
    X(468, file_getattr, REFUSED, EOPNOTSUPP, "as file systems without such attributes") \
    X(469, file_setattr, REFUSED, EOPNOTSUPP, "as file systems without such attributes")

#endif
