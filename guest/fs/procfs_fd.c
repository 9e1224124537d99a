/* /proc: numbered directories. Processes, threads, descriptors. */
#include "fs/fdtable.h"
#include "fs/procfs.h"
#include "lib/string.h"

static const struct proc_entry pid_dir = {
    .name = "PID", .mode = S_IFDIR | 0555, .children = proc_pid_entries
};
static const struct proc_entry tid_dir = {
    .name = "TID", .mode = S_IFDIR | 0555, .children = proc_tid_entries
};

/* --- processes --- */

static bool node_of_pid(int pid, struct proc_node *ret)
{
    struct process *p = process_find(pid);
    struct thread *t;

    if (p) {
        *ret = (struct proc_node){ .entry = &pid_dir, .proc = p, .fd = -1 };
        return true;
    }
    /* A thread's number leads to its process, though it isn't listed. */
    t = thread_find(pid);
    if (!t)
        return false;
    *ret = (struct proc_node){ .entry = &pid_dir, .proc = t->proc, .tid = pid, .fd = -1 };
    return true;
}

static bool find_pid(const struct proc_node *dir UNUSED, const struct name *name, struct proc_node *ret)
{
    int pid;

    return proc_parse_number(name, &pid) && node_of_pid(pid, ret);
}

static bool next_pid(const struct proc_node *dir UNUSED, int *number, struct proc_node *ret)
{
    struct process *p;
    int best = 0;

    if (*number <= init_process->pid)
        best = init_process->pid;
    list_for_each(p, &all_processes, all_node) {
        if (p->pid >= *number && (best == 0 || p->pid < best))
            best = p->pid;
    }
    *number = best;
    return best > 0 && node_of_pid(best, ret);
}

const struct proc_dynamic proc_pids = { .find = find_pid, .next = next_pid };

/* --- threads --- */

struct thread *proc_thread(const struct proc_node *node)
{
    struct thread *t;

    if (node->tid) {
        t = thread_find(node->tid);
        return t && t->proc == node->proc && t->files ? t : NULL;
    }
    list_for_each(t, &node->proc->threads, proc_node) {
        if (t->files)
            return t;
    }
    return NULL;
}

static bool node_of_tid(const struct proc_node *dir, int tid, struct proc_node *ret)
{
    struct thread *t = thread_find(tid);

    if (!t || t->proc != dir->proc)
        return false;
    *ret = (struct proc_node){ .entry = &tid_dir, .proc = dir->proc, .tid = tid, .fd = -1 };
    return true;
}

static bool find_task(const struct proc_node *dir, const struct name *name, struct proc_node *ret)
{
    int tid;

    return proc_parse_number(name, &tid) && node_of_tid(dir, tid, ret);
}

static bool next_task(const struct proc_node *dir, int *number, struct proc_node *ret)
{
    struct thread *t;
    int best = 0;

    list_for_each(t, &dir->proc->threads, proc_node) {
        if (t->tid >= *number && (best == 0 || t->tid < best))
            best = t->tid;
    }
    *number = best;
    return best > 0 && node_of_tid(dir, best, ret);
}

const struct proc_dynamic proc_tasks = { .find = find_task, .next = next_task };

/* --- descriptors --- */

/* With a reference. */
static struct file *file_of(const struct proc_node *node)
{
    struct thread *t = proc_thread(node);

    return t ? fd_table_file(t->files, node->fd) : NULL;
}

static int jump_fd(const struct proc_node *node, struct path *ret)
{
    struct file *f = file_of(node);
    int err = f && f->dentry ? 0 : -ENOENT;

    if (err == 0) {
        *ret = (struct path){ f->mount, f->dentry };
        path_get(ret);
    }
    if (f)
        file_put(f);
    return err;
}

static int show_fdinfo(struct seq *s, const struct proc_node *node)
{
    struct file *f = file_of(node);
    uint32_t flags;

    if (!f)
        return -ENOENT;
    flags = f->flags & ~FILE_FLAGS_INTERNAL;
    if (fd_table_cloexec(proc_thread(node)->files, node->fd))
        flags |= O_CLOEXEC;
    seq_printf(s, "pos:\t%lu\nflags:\t0%o\nmnt_id:\t%d\nino:\t%lu\n", (unsigned long)f->pos, flags,
               f->mount ? f->mount->id : 0, (unsigned long)file_ino(f));
    if (f->ops->fdinfo)
        f->ops->fdinfo(f, s);
    file_put(f);
    return 0;
}

static const struct proc_entry fd_entry = { .name = "fd", .mode = S_IFLNK | 0700, .jump = jump_fd };
static const struct proc_entry fdinfo_entry = PROC_FILE("fdinfo", 0444, show_fdinfo);

static bool node_of_fd(const struct proc_node *dir, const struct proc_entry *entry, int fd, struct proc_node *ret)
{
    *ret = (struct proc_node){ .entry = entry, .proc = dir->proc, .tid = dir->tid, .fd = fd };
    return true;
}

static bool find_in(const struct proc_node *dir, const struct proc_entry *entry, const struct name *name,
                    struct proc_node *ret)
{
    struct file *f;
    int fd;

    if (!proc_parse_number(name, &fd))
        return false;
    node_of_fd(dir, entry, fd, ret);
    f = file_of(ret);
    if (!f)
        return false;
    file_put(f);
    return true;
}

static bool next_in(const struct proc_node *dir, const struct proc_entry *entry, int *number, struct proc_node *ret)
{
    struct thread *t = proc_thread(dir);
    int fd = t ? fd_table_next(t->files, *number) : -1;

    if (fd < 0)
        return false;
    *number = fd;
    return node_of_fd(dir, entry, fd, ret);
}

static bool find_fd(const struct proc_node *dir, const struct name *name, struct proc_node *ret)
{
    return find_in(dir, &fd_entry, name, ret);
}

static bool next_fd(const struct proc_node *dir, int *number, struct proc_node *ret)
{
    return next_in(dir, &fd_entry, number, ret);
}

static bool find_fdinfo(const struct proc_node *dir, const struct name *name, struct proc_node *ret)
{
    return find_in(dir, &fdinfo_entry, name, ret);
}

static bool next_fdinfo(const struct proc_node *dir, int *number, struct proc_node *ret)
{
    return next_in(dir, &fdinfo_entry, number, ret);
}

const struct proc_dynamic proc_fds = { .find = find_fd, .next = next_fd };
const struct proc_dynamic proc_fdinfos = { .find = find_fdinfo, .next = next_fdinfo };
