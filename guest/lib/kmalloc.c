/*
 * Small memory: size classes carved from single frames, each with a header; larger sizes are runs
 * of frames, which start on a page boundary where no small object lies. Objects of 64 bytes and
 * more are 64-byte aligned where their class is a multiple of 64 (all but 96), smaller ones 16.
 */
#include "lib/kmalloc.h"

#include "lib/list.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/frame.h"

#define SLAB_MAGIC 0x6b6d616c

struct slab {
    struct list node; /* of the class's slabs with room */
    void *free;       /* first free object; each holds the next one's address */
    uint32_t magic;
    uint16_t class_index;
    uint16_t used;
};

#define SLAB_HEADER 64

/* Nothing that the shim does needs more at once. */
#define RUN_MAX (64ul << 20)

static const uint16_t class_sizes[] = { 16,  32,  48,  64,  96,  128,  192, 256,
                                        320, 448, 576, 768, 960, 1344, 1984 };

#define CLASS_COUNT ARRAY_SIZE(class_sizes)
#define CLASS_MAX 1984

static struct list
    class_slabs[CLASS_COUNT]; /* slabs with free objects; an unused head is all zero */

static size_t class_of(size_t size)
{
    size_t i = 0;

    while (class_sizes[i] < size)
        i++;
    return i;
}

static struct slab *slab_of(void *ptr)
{
    struct slab *s = (struct slab *)((uintptr_t)ptr & PAGE_MASK);

    if (s->magic != SLAB_MAGIC)
        panic("kfree: %p isn't kmalloc's", ptr);
    return s;
}

static uint16_t slab_objects(size_t class_index)
{
    return (uint16_t)((PAGE_SIZE - SLAB_HEADER) / class_sizes[class_index]);
}

static struct slab *slab_create(size_t class_index)
{
    gpa_t gpa = frame_alloc();
    struct slab *s;
    char *object;

    if (!gpa)
        return NULL;
    s = gpa_to_ptr(gpa);
    s->magic = SLAB_MAGIC;
    s->class_index = (uint16_t)class_index;
    s->used = 0;
    s->free = NULL;
    for (int i = slab_objects(class_index) - 1; i >= 0; i--) {
        object = (char *)s + SLAB_HEADER + (size_t)i * class_sizes[class_index];
        *(void **)(void *)object = s->free;
        s->free = object;
    }
    list_push_front(&class_slabs[class_index], &s->node);
    return s;
}

static void *slab_alloc(size_t class_index)
{
    struct list *slabs = &class_slabs[class_index];
    struct slab *s;
    void *object;

    if (!slabs->next)
        list_init(slabs);
    s = list_empty(slabs) ? slab_create(class_index) : list_first(slabs, struct slab, node);
    if (!s)
        return NULL;
    object = s->free;
    s->free = *(void **)object;
    s->used++;
    if (!s->free)
        list_remove(&s->node);
    return object;
}

static void slab_free(void *object)
{
    struct slab *s = slab_of(object);
    struct list *slabs = &class_slabs[s->class_index];

    if (!s->free)
        list_push_front(slabs, &s->node);
    *(void **)object = s->free;
    s->free = object;
    /* Keep one empty slab of each class. */
    if (--s->used == 0 && slabs->next->next != slabs) {
        list_remove(&s->node);
        s->magic = 0;
        frame_put(ptr_to_gpa(s));
    }
}

static bool is_run(const void *ptr)
{
    return ((uintptr_t)ptr & (PAGE_SIZE - 1)) == 0;
}

static size_t usable_size(void *ptr)
{
    return is_run(ptr) ? pages_count(ptr) * PAGE_SIZE : class_sizes[slab_of(ptr)->class_index];
}

void *kmalloc(size_t size)
{
    if (size <= CLASS_MAX)
        return slab_alloc(class_of(size));
    if (size > RUN_MAX)
        return NULL;
    return pages_alloc(PAGE_UP(size) >> PAGE_SHIFT);
}

void *kzalloc(size_t size)
{
    void *ptr = kmalloc(size);

    if (ptr)
        memset(ptr, 0, size);
    return ptr;
}

void *kcalloc(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    return kzalloc(total);
}

void *krealloc(void *ptr, size_t size)
{
    void *copy;

    if (!ptr)
        return kmalloc(size);
    if (size <= usable_size(ptr) && size > usable_size(ptr) / 4)
        return ptr;
    copy = kmalloc(size);
    if (!copy)
        return NULL;
    memcpy(copy, ptr, MIN(size, usable_size(ptr)));
    kfree(ptr);
    return copy;
}

void kfree(void *ptr)
{
    if (!ptr)
        return;
    if (is_run(ptr))
        pages_free(ptr, pages_count(ptr));
    else
        slab_free(ptr);
}

char *kstrdup(const char *s)
{
    return kstrndup(s, strlen(s));
}

char *kstrndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *copy = kmalloc(len + 1);

    if (!copy)
        return NULL;
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}
