#include "tests/support/nodes.h"

#include <signal.h>

void test_handle_fn(struct eddy_handle *node)
{
    struct test_handle *h = EDDY_CONTAINER_OF(node, struct test_handle, node);
    test_trace(h->trace, "%s", h->name);
    if (h->then)
        h->then(h);
}

void test_timer_fn(struct eddy_timer *node)
{
    struct test_timer *t = EDDY_CONTAINER_OF(node, struct test_timer, node);
    test_trace(t->trace, "%s", t->name);
    if (t->then)
        t->then(t);
}

void test_post_fn(struct eddy_post *node, int status)
{
    struct test_post *p = EDDY_CONTAINER_OF(node, struct test_post, node);
    if (status == 0)
        test_trace(p->trace, "%s", p->name);
    else
        test_trace(p->trace, "%s(%s)", p->name, test_code(status));
    if (p->then)
        p->then(p);
}

void test_watch_fn(struct eddy_watch *node, unsigned events)
{
    struct test_watch *w = EDDY_CONTAINER_OF(node, struct test_watch, node);
    test_trace(w->trace, "%s(%s%s)", w->name, events & EDDY_READ ? "R" : "",
               events & EDDY_WRITE ? "W" : "");
    CHECK_INT(events & ~(unsigned)(EDDY_READ | EDDY_WRITE), 0);
    if (w->then)
        w->then(w);
}

static const char *signal_name(int signum)
{
    return signum == SIGUSR1 ? "USR1" : signum == SIGUSR2 ? "USR2" : "?";
}

void test_signal_fn(struct eddy_signal *node, int signum)
{
    struct test_signal *s = EDDY_CONTAINER_OF(node, struct test_signal, node);
    test_trace(s->trace, "%s(%s)", s->name, signal_name(signum));
    if (s->then)
        s->then(s);
}

void test_done_fn(struct eddy_done *node, struct eddy_future *future)
{
    struct test_done *d = EDDY_CONTAINER_OF(node, struct test_done, node);
    CHECK(eddy_future_is_done(future));
    test_trace(d->trace, "%s", d->name);
    if (d->then)
        d->then(d);
}

void test_handle_stop(struct test_handle *h)
{
    eddy_loop_stop(h->user);
}

void test_timer_stop(struct test_timer *t)
{
    eddy_loop_stop(t->user);
}

void test_post_stop(struct test_post *p)
{
    eddy_loop_stop(p->user);
}

void test_watch_stop(struct test_watch *w)
{
    eddy_loop_stop(w->user);
}

void test_signal_stop(struct test_signal *s)
{
    eddy_loop_stop(s->user);
}
