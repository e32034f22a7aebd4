/* Starting a child: its standard streams, the program, and the attempt that this is. */
#include "framework/base/alloc.h"
#include "framework/base/opts.h"
#include "transports/spawn.h"
#include "transports/subprocess.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct starting {
    struct opening o; /* first */
    struct eddy_handle started;
};

/* The child's ends of its streams, while it is started. */
struct streams {
    eddy_fd fd[3];
    bool ours[3]; /* made for it, to be closed */
};

/* What is to be run; a shell or a program. */
struct order {
    const char *call; /* for errors */
    const struct eddy_subprocess_opts *o;
    const char *program;
    const char *const *argv;
};

/* ---- what happens to it ---- */

static void stop(struct opening *o)
{
    eddy_handle_cancel(&((struct starting *)o)->started);
}

static const struct opening_class starting_class = {.op = "subprocess", .stop = stop};

static void run_started(struct eddy_handle *h)
{
    struct opening *o = &EDDY_CONTAINER_OF(h, struct starting, started)->o;
    struct subprocess *s = (struct subprocess *)o->opened;

    eddy_process_open_pipes(s);
    eddy_opening_succeed(o);
    eddy_process_made(s);
}

/* ---- arguments ---- */

static int refuse(const struct order *a, int code, const char *why)
{
    return eddy_error_set(a->o->error, code, "subprocess", "%s: %s", a->call, why);
}

static enum eddy_stdio kind_of(const struct eddy_subprocess_opts *o, int stream)
{
    return stream == 0 ? o->std_in : stream == 1 ? o->std_out : o->std_err;
}

static int fd_of(const struct eddy_subprocess_opts *o, int stream)
{
    return stream == 0 ? o->fd_in : stream == 1 ? o->fd_out : o->fd_err;
}

static int check_stream(const struct order *a, int stream)
{
    enum eddy_stdio kind = kind_of(a->o, stream);
    int fd = fd_of(a->o, stream);

    if ((int)kind < 0 || kind > EDDY_STDIO_STDOUT)
        return refuse(a, -EINVAL, "a standard stream is none of enum eddy_stdio");
    if (kind == EDDY_STDIO_STDOUT && stream != 2)
        return refuse(a, -EINVAL, "EDDY_STDIO_STDOUT is for .std_err");
    if (kind != EDDY_STDIO_FD && fd != 0)
        return refuse(a, -EINVAL, "a descriptor for a stream that is not EDDY_STDIO_FD");
    if (kind == EDDY_STDIO_FD && (fd < 0 || fcntl(fd, F_GETFD) < 0))
        return refuse(a, -EINVAL, "the descriptor for a standard stream is not open");
    return 0;
}

static int check_combinations(const struct order *a)
{
    const struct eddy_subprocess_opts *o = a->o;

    if (o->pty && (o->std_in != EDDY_STDIO_DEFAULT || o->std_out != EDDY_STDIO_DEFAULT))
        return refuse(a, -EINVAL, "with .pty, .std_in and .std_out are the pseudo-terminal");
    if (!o->pty && (o->pty_size.rows || o->pty_size.cols))
        return refuse(a, -EINVAL, ".pty_size without .pty");
    if ((o->pty || o->new_session) && o->set_process_group)
        return refuse(a, -EINVAL, "the first of a session has a process group already");
    if (!o->set_process_group && o->process_group)
        return refuse(a, -EINVAL, ".process_group without .set_process_group");
    if (o->process_group < 0)
        return refuse(a, -EINVAL, ".process_group is negative");
    if ((!o->set_umask && o->umask) || (!o->set_uid && o->uid) || (!o->set_gid && o->gid))
        return refuse(a, -EINVAL, ".umask, .uid or .gid without its .set_ flag");
    if (!o->set_groups && (o->groups || o->groups_count))
        return refuse(a, -EINVAL, ".groups without .set_groups");
    if ((!o->groups && o->groups_count) || (!o->pass_fds && o->pass_fds_count))
        return refuse(a, -EINVAL, "a count without what it counts");
    return 0;
}

static int check(struct eddy_loop *loop, struct eddy_subprocess_protocol *p, const struct order *a)
{
    int rc = p ? eddy_process_check_protocol(p->base.cls, a->call, a->o->error)
               : refuse(a, -EINVAL, "no protocol");

    if (rc < 0)
        return rc;
    if (!a->argv || !a->argv[0])
        return refuse(a, -EINVAL, "no program: .argv is empty");
    for (int i = 0; i < 3 && rc == 0; i++)
        rc = check_stream(a, i);
    if (rc == 0)
        rc = check_combinations(a);
    if (rc < 0)
        return rc;
    rc = eddy_loop_children_work(loop);
    if (rc == EDDY_ENOT_SUPPORTED)
        return refuse(a, rc, "children cannot be watched by this loop");
    return rc < 0 ? refuse(a, rc, eddy_strerror(rc)) : 0;
}

/* ---- the standard streams ---- */

/* Ours must not be what a stream that is inherited refers to. */
static int above_stdio(int fd)
{
    if (fd > STDERR_FILENO)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int rc = moved < 0 ? -errno : moved;
    close(fd);
    return rc;
}

static int move_both(int fds[2])
{
    fds[0] = above_stdio(fds[0]);
    fds[1] = above_stdio(fds[1]);
    if (fds[0] >= 0 && fds[1] >= 0)
        return 0;
    int rc = fds[0] < 0 ? fds[0] : fds[1];
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    return rc;
}

static int open_pipe(int fds[2])
{
#if defined(__linux__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__) || defined(__sun)
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
#else
    if (pipe(fds) < 0)
        return -errno;
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
#endif
    return move_both(fds);
}

/* Gives our end of a pipe, or of the pseudo-terminal, to the transport. */
static int take_parent_end(struct subprocess *s, int stream, eddy_fd fd)
{
    struct eddy_sys *sys = s->base.t.io.loop->sys;
    int rc = sys->cls->adopt(sys, fd);

    if (rc == 0)
        rc = eddy_process_add_pipe(s, stream, fd);
    if (rc < 0)
        close(fd);
    return rc == -EINVAL ? -EMFILE : rc; /* ours is as it should be: select cannot hold it */
}

static int make_pipe(struct subprocess *s, struct streams *c, int stream)
{
    int fds[2];
    int rc = open_pipe(fds);

    if (rc < 0)
        return rc;
    c->fd[stream] = fds[stream == 0 ? 0 : 1];
    c->ours[stream] = true;
    return take_parent_end(s, stream, fds[stream == 0 ? 1 : 0]);
}

static int make_pty(struct subprocess *s, const struct eddy_subprocess_opts *o, struct streams *c)
{
    int fds[2];
    int rc = eddy_open_pty(&o->pty_size, &fds[0], &fds[1]);

    if (rc == 0)
        rc = move_both(fds);
    if (rc < 0)
        return rc;
    s->pty = true;
    c->fd[0] = c->fd[1] = fds[1];
    c->ours[0] = true;
    return take_parent_end(s, 1, fds[0]);
}

static int open_null(struct streams *c, int stream)
{
    int fd = open("/dev/null", (stream == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);

    c->fd[stream] = fd < 0 ? -errno : above_stdio(fd);
    c->ours[stream] = c->fd[stream] >= 0;
    return c->ours[stream] ? 0 : c->fd[stream];
}

static int open_stream(struct subprocess *s, const struct eddy_subprocess_opts *o,
                       struct streams *c, int stream)
{
    switch (kind_of(o, stream)) {
    case EDDY_STDIO_DEFAULT:
        if (!o->pty)
            return make_pipe(s, c, stream);
        if (stream == 0)
            return make_pty(s, o, c);
        c->fd[stream] = c->fd[0];
        return 0;
    case EDDY_STDIO_PIPE:
        return make_pipe(s, c, stream);
    case EDDY_STDIO_DEVNULL:
        return open_null(c, stream);
    case EDDY_STDIO_FD:
        c->fd[stream] = fd_of(o, stream);
        return 0;
    case EDDY_STDIO_STDOUT:
        c->fd[stream] = c->fd[1];
        return 0;
    case EDDY_STDIO_INHERIT:
        c->fd[stream] = stream;
        return 0;
    }
    return -EINVAL;
}

static int open_streams(struct subprocess *s, const struct eddy_subprocess_opts *o,
                        struct streams *c)
{
    int rc = 0;

    for (int i = 0; i < 3 && rc == 0; i++)
        rc = open_stream(s, o, c, i);
    return rc;
}

/* The child has its own by now. */
static void close_streams(struct streams *c)
{
    for (int i = 0; i < 3; i++) {
        if (c->ours[i])
            close(c->fd[i]);
    }
}

/* ---- the program ---- */

/* spawn.h takes them as exec does; neither writes to them. */
static char *const *as_exec(const char *const *words)
{
    return (char *const *)(uintptr_t)words;
}

static int spawn(const struct order *a, const struct streams *c, pid_t *ret_pid, eddy_fd *ret_pidfd,
                 const char **ret_step)
{
    const struct eddy_subprocess_opts *o = a->o;
    const struct spawn order = {
        .program = a->program,
        .argv = as_exec(a->argv),
        .env = as_exec(o->env),
        .cwd = o->cwd,
        .stdio = {c->fd[0], c->fd[1], c->fd[2]},
        .pass_fds = o->pass_fds,
        .pass_fds_count = o->pass_fds_count,
        .new_session = o->new_session || o->pty,
        .terminal = o->pty,
        .set_process_group = o->set_process_group,
        .set_umask = o->set_umask,
        .set_groups = o->set_groups,
        .set_gid = o->set_gid,
        .set_uid = o->set_uid,
        .process_group = o->process_group,
        .umask = o->umask,
        .gid = o->gid,
        .uid = o->uid,
        .groups = o->groups,
        .groups_count = o->groups_count,
    };

    return eddy_spawn(&order, ret_pid, ret_pidfd, ret_step);
}

static void say_what_failed(struct eddy_error *e, const struct order *a, int code, const char *step)
{
    if (strcmp(step, "chdir") == 0)
        eddy_error_set(e, code, "subprocess", "%s %s: chdir to %s: %s", a->call, a->program,
                       a->o->cwd, eddy_strerror(code));
    else
        eddy_error_set(e, code, "subprocess", "%s %s: %s: %s", a->call, a->program, step,
                       eddy_strerror(code));
}

/* What failed in us, not in the child, is the caller's to hear of. */
static bool is_our_step(const char *step)
{
    return strcmp(step, "memory") == 0 || strcmp(step, "fork") == 0 ||
           strcmp(step, "signals") == 0 || strcmp(step, "arguments") == 0;
}

/* 0: it runs, or has failed in the child, of which o will tell. */
static int run(struct starting *c, const struct order *a, const struct streams *streams)
{
    struct subprocess *s = (struct subprocess *)c->o.opened;
    const char *step;
    pid_t pid;
    eddy_fd pidfd;
    int rc = spawn(a, streams, &pid, &pidfd, &step);

    if (rc < 0) {
        struct eddy_error e;

        say_what_failed(&e, a, rc, step);
        if (is_our_step(step)) {
            if (a->o->error)
                *a->o->error = e;
            return rc;
        }
        eddy_opening_fail_later(&c->o, &e);
        return 0;
    }
    if (pidfd >= 0)
        pidfd = above_stdio(pidfd);
    rc = eddy_process_add_child(s, pid, pidfd); /* without a pidfd it opens one, if need be */
    if (rc < 0) {
        eddy_spawn_undo(pid, pidfd);
        return refuse(a, rc, "the child cannot be watched");
    }
    eddy_loop_call_soon(c->o.loop, &c->started);
    return 0;
}

/* ---- the beginning ---- */

static int begin(struct eddy_loop *loop, struct eddy_subprocess_protocol *p, struct order *a,
                 bool with_future, struct streams *streams, struct starting **ret)
{
    struct subprocess *s = eddy_process_new(loop, a->o->site);
    int rc = s ? open_streams(s, a->o, streams) : -ENOMEM;

    if (rc < 0) {
        if (s)
            eddy_opened_drop(&s->base);
        return refuse(a, rc, rc == -ENOMEM ? "no memory" : eddy_strerror(rc));
    }
    struct starting *c = eddy_zalloc(sizeof *c);
    if (c)
        c->started.fn = run_started;
    rc = eddy_opening_begin(c ? &c->o : NULL, &starting_class, loop, &p->base, &s->base,
                            with_future);
    if (rc < 0)
        return refuse(a, rc,
                      rc == -EINVAL ? "the protocol is attached already, or not initialised"
                                    : "no memory");
    *ret = c;
    return 0;
}

static int start(struct eddy_loop *loop, struct eddy_subprocess_protocol *p, struct order *a,
                 struct eddy_future **ret)
{
    struct streams streams = {.fd = {-1, -1, -1}};
    struct starting *c = NULL;
    int rc = check(loop, p, a);

    if (rc < 0)
        return rc;
    if (!a->program)
        a->program = a->argv[0];
    rc = begin(loop, p, a, ret != NULL, &streams, &c);
    if (rc == 0) {
        rc = run(c, a, &streams);
        if (rc < 0)
            eddy_opening_undo(&c->o);
        else
            eddy_opening_go_on(&c->o, ret);
    }
    close_streams(&streams);
    return rc;
}

int eddy_subprocess_exec(struct eddy_loop *loop, struct eddy_subprocess_protocol *p,
                         const struct eddy_subprocess_opts *opts, struct eddy_future **ret)
{
    if (!loop || !opts)
        return -EINVAL;
    struct order a = {
        .call = "subprocess_exec", .o = opts, .program = opts->program, .argv = opts->argv};
    int rc = eddy_opts_check(opts, opts->abi_size, sizeof *opts);
    return rc < 0 ? rc : start(loop, p, &a, ret);
}

int eddy_subprocess_shell(struct eddy_loop *loop, struct eddy_subprocess_protocol *p,
                          const char *command, const struct eddy_subprocess_opts *opts,
                          struct eddy_future **ret)
{
    static const struct eddy_subprocess_opts defaults = {.abi_size = sizeof defaults};
    const char *const argv[] = {"sh", "-c", command, NULL};

    if (!opts)
        opts = &defaults;
    if (!loop)
        return -EINVAL;
    struct order a = {.call = "subprocess_shell", .o = opts, .program = "/bin/sh", .argv = argv};
    int rc = eddy_opts_check(opts, opts->abi_size, sizeof *opts);
    if (rc < 0)
        return rc;
    if (!command)
        return refuse(&a, -EINVAL, "no command");
    if (opts->argv || opts->program)
        return refuse(&a, -EINVAL, "the command is an argument: neither .argv nor .program");
    return start(loop, p, &a, ret);
}
