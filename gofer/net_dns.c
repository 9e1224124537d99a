/* See net_dns.h. */
#include "gofer/net_dns.h"

#include <string.h>
#include <strings.h>

#include "common/net_policy.h"

#define HEADER_SIZE 12
#define NAME_MAX_LEN 255
#define LABEL_MAX 63
#define TYPE_A 1
#define TYPE_AAAA 28
#define CLASS_IN 1
#define TTL_SECONDS 60

/* The header's second pair of bytes (RFC 1035, 4.1.1). */
#define FLAG_RESPONSE 0x8000u
#define FLAG_AUTHORITATIVE 0x0400u
#define FLAG_TRUNCATED 0x0200u
#define FLAG_RECURSION_WANTED 0x0100u
#define FLAG_RECURSION_THERE 0x0080u
#define OPCODE_MASK 0x7800u
#define RCODE_FORMAT_ERROR 1u
#define RCODE_NO_NAME 3u
#define RCODE_NOT_IMPLEMENTED 4u

struct question {
    char name[NAME_MAX_LEN + 1];
    uint16_t type, class;
    size_t end; /* offset behind it */
};

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void store16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* The one question as text with dots. A query has no compressed names. */
static bool parse_question(const uint8_t *query, size_t size, struct question *q)
{
    size_t at = HEADER_SIZE, used = 0;

    for (;;) {
        size_t label;

        if (at >= size)
            return false;
        label = query[at++];
        if (!label)
            break;
        if (label > LABEL_MAX || label > size - at || used + label + 1 > NAME_MAX_LEN)
            return false;
        if (used)
            q->name[used++] = '.';
        if (memchr(query + at, '\0', label) || memchr(query + at, '.', label))
            return false;
        memcpy(q->name + used, query + at, label);
        used += label;
        at += label;
    }
    q->name[used] = '\0';
    if (size - at < 4)
        return false;
    q->type = load16(query + at);
    q->class = load16(query + at + 2);
    q->end = at + 4;
    return true;
}

static const struct net_name *find_name(const struct net_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->name_count; i++)
        if (!strcasecmp(plan->names[i].name, name))
            return &plan->names[i];
    return NULL;
}

/* One address as a record whose name points at the question. False: it doesn't fit. */
static bool put_address(uint8_t *out, size_t room, size_t *size, const struct question *q, const uint8_t addr[16], bool is_v4)
{
    size_t len = is_v4 ? 4 : 16;
    uint8_t *p = out + *size;

    if (*size + 12 + len > room)
        return false;
    store16(p, 0xc000 | HEADER_SIZE);
    store16(p + 2, q->type);
    store16(p + 4, CLASS_IN);
    store16(p + 6, 0);
    store16(p + 8, TTL_SECONDS);
    store16(p + 10, (unsigned)len);
    memcpy(p + 12, addr + 16 - len, len);
    *size += 12 + len;
    return true;
}

static unsigned put_addresses(const struct net_plan *plan, const struct net_name *name, const struct question *q,
                              uint8_t *out, size_t room, size_t *size, unsigned *flags)
{
    unsigned count = 0;

    for (size_t i = name->first; i < name->first + name->count; i++) {
        uint32_t v4;
        bool is_v4 = net_mapped_v4(plan->rules[i].addr, &v4);

        if (q->type != (is_v4 ? TYPE_A : TYPE_AAAA))
            continue;
        if (!put_address(out, room, size, q, plan->rules[i].addr, is_v4)) {
            *flags |= FLAG_TRUNCATED;
            break;
        }
        count++;
    }
    return count;
}

size_t net_dns_answer(const struct net_plan *plan, const uint8_t *query, size_t size, uint8_t *out, size_t room)
{
    struct question q;
    const struct net_name *name;
    unsigned flags, asked, count = 0;
    size_t used = HEADER_SIZE;

    if (size < HEADER_SIZE)
        return 0;
    asked = load16(query + 2);
    if (asked & FLAG_RESPONSE)
        return 0;
    flags = FLAG_RESPONSE | FLAG_RECURSION_THERE | (asked & (FLAG_RECURSION_WANTED | OPCODE_MASK));
    memset(out, 0, HEADER_SIZE);
    memcpy(out, query, 2);
    if (asked & OPCODE_MASK) {
        flags |= RCODE_NOT_IMPLEMENTED;
    } else if (load16(query + 4) != 1 || !parse_question(query, size, &q)) {
        flags |= RCODE_FORMAT_ERROR;
    } else {
        store16(out + 4, 1);
        memcpy(out + HEADER_SIZE, query + HEADER_SIZE, q.end - HEADER_SIZE);
        used = q.end;
        name = q.class == CLASS_IN ? find_name(plan, q.name) : NULL;
        flags |= FLAG_AUTHORITATIVE;
        if (name)
            count = put_addresses(plan, name, &q, out, room, &used, &flags);
        else
            flags |= RCODE_NO_NAME;
    }
    store16(out + 2, flags);
    store16(out + 6, count);
    return used;
}
