/* backends: sim sim-late */
/* A network without unix sockets: contract G24. */
#include "tests/support/stream.h"
#include <string.h>

static void G24_S40_S41_where_there_are_none(void)
{
    struct stage s;
    struct eddy_protocol p;
    struct eddy_server *server = NULL;
    struct eddy_error error = {.code = 0};
    stage_init(&s);
    stage_open(&s);
    eddy_protocol_init(&p, &actor_class);
    CHECK_INT(eddy_create_unix_connection(
                  s.loop, &p, EDDY_UNIX_CONNECTION(.path = "/x", .error = &error), NULL),
              EDDY_ENOT_SUPPORTED);
    CHECK(error.text[0] != '\0');
    CHECK_INT(
        eddy_create_unix_server(s.loop, &actor_class, EDDY_UNIX_SERVER(.path = "/x"), &server),
        EDDY_ENOT_SUPPORTED);
    CHECK(!eddy_protocol_is_attached(&p));
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(G24_S40_S41_where_there_are_none),
    {NULL, NULL},
};
