/* The cache of addresses alone: contract L78. */
#include "framework/resolver/resolver.h"
#include "tests/support/test.h"
#include <netdb.h>
#include <stdio.h>
#include <string.h>

static struct eddy_cache *cache;

static struct eddy_addr address(const char *text)
{
    struct eddy_addr a;

    REQUIRE(eddy_addr_parse(text, 80, &a) == 0);
    return a;
}

static struct eddy_query query(const char *host)
{
    return (struct eddy_query){.host = host};
}

static void put(struct eddy_query q, const char *text, eddy_nsec until)
{
    struct eddy_addr a = address(text);

    eddy_cache_put(cache, &q, &a, 1, NULL, until);
}

/* The only address kept for q, as text; "none" if there is none. */
static const char *get(struct eddy_query q, eddy_nsec now)
{
    static char text[EDDY_ADDR_TEXT];
    const struct eddy_addr *list;
    const char *canonical;
    size_t n;

    if (!eddy_cache_get(cache, &q, now, &list, &n, &canonical))
        return "none";
    CHECK_INT(n, 1);
    return eddy_addr_format(&list[0], text, sizeof text);
}

static void begin(unsigned most)
{
    cache = eddy_cache_new(most);
    REQUIRE(cache != NULL);
}

static void end(void)
{
    eddy_cache_free(cache);
    cache = NULL;
}

static void an_answer_is_kept_until_its_time(void)
{
    begin(10);
    CHECK_STR(get(query("a.test"), 0), "none");
    put(query("a.test"), "192.0.2.1", 100);
    CHECK_STR(get(query("a.test"), 0), "192.0.2.1:80");
    CHECK_STR(get(query("a.test"), 99), "192.0.2.1:80");
    CHECK_STR(get(query("a.test"), 100), "none");
    CHECK_STR(get(query("a.test"), 0), "none"); /* it was dropped */
    end();
}

static void the_whole_answer_is_copied(void)
{
    struct eddy_query q = query("a.test");
    struct eddy_addr in[200];
    const struct eddy_addr *out;
    char name[] = "canonical.test";
    const char *canonical;
    size_t n;

    begin(10);
    for (int i = 0; i < 200; i++) {
        char text[32];

        snprintf(text, sizeof text, i % 2 ? "192.0.2.%d" : "2001:db8::%d", i);
        in[i] = address(text);
    }
    eddy_cache_put(cache, &q, in, 200, name, 100);
    memset(name, 'x', strlen(name));
    REQUIRE(eddy_cache_get(cache, &q, 0, &out, &n, &canonical));
    CHECK_INT(n, 200);
    for (int i = 0; i < 200; i++)
        CHECK(eddy_addr_equal(&in[i], &out[i]));
    CHECK_STR(canonical, "canonical.test");
    end();
}

static void names_are_the_same_in_any_case(void)
{
    begin(10);
    put(query("Example.TEST"), "192.0.2.1", 100);
    CHECK_STR(get(query("example.test"), 0), "192.0.2.1:80");
    CHECK_STR(get(query("EXAMPLE.test"), 0), "192.0.2.1:80");
    CHECK_STR(get(query("example.tes"), 0), "none");
    CHECK_STR(get(query("example.testx"), 0), "none");
    put(query("a[b.test"), "192.0.2.2", 100);
    CHECK_STR(get(query("a{b.test"), 0), "none"); /* these differ as letters of two cases do */
    end();
}

static void an_answer_is_to_its_question_only(void)
{
    struct eddy_query asked = {.host = "a.test", .service = "http", .family = AF_INET};
    struct eddy_query others[] = {asked, asked, asked, asked, asked, asked, asked};

    others[0].service = "https";
    others[1].service = NULL;
    others[2].family = AF_INET6;
    others[3].type = SOCK_DGRAM;
    others[4].protocol = IPPROTO_TCP;
    others[5].flags = AI_CANONNAME;
    others[6].flags = AI_ADDRCONFIG;
    begin(10);
    put(asked, "192.0.2.1", 100);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CHECK_STR(get(others[i], 0), "none");
    asked.flags = AI_PASSIVE; /* means nothing for names */
    CHECK_STR(get(asked, 0), "192.0.2.1:80");
    end();
}

static void a_later_answer_takes_the_place_of_the_former(void)
{
    begin(10);
    put(query("a.test"), "192.0.2.1", 100);
    long live = test_live_allocations();
    put(query("A.test"), "192.0.2.2", 200);
    CHECK_INT(test_live_allocations(), live);
    CHECK_STR(get(query("a.test"), 150), "192.0.2.2:80");
    end();
}

static void of_too_many_the_least_recently_used_one_goes(void)
{
    begin(3);
    put(query("a.test"), "192.0.2.1", 100);
    put(query("b.test"), "192.0.2.2", 100);
    put(query("c.test"), "192.0.2.3", 100);
    CHECK_STR(get(query("a.test"), 0), "192.0.2.1:80");
    put(query("d.test"), "192.0.2.4", 100);
    CHECK_STR(get(query("b.test"), 0), "none");
    CHECK_STR(get(query("a.test"), 0), "192.0.2.1:80");
    CHECK_STR(get(query("c.test"), 0), "192.0.2.3:80");
    CHECK_STR(get(query("d.test"), 0), "192.0.2.4:80");
    end();
}

/* Many more than there are buckets: whatever is found is right, and memory is bounded. */
static void many_names_come_and_go(void)
{
    enum { NAMES = 5000, MOST = 100 };
    char name[32], text[32], expected[40];
    int found = 0;

    begin(MOST);
    long live = test_live_allocations();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < NAMES; i++) {
            snprintf(name, sizeof name, "host-%d.test", i);
            snprintf(text, sizeof text, "10.%d.%d.%d", round, i / 256, i % 256);
            put(query(name), text, 100);
            CHECK(test_live_allocations() <= live + MOST);
        }
        for (int i = 0; i < NAMES; i++) {
            snprintf(name, sizeof name, "host-%d.test", i);
            snprintf(expected, sizeof expected, "10.%d.%d.%d:80", round, i / 256, i % 256);
            const char *got = get(query(name), 0);
            if (strcmp(got, "none") == 0)
                continue;
            found++;
            CHECK_STR(got, expected);
            CHECK(i >= NAMES - MOST);
        }
    }
    CHECK_INT(found, 3 * MOST);
    end();
}

static void cleared_it_is_empty_and_can_be_used_again(void)
{
    begin(10);
    eddy_cache_clear(cache);
    long live = test_live_allocations();
    put(query("a.test"), "192.0.2.1", 100);
    put(query("b.test"), "192.0.2.2", 100);
    eddy_cache_clear(cache);
    CHECK_INT(test_live_allocations(), live);
    CHECK_STR(get(query("a.test"), 0), "none");
    put(query("a.test"), "192.0.2.3", 100);
    CHECK_STR(get(query("a.test"), 0), "192.0.2.3:80");
    end();
    eddy_cache_free(NULL);
}

static void G5_what_there_is_no_memory_for_is_not_kept(void)
{
    test_fail_allocation(1);
    CHECK(eddy_cache_new(10) == NULL);
    begin(2);
    put(query("a.test"), "192.0.2.1", 100);
    test_fail_allocation(1);
    put(query("b.test"), "192.0.2.2", 100);
    CHECK(test_allocation_failed());
    CHECK_STR(get(query("b.test"), 0), "none");
    CHECK_STR(get(query("a.test"), 0), "192.0.2.1:80");
    put(query("b.test"), "192.0.2.2", 100);
    CHECK_STR(get(query("a.test"), 0), "192.0.2.1:80");
    CHECK_STR(get(query("b.test"), 0), "192.0.2.2:80");
    end();
}

const struct test_case test_cases[] = {
    TEST(an_answer_is_kept_until_its_time),
    TEST(the_whole_answer_is_copied),
    TEST(names_are_the_same_in_any_case),
    TEST(an_answer_is_to_its_question_only),
    TEST(a_later_answer_takes_the_place_of_the_former),
    TEST(of_too_many_the_least_recently_used_one_goes),
    TEST(many_names_come_and_go),
    TEST(cleared_it_is_empty_and_can_be_used_again),
    TEST(G5_what_there_is_no_memory_for_is_not_kept),
    TEST_END,
};
