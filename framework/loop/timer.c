#include "framework/loop/loop.h"

static void start(struct eddy_loop *loop, struct eddy_timer *t, eddy_nsec when, const char *call,
                  const char *site)
{
    if (EDDY_UNLIKELY(loop->debug || loop->closed || loop->closing) &&
        !eddy_loop_may_schedule(loop, call, site))
        return;
    if (EDDY_UNLIKELY(!t->fn)) {
        eddy_loop_problem(loop, &(struct eddy_problem){
                                    .message = "timer without a function", .fd = -1, .site = site});
        return;
    }
    if (t->loop_ && t->loop_ != loop)
        eddy_timer_cancel(t);
    t->loop_ = loop;
    t->site_ = site;
    eddy_heap_start(&loop->timers, t, when);
}

void eddy_loop_call_at_site(struct eddy_loop *loop, struct eddy_timer *t, eddy_nsec when,
                            const char *site)
{
    start(loop, t, when, "call_at", site);
}

void eddy_loop_call_later_site(struct eddy_loop *loop, struct eddy_timer *t, eddy_nsec delay,
                               const char *site)
{
    eddy_nsec now = eddy_loop_clock(loop);
    eddy_nsec when = delay <= 0 ? now : delay >= EDDY_FOREVER - now ? EDDY_FOREVER : now + delay;

    start(loop, t, when, "call_later", site);
}

void eddy_timer_cancel(struct eddy_timer *t)
{
    if (t->flags_ & EDDY_TIMER_QUEUED)
        eddy_heap_cancel(&t->loop_->timers, t);
}

bool eddy_timer_is_pending(const struct eddy_timer *t)
{
    return t->flags_ & EDDY_TIMER_QUEUED;
}

eddy_nsec eddy_timer_when(const struct eddy_timer *t)
{
    return t->when_;
}
