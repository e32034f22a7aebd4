/* Starting a program: the child shares our memory until exec, so the size of this process costs
 * nothing, and what fails in the child is known when the call returns. */
#ifndef EDDY_TRANSPORTS_SPAWN_H
#define EDDY_TRANSPORTS_SPAWN_H

#include <eddy/selector.h>
#include <sys/types.h>

/* Zero: what the parent has. All is lent for the call. */
struct spawn {
    /* A path if there is a slash in it, else a name that is looked for in PATH: that of `env`, as
     * Python does. Relative ones are seen from `cwd`. */
    const char *program;
    char *const *argv; /* argv[0] and on, NULL-ended; at least one */
    char *const *env;  /* NULL-ended "NAME=value"; NULL: this process's */
    const char *cwd;

    /* Descriptors of ours that become 0, 1 and 2 of the child; any numbers, also twice, also in
     * another order: {0, 1, 2} inherits. They stay ours, and blocking or not as they are. */
    eddy_fd stdio[3];
    /* These keep their numbers. 0, 1 and 2 among them mean nothing. Nothing else is open in the
     * child. */
    const eddy_fd *pass_fds;
    size_t pass_fds_count;

    bool new_session;       /* setsid */
    bool terminal;          /* a session of its own, and descriptor 0 is its terminal */
    bool set_process_group; /* setpgid(0, process_group); 0: a group of its own */
    bool set_umask;
    bool set_groups; /* the supplementary groups; else they stay */
    bool set_gid, set_uid;
    pid_t process_group;
    mode_t umask;
    gid_t gid;
    uid_t uid;
    const gid_t *groups;
    size_t groups_count;
};

/* Returns when the program runs: 0 and its process; *ret_pidfd is close-on-exec, the caller's, or
 * -1 where the system gives none. Else -errno, and *ret_step, a static word, says what failed:
 * "memory", "fork", "setsid", "setpgid", "chdir", "pass_fds", "stdio", "terminal", "setgroups",
 * "setgid", "setuid" or "exec"; then nothing is left, no zombie
 * either. -EINVAL with "arguments": no program, no argv[0], or a negative stdio. Descriptors that
 * are inherited as they are (stdio[i] == i) may be closed: they are closed in the child too.
 *
 * In the child no signal is blocked, those with a handler are at default, and so are SIGPIPE and
 * SIGXFSZ even if ignored, as in Python (contract G26, U11); other signals that the parent ignores
 * stay so (nohup). Programs without a format of the kernel's run by /bin/sh, as execvp does it.
 * [any thread] */
int eddy_spawn(const struct spawn *s, pid_t *ret_pid, eddy_fd *ret_pidfd, const char **ret_step);

/* Takes back what eddy_spawn gave, for callers that fail afterwards: kills the child, waits for its
 * end, closes pidfd. Not once it was given to the loop. */
void eddy_spawn_undo(pid_t pid, eddy_fd pidfd);

#endif
