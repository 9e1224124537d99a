/* What `make run` shows: an ordinary program, built by the host's compiler, that tells where it is. */
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

int main(void)
{
    struct utsname u;
    struct sysinfo si;
    char exe[256] = "";

    uname(&u);
    sysinfo(&si);
    if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0)
        strcpy(exe, "?");
    printf("Hello from a virtual machine without a Linux in it.\n");
    printf("I am %s, pid %d, on \"%s %s\", host name %s, with %lu MiB of memory.\n", exe, (int)getpid(), u.sysname,
           u.release, u.nodename, si.totalram * si.mem_unit >> 20);
    return 0;
}
