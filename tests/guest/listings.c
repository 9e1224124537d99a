/*
 * Listings and what is known from them, held against a model of two directories: names that come and go by every call that
 * changes names are seen by readdir(3) with the right type and number, by stat(2), and by nothing else; a listing that is
 * under way shows what stays exactly once, and nothing twice (readdir(3), POSIX.1-2017 readdir()).
 *
 *     listings DIRECTORY SEED COUNT     random operations
 *     listings DIRECTORY evict          attributes that changed after they came with a listing
 *     listings DIRECTORY show           what is in it
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

enum { NAMES = 40, DIRS = 2, MANY = 5000 };

struct node {
    ino_t ino;
    unsigned type; /* DT_*; 0: the name isn't there */
    off_t size;
    unsigned since; /* step at which the name came, or went */
};

static struct node model[DIRS][NAMES];
static unsigned seed, step;

static unsigned pick(unsigned below)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16 & 0x7fff) % below;
}

static const char *path_of(unsigned dir, unsigned name)
{
    static char space[4][64];
    static unsigned next;
    char *path = space[next++ % 4];

    snprintf(path, sizeof(space[0]), "%c/name-%u%s", 'a' + dir, name, name % 7 ? "" : "-and-a-longer-one");
    return path;
}

static int number_of(const char *name)
{
    unsigned n;

    return sscanf(name, "name-%u", &n) == 1 && n < NAMES ? (int)n : -1;
}

/* --- checks --- */

static void check_entry(unsigned dir, const struct dirent *e, unsigned char seen[NAMES])
{
    int n = number_of(e->d_name);

    if (e->d_name[0] == '.')
        return;
    if (!CHECK(n >= 0))
        return;
    CHECK_EQUAL(seen[n], 0);
    seen[n]++;
    CHECK_EQUAL(e->d_type, model[dir][n].type);
    CHECK(e->d_ino == model[dir][n].ino);
}

static void check_listing(unsigned dir)
{
    unsigned char seen[NAMES] = { 0 };
    DIR *d = opendir(dir ? "b" : "a");
    struct dirent *e;

    if (!CHECK(d != NULL))
        return;
    while ((e = readdir(d)))
        check_entry(dir, e, seen);
    closedir(d);
    for (unsigned n = 0; n < NAMES; n++)
        CHECK_EQUAL(seen[n], model[dir][n].type != 0);
}

static void check_stat(unsigned dir, unsigned n)
{
    const struct node *m = &model[dir][n];
    struct stat st;

    if (!m->type) {
        CHECK_ERRNO(lstat(path_of(dir, n), &st), ENOENT);
        return;
    }
    if (!CHECK_OK(lstat(path_of(dir, n), &st)))
        return;
    CHECK_EQUAL(IFTODT(st.st_mode), m->type);
    CHECK(st.st_ino == m->ino);
    if (m->type == DT_REG)
        CHECK_EQUAL(st.st_size, m->size);
}

/* A listing that is read a few entries at a time while names change. */
static struct {
    DIR *d;
    unsigned dir, since;
    unsigned char seen[NAMES];
} slow;

static void slow_end(void)
{
    for (unsigned n = 0; n < NAMES; n++) {
        if (model[slow.dir][n].since < slow.since)
            CHECK_EQUAL(slow.seen[n], model[slow.dir][n].type != 0);
    }
    if (pick(2)) {
        rewinddir(slow.d);
    } else {
        closedir(slow.d);
        slow.dir = pick(DIRS);
        slow.d = opendir(slow.dir ? "b" : "a");
    }
    slow.since = step;
    memset(slow.seen, 0, sizeof(slow.seen));
}

static bool stayed(int n)
{
    return n >= 0 && model[slow.dir][n].since < slow.since;
}

/* The next entry; false: that was the last. What came or went meanwhile may be shown or not. */
static bool slow_next(int *ret)
{
    struct dirent *e = readdir(slow.d);

    if (!e) {
        slow_end();
        return false;
    }
    *ret = number_of(e->d_name);
    return true;
}

static void slow_read(void)
{
    for (unsigned i = pick(6); i > 0; i--) {
        long place = telldir(slow.d);
        int n, again = -1;

        if (!slow_next(&n))
            return;
        if (stayed(n) && pick(4) == 0) { /* back: the same comes again, though new ones may be in front of it by now */
            seekdir(slow.d, place);
            while (!stayed(again))
                if (!slow_next(&again))
                    return;
            CHECK_EQUAL(again, n);
        }
        if (stayed(n)) {
            CHECK_EQUAL(slow.seen[n], 0);
            slow.seen[n]++;
        }
    }
}

/* --- operations --- */

static void came(unsigned dir, unsigned n, struct node from)
{
    model[dir][n] = from;
    model[dir][n].since = step;
}

static void made(unsigned dir, unsigned n, unsigned type, off_t size)
{
    struct stat st = { 0 };

    CHECK_OK(lstat(path_of(dir, n), &st));
    came(dir, n, (struct node){ st.st_ino, type, size, 0 });
}

static void make(unsigned dir, unsigned n)
{
    const char *path = path_of(dir, n);
    char text[100] = { 0 };
    unsigned other = pick(NAMES), size = pick(100);
    int fd;

    switch (pick(5)) {
    case 0:
        CHECK_OK(mkdir(path, 0755));
        made(dir, n, DT_DIR, 0);
        break;
    case 1:
        CHECK_OK(symlink("some-target", path));
        made(dir, n, DT_LNK, 0);
        break;
    case 2:
        if (model[dir][other].type == DT_REG) {
            CHECK_OK(link(path_of(dir, other), path));
            made(dir, n, DT_REG, model[dir][other].size);
            break;
        }
        CHECK_OK(mknod(path, S_IFIFO | 0600, 0));
        made(dir, n, DT_FIFO, 0);
        break;
    default:
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        CHECK_OK(fd);
        CHECK_EQUAL(write(fd, text, size), size);
        close(fd);
        made(dir, n, DT_REG, size);
        break;
    }
}

static void drop(unsigned dir, unsigned n)
{
    CHECK_OK(model[dir][n].type == DT_DIR ? rmdir(path_of(dir, n)) : unlink(path_of(dir, n)));
    came(dir, n, (struct node){ 0 });
}

static void grow(unsigned dir, unsigned n)
{
    int fd = open(path_of(dir, n), O_WRONLY | O_APPEND);
    ino_t ino = model[dir][n].ino;

    CHECK_OK(fd);
    CHECK_EQUAL(write(fd, "xyz", 3), 3);
    close(fd);
    for (unsigned d = 0; d < DIRS; d++) {
        for (unsigned k = 0; k < NAMES; k++)
            if (model[d][k].type == DT_REG && model[d][k].ino == ino)
                model[d][k].size += 3;
    }
}

static void move(unsigned dir, unsigned n, unsigned to_dir, unsigned to, unsigned flags)
{
    struct node from = model[dir][n], over = model[to_dir][to];

    if (dir == to_dir && n == to)
        return;
    if (flags == 0 && over.type && (over.type == DT_DIR) != (from.type == DT_DIR))
        return;
    if (from.type == DT_REG && over.type == DT_REG && from.ino == over.ino)
        return; /* both names stay: rename(2) */
    CHECK_OK(syscall(SYS_renameat2, AT_FDCWD, path_of(dir, n), AT_FDCWD, path_of(to_dir, to), flags));
    came(to_dir, to, from);
    came(dir, n, flags ? over : (struct node){ 0 });
}

static void operate(void)
{
    unsigned dir = pick(DIRS), n = pick(NAMES), to_dir = pick(DIRS), to = pick(NAMES);

    step++;
    if (!model[dir][n].type)
        make(dir, n);
    else if (pick(3) == 0)
        move(dir, n, to_dir, to, model[to_dir][to].type && pick(2) ? RENAME_EXCHANGE : 0);
    else if (pick(3) == 0 && model[dir][n].type == DT_REG)
        grow(dir, n);
    else
        drop(dir, n);
}

static void random_operations(unsigned count)
{
    check_section("random operations");
    CHECK_OK(mkdir("a", 0755));
    CHECK_OK(mkdir("b", 0755));
    slow.d = opendir("a");
    for (unsigned i = 0; i < count && !check_failures; i++) {
        operate();
        slow_read();
        if (pick(4) == 0)
            check_listing(pick(DIRS));
        for (unsigned k = pick(6); k > 0; k--)
            check_stat(pick(DIRS), pick(NAMES));
    }
    check_listing(0);
    check_listing(1);
    closedir(slow.d);
}

/* --- attributes that came with a listing, and changed since --- */

static void list(const char *name)
{
    DIR *d = opendir(name);

    CHECK(d != NULL);
    while (d && readdir(d))
        ;
    closedir(d);
}

/* Look at so many files that what was known of others is forgotten. */
static void look_at_many(void)
{
    struct stat st;
    char name[40];
    int failed = 0;

    list("many");
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "many/%d", i);
        failed += stat(name, &st) != 0 || st.st_size != i % 5;
    }
    CHECK_EQUAL(failed, 0);
}

static void stat_all(const char *folder)
{
    char name[300];
    struct dirent *e;
    struct stat st;
    DIR *d = opendir(folder);

    while ((e = readdir(d))) {
        snprintf(name, sizeof(name), "%s/%s", folder, e->d_name);
        CHECK_OK(lstat(name, &st));
    }
    closedir(d);
}

/* The host has made few/0 to few/49, one byte each, few/linked with a second name other/linked, and many/0 to many/4999. */
static void evictions(void)
{
    struct stat st;
    char name[40];
    int fd;

    check_section("changed after it was listed");
    stat_all("few"); /* now attributes come with listings */
    stat_all("few");
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "few/%d", i);
        fd = open(name, O_WRONLY | O_APPEND);
        CHECK_EQUAL(write(fd, "abc", 3), 3);
        close(fd);
        CHECK_OK(chmod(name, 0640));
    }
    fd = open("few/linked", O_WRONLY | O_APPEND);
    CHECK_EQUAL(write(fd, "abc", 3), 3);
    close(fd);
    CHECK_OK(mkdir("few/dir/new", 0755));
    look_at_many();
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "few/%d", i);
        CHECK_OK(stat(name, &st));
        CHECK_EQUAL(st.st_size, i < 10 ? 4 : 1);
        CHECK_EQUAL(st.st_mode & 07777, i < 10 ? 0640 : 0600);
    }
    CHECK_OK(stat("other/linked", &st));
    CHECK_EQUAL(st.st_size, 4);
    CHECK_OK(stat("few/dir", &st));
    list("few/dir");
    CHECK_OK(stat("few/dir/new", &st));

    check_section("the last of two names");
    list("other");
    CHECK_OK(unlink("few/linked"));
    fd = open("other/linked", O_WRONLY | O_APPEND);
    CHECK_EQUAL(write(fd, "de", 2), 2);
    close(fd);
    look_at_many();
    CHECK_OK(stat("other/linked", &st));
    CHECK_EQUAL(st.st_size, 6);
    CHECK_EQUAL(st.st_nlink, 1);
}

/* --- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void show(const char *folder)
{
    struct dirent **e;
    int n = scandir(folder, &e, NULL, by_name);

    for (int i = 0; i < n; i++) {
        char name[600];
        struct stat st;

        if (!strcmp(e[i]->d_name, ".") || !strcmp(e[i]->d_name, ".."))
            continue;
        snprintf(name, sizeof(name), "%s/%s", folder, e[i]->d_name);
        CHECK_OK(lstat(name, &st));
        printf("%s %u %o %lu %ld\n", name, e[i]->d_type, (unsigned)st.st_mode, (unsigned long)st.st_nlink,
               S_ISDIR(st.st_mode) ? 0L : (long)st.st_size);
        if (S_ISDIR(st.st_mode))
            show(name);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3 || chdir(argv[1]))
        return 2;
    if (!strcmp(argv[2], "show")) {
        show(".");
    } else if (!strcmp(argv[2], "evict")) {
        evictions();
    } else if (argc == 4) {
        seed = (unsigned)atoi(argv[2]);
        random_operations((unsigned)atoi(argv[3]));
    }
    check_count = 1; /* how many there are depends on the order in which names come */
    return check_done();
}
