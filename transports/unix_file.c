/* Names of unix sockets, and the files that go with them. */
#include "framework/loop/loop.h"
#include "transports/unix.h"
#include <string.h>
#include <unistd.h>

/* ---- names ---- */

bool eddy_unix_is_abstract(const struct eddy_addr *a)
{
    return a->u.un.sun_path[0] == '\0';
}

int eddy_unix_addr(const char *path, size_t len, const char *op, struct eddy_error *e,
                   struct eddy_addr *ret)
{
    bool abstract = len > 1 && path[0] == '\0';
    const size_t room = sizeof ret->u.un.sun_path;

    if (len == 0)
        len = strlen(path);
    if (len == 0 || (!abstract && memchr(path, '\0', len)))
        return eddy_error_set(e, -EINVAL, op,
                              "%s: .path is empty, or has a NUL in it; an abstract name begins "
                              "with one, and needs .path_len",
                              op);
    /* A path keeps its NUL: some systems give it back without its length. */
    if (abstract ? len > room : len >= room)
        return eddy_error_set(e, -EINVAL, op,
                              "%s: .path is longer than the %zu bytes of an address", op,
                              abstract ? room : room - 1);
#ifndef __linux__
    if (abstract)
        return eddy_error_set(e, EDDY_ENOT_SUPPORTED, op, "%s: there are no abstract names here",
                              op);
#endif
    memset(ret, 0, sizeof *ret);
    ret->u.un.sun_family = AF_UNIX;
    memcpy(ret->u.un.sun_path, path, len);
    ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (abstract ? 0 : 1));
    return 0;
}

/* ---- files ---- */

int eddy_socket_file_remove_stale(const struct eddy_addr *a)
{
    const char *path = a->u.un.sun_path;
    struct stat st;

    if (eddy_unix_is_abstract(a) || lstat(path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    unlink(path);
    return 0;
}

/* Nobody can connect before the socket listens: until then the mode may be set. A file that others
 * have put in the place of ours, where the folder lets them, is left alone. */
static int own_file(const char *path, unsigned mode, struct socket_file *ret)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    if (mode && chmod(path, (mode_t)mode) < 0) {
        int rc = -errno;

        unlink(path);
        return rc;
    }
    *ret = (struct socket_file){.dev = st.st_dev, .ino = st.st_ino, .maker = getpid()};
    return 0;
}

int eddy_socket_file_bind(struct eddy_sys *sys, eddy_fd fd, const struct eddy_addr *a,
                          unsigned mode, struct eddy_error *e, struct socket_file *ret)
{
    const char *path = a->u.un.sun_path;
    bool file = !eddy_unix_is_abstract(a);
    char text[EDDY_ADDR_TEXT];
    int rc = eddy_socket_file_remove_stale(a);

    if (rc == 0)
        rc = sys->cls->bind(sys, fd, a);
    if (rc == 0 && file)
        rc = own_file(path, mode, ret);
    if (rc == 0)
        return 0;
    eddy_addr_format(a, text, sizeof text);
    if (rc == -EADDRINUSE)
        return eddy_error_set(e, rc, "bind", "Address '%s' is already in use", file ? path : text);
    return eddy_error_set(e, rc, "bind", "error while attempting to bind on address %s: %s", text,
                          eddy_strerror(rc));
}

void eddy_socket_file_remove(struct socket_file *f, const struct eddy_addr *a,
                             struct eddy_loop *loop)
{
    const char *path = a->u.un.sun_path;
    struct stat st;
    int rc = 0;

    if (f->maker == 0 || f->maker != getpid())
        return;
    f->maker = 0;
    if (lstat(path, &st) < 0)
        rc = -errno;
    else if (st.st_dev == f->dev && st.st_ino == f->ino && unlink(path) < 0)
        rc = -errno;
    if (rc < 0 && rc != -ENOENT)
        eddy_loop_log(loop, EDDY_LOG_ERROR, "server", "the socket file %s is not removed: %s", path,
                      eddy_strerror(rc));
}
