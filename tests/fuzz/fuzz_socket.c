/*
 * Bytes of a client on the socket of `vmm gofer`, cut into pieces anywhere, on a read-only directory.
 *
 * The first byte says how it is cut and whether a Tversion comes first; the rest is sent as it is. The server must hang up or answer,
 * and end when the client does.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gofer/exports.h"
#include "gofer/socket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char dir[64];
static struct exports exports;
static struct engine_config config = { .control_fd = -1, .fid_max = 64, .view = { (uid_t)-1, 1000, 1000 } };
static const uint8_t version[] = { 21, 0, 0, 0, 100, 0xff, 0xff, 0, 0, 1, 0, 8, 0, '9', 'P', '2', '0', '0', '0', '.', 'L' };

static void clean_up(void)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/f", dir);
    unlink(path);
    rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct gofer_export list[] = { { .host_path = dir } };
    struct gofer_config wanted = { .exports = list, .export_count = 1 };
    const char *what;
    char path[96];
    int fd;

    (void)argc;
    (void)argv;
    strcpy(dir, "/tmp/vmm-fuzz-XXXXXX");
    if (!mkdtemp(dir) || exports_open(&exports, &wanted, &what))
        abort();
    atexit(clean_up);
    snprintf(path, sizeof(path), "%s/f", dir);
    fd = open(path, O_CREAT | O_WRONLY, 0644);
    if (write(fd, "content", 7) != 7)
        abort();
    close(fd);
    signal(SIGPIPE, SIG_IGN);
    config.exports = exports.list;
    config.export_count = 1;
    config.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    return 0;
}

static void *serve(void *arg)
{
    const int *fd = arg;

    socket_serve(*fd, &config);
    return NULL;
}

/* Take what the server says, so that it never waits for us. False once it has hung up. */
static bool drain(int fd)
{
    uint8_t buf[4096];
    ssize_t n;

    while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
        ;
    return n < 0;
}

static void send_pieces(int fd, const uint8_t *data, size_t size, size_t piece)
{
    while (size) {
        size_t n = size < piece ? size : piece;

        if (send(fd, data, n, MSG_NOSIGNAL) != (ssize_t)n || !drain(fd))
            return;
        data += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2];
    pthread_t thread;
    uint8_t how;

    if (!size || size > 65536 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return 0;
    how = *data++;
    size--;
    if (pthread_create(&thread, NULL, serve, &pair[1]))
        abort();
    if (how & 1)
        send_pieces(pair[0], version, sizeof(version), sizeof(version));
    send_pieces(pair[0], data, size, (how & 2) ? (size_t)(how >> 2) + 1 : size);
    shutdown(pair[0], SHUT_WR);
    for (int i = 0; i < 2000; i++) {
        struct pollfd p = { .fd = pair[0], .events = POLLIN };

        if (poll(&p, 1, 5) > 0 && !drain(pair[0]))
            break;
    }
    close(pair[0]);
    pthread_join(thread, NULL);
    return 0;
}
