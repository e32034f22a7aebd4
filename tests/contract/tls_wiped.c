/* backends: epoll sim */
/*
 * What was to be encrypted does not stay behind, what was decrypted neither, and keys do not: the
 * memory that they were in is wiped before it is given back. Looked at when it is freed; what is on
 * the stack is known by whom it is given to.
 */
#include "tests/contract/tls_calls.h"
#include "transports/tls/session.h"
#include "transports/tls/tls.h"
#include <eddy/sendfile.h>
#include <dlfcn.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <unistd.h>

#define SECRET "the secret that must not stay"
#define SECRET_SIZE (sizeof SECRET - 1)
#define LARGE (8 * 1024 * 1024) /* more than sockets take */

static long leftovers, freed;
static const void *sought;
static size_t sought_size;

static void look(const void *ptr, size_t size)
{
    freed += (long)size;
    if (memmem(ptr, size, sought, sought_size))
        leftovers++;
}

static void look_for(const void *secret, size_t size)
{
    sought = secret;
    sought_size = size;
    leftovers = freed = 0;
    test_freeing = look;
}

static void check_not_found(void)
{
    test_freeing = NULL;
    CHECK(freed > 0);
    CHECK_INT(leftovers, 0);
}

static char *new_secrets(size_t len)
{
    char *data = malloc(len);

    REQUIRE(data != NULL);
    for (size_t i = 0; i < len; i++)
        data[i] = SECRET[i % SECRET_SIZE];
    return data;
}

static void write_secrets(struct actor *a, size_t len)
{
    char *data = new_secrets(len);

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
    look_for(SECRET, SECRET_SIZE);
    tls_stage_close(c);
    check_not_found();
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

/* The short way, from the callback straight to OpenSSL. */
static void what_was_written_in_data_received_is_wiped(void)
{
    struct tls_stage c;

    tls_stage_init(&c);
    c.s.client.on[ON_DATA] = write_little;
    stage_open(&c.s);
    CHECK_INT(eddy_transport_write(c.s.peer.t, "x", 1), 0);
    UNTIL(&c.s, c.s.peer.received == 4 * SECRET_SIZE);
    end(&c);
}

/* More than a block has room for. */
static void write_more(struct actor *a)
{
    for (int i = 0; i < 4; i++)
        write_secrets(a, 100 * SECRET_SIZE);
}

static void what_was_corked_in_several_blocks_is_wiped(void)
{
    struct tls_stage c;

    tls_stage_init(&c);
    c.s.client.on[ON_MADE] = write_more;
    stage_open(&c.s);
    UNTIL(&c.s, c.s.peer.received == 400 * SECRET_SIZE);
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

/* ---- what the application has given back ---- */

static struct actor taker; /* a buffered protocol, for which it is in pieces */
static char window[SECRET_SIZE + 10];

static void give_back_first(struct actor *a)
{
    if (a->count[ON_DATA] == 1)
        CHECK_INT(eddy_transport_unread(a->t, a->data, a->len), 0);
}

static void give_back_and_pause(struct actor *a)
{
    give_back_first(a);
    eddy_transport_pause_reading(a->t);
}

static void give_to_taker(struct actor *a)
{
    CHECK_INT(eddy_transport_unread(a->t, a->data, a->len), 0);
    CHECK_INT(actor_switch(a, &taker, &actor_buffered_class), 0);
}

static void give_back_piece(struct actor *a)
{
    if (a->count[ON_BUFFER_UPDATED] == 1)
        CHECK_INT(eddy_transport_unread(a->t, window, a->len), 0);
}

/* The peer gets the secrets, and does that with them. */
static void begin_giving_back(struct tls_stage *c, void (*on_data)(struct actor *a))
{
    tls_stage_init(c);
    stage_add(&c->s, &taker, false);
    taker.window = window;
    taker.window_size = sizeof window;
    c->s.client.on[ON_MADE] = write_little;
    c->s.peer.on[ON_DATA] = on_data;
    look_for(SECRET, SECRET_SIZE);
    stage_open(&c->s);
}

static void finish(struct tls_stage *c)
{
    tls_stage_close(c);
    check_not_found();
}

static void what_was_given_back_and_is_taken_is_wiped(void)
{
    struct tls_stage c;

    begin_giving_back(&c, give_back_first);
    UNTIL(&c.s, c.s.peer.received == 8 * SECRET_SIZE);
    finish(&c);
}

static void what_was_given_back_and_is_not_taken_is_wiped(void)
{
    struct tls_stage c;

    begin_giving_back(&c, give_back_and_pause);
    UNTIL(&c.s, c.s.peer.received == 4 * SECRET_SIZE);
    finish(&c);
}

static void what_was_given_back_and_is_taken_in_pieces_is_wiped(void)
{
    struct tls_stage c;

    begin_giving_back(&c, give_to_taker);
    UNTIL(&c.s, taker.received == 4 * SECRET_SIZE);
    finish(&c);
}

static void what_was_given_back_twice_is_wiped(void)
{
    struct tls_stage c;

    begin_giving_back(&c, give_to_taker);
    taker.on[ON_BUFFER_UPDATED] = give_back_piece;
    UNTIL(&c.s, taker.received == 4 * SECRET_SIZE + sizeof window);
    finish(&c);
}

static void what_was_given_back_and_is_not_taken_to_the_end_is_wiped(void)
{
    struct tls_stage c;

    begin_giving_back(&c, give_to_taker);
    taker.on[ON_BUFFER_UPDATED] = do_abort;
    UNTIL_LOST(&c.s, &taker);
    CHECK_INT(taker.received, sizeof window);
    finish(&c);
}

/* ---- files ---- */

/* A file of secrets, to be sent by the client. */
static void begin_sending(struct tls_stage *c, size_t len, int *ret_fd, struct eddy_future **ret)
{
    char name[] = "/tmp/eddy-wiped-XXXXXX";
    char *secrets = new_secrets(len);

    stage_open(&c->s);
    *ret_fd = mkstemp(name);
    REQUIRE(*ret_fd >= 0);
    unlink(name);
    CHECK_INT(write(*ret_fd, secrets, len), len);
    free(secrets);
    look_for(SECRET, SECRET_SIZE);
    CHECK_INT(eddy_transport_sendfile(c->s.client.t, *ret_fd, EDDY_SENDFILE(.count = 0), ret), 0);
}

static void what_was_read_from_a_file_is_wiped(void)
{
    struct eddy_future *f;
    struct tls_stage c;
    int fd;

    tls_stage_init(&c);
    begin_sending(&c, 100 * SECRET_SIZE, &fd, &f);
    UNTIL(&c.s, c.s.peer.received == 100 * SECRET_SIZE && eddy_future_is_done(f));
    eddy_future_unref(f);
    close(fd);
    finish(&c);
}

static void what_was_read_from_a_file_and_not_sent_is_wiped(void)
{
    struct eddy_future *f;
    struct tls_stage c;
    int fd;

    tls_stage_init(&c);
    c.s.peer.on[ON_MADE] = do_pause;
    begin_sending(&c, LARGE, &fd, &f);
    stage_settle(&c.s);
    CHECK(!eddy_future_is_done(f));
    eddy_transport_abort(c.s.client.t, NULL);
    UNTIL(&c.s, eddy_future_is_done(f));
    CHECK(eddy_future_error(f) != NULL);
    eddy_future_unref(f);
    close(fd);
    finish(&c);
}

/* ---- keys of certificates ---- */

/* A context that is made, made again, and gone; `key` as it stands in PEM. */
static void check_context(const struct eddy_tls_opts *opts, const char *key)
{
    struct eddy_tls *tls = NULL;

    look_for(key + strlen(key) / 2, 40);
    CHECK_INT(eddy_tls_new(opts, &tls), 0);
    CHECK_INT(eddy_tls_reload(tls, NULL, NULL), 0);
    eddy_tls_unref(tls);
    check_not_found();
}

static void keys_in_options_are_wiped(void)
{
    need_certs();
    check_context(EDDY_TLS_SERVER(CERT_PEM(the_cert)), cert_key(the_cert));
}

/* Larger than what it is read into at first: what that was is wiped, too. */
static void keys_in_files_are_wiped(void)
{
    static char large[20000];

    need_certs();
    snprintf(large, sizeof large, "%s", cert_key(the_cert));
    memset(large + strlen(large), '\n', sizeof large - strlen(large) - 1);
    const char *cert = certs_write_text("cert.pem", cert_chain(the_cert));
    check_context(EDDY_TLS_SERVER(.cert_file = cert,
                                  .key_file = certs_write_text("key.pem", cert_key(the_cert))),
                  cert_key(the_cert));
    check_context(
        EDDY_TLS_SERVER(.cert_file = cert, .key_file = certs_write_text("large.pem", large)),
        cert_key(the_cert));
    certs_remove_folder();
}

/* ---- keys of tickets: known by where they are, and that they look like nothing else ---- */

#define KEY_SIZE 32

static const void *tickets;
static unsigned char tickets_before[1024];
static size_t tickets_size, not_zero;

static void look_at_tickets(const void *ptr, size_t size)
{
    if (ptr != tickets)
        return;
    tickets_size = size;
    for (size_t i = 0; i < size; i++)
        not_zero += ((const unsigned char *)ptr)[i] != 0;
}

static void free_tickets(struct eddy_tls *tls)
{
    tickets = tls->tickets;
    tickets_size = not_zero = 0;
    test_freeing = look_at_tickets;
    eddy_tls_unref(tls);
    test_freeing = NULL;
    CHECK(tickets_size >= 4 * KEY_SIZE && tickets_size <= sizeof tickets_before);
    CHECK_INT(not_zero, 0);
}

static struct eddy_tls *new_server(void)
{
    struct eddy_tls *tls = NULL;

    need_certs();
    REQUIRE(eddy_tls_new(EDDY_TLS_SERVER(CERT_PEM(the_cert)), &tls) == 0);
    return tls;
}

static void keys_of_tickets_are_wiped(void)
{
    struct eddy_tls *tls = new_server();

    CHECK_INT(eddy_tls_rotate_tickets(tls), 0);
    free_tickets(tls);
}

static bool is_random(const unsigned char *p)
{
    int zeros = 0;

    for (size_t i = 0; i < KEY_SIZE; i++)
        zeros += p[i] == 0;
    return zeros <= 3;
}

/* Whether something of the size of a key, which was there before, is there yet. */
static bool has_key_of_before(const struct eddy_tls *tls)
{
    for (size_t i = 0; i + KEY_SIZE <= tickets_size; i++) {
        if (is_random(tickets_before + i) &&
            memmem(tls->tickets, tickets_size, tickets_before + i, KEY_SIZE))
            return true;
    }
    return false;
}

static void remember_tickets(const struct eddy_tls *tls)
{
    memcpy(tickets_before, tls->tickets, tickets_size);
}

static time_t later; /* than now */
static time_t shifted(time_t *ret)
{
    (void)ret;
    return time(NULL) + later;
}

static void keys_of_tickets_that_are_too_old_are_wiped(void)
{
    later = 0;
    free_tickets(new_server()); /* how large that is */
    struct eddy_tls *tls = new_server();
    tls_tickets_set_clock(tls, shifted);
    remember_tickets(tls);
    CHECK_INT(eddy_tls_rotate_tickets(tls), 0);
    CHECK(has_key_of_before(tls)); /* for those that are still around */
    remember_tickets(tls);
    later = 24 * 3600;
    CHECK_INT(eddy_tls_rotate_tickets(tls), 0);
    CHECK(!has_key_of_before(tls));
    free_tickets(tls);
}

/* ---- the stack: what is put there is known by whom it is given to, in place of OpenSSL ---- */

static struct {
    const void *at;
    size_t size;
} last;
static int seen, wiped;
static bool looking;

/* Also called when no case runs. */
static void *real(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);

    if (!f)
        abort();
    return f;
}

static void see(const void *at, size_t size)
{
    last.at = at;
    last.size = size;
    seen += looking;
}

/* Of a key with its name, and of IVs, which are no secret. */
int RAND_bytes(unsigned char *buf, int num)
{
    int (*f)(unsigned char *buf, int num);

    if (num > KEY_SIZE)
        see(buf, (size_t)num);
    *(void **)&f = real("RAND_bytes");
    return f(buf, num);
}

int EVP_MAC_CTX_set_params(EVP_MAC_CTX *ctx, const OSSL_PARAM params[])
{
    int (*f)(EVP_MAC_CTX * ctx, const OSSL_PARAM params[]);
    const OSSL_PARAM *key = OSSL_PARAM_locate_const(params, OSSL_MAC_PARAM_KEY);

    if (key)
        see(key->data, key->data_size);
    *(void **)&f = real("EVP_MAC_CTX_set_params");
    return f(ctx, params);
}

void OPENSSL_cleanse(void *ptr, size_t len)
{
    void (*f)(void *ptr, size_t len);

    if (ptr == last.at && len == last.size) {
        wiped += looking;
        last.at = NULL;
    }
    *(void **)&f = real("OPENSSL_cleanse");
    f(ptr, len);
}

static void look_at_stack(void)
{
    seen = wiped = 0;
    looking = true;
}

static void check_stack(void)
{
    looking = false;
    CHECK(seen > 0);
    CHECK_INT(wiped, seen);
}

static void new_keys_of_tickets_do_not_stay_on_the_stack(void)
{
    struct eddy_tls *tls = new_server();

    look_at_stack();
    CHECK_INT(eddy_tls_rotate_tickets(tls), 0);
    check_stack();
    eddy_tls_unref(tls);
}

static void keys_of_tickets_do_not_stay_on_the_stack(void)
{
    struct tls_stage c;

    tls_stage_init(&c);
    look_at_stack();
    stage_open(&c.s);
    CHECK_INT(eddy_transport_write(c.s.peer.t, "x", 1), 0);
    UNTIL(&c.s, c.s.client.received == 1);
    check_stack();
    tls_stage_close(&c);
}

const struct test_case test_cases[] = {
    CASE(what_was_corked_is_wiped),
    CASE(what_was_written_in_data_received_is_wiped),
    CASE(what_was_corked_in_several_blocks_is_wiped),
    CASE(what_was_not_sent_is_wiped),
    CASE(what_was_given_back_and_is_taken_is_wiped),
    CASE(what_was_given_back_and_is_not_taken_is_wiped),
    CASE(what_was_given_back_and_is_taken_in_pieces_is_wiped),
    CASE(what_was_given_back_twice_is_wiped),
    CASE(what_was_given_back_and_is_not_taken_to_the_end_is_wiped),
    CASE(what_was_read_from_a_file_is_wiped),
    CASE(what_was_read_from_a_file_and_not_sent_is_wiped),
    CASE(keys_in_options_are_wiped),
    CASE(keys_in_files_are_wiped),
    CASE(keys_of_tickets_are_wiped),
    CASE(keys_of_tickets_that_are_too_old_are_wiped),
    CASE(new_keys_of_tickets_do_not_stay_on_the_stack),
    CASE(keys_of_tickets_do_not_stay_on_the_stack),
    TEST_END,
};
