/* backends: sim sim-late */
/* timeout: 120 */
/*
 * Thousands of races against a model of the rules: contract S6 to S13, R7, G15, L16. Each seed
 * draws the addresses, how and when they answer, the options, and who gives up when. On a tidy
 * network all times are what the model says; on a rough one what must never happen does not.
 */
#include "tests/contract/connections_race.h"

enum { MOST = 8, SEEDS = 4000, ROUGH_SEEDS = 1000 };
#define NEVER EDDY_FOREVER

enum act { NOTHING, CANCEL, ABORT, DETACH, CLOSE_LOOP, ACTS };

struct address {
    char host[32];
    int family;
    enum eddy_sim_host behaviour;
    eddy_nsec takes;
    int refused; /* by socket(): so, at once */
};

struct plan {
    struct address list[MOST]; /* as they are looked up, then in order */
    int n;
    eddy_nsec name_takes, local_takes; /* local: -1: none */
    eddy_nsec delay, timeout;
    int interleave;
    enum act act;
    eddy_nsec act_at;
};

/* What the rules make of it. */
struct outcome {
    eddy_nsec begun_at[MOST];
    int families[MOST];
    int begun;
    int code; /* of connect_failed, 0: made; 1: nobody is told */
    eddy_nsec at;
    const char *winner;
    bool tried; /* all of them, in vain */
    bool tie;   /* two things at the same time: either may come first */
};

/* ---- the dice ---- */

static uint64_t dice;

static unsigned roll(unsigned sides)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((dice >> 33) % sides);
}

static eddy_nsec some_time(unsigned most_ms)
{
    return EDDY_USEC(1) * (1 + roll(most_ms * 1000));
}

static void draw_address(struct address *a, int i)
{
    static const enum eddy_sim_host behaviours[] = {EDDY_SIM_ANSWERS, EDDY_SIM_REFUSES,
                                                    EDDY_SIM_REFUSES, EDDY_SIM_UNREACHABLE,
                                                    EDDY_SIM_SILENT};
    a->family = roll(2) ? AF_INET : AF_INET6;
    snprintf(a->host, sizeof a->host, a->family == AF_INET ? "198.51.100.%d" : "2001:db8::%d",
             i + 1);
    a->behaviour = behaviours[roll(5)];
    a->takes = a->behaviour == EDDY_SIM_SILENT ? EDDY_SEC(127) : some_time(600);
    a->refused = roll(8) == 0 ? -EMFILE : roll(8) == 0 ? -EAFNOSUPPORT : 0;
}

static void draw(struct plan *p, unsigned seed)
{
    memset(p, 0, sizeof *p);
    dice = seed;
    p->n = 1 + (int)roll(MOST);
    for (int i = 0; i < p->n; i++)
        draw_address(&p->list[i], i);
    p->name_takes = roll(3) ? some_time(100) : 0;
    p->local_takes = roll(4) ? -1 : some_time(150);
    p->delay = roll(4) == 0 ? EDDY_OFF : roll(3) == 0 ? some_time(100) : 0;
    p->interleave = roll(3) ? 0 : roll(3) == 0 ? (int)EDDY_OFF : 1 + (int)roll(4);
    p->timeout = roll(3) ? 0 : some_time(1500);
    p->act = roll(2) ? NOTHING : (enum act)roll(ACTS);
    p->act_at = some_time(1000);
}

/* ---- the model ---- */

/* As asyncio words it: the families' lists, zipped. */
static void order(struct plan *p)
{
    int lead = p->interleave == 0 && p->delay == EDDY_OFF ? -1 : p->interleave ? p->interleave : 1;
    struct address first[MOST], others[MOST], *to = p->list;
    int nf = 0, no = 0, f = 0, o = 0;
    if (lead < 0)
        return;
    for (int i = 0; i < p->n; i++) {
        if (p->list[i].family == p->list[0].family)
            first[nf++] = p->list[i];
        else
            others[no++] = p->list[i];
    }
    struct address whole[MOST];
    while (f < lead - 1 && f < nf) {
        whole[f] = first[f];
        f++;
    }
    to = whole + f;
    while (f < nf || o < no) {
        if (f < nf)
            *to++ = first[f++];
        if (o < no)
            *to++ = others[o++];
    }
    memcpy(p->list, whole, (size_t)p->n * sizeof whole[0]);
}

static int code_of(const struct address *a)
{
    return a->refused                             ? a->refused
           : a->behaviour == EDDY_SIM_REFUSES     ? -ECONNREFUSED
           : a->behaviour == EDDY_SIM_UNREACHABLE ? -EHOSTUNREACH
           : a->behaviour == EDDY_SIM_SILENT      ? -ETIMEDOUT
                                                  : 0;
}

static int code_of_act(enum act act)
{
    return act == CANCEL   ? -ECANCELED
           : act == ABORT  ? -EPROTO
           : act == DETACH ? 1
                           : EDDY_ELOOP_CLOSED;
}

struct model {
    const struct plan *p;
    struct outcome *out;
    eddy_nsec ends[MOST]; /* NEVER: not running */
    eddy_nsec next_at;
    int next; /* attempt */
};

static void finish(struct model *m, eddy_nsec at, int code, const char *winner)
{
    m->out->at = at;
    m->out->code = code;
    m->out->winner = winner;
}

static int running(const struct model *m)
{
    int n = 0;
    for (int i = 0; i < m->next; i++)
        n += m->ends[i] != NEVER;
    return n;
}

/* These are true when it is over. */
static bool all_have_failed(struct model *m, eddy_nsec now)
{
    m->out->tried = m->next == m->p->n && running(m) == 0;
    if (m->out->tried)
        finish(m, now, code_of(&m->p->list[0]), NULL);
    return m->out->tried;
}

static bool begin_attempt(struct model *m)
{
    const struct plan *p = m->p;
    eddy_nsec now = m->next_at;
    const struct address *a = &p->list[m->next++];
    if (a->refused)
        return all_have_failed(m, now);
    m->out->families[m->out->begun] = a->family;
    m->out->begun_at[m->out->begun++] = now;
    m->ends[m->next - 1] = now + a->takes;
    m->next_at = p->delay == EDDY_OFF ? NEVER : now + (p->delay ? p->delay : EDDY_MSEC(250));
    return false;
}

static bool end_attempt(struct model *m, int i)
{
    eddy_nsec now = m->ends[i];
    m->ends[i] = NEVER;
    if (m->p->list[i].behaviour == EDDY_SIM_ANSWERS) {
        finish(m, now, 0, m->p->list[i].host);
        return true;
    }
    if (i == m->next - 1)
        m->next_at = now;
    return all_have_failed(m, now);
}

static void predict(struct plan *p, struct outcome *out)
{
    struct model m = {.p = p, .out = out};
    memset(out, 0, sizeof *out);
    order(p);
    for (int i = 0; i < MOST; i++)
        m.ends[i] = NEVER;
    m.next_at = p->name_takes > p->local_takes ? p->name_takes : p->local_takes;
    for (bool over = false; !over;) {
        eddy_nsec deadline = p->timeout ? p->timeout : NEVER;
        eddy_nsec act = p->act ? p->act_at : NEVER;
        eddy_nsec begin = m.next < p->n ? m.next_at : NEVER;
        int first = 0;
        for (int i = 1; i < MOST; i++)
            first = m.ends[i] < m.ends[first] ? i : first;
        const eddy_nsec all[] = {deadline, act, begin, m.ends[first]};
        eddy_nsec now = NEVER;
        for (int i = 0; i < 4; i++)
            now = all[i] < now ? all[i] : now;
        int due = 0;
        for (int i = 0; i < 4; i++)
            due += all[i] != NEVER && all[i] - now <= EDDY_USEC(1);
        for (int i = 0; i < MOST; i++)
            due += i != first && m.ends[i] != NEVER && m.ends[i] - now <= EDDY_USEC(1);
        out->tie = out->tie || due > 1;
        over = true;
        if (now == deadline)
            finish(&m, now, -ETIMEDOUT, NULL);
        else if (now == act)
            finish(&m, now, code_of_act(p->act), NULL);
        else
            over = now == begin ? begin_attempt(&m) : end_attempt(&m, first);
    }
}

/* ---- the real thing ---- */

struct scenario {
    struct race r;
    struct plan p;
    struct eddy_timer actor;
};

static void act(struct eddy_timer *t)
{
    struct scenario *c = EDDY_CONTAINER_OF(t, struct scenario, actor);
    struct actor *client = &c->r.s.client;
    if (race_is_over(&c->r))
        return;
    if (c->p.act == CANCEL)
        eddy_future_cancel(client->future, NULL);
    else if (c->p.act == ABORT)
        eddy_protocol_abort(client->p, EDDY_ERROR(-EPROTO, "no more"));
    else if (c->p.act == DETACH)
        actor_detach(client);
}

static void set_the_world(struct scenario *c)
{
    struct race *r = &c->r;
    char list[512] = "";
    for (int i = 0; i < c->p.n; i++) {
        const struct address *a = &c->p.list[i];
        race_host(r, a->host, a->behaviour, a->behaviour == EDDY_SIM_SILENT ? 0 : a->takes);
        snprintf(list + strlen(list), sizeof list - strlen(list), " %s", a->host);
    }
    race_name(r, NAME, list, c->p.name_takes);
    race_name(r, "here.example", "192.0.2.100 2001:db8:1::1",
              c->p.local_takes > 0 ? c->p.local_takes : 0);
}

/* To be called when the plan is in order. */
static void set_refusals(struct scenario *c)
{
    for (int i = 0; i < c->p.n; i++) {
        if (c->p.list[i].refused)
            CHECK_INT(eddy_sim_fail(race_sim(&c->r), EDDY_SIM_SOCKET, (unsigned long)i + 1,
                                    c->p.list[i].refused),
                      0);
    }
}

static void begin(struct scenario *c, unsigned seed)
{
    struct race *r = &c->r;
    struct eddy_connection_opts *o = &r->s.connection_opts;
    draw(&c->p, seed);
    o->happy_eyeballs_delay = c->p.delay;
    o->interleave = c->p.interleave;
    o->timeout = c->p.timeout;
    o->all_errors = seed % 5 == 0;
    if (c->p.local_takes >= 0)
        o->local_host = "here.example";
    race_begin(r);
    set_the_world(c);
}

static void connect_and_act(struct scenario *c)
{
    CHECK_INT(race_connect(&c->r), 0);
    c->actor.fn = act;
    if (c->p.act && c->p.act != CLOSE_LOOP)
        eddy_loop_call_later(c->r.s.loop, &c->actor, c->p.act_at);
}

/* Of the client's callbacks exactly one tells the end. */
static int told(const struct race *r)
{
    return r->s.client.count[ON_MADE] + r->s.client.count[ON_FAILED];
}

static void close_loop(struct scenario *c)
{
    struct race *r = &c->r;
    struct eddy_future *f = r->s.client.future;
    raw_close(&r->s, r->listeners[0]);
    raw_close(&r->s, r->listeners[1]);
    eddy_server_close(r->s.server);
    eddy_server_unref(r->s.server);
    eddy_future_remove_done_callback(&r->s.client.done_node);
    eddy_timer_cancel(&c->actor);
    CHECK_INT(eddy_loop_close(r->s.loop), 0);
    CHECK_INT(told(r), 1);
    eddy_future_error(f);
    eddy_future_unref(f);
    test_loop_free(r->s.loop);
    CHECK_INT(r->open, 0);
}

static bool is_given_up(const struct scenario *c)
{
    return race_is_over(&c->r) || (c->r.s.client.detached && c->r.s.client.done);
}

/* Eight silent hosts, one after the other, take a while. */
static void wait_for_it(struct scenario *c)
{
    eddy_nsec patience = eddy_loop_time(c->r.s.loop) + EDDY_SEC(1200);
    while (!is_given_up(c) && eddy_loop_time(c->r.s.loop) < patience)
        CHECK_INT(eddy_loop_run_once(c->r.s.loop, EDDY_SEC(1)), 0);
    CHECK(is_given_up(c));
}

static void check_times(struct scenario *c, const struct outcome *out)
{
    struct race *r = &c->r;
    int code = out->tried && r->s.connection_opts.all_errors ? EDDY_EMULTIPLE : out->code;
    CHECK_INT(r->begun, out->begun);
    for (int i = 0; i < out->begun && i < r->begun; i++) {
        CHECK_INT(r->begun_at[i] / EDDY_USEC(1), out->begun_at[i] / EDDY_USEC(1));
        CHECK_INT(r->families[i], out->families[i]);
    }
    if (out->code == 1) {
        CHECK_INT(told(r), 0);
        return;
    }
    CHECK_INT(told(r), 1);
    CHECK_INT(r->ended_at / EDDY_USEC(1), out->at / EDDY_USEC(1));
    CHECK_INT(r->s.client.count[ON_MADE], out->code == 0);
    if (out->code == 0)
        CHECK(strstr(race_winner(r), out->winner) != NULL);
    else
        CHECK_INT(r->s.client.code, code);
    if (!stage_is_late())
        CHECK_INT(r->open_when_made, out->code == 0);
    if (c->p.delay == EDDY_OFF)
        CHECK(r->most_open <= 1);
}

static bool run_tidy(unsigned seed)
{
    static struct scenario c;
    struct outcome out;
    memset(&c, 0, sizeof c);
    race_init(&c.r);
    c.r.sim.seed = seed;
    begin(&c, seed);
    predict(&c.p, &out);
    connect_and_act(&c);
    set_refusals(&c);
    if (c.p.act == CLOSE_LOOP && out.code == EDDY_ELOOP_CLOSED && !out.tie) {
        stage_run_for(&c.r.s, c.p.act_at);
        close_loop(&c);
        CHECK_INT(c.r.begun, out.begun);
        return true;
    }
    wait_for_it(&c);
    eddy_timer_cancel(&c.actor);
    eddy_sim_fail_none(race_sim(&c.r));
    stage_run_for(&c.r.s, EDDY_SEC(1));
    CHECK_INT(c.r.open, c.r.s.client.t != NULL);
    if (!out.tie)
        check_times(&c, &out);
    race_close(&c.r);
    return !out.tie;
}

static void S6_S7_S9_S11_S12_S13_races_are_what_a_model_says(void)
{
    int exact = 0;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        unsigned before = CU_get_number_of_failure_records();
        exact += run_tidy(seed);
        if (CU_get_number_of_failure_records() != before) {
            FAIL("... with seed %u", seed);
            break;
        }
    }
    CHECK(exact > SEEDS * 9 / 10);
}

static void run_rough(unsigned seed)
{
    static struct scenario c;
    memset(&c, 0, sizeof c);
    race_init(&c.r);
    eddy_sim_wild(&c.r.sim, seed);
    c.r.sim.trace = race_line;
    c.r.sim.user = &c.r;
    begin(&c, seed);
    connect_and_act(&c);
    if (c.p.act == CLOSE_LOOP) {
        stage_run_for(&c.r.s, c.p.act_at);
        if (!race_is_over(&c.r)) {
            close_loop(&c);
            return;
        }
    }
    wait_for_it(&c);
    int begun = c.r.begun;
    CHECK_INT(told(&c.r), !c.r.s.client.detached);
    if (!stage_is_late() && !c.r.s.client.detached)
        CHECK_INT(c.r.open_when_made, c.r.s.client.count[ON_MADE]);
    stage_run_for(&c.r.s, EDDY_SEC(2));
    CHECK_INT(c.r.begun, begun);
    CHECK(c.r.open <= 1);
    CHECK_INT(c.r.s.client.count[ON_MADE] + c.r.s.client.count[ON_FAILED], !c.r.s.client.detached);
    race_close(&c.r);
}

static void S9_S10_S13_on_a_rough_network_one_is_used_and_the_others_are_closed(void)
{
    for (unsigned seed = 1; seed <= ROUGH_SEEDS; seed++) {
        unsigned before = CU_get_number_of_failure_records();
        run_rough(seed);
        if (CU_get_number_of_failure_records() != before) {
            FAIL("... with seed %u", seed);
            break;
        }
    }
}

const struct test_case test_cases[] = {
    CASE(S6_S7_S9_S11_S12_S13_races_are_what_a_model_says),
    CASE(S9_S10_S13_on_a_rough_network_one_is_used_and_the_others_are_closed),
    {NULL, NULL},
};
