/*
 * The file system of POSIX message queues (mq_overview(7)): a tmpfs with one directory whose files are queues. It is
 * mounted at /dev/mqueue; mq_open(2) finds it without a mount.
 */
#include "ipc/mqueue.h"

#include "fs/namei.h"
#include "fs/poll.h"
#include "ipc/ipc.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "net/socket.h"

#include <asm/siginfo.h>
#include <linux/capability.h>
#include <linux/resource.h>

#define MQUEUE_MAGIC 0x19800202u
#define STATUS_SIZE 80u       /* st_size of a queue */
#define HARD_COUNT_MAX 65536u /* with CAP_SYS_RESOURCE: mq_overview(7) */
#define HARD_SIZE_MAX (16u << 20)
#define MESSAGE_COST 96u      /* what Linux charges beside the text */

static struct list all_queues = LIST_INIT(all_queues);
static uint32_t queue_count;
static struct mount internal_mount;
static struct inode_ops dir_ops, queue_ops;
static const struct inode_ops *tmpfs_dir, *tmpfs_node_ops;
static const struct file_ops mqueue_file_ops;

struct mq *mqueue_of(const struct file *f)
{
    return f->ops == &mqueue_file_ops ? f->inode->pipe : NULL;
}

/* The last byte of what the program gave says why it gets it back (glibc's helper thread waits for it). */
void mqueue_post_cookie(struct mq *q, uint8_t why)
{
    if (!q->notify_socket)
        return;
    q->notify_cookie[NOTIFY_COOKIE_LEN - 1] = why;
    netlink_post(q->notify_socket, q->notify_cookie, NOTIFY_COOKIE_LEN);
    socket_put(q->notify_socket);
    q->notify_socket = NULL;
}

void mqueue_forget_notify(struct mq *q)
{
    mqueue_post_cookie(q, NOTIFY_REMOVED);
    if (q->notify)
        process_put(q->notify);
    q->notify = NULL;
}

/* --- queues --- */

static int check_attr(uint64_t count, uint64_t size, uint64_t *ret_charge)
{
    bool privileged = capable(CAP_SYS_RESOURCE);

    if (count - 1 >= (privileged ? HARD_COUNT_MAX : ipc_limits.mq_msg_max) ||
        size - 1 >= (privileged ? HARD_SIZE_MAX : ipc_limits.mq_msgsize_max))
        return -EINVAL;
    *ret_charge = count * (size + MESSAGE_COST);
    return 0;
}

static uint64_t charged_to(uint32_t uid)
{
    const struct mq *q;
    uint64_t sum = 0;

    list_for_each(q, &all_queues, all_node)
        if (q->owner == uid)
            sum += q->charged;
    return sum;
}

static struct mq *queue_create(const struct mq_attr *attr)
{
    uint64_t count = MIN(ipc_limits.mq_msg_default, ipc_limits.mq_msg_max);
    uint64_t size = MIN(ipc_limits.mq_msgsize_default, ipc_limits.mq_msgsize_max);
    uint64_t charge;
    struct mq *q;
    int err;

    if (attr) {
        count = (uint64_t)attr->mq_maxmsg;
        size = (uint64_t)attr->mq_msgsize;
    }
    if (queue_count >= ipc_limits.mq_queues_max && !capable(CAP_SYS_RESOURCE))
        return err_ptr(-ENOSPC);
    err = check_attr(count, size, &charge);
    if (err < 0)
        return err_ptr(err);
    if (charged_to(vfs_fsuid()) + charge > rlimit(RLIMIT_MSGQUEUE))
        return err_ptr(-EMFILE);
    q = kzalloc(sizeof(*q));
    if (!q)
        return err_ptr(-ENOMEM);
    q->max_count = count;
    q->max_size = size;
    q->charged = charge;
    q->owner = vfs_fsuid();
    list_init(&q->messages);
    list_init(&q->senders);
    list_init(&q->receivers);
    wait_queue_init(&q->poll_wait);
    list_push_back(&all_queues, &q->all_node);
    queue_count++;
    return q;
}

static void queue_free(struct mq *q)
{
    struct mq_message *m, *tmp;

    list_for_each_safe(m, tmp, &q->messages, node)
        kfree(m);
    mqueue_forget_notify(q);
    list_remove(&q->all_node);
    queue_count--;
    kfree(q);
}

/* --- open queues --- */

static ssize_t mqueue_read(struct file *f, struct iter *to, uint64_t *pos)
{
    const struct mq *q = f->inode->pipe;
    bool by_signal = q->notify && q->notify_method == SIGEV_SIGNAL;
    char text[STATUS_SIZE];
    size_t len, n;

    len = (size_t)ksnprintf(text, sizeof(text), "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
                            (unsigned long)q->bytes, q->notify ? q->notify_method : 0, by_signal ? q->notify_signal : 0,
                            q->notify ? q->notify->pid : 0);
    if (*pos >= len)
        return 0;
    n = iter_copy_to(to, text + *pos, MIN(len - (size_t)*pos, to->left));
    *pos += n;
    return n > 0 || to->left == 0 ? (ssize_t)n : -EFAULT;
}

static uint32_t mqueue_poll(struct file *f, struct poll_table *table)
{
    struct mq *q = f->inode->pipe;

    if (table)
        table->add(table, &q->poll_wait);
    return (q->count > 0 ? EPOLLIN | EPOLLRDNORM : 0u) | (q->count < q->max_count ? EPOLLOUT | EPOLLWRNORM : 0u);
}

/* A process that closes the queue is no longer told of messages (mq_close(3)). */
static int mqueue_flush(struct file *f)
{
    struct mq *q = f->inode->pipe;

    if (q->notify == current->proc)
        mqueue_forget_notify(q);
    return 0;
}

static const struct file_ops mqueue_file_ops = {
    .read = mqueue_read,
    .seek = seek_generic,
    .poll = mqueue_poll,
    .flush = mqueue_flush,
};

/* --- the file system --- */

static int queue_open(struct inode *inode UNUSED, struct file *f)
{
    f->ops = &mqueue_file_ops;
    return 0;
}

static int queue_setattr(struct inode *inode, const struct attr *attr)
{
    inode_setattr_plain(inode, attr);
    return 0;
}

static void queue_evict(struct inode *inode)
{
    queue_free(inode->pipe);
    inode->pipe = NULL;
    tmpfs_node_ops->evict(inode);
}

static struct inode *create_with(struct inode *dir, const struct name *name, uint32_t mode, const struct mq_attr *attr)
{
    struct mq *q = queue_create(attr);
    struct inode *inode;

    if (is_err(q))
        return (struct inode *)q;
    inode = tmpfs_dir->create(dir, name, mode, VFS_NO_OPEN);
    if (is_err(inode)) {
        queue_free(q);
        return inode;
    }
    tmpfs_node_ops = inode->ops;
    queue_ops = *tmpfs_node_ops;
    queue_ops.open = queue_open;
    queue_ops.setattr = queue_setattr;
    queue_ops.evict = queue_evict;
    inode->ops = &queue_ops;
    inode->pipe = q;
    inode->size = STATUS_SIZE;
    return inode;
}

static struct inode *mqueue_create(struct inode *dir, const struct name *name, uint32_t mode, uint32_t open_flags UNUSED)
{
    return create_with(dir, name, mode, NULL);
}

struct superblock *mqueue_mount(void)
{
    struct superblock *sb = internal_mount.sb;

    if (sb)
        return sb;
    sb = tmpfs_mount(01777, 0);
    if (is_err(sb))
        return sb;
    sb->type = sb->source = "mqueue";
    sb->magic = MQUEUE_MAGIC;
    tmpfs_dir = sb->root->inode->ops;
    dir_ops = (struct inode_ops){ .lookup = tmpfs_dir->lookup,
                                  .create = mqueue_create,
                                  .unlink = tmpfs_dir->unlink,
                                  .setattr = tmpfs_dir->setattr,
                                  .open = tmpfs_dir->open,
                                  .evict = tmpfs_dir->evict };
    sb->root->inode->ops = &dir_ops;
    list_init(&internal_mount.node);
    internal_mount.refs = 1;
    internal_mount.root = sb->root;
    internal_mount.sb = sb;
    return sb;
}

/* The cached name, made if need be; the directory is locked. */
static struct dentry *find_name(struct dentry *dir, const struct name *name)
{
    struct dentry *d = dcache_find(dir, name);
    struct inode *inode;

    if (d)
        return d;
    inode = dir->inode->ops->lookup(dir->inode, name);
    if (is_err(inode) && ptr_err(inode) != -ENOENT)
        return (struct dentry *)inode;
    d = dcache_add(dir, name, is_err(inode) ? NULL : inode);
    return d ? d : err_ptr(-ENOMEM);
}

static int create_name(struct dentry *dir, struct dentry *d, const struct name *name, uint32_t mode, const struct mq_attr *attr)
{
    int err = may_create(dir);
    struct inode *inode;

    if (err < 0)
        return err;
    inode = create_with(dir->inode, name, mode & 0777 & ~vfs_umask(), attr);
    if (is_err(inode))
        return (int)ptr_err(inode);
    dentry_instantiate(d, inode);
    return 0;
}

/* Names are one component (mq_overview(7)). */
static int check_name(const char *name)
{
    if (!name[0])
        return -ENOENT;
    if (strlen(name) > VFS_NAME_MAX)
        return -ENAMETOOLONG;
    return strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? -EACCES : 0;
}

static int open_permission(struct inode *inode, uint32_t flags)
{
    static const uint32_t masks[4] = { MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, 0 };

    if ((flags & O_ACCMODE) == 3)
        return -EINVAL;
    return vfs_permission(inode, masks[flags & O_ACCMODE]);
}

struct file *mqueue_open(const char *text, uint32_t flags, uint32_t mode, const struct mq_attr *attr)
{
    const struct name name = { text, strlen(text) };
    struct superblock *sb = mqueue_mount();
    struct file *f = NULL;
    struct dentry *dir, *d;
    int err = is_err(sb) ? (int)ptr_err(sb) : check_name(text);

    if (err < 0)
        return err_ptr(err);
    dir = sb->root;
    mutex_lock(&dir->inode->lock);
    d = find_name(dir, &name);
    if (is_err(d)) {
        mutex_unlock(&dir->inode->lock);
        return (struct file *)d;
    }
    if (d->inode)
        err = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) ? -EEXIST : open_permission(d->inode, flags);
    else
        err = flags & O_CREAT ? create_name(dir, d, &name, mode, attr) : -ENOENT;
    mutex_unlock(&dir->inode->lock);
    if (err == 0)
        f = vfs_open_inode(d->inode, d, &internal_mount, (flags & (O_ACCMODE | O_NONBLOCK)));
    dentry_put(d);
    return err < 0 ? err_ptr(err) : f;
}

int mqueue_unlink(const char *text)
{
    const struct name name = { text, strlen(text) };
    struct superblock *sb = mqueue_mount();
    struct path root = { &internal_mount, NULL };
    int err = is_err(sb) ? (int)ptr_err(sb) : check_name(text);

    if (err < 0)
        return err;
    root.dentry = sb->root;
    return vfs_unlink_child(&root, &name);
}
