/* A file over a socket of the user's: tried at once, then whenever a watch finds room. */
#include "framework/base/alloc.h"
#include "framework/loop/file_part.h"
#include "framework/loop/loop.h"
#include "framework/loop/sock.h"
#include <sys/socket.h>

struct sending {
    struct file_part part; /* first: the future's value, to which it then belongs */
    struct eddy_loop *loop;
    struct eddy_resource resource;
    struct eddy_future *future;
    struct eddy_watch watch;
    eddy_fd sock;
    bool by_call;
    char *copy, *start, *end; /* bytes read, and not sent yet */
};

/* ---- the end ---- */

static void free_value(void *value)
{
    eddy_free(value);
}

/* Nobody calls it any more: the future is the caller's to complete. */
static struct eddy_future *let_go(struct sending *s)
{
    struct eddy_future *f = s->future;

    eddy_watch_remove(&s->watch);
    eddy_link_remove(&s->resource.link);
    eddy_future_on_cancel(f, NULL, NULL);
    file_part_end(&s->part);
    eddy_free(s->copy);
    return f;
}

static void succeed(struct sending *s)
{
    struct eddy_future *f = let_go(s);

    eddy_future_set_result(f, &s->part.sent, free_value);
    eddy_future_unref(f);
}

static void fail(struct sending *s, int code)
{
    struct eddy_error e;

    file_part_explain(&s->part, code, &e);
    struct eddy_future *f = let_go(s);
    eddy_free(s);
    eddy_future_set_error(f, &e);
    eddy_future_unref(f);
}

static void cancelled(struct eddy_future *f, void *user)
{
    let_go(user);
    eddy_free(user);
    eddy_future_unref(f); /* not the last one: it is being cancelled */
}

/* An answer, but none that is owed attention. */
static void loop_closing(struct eddy_resource *r)
{
    struct sending *s = EDDY_CONTAINER_OF(r, struct sending, resource);
    struct eddy_future *f = eddy_future_ref(s->future);

    fail(s, EDDY_ELOOP_CLOSED);
    eddy_future_error(f);
    eddy_future_unref(f);
}

/* ---- sending: how many bytes; 0: all is sent; or the code that ends it, or -EAGAIN ---- */

static ssize_t send_by_call(struct sending *s, size_t most)
{
    struct eddy_sys *sys = s->loop->sys;
    struct file_part *p = &s->part;
    size_t len = file_part_next(p, most);
    ssize_t n = len == 0 ? 0 : sys->cls->sendfile(sys, s->sock, p->fd, p->offset + p->taken, len);

    if (n > 0)
        file_part_sent(p, (size_t)n);
    return n;
}

static ssize_t send_copied(struct sending *s)
{
    struct eddy_sys *sys = s->loop->sys;
    ssize_t n = sys->cls->send(sys, s->sock, s->start, (size_t)(s->end - s->start));

    if (n > 0) {
        s->start += n;
        s->part.sent += n;
    }
    return n;
}

/* Gets what is sent next. */
static ssize_t copy(struct sending *s)
{
    if (!s->copy)
        s->copy = eddy_alloc(FILE_COPY);
    if (!s->copy)
        return -ENOMEM;
    ssize_t n = file_part_read(&s->part, s->loop->sys, s->copy);
    s->start = s->copy;
    s->end = s->copy + (n > 0 ? n : 0);
    return n;
}

/* ---- the turns ---- */

enum turn {
    WAITS,
    ENDED, /* and s is gone */
};

static enum turn end(struct sending *s, ssize_t code)
{
    if (code < 0)
        fail(s, (int)code);
    else
        succeed(s);
    return ENDED;
}

/* Then the end needs no room, and is told at once. */
static bool is_all_sent(const struct sending *s)
{
    return s->part.left == 0 && s->start == s->end;
}

static enum turn take_turn(struct sending *s)
{
    size_t turn = FILE_TURN;

    while (turn > 0 || is_all_sent(s)) {
        bool copied = s->start < s->end;
        ssize_t n;

        if (!copied && !s->by_call) {
            n = s->part.no_fallback ? EDDY_ESENDFILE_NA : copy(s);
            if (n <= 0)
                return end(s, n);
            continue;
        }
        n = copied ? send_copied(s) : send_by_call(s, turn);
        if (n == -EAGAIN)
            return WAITS;
        if (n < 0 && !copied && !file_part_is_of_socket((int)n)) {
            s->by_call = false;
            n = file_part_refused(&s->part, (int)n);
            if (n == 0)
                continue;
        }
        if (n <= 0)
            return end(s, n);
        turn -= (size_t)n < turn ? (size_t)n : turn;
    }
    return WAITS;
}

static void ready(struct eddy_watch *w, unsigned events)
{
    (void)events;
    take_turn(EDDY_CONTAINER_OF(w, struct sending, watch));
}

/* ---- the call ---- */

static int check_stream(struct eddy_sys *sys, eddy_fd sock)
{
    int type = 0;
    int rc = sys->cls->getsockopt(sys, sock, SOL_SOCKET, SO_TYPE, &type);

    if (rc < 0)
        return rc == -ENOTSOCK ? -EINVAL : rc;
    return type == SOCK_STREAM ? 0 : -EINVAL;
}

static int new_sending(struct eddy_loop *loop, eddy_fd sock, const struct file_part *p,
                       struct sending **ret)
{
    struct sending *s = eddy_zalloc(sizeof *s);

    if (!s)
        return -ENOMEM;
    int rc = eddy_future_new(loop, &s->future);
    if (rc < 0) {
        eddy_free(s);
        return rc;
    }
    s->part = *p;
    s->loop = loop;
    s->sock = sock;
    s->by_call = loop->sys->cls->sendfile != NULL;
    s->watch.fn = ready;
    s->resource.loop_closing = loop_closing;
    eddy_list_append(&loop->resources, &s->resource.link);
    eddy_future_on_cancel(s->future, cancelled, s);
    *ret = s;
    return 0;
}

static int begin(struct eddy_loop *loop, eddy_fd sock, const struct file_part *p, const char *site,
                 struct eddy_future **ret)
{
    struct sending *s = NULL;
    int rc = ret ? eddy_sock_check(loop, sock, EDDY_WRITE) : -EINVAL;

    if (rc == 0)
        rc = check_stream(loop->sys, sock);
    if (rc == 0)
        rc = new_sending(loop, sock, p, &s);
    if (rc < 0)
        return rc;
    *ret = eddy_future_ref(s->future);
    if (take_turn(s) == ENDED)
        return 0;
    rc = eddy_loop_add_watch_site(loop, &s->watch, sock, EDDY_WRITE, site);
    if (rc < 0)
        fail(s, rc);
    return 0;
}

int eddy_sock_sendfile(struct eddy_loop *loop, int sock, int file,
                       const struct eddy_sendfile_opts *opts, struct eddy_future **ret)
{
    struct file_part part;
    int rc = file_part_init(&part, file, opts);

    if (rc < 0)
        return rc;
    rc = begin(loop, sock, &part, opts ? opts->site : "sock_sendfile", ret);
    if (rc < 0 && opts)
        eddy_error_set(opts->error, rc, "sendfile", "sendfile: %s", eddy_strerror(rc));
    return rc;
}
