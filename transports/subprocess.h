/* The transport of a child process, between its beginning (subprocess_start.c) and its life
 * (subprocess.c). */
#ifndef EDDY_TRANSPORTS_SUBPROCESS_H
#define EDDY_TRANSPORTS_SUBPROCESS_H

#include "transports/opening.h"
#include <eddy/subprocess.h>

struct subprocess;

/* One of the child's standard streams: the protocol that its transport begins with, and the owner
 * that keeps its storage as long as the process's transport is there. */
struct child_pipe {
    struct eddy_protocol base; /* first */
    struct eddy_owner owner;
    struct subprocess *process;
    struct opened *opened;           /* NULL: the stream is no pipe */
    struct eddy_owner *opened_owner; /* the one it came with */
    int fd;
    bool made;  /* has a life of its own */
    bool freed; /* nothing refers to the transport any more, but its storage is there still */
};

/* Waits for the child; it may outlive the transport. */
struct reaper {
    struct eddy_child child;
    struct subprocess *process; /* NULL: it is gone */
};

struct subprocess {
    struct opened base;    /* first */
    struct reaper *reaper; /* NULL: not started yet, or reaped */
    struct eddy_link pipe_list;
    struct child_pipe pipes[3];
    int open_pipes; /* made, and connection_lost has not returned */
    pid_t pid;
    int ended;      /* what the watcher has told */
    int returncode; /* ... as of process_exited */
    bool exited;    /* process_exited was due */
    bool pty;       /* pipes[1] is its master */
};

/* ---- subprocess.c ---- */

/* Neither pipes nor a child yet; NULL: no memory. eddy_opened_drop gives it up, with all that it
 * came to have. */
struct subprocess *eddy_process_new(struct eddy_loop *loop, const char *site);
/* fd, the parent's end, becomes the pipe's. < 0: it is still the caller's. */
int eddy_process_add_pipe(struct subprocess *s, int stream, eddy_fd fd);
/* The child has been started; pidfd may be -1. < 0: both are still the caller's. */
int eddy_process_add_child(struct subprocess *s, pid_t pid, eddy_fd pidfd);
/* connection_made is next: the pipes may tell what happens from here on. From the loop. */
void eddy_process_open_pipes(struct subprocess *s);
/* connection_made has returned: if the child has ended meanwhile, now it may be told. */
void eddy_process_made(struct subprocess *s);
/* Whether a protocol's class is a struct eddy_subprocess_protocol_class. */
int eddy_process_check_protocol(const struct eddy_protocol_class *cls, const char *op,
                                struct eddy_error *e);

#endif
