/* backends: epoll sim */
/*
 * What was to be encrypted does not stay behind: the memory that plaintext waited in is wiped
 * before it is given back. Looked at when it is freed.
 */
#include "tests/contract/tls_calls.h"

#define SECRET "the secret that must not stay"
#define SECRET_SIZE (sizeof SECRET - 1)
#define LARGE (8 * 1024 * 1024) /* more than sockets take */

static long leftovers, freed;

static void look(const void *ptr, size_t size)
{
    freed += (long)size;
    if (memmem(ptr, size, SECRET, SECRET_SIZE))
        leftovers++;
}

static void write_secrets(struct actor *a, size_t len)
{
    char *data = malloc(len);

    REQUIRE(data != NULL);
    for (size_t i = 0; i < len; i++)
        data[i] = SECRET[i % SECRET_SIZE];
    eddy_transport_write(a->t, data, len);
    free(data);
}

static void write_little(struct actor *a)
{
    write_secrets(a, SECRET_SIZE);
    write_secrets(a, 3 * SECRET_SIZE);
}

static void end(struct tls_stage *c)
{
    leftovers = freed = 0;
    test_freeing = look;
    tls_stage_close(c);
    test_freeing = NULL;
    CHECK(freed > 0);
    CHECK_INT(leftovers, 0);
}

static void what_was_corked_is_wiped(void)
{
    struct tls_stage c;

    tls_stage_init(&c);
    c.s.client.on[ON_MADE] = write_little;
    stage_open(&c.s);
    UNTIL(&c.s, c.s.peer.received == 4 * SECRET_SIZE);
    end(&c);
}

static void what_was_not_sent_is_wiped(void)
{
    struct tls_stage c;

    tls_stage_init(&c);
    c.s.peer.on[ON_MADE] = do_pause;
    stage_open(&c.s);
    write_secrets(&c.s.client, LARGE);
    CHECK(eddy_transport_get_write_buffer_size(c.s.client.t) > 0);
    eddy_transport_abort(c.s.client.t, NULL);
    end(&c);
}

const struct test_case test_cases[] = {
    CASE(what_was_corked_is_wiped),
    CASE(what_was_not_sent_is_wiped),
    TEST_END,
};
