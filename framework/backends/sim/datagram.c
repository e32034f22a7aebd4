/*
 * Datagrams: each travels on its own, may be lost, doubled or overtaken, and comes to whoever has
 * its address when it arrives. Where nobody has, an answer travels back.
 */
#include "framework/backends/sim/world.h"
#include "framework/base/alloc.h"
#include <string.h>

enum { LONGEST = 65507 };

struct sim_datagram {
    struct sim_event travel; /* first */
    struct eddy_link link;   /* of sim->datagrams, then of its receiver */
    eddy_fd sender;
    uint64_t generation; /* of the sender's descriptor */
    int refusal;         /* the answer that travels back, 0: on its way there */
    struct eddy_addr from, to;
    size_t len;
    uint8_t bytes[];
};

static void discard(struct eddy_sim *sim, struct sim_datagram *g)
{
    eddy_sim_cancel(sim, &g->travel);
    eddy_link_remove(&g->link);
    eddy_sim_unpromise(sim, 1);
    eddy_free(g);
}

/* NULL: it has been closed meanwhile. */
static struct sim_sock *sender_of(const struct eddy_sim *sim, const struct sim_datagram *g)
{
    struct sim_sock *s = eddy_sim_sock(sim, g->sender);

    return s && s->generation == g->generation ? s : NULL;
}

/* ---- arriving ---- */

static bool reports_errors(const struct sim_sock *s)
{
#ifdef IP_RECVERR
    return eddy_sim_sock_option(s, IPPROTO_IP, IP_RECVERR) ||
           eddy_sim_sock_option(s, IPPROTO_IPV6, IPV6_RECVERR);
#else
    (void)s;
    return false;
#endif
}

static void bring_refusal(struct eddy_sim *sim, struct sim_datagram *g)
{
    struct sim_sock *s = sender_of(sim, g);
    bool report = s && reports_errors(s);

    if (report || (s && s->mail.peer.len > 0)) {
        s->mail.error = g->refusal;
        s->mail.reported = report ? g->refusal : 0;
        s->mail.about = g->to;
        eddy_sim_note(sim, "refused", g->sender, g->refusal);
    }
    discard(sim, g);
}

static void send_refusal(struct eddy_sim *sim, struct sim_datagram *g, int refusal)
{
    g->refusal = refusal;
    if (eddy_sim_is_instant(sim))
        bring_refusal(sim, g);
    else
        eddy_sim_start(sim, &g->travel, eddy_sim_after(sim, eddy_sim_travel_time(sim)));
}

static void drop(struct eddy_sim *sim, struct sim_datagram *g)
{
    sim->stats.datagrams_dropped++;
    eddy_sim_note(sim, "datagram dropped", g->sender, (int64_t)g->len);
    discard(sim, g);
}

static void deliver(struct eddy_sim *sim, struct sim_datagram *g)
{
    struct sim_sock *to = eddy_sim_datagram_receiver(sim, &g->from, &g->to);

    if (to == NULL) {
        send_refusal(sim, g, -ECONNREFUSED);
        return;
    }
    /* One that is larger than the whole room fits if it is the only one. */
    if (to->mail.unread > 0 && to->mail.unread + g->len > sim->opts.recv_room) {
        drop(sim, g);
        return;
    }
    eddy_link_remove(&g->link);
    eddy_list_append(&to->mail.arrived, &g->link);
    to->mail.unread += g->len;
    sim->stats.datagrams++;
    sim->spins = 0;
    eddy_sim_note(sim, "datagram", g->sender, (int64_t)g->len);
}

static void arrive(struct eddy_sim *sim, struct sim_event *e)
{
    struct sim_datagram *g = EDDY_CONTAINER_OF(e, struct sim_datagram, travel);
    struct sim_sock *s = sender_of(sim, g);

    if (g->refusal) {
        bring_refusal(sim, g);
        return;
    }
    if (s)
        s->mail.under_way -= g->len + 1;
    switch (eddy_sim_host_at(sim, &g->to)) {
    case EDDY_SIM_ANSWERS:
        deliver(sim, g);
        break;
    case EDDY_SIM_REFUSES:
        send_refusal(sim, g, -ECONNREFUSED);
        break;
    case EDDY_SIM_UNREACHABLE:
        send_refusal(sim, g, -EHOSTUNREACH);
        break;
    case EDDY_SIM_SILENT:
        drop(sim, g);
        break;
    }
}

/* ---- sending ---- */

static eddy_nsec arrival(struct eddy_sim *sim, struct sim_mail *mail)
{
    eddy_nsec when = eddy_sim_after(sim, eddy_sim_travel_time(sim));

    if (eddy_sim_chance(sim, sim->opts.datagram_disorder))
        return when + 1 + (eddy_nsec)eddy_sim_random(sim, (uint64_t)EDDY_MSEC(20));
    if (when < mail->last)
        when = mail->last;
    mail->last = when;
    return when;
}

static int start(struct eddy_sim *sim, eddy_fd fd, const struct eddy_message *m,
                 const struct eddy_addr *to)
{
    struct sim_sock *s = eddy_sim_sock(sim, fd);
    struct eddy_addr local = eddy_sim_loopback_if_any(&s->local);
    struct sim_datagram *g;

    if (eddy_sim_promise(sim, 1) < 0)
        return -ENOBUFS;
    g = eddy_zalloc(sizeof(*g) + m->len);
    if (g == NULL) {
        eddy_sim_unpromise(sim, 1);
        return -ENOBUFS;
    }
    g->travel.fn = arrive;
    g->sender = fd;
    g->generation = s->generation;
    g->from = local;
    g->to = eddy_sim_loopback_if_any(to);
    g->len = m->len;
    if (m->len > 0)
        memcpy(g->bytes, m->data, m->len);
    eddy_list_append(&sim->datagrams, &g->link);
    s->mail.under_way += m->len + 1;
    eddy_nsec when = arrival(sim, &s->mail);
    if (when > sim->now)
        eddy_sim_start(sim, &g->travel, when);
    else
        arrive(sim, &g->travel);
    return 0;
}

/* As sending and connecting do with a socket that has no address yet. */
static int bind_somewhere(struct eddy_sim *sim, struct sim_sock *s)
{
    struct eddy_addr local = eddy_sim_addr_any(s->family);
    int r = 0;

    if (s->bound)
        return 0;
    r = eddy_sim_choose_port(sim, SIM_DATAGRAM, &local);
    if (r < 0)
        return r;
    s->local = local;
    s->bound = true;
    return 0;
}

int eddy_sim_datagram_take_error(struct sim_sock *s)
{
    int error = s->mail.error;

    s->mail.error = 0;
    return error;
}

int eddy_sim_datagram_send(struct eddy_sim *sim, eddy_fd fd, const struct eddy_message *m)
{
    struct sim_sock *s = eddy_sim_sock(sim, fd);
    const struct eddy_addr *to = m->addr.len > 0 ? &m->addr : &s->mail.peer;
    int r;

    if (s->mail.error)
        return eddy_sim_datagram_take_error(s);
    if (to->len == 0)
        return -EDESTADDRREQ;
    if (to->u.sa.sa_family != s->family)
        return -EAFNOSUPPORT;
    if (m->len > LONGEST)
        return -EMSGSIZE;
    if (s->mail.under_way > 0 && s->mail.under_way + m->len > sim->opts.send_room)
        return -EAGAIN;
    r = bind_somewhere(sim, s);
    if (r < 0)
        return r;
    if (eddy_sim_chance(sim, sim->opts.datagram_loss)) {
        sim->stats.datagrams_dropped++;
        eddy_sim_note(sim, "datagram lost", fd, (int64_t)m->len);
        return 1;
    }
    r = start(sim, fd, m, to);
    if (r == 0 && eddy_sim_chance(sim, sim->opts.datagram_copies))
        start(sim, fd, m, to);
    return r < 0 ? r : 1;
}

int eddy_sim_datagram_connect(struct eddy_sim *sim, struct sim_sock *s, const struct eddy_addr *a)
{
    int r = bind_somewhere(sim, s);

    if (r < 0)
        return r;
    s->mail.peer = eddy_sim_loopback_if_any(a);
    if (eddy_sim_addr_is_any(&s->local))
        s->local = eddy_sim_loopback_if_any(&s->local);
    return 0;
}

/* ---- receiving ---- */

int eddy_sim_datagram_recv(struct eddy_sim *sim, struct sim_sock *s, struct eddy_message *m)
{
    struct eddy_link *link;
    struct sim_datagram *g;

    int error = s->mail.reported ? s->mail.reported : s->mail.error;

    if (error) {
        s->mail.error = s->mail.reported = 0;
        m->addr = s->mail.about;
        return error;
    }
    link = eddy_list_pop(&s->mail.arrived);
    if (link == NULL)
        return -EAGAIN;
    g = EDDY_CONTAINER_OF(link, struct sim_datagram, link);
    s->mail.unread -= g->len;
    m->truncated = g->len > m->len;
    if (!m->truncated)
        m->len = g->len;
    if (m->len > 0)
        memcpy(m->data, g->bytes, m->len);
    m->addr = g->from;
    discard(sim, g);
    return 1;
}

unsigned eddy_sim_datagram_ready(const struct eddy_sim *sim, const struct sim_sock *s)
{
    unsigned events = 0;

    if (s->mail.error || s->mail.reported || !eddy_list_empty(&s->mail.arrived))
        events |= EDDY_READ;
    if (s->mail.error || s->mail.reported || s->mail.under_way < sim->opts.send_room)
        events |= EDDY_WRITE;
    return events;
}

/* ---- the end ---- */

void eddy_sim_datagram_close(struct eddy_sim *sim, struct sim_sock *s)
{
    struct eddy_link *link;

    while ((link = eddy_list_pop(&s->mail.arrived)) != NULL)
        discard(sim, EDDY_CONTAINER_OF(link, struct sim_datagram, link));
}

void eddy_sim_datagram_drop_all(struct eddy_sim *sim)
{
    struct eddy_link *link;

    while ((link = sim->datagrams.next) != &sim->datagrams)
        discard(sim, EDDY_CONTAINER_OF(link, struct sim_datagram, link));
}
