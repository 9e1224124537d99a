/*
 * Small memory for the shim itself. Size classes on 4 KiB frames up to 2 KiB; above that whole frames.
 * Returns NULL when --mem is used up; callers turn that into ENOMEM.
 */
#ifndef LIB_KMALLOC_H
#define LIB_KMALLOC_H

#include "lib/base.h"

void *kmalloc(size_t size);
void *kzalloc(size_t size);
void *kcalloc(size_t count, size_t size); /* NULL on overflow, zeroed */
void *krealloc(void *ptr, size_t size);
void kfree(void *ptr);                    /* NULL is fine */
char *kstrdup(const char *s);
char *kstrndup(const char *s, size_t n);

#endif
