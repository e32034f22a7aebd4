/* backends: select epoll io_uring sim sim-late */
/* roads: tcp unix */
/* timeout: 240 */
/*
 * Seeded: writes, files, cancels, pauses, switches of limits and ends in any order, against a
 * reader that takes some now and then, on a simulator over a network as rough as the seed makes it.
 * Every byte is accounted for. Contract L92, L95, L96, T5, T6, T18.
 *
 *     EDDY_SEED=42    this one only
 */
#include "tests/contract/sendfile.h"
#include <eddy/sim.h>
#include <string.h>

enum { SEEDS = 60, FILE_SIZE = 300000, PARTS = 64, ROOM = 24 << 20 };

/* What was asked to be sent, in the order of the calls: bytes of the one stream. */
struct part {
    size_t at, len;
    int file; /* an open file of its own, for its position; -1: written */
    struct eddy_future *f;
};

struct mix {
    struct scene c;
    uint64_t dice;
    struct part parts[PARTS];
    int count;
    uint8_t *got;
    size_t received;
    bool ended, aborted;
};

static size_t dice(struct mix *m, size_t below)
{
    m->dice ^= m->dice << 13;
    m->dice ^= m->dice >> 7;
    m->dice ^= m->dice << 17;
    return (size_t)(m->dice % below);
}

/* The late simulator looks at each byte that waits, each time. */
static size_t some(struct mix *m)
{
    static const size_t magnitudes[] = {10, 5000, 70000, FILE_SIZE};
    return 1 + dice(m, magnitudes[dice(m, 4)]) / (stage_is_late() ? 16 : 1);
}

static struct part *add(struct mix *m, size_t at, size_t len)
{
    struct part *p = &m->parts[m->count++];
    *p = (struct part){.at = at, .len = len, .file = -1};
    return p;
}

static void write_some(struct mix *m)
{
    size_t at = dice(m, FILE_SIZE), len = some(m);
    uint8_t *bytes = malloc(len);
    stream_bytes(bytes, len, at, 1);
    if (eddy_transport_write(m->c.s.client.t, bytes, len) == 0)
        add(m, at, len);
    free(bytes);
}

static void send_some(struct mix *m)
{
    size_t at = dice(m, FILE_SIZE + 1000), count = dice(m, stage_is_late() ? 40 : 4) ? some(m) : 0;
    char name[64];
    struct eddy_future *f = NULL;
    snprintf(name, sizeof name, "/proc/self/fd/%d", m->c.file);
    int file = open(name, O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    int rc = eddy_transport_sendfile(
        m->c.s.client.t, file, EDDY_SENDFILE(.offset = (int64_t)at, .count = (int64_t)count), &f);
    if (rc < 0) {
        close(file);
        return;
    }
    size_t rest = at < FILE_SIZE ? FILE_SIZE - at : 0;
    struct part *p = add(m, at, count && count < rest ? count : rest);
    p->file = file;
    p->f = f;
}

/* What was sent of it is told by the position. */
static void cancel_one(struct mix *m)
{
    struct part *p = &m->parts[dice(m, (size_t)m->count)];
    if (p->f && eddy_future_cancel(p->f, NULL))
        p->len = (size_t)position(p->file) - p->at;
}

static void read_some(struct mix *m, size_t most)
{
    struct scene *c = &m->c;
    if (most > ROOM - m->received)
        most = ROOM - m->received;
    ssize_t n = c->s.sys->cls->recv(c->s.sys, c->fd, m->got + m->received, most);
    if (n > 0)
        m->received += (size_t)n;
    else if (n != -EAGAIN)
        m->ended = true;
}

static void act(struct mix *m)
{
    struct actor *a = &m->c.s.client;
    switch (a->t ? dice(m, 14) : 13) {
    case 0:
    case 1:
    case 2:
        write_some(m);
        break;
    case 3:
    case 4:
    case 5:
        send_some(m);
        break;
    case 6:
        if (m->count > 0)
            cancel_one(m);
        break;
    case 7:
        eddy_transport_pause_reading(a->t);
        break;
    case 8:
        eddy_transport_resume_reading(a->t);
        break;
    case 9:
        CHECK_INT(eddy_transport_set_write_buffer_limits(a->t, EDDY_DEFAULT, some(m)), 0);
        break;
    case 10:
        m->c.s.sys->cls->send(m->c.s.sys, m->c.fd, "bytes", 5);
        break;
    case 11:
        eddy_transport_flush(a->t);
        break;
    default:
        read_some(m, some(m));
        break;
    }
}

static void act_inside(struct stage *s)
{
    struct mix *m = EDDY_CONTAINER_OF(s, struct mix, c.s);
    for (size_t n = dice(m, 4); n > 0 && m->count < PARTS - 4; n--)
        act(m);
}

/* The bytes that came are those of the parts, but for the end after an abort. */
static void check_bytes(struct mix *m)
{
    size_t at = 0;
    for (int i = 0; i < m->count; i++) {
        struct part *p = &m->parts[i];
        size_t here = m->received - at < p->len ? m->received - at : p->len;
        CHECK(stream_matches(m->got + at, here, p->at, 1));
        if (!m->aborted)
            CHECK_INT(here, p->len);
        at += here;
    }
    CHECK_INT(at, m->received);
}

static void check_futures(struct mix *m)
{
    for (int i = 0; i < m->count; i++) {
        struct part *p = &m->parts[i];
        if (!p->f)
            continue;
        CHECK(eddy_future_is_done(p->f));
        bool cancelled = eddy_future_is_cancelled(p->f);
        long long n = outcome(&p->f);
        if (n >= 0)
            CHECK_INT(n, p->len);
        else if (!cancelled)
            CHECK(m->aborted && n == EDDY_ECLOSED);
        CHECK(position(p->file) <= (long long)(p->at + p->len));
        if (n >= 0)
            CHECK_INT(position(p->file), p->at + p->len);
        close(p->file);
    }
}

static void end_it(struct mix *m)
{
    struct actor *a = &m->c.s.client;
    size_t way = dice(m, 8);
    m->aborted = way == 0;
    if (way == 0)
        eddy_transport_abort(a->t, NULL);
    else if (way < 3)
        eddy_transport_write_eof(a->t);
    else
        eddy_transport_close(a->t);
    for (eddy_nsec patience = stage_patience(&m->c.s); !m->ended;) {
        size_t before = m->received;
        if (m->count > 0 && way != 0 && dice(m, 40) == 0)
            cancel_one(m);
        read_some(m, ROOM);
        if (m->received > before)
            patience = stage_patience(&m->c.s);
        else if (!m->ended && !stage_step(&m->c.s, patience))
            break;
    }
    CHECK(m->ended);
    raw_close(&m->c.s, m->c.fd); /* what it has sent and we have paused for: it is over */
    m->c.fd = -1;
    if (a->t)
        eddy_transport_abort(a->t, NULL);
    UNTIL(&m->c.s, a->count[ON_LOST] == 1);
}

/* Without a wait where time is real. */
static void go_on(struct mix *m)
{
    if (test_is_sim())
        stage_step(&m->c.s, stage_patience(&m->c.s));
    else
        CHECK_INT(eddy_loop_run_once(m->c.s.loop, 0), 0);
}

static void run_seed(uint64_t seed)
{
    static struct mix mix;
    struct mix *m = &mix;
    struct eddy_sim_opts rough;
    memset(m, 0, sizeof *m);
    m->dice = seed * 0x9e3779b97f4a7c15u + 1;
    m->got = malloc(ROOM);
    stage_init(&m->c.s);
    m->c.s.client.keep_open = true;
    if (test_is_sim()) {
        eddy_sim_wild(&rough, seed);
        rough.send_room += 5000; /* smaller ones only take longer */
        rough.recv_room += 5000;
        rough.max_fds = 0;
        test_next_sim(&rough);
    }
    scene_open(&m->c, FILE_SIZE);
    while (m->count < PARTS - 4 && m->c.s.client.t) {
        if (dice(m, 2))
            act(m);
        else
            stage_inside(&m->c.s, act_inside);
        for (size_t n = dice(m, 3); n > 0; n--)
            go_on(m);
    }
    end_it(m);
    check_futures(m);
    check_bytes(m);
    scene_close(&m->c);
    free(m->got);
}

static void L96_L92_L95_everything_in_any_order(void)
{
    const char *only = getenv("EDDY_SEED");
    unsigned failures = CU_get_number_of_failures();
    if (only) {
        run_seed(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_seed(seed);
        if (CU_get_number_of_failures() != failures) {
            FAIL("EDDY_SEED=%llu", (unsigned long long)seed);
            return;
        }
    }
}

const struct test_case test_cases[] = {
    TEST(L96_L92_L95_everything_in_any_order),
    TEST_END,
};
