/*
 * The socket transport: one client on a stream socket.
 */
#ifndef GOFER_SOCKET_H
#define GOFER_SOCKET_H

#include "gofer/engine.h"

/* Largest message on a socket, and how many requests of a client may wait for workers. */
#define SOCKET_MSIZE_MAX (256u << 10)
#define SOCKET_SLOTS 16

/*
 * Serve one client until it goes away. Takes fd. config says what is exported; its reply is set here. Blocks; each client
 * has a thread of its own.
 */
void socket_serve(int fd, const struct engine_config *config);

#endif
