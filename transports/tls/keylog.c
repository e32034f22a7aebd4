/*
 * The secrets of connections, as Wireshark and the like want them. A line is one write to a file
 * that is open for appending, so that threads, and processes, do not get into each other's lines.
 */
#include "transports/tls/context.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_SIZE 512 /* the longest is about half of it */

static void write_line(const SSL *ssl, const char *line)
{
    int fd = tls_ctx_keylog(SSL_get_SSL_CTX(ssl));
    char buf[LINE_MAX_SIZE];
    size_t len = strlen(line);
    ssize_t n;

    if (len + 1 > sizeof buf)
        return;
    memcpy(buf, line, len);
    buf[len++] = '\n';
    do {
        n = write(fd, buf, len);
    } while (n < 0 && errno == EINTR);
    OPENSSL_cleanse(buf, len);
}

/* Without blocking: the other end of a pipe may not be there. */
static int open_file(const char *path)
{
    int fd;

    do {
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    } while (fd < 0 && errno == EINTR);
    return fd >= 0 ? fd : -errno;
}

int tls_use_keylog(struct tls_making *m)
{
    const char *path = m->o->keylog_file;

    if (!path)
        return 0;
    int fd = open_file(path);
    if (fd < 0)
        return eddy_error_set(m->e, fd, "new tls",
                              "TLS context: .keylog_file: cannot write %.100s: %s", path,
                              eddy_strerror(fd));
    m->made->keylog = fd;
    SSL_CTX_set_keylog_callback(m->ctx, write_line);
    return 0;
}
