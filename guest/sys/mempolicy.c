/*
 * NUMA policies on a machine with one node: whatever is asked for is checked, remembered, and already
 * so. Arguments as in Linux's mm/mempolicy.c.
 */
#include <linux/mempolicy.h>
#include <linux/mman.h>

#include "mm/mm.h"
#include "mm/pagetable.h"
#include "mm/vma.h"
#include "sys/memory_advice.h"
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

/*
 * A policy in seven bits: four of mode, three of mode flags. Which nodes it names needs no place: node 0, or none for
 * MPOL_DEFAULT and MPOL_LOCAL.
 */
#define MODE_BITS 4
#define FLAGS_SHIFT 13 /* of MPOL_F_NUMA_BALANCING, the lowest */

static uint32_t encode(int policy)
{
    return ((uint32_t)policy & 15) | (uint32_t)(policy >> FLAGS_SHIFT & 7) << MODE_BITS;
}

static int32_t decode(uint32_t code)
{
    return (int32_t)((code & 15) | (code >> MODE_BITS) << FLAGS_SHIFT);
}

static int mode_of(uint32_t code)
{
    return (int)(code & 15);
}

static uint64_t nodes_of(uint32_t code)
{
    return mode_of(code) == MPOL_DEFAULT || mode_of(code) == MPOL_LOCAL ? 0 : (uint64_t)NODE_MASK;
}

static uint32_t policy_of(const struct vma *vma)
{
    return (vma->flags & VMA_POLICY_MASK) >> VMA_POLICY_SHIFT;
}

static long check_policy(int mode, uaddr_t nodes_addr, uint64_t maxnode, uint32_t *ret)
{
    const int whole = mode;
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
    if (mode == MPOL_DEFAULT || mode == MPOL_LOCAL ? nodes != 0 : !nodes && mode != MPOL_PREFERRED)
        return -EINVAL;
    *ret = encode(mode == MPOL_PREFERRED && !nodes ? MPOL_LOCAL | flags : whole);
    return 0;
}

SYSCALL_DEFINE3(set_mempolicy, int, mode, uaddr_t, nodes, uint64_t, maxnode)
{
    uint32_t code;
    long r = check_policy(mode, nodes, maxnode, &code);

    if (r == 0)
        current->mempolicy = (uint8_t)code;
    return r;
}

SYSCALL_DEFINE6(mbind, uaddr_t, addr, uint64_t, len, int, mode, uaddr_t, nodes, uint64_t, maxnode,
                uint32_t, flags)
{
    uint32_t code;
    long r;

    if (addr % PAGE_SIZE || (flags & ~(uint32_t)(MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL)))
        return -EINVAL;
    len = PAGE_UP(len);
    if (addr + len < addr)
        return -EINVAL;
    if (len && !vma_covers(current->mm, addr, addr + len))
        return -EFAULT;
    r = check_policy(mode, nodes, maxnode, &code);
    if (r == 0 && len)
        r = change_range_flags(current->mm, addr, addr + len, code << VMA_POLICY_SHIFT, VMA_POLICY_MASK & ~(code << VMA_POLICY_SHIFT));
    return r;
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
    uint32_t code = current->mempolicy;
    int32_t mode;

    if (flags & ~(uint64_t)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
        return -EINVAL;
    if (flags & MPOL_F_MEMS_ALLOWED)
        return flags & (MPOL_F_NODE | MPOL_F_ADDR) ? -EINVAL : put_nodes(nodes, maxnode, NODE_MASK);
    if (flags & MPOL_F_ADDR) {
        const struct vma *vma = mm_find(current->mm, addr);

        if (!vma || vma->start > addr)
            return -EFAULT;
        code = policy_of(vma);
    } else if (addr || (flags & MPOL_F_NODE)) {
        return -EINVAL;
    }
    mode = flags & MPOL_F_NODE ? 0 : decode(code); /* a page's node is 0 */
    if (mode_addr && put_user(mode, mode_addr) < 0)
        return -EFAULT;
    return put_nodes(nodes, maxnode, nodes_of(code));
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
    uaddr_t end = addr + PAGE_UP(len);
    long r = -ENOENT;

    if (addr % PAGE_SIZE || flags || node != 0 || end < addr)
        return -EINVAL;
    if (end == addr)
        return 0;
    /* Node 0 is home already. */
    for (struct vma *vma = mm_find(current->mm, addr); vma && vma->start < end; vma = mm_next(vma)) {
        int mode = mode_of(policy_of(vma));

        if (mode == MPOL_DEFAULT)
            continue;
        if (mode != MPOL_BIND && mode != MPOL_PREFERRED_MANY)
            return -EOPNOTSUPP;
        r = 0;
    }
    return r;
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
