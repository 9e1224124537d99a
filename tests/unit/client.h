/*
 * A small 9P client for tests: over the ring to a gofer process in its jail, or straight into an engine.
 */
#ifndef TESTS_UNIT_CLIENT_H
#define TESTS_UNIT_CLIENT_H

#include <stdint.h>
#include <sys/types.h>

#include "common/jail.h"
#include "common/roles.h"
#include "gofer/engine.h"
#include "hypercalls/arena.h"
#include "hypercalls/p9.h"

#define CLIENT_MSG_MAX (256u << 10)
#define CLIENT_SLOTS 8 /* requests under way at once */

struct client {
    /* Ring. */
    int arena_fd, doorbell_fd, call_fd, kick_fd, control_fd;
    uint8_t *arena;
    struct jail_child child;
    uint16_t avail_idx, used_idx;
    uint16_t ready[CLIENT_SLOTS]; /* lengths of answers */
    /* Engine. */
    struct engine *engine;
    /* Both. */
    uint32_t answered;  /* bit per slot */
    uint32_t len[CLIENT_SLOTS];
    uint8_t *tx[CLIENT_SLOTS], *rx[CLIENT_SLOTS];
    struct p9_cursor out, in;
    unsigned slot;
    uint64_t layers;
};

/* Start a gofer in its jail. Returns 0, or -1 with the reason in text. */
int client_spawn(struct client *c, struct gofer_config *config, char text[240]);
void client_end(struct client *c);

/* Use an engine in this process. */
void client_engine(struct client *c, struct engine_config *config);
void client_engine_end(struct client *c);

/* Begin a message in a slot (0 unless several are to be under way); its tag is the slot + 1. */
struct p9_cursor *client_begin(struct client *c, unsigned slot, uint8_t type);
/* Send it; don't wait. */
void client_send(struct client *c);
/* Wait for a slot's answer: 0 and c->in after the header, or -errno. -ETIME after half a minute. */
int client_wait(struct client *c, unsigned slot);
/* Has it been answered? */
bool client_answered(struct client *c, unsigned slot);
/* Send and wait. */
int client_call(struct client *c);

/* Whole requests; 0 or -errno. */
int client_version(struct client *c, const char *version);
int client_attach(struct client *c, uint32_t fid, const char *aname);
int client_walk(struct client *c, uint32_t fid, uint32_t newfid, const char *path);
int client_walkx(struct client *c, uint32_t fid, uint32_t newfid, uint32_t flags, const char *path);
int client_open(struct client *c, uint32_t fid, uint32_t flags);
int client_create(struct client *c, uint32_t fid, const char *name, uint32_t flags, uint32_t mode);
int client_clunk(struct client *c, uint32_t fid);
/* Bytes, or -errno. */
int client_read(struct client *c, uint32_t fid, uint64_t offset, void *data, uint32_t count);
int client_write(struct client *c, uint32_t fid, uint64_t offset, const void *data, uint32_t count);

#endif
