/* Datagrams, several by one call where the system has one. */
#include "framework/backends/sys.h"

#include <string.h>
#ifdef __linux__
#include <linux/errqueue.h>
#endif

#define AT_ONCE 16

/* ---- one message as the system has it ---- */

/* sendmsg does not write to what it is given, but its types do not say so. */
static void prepare(struct msghdr *h, struct iovec *iov, const struct eddy_message *m)
{
    union {
        const struct eddy_message *in;
        struct eddy_message *out;
    } message = {.in = m};

    memset(h, 0, sizeof *h);
    iov->iov_base = m->data;
    iov->iov_len = m->len;
    h->msg_iov = iov;
    h->msg_iovlen = 1;
    if (m->addr.len > 0) {
        h->msg_name = &message.out->addr.u;
        h->msg_namelen = m->addr.len;
    }
}

static void prepare_room(struct msghdr *h, struct iovec *iov, struct eddy_message *m)
{
    prepare(h, iov, m);
    h->msg_name = &m->addr.u;
    h->msg_namelen = sizeof m->addr.u;
}

static void take(struct eddy_message *m, const struct msghdr *h, size_t len)
{
    m->truncated = (h->msg_flags & MSG_TRUNC) != 0;
    m->len = len;
    eddy_sys_set_addr_len(&m->addr, h->msg_namelen);
}

/* A connection of messages ends as an empty message comes: with no bytes. But what is a message has
 * a mark, MSG_EOR by POSIX; on Linux MSG_CTRUNC, as long as its time is asked for (SO_TIMESTAMP)
 * and there is no room for it. Datagrams have neither. */
static bool is_end(eddy_fd fd, const struct msghdr *h)
{
    int type = 0;
    socklen_t len = sizeof type;

    return (h->msg_flags & (MSG_EOR | MSG_CTRUNC)) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

/* ---- errors that have an address ---- */

#ifdef __linux__
static const struct sock_extended_err *extended(struct msghdr *h)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
            (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
            return (const void *)CMSG_DATA(c);
    }
    return NULL;
}

/* What a network has answered to a datagram of ours, and where that went to (IP_RECVERR): the
 * error, or -EAGAIN. Errors of our own host were returned by the call that met them. */
static int queued_error(eddy_fd fd, struct eddy_addr *ret)
{
    for (int i = 0; i < AT_ONCE; i++) {
        _Alignas(struct cmsghdr) char control[512];
        struct msghdr h = {.msg_name = &ret->u,
                           .msg_namelen = sizeof ret->u,
                           .msg_control = control,
                           .msg_controllen = sizeof control};

        if (recvmsg(fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            break;
        const struct sock_extended_err *e = extended(&h);
        if (!e || (e->ee_origin != SO_EE_ORIGIN_ICMP && e->ee_origin != SO_EE_ORIGIN_ICMP6))
            continue;
        eddy_sys_set_addr_len(ret, h.msg_namelen);
        return -(int)e->ee_errno;
    }
    return -EAGAIN;
}
#else
static int queued_error(eddy_fd fd, struct eddy_addr *ret)
{
    (void)fd;
    (void)ret;
    return -EAGAIN;
}
#endif

/* The call has brought nothing. The queue knows better what is wrong, and readiness does not end
 * before it is empty. */
static int nothing_came(eddy_fd fd, struct eddy_message *m, int error)
{
    struct eddy_addr about = {.len = 0};
    int queued = queued_error(fd, &about);

    if (queued == -EAGAIN)
        about.len = 0;
    m->addr = about;
    return queued == -EAGAIN ? error : queued;
}

/* ---- the calls ---- */

static int recv_one(eddy_fd fd, struct eddy_message *m)
{
    struct msghdr h;
    struct iovec iov;
    ssize_t n;

    do {
        prepare_room(&h, &iov, m);
        n = recvmsg(fd, &h, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return nothing_came(fd, m, -errno);
    if (n == 0 && is_end(fd, &h))
        return 0;
    take(m, &h, (size_t)n);
    return 1;
}

static int send_one(eddy_fd fd, const struct eddy_message *m)
{
    const struct sockaddr *to = m->addr.len ? &m->addr.u.sa : NULL;
    ssize_t n;

    do
        n = sendto(fd, m->data, m->len, MSG_NOSIGNAL | MSG_DONTWAIT, to, m->addr.len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 1;
}

#ifdef __linux__
int eddy_sys_recv_messages(struct eddy_sys *sys, eddy_fd fd, struct eddy_message *m, int n)
{
    struct mmsghdr h[AT_ONCE];
    struct iovec iov[AT_ONCE];
    int count, i;

    (void)sys;
    if (n == 1)
        return recv_one(fd, m);
    if (n > AT_ONCE)
        n = AT_ONCE;
    do {
        for (i = 0; i < n; i++)
            prepare_room(&h[i].msg_hdr, &iov[i], &m[i]);
        count = recvmmsg(fd, h, (unsigned)n, MSG_DONTWAIT, NULL);
    } while (count < 0 && errno == EINTR);
    if (count < 0)
        return nothing_came(fd, m, -errno);
    for (i = 0; i < count; i++) {
        if (h[i].msg_len == 0 && is_end(fd, &h[i].msg_hdr))
            return i; /* behind others it comes again */
        take(&m[i], &h[i].msg_hdr, h[i].msg_len);
    }
    return count;
}

int eddy_sys_send_messages(struct eddy_sys *sys, eddy_fd fd, const struct eddy_message *m, int n)
{
    struct mmsghdr h[AT_ONCE];
    struct iovec iov[AT_ONCE];
    int count;

    (void)sys;
    if (n == 1)
        return send_one(fd, m);
    if (n > AT_ONCE)
        n = AT_ONCE;
    for (int i = 0; i < n; i++)
        prepare(&h[i].msg_hdr, &iov[i], &m[i]);
    do
        count = sendmmsg(fd, h, (unsigned)n, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}
#else
int eddy_sys_recv_messages(struct eddy_sys *sys, eddy_fd fd, struct eddy_message *m, int n)
{
    (void)sys;
    (void)n;
    return recv_one(fd, m);
}

int eddy_sys_send_messages(struct eddy_sys *sys, eddy_fd fd, const struct eddy_message *m, int n)
{
    (void)sys;
    (void)n;
    return send_one(fd, m);
}
#endif
