/*
 * Hands an open file to another process. The parent opens it, with the rights that it has; the
 * child, which might have none, gets the descriptor through a socketpair and prints what it reads.
 * The descriptor travels with the first byte of the message that it was given to.
 *
 *     pass_fd /etc/hostname
 */
#define _POSIX_C_SOURCE 200809L

#include "common.h"

#include <eddy/eddy.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct side {
    struct eddy_protocol base;
    struct eddy_loop *loop;
    const char *path; /* the parent's: what to send */
    int result;
};

static struct side *side_of(struct eddy_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct side, base);
}

static void ended(struct eddy_protocol *p, const struct eddy_error *err)
{
    if (err) {
        fprintf(stderr, "%s\n", error_text(err));
        side_of(p)->result = 1;
    }
    eddy_loop_stop(side_of(p)->loop);
}

/* ---- the child: takes what comes ---- */

static void copy_to_stdout(int fd)
{
    char piece[4096];
    ssize_t n;

    while ((n = read(fd, piece, sizeof(piece))) > 0)
        fwrite(piece, 1, (size_t)n, stdout);
    fflush(stdout);
}

static void child_received(struct eddy_protocol *p, const void *data, size_t len)
{
    int fd;

    printf("child: got \"%.*s\"\n", (int)len, (const char *)data);
    while (eddy_transport_take_fds(p->transport, &fd, 1) == 1) {
        copy_to_stdout(fd);
        close(fd); /* it is ours */
    }
    eddy_transport_close(p->transport);
}

static const struct eddy_protocol_class child_class = {
    EDDY_PROTOCOL_CLASS(struct side, base),
    .data_received = child_received,
    .connection_lost = ended,
};

/* ---- the parent: opens and sends ---- */

static void parent_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    const char *path = side_of(p)->path;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        eddy_transport_abort(t, EDDY_ERROR(-ENOENT, "the file cannot be opened"));
        return;
    }
    int rc = eddy_transport_send_fds(t, path, strlen(path), &fd, 1);
    if (rc < 0)
        fprintf(stderr, "sending: %s\n", eddy_strerror(rc));
    close(fd); /* a duplicate is on its way */
}

static void nothing_comes(struct eddy_protocol *p, const void *data, size_t len)
{
    (void)p;
    (void)data;
    (void)len;
}

static const struct eddy_protocol_class parent_class = {
    EDDY_PROTOCOL_CLASS(struct side, base),
    .connection_made = parent_made,
    .data_received = nothing_comes,
    .connection_lost = ended,
};

/* ---- either of them ---- */

static int run(const struct eddy_protocol_class *cls, int sock, const char *path,
               const char *backend)
{
    struct side me = {.path = path};
    struct eddy_error err = {.code = 0};

    eddy_protocol_init(&me.base, cls);
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &me.loop) < 0) {
        fprintf(stderr, "%s\n", error_text(&err));
        return 1;
    }
    /* max_fds: descriptors are received only where somebody asks for them. */
    int rc =
        eddy_create_unix_connection(me.loop, &me.base,
                                    EDDY_UNIX_CONNECTION(.sock = sock, .use_sock = true,
                                                         .max_fds = path ? 0 : 1, .error = &err),
                                    NULL);
    if (rc == 0)
        rc = eddy_loop_run_forever(me.loop);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.code ? error_text(&err) : eddy_strerror(rc));
    eddy_loop_close(me.loop);
    eddy_loop_unref(me.loop);
    return rc < 0 ? 1 : me.result;
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    int pair[2], status = 0;
    const struct option_spec options[] = {OPTION_BACKEND(&backend), {0}};

    if (parse_options(argc, argv, "FILE", "Passes an open file to a child, which prints it.",
                      options) != 1)
        bad_usage(argv, "expected a file");
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
        perror("socketpair");
        return 1;
    }
    pid_t child = fork(); /* before there is a loop: each has its own */
    if (child < 0) {
        perror("fork");
        return 1;
    }
    close(pair[child == 0 ? 1 : 0]);
    if (child == 0)
        return run(&child_class, pair[0], NULL, backend);
    int result = run(&parent_class, pair[1], argv[1], backend);
    if (waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return 1;
    return result;
}
