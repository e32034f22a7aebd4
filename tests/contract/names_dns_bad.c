/* Name servers that are dead, refuse, lie or stutter: every look-up ends, with the right code. */
/* backends: select poll epoll io_uring */
#include "tests/contract/names_dns.h"
#include <time.h>
#include <unistd.h>

/* Tries that are soon over. */
static void begin_impatient(void)
{
    begin_with(EDDY_RESOLVER(.tries = 2, .try_timeout = EDDY_MSEC(20)));
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
}

/* It is not held against the server. Only on a busy machine is this not the first answer. */
static bool is_forgiven(void)
{
    for (int i = 0; i < 50; i++) {
        struct asker a;
        wait_for(ask(&a, "www.test", AF_INET));
        bool answered = strcmp(addresses_of(&a), "192.0.2.1") == 0;
        forget(&a);
        if (answered)
            return true;
    }
    return false;
}

static void check_bad(const struct dns_manner *m, int detail)
{
    begin_impatient();
    dns_behave(&dns, m);
    CHECK_NO_LOOKUP("www.test", AF_UNSPEC, EDDY_EDNS, detail);
    CHECK(dns.asked > 0);
    dns_behave_well(&dns);
    CHECK(is_forgiven());
    end();
}

/* ---- answers that say no ---- */

static void L78_a_server_that_knows_no_such_name(void)
{
    check_bad(DNS_MANNER("www.test", .rcode = DNS_NXDOMAIN), EAI_NONAME);
}

static void L78_a_server_that_failed(void)
{
    check_bad(DNS_MANNER("www.test", .rcode = DNS_SERVFAIL), EAI_AGAIN);
}

static void L78_a_server_that_refuses(void)
{
    check_bad(DNS_MANNER("www.test", .rcode = DNS_REFUSED), EAI_AGAIN);
}

static void L78_a_server_that_cannot(void)
{
    check_bad(DNS_MANNER("www.test", .rcode = DNS_NOTIMP), EAI_AGAIN);
}

static void L78_a_server_that_does_not_understand(void)
{
    begin_impatient();
    dns_behave(&dns, DNS_MANNER("www.test", .rcode = DNS_FORMERR));
    struct asker a;
    wait_for(ask(&a, "www.test", AF_UNSPEC));
    CHECK_INT(a.code, EDDY_EDNS);
    CHECK(a.detail == EAI_AGAIN || a.detail == EAI_FAIL);
    forget(&a);
    end();
}

/* ---- answers that are none ---- */

static void L78_a_server_that_is_silent(void)
{
    check_bad(DNS_MANNER("www.test", .how = DNS_SILENCE), EAI_AGAIN);
}

static void L78_a_server_that_sends_garbage(void)
{
    check_bad(DNS_MANNER("www.test", .how = DNS_GARBAGE), EAI_AGAIN);
}

static void L78_a_server_that_sends_nothing_at_all(void)
{
    check_bad(DNS_MANNER("www.test", .how = DNS_EMPTY), EAI_AGAIN);
}

static void L78_a_server_that_answers_other_questions(void)
{
    check_bad(DNS_MANNER("www.test", .how = DNS_WRONG_ID), EAI_AGAIN);
    check_bad(DNS_MANNER("www.test", .how = DNS_WRONG_QUESTION), EAI_AGAIN);
}

static void L78_a_server_that_echoes(void)
{
    begin_impatient();
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_ECHO));
    struct asker a;
    wait_for(ask(&a, "www.test", AF_UNSPEC));
    CHECK_INT(a.code, EDDY_EDNS);
    forget(&a);
    end();
}

static void L78_a_server_that_does_not_repeat_the_question(void)
{
    check_bad(DNS_MANNER("www.test", .how = DNS_NO_QUESTION), EAI_AGAIN);
}

#define WHOLE 56 /* the answer to the shortest question */

/* Every length at once, each for a name of its own. */
static void L78_answers_that_were_cut_short(void)
{
    static struct asker askers[WHOLE];
    static char names[WHOLE][32];
    begin_with(EDDY_RESOLVER(.tries = 1, .try_timeout = EDDY_MSEC(50)));
    dns_add(&dns, "*.cut.test", DNS_A, 60, "192.0.2.0");
    for (int i = 0; i < WHOLE; i++) {
        snprintf(names[i], sizeof names[i], "n%d.cut.test", i);
        dns_behave(&dns, DNS_MANNER(names[i], .how = DNS_CUT, .bytes = (size_t)i));
        ask(&askers[i], names[i], AF_INET);
    }
    for (int i = 0; i < WHOLE; i++) {
        wait_for(&askers[i]);
        CHECK_INT(askers[i].code, EDDY_EDNS);
        CHECK(askers[i].detail == EAI_AGAIN || askers[i].detail == EAI_FAIL);
        forget(&askers[i]);
    }
    end();
}

/* The first counts, and the rest is nobody's. */
static void L78_a_server_that_repeats_itself(void)
{
    begin();
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    dns_add(&dns, "other.test", DNS_A, 0, "192.0.2.2");
    dns_behave(&dns, DNS_MANNER(NULL, .copies = 100));
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    for (int i = 0; i < 10; i++)
        CHECK_LOOKUP("other.test", AF_INET, "192.0.2.2");
    end();
}

static void L78_a_server_that_floods(void)
{
    begin_impatient();
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_GARBAGE, .copies = 1000));
    CHECK_NO_LOOKUP("www.test", AF_INET, EDDY_EDNS, EAI_AGAIN);
    end();
}

/* ---- names that lead astray ---- */

static uint8_t *put_16(uint8_t *to, size_t n)
{
    to[0] = (uint8_t)(n >> 8);
    to[1] = (uint8_t)n;
    return to + 2;
}

/* A record of a name that stands elsewhere in the answer. */
static uint8_t *put_record(uint8_t *to, size_t name, enum dns_type type, size_t len)
{
    to = put_16(to, 0xc000 | name);
    to = put_16(to, type);
    to = put_16(to, 1);
    to = put_16(put_16(to, 0), 600);
    return put_16(to, len);
}

#define RECORD 12   /* bytes, before what it says */
#define QUESTION 12 /* where the name that was asked for stands */

/* Up to the records; by UDP nothing but "ask by TCP". */
static uint8_t *put_head(uint8_t *reply, const struct dns_question *q, size_t records)
{
    memset(reply, 0, QUESTION);
    put_16(reply, q->id);
    put_16(reply + 2, q->tcp ? 0x8180 : 0x8380);
    put_16(reply + 4, 1);
    put_16(reply + 6, records);
    memcpy(reply + QUESTION, q->wire, q->wire_len);
    return reply + QUESTION + q->wire_len;
}

#define LABELS 4
#define LABEL 61
#define LONG_NAME (LABELS * (1 + LABEL) + 1)

/* As long as names may be, or nearly so, and they differ at the end only. */
static uint8_t *put_long_name(uint8_t *to, char last)
{
    for (int i = 0; i < LABELS; i++) {
        *to++ = LABEL;
        memset(to, 'x', LABEL);
        to += LABEL;
    }
    to[-1] = (uint8_t)last;
    *to++ = 0;
    return to;
}

#define ALIASES 4500

/* www.test is x, x is y, x is y ..., y is x; and x has an address. */
static size_t lie_in_thousands(struct dns *d, const struct dns_question *q, uint8_t *reply)
{
    uint8_t *at = put_head(reply, q, q->tcp ? ALIASES + 1 : 0);
    size_t x = (size_t)(at - reply) + RECORD, y = x + LONG_NAME + RECORD, len;

    (void)d;
    if (!q->tcp)
        return (size_t)(at - reply);
    at = put_long_name(put_record(at, QUESTION, DNS_CNAME, LONG_NAME), 'x');
    at = put_long_name(put_record(at, x, DNS_CNAME, LONG_NAME), 'y');
    for (int i = 2; i < ALIASES - 1; i++)
        at = put_16(put_record(at, x, DNS_CNAME, 2), 0xc000 | y);
    at = put_16(put_record(at, y, DNS_CNAME, 2), 0xc000 | x);
    len = q->type == DNS_A ? 4 : 16;
    at = put_record(at, x, q->type, len);
    memset(at, 0x20, len);
    return (size_t)(at - reply) + len;
}

/* The loop must not stand still over it. Not by the clock: the machine may be busy. */
static void check_lie(int flags)
{
    struct asker a = {.query = {.host = "www.test", .type = SOCK_STREAM, .flags = flags}};
    begin();
    dns.craft = lie_in_thousands;
    clock_t begun = clock();
    start(&a);
    wait_for(&a);
    CHECK_STR(a.why, "");
    CHECK_INT(count_of(&a), 2);
    CHECK(clock() - begun < CLOCKS_PER_SEC / 2);
    forget(&a);
    end();
}

static void L82_thousands_of_other_names_in_an_answer(void)
{
    check_lie(0);
}

static void L82_thousands_of_other_names_when_the_canonical_one_is_wanted(void)
{
    check_lie(AI_CANONNAME);
}

/* ---- nobody there ---- */

static void L78_nobody_at_that_port(void)
{
    begin_impatient();
    dns_close_udp(&dns);
    CHECK_NO_LOOKUP("www.test", AF_UNSPEC, EDDY_EDNS, EAI_AGAIN);
    end();
}

static void L78_nobody_answers_by_TCP(void)
{
    begin_impatient();
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_TRUNCATE));
    dns_close_tcp(&dns);
    CHECK_NO_LOOKUP("www.test", AF_INET, EDDY_EDNS, EAI_AGAIN);
    end();
}

static void L78_a_TCP_server_that_hangs_up(void)
{
    begin_impatient();
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_TRUNCATE));
    dns_behave(&dns, DNS_MANNER("www.test", .road = DNS_TCP, .how = DNS_HANG_UP));
    CHECK_NO_LOOKUP("www.test", AF_INET, EDDY_EDNS, EAI_AGAIN);
    CHECK(dns.accepted > 0);
    end();
}

static void L78_a_TCP_server_that_is_silent(void)
{
    begin_impatient();
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_TRUNCATE));
    dns_behave(&dns, DNS_MANNER("www.test", .road = DNS_TCP, .how = DNS_SILENCE));
    CHECK_NO_LOOKUP("www.test", AF_INET, EDDY_EDNS, EAI_AGAIN);
    CHECK(dns.accepted > 0);
    end();
}

static void L78_a_TCP_server_that_sends_garbage(void)
{
    begin_impatient();
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_TRUNCATE));
    dns_behave(&dns, DNS_MANNER("www.test", .road = DNS_TCP, .how = DNS_GARBAGE));
    CHECK_NO_LOOKUP("www.test", AF_INET, EDDY_EDNS, EAI_AGAIN);
    end();
}

/* ---- the deadline ---- */

static void check_deadline(const struct dns_manner *m)
{
    begin_with(EDDY_RESOLVER(.tries = 100, .try_timeout = EDDY_SEC(30)));
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_TRUNCATE));
    dns_behave(&dns, m);
    struct asker a = {.query = {.host = "www.test", .timeout = EDDY_MSEC(40)}};
    start(&a);
    wait_for(&a);
    CHECK_INT(a.code, -ETIMEDOUT);
    CHECK(a.took >= EDDY_MSEC(40));
    CHECK(dns.asked > 0);
    forget(&a);
    end();
}

static void L78_the_deadline_comes_in_silence(void)
{
    check_deadline(DNS_MANNER("www.test", .how = DNS_SILENCE));
}

static void L78_the_deadline_comes_among_lies(void)
{
    check_deadline(DNS_MANNER("www.test", .how = DNS_WRONG_ID));
    check_deadline(DNS_MANNER("www.test", .how = DNS_EMPTY));
}

static void L78_the_deadline_comes_when_one_family_is_still_missing(void)
{
    check_deadline(DNS_MANNER("www.test", DNS_AAAA, .how = DNS_SILENCE));
}

static void L78_the_deadline_comes_while_TCP_is_silent(void)
{
    check_deadline(DNS_MANNER("www.test", .road = DNS_TCP, .how = DNS_SILENCE));
}

static void L78_the_deadline_comes_while_the_answer_is_on_its_way(void)
{
    check_deadline(DNS_MANNER("www.test", .delay = EDDY_SEC(20)));
}

static void L78_without_a_deadline_the_resolver_gives_up(void)
{
    begin_impatient();
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_SILENCE));
    struct asker a = {.query = {.host = "www.test", .timeout = EDDY_OFF}};
    start(&a);
    wait_for(&a);
    CHECK_INT(a.code, EDDY_EDNS);
    CHECK_INT(a.detail, EAI_AGAIN);
    CHECK_INT(dns_count(&dns, "www.test", DNS_A), 2);
    forget(&a);
    end();
}

/* Garbage whenever there is a question, and there always is one. */
static void L78_the_deadline_comes_among_tries(void)
{
    begin_with(EDDY_RESOLVER(.tries = 10000, .try_timeout = EDDY_MSEC(1)));
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_GARBAGE));
    struct asker a = {.query = {.host = "www.test", .timeout = EDDY_MSEC(40)}};
    start(&a);
    wait_for(&a);
    CHECK_INT(a.code, -ETIMEDOUT);
    CHECK(a.took >= EDDY_MSEC(40));
    forget(&a);
    end();
}

static void L81_the_deadline_is_for_names_of_addresses_too(void)
{
    begin_with(EDDY_RESOLVER(.try_timeout = EDDY_SEC(30)));
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_SILENCE));
    struct asker a = {.query = {.kind = EDDY_QUERY_NAMES, .timeout = EDDY_MSEC(20)}};
    REQUIRE(eddy_addr_parse("192.0.2.1", 80, &a.query.addr) == 0);
    start(&a);
    wait_for(&a);
    CHECK_INT(a.code, -ETIMEDOUT);
    CHECK(a.took >= EDDY_MSEC(20));
    forget(&a);
    end();
}

/* ---- the loop meanwhile ---- */

struct ticker {
    struct eddy_timer timer;
    int ticks;
};

static void tick(struct eddy_timer *t)
{
    struct ticker *k = EDDY_CONTAINER_OF(t, struct ticker, timer);
    k->ticks++;
    eddy_loop_call_later(loop, t, EDDY_MSEC(1));
}

static bool has_ticked(void *ticker)
{
    return ((struct ticker *)ticker)->ticks >= 50;
}

static void L82_a_dead_server_does_not_hold_up_the_loop(void)
{
    begin_with(EDDY_RESOLVER(.tries = 100, .try_timeout = EDDY_SEC(30)));
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_SILENCE));
    struct ticker k = {.timer = {.fn = tick}};
    eddy_loop_call_later(loop, &k.timer, 0);
    struct asker a;
    ask(&a, "www.test", AF_UNSPEC);
    CHECK(test_run_until(loop, has_ticked, &k));
    CHECK(eddy_loop_time(loop) - a.begun < EDDY_SEC(20)); /* no try was waited for */
    CHECK_INT(a.calls, 0);
    CHECK_INT(dns.asked, 2);
    forget(&a);
    eddy_timer_cancel(&k.timer);
    end();
}

/* Nothing of it may be polled for all the time: the loop sleeps until it is time to try again. */
static void L82_the_loop_sleeps_while_nobody_answers(void)
{
    begin_with(EDDY_RESOLVER(.tries = 100, .try_timeout = EDDY_SEC(30)));
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_SILENCE));
    struct asker a;
    ask(&a, "www.test", AF_UNSPEC);
    wait_until_asked(2);
    test_run_steps(loop, 5);
    eddy_nsec before = eddy_loop_time(loop);
    CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(20)), 0);
    CHECK(eddy_loop_time(loop) - before >= EDDY_MSEC(20));
    forget(&a);
    end();
}

/* ---- trying again ---- */

static void L78_a_lost_question_is_asked_again(void)
{
    begin_with(EDDY_RESOLVER(.tries = 5, .try_timeout = EDDY_MSEC(20)));
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_SILENCE, .times = 2));
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    CHECK(dns.asked >= 3);
    end();
}

static void L78_a_lie_is_followed_by_the_truth(void)
{
    begin_with(EDDY_RESOLVER(.tries = 5, .try_timeout = EDDY_MSEC(20)));
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    dns_behave(&dns, DNS_MANNER("www.test", .how = DNS_WRONG_ID, .times = 1));
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    end();
}

const struct test_case test_cases[] = {
    TEST(L78_a_server_that_knows_no_such_name),
    TEST(L78_a_server_that_failed),
    TEST(L78_a_server_that_refuses),
    TEST(L78_a_server_that_cannot),
    TEST(L78_a_server_that_does_not_understand),
    TEST(L78_a_server_that_is_silent),
    TEST(L78_a_server_that_sends_garbage),
    TEST(L78_a_server_that_sends_nothing_at_all),
    TEST(L78_a_server_that_answers_other_questions),
    TEST(L78_a_server_that_echoes),
    TEST(L78_a_server_that_does_not_repeat_the_question),
    TEST(L78_answers_that_were_cut_short),
    TEST(L78_a_server_that_repeats_itself),
    TEST(L78_a_server_that_floods),
    TEST(L82_thousands_of_other_names_in_an_answer),
    TEST(L82_thousands_of_other_names_when_the_canonical_one_is_wanted),
    TEST(L78_nobody_at_that_port),
    TEST(L78_nobody_answers_by_TCP),
    TEST(L78_a_TCP_server_that_hangs_up),
    TEST(L78_a_TCP_server_that_is_silent),
    TEST(L78_a_TCP_server_that_sends_garbage),
    TEST(L78_the_deadline_comes_in_silence),
    TEST(L78_the_deadline_comes_among_lies),
    TEST(L78_the_deadline_comes_when_one_family_is_still_missing),
    TEST(L78_the_deadline_comes_while_TCP_is_silent),
    TEST(L78_the_deadline_comes_while_the_answer_is_on_its_way),
    TEST(L78_without_a_deadline_the_resolver_gives_up),
    TEST(L78_the_deadline_comes_among_tries),
    TEST(L81_the_deadline_is_for_names_of_addresses_too),
    TEST(L82_a_dead_server_does_not_hold_up_the_loop),
    TEST(L82_the_loop_sleeps_while_nobody_answers),
    TEST(L78_a_lost_question_is_asked_again),
    TEST(L78_a_lie_is_followed_by_the_truth),
    TEST_END,
};
