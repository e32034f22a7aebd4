/* backends: epoll */
/* Handshakes in turns: an iteration makes eight of their steps, however the hellos come. */
#include "tests/contract/tls_pair.h"

#define PEERS 30
#define STEPS 8 /* in an iteration */

static struct wire peers[PEERS];
static struct actor guests[PEERS - 1]; /* behind the stage's own */
static char hello[4096];

static void begin(struct tls_stage *c)
{
    need_www();
    pair_init(c, WWW(), TRUSTING());
    for (int i = 0; i < PEERS - 1; i++)
        stage_add(&c->s, &guests[i], true);
    stage_begin(&c->s);
    for (int i = 0; i < PEERS; i++) {
        wire_client(&peers[i], &c->s, raw_connect(&c->s), 0);
        eddy_loop_run_once(c->s.loop, 0);
    }
}

static void end(struct tls_stage *c)
{
    for (int i = 0; i < PEERS; i++)
        wire_end(&peers[i]);
    tls_stage_close(c);
}

/* The next flight of a peer; its length. */
static size_t say(struct wire *w)
{
    SSL_do_handshake(w->ssl);
    int n = BIO_read(SSL_get_wbio(w->ssl), hello, sizeof hello);
    REQUIRE(n > 1);
    return (size_t)n;
}

static void say_all(struct tls_stage *c)
{
    for (int i = 0; i < PEERS; i++) {
        size_t n = say(&peers[i]);
        raw_send(&c->s, peers[i].fd, hello, n);
    }
}

/* Those who have got an answer since, and had none before. */
static int count_answers(bool *answered)
{
    int n = 0;

    for (int i = 0; i < PEERS; i++) {
        if (answered[i])
            continue;
        wire_receive(&peers[i]);
        answered[i] = BIO_pending(SSL_get_rbio(peers[i].ssl)) > 0;
        n += answered[i];
    }
    return n;
}

static void check_turns(struct tls_stage *c)
{
    bool answered[PEERS] = {false};
    int most = 0, sum = 0;

    while (sum < PEERS) {
        eddy_loop_run_once(c->s.loop, 0);
        int n = count_answers(answered);
        sum += n;
        most = n > most ? n : most;
    }
    CHECK(most <= STEPS);
}

static void X4_whole_hellos(void)
{
    struct tls_stage c;
    begin(&c);
    say_all(&c);
    check_turns(&c);
    end(&c);
}

static void X4_hellos_in_two_pieces(void)
{
    static char rest[PEERS][sizeof hello];
    size_t n[PEERS];
    struct tls_stage c;
    begin(&c);
    for (int i = 0; i < PEERS; i++) {
        n[i] = say(&peers[i]);
        memcpy(rest[i], hello, n[i]);
        raw_send(&c.s, peers[i].fd, hello, 1);
    }
    for (int i = 0; i < 2 * PEERS; i++)
        eddy_loop_run_once(c.s.loop, 0);
    for (int i = 0; i < PEERS; i++)
        raw_send(&c.s, peers[i].fd, rest[i] + 1, n[i] - 1);
    check_turns(&c);
    end(&c);
}

/* The first one offers a group that is not wanted, and is answered by a request for another. */
static void X4_second_hellos(void)
{
    struct tls_stage c;
    begin(&c);
    for (int i = 0; i < PEERS; i++)
        SSL_set1_groups_list(peers[i].ssl, "X448:X25519");
    say_all(&c);
    check_turns(&c);
    say_all(&c);
    check_turns(&c);
    end(&c);
}

/* A TLS 1.2 server computes twice: a signature first, then the secret out of the client's key. */
static void X4_key_exchanges_of_tls_1_2(void)
{
    struct tls_stage c;
    begin(&c);
    for (int i = 0; i < PEERS; i++)
        SSL_set_max_proto_version(peers[i].ssl, TLS1_2_VERSION);
    say_all(&c);
    check_turns(&c);
    say_all(&c);
    check_turns(&c);
    end(&c);
}

const struct test_case test_cases[] = {
    CASE(X4_whole_hellos),
    CASE(X4_hellos_in_two_pieces),
    CASE(X4_second_hellos),
    CASE(X4_key_exchanges_of_tls_1_2),
    TEST_END,
};
