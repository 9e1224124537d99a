/* Who and where the caller is: uname, host name, user and group ids, capabilities, personality, random numbers. */
#include "sys/syscall.h"

#include "arch/cpu.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "linux_abi/release.h"
#include "mm/frame.h"
#include "proc/sched.h"

#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/random.h>
#include <linux/utsname.h>

#define ID_NONE UINT32_MAX /* "leave it as it is" */

SYSCALL_DEFINE1(uname, uaddr_t, buf)
{
    struct new_utsname u;

    memset(&u, 0, sizeof(u));
    strlcpy(u.sysname, "Linux", sizeof(u.sysname));
    strlcpy(u.nodename, system_hostname, sizeof(u.nodename));
    strlcpy(u.release, KERNEL_RELEASE, sizeof(u.release));
    strlcpy(u.version, KERNEL_VERSION, sizeof(u.version));
    strlcpy(u.machine, "x86_64", sizeof(u.machine));
    strlcpy(u.domainname, system_domainname, sizeof(u.domainname));
    return put_user(u, buf);
}

static long set_name(char *dst, uaddr_t name, int len)
{
    char buf[65];

    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (len < 0 || len > 64)
        return -EINVAL;
    if (copy_from_user(buf, name, (size_t)len) < 0)
        return -EFAULT;
    buf[len] = '\0';
    strlcpy(dst, buf, 65);
    return 0;
}

SYSCALL_DEFINE2(sethostname, uaddr_t, name, int, len)
{
    return set_name(system_hostname, name, len);
}

SYSCALL_DEFINE2(setdomainname, uaddr_t, name, int, len)
{
    return set_name(system_domainname, name, len);
}

/* --- process ids --- */

SYSCALL_DEFINE0(getpid)
{
    return current->proc->pid;
}

SYSCALL_DEFINE0(getppid)
{
    return current->proc->parent->pid;
}

/* --- user ids (credentials(7)) --- */

static struct cred *cred(void)
{
    return &current->proc->cred;
}

SYSCALL_DEFINE0(getuid)
{
    return cred()->uid;
}

SYSCALL_DEFINE0(geteuid)
{
    return cred()->euid;
}

SYSCALL_DEFINE0(getgid)
{
    return cred()->gid;
}

SYSCALL_DEFINE0(getegid)
{
    return cred()->egid;
}

static long put_ids(uint32_t a, uint32_t b, uint32_t c, uaddr_t pa, uaddr_t pb, uaddr_t pc)
{
    if (put_user(a, pa) < 0 || put_user(b, pb) < 0)
        return -EFAULT;
    return put_user(c, pc);
}

SYSCALL_DEFINE3(getresuid, uaddr_t, ruid, uaddr_t, euid, uaddr_t, suid)
{
    return put_ids(cred()->uid, cred()->euid, cred()->suid, ruid, euid, suid);
}

SYSCALL_DEFINE3(getresgid, uaddr_t, rgid, uaddr_t, egid, uaddr_t, sgid)
{
    return put_ids(cred()->gid, cred()->egid, cred()->sgid, rgid, egid, sgid);
}

#define SECBIT_NO_SETUID_FIXUP_BIT (1u << 2)
#define SECBIT_KEEP_CAPS_BIT (1u << 4)
/* What the file system user id governs (capabilities(7), "Effect of user ID changes"). */
#define CAPS_OF_FSUID                                                                              \
    (1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_DAC_READ_SEARCH |                  \
     1ull << CAP_FOWNER | 1ull << CAP_FSETID | 1ull << CAP_LINUX_IMMUTABLE |                       \
     1ull << CAP_MAC_OVERRIDE | 1ull << CAP_MKNOD)

/* Capabilities follow changes between uid 0 and others. old: before the change. */
static void fix_capabilities(struct cred *c, const struct cred *old)
{
    bool had_root = old->uid == 0 || old->euid == 0 || old->suid == 0;
    bool has_root = c->uid == 0 || c->euid == 0 || c->suid == 0;

    if (c->securebits & SECBIT_NO_SETUID_FIXUP_BIT)
        return;
    if (had_root && !has_root) {
        if (!(c->securebits & SECBIT_KEEP_CAPS_BIT)) {
            c->cap_permitted = 0;
            c->cap_effective = 0;
        }
        c->cap_ambient = 0;
    }
    if (old->euid == 0 && c->euid != 0)
        c->cap_effective = 0;
    if (old->euid != 0 && c->euid == 0)
        c->cap_effective = c->cap_permitted;
}

static long commit_uids(const struct cred *new)
{
    struct cred *c = cred(), old = *c;

    *c = *new;
    fix_capabilities(c, &old);
    if (c->euid != old.euid || c->egid != old.egid)
        current->proc->dumpable = false;
    return 0;
}

static bool is_own_uid(uint32_t id)
{
    return id == cred()->uid || id == cred()->euid || id == cred()->suid;
}

static bool is_own_gid(uint32_t id)
{
    return id == cred()->gid || id == cred()->egid || id == cred()->sgid;
}

SYSCALL_DEFINE1(setuid, uint32_t, uid)
{
    struct cred new = *cred();

    if (uid == ID_NONE)
        return -EINVAL;
    if (capable(CAP_SETUID))
        new.uid = new.suid = uid;
    else if (uid != new.uid && uid != new.suid)
        return -EPERM;
    new.euid = new.fsuid = uid;
    return commit_uids(&new);
}

SYSCALL_DEFINE1(setgid, uint32_t, gid)
{
    struct cred new = *cred();

    if (gid == ID_NONE)
        return -EINVAL;
    if (capable(CAP_SETGID))
        new.gid = new.sgid = gid;
    else if (gid != new.gid && gid != new.sgid)
        return -EPERM;
    new.egid = new.fsgid = gid;
    return commit_uids(&new);
}

SYSCALL_DEFINE2(setreuid, uint32_t, ruid, uint32_t, euid)
{
    struct cred new = *cred();

    if (!capable(CAP_SETUID) && ((ruid != ID_NONE && ruid != new.uid && ruid != new.euid) ||
                                 (euid != ID_NONE && !is_own_uid(euid))))
        return -EPERM;
    if (ruid != ID_NONE)
        new.uid = ruid;
    if (euid != ID_NONE)
        new.euid = euid;
    if (ruid != ID_NONE || (euid != ID_NONE && euid != cred()->uid))
        new.suid = new.euid;
    new.fsuid = new.euid;
    return commit_uids(&new);
}

SYSCALL_DEFINE2(setregid, uint32_t, rgid, uint32_t, egid)
{
    struct cred new = *cred();

    if (!capable(CAP_SETGID) && ((rgid != ID_NONE && rgid != new.gid && rgid != new.egid) ||
                                 (egid != ID_NONE && !is_own_gid(egid))))
        return -EPERM;
    if (rgid != ID_NONE)
        new.gid = rgid;
    if (egid != ID_NONE)
        new.egid = egid;
    if (rgid != ID_NONE || (egid != ID_NONE && egid != cred()->gid))
        new.sgid = new.egid;
    new.fsgid = new.egid;
    return commit_uids(&new);
}

static bool may_take_uid(uint32_t id)
{
    return id == ID_NONE || is_own_uid(id) || capable(CAP_SETUID);
}

static bool may_take_gid(uint32_t id)
{
    return id == ID_NONE || is_own_gid(id) || capable(CAP_SETGID);
}

SYSCALL_DEFINE3(setresuid, uint32_t, ruid, uint32_t, euid, uint32_t, suid)
{
    struct cred new = *cred();

    if (!may_take_uid(ruid) || !may_take_uid(euid) || !may_take_uid(suid))
        return -EPERM;
    if (ruid != ID_NONE)
        new.uid = ruid;
    if (euid != ID_NONE)
        new.euid = euid;
    if (suid != ID_NONE)
        new.suid = suid;
    new.fsuid = new.euid;
    return commit_uids(&new);
}

SYSCALL_DEFINE3(setresgid, uint32_t, rgid, uint32_t, egid, uint32_t, sgid)
{
    struct cred new = *cred();

    if (!may_take_gid(rgid) || !may_take_gid(egid) || !may_take_gid(sgid))
        return -EPERM;
    if (rgid != ID_NONE)
        new.gid = rgid;
    if (egid != ID_NONE)
        new.egid = egid;
    if (sgid != ID_NONE)
        new.sgid = sgid;
    new.fsgid = new.egid;
    return commit_uids(&new);
}

/* Returns the old id, changed or not (setfsuid(2)). */
SYSCALL_DEFINE1(setfsuid, uint32_t, uid)
{
    struct cred *c = cred();
    uint32_t old = c->fsuid;

    if (uid == ID_NONE || (!is_own_uid(uid) && uid != old && !capable(CAP_SETUID)))
        return old;
    c->fsuid = uid;
    if (old == 0 && uid != 0)
        c->cap_effective &= ~CAPS_OF_FSUID;
    if (old != 0 && uid == 0)
        c->cap_effective |= c->cap_permitted & CAPS_OF_FSUID;
    return old;
}

SYSCALL_DEFINE1(setfsgid, uint32_t, gid)
{
    struct cred *c = cred();
    uint32_t old = c->fsgid;

    if (gid != ID_NONE && (is_own_gid(gid) || gid == old || capable(CAP_SETGID)))
        c->fsgid = gid;
    return old;
}

SYSCALL_DEFINE2(getgroups, int, size, uaddr_t, list)
{
    struct group_list *g = cred()->groups;
    uint32_t count = g ? g->count : 0;
    long ret = count;

    if (size < 0)
        return -EINVAL;
    if (size == 0 || count == 0)
        return count;
    if ((uint32_t)size < count)
        return -EINVAL;
    g->refs++; /* copying may sleep */
    if (copy_to_user(list, g->gid, count * sizeof(g->gid[0])) < 0)
        ret = -EFAULT;
    group_list_put(g);
    return ret;
}

SYSCALL_DEFINE2(setgroups, uint32_t, size, uaddr_t, list)
{
    struct group_list *g = NULL;

    if (!capable(CAP_SETGID))
        return -EPERM;
    if (size > NGROUPS_MAX)
        return -EINVAL;
    if (size > 0) {
        g = kmalloc(sizeof(*g) + size * sizeof(g->gid[0]));
        if (!g)
            return -ENOMEM;
        *g = (struct group_list){ .refs = 1, .count = size };
        if (copy_from_user(g->gid, list, size * sizeof(g->gid[0])) < 0) {
            kfree(g);
            return -EFAULT;
        }
        group_list_sort(g);
    }
    group_list_put(cred()->groups);
    cred()->groups = g;
    return 0;
}

/* --- capabilities (capget(2)) --- */

static long cap_words(uaddr_t addr, size_t *ret)
{
    struct __user_cap_header_struct header;
    uint32_t version = _LINUX_CAPABILITY_VERSION_3;

    if (get_user(header, addr) < 0)
        return -EFAULT;
    switch (header.version) {
    case _LINUX_CAPABILITY_VERSION_1:
        *ret = 1;
        break;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        *ret = 2;
        break;
    default:
        return put_user(version, addr) < 0 ? -EFAULT : -EINVAL;
    }
    return header.pid < 0 ? -EINVAL : header.pid;
}

SYSCALL_DEFINE2(capget, uaddr_t, header, uaddr_t, data)
{
    struct __user_cap_data_struct out[2];
    size_t words;
    long pid = cap_words(header, &words);
    const struct thread *t;
    const struct cred *c;

    if (!data && (pid >= 0 || pid == -EINVAL))
        return 0; /* a question for the version */
    if (pid < 0)
        return pid;
    t = pid ? thread_find((int)pid) : current;
    if (!t)
        return -ESRCH;
    c = &t->proc->cred;
    for (size_t i = 0; i < words; i++) {
        out[i].effective = (uint32_t)(c->cap_effective >> 32 * i);
        out[i].permitted = (uint32_t)(c->cap_permitted >> 32 * i);
        out[i].inheritable = (uint32_t)(c->cap_inheritable >> 32 * i);
    }
    return copy_to_user(data, out, words * sizeof(out[0]));
}

SYSCALL_DEFINE2(capset, uaddr_t, header, uaddr_t, data)
{
    struct __user_cap_data_struct in[2] = { 0 };
    uint64_t effective, permitted, inheritable;
    struct cred *c = cred();
    size_t words;
    long pid = cap_words(header, &words);

    if (pid < 0)
        return pid;
    if (pid != 0 && pid != current->tid)
        return -EPERM;
    if (copy_from_user(in, data, words * sizeof(in[0])) < 0)
        return -EFAULT;
    effective = in[0].effective | (uint64_t)in[1].effective << 32;
    permitted = in[0].permitted | (uint64_t)in[1].permitted << 32;
    inheritable = in[0].inheritable | (uint64_t)in[1].inheritable << 32;
    if ((permitted & ~c->cap_permitted) || (effective & ~permitted) ||
        (inheritable & ~(c->cap_inheritable | c->cap_bounding)) ||
        (!capable(CAP_SETPCAP) && (inheritable & ~(c->cap_inheritable | c->cap_permitted))))
        return -EPERM;
    c->cap_effective = effective;
    c->cap_permitted = permitted;
    c->cap_inheritable = inheritable;
    c->cap_ambient &= permitted & inheritable;
    return 0;
}

/* --- the rest --- */

#define PERSONALITY_QUERY 0xffffffffu

/* The value is kept and inherited; ADDR_NO_RANDOMIZE and the like are looked at by exec and mmap. */
SYSCALL_DEFINE1(personality, uint32_t, persona)
{
    uint32_t old = current->proc->personality;

    if (persona != PERSONALITY_QUERY)
        current->proc->personality = persona;
    return old;
}

SYSCALL_DEFINE3(getrandom, uaddr_t, buf, size_t, size, uint32_t, flags)
{
    uint8_t chunk[256];
    size_t done = 0;

    if ((flags & ~(uint32_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    size = MIN(size, (size_t)INT32_MAX);
    while (done < size) {
        size_t n = MIN(size - done, sizeof(chunk));

        random_bytes(chunk, n);
        if (copy_to_user(buf + done, chunk, n) < 0)
            return done > 0 ? (long)done : -EFAULT;
        done += n;
        if (done % PAGE_SIZE == 0 && done < size) { /* large reads share the vCPU, and end at a signal */
            if (signal_pending(current))
                break;
            thread_yield();
        }
    }
    memset(chunk, 0, sizeof(chunk));
    return (long)done;
}

SYSCALL_DEFINE3(getcpu, uaddr_t, cpu, uaddr_t, node, uaddr_t, cache)
{
    uint32_t zero = 0;

    (void)cache;
    if ((cpu && put_user(zero, cpu) < 0) || (node && put_user(zero, node) < 0))
        return -EFAULT;
    return 0;
}
