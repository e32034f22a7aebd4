#include "framework/base/slab.h"
#include "tests/support/test.h"
#include <string.h>

#define MAX 5000

static unsigned char *objects[MAX];

static uint32_t random_state;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* Each object is filled with its own byte: any overlap shows. */
static unsigned char mark(int i)
{
    return (unsigned char)(i * 7 + 1);
}

static void take(struct eddy_slab *slab, int i, size_t size, size_t align)
{
    objects[i] = eddy_slab_alloc(slab);
    REQUIRE(objects[i] != NULL);
    CHECK_INT((uintptr_t)objects[i] % align, 0);
    memset(objects[i], mark(i), size);
}

static void give_back(struct eddy_slab *slab, int i, size_t size)
{
    bool intact = true;

    for (size_t k = 0; k < size; k++)
        intact = intact && objects[i][k] == mark(i);
    CHECK(intact);
    eddy_slab_free(slab, objects[i]);
    objects[i] = NULL;
}

static void objects_do_not_overlap(void)
{
    static const struct {
        size_t size, align;
        int count;
    } kinds[] = {
        {1, 1, MAX},     {8, 8, MAX},     {24, 8, MAX},     {100, 4, MAX},
        {400, 16, 3000}, {448, 64, 3000}, {4096, 8, 200},   {4000, 4096, 100},
        {4097, 16, 20},  {5000, 64, 20},  {100000, 16, 10}, {100000, 4096, 10},
    };

    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct eddy_slab *slab = eddy_slab_new(kinds[k].size, kinds[k].align);

        REQUIRE(slab != NULL);
        for (int i = 0; i < kinds[k].count; i++)
            take(slab, i, kinds[k].size, kinds[k].align);
        for (int i = 0; i < kinds[k].count; i++)
            give_back(slab, i, kinds[k].size);
        eddy_slab_destroy(slab);
    }
}

static void objects_come_and_go_in_any_order(void)
{
    const size_t size = 400;
    struct eddy_slab *slab = eddy_slab_new(size, 16);

    REQUIRE(slab != NULL);
    random_state = 2463534242;
    for (int step = 0; step < 60000; step++) {
        int i = (int)(next_random() % MAX);

        /* In turns more come than go, and more go than come. */
        if (objects[i] == NULL && (next_random() % 4 != 0) == (step / 15000 % 2 == 0))
            take(slab, i, size, 16);
        else if (objects[i] != NULL && (next_random() % 4 != 0) == (step / 15000 % 2 != 0))
            give_back(slab, i, size);
    }
    for (int i = 0; i < MAX; i++) {
        if (objects[i] != NULL)
            give_back(slab, i, size);
    }
    eddy_slab_destroy(slab);
}

static void overhead_is_small(void)
{
    struct eddy_slab *slab = eddy_slab_new(400, 8);
    long before = test_live_bytes();

    REQUIRE(slab != NULL);
    for (int i = 0; i < MAX; i++)
        take(slab, i, 400, 8);
    /* Of this, what aligns the frames is never touched. */
    CHECK(test_live_bytes() - before < MAX * 400L * 125 / 100);
    CHECK(objects[1] - objects[0] == 400);
    for (int i = 0; i < MAX; i++)
        give_back(slab, i, 400);
    eddy_slab_destroy(slab);
}

static void empty_pieces_are_given_back_but_for_one(void)
{
    struct eddy_slab *slab = eddy_slab_new(400, 8);
    long empty = test_live_allocations(), allocations;

    REQUIRE(slab != NULL);
    take(slab, 0, 400, 8);
    CHECK_INT(test_live_allocations(), empty + 1);
    for (int i = 1; i < MAX; i++)
        take(slab, i, 400, 8);
    CHECK(test_live_allocations() > empty + 3);
    for (int i = MAX - 1; i >= 0; i--)
        give_back(slab, i, 400);
    CHECK_INT(test_live_allocations(), empty + 1);

    allocations = test_allocations();
    for (int i = 0; i < 10; i++) {
        take(slab, 0, 400, 8);
        give_back(slab, 0, 400);
    }
    CHECK_INT(test_allocations(), allocations);
    eddy_slab_destroy(slab);
}

static void freed_places_are_used_before_fresh_ones(void)
{
    struct eddy_slab *slab = eddy_slab_new(64, 8);
    unsigned char *first, *third;

    REQUIRE(slab != NULL);
    for (int i = 0; i < 6; i++)
        take(slab, i, 64, 8);
    first = objects[1];
    third = objects[3];
    give_back(slab, 3, 64);
    give_back(slab, 1, 64);
    take(slab, 1, 64, 8);
    CHECK(objects[1] == first);
    take(slab, 3, 64, 8);
    CHECK(objects[3] == third);
    for (int i = 0; i < 6; i++)
        give_back(slab, i, 64);
    eddy_slab_destroy(slab);
}

static void full_pieces_are_used_again(void)
{
    struct eddy_slab *slab = eddy_slab_new(400, 8);
    long allocations;

    REQUIRE(slab != NULL);
    for (int i = 0; i < MAX; i++)
        take(slab, i, 400, 8);
    allocations = test_allocations();
    for (int round = 0; round < 3; round++) {
        for (int i = round; i < MAX; i += 50)
            give_back(slab, i, 400);
        for (int i = round; i < MAX; i += 50)
            take(slab, i, 400, 8);
    }
    CHECK_INT(test_allocations(), allocations);
    for (int i = 0; i < MAX; i++)
        give_back(slab, i, 400);
    eddy_slab_destroy(slab);
}

static void G5_no_memory_is_null_and_passes(void)
{
    struct eddy_slab *slab;

    test_fail_allocation(1);
    CHECK(eddy_slab_new(64, 8) == NULL);
    slab = eddy_slab_new(64, 8);
    REQUIRE(slab != NULL);
    test_fail_allocation(1);
    CHECK(eddy_slab_alloc(slab) == NULL);
    take(slab, 0, 64, 8);
    give_back(slab, 0, 64);
    eddy_slab_destroy(slab);

    slab = eddy_slab_new(10000, 8);
    REQUIRE(slab != NULL);
    test_fail_allocation(1);
    CHECK(eddy_slab_alloc(slab) == NULL);
    take(slab, 0, 10000, 8);
    give_back(slab, 0, 10000);
    eddy_slab_destroy(slab);

    slab = eddy_slab_new(SIZE_MAX, 8);
    REQUIRE(slab != NULL);
    CHECK(eddy_slab_alloc(slab) == NULL);
    eddy_slab_destroy(slab);
    eddy_slab_destroy(NULL);
}

const struct test_case test_cases[] = {
    TEST(objects_do_not_overlap),
    TEST(objects_come_and_go_in_any_order),
    TEST(overhead_is_small),
    TEST(empty_pieces_are_given_back_but_for_one),
    TEST(freed_places_are_used_before_fresh_ones),
    TEST(full_pieces_are_used_again),
    TEST(G5_no_memory_is_null_and_passes),
    TEST_END,
};
