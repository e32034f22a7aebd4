/*
 * PostgreSQL's libpq on a loop. It opens and closes its socket when it likes to: while connecting
 * it goes from one address of the server to the next, and any call may find the connection broken.
 * So the watch is there only while we wait: it is removed before libpq is called, and added when
 * libpq has no more to do, for whatever socket there is then.
 *
 * (libpq looks names of hosts up itself, and blocks meanwhile. Tell it addresses.)
 */
#include "common.h"
#include "foreign.h"

#include <eddy/eddy.h>

#include <libpq-fe.h>

/* What it has sent last. */
enum { CONNECT, LISTEN, REQUEST, DATA, NOTIFY };

/* ---- the end ---- */

void postgres_close(struct postgres *p)
{
    eddy_watch_remove(&p->watch);
    PQfinish(p->conn);
    p->conn = NULL;
}

static void fail(struct postgres *p, const char *why)
{
    p->base.failed(&p->base, why);
    postgres_close(p);
}

static void wait_for(struct postgres *p, unsigned events)
{
    int rc = eddy_loop_add_watch(p->base.loop, &p->watch, PQsocket(p->conn), events);
    if (rc < 0)
        fail(p, eddy_strerror(rc));
}

/* ---- answers; false: it has failed ---- */

static void print_rows(struct postgres *p, PGresult *res)
{
    for (int row = 0; row < PQntuples(res); row++) {
        printf("%s: ", p->base.name);
        for (int column = 0; column < PQnfields(res); column++)
            printf("%s%s", column ? " | " : "", PQgetvalue(res, row, column));
        putchar('\n');
    }
    if (PQresultStatus(res) == PGRES_COMMAND_OK)
        printf("%s: %s\n", p->base.name, PQcmdStatus(res));
}

static bool take_data(struct postgres *p, const PGresult *res)
{
    if (PQntuples(res) != 1 || (size_t)PQgetlength(res, 0, 0) != p->base.len ||
        memcmp(PQgetvalue(res, 0, 0), p->base.data, p->base.len) != 0) {
        fail(p, "the data came back changed");
        return false;
    }
    printf("%s: %zu bytes there and back\n", p->base.name, p->base.len);
    return true;
}

static bool take_result(struct postgres *p, PGresult *res)
{
    switch (PQresultStatus(res)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        break;
    case PGRES_FATAL_ERROR:
        fail(p, PQresultErrorMessage(res));
        return false;
    default: /* COPY, which has calls of its own */
        fail(p, "a result that this example does not know");
        return false;
    }
    if (p->step == DATA)
        return take_data(p, res);
    print_rows(p, res);
    return true;
}

static void take_notifications(struct postgres *p)
{
    PGnotify *n;

    while ((n = PQnotifies(p->conn))) {
        printf("%s: notified on %s: %s\n", p->base.name, n->relname, n->extra);
        PQfreemem(n);
        p->notified = true;
    }
}

/* ---- its work: one thing after the other ---- */

static int send_data(struct postgres *p)
{
    int len = (int)p->base.len, binary = 1;

    return PQsendQueryParams(p->conn, "SELECT $1::bytea", 1, NULL, &p->base.data, &len, &binary,
                             binary);
}

static bool send_next(struct postgres *p)
{
    int sent = 1;

    if (++p->step == DATA && !p->base.data)
        p->step++;
    if (p->step == LISTEN)
        sent = PQsendQuery(p->conn, "LISTEN " FOREIGN_CHANNEL);
    else if (p->step == REQUEST)
        sent = PQsendQuery(p->conn, p->base.request);
    else if (p->step == DATA)
        sent = send_data(p);
    else if (p->step == NOTIFY)
        sent = PQsendQuery(p->conn, "NOTIFY " FOREIGN_CHANNEL ", 'hello'");
    if (!sent)
        fail(p, PQerrorMessage(p->conn));
    return sent;
}

/* Takes what is there without blocking, and sends the next query after the end of each answer. */
static bool take_results(struct postgres *p)
{
    while (p->step <= NOTIFY && !PQisBusy(p->conn)) {
        PGresult *res = PQgetResult(p->conn);
        bool ok = res ? take_result(p, res) : send_next(p);
        PQclear(res);
        if (!ok)
            return false;
    }
    return true;
}

/* Whatever has become possible. What could not be sent yet waits in libpq; the server may be
 * waiting for us to read before it reads on, so it is always both. */
static void go_on(struct postgres *p)
{
    if (!PQconsumeInput(p->conn)) {
        fail(p, PQerrorMessage(p->conn));
        return;
    }
    if (!take_results(p))
        return;
    take_notifications(p);
    if (p->step > NOTIFY && p->notified && !p->done) {
        p->done = true;
        p->base.done(&p->base);
    }
    int left = PQflush(p->conn);
    if (left < 0)
        fail(p, PQerrorMessage(p->conn));
    else
        wait_for(p, left ? EDDY_READ | EDDY_WRITE : EDDY_READ);
}

/* ---- connecting ---- */

static void connect_on(struct postgres *p)
{
    switch (PQconnectPoll(p->conn)) {
    case PGRES_POLLING_READING:
        wait_for(p, EDDY_READ);
        break;
    case PGRES_POLLING_WRITING:
        wait_for(p, EDDY_WRITE);
        break;
    case PGRES_POLLING_OK:
        printf("%s: connected to server %s\n", p->base.name,
               PQparameterStatus(p->conn, "server_version"));
        PQsetnonblocking(p->conn, 1);
        if (send_next(p))
            go_on(p);
        break;
    default:
        fail(p, PQerrorMessage(p->conn));
    }
}

static void ready(struct eddy_watch *w, unsigned events)
{
    struct postgres *p = EDDY_CONTAINER_OF(w, struct postgres, watch);

    (void)events;
    eddy_watch_remove(w);
    if (p->step == CONNECT)
        connect_on(p);
    else
        go_on(p);
}

/* What the server says unasked, such as that it is shut down. */
static void notice(void *arg, const char *text)
{
    struct postgres *p = arg;
    printf("%s: %s", p->base.name, text); /* with a newline */
}

void postgres_start(struct postgres *p)
{
    p->watch.fn = ready;
    p->conn = PQconnectStart(p->base.address);
    if (!p->conn) {
        fail(p, eddy_strerror(-ENOMEM));
    } else if (PQstatus(p->conn) == CONNECTION_BAD) {
        fail(p, PQerrorMessage(p->conn));
    } else {
        PQsetNoticeProcessor(p->conn, notice, p);
        wait_for(p, EDDY_WRITE); /* as after PGRES_POLLING_WRITING */
    }
}
