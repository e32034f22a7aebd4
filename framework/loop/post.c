/*
 * Calls from other threads: a stack that producers push on and the loop takes whole. Who finds it
 * empty kicks the wake-up. A closed loop's stack is the mark CLOSED, which nothing can be pushed
 * on: so a post that races with close is either run by it or refused.
 */
#include "framework/loop/loop.h"

static struct eddy_post closed_mark;
#define CLOSED (&closed_mark)

static void run_post(struct eddy_handle *h)
{
    struct eddy_post *p = EDDY_CONTAINER_OF(h, struct eddy_post, handle_);

    __atomic_store_n(&p->pending_, 0, __ATOMIC_RELEASE);
    p->fn(p, 0); /* p may be gone */
}

static void enqueue(struct eddy_loop *loop, struct eddy_post *p)
{
    p->handle_.site_ = "eddy_loop_call_soon_threadsafe";
    eddy_list_append(&loop->ready, &p->handle_.link_);
}

int eddy_loop_call_soon_threadsafe(struct eddy_loop *loop, struct eddy_post *p)
{
    if (!loop || !p || !p->fn)
        return -EINVAL;
    if (__atomic_exchange_n(&p->pending_, 1, __ATOMIC_ACQUIRE))
        return -EALREADY;
    p->loop_ = loop;
    p->handle_.fn = run_post;

    struct eddy_post *top = atomic_load_explicit(&loop->posts, memory_order_relaxed);

    if (top != CLOSED && eddy_get_running_loop() == loop) {
        eddy_loop_take_posts(loop); /* those that came before keep their place */
        enqueue(loop, p);
        return 0;
    }
    do {
        if (top == CLOSED) {
            __atomic_store_n(&p->pending_, 0, __ATOMIC_RELEASE);
            return EDDY_ELOOP_CLOSED;
        }
        p->next_ = top;
    } while (!atomic_compare_exchange_weak_explicit(&loop->posts, &top, p, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (!top)
        eddy_loop_wake(loop);
    return 0;
}

bool eddy_handle_is_post(const struct eddy_handle *h)
{
    return h->fn == run_post;
}

/* Newest first becomes oldest first. */
static struct eddy_post *reverse(struct eddy_post *p)
{
    struct eddy_post *oldest = NULL;

    while (p) {
        struct eddy_post *next = p->next_;
        p->next_ = oldest;
        oldest = p;
        p = next;
    }
    return oldest;
}

void eddy_loop_take_posts(struct eddy_loop *loop)
{
    struct eddy_post *p =
        reverse(atomic_exchange_explicit(&loop->posts, NULL, memory_order_acq_rel));

    for (; p; p = p->next_)
        enqueue(loop, p);
}

void eddy_loop_close_posts(struct eddy_loop *loop, struct eddy_link *ready)
{
    struct eddy_post *p =
        reverse(atomic_exchange_explicit(&loop->posts, CLOSED, memory_order_acq_rel));
    struct eddy_link *l;

    for (; p; p = p->next_)
        eddy_list_append(ready, &p->handle_.link_);
    while ((l = eddy_list_pop(ready)) != NULL) {
        p = EDDY_CONTAINER_OF(l, struct eddy_post, handle_.link_);
        __atomic_store_n(&p->pending_, 0, __ATOMIC_RELEASE);
        p->fn(p, EDDY_ELOOP_CLOSED); /* p may be gone */
    }
}
