/*
 * A name with many addresses on the simulated network, and a client that tries them: which attempt
 * begins when, which sockets are open, and what comes of it. A test says how each address answers.
 */
#ifndef TESTS_CONTRACT_CONNECTIONS_RACE_H
#define TESTS_CONTRACT_CONNECTIONS_RACE_H

#include "tests/support/stream.h"
#include <eddy/sim.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ATTEMPTS 64
#define NAME "many.example"

struct race {
    struct stage s;
    struct eddy_sim_opts sim;
    /* "1@0 2@250 CM@260": attempts as they begin and what comes of them, in ms. */
    struct test_trace trace;
    struct test_trace closed; /* attempts as their sockets are closed */
    eddy_nsec start;
    eddy_nsec begun_at[MOST_ATTEMPTS], ended_at;
    int fds[MOST_ATTEMPTS]; /* -1: closed */
    int families[MOST_ATTEMPTS];
    int begun, open, most_open, open_when_made;
    int listeners[2];
};

static inline struct eddy_sim *race_sim(struct race *r)
{
    return test_sim(r->s.loop);
}

/* Since the connecting began. */
static inline eddy_nsec race_time(struct race *r)
{
    return eddy_loop_time(r->s.loop) - r->start;
}

/* ---- what is seen ---- */

static inline void race_socket(struct race *r, eddy_nsec now, int fd, int family)
{
    REQUIRE(r->begun < MOST_ATTEMPTS);
    r->fds[r->begun] = fd;
    r->families[r->begun] = family;
    r->begun_at[r->begun++] = now - r->start;
    if (++r->open > r->most_open)
        r->most_open = r->open;
    test_trace(&r->trace, "%d@%lld", r->begun, (long long)((now - r->start) / EDDY_MSEC(1)));
}

static inline void race_closed(struct race *r, eddy_nsec now, int fd)
{
    for (int i = 0; i < r->begun; i++) {
        if (r->fds[i] != fd)
            continue;
        r->fds[i] = -1;
        r->open--;
        test_trace(&r->closed, "%d@%lld", i + 1, (long long)((now - r->start) / EDDY_MSEC(1)));
    }
}

static inline void race_line(void *user, const char *line)
{
    struct race *r = user;
    long long seconds, usec, fd, family;
    if (r->start == 0)
        return;
    if (sscanf(line, "%lld.%lld socket %lld %lld", &seconds, &usec, &fd, &family) == 4 && fd >= 0)
        race_socket(r, EDDY_SEC(seconds) + EDDY_USEC(usec), (int)fd, (int)family);
    else if (sscanf(line, "%lld.%lld close %lld", &seconds, &usec, &fd) == 3)
        race_closed(r, EDDY_SEC(seconds) + EDDY_USEC(usec), (int)fd);
}

static inline void race_note(struct actor *a, const char *what)
{
    struct race *r = a->user;
    r->ended_at = race_time(r);
    r->open_when_made = r->open;
    test_trace(&r->trace, "%s@%lld", what, (long long)(r->ended_at / EDDY_MSEC(1)));
}

static inline void race_made(struct actor *a)
{
    race_note(a, "CM");
}

static inline void race_failed(struct actor *a)
{
    char what[64];
    snprintf(what, sizeof what, "CF(%s)", test_code(a->err->code));
    race_note(a, what);
}

/* ---- the world ---- */

static inline int race_listen(struct race *r, const char *any, int port)
{
    struct eddy_sys *sys = r->s.sys;
    struct eddy_addr a;
    CHECK_INT(eddy_addr_parse(any, port, &a), 0);
    int fd = sys->cls->socket(sys, a.u.sa.sa_family, SOCK_STREAM, 0);
    REQUIRE(fd >= 0);
    CHECK_INT(sys->cls->bind(sys, fd, &a), 0);
    CHECK_INT(sys->cls->listen(sys, fd, 10000), 0);
    return fd;
}

/* Options of the stage's loop, client and sim may be set between these two. */
static inline void race_init(struct race *r)
{
    memset(r, 0, sizeof *r);
    stage_init(&r->s);
    r->sim = *EDDY_SIM(.late = 1, .trace = race_line, .user = r);
    r->s.client.user = r;
    r->s.client.on[ON_MADE] = race_made;
    r->s.client.on[ON_FAILED] = race_failed;
    r->s.connection_opts = *EDDY_CONNECTION(.host = NAME, .port = 80);
}

static inline void race_begin(struct race *r)
{
    test_next_sim(&r->sim);
    stage_begin(&r->s);
    r->listeners[0] = race_listen(r, "0.0.0.0", 80);
    r->listeners[1] = race_listen(r, "::", 80);
}

static inline struct eddy_addr race_addr(const char *host)
{
    struct eddy_addr a;
    CHECK_INT(eddy_addr_parse(host, 80, &a), 0);
    return a;
}

/* Connecting to it ends after so long. */
static inline void race_host(struct race *r, const char *host, enum eddy_sim_host behaviour,
                             eddy_nsec delay)
{
    struct eddy_addr a = race_addr(host);
    CHECK_INT(eddy_sim_set_host(race_sim(r), &a, behaviour), 0);
    CHECK_INT(eddy_sim_set_host_delay(race_sim(r), &a, delay), 0);
}

/* Hosts are parted by spaces. */
static inline void race_name(struct race *r, const char *name, const char *hosts, eddy_nsec delay)
{
    struct eddy_addr list[MOST_ATTEMPTS];
    char text[64];
    size_t n = 0;
    int len;
    for (; sscanf(hosts, "%63s%n", text, &len) == 1; hosts += len)
        list[n++] = race_addr(text);
    CHECK_INT(eddy_sim_add_name(race_sim(r), name, list, n, delay), 0);
}

/* ---- the course of it ---- */

static inline int race_connect(struct race *r)
{
    r->start = eddy_loop_time(r->s.loop);
    return actor_connect(&r->s.client);
}

static inline bool race_is_over(const struct race *r)
{
    return r->s.client.done && (r->s.client.t || r->s.client.count[ON_FINI] == 1);
}

/* Connects, until there is a connection or none. */
static inline void race_run(struct race *r)
{
    CHECK_INT(race_connect(r), 0);
    UNTIL(&r->s, race_is_over(r));
}

static inline void race_close(struct race *r)
{
    raw_close(&r->s, r->listeners[0]);
    raw_close(&r->s, r->listeners[1]);
    stage_close(&r->s);
    CHECK_INT(r->open, 0);
}

/* The text of an error; %R stands for "refused", %U for "unreachable" in the system's words. */
static inline void race_check_text(const struct eddy_error *e, const char *expected)
{
    char text[EDDY_ERROR_TEXT + 64] = "";
    for (; *expected; expected++) {
        size_t len = strlen(text);
        const char *word = expected[0] != '%'   ? NULL
                           : expected[1] == 'R' ? eddy_strerror(-ECONNREFUSED)
                                                : eddy_strerror(-EHOSTUNREACH);
        snprintf(text + len, sizeof text - len, "%.*s", word ? 64 : 1, word ? word : expected);
        expected += word != NULL;
    }
    CHECK_STR(e->text, text);
}

/* Whom the client is connected to. */
static inline const char *race_winner(struct race *r)
{
    static char text[EDDY_ADDR_TEXT];
    struct eddy_addr a;
    if (!r->s.client.t || eddy_transport_peername(r->s.client.t, &a) < 0)
        return "nobody";
    return eddy_addr_format(&a, text, sizeof text);
}

#endif
