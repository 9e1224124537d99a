/*
 * The default view shows what programs need to run and nothing of the people who use the host: system directories and a
 * few harmless files of /etc, as far as everybody may read them. Names and addresses (passwd, hosts, resolv.conf) are made up.
 */
#include "vmm/view.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/log.h"
#include "vmm/net.h"

/* On a merged /usr these are symlinks and stay so. */
static const char *const system_dirs[] = { "/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32" };

/* Of /etc, served as they are: no secrets, and programs fail or differ without them. Sorted. */
static const char *const etc_names[] = {
    "ImageMagick-6", "alternatives",  "bash.bashrc", "ca-certificates.conf", "debian_version", "emacs",
    "environment",   "fonts",         "gai.conf",    "gitconfig",            "groff",          "host.conf",
    "inputrc",       "java-17-openjdk", "ld.so.cache", "ld.so.conf",         "ld.so.conf.d",   "libnl-3",
    "locale.alias",  "localtime",     "lynx",        "magic",                "mime.types",     "mke2fs.conf",
    "os-release",    "papersize",     "perl",        "profile",              "profile.d",      "protocols",
    "python3",       "python3.11",    "rpc",         "services",             "shells",         "ssl",
    "terminfo",      "timezone",      "wgetrc",
};

static char *copy(const char *text)
{
    char *p = strdup(text);

    if (!p) {
        log_errno("memory", ENOMEM);
        exit(STATUS_VMM_ERROR);
    }
    return p;
}

static struct view_mount *add_mount(struct view *v, enum view_kind kind, const char *dst)
{
    struct view_mount *m = &v->mounts[v->mount_count];

    if (v->mount_count == VIEW_MOUNT_MAX) {
        log_error("mounts", "more than %d", VIEW_MOUNT_MAX);
        return NULL;
    }
    v->mount_count++;
    *m = (struct view_mount){ .kind = kind, .dst = copy(dst) };
    return m;
}

static int add_export(struct view *v, const struct gofer_export *e, const char *dst, bool overlay)
{
    struct view_mount *m;

    if (v->export_count == VIEW_EXPORT_MAX) {
        log_error("mounts", "more than %d files and directories of the host", VIEW_EXPORT_MAX);
        return STATUS_VMM_ERROR;
    }
    m = add_mount(v, VIEW_GOFER, dst);
    if (!m)
        return STATUS_VMM_ERROR;
    m->export = (uint32_t)v->export_count;
    m->overlay = overlay;
    m->readonly = !overlay && !e->writable;
    m->cache = e->cache;
    v->exports[v->export_count] = *e;
    v->exports[v->export_count].host_path = copy(e->host_path);
    v->export_count++;
    return 0;
}

/* The mount's overlay keeps its changes in a directory of the host. */
static int add_upper(struct view *v, struct view_mount *m, const char *path)
{
    if (v->export_count == VIEW_EXPORT_MAX) {
        log_error("mounts", "more than %d files and directories of the host", VIEW_EXPORT_MAX);
        return STATUS_VMM_ERROR;
    }
    m->has_upper = true;
    m->upper = (uint32_t)v->export_count;
    v->exports[v->export_count++] = (struct gofer_export){
        .host_path = copy(path), .writable = true, .upper = true, .cache = CACHE_EXCLUSIVE
    };
    return 0;
}

static int add_text(struct view *v, enum view_kind kind, const char *dst, const char *text)
{
    struct view_mount *m = add_mount(v, kind, dst);

    if (!m)
        return STATUS_VMM_ERROR;
    m->text = copy(text);
    return 0;
}

/* A path of the host at the same place inside; a symlink stays one. Missing ones are left out. */
static int add_host_path(struct view *v, const char *path)
{
    char target[PATH_MAX];
    struct stat st;
    ssize_t n;

    if (lstat(path, &st) < 0)
        return 0;
    if (S_ISLNK(st.st_mode)) {
        n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
            return 0;
        target[n] = '\0';
        return add_text(v, VIEW_SYMLINK, path, target);
    }
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return 0;
    if (!(st.st_mode & S_IROTH))
        return 0;
    return add_export(v, &(struct gofer_export){ .host_path = path, .world_only = true, .cache = CACHE_EXCLUSIVE },
                      path, S_ISDIR(st.st_mode));
}

static void resolv_conf(const struct options *opt, char *text, size_t size)
{
    if (opt->nic.wanted)
        nic_resolv_conf(&opt->nic, text, size);
    else
        net_resolv_conf(opt->net_plan, text, size);
}

static int add_made_up_files(struct view *v, const struct options *opt)
{
    char text[512], more[128];
    int status;

    snprintf(text, sizeof(text),
             "root:x:0:0:root:/root:/bin/sh\n"
             "%s"
             "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
             "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nbin:x:2:2:bin:/bin:/usr/sbin/nologin\n");
    if (opt->uid && opt->uid != 65534) {
        size_t n = strlen(text);

        snprintf(text + n, sizeof(text) - n, "user:x:%u:%u:user:/:/bin/sh\n", opt->uid, opt->gid);
    }
    status = add_text(v, VIEW_FILE, "/etc/passwd", text);
    if (!status)
        status = add_text(v, VIEW_FILE, "/etc/group",
                          "root:x:0:\ndaemon:x:1:\nbin:x:2:\ntty:x:5:\nstaff:x:50:\nusers:x:100:\nnogroup:x:65534:\n");
    net_hosts(opt->net_plan, more, sizeof(more));
    snprintf(text, sizeof(text), "127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost ip6-loopback\n%s", opt->hostname,
             more);
    if (!status)
        status = add_text(v, VIEW_FILE, "/etc/hosts", text);
    snprintf(text, sizeof(text), "%s\n", opt->hostname);
    if (!status)
        status = add_text(v, VIEW_FILE, "/etc/hostname", text);
    resolv_conf(opt, text, sizeof(text));
    if (!status)
        status = add_text(v, VIEW_FILE, "/etc/resolv.conf", text);
    if (!status)
        status = add_text(v, VIEW_FILE, "/etc/nsswitch.conf",
                          "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
                          "protocols: files\nservices: files\n");
    if (!status)
        status = add_text(v, VIEW_SYMLINK, "/etc/mtab", "../proc/self/mounts");
    return status;
}

static int add_default_view(struct view *v, const struct options *opt)
{
    static const char *const empty_dirs[] = { "/root", "/home", "/run", "/var/tmp", "/var/log", "/var/cache", "/mnt" };
    int status = 0;

    for (size_t i = 0; !status && i < sizeof(system_dirs) / sizeof(system_dirs[0]); i++)
        status = add_host_path(v, system_dirs[i]);
    if (!status)
        status = add_export(v, &(struct gofer_export){ .host_path = "/etc", .world_only = true, .cache = CACHE_EXCLUSIVE,
                                                       .names = etc_names,
                                                       .name_count = sizeof(etc_names) / sizeof(etc_names[0]) },
                            "/etc", true);
    for (size_t i = 0; !status && i < sizeof(empty_dirs) / sizeof(empty_dirs[0]); i++)
        status = add_mount(v, VIEW_TMPFS, empty_dirs[i]) ? 0 : STATUS_VMM_ERROR;
    if (!status)
        status = add_text(v, VIEW_SYMLINK, "/var/run", "/run");
    return status ? status : add_made_up_files(v, opt);
}

/* A root of the user's own has the name servers of another network; they don't exist in here. */
static int add_resolv_conf(struct view *v, const struct options *opt)
{
    char path[PATH_MAX], text[256];
    struct stat st;

    if (!opt->nic.wanted && (!opt->net_plan || !opt->net_plan->outgoing))
        return 0;
    if (opt->root && (snprintf(path, sizeof(path), "%s/etc", opt->root) >= PATH_MAX || lstat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
        return 0;
    resolv_conf(opt, text, sizeof(text));
    return add_text(v, VIEW_FILE, "/etc/resolv.conf", text);
}

static int add_user_mount(struct view *v, const struct mount_spec *spec)
{
    struct stat st;

    if (!spec->src)
        return add_mount(v, VIEW_TMPFS, spec->dst) ? 0 : STATUS_VMM_ERROR;
    if (stat(spec->src, &st) < 0) {
        log_errno(spec->src, errno);
        return STATUS_VMM_ERROR;
    }
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
        log_error(spec->src, "neither a directory nor a regular file");
        return STATUS_VMM_ERROR;
    }
    return add_export(v, &(struct gofer_export){ .host_path = spec->src, .writable = spec->writable, .cache = spec->cache },
                      spec->dst, false);
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return !strncmp(path, dir, n) && (path[n] == '/' || !path[n]);
}

/* Does the host's file at path show in the sandbox? The last mount above it decides; an empty tmpfs, such as /home, hides it. */
static bool in_view(const struct view *v, const char *path)
{
    for (size_t i = v->mount_count; i-- > 0;)
        if (v->mounts[i].kind != VIEW_FILE && is_below(path, v->mounts[i].dst))
            return v->mounts[i].kind != VIEW_TMPFS;
    return false;
}

/*
 * A program such as ./bin that lies outside the view comes in by itself: that one file, read-only. A missing file is left for
 * the shim to report: it may exist in the sandbox only.
 */
static int bind_program(struct view *v, const char *program)
{
    char dir[PATH_MAX], path[PATH_MAX + NAME_MAX + 2];
    const char *slash = strrchr(program, '/');
    struct stat st;

    v->program = program;
    if (!slash)
        return 0;
    if (snprintf(path, sizeof(path), "%.*s", (int)(slash - program + 1), program) >= PATH_MAX || !realpath(path, dir))
        return 0;
    snprintf(path, sizeof(path), "%s/%s", strcmp(dir, "/") ? dir : "", slash + 1);
    v->program = copy(path);
    if (in_view(v, path) || stat(path, &st) < 0)
        return 0;
    if (!S_ISREG(st.st_mode)) {
        log_error(program, S_ISDIR(st.st_mode) ? "is a directory" : "is not a regular file");
        return STATUS_NOT_EXECUTABLE;
    }
    return add_export(v, &(struct gofer_export){ .host_path = path, .cache = CACHE_EXCLUSIVE }, path, false);
}

static int check_directory(const char *path)
{
    struct stat st;
    int err = stat(path, &st) < 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;

    if (err)
        log_errno(path, err);
    return err ? STATUS_VMM_ERROR : 0;
}

/* --root, and --overlay on top of it. Like overlayfs, one within the other would show what is written as the root's own. */
static int add_root(struct view *v, const struct options *opt)
{
    char root[PATH_MAX], upper[PATH_MAX];
    int status = check_directory(opt->root);

    if (!status)
        status = add_export(v, &(struct gofer_export){ .host_path = opt->root, .cache = CACHE_EXCLUSIVE }, "/", true);
    if (status || !opt->overlay)
        return status;
    status = check_directory(opt->overlay);
    if (status)
        return status;
    if (!realpath(opt->root, root) || !realpath(opt->overlay, upper)) {
        log_errno(opt->overlay, errno);
        return STATUS_VMM_ERROR;
    }
    if (is_below(root, upper) || is_below(upper, root)) {
        log_error(opt->overlay, "--overlay and --root must not contain each other");
        return STATUS_VMM_ERROR;
    }
    /* Whiteouts and opaque directories are marked by them. */
    if (getxattr(opt->overlay, "user.overlay.opaque", NULL, 0) < 0 && errno == EOPNOTSUPP) {
        log_error(opt->overlay, "--overlay needs a file system with user extended attributes");
        return STATUS_VMM_ERROR;
    }
    return add_upper(v, &v->mounts[v->mount_count - 1], opt->overlay);
}

int view_build(struct view *view, const struct options *opt)
{
    int status;

    *view = (struct view){ .program = opt->program };
    if (opt->root_disk) {
        status = add_text(view, VIEW_DISK, "/", opt->root_disk);
        if (!status && opt->nic.wanted)
            status = add_resolv_conf(view, opt);
    } else if (opt->root) {
        status = add_root(view, opt);
        if (!status)
            status = add_resolv_conf(view, opt);
    } else if (opt->overlay) {
        log_error("--overlay", "needs --root"); /* the default view is made of many directories */
        status = STATUS_VMM_ERROR;
    } else {
        status = add_default_view(view, opt);
    }
    for (size_t i = 0; !status && i < opt->mount_count; i++)
        status = add_user_mount(view, &opt->mounts[i]);
    if (!status && !opt->root && !opt->root_disk)
        status = bind_program(view, opt->program);
    return status;
}
