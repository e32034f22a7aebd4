/* A small server's whole main(): loop, listen, run, drain on SIGINT and SIGTERM. */
#include "framework/base/log.h"
#include "framework/base/opts.h"
#include "framework/loop/loop.h"
#include "transports/listen.h"
#include <signal.h>
#include <stdio.h>

#define DRAIN_TIME EDDY_SEC(10)

struct program {
    struct eddy_loop *loop;
    struct eddy_server *server;
    struct eddy_signal interrupt, terminate;
    struct eddy_done drained;
    struct eddy_future *drain;
    eddy_nsec drain_timeout;
};

static void on_drained(struct eddy_done *d, struct eddy_future *f)
{
    (void)d;
    eddy_loop_stop(eddy_future_loop(f));
}

/* The first signal drains, the second one aborts what is left. */
static void end(struct program *me)
{
    if (me->drain) {
        eddy_server_abort_clients(me->server,
                                  EDDY_ERROR(-ECANCELED, "the server was told to end at once"));
        return;
    }
    if (eddy_server_drain(me->server, me->drain_timeout, &me->drain) == 0 &&
        eddy_future_add_done_callback(me->drain, &me->drained) == 0)
        return;
    eddy_loop_stop(me->loop);
}

static void on_interrupt(struct eddy_signal *s, int signum)
{
    (void)signum;
    end(EDDY_CONTAINER_OF(s, struct program, interrupt));
}

static void on_terminate(struct eddy_signal *s, int signum)
{
    (void)signum;
    end(EDDY_CONTAINER_OF(s, struct program, terminate));
}

static int run(struct program *me, const struct eddy_protocol_class *cls,
               const struct eddy_server_opts *o, eddy_serve_create_fn *create, const void *user)
{
    int rc = create(me->loop, cls, o, user, &me->server);

    if (rc == 0)
        rc = eddy_loop_add_signal(me->loop, &me->interrupt, SIGINT);
    if (rc == 0)
        rc = eddy_loop_add_signal(me->loop, &me->terminate, SIGTERM);
    if (rc < 0)
        return rc;
    for (unsigned i = 0;; i++) {
        struct eddy_addr a;
        char text[EDDY_ADDR_TEXT];

        if (eddy_server_sockname(me->server, i, &a) < 0)
            break;
        eddy_loop_log(me->loop, EDDY_LOG_INFO, "server", "listening on %s",
                      eddy_addr_format(&a, text, sizeof text));
    }
    if (o->started)
        o->started(me->server, o->arg);
    return eddy_loop_run_forever(me->loop);
}

static void clean_up(struct program *me)
{
    eddy_future_remove_done_callback(&me->drained);
    eddy_future_unref(me->drain);
    if (me->server) {
        eddy_server_close(me->server);
        eddy_server_unref(me->server);
    }
    eddy_loop_close(me->loop);
    eddy_loop_unref(me->loop);
}

/* Those that no other call looks at; answers as eddy_serve does. */
static int check_options(const struct eddy_server_opts *o)
{
    const char *why;
    int rc = o->loop ? eddy_opts_check(o->loop, o->loop->abi_size, sizeof *o->loop) : 0;

    if (rc < 0) {
        why = "serve: .loop is of another version; use EDDY_LOOP()";
    } else if (o->drain_timeout < 0) {
        rc = -EINVAL;
        why = "serve: .drain_timeout is negative";
    } else {
        return 0;
    }
    eddy_log_text(EDDY_LOG_ERROR, "server", why);
    return eddy_error_set(o->error, rc, "serve", "%s", why);
}

int eddy_serve_refuse(int code, const char *macro)
{
    char text[EDDY_ERROR_TEXT];

    snprintf(text, sizeof text, "serve: no options, or of another version; use %s", macro);
    eddy_log_text(EDDY_LOG_ERROR, "server", text);
    return code;
}

int eddy_serve_with(const struct eddy_protocol_class *cls, const struct eddy_server_opts *opts,
                    eddy_serve_create_fn *create, const void *user)
{
    struct eddy_error error = {.code = 0};

    int rc = check_options(opts);
    if (rc < 0)
        return rc;
    struct eddy_server_opts o = *opts;
    o.abi_size = sizeof o;
    struct eddy_loop_opts lo = opts->loop ? *opts->loop : *EDDY_LOOP(.backend = NULL);
    lo.abi_size = sizeof lo;
    struct program me = {
        .interrupt.fn = on_interrupt,
        .terminate.fn = on_terminate,
        .drained.fn = on_drained,
        .drain_timeout = o.drain_timeout ? o.drain_timeout : DRAIN_TIME,
    };
    o.error = lo.error = &error;

    rc = eddy_loop_new(&lo, &me.loop);
    if (rc == 0) {
        rc = run(&me, cls, &o, create, user);
        if (rc < 0)
            eddy_loop_log(me.loop, EDDY_LOG_ERROR, "server", "%s",
                          error.code ? error.text : eddy_strerror(rc));
        clean_up(&me);
    } else {
        eddy_log_text(EDDY_LOG_ERROR, "server", error.code ? error.text : eddy_strerror(rc));
    }
    if (rc < 0 && opts->error)
        *opts->error = error;
    return rc;
}

static int create_server(struct eddy_loop *loop, const struct eddy_protocol_class *cls,
                         const struct eddy_server_opts *o, const void *user,
                         struct eddy_server **ret)
{
    (void)user;
    return eddy_create_server(loop, cls, o, ret);
}

int eddy_serve(const struct eddy_protocol_class *cls, const struct eddy_server_opts *opts)
{
    int rc = opts ? eddy_opts_check(opts, opts->abi_size, sizeof *opts) : -EINVAL;

    return rc < 0 ? eddy_serve_refuse(rc, "EDDY_SERVER()")
                  : eddy_serve_with(cls, opts, create_server, NULL);
}
