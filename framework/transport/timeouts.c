/*
 * One timer per transport serves all its time-outs. Activity only stores a time; when the timer
 * comes up, it looks what is due by now, and is set anew.
 */
#include "framework/base/alloc.h"
#include "framework/transport/transport.h"

static const struct eddy_limits default_limits = {
    .low = LOW_MARK, .high = HIGH_MARK, .max = WRITE_MAX};

/* ---- limits, shared and copied on writing ---- */

int eddy_limits_new(size_t low, size_t high, size_t max, eddy_nsec idle, eddy_nsec write,
                    eddy_nsec linger, struct eddy_limits **ret)
{
    struct eddy_limits l = {.refs = 1, .max = max ? max : WRITE_MAX};

    if ((idle < 0 && idle != EDDY_OFF) || (write < 0 && write != EDDY_OFF) ||
        (linger < 0 && linger != EDDY_OFF))
        return -EINVAL;
    l.idle = idle;
    l.write = write;
    l.linger = linger;
    l.high = high ? high : low ? (low > SIZE_MAX / 4 ? SIZE_MAX : low * 4) : HIGH_MARK;
    l.low = low ? low : l.high / 4;
    if (l.high < l.low)
        return -EINVAL;
    if (!low && !high && !max && !idle && !write && !linger) {
        *ret = NULL;
        return 0;
    }
    struct eddy_limits *copy = eddy_alloc(sizeof *copy);
    if (!copy)
        return -ENOMEM;
    *copy = l;
    *ret = copy;
    return 0;
}

void eddy_limits_unref(const struct eddy_limits *l)
{
    struct eddy_limits *counted = (struct eddy_limits *)(uintptr_t)l;

    if (l && l != &default_limits && --counted->refs == 0)
        eddy_free(counted);
}

void eddy_transport_use_limits(struct eddy_transport *t, struct eddy_limits *l)
{
    const struct eddy_limits *old = t->limits;

    if (l)
        l->refs++;
    t->limits = l ? l : &default_limits;
    eddy_limits_unref(old);
}

/* Limits of this transport's own, for changing; NULL: no memory. */
static struct eddy_limits *own_limits(struct eddy_transport *t)
{
    struct eddy_limits *l = (struct eddy_limits *)(uintptr_t)t->limits;

    if (l != &default_limits && l->refs == 1)
        return l;
    l = eddy_alloc(sizeof *l);
    if (!l)
        return NULL;
    *l = *t->limits;
    l->refs = 0;
    eddy_transport_use_limits(t, l);
    return l;
}

int eddy_transport_set_write_buffer_limits(struct eddy_transport *t, size_t low, size_t high)
{
    if (!t)
        return EDDY_ECLOSED;
    if (high == EDDY_DEFAULT && low == EDDY_DEFAULT && t->cls->high_mark)
        high = t->cls->high_mark;
    else if (high == EDDY_DEFAULT)
        high = low == EDDY_DEFAULT ? HIGH_MARK : low > SIZE_MAX / 4 ? SIZE_MAX : low * 4;
    if (low == EDDY_DEFAULT)
        low = high / 4;
    if (high < low)
        return -EINVAL;
    struct eddy_limits *l = own_limits(t);
    if (!l)
        return -ENOMEM;
    l->low = low;
    l->high = high;
    transport_limits_changed(t);
    return 0;
}

int eddy_transport_set_write_max(struct eddy_transport *t, size_t max)
{
    if (!t)
        return EDDY_ECLOSED;
    struct eddy_limits *l = own_limits(t);
    if (!l)
        return -ENOMEM;
    l->max = max ? max : WRITE_MAX;
    return 0;
}

/* `which` points into the limits; nothing is changed on failure. */
static int set_span(struct eddy_transport *t, size_t offset, eddy_nsec span)
{
    if (!t)
        return EDDY_ECLOSED;
    if (span < 0 && span != EDDY_OFF)
        return -EINVAL;
    struct eddy_limits *l = own_limits(t);
    if (!l)
        return -ENOMEM;
    *(eddy_nsec *)(void *)((char *)l + offset) = span;
    if (t->state == EDDY_TRANSPORT_OPEN)
        transport_refresh(t);
    return 0;
}

int eddy_transport_set_idle_timeout(struct eddy_transport *t, eddy_nsec span)
{
    int rc = set_span(t, offsetof(struct eddy_limits, idle), span);

    if (rc < 0)
        return rc;
    if (t->state == EDDY_TRANSPORT_OPEN)
        t->u.heard = eddy_loop_clock(t->io.loop);
    transport_arm_timer(t);
    return 0;
}

/* This one and the next are meant for the wire, and so for the transport below too. */
int eddy_transport_set_write_timeout(struct eddy_transport *t, eddy_nsec span)
{
    int rc = set_span(t, offsetof(struct eddy_limits, write), span);

    if (rc < 0)
        return rc;
    transport_arm_timer(t);
    struct eddy_transport *below = transport_below(t);
    return below ? eddy_transport_set_write_timeout(below, span) : 0;
}

int eddy_transport_set_linger(struct eddy_transport *t, eddy_nsec span)
{
    int rc = set_span(t, offsetof(struct eddy_limits, linger), span);

    if (rc < 0)
        return rc;
    struct eddy_transport *below = transport_below(t);
    return below ? eddy_transport_set_linger(below, span) : 0;
}

/* ---- the timer ---- */

static eddy_nsec after(eddy_nsec time, eddy_nsec span)
{
    return span >= EDDY_FOREVER - time ? EDDY_FOREVER : time + span;
}

static eddy_nsec idle_deadline(const struct eddy_transport *t)
{
    bool only_writes = t->cls->send && !t->cls->read_start;

    /* While we do not read, it is not the peer that is idle. */
    if (t->state != EDDY_TRANSPORT_OPEN || t->limits->idle <= 0 || only_writes ||
        (t->flags & (T_EOF_IN | T_READ_PAUSED | T_FILE)))
        return EDDY_FOREVER;
    return after(t->u.heard, t->limits->idle);
}

static eddy_nsec stall_deadline(const struct eddy_transport *t)
{
    eddy_nsec span = t->limits->write;

    if (!(t->flags & T_BLOCKED))
        return EDDY_FOREVER;
    if (span == 0 && t->state == EDDY_TRANSPORT_CLOSING)
        span = CLOSING_STALL;
    if (span <= 0)
        return EDDY_FOREVER;
    return after(t->head ? t->head->stamp : t->cls->waiting_since(t), span);
}

/* The kernel has room again when much of what it holds was acknowledged, which a slow peer may take
 * minutes for. So it is asked how much that is, at half time and at the end. */
static bool can_be_asked(const struct eddy_transport *t)
{
    return t->head && t->cls->in_flight;
}

static eddy_nsec stall_check(const struct eddy_transport *t)
{
    eddy_nsec deadline = stall_deadline(t);

    return deadline != EDDY_FOREVER && can_be_asked(t) && t->head->in_flight < 0
               ? t->head->stamp + (deadline - t->head->stamp) / 2
               : deadline;
}

/* If the peer has taken bytes meanwhile its time begins anew; also if we come too late to know. */
static void look_at_peer(struct eddy_transport *t, eddy_nsec now)
{
    if (!can_be_asked(t) || now < stall_check(t))
        return;
    int n = t->cls->in_flight(t);

    if (t->head->in_flight < 0 ? now >= stall_deadline(t) : n < t->head->in_flight)
        t->head->stamp = now;
    t->head->in_flight = n;
}

/* The kernel does not tell when a peer has acknowledged, so it is asked: often at first, then less
 * so. */
static eddy_nsec linger_check(const struct eddy_transport *t, eddy_nsec now)
{
    eddy_nsec span = t->limits->linger ? t->limits->linger : LINGER;
    eddy_nsec waited = now - (t->u.until - span);
    eddy_nsec next = waited < EDDY_MSEC(1)     ? EDDY_MSEC(1)
                     : waited < EDDY_MSEC(100) ? waited
                                               : EDDY_MSEC(100);

    return now + next < t->u.until ? now + next : t->u.until;
}

static void time_out(struct eddy_transport *t, const char *what, eddy_nsec span)
{
    struct eddy_error e;
    char text[EDDY_ADDR_TEXT * 2 + 16];

    eddy_error_set(&e, -ETIMEDOUT, "timeout", "%s: %s for %.3g seconds",
                   transport_ends(t, text, sizeof text), what, (double)span / 1e9);
    transport_lose(t, -ETIMEDOUT, "timeout", &e);
}

static void on_timer(struct eddy_timer *timer)
{
    struct eddy_transport *t = EDDY_CONTAINER_OF(timer, struct eddy_transport, timer);
    eddy_nsec now = eddy_loop_clock(t->io.loop);

    look_at_peer(t, now);
    if (t->state == EDDY_TRANSPORT_LINGERING && (now >= t->u.until || !t->cls->unsettled(t)))
        transport_lose(t, 0, "close", NULL);
    else if (now >= idle_deadline(t))
        time_out(t, "nothing received", t->limits->idle);
    else if (now >= stall_deadline(t))
        time_out(t, "the peer has taken nothing",
                 t->limits->write ? t->limits->write : CLOSING_STALL);
    else
        transport_arm_timer(t);
}

void transport_arm_timer(struct eddy_transport *t)
{
    struct eddy_loop *loop = t->io.loop;
    eddy_nsec when;

    if (t->state >= EDDY_TRANSPORT_LOST)
        return;
    if (t->state == EDDY_TRANSPORT_LINGERING) {
        when = linger_check(t, eddy_loop_clock(loop));
    } else {
        eddy_nsec idle = idle_deadline(t), stall = stall_check(t);
        when = idle < stall ? idle : stall;
    }
    /* A timer that comes too early looks again: never moved to later, as that would cost each read.
     */
    if (when == EDDY_FOREVER || (eddy_timer_is_pending(&t->timer) && t->timer.when_ <= when))
        return;
    t->timer.fn = on_timer;
    t->timer.loop_ = loop;
    t->timer.site_ = "transport time-out";
    eddy_heap_start(&loop->timers, &t->timer, when);
}

void transport_linger(struct eddy_transport *t)
{
    eddy_nsec span = t->limits->linger ? t->limits->linger : LINGER;

    t->u.until = after(eddy_loop_clock(t->io.loop), span);
    transport_arm_timer(t);
}
