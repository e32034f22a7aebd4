/* backends: epoll sim */
/* needs: no-openssl */
/* A build without OpenSSL: whatever asks for TLS fails and says why; nothing else does. Contract
 * G24. */
#include "tests/support/stream.h"
#include <eddy/tls.h>
#include <string.h>

#define WHY "built without OpenSSL"

static void G24_X11_there_are_no_contexts(void)
{
    struct eddy_error e = {.code = 0};
    struct eddy_tls *tls = NULL;
    char buf[64];
    time_t when;

    CHECK_INT(eddy_tls_new(EDDY_TLS_CLIENT(.error = &e), &tls), EDDY_ENOT_SUPPORTED);
    CHECK_INT(e.code, EDDY_ENOT_SUPPORTED);
    CHECK(strstr(e.text, WHY) != NULL);
    CHECK(tls == NULL);
    CHECK_INT(eddy_tls_new(EDDY_TLS_SERVER(.throw_away = "localhost"), &tls), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_tls_new(NULL, &tls), -EINVAL);
    e.code = 0;
    CHECK_INT(eddy_tls_reload(NULL, NULL, &e), EDDY_ENOT_SUPPORTED);
    CHECK_INT(e.code, EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_tls_rotate_tickets(NULL), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_tls_expires(NULL, &when), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_tls_cert_pem(NULL, buf, sizeof buf), EDDY_ENOT_SUPPORTED);
    CHECK(eddy_tls_ref(NULL) == NULL);
    CHECK(eddy_tls_ssl_ctx(NULL) == NULL);
    eddy_tls_unref(NULL);
    eddy_tls_cert_free(NULL);
}

static void G24_X12_a_client_that_asks_for_tls_is_refused(void)
{
    struct eddy_error e = {.code = 0};
    struct eddy_protocol p;
    struct stage s;

    stage_init(&s);
    stage_begin(&s);
    eddy_protocol_init(&p, &actor_class);
    CHECK_INT(eddy_create_connection(s.loop, &p,
                                     EDDY_CONNECTION(.host = "127.0.0.1", .port = s.port,
                                                     .use_tls = true, .error = &e),
                                     NULL),
              EDDY_ENOT_SUPPORTED);
    CHECK(strstr(e.text, WHY) != NULL);
    CHECK(!eddy_protocol_is_attached(&p));
    stage_close(&s);
}

/* They would have no effect, and were meant to. */
static void S2_S17_options_of_tls_are_refused_without_it(void)
{
    struct eddy_protocol p;
    struct stage s;

    stage_init(&s);
    stage_begin(&s);
    eddy_protocol_init(&p, &actor_class);
    CHECK_INT(eddy_create_connection(s.loop, &p,
                                     EDDY_CONNECTION(.host = "127.0.0.1", .port = s.port,
                                                     .server_hostname = "localhost"),
                                     NULL),
              -EINVAL);
    CHECK_INT(eddy_create_connection(s.loop, &p,
                                     EDDY_CONNECTION(.host = "127.0.0.1", .port = s.port,
                                                     .handshake_timeout = EDDY_SEC(1)),
                                     NULL),
              -EINVAL);
    struct eddy_server *server = NULL;
    CHECK_INT(eddy_create_server(s.loop, &actor_class,
                                 EDDY_SERVER(.host = "127.0.0.1", .shutdown_timeout = EDDY_SEC(1)),
                                 &server),
              -EINVAL);
    stage_close(&s);
}

static void G24_S51_a_plain_connection_stays_one(void)
{
    struct eddy_error e = {.code = 0};
    struct eddy_tls_cert *cert = NULL;
    struct eddy_tls_info info;
    struct stage s;

    stage_init(&s);
    stage_keyed(&s);
    stage_open(&s);
    struct eddy_transport *t = s.client.t;
    CHECK_INT(eddy_start_tls(t, EDDY_START_TLS(.server_hostname = "localhost", .error = &e), NULL),
              EDDY_ENOT_SUPPORTED);
    CHECK(strstr(e.text, WHY) != NULL);
    CHECK_INT(eddy_start_tls(t, NULL, NULL), -EINVAL);
    CHECK_INT(eddy_tls_info(t, &info), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_tls_info(t, NULL), -EINVAL);
    CHECK_INT(eddy_tls_info(NULL, &info), -EINVAL);
    CHECK_INT(eddy_tls_peer_cert(t, 0, &cert), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_tls_peer_cert(t, 0, NULL), -EINVAL);
    CHECK_INT(eddy_tls_update_keys(t, true), EDDY_ENOT_SUPPORTED);
    CHECK_INT(eddy_tls_update_keys(NULL, true), -EINVAL);
    CHECK(eddy_tls_of(t) == NULL && eddy_tls_ssl(t) == NULL);
    CHECK_INT(actor_write(&s.client, 1000), 0);
    UNTIL(&s, s.peer.received == 1000);
    stage_close(&s);
}

const struct test_case test_cases[] = {
    TEST(G24_X11_there_are_no_contexts),
    TEST(G24_X12_a_client_that_asks_for_tls_is_refused),
    TEST(S2_S17_options_of_tls_are_refused_without_it),
    TEST(G24_S51_a_plain_connection_stays_one),
    TEST_END,
};
