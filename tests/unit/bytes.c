/* <eddy/bytes.h> */
#include "tests/support/test.h"
#include <eddy/bytes.h>
#include <string.h>

static bool holds(const struct eddy_bytes *b, const char *text)
{
    return b->len == strlen(text) && memcmp(b->data, text, b->len) == 0;
}

static void appended_consumed_and_freed(void)
{
    struct eddy_bytes b = {0};

    CHECK_INT(eddy_bytes_append(&b, NULL, 0), 0);
    CHECK(b.data == NULL);
    CHECK_INT(eddy_bytes_append(&b, "hello ", 6), 0);
    CHECK_INT(eddy_bytes_append(&b, "world", 5), 0);
    CHECK(holds(&b, "hello world"));
    eddy_bytes_consume(&b, 0);
    CHECK(holds(&b, "hello world"));
    eddy_bytes_consume(&b, 6);
    CHECK(holds(&b, "world"));
    CHECK_INT(eddy_bytes_append(&b, "!", 1), 0);
    CHECK(holds(&b, "world!"));
    eddy_bytes_consume(&b, 100);
    CHECK_INT(b.len, 0);
    CHECK_INT(eddy_bytes_append(&b, "again", 5), 0);
    CHECK(holds(&b, "again"));
    eddy_bytes_free(&b);
    CHECK(b.data == NULL && b.len == 0 && b.room == 0);
    eddy_bytes_free(&b);
    CHECK_INT(eddy_bytes_append(&b, "once more", 9), 0);
    CHECK(holds(&b, "once more"));
    eddy_bytes_free(&b);
}

static void clear_keeps_the_memory(void)
{
    struct eddy_bytes b = {0};

    eddy_bytes_clear(&b);
    CHECK(b.data == NULL && b.room == 0);
    CHECK_INT(eddy_bytes_append(&b, "0123456789", 10), 0);
    char *data = b.data;
    size_t size = b.len + b.room;
    eddy_bytes_consume(&b, 3);
    eddy_bytes_clear(&b);
    CHECK_INT(b.len, 0);
    CHECK_INT(b.room, size);
    CHECK(b.data == data);
    long before = test_allocations();
    CHECK_INT(eddy_bytes_reserve(&b, size), 0);
    CHECK_INT(test_allocations(), before);
    eddy_bytes_free(&b);
}

static void room_is_filled_in_place(void)
{
    struct eddy_bytes b = {0};

    CHECK_INT(eddy_bytes_append(&b, "ab", 2), 0);
    CHECK_INT(eddy_bytes_reserve(&b, 1000), 0);
    CHECK(b.room >= 1000);
    size_t size = b.len + b.room;
    memcpy(b.data + b.len, "cd", 2);
    eddy_bytes_added(&b, 2);
    CHECK(holds(&b, "abcd"));
    CHECK_INT(b.len + b.room, size);
    memset(b.data + b.len, 'x', b.room);
    eddy_bytes_added(&b, SIZE_MAX);
    CHECK_INT(b.room, 0);
    CHECK_INT(b.len, size);
    eddy_bytes_free(&b);
}

static void take_leaves_nothing_behind(void)
{
    struct eddy_bytes b = {0};

    CHECK_INT(eddy_bytes_append(&b, "mine", 4), 0);
    eddy_bytes_consume(&b, 1);
    struct eddy_bytes taken = eddy_bytes_take(&b);
    CHECK(holds(&taken, "ine"));
    CHECK(b.data == NULL && b.len == 0 && b.room == 0 && b.gone_ == 0);
    eddy_bytes_free(&b);
    CHECK(holds(&taken, "ine"));
    eddy_bytes_free(&taken);
}

/* Every way to need memory, with bytes consumed and without. */
static void G5_no_memory_leaves_it_as_it_was(void)
{
    for (size_t gone = 0; gone <= 2; gone++) {
        struct eddy_bytes b = {0};

        test_fail_allocation(1);
        CHECK_INT(eddy_bytes_append(&b, "x", 1), -ENOMEM);
        CHECK(b.data == NULL && b.len == 0 && b.room == 0);
        CHECK_INT(eddy_bytes_append(&b, "012345", 6), 0);
        eddy_bytes_consume(&b, gone);
        struct eddy_bytes before = b;
        test_fail_allocation(1);
        CHECK_INT(eddy_bytes_reserve(&b, 5000), -ENOMEM);
        CHECK(memcmp(&b, &before, sizeof b) == 0);
        CHECK(holds(&b, &"012345"[gone]));
        static char many[5000];
        test_fail_allocation(1);
        CHECK_INT(eddy_bytes_append(&b, many, sizeof many), -ENOMEM);
        CHECK(memcmp(&b, &before, sizeof b) == 0);
        CHECK_INT(eddy_bytes_reserve(&b, SIZE_MAX), -ENOMEM);
        CHECK_INT(eddy_bytes_reserve(&b, SIZE_MAX / 2), -ENOMEM);
        CHECK(memcmp(&b, &before, sizeof b) == 0);
        CHECK_INT(eddy_bytes_append(&b, many, sizeof many), 0);
        CHECK(memcmp(b.data, &"012345"[gone], 6 - gone) == 0);
        CHECK_INT(b.len, 6 - gone + sizeof many);
        eddy_bytes_free(&b);
    }
}

/* Against a plain model, in all sizes. */
static void any_sequence_keeps_the_bytes(void)
{
    struct eddy_bytes b = {0};
    uint32_t random = 1;
    uint64_t in = 0, out = 0; /* byte i is (char)(i * 31) */

    for (int round = 0; round < 20000; round++) {
        random = random * 1664525 + 1013904223;
        size_t n = (random >> 8) % 300;
        char piece[300];

        if (random >> 31) {
            for (size_t i = 0; i < n; i++)
                piece[i] = (char)((in + i) * 31);
            CHECK_INT(eddy_bytes_append(&b, piece, n), 0);
            in += n;
        } else {
            out += n < b.len ? n : b.len;
            eddy_bytes_consume(&b, n);
        }
        if (b.len != in - out) {
            FAIL("%zu bytes instead of %zu in round %d", b.len, (size_t)(in - out), round);
            break;
        }
        if (b.len > 0)
            CHECK(b.data[0] == (char)(out * 31) && b.data[b.len - 1] == (char)((in - 1) * 31));
    }
    eddy_bytes_free(&b);
}

/* A queue of constant length through which much goes: the memory stays, and each byte is moved a
 * bounded number of times - counted by how often data goes back to an earlier place. */
static void consuming_from_the_front_is_not_quadratic(void)
{
    struct eddy_bytes b = {0};
    static char block[100000];
    uint64_t moved = 0, passed = 0;

    CHECK_INT(eddy_bytes_append(&b, block, sizeof block), 0);
    long allocations = test_allocations();
    for (int i = 0; i < 1000000; i++) {
        eddy_bytes_consume(&b, 1);
        const char *before = b.data;
        CHECK_INT(eddy_bytes_append(&b, "x", 1), 0);
        if (b.data != before)
            moved += b.len;
        passed++;
    }
    CHECK(moved <= 2 * passed + 2 * sizeof block);
    CHECK(test_allocations() - allocations <= 2);
    CHECK(b.len + b.room + b.gone_ <= 4 * sizeof block);
    eddy_bytes_free(&b);
}

static void appending_byte_by_byte_is_not_quadratic(void)
{
    struct eddy_bytes b = {0};
    long allocations = test_allocations();

    for (int i = 0; i < 1000000; i++)
        eddy_bytes_append(&b, "x", 1);
    CHECK_INT(b.len, 1000000);
    CHECK(test_allocations() - allocations <= 20);
    eddy_bytes_free(&b);
}

const struct test_case test_cases[] = {
    TEST(appended_consumed_and_freed),
    TEST(clear_keeps_the_memory),
    TEST(room_is_filled_in_place),
    TEST(take_leaves_nothing_behind),
    TEST(G5_no_memory_leaves_it_as_it_was),
    TEST(any_sequence_keeps_the_bytes),
    TEST(consuming_from_the_front_is_not_quadratic),
    TEST(appending_byte_by_byte_is_not_quadratic),
    TEST_END,
};
