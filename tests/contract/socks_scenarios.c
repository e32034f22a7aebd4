/* backends: sim sim-late */
/* labels: scenarios */
/*
 * Bytes both ways between two sockets on networks as rough as the seed makes them, by operations
 * that are cancelled at any time and begun again at once: contract L85-L87, L90. Whatever a future
 * has told counts, whatever was cancelled has taken nothing: the streams come out whole.
 */
#include "tests/contract/socks.h"

enum { SEEDS = 60, LENGTH = 4000 };

struct side {
    int fd;
    uint64_t key;
    size_t received, sent, count; /* of the operation */
    unsigned char buf[1000];
    unsigned char out[1500];
    struct eddy_future *receiving, *sending;
    struct eddy_timer timer;
    struct side *peer;
};

static struct side sides[2];
static int cancelled;

static uint64_t dice(uint64_t limit)
{
    return eddy_sim_random(test_sim(loop), limit);
}

static unsigned char byte_at(const struct side *s, size_t i)
{
    return (unsigned char)((i * 31 + (i >> 8)) ^ s->key);
}

static void receive(struct side *s)
{
    s->receiving = start_recv(s->fd, s->buf, 1 + dice(sizeof s->buf));
}

static void send_some(struct side *s)
{
    size_t left = LENGTH - s->sent;

    s->count = 1 + dice(sizeof s->out);
    if (s->count > left)
        s->count = left;
    for (size_t i = 0; i < s->count; i++)
        s->out[i] = byte_at(s, s->sent + i);
    s->sending = start_sendall(s->fd, s->out, s->count);
}

/* Takes what has come of a receive, which is done or gone afterwards. */
static void take_received(struct side *s)
{
    void *value;

    if (eddy_future_result(s->receiving, &value) == 0) {
        const struct eddy_sock_result *r = value;
        for (size_t i = 0; i < r->count; i++)
            if (s->buf[i] != byte_at(s->peer, s->received + i)) {
                FAIL("byte %zu is wrong", s->received + i);
                break;
            }
        s->received += r->count;
    } else {
        cancelled += eddy_future_is_cancelled(s->receiving);
        CHECK(eddy_future_is_cancelled(s->receiving));
    }
    eddy_future_unref(s->receiving);
    s->receiving = NULL;
}

static void go_on(struct side *s)
{
    if (!s->receiving && s->received < LENGTH)
        receive(s);
    if (!s->sending && s->sent < LENGTH)
        send_some(s);
}

static void look(struct side *s)
{
    if (s->receiving && eddy_future_is_done(s->receiving))
        take_received(s);
    if (s->sending && eddy_future_is_done(s->sending)) {
        CHECK_INT(eddy_future_result(s->sending, NULL), 0);
        s->sent += s->count;
        eddy_future_unref(s->sending);
        s->sending = NULL;
    }
}

/* At any time: a receive is cancelled, and another begins in the same callback. */
static void disturb(struct eddy_timer *t)
{
    struct side *s = EDDY_CONTAINER_OF(t, struct side, timer);

    for (uint64_t n = dice(3); n > 0 && s->receiving; n--) {
        eddy_future_cancel(s->receiving, NULL);
        take_received(s);
        go_on(s);
    }
    if (s->received < LENGTH)
        eddy_loop_call_later(loop, t, (eddy_nsec)dice((uint64_t)EDDY_MSEC(5)));
}

static bool finished(void)
{
    return sides[0].received == LENGTH && sides[1].received == LENGTH && sides[0].sent == LENGTH &&
           sides[1].sent == LENGTH;
}

static void play(uint64_t seed)
{
    struct eddy_sim_opts wild;

    eddy_sim_wild(&wild, seed);
    test_next_sim(&wild);
    begin();
    for (int i = 0; i < 2; i++) {
        sides[i] = (struct side){.fd = fds[i], .key = seed + (uint64_t)i, .peer = &sides[1 - i]};
        sides[i].timer.fn = disturb;
        go_on(&sides[i]);
        eddy_loop_call_later(loop, &sides[i].timer, (eddy_nsec)dice((uint64_t)EDDY_MSEC(5)));
    }
    for (long turns = 0; !finished() && turns < 2000000; turns++) {
        if (!CHECK_INT(eddy_loop_run_once(loop, EDDY_SEC(1)), 0))
            break;
        for (int i = 0; i < 2; i++) {
            look(&sides[i]);
            go_on(&sides[i]);
        }
    }
    if (!finished())
        FAIL("seed %llu: %zu and %zu bytes have come", (unsigned long long)seed, sides[0].received,
             sides[1].received);
    for (int i = 0; i < 2; i++) {
        eddy_timer_cancel(&sides[i].timer);
        eddy_future_unref(sides[i].receiving);
        eddy_future_unref(sides[i].sending);
    }
    end();
}

static void L87_L90_nothing_is_lost_by_cancelling(void)
{
    cancelled = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        play(seed);
    CHECK(cancelled > SEEDS);
}

const struct test_case test_cases[] = {
    TEST(L87_L90_nothing_is_lost_by_cancelling),
    TEST_END,
};
