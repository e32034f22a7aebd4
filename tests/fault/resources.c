/* backends: select poll epoll io_uring */
/*
 * Real want of descriptors, by RLIMIT_NOFILE in a child process: contract S27, G3. (The simulated
 * one is in contract/servers.c.)
 */
#include "tests/support/stream.h"
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CLIENTS = 4, FILLERS = 64 }; /* more fillers than there are gaps */

/* Fills the gaps in the numbers used so far, so that just `room` more descriptors can be opened. */
static void leave_room_for(int room)
{
    struct rlimit limit;
    int highest = 0;
    for (int i = 0; i < FILLERS; i++) {
        int fd = open("/dev/null", O_RDONLY);
        if (fd > highest)
            highest = fd;
    }
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)(highest + 1 + room);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* ---- in the child ---- */

static void accept_until_none_is_left(void *user)
{
    struct stage s;
    struct actor guests[CLIENTS - 1];
    int fds[CLIENTS];
    (void)user;
    stage_init(&s);
    for (int i = 0; i < CLIENTS - 1; i++)
        stage_add(&s, &guests[i], true);
    stage_begin(&s);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = raw_connecting(&s);
    leave_room_for(2);
    s.descriptors += FILLERS;
    UNTIL(&s, s.problems.count == 1);
    CHECK(strstr(s.problems.message, "accept out of system resource") != NULL);
    CHECK_INT(s.problems.code, -EMFILE);
    CHECK(s.problems.server == s.server);
    CHECK_INT(eddy_server_connections(s.server), 2);
    test_run_steps(s.loop, 20);
    CHECK_INT(s.problems.count, 1); /* it does not try on and on */
    CHECK_INT(s.guest_next, 2);

    /* those that were accepted go on */
    CHECK_INT(raw_send(&s, fds[0], "abc", 3), 0);
    UNTIL(&s, s.peer.received == 3);

    /* a connection of the loop has closed: the next is taken at once */
    eddy_transport_abort(s.peer.t, NULL);
    UNTIL(&s, guests[1].count[ON_MADE] == 1);
    UNTIL(&s, s.problems.count == 2);

    /* there is room by other means: it is found after a second */
    raw_close(&s, fds[0]);
    UNTIL(&s, guests[2].count[ON_MADE] == 1);
    /* Linux looks for a descriptor before it looks whether anybody waits */
    CHECK(s.problems.count <= 3);
    s.expected_problems = s.problems.count;
    for (int i = 1; i < CLIENTS; i++)
        raw_close(&s, fds[i]);
    stage_close(&s);
}

static void fail_creating_calls(void *user)
{
    struct stage s;
    struct eddy_server *server = NULL;
    struct eddy_loop *loop = NULL;
    struct eddy_error error = {.code = 0};
    (void)user;
    stage_init(&s);
    stage_open(&s);
    leave_room_for(0);
    s.descriptors += FILLERS;
    struct actor more;
    stage_add(&s, &more, false);
    s.connection_opts.error = &error;
    CHECK_INT(actor_connect(&more), -EMFILE);
    CHECK_INT(error.code, -EMFILE);
    CHECK(error.text[0] != '\0');
    CHECK(!eddy_protocol_is_attached(&more.own.base));
    CHECK_INT(eddy_create_server(s.loop, &actor_class, &s.server_opts, &server), -EMFILE);
    CHECK(server == NULL);
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.backend = test_backend(), .error = &error), &loop), -EMFILE);
    CHECK(loop == NULL);
    CHECK(error.text[0] != '\0');

    /* what there is goes on */
    CHECK_INT(eddy_transport_write(s.client.t, "abc", 3), 0);
    UNTIL(&s, s.peer.received == 3);
    stage_close(&s);
}

/* ---- cases ---- */

static void S27_accepting_waits_for_descriptors(void)
{
    test_in_child(accept_until_none_is_left, NULL);
}

static void G3_creating_calls_without_descriptors(void)
{
    test_in_child(fail_creating_calls, NULL);
}

const struct test_case test_cases[] = {
    CASE(S27_accepting_waits_for_descriptors),
    CASE(G3_creating_calls_without_descriptors),
    {NULL, NULL},
};
