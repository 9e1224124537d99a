/* Helpers of both host processes: text, arithmetic, guest memory, descriptors. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fd.h"
#include "common/fdpass.h"
#include "common/guest_mem.h"
#include "common/log.h"

Test(log, escapes_what_drives_a_terminal)
{
    char out[64];

    cr_assert_eq(log_escape(out, sizeof(out), "a\x1b[31m\\\n\x7f", 9), strlen("a\\x1b[31m\\x5c\\x0a\\x7f"));
    cr_assert_str_eq(out, "a\\x1b[31m\\x5c\\x0a\\x7f");
    cr_assert_eq(log_escape(out, sizeof(out), "gr\xc3\xbc\xc3\x9f", 6), 6);
    cr_assert_str_eq(out, "gr\xc3\xbc\xc3\x9f");
}

Test(log, cuts_between_characters)
{
    char out[6];

    log_escape(out, sizeof(out), "ab\n\n", 4);
    cr_assert_str_eq(out, "ab"); /* \x0a would need 4 and the terminator 1 */
    log_escape(out, 1, "ab", 2);
    cr_assert_str_eq(out, "");
}

Test(checked, ranges)
{
    uint64_t v;

    cr_assert(checked_range(0, 10, 10));
    cr_assert(checked_range(10, 0, 10));
    cr_assert(!checked_range(11, 0, 10));
    cr_assert(!checked_range(1, UINT64_MAX, 10));
    cr_assert(!checked_add(UINT64_MAX, 1, &v));
    cr_assert(!checked_mul(UINT64_MAX / 2, 3, &v));
    cr_assert(checked_align_up(4097, 4096, &v) && v == 8192);
    cr_assert(!checked_align_up(UINT64_MAX - 5, 4096, &v));
    cr_assert(is_power_of_two(64) && !is_power_of_two(0) && !is_power_of_two(65));
}

Test(guest_mem, translates_only_whole_ranges)
{
    uint8_t low[4096], high[4096];
    const struct guest_region regions[] = { { { 0x1000 }, sizeof(low), low }, { { 0x2000 }, sizeof(high), high } };
    const struct guest_mem mem = { regions, 2 };

    cr_assert_eq(guest_mem_ptr(&mem, (gpa_t){ 0x1000 }, 4096), low);
    cr_assert_eq(guest_mem_ptr(&mem, (gpa_t){ 0x2ffe }, 2), high + 0xffe);
    cr_assert_null(guest_mem_ptr(&mem, (gpa_t){ 0xfff }, 1));
    cr_assert_null(guest_mem_ptr(&mem, (gpa_t){ 0x1fff }, 2), "spans two regions");
    cr_assert_null(guest_mem_ptr(&mem, (gpa_t){ 0x2000 }, UINT64_MAX));
    cr_assert_null(guest_mem_ptr(&mem, (gpa_t){ UINT64_MAX }, 2));
}

static int close_others(void)
{
    int keep[] = { fcntl(1, F_DUPFD, 50), -1, fcntl(1, F_DUPFD, 20) };
    int other = fcntl(1, F_DUPFD, 30);

    if (fd_close_others(keep, 3))
        return 1;
    if (fcntl(keep[0], F_GETFD) < 0 || fcntl(keep[2], F_GETFD) < 0 || fcntl(2, F_GETFD) < 0)
        return 2;
    return fcntl(other, F_GETFD) < 0 ? 0 : 3;
}

/* In a child, because the test framework has descriptors too. */
Test(fd, close_others_keeps_what_it_is_told)
{
    int status;
    pid_t pid = fork();

    if (!pid)
        _exit(close_others());
    waitpid(pid, &status, 0);
    cr_assert_eq(status, 0);
}

Test(fd, ownership)
{
    int fd = eventfd(0, EFD_NONBLOCK);
    int copy = fd_dup(fd);
    int taken = fd_take(&fd);

    cr_assert_eq(fd, -1);
    cr_assert(fcntl(copy, F_GETFD) & FD_CLOEXEC);
    fd_signal_event(taken);
    cr_assert_eq(fd_take_event(copy), 1);
    cr_assert_eq(fd_take_event(copy), 0);
    fd_close(&taken);
    cr_assert_eq(taken, -1);
    fd_close(&copy);
}

Test(fdpass, carries_one_descriptor)
{
    int pair[2], fd, event = eventfd(7, 0);
    char data[8];

    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
    cr_assert_eq(fdpass_send(pair[0], "hello", 5, event, 0), 0);
    cr_assert_eq(fdpass_recv(pair[1], data, sizeof(data), 0, &fd), 5);
    cr_assert_eq(fd_take_event(fd), 7);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(fdpass_send(pair[0], "x", 1, -1, 0), 0);
    cr_assert_eq(fdpass_recv(pair[1], data, sizeof(data), 0, &fd), 1);
    cr_assert_eq(fd, -1);
    close(pair[0]);
    cr_assert_eq(fdpass_recv(pair[1], data, sizeof(data), 0, &fd), 0);
}

Test(fdpass, refuses_what_is_too_long_or_too_much)
{
    int pair[2], fd = -2;
    char data[4];
    union {
        char space[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };
    struct iovec iov = { data, 1 };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof(control.space) };
    int two[2] = { 0, 1 };

    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
    cr_assert_eq(fdpass_send(pair[0], "too long", 8, -1, 0), 0);
    cr_assert_eq(fdpass_recv(pair[1], data, sizeof(data), 0, &fd), -EPROTO);
    control.align.cmsg_level = SOL_SOCKET;
    control.align.cmsg_type = SCM_RIGHTS;
    control.align.cmsg_len = CMSG_LEN(sizeof(two));
    memcpy(CMSG_DATA(&control.align), two, sizeof(two));
    cr_assert_eq(sendmsg(pair[0], &msg, 0), 1);
    cr_assert_eq(fdpass_recv(pair[1], data, sizeof(data), 0, &fd), -EPROTO);
    cr_assert_eq(fd, -2, "outputs are untouched on failure");
}
