/*
 * The two clients of foreign_fd.c: libraries of others, which open sockets of their own and want to
 * know when these are ready. Eddy answers with watches. A watch borrows its descriptor; a
 * descriptor has at most one for reading and one for writing. There is one rule to keep: remove the
 * watch before the library closes its descriptor. Each client has its own way to do so.
 */
#ifndef EXAMPLES_FOREIGN_H
#define EXAMPLES_FOREIGN_H

#include <eddy/eddy.h>

/* What the clients have in common. Fill it in, and zero the rest of them. */
struct foreign {
    struct eddy_loop *loop;
    const char *name;    /* before each line that it prints */
    const char *address; /* of its server */
    const char *request; /* sent once; the answer is printed */
    const char *data;    /* NULL, or `len` bytes to be sent; the answer is compared with them */
    size_t len;
    /* All was answered, and its own message came back. It listens on. */
    void (*done)(struct foreign *f);
    /* It has ended, and calls nobody any more. `why` dies with the call, which may come from inside
     * the starting call, too. */
    void (*failed)(struct foreign *f, const char *why);
};

/* Where both listen, and speak to themselves. */
#define FOREIGN_CHANNEL "eddy"

/* ---- foreign_postgres.c ---- */

struct pg_conn; /* libpq's PGconn */

struct postgres {
    struct foreign base;
    struct pg_conn *conn;
    struct eddy_watch watch;
    int step; /* how far it is with its work */
    bool notified, done;
};

void postgres_start(struct postgres *p);
/* At once; harmless on one that has ended or was not started. */
void postgres_close(struct postgres *p);

/* ---- foreign_redis.c ---- */

struct redis;
struct redisAsyncContext;

/* A connection, and what hiredis needs of a loop for it. */
struct redis_link {
    struct redis *redis;
    struct redisAsyncContext *context; /* NULL: there is none, or hiredis is about to free it */
    struct eddy_watch reader, writer;
    struct eddy_timer timer;
    struct eddy_handle broken; /* a watch could not be added, where hiredis takes no error */
    int error;
};

struct redis {
    struct foreign base;
    struct redis_link commands, messages; /* while one is subscribed it takes no commands */
    int waiting;                          /* for so many answers and messages */
    bool failed;
};

void redis_start(struct redis *r);
void redis_close(struct redis *r);

#endif
