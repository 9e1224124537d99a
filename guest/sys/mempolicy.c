/*
 * NUMA policies on a machine with one node: whatever is asked for is checked, and then is already
 * so. Arguments as in Linux's mm/mempolicy.c.
 */
#include <linux/mempolicy.h>
#include <linux/mman.h>

#include "mm/mm.h"
#include "mm/pagetable.h"
#include "mm/vma.h"
#include "sys/syscall.h"

#define NODE_MASK 1ull /* the nodes that there are */
#define NODE_BITS_MAX (PAGE_SIZE * 8)
#define MOVE_PAGES_MAX (1ull << 20)

/* The node mask of maxnode bits at addr. -EINVAL if it names a node that isn't there. */
static long fetch_nodes(uaddr_t addr, uint64_t maxnode, uint64_t *ret)
{
    uint64_t mask = 0, word;

    *ret = 0;
    if (maxnode > 0)
        maxnode--; /* Linux: the count is one too high */
    if (!addr || maxnode == 0)
        return 0;
    if (maxnode > NODE_BITS_MAX)
        return -EINVAL;
    for (uint64_t bit = 0; bit < maxnode; bit += 64) {
        if (get_user(word, addr + bit / 8) < 0)
            return -EFAULT;
        if (maxnode - bit < 64)
            word &= (1ull << (maxnode - bit)) - 1;
        if (bit == 0)
            mask = word;
        else if (word)
            return -EINVAL;
    }
    *ret = mask;
    return mask & ~NODE_MASK ? -EINVAL : 0;
}

static long check_policy(int mode, uaddr_t nodes_addr, uint64_t maxnode)
{
    int flags = mode & MPOL_MODE_FLAGS;
    uint64_t nodes;
    long r;

    mode &= ~MPOL_MODE_FLAGS;
    if (mode < 0 || mode >= MPOL_MAX ||
        ((flags & MPOL_F_STATIC_NODES) && (flags & MPOL_F_RELATIVE_NODES)))
        return -EINVAL;
    r = fetch_nodes(nodes_addr, maxnode, &nodes);
    if (r < 0)
        return r;
    if (mode == MPOL_DEFAULT || mode == MPOL_LOCAL)
        return nodes ? -EINVAL : 0;
    return nodes || mode == MPOL_PREFERRED ? 0 : -EINVAL;
}

SYSCALL_DEFINE3(set_mempolicy, int, mode, uaddr_t, nodes, uint64_t, maxnode)
{
    return check_policy(mode, nodes, maxnode);
}

SYSCALL_DEFINE6(mbind, uaddr_t, addr, uint64_t, len, int, mode, uaddr_t, nodes, uint64_t, maxnode,
                uint32_t, flags)
{
    if (addr % PAGE_SIZE || (flags & ~(uint32_t)(MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL)))
        return -EINVAL;
    len = PAGE_UP(len);
    if (addr + len < addr)
        return -EINVAL;
    if (len && !vma_covers(current->mm, addr, addr + len))
        return -EFAULT;
    return check_policy(mode, nodes, maxnode);
}

static long put_nodes(uaddr_t addr, uint64_t maxnode, uint64_t mask)
{
    uint64_t zero = 0;

    if (!addr)
        return 0;
    if (maxnode == 0 || maxnode > NODE_BITS_MAX)
        return -EINVAL;
    for (uint64_t bit = 0; bit < maxnode; bit += 64) {
        const uint64_t *word = bit == 0 ? &mask : &zero;

        if (copy_to_user(addr + bit / 8, word, sizeof(*word)) < 0)
            return -EFAULT;
    }
    return 0;
}

SYSCALL_DEFINE5(get_mempolicy, uaddr_t, mode_addr, uaddr_t, nodes, uint64_t, maxnode, uaddr_t, addr,
                uint64_t, flags)
{
    int32_t mode = MPOL_DEFAULT; /* or, with MPOL_F_NODE, node 0: the same number */

    if (flags & ~(uint64_t)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
        return -EINVAL;
    if (flags & MPOL_F_MEMS_ALLOWED)
        return flags & (MPOL_F_NODE | MPOL_F_ADDR) ? -EINVAL : put_nodes(nodes, maxnode, NODE_MASK);
    if (flags & MPOL_F_ADDR) {
        const struct vma *vma = mm_find(current->mm, addr);

        if (!vma || vma->start > addr)
            return -EFAULT;
    } else if (addr || (flags & MPOL_F_NODE)) {
        return -EINVAL;
    }
    if (mode_addr && put_user(mode, mode_addr) < 0)
        return -EFAULT;
    return put_nodes(nodes, maxnode, 0);
}

SYSCALL_DEFINE4(migrate_pages, int, pid, uint64_t, maxnode, uaddr_t, old_nodes, uaddr_t, new_nodes)
{
    uint64_t mask;
    long r = fetch_nodes(old_nodes, maxnode, &mask);

    if (r == 0)
        r = fetch_nodes(new_nodes, maxnode, &mask);
    if (r == 0 && pid && !thread_find(pid))
        r = -ESRCH;
    return r;
}

SYSCALL_DEFINE4(set_mempolicy_home_node, uaddr_t, addr, uint64_t, len, uint64_t, node, uint64_t,
                flags)
{
    if (addr % PAGE_SIZE || flags || node != 0 || addr + PAGE_UP(len) < addr)
        return -EINVAL;
    return 0;
}

/* Where the page at addr is: node 0, or why it isn't anywhere. */
static int32_t page_status(struct mm *mm, uaddr_t addr)
{
    const struct vma *vma = mm_find(mm, addr);
    const uint64_t *entry;
    bool huge;

    if (!vma || vma->start > addr)
        return -EFAULT;
    entry = pt_find(mm, addr, &huge);
    return entry && *entry ? 0 : -ENOENT;
}

SYSCALL_DEFINE6(move_pages, int, pid, uint64_t, count, uaddr_t, pages, uaddr_t, nodes, uaddr_t,
                status, int, flags)
{
    struct thread *t = pid ? thread_find(pid) : current;

    if (flags & ~(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
        return -EINVAL;
    if (!t || !t->mm)
        return -ESRCH;
    if (count > MOVE_PAGES_MAX)
        return -E2BIG;
    for (uint64_t i = 0; i < count; i++) {
        uaddr_t addr;
        int32_t node = 0, result;

        if (get_user(addr, pages + i * sizeof(addr)) < 0 ||
            (nodes && get_user(node, nodes + i * sizeof(node)) < 0))
            return -EFAULT;
        if (node != 0)
            return -ENODEV;
        result = page_status(t->mm, addr);
        if (put_user(result, status + i * sizeof(result)) < 0)
            return -EFAULT;
    }
    return 0;
}
