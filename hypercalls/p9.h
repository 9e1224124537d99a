/*
 * The gofer's wire format: 9P2000.L as published (diod's protocol.md), plus numbered extensions that
 * a client gets by asking for version "9P2000.L.vmm1". Layouts: docs/gofer-protocol.md.
 *
 * Every message is size[4] type[1] tag[2] and its fields, little-endian; s is a string with a length[2].
 * The cursor below reads and writes fields; it never leaves its buffer, and an overrun sticks in `bad`,
 * so a message is decoded in one go and checked once at its end.
 */
#ifndef HYPERCALLS_P9_H
#define HYPERCALLS_P9_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define P9_VERSION_L "9P2000.L"
#define P9_VERSION_VMM "9P2000.L.vmm1"

#define P9_HEADER_SIZE 7
#define P9_IO_HEADER_SIZE 24            /* room for a read's or write's other fields, as v9fs counts it */
#define P9_MSIZE_MIN 4096
#define P9_MSIZE_MAX (1u << 20)         /* largest message that the gofer takes */
#define P9_NOTAG 0xffff
#define P9_NOFID 0xffffffffu
#define P9_NONUNAME 0xffffffffu
#define P9_NAME_MAX 255
#define P9_PATH_MAX 4096                /* symlink targets */
#define P9_WALK_MAX 16                  /* names in one walk */
#define P9_OFFSET_STREAM UINT64_MAX     /* Tread, Twrite: at the descriptor's own position (stdio) */
#define P9_OFFSET_STREAM_NOWAIT (UINT64_MAX - 1) /* the same, but EAGAIN rather than waiting */
#define P9_POLL_NOW 0x80000000u         /* in Tpoll's events: answer at once, with 0 if nothing is there */

/*
 * P9_LIST(X): X(number of the T message, name). R messages have the next number. 200 and above are ours.
 *
 *   Twalkx    fid[4] newfid[4] open_flags[4] nwname[2] nwname*(name[s])
 *   Rwalkx    npassed[2] error[4] npassed*(attr) opened[1] iounit[4] target[s]
 *             Walks like Twalk, but tells of each component it passed. npassed < nwname: error is the errno of the
 *             next component (ENOENT: it doesn't exist; ENOTDIR: the last passed one is no directory, it may be a
 *             symlink, whose target is then in `target`); newfid isn't bound then. npassed == nwname: newfid is bound; and if open_flags
 *             isn't P9_WALKX_NO_OPEN and the file is no symlink, it is opened as by Tlopen (error tells why not: newfid is bound
 *             all the same, opened is 0). nwname == 0: the fid itself is cloned (and opened), its attr is sent: npassed is 1.
 *   Treaddirx fid[4] offset[8] count[4]
 *   Rreaddirx count[4] count bytes of entries: attr offset[8] name[s]. If 1024 bytes more would have fit, it is the end.
 *   Tlist     fid[4] offset[8] count[4] flags[4] nname[2] nname*(name[s])
 *   Rlist     count[4] count bytes of directories: error[4], and if that is 0, state[1] attr size[4] size bytes of entries
 *             Entries are Rreaddirx's with P9_LIST_ATTR in flags, else Rreaddir's. nname == 0: the directory fid, which need not be
 *             open, from offset. Else the directories `name` in it, from their start, as many as fit whole.
 *   Tdonate   fid[4] writable[1]
 *   Rdonate   token[4] size[8]              a descriptor of the open regular file goes to the vmm; token names it
 *   Tioctl    fid[4] cmd[4] in[s]           terminals among the stdio fids only, an allow-list
 *   Rioctl    ret[4] out[s]
 *   Tpoll     fid[4] events[4]              stdio fids; answers when one of the poll(2) events is there
 *   Rpoll     revents[4]
 *   Tseek     fid[4] offset[8] whence[4]    SEEK_DATA and SEEK_HOLE on files; all of them on stdio
 *   Rseek     offset[8]
 *   Tfallocate fid[4] mode[4] offset[8] length[8]
 *   Rfallocate
 *   Trename2  olddirfid[4] oldname[s] newdirfid[4] newname[s] flags[4]     renameat2(2)
 *   Rrename2
 *   Ttmpfile  dirfid[4] newfid[4] flags[4] mode[4] gid[4]      O_TMPFILE
 *   Rtmpfile  qid[13] iounit[4]
 *   Tsync     fid[4]                        syncfs(2)
 *   Rsync
 *
 * Sockets of the host (net.h), if the sandbox has a network. sock is the guest's number for a socket; rings are
 * tx_offset[4] tx_size[4] rx_offset[4] rx_size[4] in the region's ring memory; end is a struct net_end: addr[16] scope[4] port[2] family[2].
 *
 *   Tnsocket  sock[4] family[2] type[2] protocol[2] rings
 *   Tnconnect sock[4] end                   EINPROGRESS: the block's state will tell. family 0 dissolves a datagram socket's connection
 *   Tnlisten  sock[4] port[2] backlog[4]    take the published port: a stream listens, a datagram socket becomes the host's bound one
 *   Rnlisten  end                           where the host listens
 *   Tnaccept  sock[4] newsock[4] rings
 *   Rnaccept  local(end) peer(end)
 *   Tncheck   sock[4] end                   may a datagram go there? the answer holds until the host's routes change
 *   Tnoob     sock[4] send[1] byte[1]       send the byte out of band (behind what is in the tx ring, or EAGAIN); or receive one
 *   Rnoob     byte[1]
 *   Tnsetopt  sock[4] level[4] name[4] value[s]
 *   Tngetopt  sock[4] level[4] name[4] size[2]
 *   Rngetopt  value[s]
 *   Tnshutdown sock[4] how[1]               SHUT_*; SHUT_WR takes effect behind what is in the tx ring
 *   Tnname    sock[4]
 *   Rnname    local(end) peer(end)
 *   Tnbind    sock[4] end flags[4]          source address and port of a socket that hasn't any yet (NET_BIND_*)
 *   Rnbind    end                           as the host calls it
 *   Tnclose   sock[4] flags[4]              EINPROGRESS: what is in the tx ring goes out first, NET_RELEASED tells when number and rings are free
 */
#define P9_LIST(X)                                                                                 \
    X(6, lerror) /* only Rlerror, 7, exists */                                                     \
    X(8, statfs)                                                                                   \
    X(12, lopen)                                                                                   \
    X(14, lcreate)                                                                                 \
    X(16, symlink)                                                                                 \
    X(18, mknod)                                                                                   \
    X(20, rename)                                                                                  \
    X(22, readlink)                                                                                \
    X(24, getattr)                                                                                 \
    X(26, setattr)                                                                                 \
    X(30, xattrwalk)                                                                               \
    X(32, xattrcreate)                                                                             \
    X(40, readdir)                                                                                 \
    X(50, fsync)                                                                                   \
    X(52, lock)                                                                                    \
    X(54, getlock)                                                                                 \
    X(70, link)                                                                                    \
    X(72, mkdir)                                                                                   \
    X(74, renameat)                                                                                \
    X(76, unlinkat)                                                                                \
    X(100, version)                                                                                \
    X(102, auth)                                                                                   \
    X(104, attach)                                                                                 \
    X(108, flush)                                                                                  \
    X(110, walk)                                                                                   \
    X(116, read)                                                                                   \
    X(118, write)                                                                                  \
    X(120, clunk)                                                                                  \
    X(122, remove)                                                                                 \
    X(200, walkx)                                                                                  \
    X(202, readdirx)                                                                               \
    X(204, donate)                                                                                 \
    X(206, ioctl)                                                                                  \
    X(208, poll)                                                                                   \
    X(210, seek)                                                                                   \
    X(212, fallocate)                                                                              \
    X(214, rename2)                                                                                \
    X(216, tmpfile)                                                                                \
    X(218, sync)                                                                                   \
    X(220, list)                                                                                   \
    X(230, nsocket)                                                                                \
    X(232, nconnect)                                                                               \
    X(234, nlisten)                                                                                \
    X(236, naccept)                                                                                \
    X(238, ncheck)                                                                                 \
    X(240, noob)                                                                                   \
    X(242, nsetopt)                                                                                \
    X(244, ngetopt)                                                                                \
    X(246, nshutdown)                                                                              \
    X(248, nname)                                                                                  \
    X(250, nclose)                                                                                 \
    X(252, nbind)

enum p9_type {
#define X(number, name) P9_T##name = number, P9_R##name = number + 1,
    P9_LIST(X)
#undef X
};

#define P9_LIST_ATTR 1u         /* Tlist flags */
#define P9_LIST_ENDED 1u        /* Rlist state: nothing comes behind these entries */
#define P9_LIST_SEARCHABLE 2u   /* names may be looked up in it */
#define P9_WALKX_NO_OPEN 0xffffffffu

/*
 * Attach names. A mount of the vmm's is "export/N", N counting from 0 in the launch table; an inherited
 * descriptor is "stdio/0" to "stdio/2", attached open. (Other clients attach by the export's path.)
 */
#define P9_ATTACH_EXPORT "export/"
#define P9_ATTACH_STDIO "stdio/"

#define P9_QID_SIZE 13
#define P9_QTDIR 0x80
#define P9_QTSYMLINK 0x02
#define P9_QTFILE 0x00

struct p9_qid {
    uint8_t type;
    uint32_t version;
    uint64_t path;
};

/* Tgetattr request_mask and Rgetattr valid. */
#define P9_GETATTR_BASIC 0x000007ffull
#define P9_GETATTR_ALL 0x00003fffull
#define P9_GETATTR_BTIME 0x00000800ull

/* Tsetattr valid. */
#define P9_SETATTR_MODE 0x001u
#define P9_SETATTR_UID 0x002u
#define P9_SETATTR_GID 0x004u
#define P9_SETATTR_SIZE 0x008u
#define P9_SETATTR_ATIME 0x010u
#define P9_SETATTR_MTIME 0x020u
#define P9_SETATTR_CTIME 0x040u
#define P9_SETATTR_ATIME_SET 0x080u
#define P9_SETATTR_MTIME_SET 0x100u

/* Open flags on the wire are Linux's generic (octal) values, which are x86-64's. */

/* The attr of Rwalkx and Rreaddirx: fields of Rgetattr, fixed size, in this order. */
#define P9_ATTR_SIZE (P9_QID_SIZE + 3 * 4 + 13 * 8)
struct p9_attr {
    struct p9_qid qid;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint64_t nlink;
    uint64_t rdev;
    uint64_t size;
    uint64_t blksize;
    uint64_t blocks;
    uint64_t atime_sec;
    uint64_t atime_nsec;
    uint64_t mtime_sec;
    uint64_t mtime_nsec;
    uint64_t ctime_sec;
    uint64_t ctime_nsec;
    uint64_t btime_sec;
    uint64_t btime_nsec;
};

/* A place in a message. `bad` stays set once a field did not fit. */
struct p9_cursor {
    uint8_t *data;
    size_t size;
    size_t pos;
    bool bad;
};

struct p9_str {
    const char *data; /* not terminated; points into the message */
    uint16_t len;
};

static inline void p9_cursor_init(struct p9_cursor *c, void *data, size_t size)
{
    c->data = data;
    c->size = size;
    c->pos = 0;
    c->bad = false;
}

/* Take n bytes; NULL, and bad, if they aren't there. */
static inline uint8_t *p9_take(struct p9_cursor *c, size_t n)
{
    if (c->bad || n > c->size - c->pos) {
        c->bad = true;
        return NULL;
    }
    c->pos += n;
    return c->data + c->pos - n;
}

static inline uint64_t p9_get_int(struct p9_cursor *c, size_t n)
{
    const uint8_t *p = p9_take(c, n);
    uint64_t v = 0;

    if (!p)
        return 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static inline void p9_put_int(struct p9_cursor *c, uint64_t v, size_t n)
{
    uint8_t *p = p9_take(c, n);

    if (!p)
        return;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint8_t p9_get8(struct p9_cursor *c)
{
    return (uint8_t)p9_get_int(c, 1);
}

static inline uint16_t p9_get16(struct p9_cursor *c)
{
    return (uint16_t)p9_get_int(c, 2);
}

static inline uint32_t p9_get32(struct p9_cursor *c)
{
    return (uint32_t)p9_get_int(c, 4);
}

static inline uint64_t p9_get64(struct p9_cursor *c)
{
    return p9_get_int(c, 8);
}

static inline void p9_put8(struct p9_cursor *c, uint8_t v)
{
    p9_put_int(c, v, 1);
}

static inline void p9_put16(struct p9_cursor *c, uint16_t v)
{
    p9_put_int(c, v, 2);
}

static inline void p9_put32(struct p9_cursor *c, uint32_t v)
{
    p9_put_int(c, v, 4);
}

static inline void p9_put64(struct p9_cursor *c, uint64_t v)
{
    p9_put_int(c, v, 8);
}

static inline void p9_put_bytes(struct p9_cursor *c, const void *data, size_t n)
{
    uint8_t *p = p9_take(c, n);
    const uint8_t *s = data;

    if (!p)
        return;
    for (size_t i = 0; i < n; i++)
        p[i] = s[i];
}

static inline struct p9_str p9_get_str(struct p9_cursor *c)
{
    uint16_t len = p9_get16(c);
    const uint8_t *p = p9_take(c, len);

    return p ? (struct p9_str){ (const char *)p, len } : (struct p9_str){ NULL, 0 };
}

static inline void p9_put_str(struct p9_cursor *c, const char *data, size_t len)
{
    if (len > UINT16_MAX) {
        c->bad = true;
        return;
    }
    p9_put16(c, (uint16_t)len);
    p9_put_bytes(c, data, len);
}

static inline struct p9_qid p9_get_qid(struct p9_cursor *c)
{
    struct p9_qid q;

    q.type = p9_get8(c);
    q.version = p9_get32(c);
    q.path = p9_get64(c);
    return q;
}

static inline void p9_put_qid(struct p9_cursor *c, const struct p9_qid *q)
{
    p9_put8(c, q->type);
    p9_put32(c, q->version);
    p9_put64(c, q->path);
}

static inline void p9_get_attr(struct p9_cursor *c, struct p9_attr *a)
{
    uint64_t *const wide[] = { &a->nlink,      &a->rdev,       &a->size,      &a->blksize,
                               &a->blocks,     &a->atime_sec,  &a->atime_nsec, &a->mtime_sec,
                               &a->mtime_nsec, &a->ctime_sec,  &a->ctime_nsec, &a->btime_sec,
                               &a->btime_nsec };

    a->qid = p9_get_qid(c);
    a->mode = p9_get32(c);
    a->uid = p9_get32(c);
    a->gid = p9_get32(c);
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
        *wide[i] = p9_get64(c);
}

static inline void p9_put_attr(struct p9_cursor *c, const struct p9_attr *a)
{
    const uint64_t wide[] = { a->nlink,      a->rdev,      a->size,       a->blksize,    a->blocks,
                              a->atime_sec,  a->atime_nsec, a->mtime_sec, a->mtime_nsec, a->ctime_sec,
                              a->ctime_nsec, a->btime_sec, a->btime_nsec };

    p9_put_qid(c, &a->qid);
    p9_put32(c, a->mode);
    p9_put32(c, a->uid);
    p9_put32(c, a->gid);
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
        p9_put64(c, wide[i]);
}

/* Begin a message at the cursor's start; p9_finish writes its size and returns it, 0 if it did not fit. */
static inline void p9_begin(struct p9_cursor *c, uint8_t type, uint16_t tag)
{
    p9_put32(c, 0);
    p9_put8(c, type);
    p9_put16(c, tag);
}

static inline size_t p9_finish(struct p9_cursor *c)
{
    size_t size = c->pos;

    if (c->bad)
        return 0;
    c->pos = 0;
    p9_put32(c, (uint32_t)size);
    c->pos = size;
    return size;
}

#endif
