/* backends: select poll epoll io_uring sim sim-late */
/* timeout: 120 */
/*
 * Operations on sockets when things fail: no memory at the nth allocation for every n of a whole
 * life, and each system call once at each of its calls: contract G3, G5, L85-L90. An operation
 * fails by its call or by its future, never by both; nothing is lost of what succeeded, nothing
 * leaks.
 */
#include "tests/contract/socks.h"

enum { MOST_CALLS = 60, BYTES = 100000 };

static unsigned char out[BYTES], in[BYTES];

struct life {
    int failures, expected; /* the code that they must have */
    bool complete;          /* all of it was done */
};

/* The code of an operation that has begun, or not; its value's copy. */
static int ended(struct life *l, int begun, struct eddy_future *f, struct eddy_sock_result *r)
{
    memset(r, 0, sizeof *r);
    r->fd = -1;
    if (begun == 0) {
        void *value = NULL;
        for (int i = 0; i < 200 && !eddy_future_is_done(f); i++)
            eddy_loop_run_once(loop, EDDY_MSEC(10));
        begun = CHECK(eddy_future_is_done(f)) ? eddy_future_result(f, &value) : -ETIMEDOUT;
        if (begun == 0) {
            *r = *(struct eddy_sock_result *)value;
            eddy_sock_take(value);
        }
    }
    eddy_future_unref(f);
    if (begun < 0) {
        l->failures++;
        if (begun != -ENOBUFS || l->expected != -ENOMEM) /* the simulator's want of memory */
            CHECK_INT(begun, l->expected);
    }
    return begun;
}

static bool transfer(struct life *l, int from, int to)
{
    struct eddy_future *sending = NULL;
    struct eddy_sock_result r;
    size_t got = 0;
    int sent = eddy_sock_sendall(loop, from, out, BYTES, &sending), rc = sent;

    while (rc == 0 && got < BYTES) {
        struct eddy_future *f = NULL;
        if (eddy_future_is_done(sending) && eddy_future_result(sending, NULL) < 0)
            break;
        rc = eddy_sock_recv(loop, to, in + got, BYTES - got, &f);
        rc = ended(l, rc, f, &r);
        got += r.count;
        CHECK(rc < 0 || r.count > 0);
    }
    CHECK(memcmp(in, out, got) == 0);
    if (sent == 0 && rc < 0)
        eddy_future_cancel(sending, NULL);
    if (sent == 0 && rc < 0 && eddy_future_is_cancelled(sending))
        eddy_future_unref(sending);
    else
        rc = ended(l, sent, sending, &r);
    return rc == 0 && got == BYTES;
}

static bool stream(struct life *l, int listener, int client, const struct eddy_addr *at)
{
    struct eddy_sock_result connected, accepted;
    struct eddy_future *f = NULL, *accepting = NULL;
    int begun = eddy_sock_accept(loop, listener, &accepting);
    int rc = eddy_sock_connect(loop, client, at, &f);
    bool complete = false;

    rc = ended(l, rc, f, &connected);
    if (begun == 0 && rc < 0)
        eddy_future_cancel(accepting, NULL);
    if (begun == 0 && rc < 0 && eddy_future_is_cancelled(accepting)) {
        eddy_future_unref(accepting);
        return false;
    }
    begun = ended(l, begun, accepting, &accepted);
    if (rc == 0 && begun == 0) {
        /* Small buffers, where there are any: some of it waits. */
        sys->cls->setsockopt(sys, client, SOL_SOCKET, SO_SNDBUF, 4096);
        complete = transfer(l, client, accepted.fd);
    }
    if (accepted.fd >= 0)
        close_fd(accepted.fd);
    return complete;
}

static bool datagram(struct life *l, int a, int b, const struct eddy_addr *to)
{
    struct eddy_future *f = NULL;
    struct eddy_sock_result r;
    char buf[16];
    int rc = eddy_sock_sendto(loop, a, "hello", 5, to, &f);

    if (ended(l, rc, f, &r) < 0)
        return false;
    f = NULL;
    rc = eddy_sock_recvfrom(loop, b, buf, sizeof buf, &f);
    return ended(l, rc, f, &r) == 0 && CHECK_INT(r.count, 5);
}

static bool by_name(struct life *l, int fd, int port)
{
    struct eddy_future *f = NULL;
    struct eddy_sock_result r;
    int rc = eddy_sock_connect_host(loop, fd, "here", port, &f);

    return ended(l, rc, f, &r) == 0;
}

static const struct scripted_name names[] = {
    {.name = "here", .addrs = {"127.0.0.1"}},
    {.name = NULL},
};

static void begin_life(void)
{
    test_next_sim(EDDY_SIM(.latency = EDDY_MSEC(1), .send_room = 5000, .recv_room = 5000));
    take_loop(scripted_loop(names));
}

/* `arm` is when the failing begins: all sockets are there. */
static void live(struct life *l, void (*arm)(void *user), void *user)
{
    struct eddy_addr at, to;
    int listener = listening_socket(&at), client = new_socket(SOCK_STREAM);
    int a = bound_socket(SOCK_DGRAM, &to), b = bound_socket(SOCK_DGRAM, &to);
    int named = new_socket(SOCK_STREAM);

    arm(user);
    l->complete = stream(l, listener, client, &at);
    l->complete = datagram(l, a, b, &to) && l->complete;
    l->complete = by_name(l, named, eddy_addr_port(&at)) && l->complete;
    test_fail_allocation(0);
    close_fd(listener);
    close_fd(client);
    close_fd(a);
    close_fd(b);
    close_fd(named);
}

/* ---- memory ---- */

static bool allocation_failed;

static void arm_allocation(void *user)
{
    test_fail_allocation(*(long *)user);
}

static void G5_L85_each_allocation_of_a_life_fails_once(void)
{
    int failed_lives = 0;

    allocation_failed = true;
    for (size_t i = 0; i < BYTES; i++)
        out[i] = (unsigned char)(i ^ i >> 8);
    for (long n = 1; allocation_failed && n < 2000; n++) {
        struct life l = {.expected = -ENOMEM};
        begin_life();
        long before = test_allocations();
        live(&l, arm_allocation, &n);
        allocation_failed = test_allocations() - before >= n;
        CHECK(l.failures <= 2);
        CHECK(allocation_failed || l.complete);
        failed_lives += l.failures > 0;
        end_loop();
    }
    CHECK(!allocation_failed);
    CHECK(failed_lives > 8);
}

/* ---- system calls ---- */

struct fault {
    enum eddy_sim_call call;
    int error;
    bool harmless; /* it is tried again */
};

struct nth_call {
    const struct fault *fault;
    unsigned long nth, before;
};

static void arm_call(void *user)
{
    struct nth_call *c = user;

    c->before = eddy_sim_calls(test_sim(loop), c->fault->call);
    if (c->nth > 0)
        CHECK_INT(eddy_sim_fail(test_sim(loop), c->fault->call, c->nth, c->fault->error), 0);
}

static unsigned long live_with(const struct fault *fault, unsigned long nth)
{
    struct nth_call c = {.fault = fault, .nth = nth};
    struct life l = {.expected = fault->error};

    begin_life();
    live(&l, arm_call, &c);
    unsigned long calls = eddy_sim_calls(test_sim(loop), fault->call) - c.before;
    eddy_sim_fail_none(test_sim(loop));
    if (nth == 0 || fault->harmless)
        CHECK(l.complete && l.failures == 0);
    else
        CHECK(l.failures > 0 && !l.complete);
    end_loop();
    return calls;
}

static void G3_L85_each_system_call_fails_once(void)
{
    static const struct fault faults[] = {
        {EDDY_SIM_CONNECT, -ENETUNREACH, false}, {EDDY_SIM_ERROR, -ECONNREFUSED, false},
        {EDDY_SIM_ACCEPT, -EMFILE, false},       {EDDY_SIM_ACCEPT, -ECONNABORTED, true},
        {EDDY_SIM_ACCEPT, -EAGAIN, true},        {EDDY_SIM_RECV, -ENOMEM, false},
        {EDDY_SIM_RECV, -EAGAIN, true},          {EDDY_SIM_SEND, -ENOBUFS, false},
        {EDDY_SIM_SEND, -EAGAIN, true},          {EDDY_SIM_SEND_MESSAGES, -EPERM, false},
        {EDDY_SIM_SEND_MESSAGES, -EAGAIN, true}, {EDDY_SIM_RECV_MESSAGES, -ENOMEM, false},
        {EDDY_SIM_RECV_MESSAGES, -EAGAIN, true}, {EDDY_SIM_SELECT_SET, -ENOSPC, false},
    };

    if (!test_is_sim())
        return;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        unsigned long calls = live_with(&faults[i], 0);
        CHECK(calls > 0);
        for (unsigned long nth = 1; nth <= calls && nth <= MOST_CALLS; nth++)
            live_with(&faults[i], nth);
    }
}

const struct test_case test_cases[] = {
    TEST(G5_L85_each_allocation_of_a_life_fails_once),
    TEST(G3_L85_each_system_call_fails_once),
    TEST_END,
};
