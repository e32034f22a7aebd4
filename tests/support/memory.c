/* The allocator under all tests: counts what is allocated, and fails when told to. */
#include "tests/support/test.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Stands before each block; as large as the strictest alignment wants. */
union header {
    size_t size;
    max_align_t align;
};

static atomic_long total;
static atomic_long live;
static atomic_long live_bytes;
static atomic_long peak_bytes;
static atomic_long until_failure;
void (*test_freeing)(const void *ptr, size_t size);
static atomic_bool failed;

static bool must_fail(void)
{
    atomic_fetch_add(&total, 1);
    if (atomic_load(&until_failure) <= 0 || atomic_fetch_sub(&until_failure, 1) != 1)
        return false;
    atomic_store(&failed, true);
    return true;
}

static void count_bytes(long more)
{
    long now = atomic_fetch_add(&live_bytes, more) + more;
    long peak = atomic_load(&peak_bytes);
    while (now > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, now))
        ;
}

static void *counted_alloc(void *user, size_t size)
{
    (void)user;
    if (must_fail())
        return NULL;
    union header *header = malloc(sizeof *header + size);
    if (!header)
        return NULL;
    header->size = size;
    atomic_fetch_add(&live, 1);
    count_bytes((long)size);
    /* Whoever relies on cleared memory shall notice. */
    memset(header + 1, 0xa5, size);
    return header + 1;
}

static void counted_free(void *user, void *ptr)
{
    (void)user;
    union header *header = (union header *)ptr - 1;
    atomic_fetch_sub(&live, 1);
    count_bytes(-(long)header->size);
    if (test_freeing)
        test_freeing(ptr, header->size);
    /* As must those who read what they have freed, also without a sanitizer. */
    memset(ptr, 0x5a, header->size);
    free(header);
}

static void *counted_realloc(void *user, void *ptr, size_t size)
{
    if (!ptr)
        return counted_alloc(user, size);
    if (must_fail())
        return NULL;
    union header *old = (union header *)ptr - 1;
    size_t old_size = old->size;
    union header *header = realloc(old, sizeof *header + size);
    if (!header)
        return NULL;
    header->size = size;
    count_bytes((long)size - (long)old_size);
    return header + 1;
}

void test_memory_install(void)
{
    static const struct eddy_allocator allocator = {
        .alloc = counted_alloc,
        .realloc = counted_realloc,
        .free = counted_free,
    };
    if (eddy_set_allocator(&allocator) < 0)
        abort();
}

void test_fail_allocation(long nth)
{
    atomic_store(&failed, false);
    atomic_store(&until_failure, nth);
}

bool test_allocation_failed(void)
{
    return atomic_load(&failed);
}

long test_allocations(void)
{
    return atomic_load(&total);
}

long test_live_allocations(void)
{
    return atomic_load(&live);
}

long test_live_bytes(void)
{
    return atomic_load(&live_bytes);
}

long test_peak_bytes(void)
{
    return atomic_load(&peak_bytes);
}

void test_reset_peak_bytes(void)
{
    atomic_store(&peak_bytes, atomic_load(&live_bytes));
}
