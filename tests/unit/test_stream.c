/* Frames over a stream socket, in all pieces; and which of them the guard lets through. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/stream.h"

#define HEADER ((size_t)sizeof(struct virtio_net_hdr_v1))
#define FRAME_MAX 65549u

static struct stream s;
static int far;

static void set_up(void)
{
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(stream_init(&s, pair[0], 1500), 0);
    far = pair[1];
}

static void tear_down(void)
{
    s.wire.ops->close(&s.wire);
    close(far);
}

TestSuite(stream, .init = set_up, .fini = tear_down);

static uint8_t frame[FRAME_MAX + 100], got[FRAME_MAX + 100];

/* An IPv4 frame to a public address. */
static void make_frame(size_t len, uint8_t seed)
{
    for (size_t i = 0; i < len; i++)
        frame[i] = (uint8_t)(i * 31 + seed);
    memcpy(frame + 12, "\x08\x00\x45", 3);
    memcpy(frame + 30, "\x08\x08\x08\x08", 4);
}

static void put_length(uint8_t p[4], size_t len)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(len >> (24 - 8 * i));
}

static void far_sends(size_t len, uint8_t seed)
{
    static uint8_t text[4 + sizeof(frame)];

    make_frame(len, seed);
    put_length(text, len);
    memcpy(text + 4, frame, len);
    cr_assert_eq(write(far, text, 4 + len), (ssize_t)(4 + len));
}

static ssize_t take(size_t room)
{
    uint8_t header[HEADER];
    struct iovec iov[2] = { { header, HEADER }, { got, room } };

    return s.wire.ops->read(&s.wire, iov, 2);
}

static ssize_t give(size_t len)
{
    struct virtio_net_hdr_v1 header = { 0 };
    struct iovec iov[4] = { { &header, HEADER }, { frame, 20 }, { frame + 20, 13 }, { frame + 33, len - 33 } };

    return s.wire.ops->write(&s.wire, iov, 4);
}

Test(stream, frames_come)
{
    far_sends(60, 1);
    far_sends(1514, 2);
    cr_assert_eq(take(2000), -EAGAIN, "only what was collected");
    cr_assert_eq(s.wire.ops->collect(&s.wire), 0);
    cr_assert_eq(take(2000), (ssize_t)(HEADER + 60));
    make_frame(60, 1);
    cr_assert_eq(memcmp(got, frame, 60), 0);
    cr_assert_eq(take(1000), (ssize_t)(HEADER + 1000), "the rest is lost");
    cr_assert_eq(take(2000), -EAGAIN);
}

Test(stream, frames_come_byte_by_byte)
{
    uint8_t text[4 + 100];

    make_frame(100, 3);
    put_length(text, 100);
    memcpy(text + 4, frame, 100);
    for (size_t i = 0; i < sizeof(text); i++) {
        cr_assert_eq(take(2000), -EAGAIN);
        cr_assert_eq(write(far, text + i, 1), 1);
        cr_assert_eq(s.wire.ops->collect(&s.wire), 0);
    }
    cr_assert_eq(take(2000), (ssize_t)(HEADER + 100));
    cr_assert_eq(memcmp(got, frame, 100), 0);
}

Test(stream, bad_lengths_end_it)
{
    const size_t bad[] = { 0, 13, FRAME_MAX + 1, 0xffffffff };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t text[4];

        put_length(text, bad[i]);
        cr_assert_eq(write(far, text, 4), 4);
        cr_assert_eq(s.wire.ops->collect(&s.wire), 0);
        cr_assert_eq(take(2000), -EPROTO);
        tear_down();
        set_up();
    }
}

Test(stream, the_end_is_seen)
{
    close(far);
    cr_assert_eq(s.wire.ops->collect(&s.wire), -ECONNRESET);
    far = -1;
}

/* More than is kept: whole frames are lost, the oldest first, and those that are left are right. */
Test(stream, too_much_comes)
{
    size_t sent = 0, came = 0;
    int last = -1;

    for (; sent < 200; sent++) {
        far_sends(40000, (uint8_t)sent);
        cr_assert_eq(s.wire.ops->collect(&s.wire), 0);
    }
    while (take(sizeof(got)) == (ssize_t)(HEADER + 40000)) {
        cr_assert_gt((int)got[0], last);
        last = got[0];
        make_frame(40000, (uint8_t)last);
        cr_assert_eq(memcmp(got, frame, 40000), 0);
        came++;
    }
    cr_assert_eq(last, (int)sent - 1);
    cr_assert_gt(came, 20);
    cr_assert_lt(came, sent);
}

/* The socket's buffer fills up in the midst of a frame; what was taken arrives whole. */
Test(stream, frames_go)
{
    static uint8_t text[4 << 20];
    size_t frames = 0, have = 0;
    ssize_t n;

    for (int round = 0; round < 50; round++) {
        while (s.wire.ops->ready(&s.wire)) {
            make_frame(60000, (uint8_t)frames);
            cr_assert_eq(give(60000), 60000);
            cr_assert_lt(++frames, 1000, "a socket without an end");
        }
        n = read(far, text + have, 50000);
        have += n > 0 ? (size_t)n : 0;
    }
    do {
        s.wire.ops->ready(&s.wire);
        n = read(far, text + have, sizeof(text) - have);
        have += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    cr_assert_eq(have, frames * 60004);
    for (size_t i = 0; i < frames; i++) {
        uint8_t length[4];

        put_length(length, 60000);
        make_frame(60000, (uint8_t)i);
        cr_assert_eq(memcmp(text + i * 60004, length, 4), 0);
        cr_assert_eq(memcmp(text + i * 60004 + 4, frame, 60000), 0);
    }
}

Test(stream, the_guard_is_asked)
{
    make_frame(100, 0);
    memcpy(frame + 30, "\x7f\x00\x00\x01", 4);
    cr_assert_eq(give(100), -EACCES);
    cr_assert_eq(read(far, got, sizeof(got)), -1);
}

/* --- the guard --- */

static struct guard guard;

static bool lets4(const char *addr)
{
    make_frame(64, 0);
    memcpy(frame + 30, addr, 4);
    return guard_lets(&guard, frame, 64);
}

static bool lets6(const uint8_t addr[16], uint8_t next, uint8_t first)
{
    make_frame(64, 0);
    memcpy(frame + 12, "\x86\xdd\x60", 3);
    frame[20] = next;
    memcpy(frame + 38, addr, 16);
    frame[54] = first;
    return guard_lets(&guard, frame, 64);
}

Test(guard, ipv4)
{
    uint8_t own[1][16] = { { [10] = 0xff, 0xff, 10, 0, 0, 7 } };

    guard = (struct guard){ .own = own, .own_count = 1 };
    cr_assert(lets4("\x08\x08\x08\x08"));
    cr_assert(lets4("\x0a\x00\x00\x08"));
    cr_assert(!lets4("\x0a\x00\x00\x07"), "the host's own");
    cr_assert(!lets4("\x7f\x00\x00\x01"));
    cr_assert(!lets4("\x7f\x01\x02\x03"));
    cr_assert(!lets4("\x00\x00\x00\x00"));
    cr_assert(!lets4("\xa9\xfe\xa9\xfe"), "metadata");
    cr_assert(!lets4("\xa9\xfe\x35\x35"), "no alias");
    cr_assert(!lets4("\xe0\x00\x00\x01"));
    cr_assert(!lets4("\xff\xff\xff\xff"));
    guard.has_dns = true;
    memcpy(guard.dns, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xa9\xfe\x35\x35", 16);
    cr_assert(lets4("\xa9\xfe\x35\x35"));
    cr_assert(!lets4("\x0a\x00\x00\x07"), "after one that passed");
}

Test(guard, dhcp)
{
    guard = (struct guard){ 0 };
    make_frame(64, 0);
    memcpy(frame + 30, "\xff\xff\xff\xff", 4);
    frame[23] = 17;
    memcpy(frame + 36, "\x00\x43", 2);
    cr_assert(guard_lets(&guard, frame, 64));
    cr_assert(!guard_lets(&guard, frame, 37), "no port");
    frame[37] = 68;
    cr_assert(!guard_lets(&guard, frame, 64));
    frame[37] = 67;
    frame[14] = 0x46;
    cr_assert(!guard_lets(&guard, frame, 64), "with options the port is elsewhere");
}

Test(guard, ipv6)
{
    static const struct {
        uint8_t addr[16];
        bool tcp, solicitation;
    } rows[] = {
        { { 0x26, [15] = 1 }, true, true },
        { { 0 }, false, true },
        { { [15] = 1 }, false, true },
        { { [10] = 0xff, 0xff, 127, 0, 0, 1 }, false, true },
        { { 0, 0x64, 0xff, 0x9b, [12] = 127, 0, 0, 1 }, false, true },
        { { 0xfe, 0x80, [15] = 1 }, false, true },
        { { 0xff, 2, [15] = 1 }, false, true },
        { { 0xfd, 0, 0x0e, 0xc2, [14] = 2, 0x54 }, false, true },
        { { 0xfd, 1, [15] = 3 }, true, true },
    };

    guard = (struct guard){ 0 };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(lets6(rows[i].addr, 6, 0), rows[i].tcp, "row %zu", i);
        cr_assert_eq(lets6(rows[i].addr, 58, 135), rows[i].solicitation, "row %zu", i);
        cr_assert_eq(lets6(rows[i].addr, 58, 128), rows[i].tcp, "row %zu: a ping", i);
        cr_assert_eq(lets6(rows[i].addr, 0, 58), rows[i].tcp, "row %zu: options first", i);
    }
}

Test(guard, others)
{
    guard = (struct guard){ 0 };
    make_frame(64, 0);
    memcpy(frame + 12, "\x08\x06", 2);
    cr_assert(guard_lets(&guard, frame, 64), "ARP");
    memcpy(frame + 12, "\x81\x00", 2);
    cr_assert(!guard_lets(&guard, frame, 64), "VLAN");
    make_frame(64, 0);
    for (size_t len = 0; len < 34; len++)
        cr_assert(!guard_lets(&guard, frame, len), "%zu bytes", len);
    cr_assert(guard_lets(&guard, frame, 34));
}
