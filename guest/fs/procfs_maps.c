/* /proc/PID: maps, smaps, and mem. */
#include "fs/procfs.h"

#include "lib/kmalloc.h"
#include "lib/string.h"
#include "mm/mm.h"

#include <linux/mman.h>

#define MAPS_NAME_COLUMN 73

static struct mm *mm_of(const struct proc_node *node)
{
    return node->proc->zombie ? NULL : node->proc->mm;
}

static void put_line(struct seq *s, const struct vma *vma)
{
    size_t start = s->len;
    uint64_t dev = vma->file ? file_dev(vma->file) : 0;

    seq_printf(s, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)vma->start, (unsigned long)vma->end,
               vma->prot & PROT_READ ? 'r' : '-', vma->prot & PROT_WRITE ? 'w' : '-', vma->prot & PROT_EXEC ? 'x' : '-',
               vma->flags & VMA_SHARED ? 's' : 'p', (unsigned long)vma->file_offset, vfs_major(dev), vfs_minor(dev),
               vma->file ? (unsigned long)file_ino(vma->file) : 0ul);
    if (!vma->file && !vma->name) {
        seq_puts(s, "\n");
        return;
    }
    seq_pad(s, start, MAPS_NAME_COLUMN);
    if (vma->name) {
        seq_puts(s, vma->name);
    } else if (vma->file->dentry) {
        struct path p = { vma->file->mount, vma->file->dentry };

        seq_path(s, &p, "\n");
    }
    seq_puts(s, "\n");
}

/* Nothing in here sleeps, so the list of VMAs stays as it is. */
int proc_show_maps(struct seq *s, const struct proc_node *node)
{
    struct mm *mm = mm_of(node);

    for (struct vma *vma = mm ? mm_first(mm) : NULL; vma; vma = mm_next(vma))
        put_line(s, vma);
    return 0;
}

/* Which pages are resident isn't counted for each mapping: private writable ones are taken to be, up to what the process has. */
static void put_numbers(struct seq *s, uint64_t size_kib, uint64_t rss_kib)
{
    seq_printf(s,
               "Rss:            %8lu kB\nPss:            %8lu kB\nShared_Clean:   %8lu kB\nShared_Dirty:   %8lu kB\n"
               "Private_Clean:  %8lu kB\nPrivate_Dirty:  %8lu kB\nReferenced:     %8lu kB\nAnonymous:      %8lu kB\n"
               "LazyFree:       %8lu kB\nAnonHugePages:  %8lu kB\nSwap:           %8lu kB\nSwapPss:        %8lu kB\n"
               "Locked:         %8lu kB\n",
               (unsigned long)MIN(rss_kib, size_kib), (unsigned long)MIN(rss_kib, size_kib), 0ul, 0ul, 0ul,
               (unsigned long)MIN(rss_kib, size_kib), (unsigned long)MIN(rss_kib, size_kib),
               (unsigned long)MIN(rss_kib, size_kib), 0ul, 0ul, 0ul, 0ul, 0ul);
}

int proc_show_smaps(struct seq *s, const struct proc_node *node)
{
    struct mm *mm = mm_of(node);
    uint64_t left = mm ? mm->rss_pages * 4 : 0;

    for (struct vma *vma = mm ? mm_first(mm) : NULL; vma; vma = mm_next(vma)) {
        uint64_t size = (vma->end - vma->start) >> 10;
        uint64_t rss = vma->prot ? MIN(size, left) : 0;

        put_line(s, vma);
        seq_printf(s, "Size:           %8lu kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n",
                   (unsigned long)size);
        put_numbers(s, size, rss);
        left -= rss;
        seq_puts(s, "THPeligible:    0\nVmFlags: rd wr mr mw me ac \n");
    }
    return 0;
}

int proc_show_smaps_rollup(struct seq *s, const struct proc_node *node)
{
    struct mm *mm = mm_of(node);
    struct vma *last = NULL;

    if (!mm)
        return -ESRCH;
    for (struct vma *vma = mm_first(mm); vma; vma = mm_next(vma))
        last = vma;
    seq_printf(s, "%08lx-%08lx ---p 00000000 00:00 0                          [rollup]\n",
               mm_first(mm) ? (unsigned long)mm_first(mm)->start : 0ul, last ? (unsigned long)last->end : 0ul);
    put_numbers(s, UINT64_MAX, mm->rss_pages * 4);
    return 0;
}

/* --- mem: the position is the address --- */

enum direction { FROM_PROCESS, TO_PROCESS };

static ssize_t transfer(struct file *f, struct iter *it, uint64_t *pos, enum direction dir)
{
    const struct proc_node *node = f->inode->data;
    struct mm *mm = mm_of(node);
    uint8_t *page;
    ssize_t done = 0;

    if (!mm)
        return 0;
    page = kmalloc(PAGE_SIZE);
    if (!page)
        return -ENOMEM;
    mm_get(mm);
    while (it->left > 0) {
        size_t n = (size_t)MIN(it->left, PAGE_SIZE - (*pos & (PAGE_SIZE - 1)));
        bool ok;

        if (dir == FROM_PROCESS)
            ok = mm_read(mm, page, *pos, n) == 0 && iter_copy_to(it, page, n) == n;
        else
            ok = iter_copy_from(it, page, n) == n && mm_write(mm, *pos, page, n, true) == 0;
        if (!ok) {
            done = done > 0 ? done : -EIO;
            break;
        }
        *pos += n;
        done += (ssize_t)n;
    }
    mm_put(mm);
    kfree(page);
    return done;
}

static ssize_t mem_read(struct file *f, struct iter *to, uint64_t *pos)
{
    return transfer(f, to, pos, FROM_PROCESS);
}

static ssize_t mem_write(struct file *f, struct iter *from, uint64_t *pos)
{
    return transfer(f, from, pos, TO_PROCESS);
}

static loff_t mem_seek(struct file *f, loff_t offset, int whence)
{
    if (whence == SEEK_CUR)
        offset += (loff_t)f->pos;
    else if (whence != SEEK_SET)
        return -EINVAL;
    f->pos = (uint64_t)offset;
    return offset;
}

const struct file_ops proc_mem_ops = { .read = mem_read, .write = mem_write, .seek = mem_seek };
