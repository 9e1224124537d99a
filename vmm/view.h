/*
 * The sandbox's view of files: which files of the host the gofer serves, and how the shim puts them together.
 */
#ifndef VMM_VIEW_H
#define VMM_VIEW_H

#include "common/roles.h"
#include "vmm/options.h"

#define VIEW_EXPORT_MAX 96
#define VIEW_MOUNT_MAX 120

enum view_kind { VIEW_GOFER, VIEW_TMPFS, VIEW_SYMLINK, VIEW_FILE, VIEW_DISK };

/* One step of building the root, in order (device tree: /mounts/mount@N). */
struct view_mount {
    enum view_kind kind;
    char *dst;
    uint32_t export;
    bool readonly;
    bool overlay;
    bool has_upper;    /* the overlay keeps its changes in an export */
    uint32_t upper;
    enum cache_mode cache;
    char *text; /* target, content, or name of the disk */
};

struct view {
    struct gofer_export exports[VIEW_EXPORT_MAX];
    size_t export_count;
    struct view_mount mounts[VIEW_MOUNT_MAX];
    size_t mount_count;
    const char *program; /* as the sandbox sees it */
};

/* Look at the host and make the plan. 0, or the exit status after one line on stderr. Strings live until exit. */
int view_build(struct view *view, const struct options *opt);

#endif
