/*
 * Terminal calls on stdin, for a host-side driver that owns the other end of a pty.
 *   tty size    print the window size; again after each SIGWINCH; until a line "end" is read
 *   tty modes   show and change modes, and read a byte in raw mode
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "check.h"

static void show_size(void)
{
    struct winsize size = { 0 };
    char line[40];
    int length;

    if (ioctl(0, TIOCGWINSZ, &size))
        length = snprintf(line, sizeof(line), "no size: errno %d\n", errno);
    else
        length = snprintf(line, sizeof(line), "size %d %d\n", size.ws_row, size.ws_col);
    if (write(1, line, (size_t)length) != length)
        _exit(1);
}

/* The handler itself shows it: a signal just before the read would else be seen too late. */
static void on_winch(int signal)
{
    show_size();
}

int main(int argc, char **argv)
{
    char line[100];
    struct termios modes, old;

    CHECK(isatty(0));
    if (argc > 1 && !strcmp(argv[1], "modes")) {
        CHECK_OK(tcgetattr(0, &old));
        printf("echo %d canonical %d\n", !!(old.c_lflag & ECHO), !!(old.c_lflag & ICANON));
        modes = old;
        cfmakeraw(&modes);
        CHECK_OK(tcsetattr(0, TCSANOW, &modes));
        CHECK_OK(tcgetattr(0, &modes));
        CHECK_EQUAL(modes.c_lflag & (ECHO | ICANON), 0);
        printf("raw\r\n");
        fflush(stdout);
        CHECK_EQUAL(read(0, line, 1), 1);
        printf("byte %d\r\n", line[0]);
        fflush(stdout);
        CHECK_OK(tcsetattr(0, TCSANOW, &old));
        CHECK_OK(ioctl(0, TIOCSWINSZ, &(struct winsize){ 11, 22, 0, 0 }));
        show_size();
        int tty = open("/dev/tty", O_RDWR);
        CHECK_OK(tty);
        CHECK(isatty(tty));
        CHECK(ttyname(0) != NULL);
        return check_done();
    }
    struct sigaction action = { .sa_handler = on_winch };
    sigaction(SIGWINCH, &action, NULL);
    show_size();
    for (;;) {
        ssize_t n = read(0, line, sizeof(line) - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        line[n] = 0;
        if (!strncmp(line, "end", 3))
            break;
        printf("line %s", line);
        fflush(stdout);
    }
    return check_done();
}
