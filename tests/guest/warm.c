/* The same call many times: `warm getpid N`, `warm read N`. What it costs is looked at from outside. */
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

int main(int argc, char **argv)
{
    long count = argc > 2 ? atol(argv[2]) : 1000;
    bool right = true;
    char buffer[4096];
    int fd = open("/usr/bin/env", O_RDONLY);
    pid_t pid = getpid();
    if (argc > 1 && !strcmp(argv[1], "getpid"))
        for (long i = 0; i < count; i++)
            right = right && syscall(SYS_getpid) == pid;
    else
        for (long i = 0; i < count; i++)
            right = right && pread(fd, buffer, sizeof(buffer), 0) == sizeof(buffer) && !memcmp(buffer, "\177ELF", 4);
    CHECK(right);
    close(fd);
    return check_done();
}
