#include "transports/connecting.h"

#include "framework/base/alloc.h"
#include "transports/fdstream.h"
#include "transports/unix.h"
#include <stdio.h>
#include <string.h>

/* Between two attempts while a unix server's backlog is full: twice as long each time. */
#define FIRST_PAUSE EDDY_MSEC(1)
#define LONGEST_PAUSE EDDY_MSEC(100)

/* ---- an end ---- */

static const struct eddy_addr *address(const struct end *e, size_t i)
{
    return e->answer ? &e->answer->list[i].addr : &e->own[i];
}

static bool is_asked(const struct end *e)
{
    return eddy_query_is_pending(&e->query);
}

/* ---- what is said of it ---- */

/* "example.org:80", or the address that was given. */
static const char *target(const struct connecting *c, char *buf)
{
    const struct eddy_query *q = &c->host.query;

    if (q->host)
        snprintf(buf, EDDY_ADDR_TEXT, "%.100s:%d", q->host, q->port);
    else if (c->host.count > 0)
        eddy_addr_format(&c->host.own[0], buf, EDDY_ADDR_TEXT);
    else
        snprintf(buf, EDDY_ADDR_TEXT, "a socket");
    return buf;
}

/* Adds an item to a list of them in words, or "..." if it does not fit. */
static void add_item(char *text, size_t size, const char *separator, const char *item)
{
    size_t len = strlen(text);
    size_t more = strlen(separator) + strlen(item);

    if (len >= 3 && strcmp(text + len - 3, "...") == 0)
        return;
    if (len + more + sizeof ", ..." <= size)
        snprintf(text + len, size - len, "%s%s", len > 0 ? separator : "", item);
    else
        snprintf(text + len, size - len, "%s...", len > 0 ? separator : "");
}

/* What it is connecting to at the moment. */
static const char *running(const struct connecting *c, char *buf, size_t size)
{
    char text[EDDY_ADDR_TEXT];

    *buf = '\0';
    for (size_t i = 0; i < c->race.begun; i++) {
        if (c->opened[i])
            add_item(buf, size, ", ", eddy_addr_format(c->to[i], text, sizeof text));
    }
    return buf;
}

static const char connect_to[] = "connect to ";

static bool all_alike(const struct connecting *c)
{
    size_t i = 1;

    while (i < c->race.count && strcmp(c->errors[i].text, c->errors[0].text) == 0)
        i++;
    return i == c->race.count;
}

static void say_each(const struct connecting *c, struct eddy_error *ret)
{
    char name[EDDY_ADDR_TEXT], list[EDDY_ERROR_TEXT] = "";
    char start[96];

    snprintf(start, sizeof start, "%s%.40s: %zu attempt%s failed: ", connect_to, target(c, name),
             c->race.count, c->race.count > 1 ? "s" : "");
    for (size_t i = 0; i < c->race.count; i++)
        add_item(list, sizeof list - strlen(start), "; ",
                 c->errors[i].text + sizeof connect_to - 1);
    eddy_error_set(ret, c->errors[0].code, "connect", "%s%s", start, list);
}

/* All attempts have failed: contract S8. */
static void sum_up(const struct connecting *c, struct eddy_error *ret)
{
    *ret = c->errors[0];
    if (c->all_errors || !all_alike(c))
        say_each(c, ret);
    if (c->all_errors) {
        ret->code = EDDY_EMULTIPLE;
        ret->detail = (int)c->race.count;
        ret->children = c->errors;
    }
}

/* Contract S14. */
static void log_success(const struct connecting *c)
{
    struct eddy_transport *t = &c->o.opened->t;
    char name[EDDY_ADDR_TEXT], peer[EDDY_ADDR_TEXT] = "";
    struct eddy_addr a;

    if (!c->o.loop->debug)
        return;
    if (eddy_transport_peername(t, &a) == 0)
        eddy_addr_format(&a, peer, sizeof peer);
    eddy_loop_log(c->o.loop, EDDY_LOG_DEBUG, "connect", "fd %d connected to %s: (%s %s, %s)",
                  t->io.fd, target(c, name), t->cls->name, peer, c->o.protocol->cls->name);
}

/* ---- the end of it ---- */

/* The sockets of all attempts but the winner's. */
static void drop_losers(struct connecting *c)
{
    for (size_t i = 0; i < c->race.begun; i++) {
        struct opened *s = c->opened[i];

        c->opened[i] = NULL;
        if (s && s != c->o.opened)
            eddy_opened_drop(s);
    }
}

static void stop(struct opening *o)
{
    struct connecting *c = (struct connecting *)o;

    eddy_query_cancel(&c->host.query);
    eddy_query_cancel(&c->local.query);
    eddy_timer_cancel(&c->deadline);
    eddy_timer_cancel(&c->retry);
    eddy_handle_cancel(&c->decide);
    eddy_race_stop(&c->race);
    drop_losers(c);
}

static void fini(struct opening *o)
{
    struct connecting *c = (struct connecting *)o;

    eddy_answer_free(c->host.answer);
    eddy_answer_free(c->local.answer);
    eddy_limits_unref(c->limits);
    eddy_limits_unref(c->tls_limits);
    eddy_tls_unref(c->tls.tls);
    if (c->tls.early_data_len > 0)
        explicit_bzero((void *)(uintptr_t)c->tls.early_data, c->tls.early_data_len);
    eddy_free(c->errors);
}

const struct opening_class eddy_connecting_class = {.op = "connect", .stop = stop, .fini = fini};

static void deadline_passed(struct eddy_timer *t)
{
    struct connecting *c = EDDY_CONTAINER_OF(t, struct connecting, deadline);
    double seconds = (double)c->timeout / 1e9;
    char name[EDDY_ADDR_TEXT], list[80];
    struct eddy_error e;

    if (is_asked(&c->host) || is_asked(&c->local))
        eddy_error_set(&e, -ETIMEDOUT, "connect",
                       "%s%.60s: %.60s was not looked up within %.3g seconds", connect_to,
                       target(c, name),
                       is_asked(&c->host) ? c->host.query.host : c->local.query.host, seconds);
    else if (c->in_handshake)
        eddy_error_set(&e, -ETIMEDOUT, "connect", "%s%s: no TLS handshake within %.3g seconds",
                       connect_to, target(c, name), seconds);
    else if (c->host.query.host)
        eddy_error_set(&e, -ETIMEDOUT, "connect", "%s%.60s (%s): not connected within %.3g seconds",
                       connect_to, target(c, name), running(c, list, sizeof list), seconds);
    else
        eddy_error_set(&e, -ETIMEDOUT, "connect", "%s%s: not connected within %.3g seconds",
                       connect_to, target(c, name), seconds);
    eddy_opening_fail(&c->o, &e);
}

/* ---- the winner ---- */

static void encrypted(void *user, struct opened *upper, const struct eddy_error *error)
{
    struct connecting *c = user;

    (void)upper; /* is c->o.opened */
    if (error)
        eddy_opening_fail(&c->o, error);
    else
        eddy_opening_succeed(&c->o);
}

/* c may be gone when it returns. */
static void encrypt(struct connecting *c)
{
    struct opened *lower = c->o.opened;
    const struct tls_connection t = {.host = c->tls.server_hostname,
                                     .port = c->host.query.port,
                                     .limits = c->tls_limits,
                                     .done = encrypted,
                                     .user = c};

    c->in_handshake = true;
    drop_losers(c); /* they must not win any more */
    lower->opening = NULL;
    if (tls_start(&lower->t, &c->tls, &t, &c->o.loop->transports, &c->o.opened) < 0)
        eddy_opening_fail(&c->o, EDDY_ERROR(-ENOMEM, "connect: no memory"));
}

static void win(struct connecting *c)
{
    log_success(c);
    if (c->tls.use_tls)
        encrypt(c);
    else
        eddy_opening_succeed(&c->o);
}

static void decide(struct eddy_handle *h)
{
    win(EDDY_CONTAINER_OF(h, struct connecting, decide));
}

void eddy_connecting_won_later(struct connecting *c)
{
    eddy_loop_call_soon(c->o.loop, &c->decide);
}

/* Others that have connected at the same time are heard of before the next iteration: contract
 * S10. */
static void succeeded(struct connecting *c, size_t i)
{
    bool first = !c->o.opened;

    if (first || i < c->winner) {
        c->winner = i;
        c->o.opened = c->opened[i];
    }
    eddy_race_stop(&c->race);
    if (!c->tls.use_tls)
        eddy_timer_cancel(&c->deadline);
    if (first && c->race.running == 1)
        win(c);
    else
        eddy_connecting_won_later(c);
}

/* ---- an attempt ---- */

static size_t index_of(const struct connecting *c, const struct opened *s)
{
    size_t i = 0;

    while (c->opened[i] != s)
        i++;
    return i;
}

/* It may be the local address that was refused. */
static void note(struct connecting *c, size_t i, int code, const struct eddy_addr *local)
{
    char to[EDDY_ADDR_TEXT], from[EDDY_ADDR_TEXT];

    eddy_addr_format(c->to[i], to, sizeof to);
    if (local)
        eddy_error_set(&c->errors[i], code, "connect", "%s%s from %s: %s", connect_to, to,
                       eddy_addr_format(local, from, sizeof from), eddy_strerror(code));
    else
        eddy_error_set(&c->errors[i], code, "connect", "%s%s: %s", connect_to, to,
                       eddy_strerror(code));
}

static void failed(struct connecting *c, size_t i, int code)
{
    struct opened *s = c->opened[i];

    note(c, i, code, NULL);
    c->opened[i] = NULL;
    eddy_opened_drop(s);
    if (!c->o.opened) /* else another has won */
        eddy_race_failed(&c->race, i);
}

static void connected(struct eddy_io *io, int err)
{
    struct opened *s = (struct opened *)io;
    struct connecting *c = (struct connecting *)s->opening;
    size_t i = index_of(c, s);

    if (err < 0) {
        failed(c, i, err);
        return;
    }
    eddy_fdstream_nodelay(io->loop, io->fd);
    succeeded(c, i);
}

static const struct eddy_io_class connecting_io = {
    .name = "client stream",
    EDDY_FDSTREAM_IO,
    .connected = connected,
};

static void unix_connected(struct eddy_io *io, int err)
{
    struct opened *s = (struct opened *)io;
    struct connecting *c = (struct connecting *)s->opening;

    if (err == 0 && c->max_fds > 0)
        err = eddy_unix_pass_fds(&s->t, c->max_fds);
    if (err < 0)
        failed(c, 0, err);
    else
        succeeded(c, 0);
}

static const struct eddy_io_class connecting_unix_io = {
    .name = "unix client",
    EDDY_UNIX_IO,
    .connected = unix_connected,
};

struct opened *eddy_connecting_transport(struct connecting *c, bool is_unix)
{
    struct opened *s =
        eddy_opened_new(sizeof *s, c->o.loop, is_unix ? &eddy_unix_transport : &eddy_tcp_transport,
                        is_unix ? &connecting_unix_io : &connecting_io, c->limits, c->site);

    if (s)
        s->opening = &c->o;
    return s;
}

/* ---- a unix server's backlog is full: no readiness tells when it is not ---- */

static void wait_for_backlog(struct connecting *c)
{
    eddy_loop_call_later(c->o.loop, &c->retry, c->pause);
    c->pause = c->pause < LONGEST_PAUSE / 2 ? c->pause * 2 : LONGEST_PAUSE;
}

static void try_again(struct eddy_timer *t)
{
    struct connecting *c = EDDY_CONTAINER_OF(t, struct connecting, retry);
    int rc = eddy_io_connect(&c->opened[0]->t.io, c->to[0], NULL);

    if (rc == -EAGAIN)
        wait_for_backlog(c);
    else if (rc < 0)
        failed(c, 0, rc);
}

/* ---- the beginning of an attempt ---- */

/* What another local address may be spared. */
static bool is_of_local_address(int code)
{
    return code == -EADDRINUSE || code == -EADDRNOTAVAIL || code == -EACCES || code == -EINVAL;
}

/* From the first local address of the family that can be had: contract S7. The one it came to is in
 * *ret_local, NULL: there is none. */
static int connect_from(struct connecting *c, struct eddy_io *io, const struct eddy_addr *to,
                        const struct eddy_addr **ret_local)
{
    int rc = 1;

    *ret_local = NULL;
    if (c->local.count == 0)
        return eddy_io_connect(io, to, NULL);
    for (size_t i = 0; i < c->local.count; i++) {
        const struct eddy_addr *local = address(&c->local, i);

        if (local->u.sa.sa_family != to->u.sa.sa_family)
            continue;
        *ret_local = local;
        rc = eddy_io_connect(io, to, local);
        if (rc >= 0 || !is_of_local_address(rc))
            break;
    }
    return rc;
}

/* 0, or what it has failed with, which is noted. */
static int try_address(struct connecting *c, size_t i, struct opened *s)
{
    const struct eddy_addr *to = c->to[i], *local;
    struct eddy_sys *sys = c->o.loop->sys;

    eddy_transport_set_peername(&s->t, to);
    int rc = connect_from(c, &s->t.io, to, &local);
    if (rc == -EAGAIN && to->u.sa.sa_family == AF_UNIX) {
        wait_for_backlog(c);
        return 0;
    }
    if (rc > 0) {
        char text[EDDY_ADDR_TEXT];

        return eddy_error_set(&c->errors[i], -EADDRNOTAVAIL, "connect",
                              "%s%s: no matching local address with family=%s found", connect_to,
                              eddy_addr_format(to, text, sizeof text),
                              to->u.sa.sa_family == AF_INET6 ? "AF_INET6" : "AF_INET");
    }
    if (rc < 0)
        note(c, i, rc, local);
    else if (c->keep_alive)
        sys->cls->setsockopt(sys, s->t.io.fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    return rc;
}

static bool begin_attempt(struct race *r, size_t i)
{
    struct connecting *c = EDDY_CONTAINER_OF(r, struct connecting, race);
    bool is_unix = c->to[i]->u.sa.sa_family == AF_UNIX;
    struct opened *s = eddy_connecting_transport(c, is_unix);

    if (!s) {
        note(c, i, -ENOMEM, NULL);
        return false;
    }
    if (try_address(c, i, s) < 0) {
        eddy_opened_drop(s);
        return false;
    }
    c->opened[i] = s;
    return true;
}

static void lost(struct race *r)
{
    struct connecting *c = EDDY_CONTAINER_OF(r, struct connecting, race);
    struct eddy_error e;

    sum_up(c, &e);
    eddy_opening_fail(&c->o, &e);
}

static const struct race_class race_class = {.begin = begin_attempt, .lost = lost};

/* ---- the addresses are known ---- */

/* -ENOMEM. */
static int make_room(struct connecting *c, size_t n)
{
    char *room = eddy_zalloc(n * (sizeof *c->errors + sizeof *c->opened + sizeof *c->to));

    if (!room)
        return -ENOMEM;
    c->errors = (struct eddy_error *)(void *)room;
    c->opened = (struct opened **)(void *)(c->errors + n);
    c->to = (const struct eddy_addr **)(void *)(c->opened + n);
    c->race.count = n;
    for (size_t i = 0; i < n; i++)
        c->to[i] = address(&c->host, i);
    if (c->lead > 0)
        eddy_interleave(c->to, n, c->lead);
    return 0;
}

/* -ENOMEM: nothing was begun; else 0 and whether an attempt is under way. */
static int start_race(struct connecting *c, bool *ret_running)
{
    int rc = make_room(c, c->host.count);

    if (rc == 0)
        *ret_running = eddy_race_start(&c->race, &race_class, c->o.loop);
    return rc;
}

static void start_race_from_loop(struct connecting *c)
{
    struct eddy_error e;
    char name[EDDY_ADDR_TEXT];
    bool running = false;

    if (start_race(c, &running) == 0) {
        if (!running)
            lost(&c->race);
        return;
    }
    eddy_error_set(&e, -ENOMEM, "connect", "%s%s: no memory", connect_to, target(c, name));
    eddy_opening_fail(&c->o, &e);
}

static bool is_want_of_resources(int code)
{
    return code == -EMFILE || code == -ENFILE || code == -ENOMEM || code == -ENOBUFS;
}

/* The address was given: what is wrong with us is the caller's to hear of. */
static int start_race_from_call(struct connecting *c, struct eddy_error *error)
{
    struct eddy_error e;
    bool running = false;

    if (start_race(c, &running) < 0)
        return eddy_error_set(error, -ENOMEM, "connect", "no memory");
    if (running)
        return 0;
    if (is_want_of_resources(c->errors[0].code)) {
        if (error)
            *error = c->errors[0];
        return c->errors[0].code;
    }
    sum_up(c, &e);
    eddy_opening_fail_later(&c->o, &e);
    return 0;
}

/* ---- look-ups ---- */

static void known(struct connecting *c, struct end *e, void *answer, const struct eddy_error *error)
{
    if (error) {
        eddy_opening_fail(&c->o, error);
        return;
    }
    e->answer = answer;
    e->count = e->answer->count;
    if (!is_asked(&c->host) && !is_asked(&c->local))
        start_race_from_loop(c);
}

static void host_known(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    struct connecting *c = EDDY_CONTAINER_OF(q, struct connecting, host.query);

    known(c, &c->host, answer, error);
}

static void local_known(struct eddy_query *q, void *answer, const struct eddy_error *error)
{
    struct connecting *c = EDDY_CONTAINER_OF(q, struct connecting, local.query);

    known(c, &c->local, answer, error);
}

static int ask(struct connecting *c, struct end *e, struct eddy_error *error)
{
    /* Under a deadline of our own the resolver's is not needed. */
    e->query.timeout = c->timeout > 0 ? EDDY_OFF : c->timeout;
    return e->query.host ? eddy_query_start(c->o.loop, &e->query, error) : 0;
}

/* ---- the beginning ---- */

static void set_options(struct connecting *c, const struct eddy_connection_opts *o)
{
    bool sequential = o->happy_eyeballs_delay == EDDY_OFF;

    c->race.delay = o->happy_eyeballs_delay ? o->happy_eyeballs_delay : EDDY_MSEC(250);
    c->lead = o->interleave > 0 ? (size_t)o->interleave : o->interleave == 0 && !sequential;
    c->site = o->site;
    c->timeout = o->timeout;
    c->keep_alive = o->keep_alive;
    c->all_errors = o->all_errors;
}

/* What is asked for and verified, and what is sent early, behind the strings of the ends. */
static void set_tls(struct connecting *c, const struct connect_request *r, struct eddy_tls *context,
                    const char *name, char *at)
{
    c->tls = r->tls;
    c->tls.tls = eddy_tls_ref(context);
    c->tls.server_hostname = NULL;
    if (name) {
        c->tls.server_hostname = strcpy(at, name);
        at += strlen(name) + 1;
    }
    if (c->tls.early_data_len > 0)
        c->tls.early_data = memcpy(at, r->tls.early_data, c->tls.early_data_len);
}

int eddy_connecting_new(const struct connect_request *r, struct eddy_tls *context, size_t room,
                        struct connecting **ret)
{
    const struct eddy_connection_opts *o = r->o;
    const char *name = !r->tls.use_tls || r->tls.server_side ? NULL
                       : r->tls.server_hostname              ? r->tls.server_hostname
                                                             : o->host;
    size_t more = (name ? strlen(name) + 1 : 0) + r->tls.early_data_len;
    const struct eddy_limits wanted = STREAM_LIMITS(o);
    struct eddy_limits *limits, *tls_limits;
    int rc = tls_limits_new(r->tls.use_tls, &wanted, &limits, &tls_limits);
    struct connecting *c = rc == 0 ? eddy_zalloc(sizeof *c + room + more) : NULL;

    *ret = c;
    if (!c) {
        eddy_limits_unref(limits);
        eddy_limits_unref(tls_limits);
        return rc == -EINVAL ? rc : 0;
    }
    c->host.query.done = host_known;
    c->local.query.done = local_known;
    c->deadline.fn = deadline_passed;
    c->retry.fn = try_again;
    c->decide.fn = decide;
    c->pause = FIRST_PAUSE;
    c->max_fds = r->max_fds;
    c->limits = limits;
    c->tls_limits = tls_limits;
    c->host.query.port = o->port;
    set_options(c, o);
    set_tls(c, r, context, name, c->strings + room);
    return 0;
}

int eddy_connecting_start(struct connecting *c, struct eddy_error *error)
{
    int rc;

    if (c->host.query.host || c->local.query.host) {
        rc = ask(c, &c->host, error);
        if (rc == 0)
            rc = ask(c, &c->local, error);
    } else {
        rc = start_race_from_call(c, error);
    }
    if (rc == 0 && c->timeout > 0 && !c->o.error.code)
        eddy_loop_call_later_site(c->o.loop, &c->deadline, c->timeout, c->site);
    return rc;
}
