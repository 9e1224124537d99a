/*
 * The machinery of /proc and /sys: entries become inodes when they are looked up, and a file's text is made when it is read
 * from its start.
 */
#include "fs/procfs.h"

#include "fs/anon.h"
#include "lib/kmalloc.h"
#include "lib/string.h"

#include <linux/magic.h>

#define STORE_MAX 4096     /* bytes in one write */
#define POS_DYNAMIC 0x1000 /* positions of numbered entries start here */

static const struct inode_ops proc_dir_ops, proc_file_ops, proc_link_ops, proc_jump_ops;

/* --- text --- */

static bool seq_reserve(struct seq *s, size_t n)
{
    size_t want = s->len + n, capacity = s->capacity ? s->capacity : 512;
    char *data;

    if (s->failed || want <= s->capacity)
        return !s->failed;
    while (capacity < want)
        capacity *= 2;
    data = krealloc(s->data, capacity);
    if (!data) {
        s->failed = true;
        return false;
    }
    s->data = data;
    s->capacity = capacity;
    return true;
}

void seq_write(struct seq *s, const void *data, size_t n)
{
    if (!seq_reserve(s, n))
        return;
    memcpy(s->data + s->len, data, n);
    s->len += n;
}

void seq_puts(struct seq *s, const char *text)
{
    seq_write(s, text, strlen(text));
}

void seq_printf(struct seq *s, const char *fmt, ...)
{
    size_t room = s->capacity - s->len;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = kvsnprintf(s->data ? s->data + s->len : NULL, s->data ? room : 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !seq_reserve(s, (size_t)n + 1))
        return;
    if ((size_t)n >= room) {
        va_start(ap, fmt);
        kvsnprintf(s->data + s->len, s->capacity - s->len, fmt, ap);
        va_end(ap);
    }
    s->len += (size_t)n;
}

void seq_pad(struct seq *s, size_t line_start, size_t column)
{
    while (!s->failed && s->len - line_start < column)
        seq_write(s, " ", 1);
}

void seq_free(struct seq *s)
{
    kfree(s->data);
    *s = (struct seq){ 0 };
}

void seq_path(struct seq *s, const struct path *p, const char *escape)
{
    char *buf = kmalloc(VFS_PATH_MAX), *text;
    ssize_t len = buf ? path_text(p, NULL, buf, VFS_PATH_MAX, &text) : -ENOMEM;

    for (ssize_t i = 0; i < len; i++) {
        if (strchr(escape, text[i]))
            seq_printf(s, "\\%03o", (uint32_t)(uint8_t)text[i]);
        else
            seq_write(s, &text[i], 1);
    }
    kfree(buf);
}

/* --- inodes --- */

static struct proc_node *node_of(const struct inode *inode)
{
    return inode->data;
}

static const struct inode_ops *ops_of(const struct proc_entry *entry)
{
    if (S_ISDIR(entry->mode))
        return &proc_dir_ops;
    if (S_ISLNK(entry->mode))
        return entry->jump ? &proc_jump_ops : &proc_link_ops;
    return &proc_file_ops;
}

static uint64_t number_of(const struct proc_node *node)
{
    uint64_t h = 0xcbf29ce484222325ull;
    const uint64_t part[] = { (uint64_t)(uintptr_t)node->entry, node->proc ? (uint64_t)node->proc->pid : 0,
                              (uint64_t)node->tid, (uint64_t)(node->fd + 1) };

    for (size_t i = 0; i < ARRAY_SIZE(part); i++)
        h = (h ^ part[i]) * 0x9e3779b97f4a7c15ull;
    return h >> 32 | 1ull << 31;
}

/* Takes no reference of node's: makes its own. */
static struct inode *make_inode(struct superblock *sb, const struct proc_node *node)
{
    struct inode *inode = inode_alloc(sb, ops_of(node->entry), node->entry->mode, number_of(node));
    struct proc_node *copy = kmalloc(sizeof(*copy));

    if (!inode || !copy) {
        inode_put(inode);
        kfree(copy);
        return err_ptr(-ENOMEM);
    }
    *copy = *node;
    if (copy->proc) {
        process_get(copy->proc);
        inode->uid = copy->proc->cred.euid;
        inode->gid = copy->proc->cred.egid;
    }
    inode->nlink = S_ISDIR(node->entry->mode) ? 2 : 1;
    inode->blksize = 1024;
    inode->data = copy;
    return inode;
}

static void proc_evict(struct inode *inode)
{
    struct proc_node *node = node_of(inode);

    if (node && node->proc)
        process_put(node->proc);
    kfree(node);
}

/* A child inherits what its directory stands for. */
static struct proc_node child_of(const struct proc_node *dir, const struct proc_entry *entry)
{
    struct proc_node node = *dir;

    node.entry = entry;
    return node;
}

static struct inode *proc_lookup(struct inode *dir, const struct name *name)
{
    const struct proc_node *node = node_of(dir);
    struct proc_node child;

    for (const struct proc_entry *e = node->entry->children; e && e->name; e++) {
        if (strlen(e->name) == name->len && memcmp(e->name, name->str, name->len) == 0) {
            child = child_of(node, e);
            return make_inode(dir->sb, &child);
        }
    }
    if (node->entry->dynamic && node->entry->dynamic->find(node, name, &child))
        return make_inode(dir->sb, &child);
    return err_ptr(-ENOENT);
}

bool proc_parse_number(const struct name *name, int *ret)
{
    uint64_t value = 0;

    if (name->len == 0 || name->len > 9 || (name->str[0] == '0' && name->len > 1))
        return false;
    for (size_t i = 0; i < name->len; i++) {
        if (name->str[i] < '0' || name->str[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(name->str[i] - '0');
    }
    *ret = (int)value;
    return true;
}

/* --- directories --- */

static int emit_dynamic(struct file *f, const struct proc_node *node, emit_fn emit, void *ctx)
{
    int number = (int)(f->pos - POS_DYNAMIC);
    struct proc_node child;
    char name[16];
    int len;

    while (node->entry->dynamic->next(node, &number, &child)) {
        len = ksnprintf(name, sizeof(name), "%d", number);
        number++;
        if (!emit(ctx, name, (size_t)len, number_of(&child), (uint64_t)number + POS_DYNAMIC,
                  mode_to_dtype(child.entry->mode)))
            return 0;
        f->pos = (uint64_t)number + POS_DYNAMIC;
    }
    return 0;
}

static int proc_readdir(struct file *f, emit_fn emit, void *ctx)
{
    const struct proc_node *node = node_of(f->inode);
    const struct proc_entry *e = node->entry->children;
    uint64_t index = 0;

    if (!dir_emit_dots(f, emit, ctx))
        return 0;
    for (; e && e->name; e++, index++) {
        struct proc_node child = child_of(node, e);

        if (index + 2 < f->pos)
            continue;
        if (!emit(ctx, e->name, strlen(e->name), number_of(&child), index + 3, mode_to_dtype(e->mode)))
            return 0;
        f->pos = index + 3;
    }
    if (!node->entry->dynamic)
        return 0;
    f->pos = MAX(f->pos, (uint64_t)POS_DYNAMIC);
    return emit_dynamic(f, node, emit, ctx);
}

static const struct file_ops dir_file_ops = {
    .seek = seek_dir,
    .readdir = proc_readdir,
    .fsync = fsync_nothing,
};

/* --- files --- */

static int fill(struct file *f, struct seq *s)
{
    const struct proc_node *node = node_of(f->inode);
    int err = 0;

    s->len = 0;
    s->failed = false;
    if (node->entry->text)
        seq_puts(s, node->entry->text);
    else if (node->entry->show)
        err = node->entry->show(s, node);
    return err < 0 ? err : s->failed ? -ENOMEM : 0;
}

static ssize_t proc_read(struct file *f, struct iter *to, uint64_t *pos)
{
    struct seq *s = f->data;
    size_t want, n;
    int err;

    if (*pos == 0 || !s->data) {
        err = fill(f, s);
        if (err < 0)
            return err;
    }
    if (*pos >= s->len)
        return 0;
    want = MIN((size_t)(s->len - *pos), to->left);
    n = iter_copy_to(to, s->data + *pos, want);
    *pos += n;
    return n > 0 || want == 0 ? (ssize_t)n : -EFAULT;
}

static ssize_t proc_write(struct file *f, struct iter *from, uint64_t *pos)
{
    const struct proc_node *node = node_of(f->inode);
    size_t n = from->left;
    char *text;
    int err;

    if (!node->entry->store)
        return -EINVAL;
    if (n > STORE_MAX)
        return -E2BIG;
    text = kzalloc(n + 1);
    if (!text)
        return -ENOMEM;
    err = iter_copy_from(from, text, n) == n ? node->entry->store(node, text, n) : -EFAULT;
    kfree(text);
    if (err < 0)
        return err;
    *pos += n;
    return (ssize_t)n;
}

static loff_t proc_seek(struct file *f, loff_t offset, int whence)
{
    return whence == SEEK_END ? -EINVAL : seek_generic(f, offset, whence);
}

static void proc_release(struct file *f)
{
    seq_free(f->data);
    kfree(f->data);
}

static const struct file_ops text_file_ops = {
    .read = proc_read,
    .write = proc_write,
    .seek = proc_seek,
    .release = proc_release,
};

static int proc_open(struct inode *inode, struct file *f)
{
    const struct proc_entry *entry = node_of(inode)->entry;

    if (S_ISDIR(entry->mode)) {
        f->ops = &dir_file_ops;
        return 0;
    }
    if (entry->ops) {
        f->ops = entry->ops;
        return 0;
    }
    f->data = kzalloc(sizeof(struct seq));
    if (!f->data)
        return -ENOMEM;
    f->ops = &text_file_ops;
    return 0;
}

int proc_store_ignore(const struct proc_node *node UNUSED, char *text UNUSED, size_t n UNUSED)
{
    return 0;
}

static int proc_setattr(struct inode *inode, const struct attr *attr)
{
    return (attr->valid & ATTR_SIZE) && !(attr->valid & (ATTR_MODE | ATTR_UID | ATTR_GID)) && inode ? 0 : -EPERM;
}

/* --- links --- */

static ssize_t proc_readlink(struct inode *inode, char *buf, size_t size)
{
    return node_of(inode)->entry->readlink(node_of(inode), buf, size);
}

static int proc_jump(struct inode *inode, struct path *ret)
{
    return node_of(inode)->entry->jump(node_of(inode), ret);
}

/* The text of where a magic link leads. */
static ssize_t proc_readlink_jump(struct inode *inode, char *buf, size_t size)
{
    char *copy = kmalloc(VFS_PATH_MAX), *text;
    struct path to;
    ssize_t len;

    if (!copy)
        return -ENOMEM;
    len = proc_jump(inode, &to);
    if (len == 0) {
        len = path_text(&to, NULL, copy, VFS_PATH_MAX, &text);
        if (len > 0 && anon_path(&to)) { /* "pipe:[7]" and the like aren't below a root */
            text++;
            len--;
        }
        if (len > 0) {
            len = (ssize_t)MIN((size_t)len, size);
            memcpy(buf, text, (size_t)len);
        }
        path_put(&to);
    }
    kfree(copy);
    return len;
}

static const struct inode_ops proc_dir_ops = { .lookup = proc_lookup, .open = proc_open, .evict = proc_evict };
static const struct inode_ops proc_file_ops = { .open = proc_open, .setattr = proc_setattr, .evict = proc_evict };
static const struct inode_ops proc_link_ops = { .readlink = proc_readlink, .evict = proc_evict };
static const struct inode_ops proc_jump_ops = {
    .readlink = proc_readlink_jump,
    .jump = proc_jump,
    .evict = proc_evict,
};

/* --- mounting --- */

struct superblock *proc_tree_mount(const char *type, uint32_t magic, const struct proc_entry *entry)
{
    const struct proc_node node = { .entry = entry, .fd = -1 };
    struct superblock *sb = superblock_alloc(type, magic);
    struct inode *root;
    int err;

    if (!sb)
        return err_ptr(-ENOMEM);
    sb->flags |= SB_NO_DCACHE | SB_OWN_DEVICES | SB_NO_NEGATIVE;
    root = make_inode(sb, &node);
    if (is_err(root))
        return (struct superblock *)root;
    err = superblock_set_root(sb, root);
    return err < 0 ? err_ptr(err) : sb;
}

struct superblock *procfs_mount(void)
{
    static const struct proc_entry root = {
        .name = "/", .mode = S_IFDIR | 0555, .children = proc_root, .dynamic = &proc_pids
    };

    return proc_tree_mount("proc", PROC_SUPER_MAGIC, &root);
}

struct process *procfs_process(const struct file *f)
{
    const struct proc_node *node;

    if (!f->inode || f->inode->ops != &proc_dir_ops || (f->flags & O_PATH))
        return NULL;
    node = node_of(f->inode);
    return node->entry->children == proc_pid_entries ? node->proc : NULL;
}
