/*
 * Programs as children: a transport for the process, and pipe transports for its standard streams.
 * (asyncio: subprocess_exec, subprocess_shell, SubprocessProtocol, SubprocessTransport)
 *
 * You subclass struct eddy_subprocess_protocol as you would struct eddy_protocol:
 *
 *     struct job {
 *         struct eddy_subprocess_protocol sub;
 *         ...
 *     };
 *
 *     static const struct eddy_subprocess_protocol_class job = {
 *         EDDY_SUBPROCESS_PROTOCOL_CLASS(struct job, sub),
 *         .pipe_data_received = job_output,
 *         .process_exited = job_exited,
 *     };
 *
 *     eddy_subprocess_protocol_init(&j->sub, &job);
 *     eddy_subprocess_exec(loop, &j->sub, EDDY_SUBPROCESS(.argv = EDDY_ARGV("sort", "-n")), NULL);
 *
 * The order of callbacks (contract U13-U19), all of them on the loop's thread:
 *
 *     connection_made
 *         (pipe_data_received | pipe_connection_lost | process_exited | pause_writing |
 *          resume_writing)*
 *     connection_lost
 *
 * connection_made comes first and connection_lost last. process_exited comes once, and so does
 * pipe_connection_lost for each stream that is a pipe; after that one there is no data of the same
 * stream. Nothing else is ordered: a short output may be read after process_exited, and a
 * grandchild that has inherited a stream keeps it open beyond that. If the program cannot be
 * started, start_failed comes instead of all of them. After abort only connection_lost comes.
 *
 * Loops on simulated systems start no programs.
 */
#ifndef EDDY_SUBPROCESS_H
#define EDDY_SUBPROCESS_H

#include <eddy/base.h>
#include <eddy/child.h>
#include <eddy/future.h>
#include <eddy/loop.h>
#include <eddy/pipe.h>
#include <eddy/protocol.h>
#include <eddy/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- protocols ---- */

/* Embed it, zeroed; eddy_subprocess_protocol_init() prepares it. `&p->base` is for
 * eddy_protocol_hold, release, abort, detach and is_attached. */
struct eddy_subprocess_protocol {
    struct eddy_protocol base; /* p->base.transport is the way to the transport */
    void *reserved_[2];
};

/* NULL slots do nothing. */
struct eddy_subprocess_protocol_class {
    struct eddy_protocol_class base; /* by EDDY_SUBPROCESS_PROTOCOL_CLASS */

    /* The program runs: `t` may be used from here on, until connection_lost returns, and so may its
     * pipe transports. */
    void (*connection_made)(struct eddy_subprocess_protocol *p, struct eddy_transport *t);

    /* The program could not be started - not found, not allowed, a directory that is not there - or
     * its creation was cancelled (-ECANCELED). Nothing is left of it; only fini follows (contract
     * U2). */
    void (*start_failed)(struct eddy_subprocess_protocol *p, const struct eddy_error *err);

    /* 1 or more bytes of the child's stream fd, 1 or 2; lent for the call. */
    void (*pipe_data_received)(struct eddy_subprocess_protocol *p, int fd, const void *data,
                               size_t len);

    /* Stream fd has ended; once per pipe. 1, 2: NULL at the end of file, else the error. 0: NULL if
     * all that was written has gone to the child's end, and -EPIPE if bytes were lost (contract
     * U14). */
    void (*pipe_connection_lost)(struct eddy_subprocess_protocol *p, int fd,
                                 const struct eddy_error *err);

    /* The child has ended, and was reaped: eddy_transport_get_returncode tells how. */
    void (*process_exited)(struct eddy_subprocess_protocol *p);

    /* Of the child's standard input, as in <eddy/protocol.h> (contract U18). */
    void (*pause_writing)(struct eddy_subprocess_protocol *p);
    void (*resume_writing)(struct eddy_subprocess_protocol *p);

    /* The end: the child has ended, and all pipes are closed (contract U16). NULL: clean; else why
     * it was aborted. */
    void (*connection_lost)(struct eddy_subprocess_protocol *p, const struct eddy_error *err);

    /* The end of this attachment, as in <eddy/protocol.h>: p may be freed or used again. */
    void (*fini)(struct eddy_subprocess_protocol *p);

    void (*reserved[4])(void);
};

/* For the start of a class: `type` is your struct, which has a struct eddy_subprocess_protocol as
 * `member`. */
#define EDDY_SUBPROCESS_PROTOCOL_CLASS(type, member)              \
    .base = {EDDY_PROTOCOL_CLASS(type, member.base),              \
             .fini = eddy_subprocess_fini_,                       \
             .connection_made = eddy_subprocess_connection_made_, \
             .connect_failed = eddy_subprocess_start_failed_,     \
             .connection_lost = eddy_subprocess_connection_lost_, \
             .kind_ = EDDY_SUBPROCESS_CLASS_}

/* Prepares an instance. Not while it is attached; from fini on it may be used again without. */
EDDY_API void eddy_subprocess_protocol_init(struct eddy_subprocess_protocol *p,
                                            const struct eddy_subprocess_protocol_class *cls);

/* ---- starting ---- */

/* What a standard stream of the child is. (asyncio: stdin=, stdout=, stderr=; contract U7) */
enum eddy_stdio {
    EDDY_STDIO_DEFAULT, /* EDDY_STDIO_PIPE; with .pty: the pseudo-terminal */
    EDDY_STDIO_PIPE,
    EDDY_STDIO_INHERIT, /* ours of the same number */
    EDDY_STDIO_DEVNULL,
    EDDY_STDIO_FD,     /* the descriptor .fd_in, .fd_out or .fd_err, which stays yours */
    EDDY_STDIO_STDOUT, /* .std_err only: wherever standard output goes */
};

/* All that it refers to is lent for the call. */
struct eddy_subprocess_opts {
    size_t abi_size;
    const char *site; /* set by EDDY_SUBPROCESS: where the child was started */

    /* The program and its arguments, NULL-ended. See EDDY_ARGV. Not for a shell. */
    const char *const *argv;
    /* What to run, if not argv[0]. Without a slash it is looked for in the PATH of .env, else of
     * ours; relative paths are seen from .cwd. Not for a shell. */
    const char *program;

    enum eddy_stdio std_in, std_out, std_err;
    int fd_in, fd_out, fd_err; /* with EDDY_STDIO_FD; any numbers, 0 and the same one included */

    /* A pseudo-terminal for those streams left at default, as input and output must be: the
     * child begins a session, whose controlling terminal it is. eddy_transport_get_pipe_transport
     * gives its master for both 0 and 1; what the child prints comes as fd 1, and
     * pipe_connection_lost once, with fd 1, and NULL when the child's side was closed. */
    bool pty;
    struct eddy_window_size pty_size;

    const char *const *env; /* "NAME=value", NULL-ended: the whole environment; NULL: ours */
    const char *cwd;        /* NULL: ours */
    bool new_session;       /* setsid: no signals from our terminal (contract U40) */
    bool set_process_group; /* moves it to .process_group; 0: a group of its own */
    bool set_umask;         /* to .umask */
    bool set_uid, set_gid;  /* to .uid, .gid */
    bool set_groups;        /* the supplementary groups to .groups */
    pid_t process_group;
    mode_t umask;
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t groups_count;
    /* Besides 0, 1 and 2 only these are open in the child, under their numbers (contract U9). */
    const int *pass_fds;
    size_t pass_fds_count;

    struct eddy_error *error; /* filled in when the call fails */
    void *reserved[4];
};

/* eddy_subprocess_exec(loop, &j->sub, EDDY_SUBPROCESS(.argv = EDDY_ARGV("ls", "-l")), NULL) */
#define EDDY_SUBPROCESS(...)                                                             \
    EDDY_LITERAL_(eddy_subprocess_opts, .abi_size = sizeof(struct eddy_subprocess_opts), \
                  .site = EDDY_SITE, __VA_ARGS__)

struct eddy_argv {
    const char *words[64]; /* ended by NULL */
};
/* The words of .argv or .env, at most 63, made on the spot: an array that is good until the end of
 * the block (in C++: of the expression). */
#define EDDY_ARGV(...) (EDDY_LITERAL_(eddy_argv, {__VA_ARGS__})->words)

/* Starts a program without a shell, and attaches `p`, which must be initialised and not attached.
 * 0: connection_made or start_failed follows from the loop, exactly one of them. The future in *ret
 * (which may be NULL; else the caller's reference) carries the status only, and is done after
 * connection_made; cancelling it before kills the child (contract U6).
 *
 * < 0: nothing was begun and no callback comes. -EINVAL: options that do not go together, or a
 * protocol that is attached; -EMFILE, -ENFILE, -ENOMEM, -EAGAIN: no descriptors, memory or
 * processes left; EDDY_ENOT_SUPPORTED: children cannot be watched here (contract U5), or no
 * pseudo-terminals; EDDY_ELOOP_CLOSED; -E2BIG: options of a later version.
 *
 * The call returns when the program runs or has failed to, and costs the same however much memory
 * this process has. In the child no signal is blocked; those with a handler, SIGPIPE and SIGXFSZ
 * are at default (contract U11). All descriptors made for it are close-on-exec (U9). (asyncio:
 * subprocess_exec) */
EDDY_API int eddy_subprocess_exec(struct eddy_loop *loop, struct eddy_subprocess_protocol *p,
                                  const struct eddy_subprocess_opts *opts,
                                  struct eddy_future **ret);
/* The same for `/bin/sh -c command`; quoting in it is yours. opts may be NULL, and has neither
 * .argv nor .program. -EINVAL: no command. (asyncio: subprocess_shell) */
EDDY_API int eddy_subprocess_shell(struct eddy_loop *loop, struct eddy_subprocess_protocol *p,
                                   const char *command, const struct eddy_subprocess_opts *opts,
                                   struct eddy_future **ret);

/* ---- the transport of a process ----
 *
 * What other transports have is there too, where it makes sense:
 *
 * eddy_transport_close closes the pipes and kills the child (SIGKILL) if it still runs. What waits
 * to be written to it is lost then. process_exited, with -9, pipe_connection_lost and
 * connection_lost still come. After the child's own end it kills nothing (contract U23).
 *
 * eddy_transport_abort does the same, and only connection_lost comes; the child is reaped by the
 * loop later.
 *
 * eddy_loop_close logs a warning; the pipes are closed, and the child is left to itself (contract
 * U37), unless it was killed already: then it is waited for.
 *
 * Bytes are written to its pipe transports: eddy_transport_write gives EDDY_ENOT_SUPPORTED.
 *
 * The calls below give EDDY_ECLOSED for NULL, and EDDY_ENOT_SUPPORTED for a transport of another
 * kind. */

/* What eddy_transport_get_returncode gives for a child that has not ended. */
#define EDDY_RUNNING 256

/* The process; stays the same after its end (contract U20). */
EDDY_API pid_t eddy_transport_get_pid(const struct eddy_transport *t);
/* The exit status, 0 to 255, or minus the signal that has killed it, -1 to -64; EDDY_RUNNING before
 * process_exited. EDDY_CHILD_UNKNOWN, 255: somebody else has reaped it (contract P41). */
EDDY_API int eddy_transport_get_returncode(const struct eddy_transport *t);
/* The pipe to or from stream 0, 1 or 2: 0 is for writing, 1 and 2 are read into
 * pipe_data_received. NULL if the stream is no pipe. It may be used until the process's
 * connection_lost returns, also when it has ended before (contract U8).
 *
 * eddy_transport_close on 0 is the child's end of file; pause_reading on 1 or 2 lets the child
 * block (U25). A protocol of yours, given to one by eddy_transport_set_protocol, gets all that
 * pipe_data_received, pause_writing, resume_writing and pipe_connection_lost would have; the
 * process's connection_lost still comes after that pipe's. */
EDDY_API struct eddy_transport *eddy_transport_get_pipe_transport(const struct eddy_transport *t,
                                                                  int fd);
/* Sends a signal to the child, never to another process: once it was reaped nothing happens, and
 * the result is 0 (contract U21, U22). -EINVAL: no such signal; -EPERM: the child has become
 * another user. */
EDDY_API int eddy_transport_send_signal(struct eddy_transport *t, int signum);
/* SIGTERM */
EDDY_API int eddy_transport_terminate(struct eddy_transport *t);
/* SIGKILL */
EDDY_API int eddy_transport_kill(struct eddy_transport *t);

/* What EDDY_SUBPROCESS_PROTOCOL_CLASS fills the base slots with; not to be called. */
EDDY_API void eddy_subprocess_fini_(struct eddy_protocol *p);
EDDY_API void eddy_subprocess_connection_made_(struct eddy_protocol *p, struct eddy_transport *t);
EDDY_API void eddy_subprocess_start_failed_(struct eddy_protocol *p, const struct eddy_error *err);
EDDY_API void eddy_subprocess_connection_lost_(struct eddy_protocol *p,
                                               const struct eddy_error *err);

#ifdef __cplusplus
}
#endif
#endif
