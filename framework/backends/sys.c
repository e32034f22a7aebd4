/* The POSIX system calls. Where the system can make a descriptor non-blocking and close-on-exec in
 * one call with its birth, it does (contract G28). */
#include "framework/backends/sys.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/sockios.h>
#include <sys/eventfd.h>
#endif

static int sys_close(struct eddy_sys *sys, eddy_fd fd)
{
    (void)sys;
    /* After EINTR the descriptor is gone, or in an unknown state: closing twice could hit
     * another's. */
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static int sys_adopt(struct eddy_sys *sys, eddy_fd fd)
{
    int status = fcntl(fd, F_GETFL);
    int flags = fcntl(fd, F_GETFD);

    (void)sys;
    if (status < 0 || flags < 0)
        return -errno;
    if ((status & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0)
        return -errno;
    if ((flags & FD_CLOEXEC) == 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
        return -errno;
    return 0;
}

#ifndef SOCK_NONBLOCK
/* For systems without the flags: adopts a descriptor that is still nobody's. */
static int adopt_new(struct eddy_sys *sys, eddy_fd fd)
{
    int r = sys_adopt(sys, fd);

    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}
#endif

static int forbid_sigpipe(eddy_fd fd)
{
#ifdef SO_NOSIGPIPE
    int on = 1;

    /* A peer that is gone already makes this fail; then nothing will be sent either. */
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
#endif
    return fd;
}

static int sys_socket(struct eddy_sys *sys, int family, int type, int protocol)
{
    int fd;

    (void)sys;
#ifdef SOCK_NONBLOCK
    fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -errno;
#else
    fd = socket(family, type, protocol);
    if (fd < 0)
        return -errno;
    fd = adopt_new(sys, fd);
    if (fd < 0)
        return fd;
#endif
    return forbid_sigpipe(fd);
}

static int sys_bind(struct eddy_sys *sys, eddy_fd fd, const struct eddy_addr *a)
{
    (void)sys;
    return bind(fd, &a->u.sa, a->len) < 0 ? -errno : 0;
}

static int sys_listen(struct eddy_sys *sys, eddy_fd fd, int backlog)
{
    (void)sys;
    return listen(fd, backlog) < 0 ? -errno : 0;
}

void eddy_sys_set_addr_len(struct eddy_addr *a, socklen_t len)
{
    a->len = len <= sizeof(a->u) ? len : (socklen_t)sizeof(a->u);
    if (len == 0)
        a->u.sa.sa_family = AF_UNSPEC;
}

static int sys_accept(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret_peer)
{
    socklen_t len;
    int conn;

    (void)sys;
    do {
        len = sizeof(ret_peer->u);
#ifdef SOCK_NONBLOCK
        conn = accept4(fd, &ret_peer->u.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
        conn = accept(fd, &ret_peer->u.sa, &len);
#endif
    } while (conn < 0 && errno == EINTR);
    if (conn < 0)
        return -errno;
#ifndef SOCK_NONBLOCK
    conn = adopt_new(sys, conn);
    if (conn < 0)
        return conn;
#endif
    eddy_sys_set_addr_len(ret_peer, len);
    return forbid_sigpipe(conn);
}

static int sys_connect(struct eddy_sys *sys, eddy_fd fd, const struct eddy_addr *a)
{
    (void)sys;
    if (connect(fd, &a->u.sa, a->len) == 0)
        return 0;
    /* An interrupted connect goes on by itself, and may not be called again. */
    return errno == EINTR ? -EINPROGRESS : -errno;
}

static int sys_getsockopt(struct eddy_sys *sys, eddy_fd fd, int level, int name, int *ret)
{
    int value = 0;
    socklen_t len = sizeof(value);

    (void)sys;
    if (getsockopt(fd, level, name, &value, &len) < 0)
        return -errno;
    *ret = value;
    return 0;
}

static int sys_setsockopt(struct eddy_sys *sys, eddy_fd fd, int level, int name, int value)
{
    (void)sys;
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int sys_error(struct eddy_sys *sys, eddy_fd fd)
{
    int error = 0;
    int r = sys_getsockopt(sys, fd, SOL_SOCKET, SO_ERROR, &error);

    return r < 0 ? r : -error;
}

static int sys_sockname(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret)
{
    socklen_t len = sizeof(ret->u);

    (void)sys;
    if (getsockname(fd, &ret->u.sa, &len) < 0)
        return -errno;
    eddy_sys_set_addr_len(ret, len);
    return 0;
}

static int sys_peername(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret)
{
    socklen_t len = sizeof(ret->u);

    (void)sys;
    if (getpeername(fd, &ret->u.sa, &len) < 0)
        return -errno;
    eddy_sys_set_addr_len(ret, len);
    return 0;
}

static ssize_t sys_recv(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len)
{
    ssize_t n;

    (void)sys;
    do
        n = recv(fd, buf, len, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t sys_send(struct eddy_sys *sys, eddy_fd fd, const void *data, size_t len)
{
    ssize_t n;

    (void)sys;
    do
        n = send(fd, data, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t sys_sendv(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n)
{
    /* sendmsg does not write to the array, but its type does not say so. */
    union {
        const struct iovec *in;
        struct iovec *out;
    } pieces = {.in = iov};
    struct msghdr msg = {.msg_iov = pieces.out};
    ssize_t sent;

    (void)sys;
    if (n < 0)
        return -EINVAL;
    msg.msg_iovlen = (unsigned)n;
    do
        sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

static ssize_t sys_read(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len)
{
    ssize_t n;

    (void)sys;
    do
        n = read(fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

#if defined(__linux__) && defined(RWF_APPEND) /* the C library has pwritev2 */
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100 /* Linux 6.18 */
#endif

/* -EOPNOTSUPP from kernels that do not know the flag, which is the process's business then: SIGPIPE
 * is ignored (contract G26). */
static ssize_t write_quietly(eddy_fd fd, const struct iovec *iov, int n)
{
    static atomic_bool unknown;
    struct stat st;
    ssize_t done;

    if (!unknown) {
        done = pwritev2(fd, iov, n, -1, RWF_NOSIGNAL);
        if (done >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
            return done;
        /* Some devices know no flags at all; of pipes it can only be the kernel that does not. */
        unknown = errno == ENOSYS || (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode));
    }
    return writev(fd, iov, n);
}
#else
#define write_quietly writev
#endif

static ssize_t sys_writev(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n)
{
    ssize_t done;

    (void)sys;
    do
        done = write_quietly(fd, iov, n);
    while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}

static int sys_shutdown(struct eddy_sys *sys, eddy_fd fd, int how)
{
    (void)sys;
    return shutdown(fd, how) < 0 ? -errno : 0;
}

static int sys_pending(struct eddy_sys *sys, eddy_fd fd, int *ret_in, int *ret_out)
{
    int in = 0, out = 0;

    (void)sys;
    if (ioctl(fd, FIONREAD, &in) < 0)
        in = 0;
#if defined(SIOCOUTQ)
    if (ioctl(fd, SIOCOUTQ, &out) < 0)
        out = 0;
#elif defined(FIONWRITE)
    if (ioctl(fd, FIONWRITE, &out) < 0)
        out = 0;
#endif
    *ret_in = in;
    *ret_out = out;
    return 0;
}

static int pipe_waker(struct eddy_sys *sys, eddy_fd fds[2])
{
    int ends[2];
#ifdef SOCK_NONBLOCK /* systems that have the one have the other */
    (void)sys;
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;
#else
    if (pipe(ends) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        int r = sys_adopt(sys, ends[i]);

        if (r < 0) {
            close(ends[0]);
            close(ends[1]);
            return r;
        }
    }
#endif
    fds[0] = ends[0];
    fds[1] = ends[1];
    return 0;
}

static int sys_waker(struct eddy_sys *sys, eddy_fd fds[2])
{
#ifdef __linux__
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd >= 0) {
        fds[0] = fds[1] = fd;
        return 0;
    }
    /* A lack of descriptors is no better with a pipe, which takes two. */
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
        return -errno;
#endif
    return pipe_waker(sys, fds);
}

static void sys_kick(struct eddy_sys *sys, eddy_fd fd)
{
    const uint64_t one = 1; /* an eventfd wants 8 bytes; a pipe does not mind */
    int saved = errno;      /* signal handlers come here */
    ssize_t n;

    (void)sys;
    do
        n = write(fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
    errno = saved;
}

static void sys_drain(struct eddy_sys *sys, eddy_fd fd)
{
    char bytes[512];
    ssize_t n;

    (void)sys;
    do
        n = read(fd, bytes, sizeof(bytes));
    while (n == (ssize_t)sizeof(bytes) || (n < 0 && errno == EINTR));
}

static eddy_nsec sys_now(struct eddy_sys *sys)
{
    struct timespec ts;

    (void)sys;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return EDDY_SEC(ts.tv_sec) + ts.tv_nsec;
}

static const struct eddy_sys_class posix_class = {
    .name = "posix",
    .abi_size = sizeof(struct eddy_sys_class),
    .socket = sys_socket,
    .close = sys_close,
    .adopt = sys_adopt,
    .bind = sys_bind,
    .listen = sys_listen,
    .accept = sys_accept,
    .connect = sys_connect,
    .error = sys_error,
    .sockname = sys_sockname,
    .peername = sys_peername,
    .getsockopt = sys_getsockopt,
    .setsockopt = sys_setsockopt,
    .recv = sys_recv,
    .send = sys_send,
    .sendv = sys_sendv,
    .shutdown = sys_shutdown,
    .read = sys_read,
    .writev = sys_writev,
    .recv_fds = eddy_sys_recv_fds,
    .send_fds = eddy_sys_send_fds,
    .peercred = eddy_sys_peercred,
    .recv_messages = eddy_sys_recv_messages,
    .send_messages = eddy_sys_send_messages,
    .read_file = eddy_sys_read_file,
    .sendfile = eddy_sys_sendfile,
    .pending = sys_pending,
    .waker = sys_waker,
    .kick = sys_kick,
    .drain = sys_drain,
    .now = sys_now,
};

struct eddy_sys *eddy_sys_posix(void)
{
    /* Not const, as the calls take it so; nobody writes to it. */
    static struct eddy_sys posix = {.cls = &posix_class};

    return &posix;
}
