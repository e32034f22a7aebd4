/*
 * A ration: work that comes in long steps must not keep everybody else waiting. An iteration has
 * room for so many of them; the rest waits its turn, first come, first served.
 */
#include "framework/loop/loop.h"

static void begin_anew(struct eddy_handle *h)
{
    struct eddy_ration *r = EDDY_CONTAINER_OF(h, struct eddy_ration, anew);
    struct eddy_link *l;

    for (r->taken = 0; r->taken < EDDY_RATION && (l = eddy_list_pop(&r->waiting)) != NULL;) {
        struct eddy_handle *waiter = EDDY_CONTAINER_OF(l, struct eddy_handle, link_);

        r->taken++;
        waiter->fn(waiter);
    }
    if (r->taken > 0)
        eddy_loop_call_soon(r->loop, &r->anew);
}

void eddy_ration_init(struct eddy_ration *r, struct eddy_loop *loop)
{
    r->loop = loop;
    r->anew.fn = begin_anew;
    eddy_list_init(&r->waiting);
}

bool eddy_ration_take(struct eddy_ration *r, struct eddy_handle *h)
{
    if (r->taken < EDDY_RATION) {
        if (r->taken++ == 0)
            eddy_loop_call_soon(r->loop, &r->anew);
        return true;
    }
    if (!eddy_link_is_member(&h->link_))
        eddy_list_append(&r->waiting, &h->link_);
    return false;
}

void eddy_ration_fini(struct eddy_ration *r)
{
    struct eddy_link *l;

    eddy_handle_cancel(&r->anew);
    while ((l = eddy_list_pop(&r->waiting)) != NULL) {
    }
}
