/* backends: select poll epoll io_uring sim */
/* roads: tcp unix tls */
/* timeout: 240 */
/* labels: slow */
/* What a server must stand, in bulk: contract T5, T12, T28, T56, E6, E7. */
#include "tests/support/stream.h"
#include <stdlib.h>
#include <string.h>

/* On the simulator every byte costs more. */
static size_t bulk(void)
{
    return test_is_sim() ? 4u << 20 : 64u << 20;
}

static void pause_reading(struct actor *a)
{
    eddy_transport_pause_reading(a->t);
}

static void resume_reading(struct actor *a)
{
    eddy_transport_resume_reading(a->t);
}

static void make_echo(struct actor *a)
{
    a->on[ON_DATA] = do_echo;
    a->on[ON_PAUSE] = pause_reading;
    a->on[ON_RESUME] = resume_reading;
}

/* A raw client that sends whatever is taken, and reads 1 KiB at a time. */
static void T12_T28_bulk_through_echo_to_a_reader_of_1_kib_at_a_time(void)
{
    struct stage s;
    static uint8_t out[65536];
    uint8_t in[1024];
    size_t len = bulk(), sent = 0, got = 0, turns = 0;
    stage_init(&s);
    make_echo(&s.peer);
    s.server_opts.write_high = 10000;
    stage_begin(&s);
    int fd = raw_connect(&s);
    UNTIL(&s, s.peer.count[ON_MADE] == 1);
    stage_settle(&s);
    long before = test_live_bytes();
    test_reset_peak_bytes();
    eddy_nsec patience = stage_patience(&s);
    while (got < len && turns < 100 * len) {
        turns++;
        if (sent < len) {
            size_t n = len - sent < sizeof out ? len - sent : sizeof out;
            stream_bytes(out, n, sent, 7);
            ssize_t taken = s.sys->cls->send(s.sys, fd, out, n);
            if (taken > 0)
                sent += (size_t)taken;
        }
        /* the server works through what it can before the client reads a little more */
        if (turns % 16 == 0 && eddy_loop_run_once(s.loop, 0) < 0)
            break;
        ssize_t n = s.sys->cls->recv(s.sys, fd, in, sizeof in);
        if (n > 0) {
            CHECK(stream_matches(in, (size_t)n, got, 7));
            got += (size_t)n;
        } else if (n != -EAGAIN || !stage_step(&s, patience)) {
            break;
        } else {
            patience = stage_patience(&s);
        }
    }
    CHECK_INT(got, len);
    CHECK(s.peer.count[ON_PAUSE] > 0);
    /* a high mark, what one read brings, and the simulated kernel's own buffers */
    CHECK(test_peak_bytes() - before < (test_is_sim() ? 2 << 20 : 1 << 20));
    raw_close(&s, fd);
    UNTIL(&s, s.peer.count[ON_LOST] == 1);
    CHECK_INT(s.peer.code, 0);
    stage_close(&s);
}

static void T31_R24_a_client_that_resets_in_mid_stream_costs_nothing(void)
{
    struct stage s;
    static uint8_t out[65536];
    stage_init(&s);
    make_echo(&s.peer);
    stage_begin(&s);
    stage_settle(&s);
    long live = 0;
    for (int i = 1; i <= 50; i++) {
        s.guest_next = 0;
        int fd = raw_connect(&s);
        UNTIL(&s, s.peer.count[ON_MADE] == i);
        for (int j = 0; j < 40; j++) {
            s.sys->cls->send(s.sys, fd, out, sizeof out);
            CHECK_INT(eddy_loop_run_once(s.loop, 0), 0);
        }
        raw_reset(&s, fd);
        UNTIL(&s, s.peer.count[ON_FINI] == i);
        CHECK(s.peer.code == -ECONNRESET || s.peer.code == -EPIPE);
        UNTIL(&s, eddy_server_connections(s.server) == 0);
        stage_settle(&s);
        if (i == 10)
            live = test_live_bytes();
    }
    CHECK_INT(test_live_bytes(), live);
    CHECK_INT(s.problems.count, 0);
    stage_close(&s);
}

static void reply_and_close(struct actor *a)
{
    if (a->sent == 0) {
        CHECK_INT(actor_write(a, 1 << 20), 0);
        eddy_transport_close(a->t);
    }
}

/* The client sends without end and without looking, then reads: the whole reply is there. */
static void T5_a_reply_followed_by_close_arrives_although_the_client_keeps_sending(void)
{
    struct stage s;
    static uint8_t request[65536];
    size_t got;
    stage_init(&s);
    s.peer.out_key = 1;
    s.peer.on[ON_DATA] = reply_and_close;
    stage_begin(&s);
    for (int i = 1; i <= 10; i++) {
        s.guest_next = 0;
        s.peer.sent = 0;
        int fd = raw_connect(&s);
        size_t read = 0;
        for (int j = 0; j < 200; j++) {
            s.sys->cls->send(s.sys, fd, request, sizeof request);
            CHECK_INT(eddy_loop_run_once(s.loop, 0), 0);
            uint8_t piece[4096];
            ssize_t n = s.sys->cls->recv(s.sys, fd, piece, sizeof piece);
            if (n > 0) {
                CHECK(stream_matches(piece, (size_t)n, read, 1));
                read += (size_t)n;
            }
        }
        CHECK_INT(raw_drain(&s, fd, 0, &got), 0);
        CHECK_INT(read + got, 1 << 20);
        raw_close(&s, fd);
        UNTIL(&s, s.peer.count[ON_FINI] == i);
        CHECK_INT(s.peer.code, 0);
    }
    stage_close(&s);
}

static void T5_peers_that_both_close_with_unsent_bytes_do_not_wait_for_each_other(void)
{
    for (int i = 0; i < 10; i++) {
        struct stage s;
        stage_init(&s);
        s.client.on[ON_MADE] = s.peer.on[ON_MADE] = do_pause;
        stage_open(&s);
        actor_fill(&s.client);
        actor_fill(&s.peer);
        eddy_nsec begin = eddy_loop_time(s.loop);
        eddy_transport_close(s.client.t);
        eddy_transport_close(s.peer.t);
        UNTIL(&s, s.client.count[ON_LOST] == 1 && s.peer.count[ON_LOST] == 1);
        CHECK(eddy_loop_time(s.loop) - begin < EDDY_SEC(10));
        CHECK_INT(s.client.code, 0);
        CHECK_INT(s.peer.code, 0);
        stage_close(&s);
    }
}

const struct test_case test_cases[] = {
    CASE(T12_T28_bulk_through_echo_to_a_reader_of_1_kib_at_a_time),
    CASE(T31_R24_a_client_that_resets_in_mid_stream_costs_nothing),
    CASE(T5_a_reply_followed_by_close_arrives_although_the_client_keeps_sending),
    CASE(T5_peers_that_both_close_with_unsent_bytes_do_not_wait_for_each_other),
    {NULL, NULL},
};
