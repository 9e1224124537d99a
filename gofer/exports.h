/*
 * The set-up of exports: host paths, which the user chose, become descriptors.
 */
#ifndef GOFER_EXPORTS_H
#define GOFER_EXPORTS_H

#include "common/roles.h"
#include "gofer/path.h"

struct exports {
    struct export *list;
    size_t count;
};

/* Open them all. 0, or -errno and *ret_what names the path. Nothing is left open on failure.
 * Before jail_change_root(). */
int exports_open(struct exports *exports, const struct gofer_config *config, const char **ret_what);

void exports_close(struct exports *exports);

/* How owners show: without a user namespace that does it, the gofer itself shows the invoking user as root. */
struct path_view exports_view(void);

#endif
