/*
 * Children. The loop hears of an end by the child's pidfd, which becomes readable, or, where there
 * is none, by SIGCHLD: that may stand for several, so it asks for each child that has no pidfd. A
 * child is reaped just before its callback: one that was removed in between is still the user's.
 *
 * With a pidfd neither the wait nor a signal can meet another process that got the number since.
 */
#include "framework/loop/loop.h"
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_SIGNUM 64

/* How long the loop's close waits for a child that was killed. */
#define KILLED_TRIES 1000
#define KILLED_PAUSE EDDY_MSEC(1)

/* loop->child_watcher */
enum {
    UNDECIDED,    /* pidfd, if it works */
    PIDFD,        /* it does; for one that gets none: SIGCHLD */
    PIDFD_WANTED, /* by name; not tried yet */
    PIDFD_ONLY,   /* by name, and works */
    SIGCHLD_ONLY,
};

/* c->flags_ */
enum {
    BY_SIGNAL = 1 << 0,
    LOST = 1 << 1,   /* somebody else has reaped it, or will: to be reported as unknown */
    KILLED = 1 << 2, /* by us: it will end soon */
};

/* ---- system calls ---- */

#if defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal)

#define WAIT_PIDFD ((idtype_t)3) /* P_PIDFD; missing in older headers */

static int open_pidfd(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : fd;
}

static int kill_pidfd(int pidfd, int signum)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signum, NULL, 0) < 0 ? -errno : 0;
}

#else

#define WAIT_PIDFD P_PID /* never used */

static int open_pidfd(pid_t pid)
{
    (void)pid;
    return -ENOSYS;
}

static int kill_pidfd(int pidfd, int signum)
{
    (void)pidfd;
    (void)signum;
    return -ENOSYS;
}

#endif

/* 1: it has ended; 0: it runs; -ECHILD: it is none of ours. */
static int wait_for(idtype_t type, int id, int options, siginfo_t *ret)
{
    int rc;

    memset(ret, 0, sizeof *ret); /* si_pid is left alone when there is no news */
    do {
        rc = waitid(type, (id_t)id, ret, WEXITED | WNOHANG | options);
    } while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return -errno;
    return ret->si_pid != 0;
}

/* On ourselves, who are no child of ours. Kernels before 5.4 cannot wait for a pidfd, and filters
 * may forbid any of the three. */
static int probe_pidfd(void)
{
    siginfo_t info;
    int fd = open_pidfd(getpid());

    if (fd < 0)
        return fd;
    int rc = wait_for(WAIT_PIDFD, fd, WNOWAIT, &info);
    rc = rc == -ECHILD ? kill_pidfd(fd, 0) : rc < 0 ? rc : -ENOSYS;
    close(fd);
    return rc;
}

/* ---- which kind ---- */

int eddy_loop_init_children(struct eddy_loop *loop, const struct eddy_loop_opts *opts)
{
    const char *name = opts->child_watcher;

    eddy_list_init(&loop->children);
    eddy_list_init(&loop->children_due);
    if (!name)
        loop->child_watcher = UNDECIDED;
    else if (strcmp(name, "pidfd") == 0)
        loop->child_watcher = PIDFD_WANTED;
    else if (strcmp(name, "sigchld") == 0)
        loop->child_watcher = SIGCHLD_ONLY;
    else
        return eddy_error_set(opts->error, -EINVAL, "new loop",
                              ".child_watcher is \"pidfd\" or \"sigchld\", not \"%s\"", name);
    return 0;
}

static bool is_temporary(int rc)
{
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM;
}

/* Found out at the first child, so that loops without any pay nothing. */
static int decide(struct eddy_loop *loop)
{
    int rc = probe_pidfd();

    if (rc == 0)
        loop->child_watcher = loop->child_watcher == PIDFD_WANTED ? PIDFD_ONLY : PIDFD;
    else if (is_temporary(rc))
        return loop->child_watcher == PIDFD_WANTED ? rc : 0;
    else if (loop->child_watcher == PIDFD_WANTED)
        return EDDY_ENOT_SUPPORTED;
    else
        loop->child_watcher = SIGCHLD_ONLY;
    return 0;
}

int eddy_loop_children_work(struct eddy_loop *loop)
{
    if (!eddy_loop_is_open(loop))
        return EDDY_ELOOP_CLOSED;
    if (loop->sys != eddy_sys_posix()) /* processes are not simulated */
        return EDDY_ENOT_SUPPORTED;
    if (loop->child_watcher == UNDECIDED || loop->child_watcher == PIDFD_WANTED)
        return decide(loop);
    return 0;
}

/* ---- the end of a watch ---- */

static void close_pidfd(struct eddy_child *c)
{
    struct eddy_loop *loop = c->loop_;

    eddy_watch_remove(&c->watch_);
    close(c->pidfd_);
    c->pidfd_ = -1;
    eddy_list_splice(&loop->ready, &loop->starving); /* there is a descriptor again */
}

static void stop_watching(struct eddy_child *c)
{
    struct eddy_loop *loop = c->loop_;

    eddy_handle_cancel(&c->handle_);
    if (c->pidfd_ >= 0)
        close_pidfd(c);
    if ((c->flags_ & BY_SIGNAL) && --loop->sigchld_children == 0)
        eddy_signal_remove(&loop->sigchld);
    c->flags_ = 0;
}

static void unlink_node(struct eddy_child *c)
{
    stop_watching(c);
    eddy_link_remove(&c->link_);
    c->loop_ = NULL;
}

static void report(struct eddy_child *c, int returncode)
{
    struct eddy_loop *loop = c->loop_;

    unlink_node(c);
    eddy_nsec begin = eddy_callback_begin(loop);

    c->fn(c, returncode); /* c may be gone */
    eddy_callback_end(loop, begin, "child", NULL);
}

static void report_unknown(struct eddy_child *c)
{
    eddy_loop_log(c->loop_, EDDY_LOG_WARNING, "child",
                  "child %ld was waited for by somebody else: its end is reported as %d",
                  (long)c->pid_, EDDY_CHILD_UNKNOWN);
    report(c, EDDY_CHILD_UNKNOWN);
}

static int reap(struct eddy_child *c, siginfo_t *ret)
{
    return c->pidfd_ >= 0 ? wait_for(WAIT_PIDFD, c->pidfd_, 0, ret)
                          : wait_for(P_PID, c->pid_, 0, ret);
}

/* Has it ended? */
static void ask(struct eddy_child *c)
{
    siginfo_t info;
    int rc = c->flags_ & LOST ? -ECHILD : reap(c, &info);

    if (rc < 0)
        report_unknown(c);
    else if (rc > 0)
        report(c, info.si_code == CLD_EXITED ? info.si_status : -info.si_status);
}

/* ---- hearing of it ---- */

static void pidfd_ready(struct eddy_watch *w, unsigned events)
{
    (void)events;
    ask(EDDY_CONTAINER_OF(w, struct eddy_child, watch_));
}

static void run_handle(struct eddy_handle *h)
{
    ask(EDDY_CONTAINER_OF(h, struct eddy_child, handle_));
}

static void ask_soon(struct eddy_child *c)
{
    c->handle_.fn = run_handle;
    c->handle_.site_ = "child";
    if (!eddy_handle_is_pending(&c->handle_))
        eddy_list_append(&c->loop_->ready, &c->handle_.link_);
}

/* Callbacks may add and remove any child; those that are added ask for themselves. */
static void sigchld_arrived(struct eddy_signal *s, int signum)
{
    struct eddy_loop *loop = EDDY_CONTAINER_OF(s, struct eddy_loop, sigchld);
    struct eddy_link *l;

    (void)signum;
    eddy_list_splice(&loop->children_due, &loop->children);
    while (!loop->abandoned && (l = eddy_list_pop(&loop->children_due)) != NULL) {
        struct eddy_child *c = EDDY_CONTAINER_OF(l, struct eddy_child, link_);

        eddy_list_append(&loop->children, l);
        if (c->flags_ & BY_SIGNAL)
            ask(c);
    }
}

/* It cannot be asked for any more. */
static void lose(struct eddy_child *c)
{
    stop_watching(c);
    c->flags_ = LOST;
    ask_soon(c);
}

/* ---- the beginning of a watch ---- */

static int watch_pidfd(struct eddy_child *c, eddy_fd given)
{
    eddy_fd fd = given >= 0 ? given : open_pidfd(c->pid_);

    if (fd == -ESRCH) {
        lose(c);
        return 0;
    }
    if (fd < 0)
        return fd;
    c->watch_ = (struct eddy_watch){.fn = pidfd_ready};
    int rc = eddy_loop_add_watch_site(c->loop_, &c->watch_, fd, EDDY_READ, "child");
    if (rc == 0)
        c->pidfd_ = fd;
    else if (given < 0)
        close(fd);
    return rc;
}

/* It may have ended before the signal was caught. */
static int watch_signal(struct eddy_child *c)
{
    struct eddy_loop *loop = c->loop_;

    if (loop->sigchld_children == 0) {
        loop->sigchld.fn = sigchld_arrived;
        int rc = eddy_loop_add_signal(loop, &loop->sigchld, SIGCHLD);
        if (rc < 0)
            return rc;
    }
    loop->sigchld_children++;
    c->flags_ |= BY_SIGNAL;
    ask_soon(c);
    return 0;
}

static int watch(struct eddy_child *c, eddy_fd given)
{
    unsigned kind = c->loop_->child_watcher;
    int rc = kind == SIGCHLD_ONLY ? EDDY_ENOT_SUPPORTED : watch_pidfd(c, given);

    if (rc == 0 || kind == PIDFD_ONLY)
        return rc;
    rc = watch_signal(c);
    if (rc == 0 && given >= 0)
        close(given);
    return rc;
}

static struct eddy_child *find_in(const struct eddy_link *list, pid_t pid)
{
    struct eddy_link *l;

    for (l = list->next; l != list; l = l->next) {
        struct eddy_child *c = EDDY_CONTAINER_OF(l, struct eddy_child, link_);

        if (c->pid_ == pid)
            return c;
    }
    return NULL;
}

static struct eddy_child *find(const struct eddy_loop *loop, pid_t pid)
{
    struct eddy_child *c = find_in(&loop->children, pid);

    return c ? c : find_in(&loop->children_due, pid);
}

/* The node that had this pid, if any, goes to *ret_before, and is added still. */
static int add(struct eddy_loop *loop, struct eddy_child *c, pid_t pid, eddy_fd pidfd,
               struct eddy_child **ret_before)
{
    if (!loop || !c || !c->fn || pid < 1)
        return -EINVAL;
    int rc = eddy_loop_children_work(loop);
    if (rc < 0)
        return rc;
    if (c->loop_)
        return -EALREADY;
    struct eddy_child *before = find(loop, pid);

    c->loop_ = loop;
    c->pid_ = pid;
    c->pidfd_ = -1;
    c->flags_ = 0;
    c->fork_generation_ = loop->fork_generation;
    rc = watch(c, pidfd);
    if (rc < 0) {
        c->loop_ = NULL;
        return rc;
    }
    eddy_list_append(&loop->children, &c->link_);
    *ret_before = before;
    return 0;
}

/* ---- calls ---- */

int eddy_loop_add_child(struct eddy_loop *loop, struct eddy_child *c, pid_t pid)
{
    struct eddy_child *before;
    int rc = add(loop, c, pid, -1, &before);

    if (rc == 0 && before)
        unlink_node(before);
    return rc;
}

int eddy_child_add_pidfd(struct eddy_loop *loop, struct eddy_child *c, pid_t pid, eddy_fd pidfd)
{
    struct eddy_child *before;
    int rc = add(loop, c, pid, pidfd, &before);

    if (rc == 0 && before)
        lose(before);
    return rc;
}

bool eddy_child_remove(struct eddy_child *c)
{
    if (!c || !c->loop_)
        return false;
    unlink_node(c);
    return true;
}

static bool is_ours(const struct eddy_child *c)
{
    return !(c->flags_ & LOST) && c->fork_generation_ == eddy_fork_generation();
}

/* As long as it is our child, running or not, the number is its own: nobody else reaps it. Should
 * somebody have done so all the same, the question before leaves him the shortest of times. */
static int kill_by_number(pid_t pid, int signum)
{
    siginfo_t info;

    if (wait_for(P_PID, pid, WNOWAIT, &info) < 0)
        return 0;
    return kill(pid, signum) < 0 ? -errno : 0;
}

int eddy_child_kill(struct eddy_child *c, int signum)
{
    if (!c || signum < 0 || signum > MAX_SIGNUM)
        return -EINVAL;
    if (!c->loop_ || !is_ours(c))
        return 0;
    int rc = c->pidfd_ >= 0 ? kill_pidfd(c->pidfd_, signum) : kill_by_number(c->pid_, signum);
    if (rc == 0 && signum == SIGKILL)
        c->flags_ |= KILLED;
    return rc == -ESRCH ? 0 : rc;
}

/* ---- the loop's ends ---- */

/* Zombies are reaped, as nobody else will. One that was killed is waited for: it should be quick,
 * but there is a state in which a process dies only when its disk has answered. */
static void reap_at_last(struct eddy_child *c)
{
    struct timespec pause = {.tv_nsec = KILLED_PAUSE};
    int tries = c->flags_ & KILLED ? KILLED_TRIES : 0;
    siginfo_t info;

    while (reap(c, &info) == 0 && tries-- > 0)
        nanosleep(&pause, NULL);
}

void eddy_loop_close_children(struct eddy_loop *loop)
{
    unsigned dropped = 0;
    struct eddy_link *l;

    eddy_list_splice(&loop->children, &loop->children_due);
    while ((l = eddy_list_pop(&loop->children)) != NULL) {
        struct eddy_child *c = EDDY_CONTAINER_OF(l, struct eddy_child, link_);

        if (is_ours(c)) {
            reap_at_last(c);
            dropped++;
        }
        unlink_node(c);
        if (c->dropped_)
            c->dropped_(c);
    }
    if (dropped > 0)
        eddy_loop_log(loop, EDDY_LOG_WARNING, "child",
                      "the loop was closed with %u children: their ends are not reported", dropped);
}

void eddy_loop_forked_children(struct eddy_loop *loop)
{
    struct eddy_link *l;

    eddy_list_splice(&loop->children, &loop->children_due);
    for (l = loop->children.next; l != &loop->children; l = l->next) {
        struct eddy_child *c = EDDY_CONTAINER_OF(l, struct eddy_child, link_);

        if (c->fork_generation_ != loop->fork_generation)
            lose(c);
    }
}
