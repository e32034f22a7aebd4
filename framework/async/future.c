#include "framework/base/alloc.h"
#include "framework/loop/loop.h"
#include <eddy/future.h>

enum state {
    PENDING,
    FINISHED,
    FAILED,
    CANCELLED,
};

struct eddy_future {
    struct eddy_loop *loop; /* referenced */
    unsigned refs;
    uint8_t state;
    bool looked_at; /* at the error */
    void *value;
    void (*destroy)(void *value);
    struct eddy_error error;
    struct eddy_link callbacks; /* struct eddy_done */
    void (*on_cancel)(struct eddy_future *f, void *user);
    void *on_cancel_user;
};

int eddy_future_new(struct eddy_loop *loop, struct eddy_future **ret)
{
    if (!loop || !ret)
        return -EINVAL;
    struct eddy_future *f = eddy_zalloc(sizeof *f);
    if (!f)
        return -ENOMEM;
    f->loop = eddy_loop_ref(loop);
    f->refs = 1;
    eddy_list_init(&f->callbacks);
    *ret = f;
    return 0;
}

struct eddy_future *eddy_future_ref(struct eddy_future *f)
{
    if (f)
        f->refs++;
    return f;
}

static void report_unseen_error(struct eddy_future *f)
{
    eddy_loop_problem(f->loop,
                      &(struct eddy_problem){.message = "Future's error was never retrieved",
                                             .error = &f->error,
                                             .future = f,
                                             .fd = -1});
}

void eddy_future_unref(struct eddy_future *f)
{
    if (!f || --f->refs > 0)
        return;
    if (f->state == FAILED && !f->looked_at) {
        f->refs = 1; /* while it is looked at */
        f->looked_at = true;
        report_unseen_error(f);
        if (--f->refs > 0) /* somebody has kept it */
            return;
    }
    while (!eddy_list_empty(&f->callbacks))
        eddy_future_remove_done_callback(
            EDDY_CONTAINER_OF(f->callbacks.next, struct eddy_done, link_));
    if (f->destroy)
        f->destroy(f->value);
    eddy_loop_unref(f->loop);
    eddy_free(f);
}

/* ---- callbacks: each scheduled one holds a reference ---- */

static void run_callback(struct eddy_handle *h)
{
    struct eddy_done *d = EDDY_CONTAINER_OF(h, struct eddy_done, handle_);
    struct eddy_future *f = d->future_;

    d->future_ = NULL;
    d->fn(d, f); /* d may be gone */
    eddy_future_unref(f);
}

void eddy_future_drop_callback(struct eddy_handle *h)
{
    if (h->fn == run_callback)
        eddy_future_remove_done_callback(EDDY_CONTAINER_OF(h, struct eddy_done, handle_));
}

static void schedule(struct eddy_future *f, struct eddy_done *d)
{
    eddy_future_ref(f);
    d->handle_.fn = run_callback;
    d->handle_.site_ = "future's done callback";
    eddy_list_append(&f->loop->ready, &d->handle_.link_);
}

/* On a closed loop the callbacks are dropped (contract F11). */
static int schedule_all(struct eddy_future *f)
{
    bool open = eddy_loop_is_open(f->loop);
    struct eddy_link *l;
    int rc = 0;

    while ((l = eddy_list_pop(&f->callbacks)) != NULL) {
        struct eddy_done *d = EDDY_CONTAINER_OF(l, struct eddy_done, link_);

        if (open) {
            schedule(f, d);
            continue;
        }
        d->future_ = NULL;
        rc = EDDY_ELOOP_CLOSED;
    }
    return rc;
}

int eddy_future_add_done_callback(struct eddy_future *f, struct eddy_done *d)
{
    if (!f || !d || !d->fn)
        return -EINVAL;
    if (d->future_)
        return -EALREADY;
    if (!eddy_loop_is_open(f->loop))
        return EDDY_ELOOP_CLOSED;
    d->future_ = f;
    if (f->state == PENDING)
        eddy_list_append(&f->callbacks, &d->link_);
    else
        schedule(f, d);
    return 0;
}

void eddy_future_remove_done_callback(struct eddy_done *d)
{
    struct eddy_future *f = d ? d->future_ : NULL;

    if (!f)
        return;
    d->future_ = NULL;
    if (eddy_link_is_member(&d->link_)) {
        eddy_link_remove(&d->link_);
        return;
    }
    eddy_handle_cancel(&d->handle_);
    eddy_future_unref(f);
}

/* ---- completion ---- */

int eddy_future_set_result(struct eddy_future *f, void *value, void (*destroy)(void *value))
{
    if (!f)
        return -EINVAL;
    if (f->state != PENDING)
        return EDDY_EINVALID_STATE;
    f->state = FINISHED;
    f->value = value;
    f->destroy = destroy;
    return schedule_all(f);
}

int eddy_future_set_result_unless_cancelled(struct eddy_future *f, void *value,
                                            void (*destroy)(void *value))
{
    if (!f || f->state != CANCELLED)
        return eddy_future_set_result(f, value, destroy);
    if (destroy)
        destroy(value);
    return 0;
}

/* With children of its own, unless there is no memory for them. */
static void take_error(struct eddy_future *f, const struct eddy_error *error)
{
    size_t n = error->code == EDDY_EMULTIPLE && error->children ? (size_t)error->detail : 0;
    struct eddy_error *children = n > 0 ? eddy_alloc(n * sizeof *children) : NULL;

    eddy_error_copy(&f->error, error);
    if (!children)
        return;
    for (size_t i = 0; i < n; i++)
        eddy_error_copy(&children[i], &error->children[i]);
    f->error.children = f->value = children;
    f->error.detail = (int)n;
    f->destroy = eddy_free;
}

int eddy_future_set_error(struct eddy_future *f, const struct eddy_error *error)
{
    if (!f)
        return -EINVAL;
    if (f->state != PENDING)
        return EDDY_EINVALID_STATE;
    if (!error || error->code >= 0)
        return -EINVAL;
    f->state = FAILED;
    take_error(f, error);
    return schedule_all(f);
}

bool eddy_future_cancel(struct eddy_future *f, const char *message)
{
    if (!f || f->state != PENDING)
        return false;
    f->state = CANCELLED;
    eddy_error_set(&f->error, -ECANCELED, "future", "%s", message ? message : "cancelled");
    eddy_future_ref(f);
    if (f->on_cancel)
        f->on_cancel(f, f->on_cancel_user);
    schedule_all(f);
    eddy_future_unref(f);
    return true;
}

void eddy_future_on_cancel(struct eddy_future *f, void (*fn)(struct eddy_future *f, void *user),
                           void *user)
{
    if (!f)
        return;
    f->on_cancel = fn;
    f->on_cancel_user = user;
}

/* ---- looking ---- */

bool eddy_future_is_done(const struct eddy_future *f)
{
    return f && f->state != PENDING;
}

bool eddy_future_is_cancelled(const struct eddy_future *f)
{
    return f && f->state == CANCELLED;
}

int eddy_future_result(struct eddy_future *f, void **ret_value)
{
    if (!f)
        return -EINVAL;
    if (f->state == PENDING)
        return EDDY_EINVALID_STATE;
    f->looked_at = true;
    if (f->state != FINISHED)
        return f->error.code;
    if (ret_value)
        *ret_value = f->value;
    return 0;
}

const struct eddy_error *eddy_future_error(struct eddy_future *f)
{
    if (!f || (f->state != FAILED && f->state != CANCELLED))
        return NULL;
    f->looked_at = true;
    return &f->error;
}

struct eddy_loop *eddy_future_loop(const struct eddy_future *f)
{
    return f ? f->loop : NULL;
}
