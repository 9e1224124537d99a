/*
 * Inside /proc and /sys: trees of entries, each with a function that writes its text. procfs.c walks them, procfs_root.c
 * has the files about the whole sandbox, procfs_sys.c the tree of sysctls, procfs_pid.c a process's files, procfs_maps.c its
 * memory, procfs_fd.c its descriptors and threads, sysfs.c what programs look for in /sys.
 */
#ifndef FS_PROCFS_H
#define FS_PROCFS_H

#include "fs/vfs.h"
#include "proc/process.h"

/* Text that grows. Failures stick until the end, where they become ENOMEM. */
struct seq {
    char *data;
    size_t len, capacity;
    bool failed;
};

void seq_printf(struct seq *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void seq_puts(struct seq *s, const char *text);
void seq_write(struct seq *s, const void *data, size_t n);
void seq_pad(struct seq *s, size_t line_start, size_t column); /* spaces up to a column of the line */
void seq_free(struct seq *s);

/* The path's text with white space and backslashes as octal escapes (mounts) or only newlines (maps). */
void seq_path(struct seq *s, const struct path *p, const char *escape);

struct proc_entry;

/* What an inode of these trees stands for. */
struct proc_node {
    const struct proc_entry *entry;
    struct process *proc; /* a reference, below /proc/PID; else NULL */
    int tid;              /* below /proc/PID/task/TID; else 0 */
    int fd;               /* fd/N and fdinfo/N; else -1 */
};

/* Entries that come and go: process numbers, descriptors. */
struct proc_dynamic {
    bool (*find)(const struct proc_node *dir, const struct name *name, struct proc_node *ret);
    /* The first at or after *number: sets it and ret, or returns false. Its name is the number. */
    bool (*next)(const struct proc_node *dir, int *number, struct proc_node *ret);
};

struct proc_entry {
    const char *name;
    uint32_t mode; /* with type */
    const char *text;                                              /* a file with constant text */
    int (*show)(struct seq *s, const struct proc_node *node);      /* or made when it is read; -errno */
    int (*store)(const struct proc_node *node, char *text, size_t n); /* written; text is terminated. NULL: EACCES */
    const struct proc_entry *children; /* a directory; ends with a nameless entry */
    const struct proc_dynamic *dynamic;
    int (*jump)(const struct proc_node *node, struct path *ret);   /* a magic link; readlink gives the path's text */
    ssize_t (*readlink)(const struct proc_node *node, char *buf, size_t size); /* a link with text */
    const struct file_ops *ops;        /* a file with operations of its own; f->inode->data is the node */
};

#define PROC_DIR(name_, children_) { .name = name_, .mode = S_IFDIR | 0555, .children = children_ }
#define PROC_FILE(name_, mode_, show_) { .name = name_, .mode = S_IFREG | (mode_), .show = show_ }
#define PROC_TEXT(name_, text_) { .name = name_, .mode = S_IFREG | 0444, .text = text_ }
/* Settings that nothing depends on: writes are accepted and forgotten. */
#define PROC_SETTING(name_, text_) { .name = name_, .mode = S_IFREG | 0644, .text = text_, .store = proc_store_ignore }

int proc_store_ignore(const struct proc_node *node, char *text, size_t n);

/* A file system of this tree. */
struct superblock *proc_tree_mount(const char *type, uint32_t magic, const struct proc_entry *root);

/* The process of an open /proc/PID directory, which serves as a pidfd in some calls; NULL: f is something else. */
struct process *procfs_process(const struct file *f);

bool proc_parse_number(const struct name *name, int *ret);

/* A thread of the node's that still has descriptors and a directory; NULL: it is gone. */
struct thread *proc_thread(const struct proc_node *node);

extern const struct proc_entry proc_root[], proc_sys[], proc_net[], proc_pid_entries[], proc_tid_entries[];
extern const struct proc_dynamic proc_pids, proc_tasks, proc_fds, proc_fdinfos;

/* Shared by several. */
int proc_show_mounts(struct seq *s, const struct proc_node *node);
int proc_show_maps(struct seq *s, const struct proc_node *node);
int proc_show_smaps(struct seq *s, const struct proc_node *node);
int proc_show_smaps_rollup(struct seq *s, const struct proc_node *node);
extern const struct file_ops proc_mem_ops;

#endif
