/* The device side of a virtqueue against a driver that keeps the rules, and against one that doesn't. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/virtq.h"

#define BASE 0x100000
#define SIZE 8

struct driver {
    _Alignas(16) struct virtq_desc desc[SIZE];
    uint16_t avail[2 + SIZE + 1];
    _Alignas(4) uint16_t used[2 + 4 * SIZE + 1];
    _Alignas(8) uint8_t data[256];
};

static struct driver driver;
static struct guest_region region = { { BASE }, sizeof(driver), (uint8_t *)&driver };
static struct guest_mem mem = { &region, 1 };
static struct virtq q;

#define AT(field) ((gpa_t){ BASE + offsetof(struct driver, field) })

static struct virtq_layout layout(void)
{
    return (struct virtq_layout){ SIZE, AT(desc), AT(avail), AT(used), true, false, SIZE };
}

static void set_up(void)
{
    struct virtq_layout l = layout();

    memset(&driver, 0, sizeof(driver));
    cr_assert_eq(virtq_init(&q, &mem, &l), 0);
}

static void set_desc(unsigned i, unsigned off, uint32_t len, uint16_t flags, uint16_t next)
{
    driver.desc[i] = (struct virtq_desc){ AT(data).v + off, len, flags, next };
}

static void offer(uint16_t head)
{
    driver.avail[2 + driver.avail[1] % SIZE] = head;
    driver.avail[1]++;
}

Test(virtq, init_checks_what_the_driver_chose, .init = set_up)
{
    struct virtq_layout l = layout();

    l.size = 6;
    cr_assert_eq(virtq_init(&q, &mem, &l), -EINVAL);
    l.size = 0;
    cr_assert_eq(virtq_init(&q, &mem, &l), -EINVAL);
    l.size = 2 * VIRTQ_SIZE_MAX;
    cr_assert_eq(virtq_init(&q, &mem, &l), -EINVAL);
    l = layout();
    l.desc.v += 8;
    cr_assert_eq(virtq_init(&q, &mem, &l), -EINVAL);
    l = layout();
    l.used.v = BASE + sizeof(driver) - 4;
    cr_assert_eq(virtq_init(&q, &mem, &l), -EFAULT);
    l = layout();
    l.avail.v = UINT64_MAX - 1;
    cr_assert_eq(virtq_init(&q, &mem, &l), -EFAULT);
}

Test(virtq, a_request_goes_round, .init = set_up)
{
    struct virtq_chain c;

    cr_assert_not(virtq_has_avail(&q));
    cr_assert_eq(virtq_pop(&q, &c), 0);
    set_desc(3, 0, 10, VIRTQ_DESC_NEXT, 5);
    set_desc(5, 16, 20, VIRTQ_DESC_NEXT, 0);
    set_desc(0, 64, 30, VIRTQ_DESC_WRITE, 7);
    offer(3);
    cr_assert(virtq_has_avail(&q));
    cr_assert_eq(virtq_pop(&q, &c), 1);
    cr_assert_eq(c.head, 3);
    cr_assert_eq(c.in_count, 2);
    cr_assert_eq(c.out_count, 1);
    cr_assert_eq(c.in_size, 30);
    cr_assert_eq(c.out_size, 30);
    cr_assert_eq(c.in[1].iov_base, driver.data + 16);
    cr_assert_eq(c.out[0].iov_base, driver.data + 64);
    virtq_push(&q, c.head, 0x12345);
    cr_assert_eq(driver.used[1], 1);
    cr_assert_eq(driver.used[2], 3);
    cr_assert_eq(driver.used[4], 0x2345);
    cr_assert_eq(driver.used[5], 1);
    cr_assert_eq(virtq_pop(&q, &c), 0);
}

Test(virtq, indexes_wrap, .init = set_up)
{
    struct virtq_chain c;

    set_desc(1, 0, 4, 0, 0);
    for (unsigned i = 0; i < 70000; i++) {
        offer(1);
        cr_assert_eq(virtq_pop(&q, &c), 1);
        virtq_push(&q, c.head, 0);
        cr_assert_eq(driver.used[1], (uint16_t)(i + 1));
    }
}

Test(virtq, notifies_as_event_idx_says, .init = set_up)
{
    driver.avail[2 + SIZE] = 1; /* used_event: tell me after the second */
    cr_assert_not(virtq_should_notify(&q));
    virtq_push(&q, 0, 0);
    cr_assert_not(virtq_should_notify(&q));
    virtq_push(&q, 0, 0);
    cr_assert(virtq_should_notify(&q));
    cr_assert_not(virtq_should_notify(&q), "once");
    cr_assert_not(virtq_enable_notify(&q));
    offer(0);
    cr_assert(virtq_enable_notify(&q));
    cr_assert_eq(driver.used[2 + 4 * SIZE], 0, "avail_event is where the device stands");
}

/* Each of these is a driver that breaks a rule; the queue is given up and stays so. */
static void expect_broken(void)
{
    struct virtq_chain c;

    cr_assert_eq(virtq_pop(&q, &c), -EPROTO);
    set_desc(0, 0, 4, 0, 0);
    cr_assert_eq(virtq_pop(&q, &c), -EPROTO);
}

Test(virtq, head_out_of_range, .init = set_up)
{
    offer(SIZE);
    expect_broken();
}

Test(virtq, next_out_of_range, .init = set_up)
{
    set_desc(0, 0, 4, VIRTQ_DESC_NEXT, 0xffff);
    offer(0);
    expect_broken();
}

Test(virtq, loop, .init = set_up)
{
    set_desc(0, 0, 4, VIRTQ_DESC_NEXT, 1);
    set_desc(1, 0, 4, VIRTQ_DESC_NEXT, 0);
    offer(0);
    expect_broken();
}

Test(virtq, address_outside, .init = set_up)
{
    set_desc(0, 0, sizeof(driver) + 1, 0, 0);
    offer(0);
    expect_broken();
}

Test(virtq, address_wraps, .init = set_up)
{
    driver.desc[0] = (struct virtq_desc){ UINT64_MAX - 2, 8, 0, 0 };
    offer(0);
    expect_broken();
}

Test(virtq, readable_after_writable, .init = set_up)
{
    set_desc(0, 0, 4, VIRTQ_DESC_WRITE | VIRTQ_DESC_NEXT, 1);
    set_desc(1, 0, 4, 0, 0);
    offer(0);
    expect_broken();
}

Test(virtq, indirect, .init = set_up)
{
    set_desc(0, 0, 16, VIRTQ_DESC_INDIRECT, 0);
    offer(0);
    expect_broken();
}

/* --- indirect tables: they lie in driver.data --- */

static struct virtq_desc *table(void)
{
    return (struct virtq_desc *)(void *)driver.data;
}

static void set_up_indirect(void)
{
    struct virtq_layout l = layout();

    memset(&driver, 0, sizeof(driver));
    l.indirect = true;
    cr_assert_eq(virtq_init(&q, &mem, &l), 0);
    set_desc(0, 0, 2 * sizeof(struct virtq_desc), VIRTQ_DESC_INDIRECT, 0);
    table()[0] = (struct virtq_desc){ AT(data).v + 128, 16, VIRTQ_DESC_NEXT, 1 };
    table()[1] = (struct virtq_desc){ AT(data).v + 160, 24, VIRTQ_DESC_WRITE, 0 };
    offer(0);
}

Test(virtq, indirect_table, .init = set_up_indirect)
{
    struct virtq_chain c;

    cr_assert_eq(virtq_pop(&q, &c), 1);
    cr_assert_eq(c.head, 0);
    cr_assert_eq(c.in_count, 1);
    cr_assert_eq(c.out_size, 24);
    cr_assert_eq(c.out[0].iov_base, driver.data + 160);
}

Test(virtq, indirect_after_direct, .init = set_up_indirect)
{
    struct virtq_chain c;

    set_desc(3, 200, 8, VIRTQ_DESC_NEXT, 0);
    driver.avail[2] = 3;
    cr_assert_eq(virtq_pop(&q, &c), 1);
    cr_assert_eq(c.in_size, 24);
}

Test(virtq, indirect_in_indirect, .init = set_up_indirect)
{
    table()[1].flags = VIRTQ_DESC_INDIRECT;
    expect_broken();
}

Test(virtq, indirect_first_in_indirect, .init = set_up_indirect)
{
    table()[0].flags = VIRTQ_DESC_INDIRECT;
    expect_broken();
}

Test(virtq, indirect_with_next, .init = set_up_indirect)
{
    driver.desc[0].flags |= VIRTQ_DESC_NEXT;
    expect_broken();
}

Test(virtq, indirect_not_whole_entries, .init = set_up_indirect)
{
    driver.desc[0].len = 24;
    expect_broken();
}

Test(virtq, indirect_empty, .init = set_up_indirect)
{
    driver.desc[0].len = 0;
    expect_broken();
}

Test(virtq, indirect_longer_than_the_queue, .init = set_up_indirect)
{
    driver.desc[0].len = (SIZE + 1) * sizeof(struct virtq_desc);
    expect_broken();
}

Test(virtq, indirect_next_out_of_table, .init = set_up_indirect)
{
    table()[0].next = 2;
    expect_broken();
}

Test(virtq, indirect_loop, .init = set_up_indirect)
{
    table()[1] = (struct virtq_desc){ AT(data).v, 4, VIRTQ_DESC_NEXT, 0 };
    expect_broken();
}

Test(virtq, indirect_outside, .init = set_up_indirect)
{
    driver.desc[0].addr = BASE + sizeof(driver) - 16;
    expect_broken();
}

Test(virtq, avail_index_jumps, .init = set_up)
{
    driver.avail[1] = SIZE + 1;
    expect_broken();
}
