/* execve: what it refuses and why, scripts, argument limits, and what the new program finds. */
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static char directory[] = "/tmp/execs.XXXXXX", self[PATH_MAX];
static char *no_env[] = { NULL };

static char *path_of(const char *name)
{
    static char paths[4][PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return path;
}

static char *make(const char *name, const void *data, size_t size, mode_t mode)
{
    char *path = path_of(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CHECK(write(fd, data, size) == (ssize_t)size);
    fchmod(fd, mode);
    close(fd);
    return path;
}

static char *script(const char *name, const char *text)
{
    return make(name, text, strlen(text), 0755);
}

/* What exec fails with in a child; 0 if it works, when *status is how the program ended. */
static int try_exec(const char *path, char **argv, char **envp, int *status)
{
    int fds[2], error = 0;
    pid_t child;

    pipe2(fds, O_CLOEXEC);
    child = fork();
    if (child == 0) {
        execve(path, argv, envp);
        error = errno;
        write(fds[1], &error, sizeof(error));
        _exit(127);
    }
    close(fds[1]);
    if (read(fds[0], &error, sizeof(error)) != sizeof(error))
        error = 0;
    close(fds[0]);
    waitpid(child, status, 0);
    return error;
}

static int exec_error(const char *path)
{
    char *argv[] = { "x", NULL };
    int status;

    return try_exec(path, argv, no_env, &status);
}

static void refusals(void)
{
    static unsigned char header[64];
    char long_name[300];
    int fd;

    check_section("refusals");
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    CHECK_EQUAL(exec_error(path_of("missing")), ENOENT);
    CHECK_EQUAL(exec_error(""), ENOENT);
    CHECK_EQUAL(exec_error(directory), EACCES);
    CHECK_EQUAL(exec_error(path_of(long_name)), ENAMETOOLONG);
    CHECK_EQUAL(exec_error(make("empty", "", 0, 0755)), ENOEXEC);
    CHECK_EQUAL(exec_error(make("no-x", "#!/bin/sh\n", 10, 0644)), EACCES);
    CHECK_EQUAL(exec_error("/bin/sh/x"), ENOTDIR);
    CHECK_EQUAL(exec_error("/dev/null"), EACCES);
    fd = open(self, O_RDONLY);
    CHECK(read(fd, header, sizeof(header)) == sizeof(header));
    close(fd);
    CHECK_EQUAL(exec_error(make("short", header, 20, 0755)), ENOEXEC);
    header[18] = 183; /* AArch64 */
    CHECK_EQUAL(exec_error(make("arm", header, sizeof(header), 0755)), ENOEXEC);
    header[18] = 62;
    header[4] = 1; /* 32 bits, but of this machine */
    CHECK_EQUAL(exec_error(make("class", header, sizeof(header), 0755)), ENOEXEC);
    header[4] = 2;
    header[16] = 1; /* an object file */
    CHECK_EQUAL(exec_error(make("object", header, sizeof(header), 0755)), ENOEXEC);
    CHECK_EQUAL(exec_error(make("text", "hello\n", 6, 0755)), ENOEXEC);
}

/* A copy of this program that wants another interpreter. */
static void interpreters(void)
{
    static char image[1 << 20];
    char text[200];
    ssize_t size;
    char *at;
    int fd = open(self, O_RDONLY);

    check_section("interpreters");
    size = read(fd, image, sizeof(image));
    close(fd);
    at = memmem(image, (size_t)size, "/lib64/ld-linux-x86-64.so.2", 28);
    if (!CHECK(at != NULL))
        return;
    memcpy(at, "/lib64/no-linux-x86-64.so.2", 28);
    CHECK_EQUAL(exec_error(make("no-interp", image, (size_t)size, 0755)), ENOENT);
    memset(text, 't', sizeof(text));
    strcpy(at, make("ti", text, sizeof(text), 0755));
    CHECK_EQUAL(exec_error(make("bad-interp", image, (size_t)size, 0755)), ELIBBAD);
}

static void scripts(void)
{
    static const char *const names[] = { "s0", "s1", "s2", "s3", "s4", "s5", "s6" };
    char text[600], *argv[] = { "zero", "one", NULL };
    int status;

    check_section("scripts");
    CHECK_EQUAL(exec_error(script("bad", "#!/nonexistent/interpreter\n")), ENOENT);
    CHECK_EQUAL(exec_error(script("none", "#!\n")), ENOEXEC);
    CHECK_EQUAL(exec_error(script("blank", "#!   \t\n")), ENOEXEC);
    memset(text, 'a', sizeof(text));
    memcpy(text, "#!/", 3);
    text[sizeof(text) - 1] = '\0';
    CHECK_EQUAL(exec_error(script("long", text)), ENOEXEC);
    snprintf(text, sizeof(text),
             "#!/bin/sh -e\ntest \"$0\" = %s && test \"$1\" = one && test $# = 1 && exit 7",
             path_of("sh"));
    CHECK_EQUAL(try_exec(script("sh", text), argv, no_env, &status), 0);
    CHECK_EQUAL(status, 7 << 8);
    for (size_t i = 1; i < 7; i++) {
        char *path;

        snprintf(text, sizeof(text), "#!%s\n", i == 1 ? "/bin/true" : path_of(names[i - 1]));
        path = script(names[i], text);
        CHECK_EQUAL(try_exec(path, argv, no_env, &status), i < 6 ? 0 : ELOOP);
    }
}

static void arguments(void)
{
    static char big[131072 + 2];
    static char *argv[400], *empty[] = { NULL };
    int status;

    check_section("arguments");
    memset(big, 'x', 131071);
    argv[0] = big;
    CHECK_EQUAL(try_exec("/bin/true", argv, no_env, &status), 0);
    memset(big, 'x', 131072);
    CHECK_EQUAL(try_exec("/bin/true", argv, no_env, &status), E2BIG);
    big[100000] = '\0';
    for (int i = 0; i < 20; i++)
        argv[i] = big;
    CHECK_EQUAL(try_exec("/bin/true", argv, no_env, &status), 0);
    CHECK_EQUAL(status, 0);
    for (int i = 0; i < 22; i++)
        argv[i] = big;
    CHECK_EQUAL(try_exec("/bin/true", argv, no_env, &status), E2BIG);
    CHECK_EQUAL(try_exec("/bin/true", (char **)1, no_env, &status), EFAULT);
    argv[0] = (char *)1;
    argv[1] = NULL;
    CHECK_EQUAL(try_exec("/bin/true", argv, no_env, &status), EFAULT);
    CHECK_EQUAL(try_exec(self, empty, no_env, &status), 0); /* gets an empty argv[0] */
    CHECK_EQUAL(WEXITSTATUS(status), 51);
    argv[0] = self;
    argv[1] = "three";
    argv[2] = "";
    argv[3] = NULL;
    CHECK_EQUAL(try_exec(self, argv, no_env, &status), 0);
    CHECK_EQUAL(WEXITSTATUS(status), 53);
}

static void on_signal(int signal)
{
}

/* What must not reach a new program. */
static void inheritance(void)
{
    char *argv[] = { self, "state", NULL };
    stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
    struct sigaction action = { .sa_handler = SIG_IGN };
    int status, fd;

    check_section("inheritance");
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = on_signal;
    sigaction(SIGUSR2, &action, NULL);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(fd, 20);
    CHECK_EQUAL(try_exec(self, argv, no_env, &status), 0);
    CHECK_EQUAL(status, 0);
    close(20);
    close(fd);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
}

static int state(void)
{
    struct sigaction action;
    stack_t stack;

    sigaltstack(NULL, &stack);
    CHECK(stack.ss_flags == SS_DISABLE);
    sigaction(SIGUSR1, NULL, &action);
    CHECK(action.sa_handler == SIG_IGN);
    sigaction(SIGUSR2, NULL, &action);
    CHECK(action.sa_handler == SIG_DFL);
    CHECK(fcntl(20, F_GETFD) == 0);
    for (int fd = 3; fd < 10; fd++)
        CHECK(fcntl(fd, F_GETFD) == -1);
    CHECK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_SECURE) == 0 && getauxval(AT_CLKTCK) == 100);
    CHECK(!strcmp((char *)getauxval(AT_EXECFN), self) &&
          !strcmp((char *)getauxval(AT_PLATFORM), "x86_64"));
    return check_failures != 0;
}

static void by_descriptor(void)
{
    char *argv[] = { "fd", "fd", NULL };
    int status, fd = open(self, O_PATH | O_CLOEXEC),
                dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    pid_t child;

    check_section("by descriptor");
    child = fork();
    if (child == 0) {
        execveat(fd, "", argv, no_env, AT_EMPTY_PATH);
        _exit(99);
    }
    waitpid(child, &status, 0);
    CHECK_EQUAL(status, 0);
    child = fork();
    if (child == 0) {
        CHECK_ERRNO(execveat(fd, "", argv, no_env, 0), ENOENT);
        CHECK_ERRNO(execveat(dir, "missing", argv, no_env, 0), ENOENT);
        CHECK_ERRNO(execveat(-1, "missing", argv, no_env, 0), EBADF);
        CHECK_ERRNO(execveat(AT_FDCWD, self, argv, no_env, 0x4000), EINVAL);
        symlink(self, path_of("link"));
        CHECK_ERRNO(execveat(dir, "link", argv, no_env, AT_SYMLINK_NOFOLLOW), ELOOP);
        execveat(dir, "link", argv, no_env, 0);
        _exit(98);
    }
    waitpid(child, &status, 0);
    CHECK_EQUAL(status, 0);
    close(fd);
    close(dir);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "state")) {
        strcpy(self, argv[0]);
        return state();
    }
    if (argc > 1 && !strcmp(argv[1], "fd"))
        return 0;
    if (argc != 1 || !*argv[0])
        return 50 + argc;
    if (realpath("/proc/self/exe", self) == NULL || mkdtemp(directory) == NULL)
        return 1;
    refusals();
    interpreters();
    scripts();
    arguments();
    inheritance();
    by_descriptor();
    return check_done();
}
