/* Processes: fork, exec, wait, pipes between processes, copy on write, orphans. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

extern char **environ;

static int status_of(pid_t child)
{
    int status = -1;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    return status;
}

static volatile int children_ended;
static void on_child(int signal)
{
    children_ended++;
}

int main(int argc, char **argv)
{
    int status;

    if (argc > 2 && !strcmp(argv[1], "child")) {
        printf("child %s", argv[2]);
        for (char **e = environ; *e; e++)
            printf(" %s", *e);
        puts("");
        return 5;
    }

    check_section("fork and wait");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(getppid() > 0 ? 42 : 1);
    status = status_of(child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK_ERRNO(wait(&status), ECHILD);
    child = fork();
    if (child == 0)
        raise(SIGKILL);
    status = status_of(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    child = fork();
    if (child == 0) {
        for (;;)
            pause();
    }
    CHECK_EQUAL(waitpid(child, &status, WNOHANG), 0);
    CHECK_OK(kill(child, SIGTERM));
    status = status_of(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);

    check_section("copy on write");
    static int value[4096];
    for (int i = 0; i < 4096; i++)
        value[i] = i;
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    child = fork();
    if (child == 0) {
        for (int i = 0; i < 4096; i++)
            if (value[i] != i)
                _exit(1);
        memset(value, 0xff, sizeof(value));
        shared[0] = 77;
        _exit(0);
    }
    status = status_of(child);
    CHECK_EQUAL(status, 0);
    CHECK_EQUAL(shared[0], 77);
    int changed = 0;
    for (int i = 0; i < 4096; i++)
        changed += value[i] != i;
    CHECK_EQUAL(changed, 0);

    check_section("pipes");
    int to[2], from[2];
    CHECK_OK(pipe(to));
    CHECK_OK(pipe(from));
    child = fork();
    if (child == 0) {
        char byte;
        close(to[1]);
        while (read(to[0], &byte, 1) == 1) {
            byte++;
            if (write(from[1], &byte, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    close(to[0]);
    int wrong = 0;
    for (int i = 0; i < 500; i++) {
        char byte = (char)i;
        wrong += write(to[1], &byte, 1) != 1 || read(from[0], &byte, 1) != 1 || byte != (char)(i + 1);
    }
    CHECK_EQUAL(wrong, 0);
    close(to[1]);
    CHECK_EQUAL(status_of(child), 0);

    check_section("exec");
    fflush(stdout);
    child = fork();
    if (child == 0) {
        char *args[] = { argv[0], "child", "one", NULL }, *env[] = { "A=b", "C=", NULL };
        execve("/proc/self/exe", args, env);
        _exit(1);
    }
    status = status_of(child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    CHECK_ERRNO(execve("/nonexistent", argv, environ), ENOENT);
    CHECK_ERRNO(execve("/usr", argv, environ), EACCES);
    CHECK_ERRNO(execve("/usr/share/common-licenses/BSD", argv, environ), EACCES);
    int fd = open("/tmp/not-a-program", O_WRONLY | O_CREAT, 0755);
    CHECK_EQUAL(write(fd, "nonsense\n", 9), 9);
    close(fd);
    CHECK_ERRNO(execve("/tmp/not-a-program", argv, environ), ENOEXEC);

    check_section("scripts");
    fd = open("/tmp/script", O_WRONLY | O_CREAT | O_TRUNC, 0755);
    CHECK(dprintf(fd, "#! %s child\n", argv[0]) > 0);
    close(fd);
    fd = open("/tmp/nested", O_WRONLY | O_CREAT | O_TRUNC, 0755);
    CHECK(dprintf(fd, "#!/tmp/script\n") > 0);
    close(fd);
    for (int i = 0; i < 2; i++) {
        fflush(stdout);
        child = fork();
        if (child == 0) {
            char *args[] = { "zero", "x", NULL }, *env[] = { NULL };
            execve(i ? "/tmp/nested" : "/tmp/script", args, env);
            _exit(1);
        }
        status = status_of(child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    }

    check_section("posix_spawn, vfork, system");
    fflush(stdout);
    char *spawn_args[] = { argv[0], "child", "spawned", NULL }, *no_env[] = { NULL };
    CHECK_EQUAL(posix_spawn(&child, argv[0], NULL, NULL, spawn_args, no_env), 0);
    CHECK_EQUAL(WEXITSTATUS(status_of(child)), 5);
    CHECK_EQUAL(posix_spawn(&child, "/nonexistent", NULL, NULL, spawn_args, no_env), ENOENT);
    child = vfork();
    if (child == 0)
        _exit(3);
    CHECK_EQUAL(WEXITSTATUS(status_of(child)), 3);
    CHECK_EQUAL(WEXITSTATUS(system("echo from the shell; exit 4")), 4);
    FILE *pipe_in = popen("echo a b | tr a-z A-Z", "r");
    char line[16] = { 0 };
    CHECK(pipe_in && fgets(line, sizeof(line), pipe_in) && !strcmp(line, "A B\n"));
    CHECK_EQUAL(pclose(pipe_in), 0);

    check_section("many children");
    signal(SIGCHLD, on_child);
    for (int i = 0; i < 50; i++)
        if (fork() == 0)
            _exit(i);
    int sum = 0;
    for (int i = 0; i < 50; i++) {
        pid_t ended;
        while ((ended = wait(&status)) < 0 && errno == EINTR)
            ;
        CHECK(ended > 0);
        sum += WEXITSTATUS(status);
    }
    CHECK_EQUAL(sum, 49 * 50 / 2);
    CHECK(children_ended > 0);
    siginfo_t info;
    child = fork();
    if (child == 0)
        _exit(9);
    CHECK_OK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
    CHECK(info.si_pid == child && info.si_status == 9 && info.si_code == CLD_EXITED);
    CHECK_EQUAL(WEXITSTATUS(status_of(child)), 9);

    check_section("orphans, groups, sessions");
    CHECK_OK(pipe(to));
    child = fork();
    if (child == 0) {
        pid_t parent = getpid();
        if (fork() == 0) { /* survives its parent; init takes over */
            while (getppid() == parent)
                usleep(1000);
            if (write(to[1], "o", 1) != 1)
                _exit(1);
            _exit(0);
        }
        _exit(0);
    }
    CHECK_EQUAL(status_of(child), 0);
    CHECK_EQUAL(read(to[0], line, 1), 1);
    child = fork();
    if (child == 0) {
        if (setsid() != getpid() || getpgrp() != getpid())
            _exit(1);
        _exit(setpgid(0, 0) == -1 ? 0 : 2);
    }
    CHECK_EQUAL(status_of(child), 0);
    unlink("/tmp/script"), unlink("/tmp/nested"), unlink("/tmp/not-a-program");
    return check_done();
}
