#include "transports/happy_eyeballs.h"

#include <string.h>

#define MOST_AT_ONCE 8

/* ---- the order ---- */

void eddy_interleave(const struct eddy_addr **list, size_t n, size_t lead)
{
    int first = n > 0 ? list[0]->u.sa.sa_family : AF_UNSPEC;

    for (size_t i = 0; i < n; i++) {
        bool others_turn = i >= lead && (i - lead) % 2 == 0;
        size_t j = i;

        while (j < n && (list[j]->u.sa.sa_family != first) != others_turn)
            j++;
        if (j == n) /* the rest is of one family */
            return;
        const struct eddy_addr *next = list[j];
        memmove(&list[i + 1], &list[i], (j - i) * sizeof(const struct eddy_addr *));
        list[i] = next;
    }
}

/* ---- the times ---- */

/* Those that fail at once take no turn; but others have theirs after so many of them. */
static void begin_next(struct race *r)
{
    bool begun = false;

    for (int i = 0; i < MOST_AT_ONCE && !begun && r->begun < r->count; i++)
        begun = r->cls->begin(r, r->begun++);
    r->running += begun;
    if (r->begun == r->count)
        return;
    if (!begun)
        eddy_loop_call_later(r->loop, &r->next, 0);
    else if (r->delay != EDDY_OFF)
        eddy_loop_call_later(r->loop, &r->next, r->delay);
}

static void end_if_lost(struct race *r)
{
    if (r->running == 0 && r->begun == r->count)
        r->cls->lost(r);
}

static void run_next(struct eddy_timer *t)
{
    struct race *r = EDDY_CONTAINER_OF(t, struct race, next);

    begin_next(r);
    end_if_lost(r);
}

bool eddy_race_start(struct race *r, const struct race_class *cls, struct eddy_loop *loop)
{
    r->cls = cls;
    r->loop = loop;
    r->next.fn = run_next;
    begin_next(r);
    return r->running > 0 || r->begun < r->count;
}

/* The next one comes by the timer even if it is due: what failed is closed by then. */
void eddy_race_failed(struct race *r, size_t i)
{
    r->running--;
    if (i + 1 == r->begun && r->begun < r->count)
        eddy_loop_call_later(r->loop, &r->next, 0);
    end_if_lost(r);
}

void eddy_race_stop(struct race *r)
{
    eddy_timer_cancel(&r->next);
}
