/* Names of AF_UNIX sockets: in the file system, abstract, chosen by us (unix(7)). */
#include "arch/cpu.h"
#include "fs/namei.h"
#include "lib/kmalloc.h"
#include "lib/string.h"
#include "net/unix.h"

#define TABLE_SIZE 64u
#define AUTOBIND_NAMES (1u << 20) /* five hexadecimal digits */

static struct list abstract_names[TABLE_SIZE]; /* heads are zero until used */

void unix_name_put(struct unix_name *n)
{
    if (n && --n->refs == 0)
        kfree(n);
}

struct unix_name *unix_name_get(struct unix_name *n)
{
    if (n)
        n->refs++;
    return n;
}

void unix_name_show(const struct unix_name *n, struct net_addr *ret)
{
    if (n) {
        memcpy(ret->bytes, &n->addr, n->len);
        ret->len = n->len;
    } else {
        ret->family = AF_UNIX;
        ret->len = UNIX_PATH_OFFSET;
    }
}

static struct unix_name *name_create(const struct net_addr *addr, uint32_t len)
{
    struct unix_name *n = kzalloc(sizeof(*n));

    if (!n)
        return NULL;
    n->refs = 1;
    n->len = len;
    memcpy(&n->addr, addr->bytes, MIN(len, sizeof(n->addr)));
    return n;
}

int unix_check_addr(const struct net_addr *addr)
{
    if (addr->len <= UNIX_PATH_OFFSET || addr->len > sizeof(struct sockaddr_un) || addr->family != AF_UNIX)
        return -EINVAL;
    return 0;
}

static bool is_abstract(const struct net_addr *addr)
{
    return addr->un.sun_path[0] == '\0';
}

/* --- abstract --- */

static struct list *bucket(const void *addr, uint32_t len, int type)
{
    const uint8_t *bytes = addr;
    uint32_t hash = 2166136261u ^ (uint32_t)type;
    struct list *head;

    for (uint32_t i = UNIX_PATH_OFFSET; i < len; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    head = &abstract_names[(hash ^ hash >> 16) % TABLE_SIZE];
    if (!head->next)
        list_init(head);
    return head;
}

static struct unix_sock *find_abstract(const void *addr, uint32_t len, int type)
{
    struct list *head = bucket(addr, len, type);
    struct unix_sock *u;

    list_for_each(u, head, name_node) {
        if (u->s.type == type && u->name->len == len && memcmp(&u->name->addr, addr, len) == 0)
            return u;
    }
    return NULL;
}

static int bind_abstract(struct unix_sock *u, const struct net_addr *addr)
{
    if (find_abstract(addr->bytes, addr->len, u->s.type))
        return -EADDRINUSE;
    u->name = name_create(addr, addr->len);
    if (!u->name)
        return -ENOMEM;
    u->abstract = true;
    list_push_back(bucket(addr->bytes, addr->len, u->s.type), &u->name_node);
    return 0;
}

int unix_autobind(struct unix_sock *u)
{
    struct net_addr addr = { .family = AF_UNIX };
    uint32_t start;

    if (u->name)
        return 0;
    random_bytes(&start, sizeof(start));
    for (uint32_t i = 0; i < AUTOBIND_NAMES; i++) {
        char digits[8];
        int err;

        ksnprintf(digits, sizeof(digits), "%05x", (start + i) % AUTOBIND_NAMES);
        memcpy(addr.un.sun_path + 1, digits, 5);
        addr.len = UNIX_PATH_OFFSET + 6;
        err = bind_abstract(u, &addr);
        if (err != -EADDRINUSE)
            return err;
    }
    return -ENOSPC;
}

/* --- in the file system --- */

/* The path that the address names, terminated. */
static void path_of(const struct net_addr *addr, char path[sizeof(struct sockaddr_un) + 1])
{
    size_t n = addr->len - UNIX_PATH_OFFSET;

    memcpy(path, addr->un.sun_path, n);
    path[n] = '\0';
}

static int bind_path(struct unix_sock *u, const struct net_addr *addr)
{
    char path[sizeof(struct sockaddr_un) + 1];
    struct unix_name *name;
    struct path at;
    int err;

    path_of(addr, path);
    name = name_create(addr, (uint32_t)(UNIX_PATH_OFFSET + strlen(path) + 1));
    if (!name)
        return -ENOMEM;
    err = vfs_mknod(AT_FDCWD, path, S_IFSOCK | 0777, 0, &at);
    if (err == 0 && u->name) { /* another thread was faster */
        path_put(&at);
        err = -EINVAL;
    }
    if (err < 0) {
        unix_name_put(name);
        return err == -EEXIST ? -EADDRINUSE : err;
    }
    u->name = name;
    u->path = at;
    at.dentry->inode->pipe = u;
    return 0;
}

int unix_bind(struct socket *s, const struct net_addr *addr)
{
    struct unix_sock *u = unix_sock(s);
    int err;

    if (addr->len == UNIX_PATH_OFFSET && addr->family == AF_UNIX)
        return unix_autobind(u);
    err = unix_check_addr(addr);
    if (err < 0)
        return err;
    if (u->name)
        return -EINVAL;
    return is_abstract(addr) ? bind_abstract(u, addr) : bind_path(u, addr);
}

static struct unix_sock *find_path(const struct net_addr *addr, int type)
{
    char text[sizeof(struct sockaddr_un) + 1];
    struct unix_sock *u = NULL;
    struct inode *inode;
    struct path path;
    int err;

    path_of(addr, text);
    err = path_lookup(AT_FDCWD, text, LOOKUP_FOLLOW, &path);
    if (err < 0)
        return err_ptr(err);
    inode = path.dentry->inode;
    err = vfs_permission(inode, MAY_WRITE);
    if (err == 0 && (!S_ISSOCK(inode->mode) || !inode->pipe))
        err = -ECONNREFUSED;
    if (err == 0) {
        u = inode->pipe;
        if (u->s.type != type)
            err = -EPROTOTYPE;
        else
            socket_get(&u->s);
    }
    path_put(&path);
    return err < 0 ? err_ptr(err) : u;
}

struct unix_sock *unix_find(const struct net_addr *addr, int type)
{
    struct unix_sock *u;

    if (!is_abstract(addr))
        return find_path(addr, type);
    u = find_abstract(addr->bytes, addr->len, type);
    if (!u)
        return err_ptr(-ECONNREFUSED);
    socket_get(&u->s);
    return u;
}

void unix_unname(struct unix_sock *u)
{
    if (u->abstract)
        list_remove(&u->name_node);
    u->abstract = false;
    if (u->path.dentry) {
        if (u->path.dentry->inode->pipe == u)
            u->path.dentry->inode->pipe = NULL;
        path_put(&u->path);
    }
}
