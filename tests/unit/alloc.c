#include "framework/base/alloc.h"
#include "tests/support/test.h"
#include <stdlib.h>
#include <string.h>

static struct counts {
    int allocs, reallocs, frees;
} counts;

static void *own_alloc(void *user, size_t size)
{
    CHECK(user == &counts);
    CHECK(size > 0);
    counts.allocs++;
    return malloc(size + 1);
}

static void *own_realloc(void *user, void *ptr, size_t size)
{
    CHECK(user == &counts);
    CHECK(ptr != NULL);
    CHECK(size > 0);
    counts.reallocs++;
    return realloc(ptr, size + 1);
}

static void own_free(void *user, void *ptr)
{
    CHECK(user == &counts);
    CHECK(ptr != NULL);
    counts.frees++;
    free(ptr);
}

static const struct eddy_allocator own = {own_alloc, own_realloc, own_free, &counts};

static void G5_allocator_is_replaceable(void)
{
    void *p;

    counts = (struct counts){0};
    REQUIRE(eddy_set_allocator(&own) == 0);
    p = eddy_alloc(10);
    CHECK_INT(counts.allocs, 1);
    p = eddy_realloc(p, 20);
    CHECK_INT(counts.reallocs, 1);
    eddy_free(p);
    CHECK_INT(counts.frees, 1);
    eddy_free(eddy_realloc(NULL, 5));
    eddy_free(eddy_zalloc(5));
    CHECK_INT(counts.allocs, 3);
    CHECK_INT(counts.frees, 3);
    test_memory_install();
}

static void G5_allocator_is_not_replaced_while_memory_is_live(void)
{
    void *p = eddy_alloc(10), *q = eddy_alloc(10);

    CHECK_INT(eddy_set_allocator(&own), EDDY_EINVALID_STATE);
    eddy_free(p);
    CHECK_INT(eddy_set_allocator(NULL), EDDY_EINVALID_STATE);
    q = eddy_realloc(q, 100);
    CHECK_INT(eddy_set_allocator(&own), EDDY_EINVALID_STATE);
    eddy_free(q);
    CHECK_INT(eddy_set_allocator(&own), 0);
    test_memory_install();
}

static void G4_incomplete_allocator_is_refused(void)
{
    struct eddy_allocator a = own;

    a.alloc = NULL;
    CHECK_INT(eddy_set_allocator(&a), -EINVAL);
    a = own;
    a.realloc = NULL;
    CHECK_INT(eddy_set_allocator(&a), -EINVAL);
    a = own;
    a.free = NULL;
    CHECK_INT(eddy_set_allocator(&a), -EINVAL);
}

static void null_allocator_restores_the_default(void)
{
    long before = test_allocations();
    void *p;

    REQUIRE(eddy_set_allocator(NULL) == 0);
    p = eddy_alloc(100);
    CHECK(p != NULL);
    p = eddy_realloc(p, 200);
    CHECK(p != NULL);
    CHECK_INT(test_allocations(), before);
    eddy_free(p);
    test_memory_install();
}

static void zalloc_clears(void)
{
    static const char zeros[1000];
    char *p = eddy_zalloc(sizeof(zeros));

    REQUIRE(p != NULL);
    CHECK(memcmp(p, zeros, sizeof(zeros)) == 0);
    eddy_free(p);
}

static void size_zero_is_not_no_memory(void)
{
    void *p, *q;

    REQUIRE(eddy_set_allocator(&own) == 0);
    p = eddy_alloc(0);
    q = eddy_zalloc(0);
    CHECK(p != NULL);
    CHECK(q != NULL);
    p = eddy_realloc(p, 0);
    CHECK(p != NULL);
    eddy_free(p);
    eddy_free(q);
    eddy_free(NULL);
    test_memory_install();
}

static void G5_no_memory_is_null_and_changes_nothing(void)
{
    char *p;

    test_fail_allocation(1);
    CHECK(eddy_alloc(8) == NULL);
    test_fail_allocation(1);
    CHECK(eddy_zalloc(8) == NULL);
    test_fail_allocation(1);
    CHECK(eddy_realloc(NULL, 8) == NULL);
    CHECK_INT(eddy_set_allocator(NULL), 0); /* nothing is counted as live */
    test_memory_install();

    p = eddy_alloc(8);
    REQUIRE(p != NULL);
    memcpy(p, "eddying", 8);
    test_fail_allocation(1);
    CHECK(eddy_realloc(p, 1000) == NULL);
    CHECK_STR(p, "eddying");
    p = eddy_realloc(p, 1000);
    CHECK_STR(p, "eddying");
    eddy_free(p);
}

const struct test_case test_cases[] = {
    TEST(G5_allocator_is_replaceable),
    TEST(G5_allocator_is_not_replaced_while_memory_is_live),
    TEST(G4_incomplete_allocator_is_refused),
    TEST(null_allocator_restores_the_default),
    TEST(zalloc_clears),
    TEST(size_zero_is_not_no_memory),
    TEST(G5_no_memory_is_null_and_changes_nothing),
    TEST_END,
};
