/* SCM_RIGHTS and SCM_CREDENTIALS. */
#include "net/scm.h"

#include "arch/uaccess.h"
#include "fs/fdtable.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "proc/pidfd.h"
#include "proc/process.h"

#include <linux/capability.h>
#include <linux/resource.h>

#define IN_FLIGHT_MAX 65536u /* files in messages, for whoever may exceed RLIMIT_NOFILE */
#define OVERFLOW_ID 65534u
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

struct ucred scm_own_cred(void)
{
    const struct cred *c = &current->proc->cred;

    return (struct ucred){ (uint32_t)current->proc->pid, c->uid, c->gid };
}

/* --- bundles --- */

void fd_bundle_free(struct fd_bundle *b)
{
    unix_gc_leave(b);
    for (uint32_t i = 0; i < b->count; i++)
        file_put(b->files[i]);
    kfree(b);
}

static struct fd_bundle *bundle_alloc(size_t count)
{
    return kzalloc(sizeof(struct fd_bundle) + count * sizeof(struct file *));
}

struct fd_bundle *fd_bundle_copy(const struct fd_bundle *b)
{
    struct fd_bundle *copy = bundle_alloc(b->count);

    if (!copy)
        return NULL;
    for (uint32_t i = 0; i < b->count; i++) {
        file_get(b->files[i]);
        copy->files[copy->count++] = b->files[i];
    }
    return copy;
}

static int check_in_flight(size_t more)
{
    uint64_t count = unix_gc_in_flight() + more;

    if (count > IN_FLIGHT_MAX)
        return -ETOOMANYREFS;
    if (count > rlimit(RLIMIT_NOFILE) && !capable(CAP_SYS_RESOURCE) && !capable(CAP_SYS_ADMIN))
        return -ETOOMANYREFS;
    return 0;
}

static int parse_rights(struct scm *scm, const uint8_t *data, size_t len)
{
    size_t count = len / sizeof(int), old = scm->fds ? scm->fds->count : 0;
    struct fd_bundle *b;

    if (count == 0)
        return 0;
    if (old + count > SCM_MAX_FD)
        return -EINVAL;
    if (check_in_flight(count) < 0)
        return -ETOOMANYREFS;
    b = bundle_alloc(old + count);
    if (!b)
        return -ENOMEM;
    if (old) {
        memcpy(b->files, scm->fds->files, old * sizeof(struct file *));
        b->count = (uint32_t)old;
        kfree(scm->fds);
    }
    scm->fds = b;
    for (size_t i = 0; i < count; i++) {
        struct file *f;
        int fd;

        memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
        f = fd_get(fd);
        if (!f)
            return -EBADF;
        b->files[b->count++] = f;
    }
    return 0;
}

static int check_cred(const struct ucred *c)
{
    const struct cred *own = &current->proc->cred;

    if (c->pid != (uint32_t)current->proc->pid && !capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (c->uid != own->uid && c->uid != own->euid && c->uid != own->suid && !capable(CAP_SETUID))
        return -EPERM;
    if (c->gid != own->gid && c->gid != own->egid && c->gid != own->sgid && !capable(CAP_SETGID))
        return -EPERM;
    return process_find((int)c->pid) ? 0 : -ESRCH;
}

static int parse_cred(struct scm *scm, const uint8_t *data, size_t len)
{
    struct ucred c;
    int err;

    if (len != sizeof(c))
        return -EINVAL;
    memcpy(&c, data, sizeof(c));
    err = check_cred(&c);
    if (err < 0)
        return err;
    scm->cred = c;
    scm->cred_given = true;
    return 0;
}

int scm_parse(const struct socket_msg *msg, struct scm *ret)
{
    struct cmsghdr_wire h;
    const uint8_t *data;
    size_t pos = 0;
    int err;

    *ret = (struct scm){ .cred = scm_own_cred() };
    while ((err = ancillary_next(msg, &pos, &h, &data)) > 0) {
        size_t len = h.len - sizeof(h);

        if (h.level != SOL_SOCKET)
            continue;
        if (h.type == SCM_RIGHTS)
            err = parse_rights(ret, data, len);
        else if (h.type == SCM_CREDENTIALS)
            err = parse_cred(ret, data, len);
        else
            err = -EINVAL;
        if (err < 0)
            break;
    }
    if (err < 0)
        scm_release(ret);
    return err;
}

void scm_release(struct scm *scm)
{
    if (scm->fds)
        fd_bundle_free(scm->fds);
    scm->fds = NULL;
}

/* --- receiving --- */

static size_t install_fds(struct socket_msg *msg, struct fd_bundle *b, size_t max)
{
    uaddr_t to = msg->control_to + sizeof(struct cmsghdr_wire);
    size_t i;

    for (i = 0; i < MIN(max, (size_t)b->count); i++) {
        int fd;

        file_get(b->files[i]);
        fd = fd_install(b->files[i], 0, msg->flags & MSG_CMSG_CLOEXEC);
        if (fd < 0) {
            file_put(b->files[i]);
            break;
        }
        if (put_user(fd, to + i * sizeof(fd)) < 0) {
            fd_close(fd);
            break;
        }
    }
    return i;
}

void scm_deliver_fds(struct socket_msg *msg, struct fd_bundle *b)
{
    struct cmsghdr_wire h = { .level = SOL_SOCKET, .type = SCM_RIGHTS };
    size_t max = 0, done;

    if (msg->control_to && msg->control_room > sizeof(h))
        max = (msg->control_room - sizeof(h)) / sizeof(int);
    done = install_fds(msg, b, max);
    if (done > 0) {
        size_t space = MIN(CMSG_ALIGN_UP(sizeof(h) + done * sizeof(int)), msg->control_room);

        h.len = sizeof(h) + done * sizeof(int);
        put_user(h, msg->control_to);
        msg->control_to += space;
        msg->control_room -= space;
    }
    if (done < b->count)
        msg->out_flags |= MSG_CTRUNC;
    fd_bundle_free(b);
}

void scm_deliver_cred(struct socket *s, struct socket_msg *msg, bool has_cred, const struct ucred *cred)
{
    struct ucred shown = has_cred ? *cred : (struct ucred){ 0, OVERFLOW_ID, OVERFLOW_ID };

    if (s->opt.passcred)
        ancillary_put(msg, SOL_SOCKET, SCM_CREDENTIALS, &shown, sizeof(shown));
    if (s->opt.passpidfd && has_cred) {
        struct process *p = process_find((int)cred->pid);
        int fd = p ? pidfd_install(p, 0) : -ESRCH;

        ancillary_put(msg, SOL_SOCKET, SCM_PIDFD, &fd, sizeof(fd));
    }
}
