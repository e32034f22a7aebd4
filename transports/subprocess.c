/*
 * A child process as a transport without an io of its own. What happens comes from four sides, the
 * child's watcher and up to three pipes, and in any order; the base class has the last word, which
 * is said when all four have come to their end.
 */
#include "transports/subprocess.h"

#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "transports/pipe.h"
#include <signal.h>
#include <string.h>

/* ---- calls into the protocol ---- */

static const struct eddy_subprocess_protocol_class *
class_of(const struct eddy_subprocess_protocol *p)
{
    return (const struct eddy_subprocess_protocol_class *)p->base.cls;
}

/* NULL: it is detached, or has heard its last but connection_lost. */
static struct eddy_subprocess_protocol *protocol_of(const struct subprocess *s)
{
    const struct eddy_transport *t = &s->base.t;

    if (t->state != EDDY_TRANSPORT_OPEN && t->state != EDDY_TRANSPORT_CLOSING)
        return NULL;
    return (struct eddy_subprocess_protocol *)eddy_transport_protocol(t);
}

/* Everybody has come to his end? */
static void check_end(struct subprocess *s)
{
    if (s->exited && s->open_pipes == 0)
        eddy_transport_fail(&s->base.t, 0, "exit");
}

static void tell_exit(struct subprocess *s)
{
    struct eddy_subprocess_protocol *p = protocol_of(s);
    struct eddy_loop *loop = s->base.t.io.loop;

    s->exited = true;
    s->returncode = s->ended;
    if (p && class_of(p)->process_exited) {
        eddy_nsec begin = eddy_callback_begin(loop);
        const char *name = p->base.cls->name;

        class_of(p)->process_exited(p);
        eddy_callback_end(loop, begin, "process_exited", name);
    }
    check_end(s);
}

/* ---- pipes: what they tell goes on to the process's protocol ---- */

static struct child_pipe *pipe_of(struct eddy_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct child_pipe, base);
}

/* (The pipe's transport makes the brackets of debug mode around these.) */
static void pipe_data_received(struct eddy_protocol *pipe, const void *data, size_t len)
{
    struct child_pipe *c = pipe_of(pipe);
    struct eddy_transport *t = &c->process->base.t;
    struct eddy_subprocess_protocol *p = protocol_of(c->process);

    t->u.heard = t->state == EDDY_TRANSPORT_OPEN ? t->io.loop->now : t->u.heard;
    if (p && class_of(p)->pipe_data_received)
        class_of(p)->pipe_data_received(p, c->fd, data, len);
}

/* Once it closes there is nothing more to write, and close calls nobody (contract G22). */
static struct eddy_subprocess_protocol *writer_of(struct eddy_protocol *pipe)
{
    const struct subprocess *s = pipe_of(pipe)->process;

    return s->base.t.state == EDDY_TRANSPORT_OPEN ? protocol_of(s) : NULL;
}

static void pipe_pause_writing(struct eddy_protocol *pipe)
{
    struct eddy_subprocess_protocol *p = writer_of(pipe);

    if (p && class_of(p)->pause_writing)
        class_of(p)->pause_writing(p);
}

static void pipe_resume_writing(struct eddy_protocol *pipe)
{
    struct eddy_subprocess_protocol *p = writer_of(pipe);

    if (p && class_of(p)->resume_writing)
        class_of(p)->resume_writing(p);
}

/* That the child's side was closed is how a pseudo-terminal ends. */
static bool is_hang_up(const struct child_pipe *c, const struct eddy_error *err)
{
    return c->process->pty && c->fd == 1 && err && err->code == -EIO && c->opened->t.queued == 0;
}

static void pipe_connection_lost(struct eddy_protocol *pipe, const struct eddy_error *err)
{
    struct child_pipe *c = pipe_of(pipe);
    struct eddy_subprocess_protocol *p = protocol_of(c->process);

    if (p && class_of(p)->pipe_connection_lost)
        class_of(p)->pipe_connection_lost(p, c->fd, is_hang_up(c, err) ? NULL : err);
}

static const struct eddy_protocol_class pipe_class = {
    EDDY_PROTOCOL_CLASS(struct child_pipe, base), .data_received = pipe_data_received,
    .pause_writing = pipe_pause_writing,          .resume_writing = pipe_resume_writing,
    .connection_lost = pipe_connection_lost,
};

/* Counted here, not in connection_lost, which goes to another if the protocol was switched. */
static void pipe_lost(struct eddy_owner *o, struct eddy_transport *t)
{
    struct child_pipe *c = EDDY_CONTAINER_OF(o, struct child_pipe, owner);

    if (c->opened_owner->cls->lost)
        c->opened_owner->cls->lost(c->opened_owner, t);
    c->process->open_pipes--;
    check_end(c->process);
}

/* The user may ask for it as long as the process's transport is there (contract U8): it becomes one
 * that has ended, and refers to nothing. */
static void pipe_free(struct eddy_owner *o, struct eddy_transport *t)
{
    EDDY_CONTAINER_OF(o, struct child_pipe, owner)->freed = true;
    t->limits = NULL; /* was given back */
    eddy_transport_use_limits(t, NULL);
}

static const struct eddy_owner_class pipe_owner = {.lost = pipe_lost, .free = pipe_free};

int eddy_process_add_pipe(struct subprocess *s, int stream, eddy_fd fd)
{
    struct child_pipe *c = &s->pipes[stream];
    enum pipe_way way = s->pty && stream == 1 ? PIPE_BOTH : stream == 0 ? PIPE_WRITE : PIPE_READ;
    int rc = eddy_pipe_new(s->base.t.io.loop, way, fd, NULL, s->base.owner.site, &c->opened);

    if (rc < 0)
        return rc;
    c->opened_owner = c->opened->t.owner;
    c->owner = (struct eddy_owner){.cls = &pipe_owner, .site = s->base.owner.site};
    c->process = s;
    c->fd = stream;
    eddy_protocol_init(&c->base, &pipe_class);
    return 0;
}

void eddy_process_open_pipes(struct subprocess *s)
{
    for (int i = 0; i < 3; i++) {
        struct child_pipe *c = &s->pipes[i];

        if (!c->opened)
            continue;
        c->opened->t.owner = &c->owner;
        c->made = true;
        s->open_pipes++;
        eddy_pipe_made(c->opened, &c->base, &s->pipe_list);
    }
}

/* The transport goes its own way from here on, or its storage is freed. */
static void let_go_of_pipe(struct child_pipe *c)
{
    struct eddy_transport *t = &c->opened->t;

    if (!c->made) {
        eddy_opened_drop(c->opened);
        return;
    }
    eddy_protocol_detach(&c->base);
    t->owner = c->opened_owner;
    if (!c->freed)
        return;
    eddy_limits_unref(t->limits); /* of one that has ended they can be set still */
    t->owner->cls->free(t->owner, t);
}

static void abort_pipes(struct subprocess *s)
{
    int code = (int)s->base.t.u.reason;

    for (int i = 0; i < 3; i++) {
        if (!s->pipes[i].made)
            continue;
        eddy_transport_fail(&s->pipes[i].opened->t, code, "abort");
        eddy_protocol_detach(&s->pipes[i].base);
    }
}

/* ---- the child ---- */

static void child_ended(struct eddy_child *child, int returncode)
{
    struct reaper *r = EDDY_CONTAINER_OF(child, struct reaper, child);
    struct subprocess *s = r->process;

    eddy_free(r);
    if (!s)
        return;
    s->reaper = NULL;
    s->ended = returncode;
    if (s->base.t.state != EDDY_TRANSPORT_NEW)
        tell_exit(s);
}

static void kill_child(struct subprocess *s)
{
    if (s->reaper)
        eddy_child_kill(&s->reaper->child, SIGKILL);
}

/* The loop closes, and has taken the child out. */
static void child_dropped(struct eddy_child *child)
{
    struct reaper *r = EDDY_CONTAINER_OF(child, struct reaper, child);

    if (r->process)
        r->process->reaper = NULL;
    eddy_free(r);
}

int eddy_process_add_child(struct subprocess *s, pid_t pid, eddy_fd pidfd)
{
    struct eddy_loop *loop = s->base.t.io.loop;
    struct reaper *r = eddy_zalloc(sizeof *r);

    if (!r)
        return -ENOMEM;
    r->child.fn = child_ended;
    r->child.dropped_ = child_dropped;
    r->process = s;
    int rc = eddy_child_add_pidfd(loop, &r->child, pid, pidfd);
    if (rc < 0) {
        eddy_free(r);
        return rc;
    }
    s->reaper = r;
    s->pid = pid;
    return 0;
}

void eddy_process_made(struct subprocess *s)
{
    if (!s->reaper)
        tell_exit(s);
}

/* ---- the transport ---- */

/* What was accepted for writing cannot arrive any more, and is not waited for, if it is us who end
 * the child. */
static void close_pipe(struct subprocess *s, struct child_pipe *c)
{
    struct eddy_transport *t = &c->opened->t;

    if (s->reaper && t->queued > 0 && t->state < EDDY_TRANSPORT_LOST)
        eddy_transport_fail(t, -EPIPE, "close");
    else
        eddy_transport_close(t);
}

/* Contract U23. Killed first, as the end of its input would have it exit by itself. */
static void wind_up(struct eddy_transport *t)
{
    struct subprocess *s = (struct subprocess *)t;

    for (int i = 0; i < 3; i++) {
        if (s->pipes[i].made)
            eddy_transport_flush(&s->pipes[i].opened->t);
    }
    kill_child(s);
    for (int i = 0; i < 3; i++) {
        if (s->pipes[i].made)
            close_pipe(s, &s->pipes[i]);
    }
}

static void cancel(struct eddy_transport *t)
{
    struct subprocess *s = (struct subprocess *)t;

    kill_child(s);
    abort_pipes(s);
}

int eddy_process_check_protocol(const struct eddy_protocol_class *cls, const char *op,
                                struct eddy_error *e)
{
    int rc = cls ? eddy_opts_check(cls, cls->abi_size, sizeof *cls) : -EINVAL;

    if (!cls || (rc == 0 && cls->kind_ != EDDY_SUBPROCESS_CLASS_))
        return eddy_error_set(e, -EINVAL, op,
                              "%s: not a class for subprocesses; "
                              "begin it with EDDY_SUBPROCESS_PROTOCOL_CLASS()",
                              op);
    return rc < 0 ? eddy_error_set(e, rc, op, "%s: protocol class of another version", op) : 0;
}

static const struct eddy_transport_class subprocess_class = {
    .name = "subprocess",
    .abi_size = sizeof(struct eddy_transport_class),
    .cancel = cancel,
    .wind_up = wind_up,
    .check_protocol = eddy_process_check_protocol,
};

static const struct eddy_io_class no_io = {.name = "subprocess"};

static void free_process(struct eddy_owner *o, struct eddy_transport *t)
{
    struct subprocess *s = (struct subprocess *)t;

    (void)o;
    kill_child(s); /* given up before it was made; else it has ended, or was killed */
    if (s->reaper)
        s->reaper->process = NULL;
    for (int i = 0; i < 3; i++) {
        if (s->pipes[i].opened)
            let_go_of_pipe(&s->pipes[i]);
    }
    eddy_free(s);
}

static const struct eddy_owner_class process_owner = {.free = free_process};

struct subprocess *eddy_process_new(struct eddy_loop *loop, const char *site)
{
    struct opened *o =
        eddy_opened_new(sizeof(struct subprocess), loop, &subprocess_class, &no_io, NULL, site);
    struct subprocess *s = (struct subprocess *)o;

    if (!o)
        return NULL;
    o->owner.cls = &process_owner;
    s->pid = -1;
    s->returncode = EDDY_RUNNING;
    eddy_list_init(&s->pipe_list);
    return s;
}

/* ---- calls ---- */

static const struct subprocess *process_of(const struct eddy_transport *t, int *ret_error)
{
    if (t && t->cls == &subprocess_class)
        return (const struct subprocess *)t;
    *ret_error = t ? EDDY_ENOT_SUPPORTED : EDDY_ECLOSED;
    return NULL;
}

pid_t eddy_transport_get_pid(const struct eddy_transport *t)
{
    int rc;
    const struct subprocess *s = process_of(t, &rc);

    return s ? s->pid : (pid_t)rc;
}

int eddy_transport_get_returncode(const struct eddy_transport *t)
{
    int rc;
    const struct subprocess *s = process_of(t, &rc);

    return s ? s->returncode : rc;
}

struct eddy_transport *eddy_transport_get_pipe_transport(const struct eddy_transport *t, int fd)
{
    int rc;
    const struct subprocess *s = process_of(t, &rc);

    if (!s || fd < 0 || fd > 2)
        return NULL;
    const struct child_pipe *c = &s->pipes[s->pty && fd == 0 ? 1 : fd];
    return c->opened ? &c->opened->t : NULL;
}

int eddy_transport_send_signal(struct eddy_transport *t, int signum)
{
    int rc;
    const struct subprocess *s = process_of(t, &rc);

    if (!s)
        return rc;
    if (!eddy_loop_may_call(t->io.loop, "send_signal", NULL))
        return EDDY_ETHREAD;
    return s->reaper ? eddy_child_kill(&s->reaper->child, signum) : 0;
}

int eddy_transport_terminate(struct eddy_transport *t)
{
    return eddy_transport_send_signal(t, SIGTERM);
}

int eddy_transport_kill(struct eddy_transport *t)
{
    return eddy_transport_send_signal(t, SIGKILL);
}

/* ---- the protocol ---- */

static struct eddy_subprocess_protocol *self(struct eddy_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct eddy_subprocess_protocol, base);
}

void eddy_subprocess_protocol_init(struct eddy_subprocess_protocol *p,
                                   const struct eddy_subprocess_protocol_class *cls)
{
    memset(p, 0, sizeof *p);
    eddy_protocol_init(&p->base, &cls->base);
}

void eddy_subprocess_fini_(struct eddy_protocol *base)
{
    struct eddy_subprocess_protocol *p = self(base);

    if (class_of(p)->fini)
        class_of(p)->fini(p);
}

void eddy_subprocess_connection_made_(struct eddy_protocol *base, struct eddy_transport *t)
{
    struct eddy_subprocess_protocol *p = self(base);

    if (class_of(p)->connection_made)
        class_of(p)->connection_made(p, t);
}

void eddy_subprocess_start_failed_(struct eddy_protocol *base, const struct eddy_error *err)
{
    struct eddy_subprocess_protocol *p = self(base);

    if (class_of(p)->start_failed)
        class_of(p)->start_failed(p, err);
}

void eddy_subprocess_connection_lost_(struct eddy_protocol *base, const struct eddy_error *err)
{
    struct eddy_subprocess_protocol *p = self(base);

    if (class_of(p)->connection_lost)
        class_of(p)->connection_lost(p, err);
}
