#include "framework/base/alloc.h"

#include <eddy/base.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static void *libc_alloc(void *user, size_t size)
{
    (void)user;
    return malloc(size);
}

static void *libc_realloc(void *user, void *ptr, size_t size)
{
    (void)user;
    return realloc(ptr, size);
}

static void libc_free(void *user, void *ptr)
{
    (void)user;
    free(ptr);
}

static const struct eddy_allocator libc_allocator = {libc_alloc, libc_realloc, libc_free, NULL};

static struct eddy_allocator allocator = {libc_alloc, libc_realloc, libc_free, NULL};

/* Memory must go back to the allocator that it came from: none may be live when that is replaced.
 */
static atomic_size_t live;

int eddy_set_allocator(const struct eddy_allocator *a)
{
    if (a == NULL)
        a = &libc_allocator;
    if (a->alloc == NULL || a->realloc == NULL || a->free == NULL)
        return -EINVAL;
    if (atomic_load(&live) != 0)
        return EDDY_EINVALID_STATE;
    allocator = *a;
    return 0;
}

void *eddy_alloc(size_t size)
{
    /* Allocators may answer NULL to 0, which here would be "no memory". */
    void *ptr = allocator.alloc(allocator.user, size != 0 ? size : 1);

    if (ptr != NULL)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return ptr;
}

void *eddy_zalloc(size_t size)
{
    void *ptr = eddy_alloc(size);

    if (ptr != NULL)
        memset(ptr, 0, size);
    return ptr;
}

void *eddy_realloc(void *ptr, size_t size)
{
    if (ptr == NULL)
        return eddy_alloc(size);
    return allocator.realloc(allocator.user, ptr, size != 0 ? size : 1);
}

void eddy_free(void *ptr)
{
    if (ptr == NULL)
        return;
    allocator.free(allocator.user, ptr);
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
}
