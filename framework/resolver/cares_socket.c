/*
 * The sockets of c-ares are made here: close-on-exec from birth, which its own are a moment later;
 * without SIGPIPE; and with the reason kept if there is none to be had, which c-ares takes for a
 * server that is not there.
 */
#include "framework/resolver/cares.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static ares_socket_t open_socket(int family, int type, int protocol, void *user)
{
    struct eddy_cares_channel *ch = user;
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol), on = 1;

    ch->no_socket = fd < 0 && errno != EAFNOSUPPORT ? -errno : 0;
    if (fd >= 0 && type == SOCK_STREAM)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static int close_socket(ares_socket_t fd, void *user)
{
    (void)user;
    return close(fd);
}

static ares_ssize_t receive(ares_socket_t fd, void *buf, size_t size, int flags,
                            struct sockaddr *from, ares_socklen_t *len, void *user)
{
    struct eddy_cares_channel *ch = user;
    ssize_t n;

    do
        n = recvfrom(fd, buf, size, flags, from, len);
    while (n < 0 && errno == EINTR);
    ch->received = n > 0;
    if (n == 0 && from) { /* an empty datagram: c-ares 1.34 would not see what comes after it */
        errno = EAGAIN;
        n = -1;
    }
    return n;
}

static ares_ssize_t send_bytes(ares_socket_t fd, const struct iovec *iov, int n)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};
    ssize_t sent;

    do
        sent = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

#if ARES_VERSION >= 0x012200 /* 1.34: without a function for the name it could not sort addresses \
                              */

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len,
                          unsigned flags, void *user)
{
    (void)flags;
    (void)user;
    return connect(fd, to, len);
}

static ares_ssize_t send_to(ares_socket_t fd, const void *data, size_t len, int flags,
                            const struct sockaddr *to, ares_socklen_t to_len, void *user)
{
    struct iovec iov = {(void *)(uintptr_t)data, len};

    (void)flags;
    (void)to; /* it is connected */
    (void)to_len;
    (void)user;
    return send_bytes(fd, &iov, 1);
}

static int set_option(ares_socket_t fd, ares_socket_opt_t option, const void *value,
                      ares_socklen_t len, void *user)
{
    (void)fd;
    (void)option;
    (void)value;
    (void)len;
    (void)user;
    errno = ENOSYS; /* nobody has asked for any */
    return -1;
}

static int name_of_socket(ares_socket_t fd, struct sockaddr *name, ares_socklen_t *len, void *user)
{
    (void)user;
    return getsockname(fd, name, len);
}

static unsigned interface_number(const char *name, void *user)
{
    (void)user;
    return if_nametoindex(name);
}

static const char *interface_name(unsigned number, char *buf, size_t size, void *user)
{
    (void)user;
    return size >= IF_NAMESIZE ? if_indextoname(number, buf) : NULL;
}

void eddy_cares_use_sockets(struct eddy_cares_channel *ch)
{
    static const struct ares_socket_functions_ex functions = {
        .version = 1,
        .flags = ARES_SOCKFUNC_FLAG_NONBLOCKING,
        .asocket = open_socket,
        .aclose = close_socket,
        .asetsockopt = set_option,
        .aconnect = connect_socket,
        .arecvfrom = receive,
        .asendto = send_to,
        .agetsockname = name_of_socket,
        .aif_nametoindex = interface_number,
        .aif_indextoname = interface_name,
    };

    ares_set_socket_functions_ex(ch->ares, &functions, ch);
}

#else

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len,
                          void *user)
{
    (void)user;
    return connect(fd, to, len);
}

static ares_ssize_t send_vector(ares_socket_t fd, const struct iovec *iov, int n, void *user)
{
    (void)user;
    return send_bytes(fd, iov, n);
}

void eddy_cares_use_sockets(struct eddy_cares_channel *ch)
{
    static const struct ares_socket_functions functions = {
        .asocket = open_socket,
        .aclose = close_socket,
        .aconnect = connect_socket,
        .arecvfrom = receive,
        .asendv = send_vector,
    };

    ares_set_socket_functions(ch->ares, &functions, ch);
}

#endif
