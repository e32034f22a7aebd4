/*
 * Signals. One table for the process says which loops want which signal; the C-level handler marks
 * the signal in each of them and kicks its wake-up, no more. The table's slots are found by a
 * running handler without a lock, so whoever takes a loop out waits until no handler runs.
 */
#include "framework/base/alloc.h"
#include "framework/loop/loop.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#define MAX_SIGNUM 64 /* a bit each in loop->signals */

struct slot {
    _Atomic(struct eddy_loop *) loop;
    atomic_ullong wanted; /* bit signum - 1 */
    struct slot *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct slot *) slots; /* only ever grows while any loop holds one */
static atomic_int handlers_running;
static unsigned users[MAX_SIGNUM + 1]; /* loops that want it */
static struct sigaction found[MAX_SIGNUM + 1];

static unsigned long long bit(int signum)
{
    return 1ull << (signum - 1);
}

static void handler(int signum)
{
    int saved = errno;

    handlers_running++;
    for (struct slot *s = slots; s; s = s->next) {
        struct eddy_loop *loop = s->loop;

        if (loop && (s->wanted & bit(signum))) {
            atomic_fetch_or(&loop->signals, bit(signum));
            loop->backend->cls->wake(loop->backend);
        }
    }
    handlers_running--;
    errno = saved;
}

/* The child's signals are not the parent's business (the wake-ups are shared descriptors). */
static void after_fork_in_child(void)
{
    for (struct slot *s = slots; s; s = s->next) {
        s->loop = NULL;
        s->wanted = 0;
    }
    for (int n = 1; n <= MAX_SIGNUM; n++) {
        if (users[n])
            sigaction(n, &found[n], NULL);
        users[n] = 0;
    }
    handlers_running = 0;
    pthread_mutex_unlock(&lock);
}

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- the table; under the lock, with signals blocked so that no handler interrupts the holder
 * ---- */

static void enter(sigset_t *ret_mask)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, ret_mask);
    pthread_mutex_lock(&lock);
}

static void leave(const sigset_t *mask)
{
    pthread_mutex_unlock(&lock);
    pthread_sigmask(SIG_SETMASK, mask, NULL);
}

static struct slot *slot_of(struct eddy_loop *loop)
{
    struct slot *s = slots;

    while (s && s->loop != loop)
        s = s->next;
    return s;
}

/* A slot for the loop, its own or a free one. */
static struct slot *claim_slot(struct eddy_loop *loop)
{
    struct slot *s = slot_of(loop);

    if (s)
        return s;
    if ((s = slot_of(NULL)) == NULL) {
        s = eddy_zalloc(sizeof *s);
        if (!s)
            return NULL;
        s->next = slots;
        slots = s;
    }
    s->loop = loop;
    return s;
}

static void wait_for_handlers(void)
{
    while (handlers_running)
        sched_yield();
}

/* Frees the slots when nobody holds one. */
static void free_slots(void)
{
    struct slot *s = slots;

    for (; s; s = s->next)
        if (s->loop)
            return;
    s = atomic_exchange(&slots, NULL);
    wait_for_handlers();
    while (s) {
        struct slot *next = s->next;
        eddy_free(s);
        s = next;
    }
}

static void release_slot(struct slot *s)
{
    s->loop = NULL;
    wait_for_handlers();
    free_slots();
}

static int install(struct eddy_loop *loop, int signum)
{
    struct slot *s = claim_slot(loop);
    struct sigaction sa;

    if (!s)
        return -ENOMEM;
    if (users[signum] == 0) {
        memset(&sa, 0, sizeof sa);
        sa.sa_handler = handler;
        sa.sa_flags = SA_RESTART;
        sigfillset(&sa.sa_mask);
        if (sigaction(signum, &sa, &found[signum]) < 0) {
            int rc = -errno;
            if (!s->wanted)
                release_slot(s);
            return rc;
        }
    }
    users[signum]++;
    s->wanted |= bit(signum);
    return 0;
}

static void uninstall(struct eddy_loop *loop, int signum)
{
    struct slot *s = slot_of(loop);

    if (!s || !(s->wanted & bit(signum))) { /* forgotten in a fork */
        free_slots();
        return;
    }
    s->wanted &= ~bit(signum);
    if (--users[signum] == 0)
        sigaction(signum, &found[signum], NULL);
    if (!s->wanted)
        release_slot(s);
}

/* ---- nodes ---- */

static bool wanted_by_node(struct eddy_loop *loop, int signum)
{
    struct eddy_link *l;

    for (l = loop->signal_nodes.next; l != &loop->signal_nodes; l = l->next)
        if (EDDY_CONTAINER_OF(l, struct eddy_signal, link_)->signum_ == signum)
            return true;
    return false;
}

static void run_node(struct eddy_handle *h)
{
    struct eddy_signal *s = EDDY_CONTAINER_OF(h, struct eddy_signal, handle_);

    s->fn(s, s->signum_); /* s may be gone */
}

int eddy_loop_add_signal(struct eddy_loop *loop, struct eddy_signal *s, int signum)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sigset_t mask;
    int rc = 0;

    if (!loop || !s || !s->fn || signum < 1 || signum > MAX_SIGNUM)
        return -EINVAL;
    if (signum == SIGKILL || signum == SIGSTOP)
        return EDDY_ENOT_SUPPORTED;
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    if (s->loop_)
        return -EALREADY;
    pthread_once(&once, watch_forks);
    if (!wanted_by_node(loop, signum)) {
        enter(&mask);
        rc = install(loop, signum);
        leave(&mask);
    }
    if (rc < 0)
        return rc;
    s->loop_ = loop;
    s->signum_ = signum;
    s->handle_.fn = run_node;
    eddy_list_append(&loop->signal_nodes, &s->link_);
    return 0;
}

void eddy_signal_remove(struct eddy_signal *s)
{
    struct eddy_loop *loop = s->loop_;
    sigset_t mask;

    if (!loop)
        return;
    s->loop_ = NULL;
    eddy_link_remove(&s->link_);
    eddy_handle_cancel(&s->handle_);
    if (wanted_by_node(loop, s->signum_))
        return;
    enter(&mask);
    uninstall(loop, s->signum_);
    leave(&mask);
    atomic_fetch_and(&loop->signals, ~bit(s->signum_)); /* not for who is added next */
}

int eddy_loop_forked_signals(struct eddy_loop *loop)
{
    struct eddy_link *l;
    sigset_t mask;
    int rc = 0;

    enter(&mask);
    for (l = loop->signal_nodes.next; l != &loop->signal_nodes; l = l->next) {
        int signum = EDDY_CONTAINER_OF(l, struct eddy_signal, link_)->signum_;
        struct slot *s = slot_of(loop);

        if (rc == 0 && (!s || !(s->wanted & bit(signum))))
            rc = install(loop, signum);
    }
    leave(&mask);
    return rc;
}

void eddy_loop_take_signals(struct eddy_loop *loop)
{
    unsigned long long arrived = atomic_exchange(&loop->signals, 0);
    struct eddy_link *l;

    for (l = loop->signal_nodes.next; l != &loop->signal_nodes; l = l->next) {
        struct eddy_signal *s = EDDY_CONTAINER_OF(l, struct eddy_signal, link_);

        if ((arrived & bit(s->signum_)) && !eddy_handle_is_pending(&s->handle_)) {
            s->handle_.site_ = "signal";
            eddy_list_append(&loop->ready, &s->handle_.link_);
        }
    }
}

void eddy_loop_close_signals(struct eddy_loop *loop)
{
    while (!eddy_list_empty(&loop->signal_nodes))
        eddy_signal_remove(EDDY_CONTAINER_OF(loop->signal_nodes.next, struct eddy_signal, link_));
}

/* ---- SIGPIPE ---- */

static void ignore_sigpipe(void)
{
    struct sigaction sa;

    if (sigaction(SIGPIPE, NULL, &sa) == 0 && !(sa.sa_flags & SA_SIGINFO) &&
        sa.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

void eddy_ignore_sigpipe(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, ignore_sigpipe);
}
