/*
 * See terminal.h. The keeper ignores what the keyboard or the group's end sends, has no privileges, and gets nothing but
 * single bytes that say which modes are wanted.
 */
#include "vmm/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/jail.h"
#include "common/log.h"

enum command { COMMAND_RAW = 'r', COMMAND_AS_BEFORE = 'b', COMMAND_END = 'e' };

static int command_fd = -1, answer_fd = -1;

/* A terminal that a shell has given to another job is left alone. */
static bool is_ours(int tty)
{
    pid_t foreground = tcgetpgrp(tty);

    return foreground < 0 || foreground == getpgrp();
}

static void set_modes(int tty, const struct termios *modes)
{
    if (is_ours(tty))
        tcsetattr(tty, TCSADRAIN, modes);
}

static _Noreturn void keep(int tty, int commands, int answers)
{
    struct termios before, raw;
    char command = COMMAND_AS_BEFORE;
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    jail_drop_privileges();
    if (tcgetattr(tty, &before) < 0)
        _exit(1);
    raw = before;
    cfmakeraw(&raw);
    do {
        set_modes(tty, command == COMMAND_RAW ? &raw : &before);
        if (write(answers, &command, 1) != 1 || command == COMMAND_END)
            break;
    } while (read(commands, &command, 1) == 1);
    if (command != COMMAND_END)
        set_modes(tty, &before);
    _exit(0);
}

/* The keeper holds nothing but the terminal and its two pipes. */
static _Noreturn void become_keeper(int tty, int commands, int answers)
{
    const int fds[3] = { tty, commands, answers };
    int high[3];

    for (int i = 0; i < 3; i++)
        high[i] = fcntl(fds[i], F_DUPFD, 16);
    syscall(SYS_close_range, 0, 15, 0);
    for (int i = 0; i < 3; i++)
        dup2(high[i], i);
    syscall(SYS_close_range, 3, ~0u, 0);
    keep(0, 1, 2);
}

static void ask(char command)
{
    char answer;

    if (command_fd < 0)
        return;
    if (write(command_fd, &command, 1) != 1 || read(answer_fd, &answer, 1) != 1) {
        fd_close(&command_fd);
        fd_close(&answer_fd);
    }
}

static int find_terminal(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (isatty(fd))
            return fd;
    return -1;
}

int terminal_begin(void)
{
    int commands[2], answers[2], tty = find_terminal();
    char answer;
    pid_t pid;

    if (tty < 0)
        return 0;
    if (pipe2(commands, O_CLOEXEC) < 0 || pipe2(answers, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        log_errno("terminal", errno);
        return -1;
    }
    if (pid == 0) {
        close(commands[1]);
        close(answers[0]);
        become_keeper(tty, commands[0], answers[1]);
    }
    close(commands[0]);
    close(answers[1]);
    command_fd = commands[1];
    answer_fd = answers[0];
    if (read(answer_fd, &answer, 1) == 1)
        return 0;
    log_error("terminal", "its modes can't be read");
    return -1;
}

void terminal_as_before(void)
{
    ask(COMMAND_AS_BEFORE);
}

void terminal_raw(void)
{
    ask(COMMAND_RAW);
}

void terminal_end(void)
{
    ask(COMMAND_END);
    command_fd = -1;
}
