/* The files of /proc that programs read: they exist and parse. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static char text[1 << 18];

/* The contents of a file in text; its length, or -1. Read in small pieces to find offset mistakes. */
static ssize_t slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t length = 0, n;
    if (fd < 0)
        return -1;
    while ((n = read(fd, text + length, length % 700 + 100)) > 0 && length < (ssize_t)sizeof(text) - 1000)
        length += n;
    text[length] = 0;
    close(fd);
    return n < 0 ? -1 : length;
}

static bool has(const char *word)
{
    return strstr(text, word) != NULL;
}

static long number_after(const char *word)
{
    const char *p = strstr(text, word);
    return p ? strtol(p + strlen(word), NULL, 10) : -1;
}

/* One line of a file, without its newline. */
static const char *line_of(const char *path, const char *prefix)
{
    static char line[512];
    FILE *file = fopen(path, "r");
    bool found = false;

    while (file && !found && fgets(line, sizeof(line), file))
        found = !strncmp(line, prefix, strlen(prefix));
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = 0;
    return found ? line : "";
}

static bool store(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

static void test_process_state(void)
{
    char path[64], link[64] = "";
    int pipes[2];
    long nr = -1, fd = -1;

    check_section("what a process is at");
    CHECK_OK(pipe(pipes));
    pid_t child = fork();
    if (child == 0) {
        char c;
        _exit(read(pipes[0], &c, 1) == 1);
    }
    snprintf(path, sizeof(path), "/proc/%d/syscall", child);
    for (int i = 0; i < 200 && nr != 0; i++) {
        usleep(1000);
        sscanf(line_of(path, ""), "%ld 0x%lx", &nr, &fd);
    }
    CHECK_EQUAL(nr, 0);
    CHECK_EQUAL(fd, pipes[0]);
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", getpid(), getpid());
    CHECK_EQUAL(atoi(line_of(path, "")), child);

    CHECK(store("/proc/self/oom_score_adj", "500\n"));
    CHECK(!strcmp(line_of("/proc/self/oom_score_adj", ""), "500"));
    CHECK(!strcmp(line_of("/proc/self/oom_adj", ""), "8"));
    CHECK(!store("/proc/self/oom_score_adj", "1001"));
    CHECK(!store("/proc/self/oom_score_adj", "many"));
    CHECK(store("/proc/self/oom_score_adj", "0"));
    CHECK_OK(personality(ADDR_NO_RANDOMIZE));
    CHECK(!strcmp(line_of("/proc/self/personality", ""), "00040000"));

    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    CHECK_OK(pidfd);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    CHECK_EQUAL(atoi(line_of(path, "Pid:") + 4), child);
    CHECK(!strcmp(line_of(path, "flags:"), "flags:\t02000002"));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", pidfd);
    CHECK(readlink(path, link, sizeof(link) - 1) > 0);
    CHECK_EQUAL(write(pipes[1], "x", 1), 1);
    CHECK_EQUAL(waitpid(child, NULL, 0), child);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    CHECK_EQUAL(atoi(line_of(path, "Pid:") + 4), -1);
    close(pidfd);
    int event = eventfd(77, 0);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", event);
    CHECK(!strcmp(line_of(path, "eventfd-count:"), "eventfd-count:               4d"));
    close(event);
}

int main(int argc, char **argv)
{
    check_section("self");
    char path[PATH_MAX], cwd[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    CHECK(n > 0);
    path[n > 0 ? n : 0] = 0;
    CHECK(!strcmp(path, argv[0]));
    n = readlink("/proc/self/cwd", cwd, sizeof(cwd) - 1);
    CHECK(n == 1 && cwd[0] == '/');
    CHECK_EQUAL(readlink("/proc/self/root", cwd, sizeof(cwd)), 1);
    int exe = open("/proc/self/exe", O_RDONLY);
    CHECK_EQUAL(read(exe, text, 4), 4);
    CHECK(!memcmp(text, "\177ELF", 4));
    close(exe);
    snprintf(path, sizeof(path), "/proc/%d/status", getpid());
    CHECK_OK(access(path, R_OK));
    n = readlink("/proc/self", path, sizeof(path) - 1);
    CHECK(n > 0 && (path[n] = 0, atoi(path) == getpid()));
    CHECK(readlink("/proc/thread-self", path, sizeof(path)) > 0);
    n = slurp("/proc/self/cmdline");
    CHECK(n > 0 && !strcmp(text, argv[0]) && text[n - 1] == 0);
    CHECK(argc == 1 || !strcmp(text + strlen(text) + 1, argv[1]));
    CHECK(slurp("/proc/self/comm") > 0 && !strcmp(text, "procfs\n"));
    CHECK(slurp("/proc/self/environ") > 0 && memmem(text, (size_t)n + 1000, "PATH=", 5));
    CHECK(slurp("/proc/self/auxv") >= 16 * 15);

    CHECK(slurp("/proc/self/status") > 0);
    CHECK(has("Name:\tprocfs\n") && has("State:\tR") && number_after("Pid:") == getpid() &&
          number_after("PPid:") == getppid() && number_after("Threads:") == 1 && number_after("VmRSS:") > 0 &&
          number_after("VmSize:") > 0 && has("Uid:") && has("SigCgt:") && has("CapEff:") &&
          has("Cpus_allowed_list:"));
    int pid;
    char name[64], state;
    CHECK(slurp("/proc/self/stat") > 0);
    CHECK_EQUAL(sscanf(text, "%d (%60[^)]) %c", &pid, name, &state), 3);
    CHECK(pid == getpid() && !strcmp(name, "procfs") && state == 'R');
    int fields = 1;
    for (char *p = text; *p; p++)
        fields += *p == ' ';
    CHECK_EQUAL(fields, 52);
    unsigned long size, resident;
    CHECK(slurp("/proc/self/statm") > 0);
    CHECK_EQUAL(sscanf(text, "%lu %lu", &size, &resident), 2);
    CHECK(size >= resident && resident > 0);

    check_section("maps");
    char *anonymous = mmap(NULL, 5 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mmap(anonymous + 4096, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(slurp("/proc/self/maps") > 0);
    CHECK(has("[stack]") && has("[heap]") + 1 && has("[vdso]") && has(argv[0]));
    unsigned long last = 0, start, end;
    bool ordered = true, stack = false, code = false, found = false;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char permissions[8], device[16];
        unsigned long offset, inode;
        if (sscanf(line, "%lx-%lx %7s %lx %15s %lu", &start, &end, permissions, &offset, device, &inode) != 6) {
            CHECK(!"a line of maps parses");
            continue;
        }
        ordered &= start >= last && end > start;
        last = end;
        stack |= (unsigned long)&start >= start && (unsigned long)&start < end && permissions[1] == 'w';
        code |= (unsigned long)main >= start && (unsigned long)main < end && permissions[2] == 'x' && inode != 0;
        found |= (unsigned long)anonymous + 4096 == start && end == start + 4096 && !strcmp(permissions, "---p");
    }
    CHECK(ordered && stack && code && found);
    CHECK(slurp("/proc/self/smaps") > 0 && has("Rss:") && has("Pss:"));
    CHECK(slurp("/proc/self/limits") > 0 && has("Max open files") && has("Max stack size"));
    CHECK(slurp("/proc/self/mounts") > 0 && has("proc /proc proc ") && has(" /tmp tmpfs "));
    CHECK(slurp("/proc/mounts") > 0 && has(" /dev"));
    CHECK(slurp("/proc/self/mountinfo") > 0 && has(" / ") && has(" - "));
    CHECK(slurp("/proc/self/cgroup") >= 0);
    CHECK(slurp("/proc/self/oom_score_adj") > 0);
    CHECK(slurp("/proc/self/io") > 0 && has("read_bytes:"));

    check_section("descriptors");
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    int count = 0;
    while (dir && (entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    CHECK_EQUAL(count, 4); /* 0, 1, 2 and the directory's own */
    if (dir)
        closedir(dir);
    int fd = open("/tmp/procfs-test", O_RDWR | O_CREAT, 0600);
    CHECK_EQUAL(write(fd, "text", 4), 4);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, text, 1000);
    CHECK(n > 0 && (text[n] = 0, !strcmp(text, "/tmp/procfs-test")));
    int again = open(path, O_RDONLY); /* a new description: its own offset */
    CHECK_EQUAL(read(again, text, 10), 4);
    close(again);
    unlink("/tmp/procfs-test");
    n = readlink(path, text, 1000);
    CHECK(n > 0 && (text[n] = 0, !strcmp(text, "/tmp/procfs-test (deleted)")));
    again = open(path, O_RDONLY);
    CHECK_EQUAL(read(again, text, 10), 4);
    close(again);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    CHECK(slurp(path) > 0 && number_after("pos:") == 4 && has("flags:"));
    close(fd);
    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", getpid());
    CHECK(slurp(path) > 0);

    check_section("system");
    CHECK(slurp("/proc/meminfo") > 0);
    CHECK(number_after("MemTotal:") > 1000 && number_after("MemFree:") > 0 && number_after("MemAvailable:") > 0 &&
          number_after("Cached:") >= 0 && number_after("SwapTotal:") >= 0 && number_after("Buffers:") >= 0);
    CHECK(slurp("/proc/cpuinfo") > 0);
    CHECK(has("processor\t: 0") && has("model name\t: ") && has("flags\t\t: ") && has(" sse2 ") && has("cpu MHz"));
    CHECK(slurp("/proc/stat") > 0 && has("cpu  ") && has("cpu0 ") && number_after("btime ") > 1600000000 &&
          number_after("processes ") > 0);
    double up, idle;
    CHECK(slurp("/proc/uptime") > 0 && sscanf(text, "%lf %lf", &up, &idle) == 2 && up > 0);
    CHECK(slurp("/proc/loadavg") > 0 && sscanf(text, "%lf", &up) == 1);
    CHECK(slurp("/proc/filesystems") > 0 && has("tmpfs\n") && has("proc\n"));
    CHECK(slurp("/proc/version") > 0 && !strncmp(text, "Linux version ", 14));
    static const char *const numbers[] = {
        "/proc/sys/kernel/pid_max",       "/proc/sys/kernel/threads-max",     "/proc/sys/kernel/ngroups_max",
        "/proc/sys/kernel/cap_last_cap",  "/proc/sys/vm/overcommit_memory",   "/proc/sys/vm/max_map_count",
        "/proc/sys/fs/file-max",          "/proc/sys/fs/nr_open",             "/proc/sys/fs/pipe-max-size",
        "/proc/sys/kernel/randomize_va_space", "/proc/sys/vm/mmap_min_addr",
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (!CHECK(slurp(numbers[i]) > 0 && text[0] >= '0' && text[0] <= '9'))
            printf("    %s\n", numbers[i]);
    CHECK(slurp("/proc/sys/kernel/osrelease") > 0 && text[0] >= '3');
    CHECK(slurp("/proc/sys/kernel/ostype") > 0 && !strcmp(text, "Linux\n"));
    CHECK(slurp("/proc/sys/kernel/hostname") > 0);
    CHECK(slurp("/proc/sys/kernel/random/boot_id") == 37);
    CHECK(slurp("/proc/sys/kernel/random/uuid") == 37);
    CHECK(slurp("/sys/devices/system/cpu/online") > 0);

    check_section("as a directory");
    dir = opendir("/proc");
    bool self = false, own = false;
    snprintf(name, sizeof(name), "%d", getpid());
    while (dir && (entry = readdir(dir))) {
        self |= !strcmp(entry->d_name, "self");
        own |= !strcmp(entry->d_name, name);
    }
    CHECK(self && own);
    CHECK_ERRNO(open("/proc/nonexistent", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("/proc/999999", O_RDONLY), ENOENT);
    struct stat st;
    CHECK_OK(stat("/proc/meminfo", &st));
    CHECK(S_ISREG(st.st_mode) && st.st_size == 0);
    CHECK_OK(stat("/proc/self/", &st));
    CHECK(S_ISDIR(st.st_mode));
    test_process_state();
    return check_done();
}
