/*
 * System V shared memory (shmget(2), shmop(2), shmctl(2)): a nameless tmpfs file for each segment. Each attachment maps a
 * file of its own, whose callbacks count the VMAs: fork, mremap and munmap change the count as on Linux.
 */
#include "fs/vfs.h"
#include "ipc/ipc.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/mm.h"
#include "mm/vma.h"
#include "proc/process.h"
#include "sys/syscall.h"

#include <asm/shmbuf.h>
#include <linux/capability.h>
#include <linux/mman.h>
#include <linux/resource.h>

/* linux/shm.h needs the C library's headers. */
#define SHM_HUGETLB 04000
#define SHM_NORESERVE 010000
#define SHM_RDONLY 010000
#define SHM_RND 020000
#define SHM_REMAP 040000
#define SHM_EXEC 0100000
#define SHM_LOCK 11
#define SHM_UNLOCK 12
#define SHM_STAT 13
#define SHM_INFO 14
#define SHM_STAT_ANY 15
#define SHM_DEST 01000u
#define SHM_LOCKED 02000u

struct shm_info {
    int32_t used_ids;
    uint64_t shm_tot, shm_rss, shm_swp, swap_attempts, swap_successes;
};

struct segment {
    struct ipc_object ipc;
    struct file *file;     /* the memory */
    uint64_t size;
    uint64_t attached;     /* VMAs */
    int64_t atime, dtime;
    int creator_pid, last_pid;
};

static void segment_free(struct ipc_object *o);
static struct ipc_set segments = { .free = segment_free };
static uint64_t total_pages;

static struct segment *segment_of(struct ipc_object *o)
{
    return o ? container_of(o, struct segment, ipc) : NULL;
}

static uint64_t pages_of(const struct segment *s)
{
    return PAGE_UP(s->size) >> PAGE_SHIFT;
}

static void segment_free(struct ipc_object *o)
{
    struct segment *s = segment_of(o);

    total_pages -= pages_of(s);
    file_put(s->file);
    kfree(s);
}

/* --- shmget --- */

static struct ipc_object *segment_create(const struct ipc_get *get)
{
    uint64_t pages = (get->size >> PAGE_SHIFT) + (get->size % PAGE_SIZE != 0);
    struct segment *s;
    char name[16];

    if (get->size < 1 || get->size > ipc_limits.shmmax)
        return err_ptr(-EINVAL);
    if (total_pages + pages < pages || total_pages + pages > ipc_limits.shmall)
        return err_ptr(-ENOSPC);
    /* Huge pages: as with an empty pool. Memory that can never be had is refused, as with mmap(2). */
    if ((get->flags & SHM_HUGETLB) || pages > UINT64_MAX >> PAGE_SHIFT ||
        (!(get->flags & SHM_NORESERVE) && pages > frame_total()))
        return err_ptr(-ENOMEM);
    s = kzalloc(sizeof(*s));
    if (!s)
        return err_ptr(-ENOMEM);
    ksnprintf(name, sizeof(name), "SYSV%08x", (uint32_t)get->key);
    s->file = tmpfs_file_create(name, pages << PAGE_SHIFT);
    if (is_err(s->file)) {
        kfree(s);
        return err_ptr(-ENOMEM);
    }
    s->size = get->size;
    s->creator_pid = current->proc->pid;
    total_pages += pages;
    return &s->ipc;
}

static long segment_suffices(struct ipc_object *o, const struct ipc_get *get)
{
    return get->size > segment_of(o)->size ? -EINVAL : 0;
}

SYSCALL_DEFINE3(shmget, int32_t, key, uint64_t, size, int, flags)
{
    const struct ipc_get get = { .set = &segments,
                                 .key = key,
                                 .flags = flags,
                                 .limit = (uint32_t)ipc_limits.shmmni,
                                 .create = segment_create,
                                 .check = segment_suffices,
                                 .size = size };
    long id = ipc_get(&get);

    if (id >= 0)
        segment_of(ipc_find(&segments, (int)id))->file->inode->ino = (uint64_t)id; /* as /proc/PID/maps shows it */
    return id;
}

/* --- attachments --- */

static int attachment_mmap(struct file *f UNUSED, int prot UNUSED, int flags UNUSED)
{
    return 0;
}

static int attachment_page(struct file *f, uint64_t offset, bool write, gpa_t *ret_gpa, uint64_t *ret_run)
{
    struct file *memory = ((struct segment *)f->data)->file;

    return memory->ops->page(memory, offset, write, ret_gpa, ret_run);
}

static void attachment_mapped(struct file *f)
{
    struct segment *s = f->data;

    s->attached++;
    s->atime = ipc_now();
    s->last_pid = current->proc->pid;
}

static void attachment_unmapped(struct file *f)
{
    struct segment *s = f->data;

    s->attached--;
    s->dtime = ipc_now();
    s->last_pid = current->proc->pid;
    if (s->attached == 0 && (s->ipc.mode & SHM_DEST) && !s->ipc.removed)
        ipc_remove(&segments, &s->ipc);
}

static void attachment_release(struct file *f)
{
    ipc_object_put(&segments, &((struct segment *)f->data)->ipc);
}

static const struct file_ops attachment_ops = {
    .mmap = attachment_mmap,
    .page = attachment_page,
    .mapped = attachment_mapped,
    .unmapped = attachment_unmapped,
    .release = attachment_release,
};

static struct file *attachment_create(struct segment *s, bool read_only)
{
    const struct file *memory = s->file;
    struct file *f = vfs_open_inode(memory->inode, memory->dentry, memory->mount, read_only ? O_RDONLY : O_RDWR);

    if (is_err(f))
        return f;
    f->ops = &attachment_ops;
    f->data = s;
    ipc_object_get(&s->ipc);
    return f;
}

static long check_place(uaddr_t *addr, uint64_t size, int flags)
{
    if (!*addr)
        return flags & SHM_REMAP ? -EINVAL : 0;
    if (flags & SHM_RND)
        *addr = PAGE_DOWN(*addr);
    if (*addr % PAGE_SIZE || (!*addr && (flags & SHM_REMAP)) || *addr + size < *addr)
        return -EINVAL;
    return flags & SHM_REMAP || vma_range_is_free(current->mm, *addr, *addr + PAGE_UP(size)) ? 0 : -EINVAL;
}

SYSCALL_DEFINE3(shmat, int, id, uaddr_t, addr, int, flags)
{
    struct segment *s = segment_of(ipc_find(&segments, id));
    uint32_t wanted = flags & SHM_RDONLY ? IPC_READ : IPC_READ | IPC_WRITE;
    int prot = flags & SHM_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE;
    struct file *f;
    long ret;

    if (!s)
        return -EINVAL;
    ret = check_place(&addr, s->size, flags);
    if (flags & SHM_EXEC) {
        prot |= PROT_EXEC;
        wanted |= 0111;
    }
    if (ret == 0)
        ret = ipc_check(&s->ipc, wanted);
    if (ret < 0)
        return ret;
    f = attachment_create(s, flags & SHM_RDONLY);
    if (is_err(f))
        return -ENOMEM;
    ret = mm_mmap(current->mm, addr, s->size, prot, MAP_SHARED | (addr ? MAP_FIXED : 0), f, 0);
    file_put(f);
    return ret;
}

static bool is_attachment(const struct vma *vma)
{
    return vma->file && vma->file->ops == &attachment_ops;
}

/* What munmap has left of the attachment at addr goes, at the places where shmat put it (shmop(2)). */
SYSCALL_DEFINE1(shmdt, uaddr_t, addr)
{
    struct mm *mm = current->mm;
    struct vma *vma, *next;
    const struct file *file = NULL;
    uint64_t size = 0;

    if (addr % PAGE_SIZE)
        return -EINVAL;
    for (vma = mm_find(mm, addr); vma && (!file || vma->start < addr + size); vma = next) {
        uaddr_t start = vma->start, end = vma->end;

        next = mm_next(vma);
        if (!is_attachment(vma) || (file && vma->file != file) || start - addr != vma->file_offset)
            continue;
        file = vma->file; /* only compared from now on */
        size = PAGE_UP(((const struct segment *)vma->file->data)->size);
        if (mm_munmap(mm, start, end - start) < 0)
            return -ENOMEM;
        next = mm_find(mm, end);
    }
    return file ? 0 : -EINVAL;
}

/* --- shmctl --- */

static void stat_segment(const struct segment *s, struct shmid64_ds *ret)
{
    memset(ret, 0, sizeof(*ret));
    ipc_stat(&s->ipc, &ret->shm_perm);
    ret->shm_segsz = s->size;
    ret->shm_atime = s->atime;
    ret->shm_dtime = s->dtime;
    ret->shm_ctime = s->ipc.ctime;
    ret->shm_cpid = s->creator_pid;
    ret->shm_lpid = s->last_pid;
    ret->shm_nattch = s->attached;
}

static long control_stat(int id, int cmd, uaddr_t buf)
{
    struct segment *s = segment_of(cmd == IPC_STAT ? ipc_find(&segments, id) : ipc_at(&segments, id));
    struct shmid64_ds ds;

    if (!s)
        return -EINVAL;
    if (cmd != SHM_STAT_ANY && ipc_check(&s->ipc, IPC_READ) < 0)
        return -EACCES;
    stat_segment(s, &ds);
    if (put_user(ds, buf) < 0)
        return -EFAULT;
    return cmd == IPC_STAT ? 0 : s->ipc.id;
}

static long control_limits(uaddr_t buf)
{
    struct shminfo64 info;

    memset(&info, 0, sizeof(info));
    info.shmmax = ipc_limits.shmmax;
    info.shmmin = 1;
    info.shmmni = info.shmseg = ipc_limits.shmmni;
    info.shmall = ipc_limits.shmall;
    return put_user(info, buf) < 0 ? -EFAULT : ipc_highest(&segments);
}

static uint64_t resident_pages(const struct segment *s)
{
    return s->file->inode->blocks / (PAGE_SIZE / 512);
}

static long control_usage(uaddr_t buf)
{
    struct shm_info info;

    memset(&info, 0, sizeof(info));
    info.used_ids = (int32_t)segments.count;
    info.shm_tot = total_pages;
    for (int i = 0; i < (int)segments.capacity; i++)
        if (segments.slots[i])
            info.shm_rss += resident_pages(segment_of(segments.slots[i]));
    return put_user(info, buf) < 0 ? -EFAULT : ipc_highest(&segments);
}

/* It can still be attached by id while others have it, but not found by key. */
static void destroy(struct segment *s)
{
    if (s->attached == 0) {
        ipc_remove(&segments, &s->ipc);
        return;
    }
    s->ipc.mode |= SHM_DEST;
    s->ipc.key = IPC_PRIVATE;
}

static long control_lock(struct segment *s, bool lock)
{
    if (!capable(CAP_IPC_LOCK)) {
        uint32_t euid = current->proc->cred.euid;

        if ((euid != s->ipc.uid && euid != s->ipc.cuid) || (lock && !rlimit(RLIMIT_MEMLOCK)))
            return -EPERM;
    }
    /* Nothing is ever swapped out; the mark is what shmctl shows. */
    s->ipc.mode = lock ? s->ipc.mode | SHM_LOCKED : s->ipc.mode & ~SHM_LOCKED;
    return 0;
}

SYSCALL_DEFINE3(shmctl, int, id, int, cmd, uaddr_t, buf)
{
    struct shmid64_ds ds;
    struct segment *s;

    if (cmd < 0 || id < 0)
        return -EINVAL;
    switch (cmd) {
    case IPC_INFO:
        return control_limits(buf);
    case SHM_INFO:
        return control_usage(buf);
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY:
        return control_stat(id, cmd, buf);
    case IPC_SET:
        if (get_user(ds, buf) < 0)
            return -EFAULT;
        break;
    case IPC_RMID:
    case SHM_LOCK:
    case SHM_UNLOCK:
        break;
    default:
        return -EINVAL;
    }
    s = segment_of(ipc_find(&segments, id));
    if (!s)
        return -EINVAL;
    if (cmd == IPC_SET)
        return ipc_change(&s->ipc, &ds.shm_perm);
    if (cmd != IPC_RMID)
        return control_lock(s, cmd == SHM_LOCK);
    if (!ipc_owner(&s->ipc))
        return -EPERM;
    destroy(s);
    return 0;
}

int shm_show(struct seq *seq, const struct proc_node *node UNUSED)
{
    seq_puts(seq, "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime"
                  "      dtime      ctime                   rss                  swap\n");
    for (uint32_t i = 0; i < segments.capacity; i++) {
        const struct segment *s = segment_of(segments.slots[i]);

        if (!s)
            continue;
        seq_printf(seq, "%10d %10d  %4o %21lu %5u %5u  %5lu %5u %5u %5u %5u %10lu %10lu %10lu %21lu %21lu\n", s->ipc.key,
                   s->ipc.id, s->ipc.mode, (unsigned long)s->size, (unsigned)s->creator_pid, (unsigned)s->last_pid,
                   (unsigned long)s->attached, s->ipc.uid, s->ipc.gid, s->ipc.cuid, s->ipc.cgid, (unsigned long)s->atime,
                   (unsigned long)s->dtime, (unsigned long)s->ipc.ctime,
                   (unsigned long)(resident_pages(s) * PAGE_SIZE), 0ul);
    }
    return 0;
}
