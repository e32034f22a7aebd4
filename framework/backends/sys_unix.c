/* Descriptors over unix sockets, and who is at the other end. */
#include "framework/backends/sys.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#if !defined(SO_PEERCRED) && defined(__has_include)
#if __has_include(<sys/ucred.h>)
#include <sys/param.h>
#include <sys/ucred.h>
#include <sys/un.h>
#endif
#endif

#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif

#define MAX_FDS 253 /* Linux: SCM_MAX_FD */

/* Room for as many as one message can bring, so that one that is cut means that the process has no
 * more descriptors. */
union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(MAX_FDS * sizeof(int))];
};

/* ---- receiving ---- */

static bool brings_fds(const struct cmsghdr *c)
{
    return c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS;
}

static size_t fds_in(const struct cmsghdr *c)
{
    return (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
}

/* The descriptors of all control messages go to `fds`; those for which there is no room are closed.
 * Returns how many there were. */
static size_t take_fds(struct msghdr *m, int *fds, size_t room)
{
    size_t count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        size_t n = brings_fds(c) ? fds_in(c) : 0;

        for (size_t i = 0; i < n; i++, count++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (MSG_CMSG_CLOEXEC == 0)
                fcntl(fd, F_SETFD, FD_CLOEXEC);
            if (count < room)
                fds[count] = fd;
            else
                close(fd);
        }
    }
    return count;
}

ssize_t eddy_sys_recv_fds(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len, eddy_fd *fds,
                          int *count)
{
    struct iovec iov = {buf, len};
    union control control;
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    size_t room = *count > 0 ? (size_t)*count : 0;
    ssize_t n;

    (void)sys;
    *count = 0;
    do {
        m.msg_control = control.room;
        m.msg_controllen = sizeof control.room;
        m.msg_flags = 0;
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    size_t came = take_fds(&m, fds, room);
    if (came <= room && !(m.msg_flags & MSG_CTRUNC)) {
        *count = (int)came;
        return n;
    }
    for (size_t i = 0; i < came && i < room; i++)
        close(fds[i]);
    return came > room ? -EMSGSIZE : -EMFILE;
}

/* ---- sending ---- */

ssize_t eddy_sys_send_fds(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n,
                          const eddy_fd *fds, int count)
{
    /* sendmsg does not write to the array, but its type does not say so. */
    union {
        const struct iovec *in;
        struct iovec *out;
    } pieces = {.in = iov};
    union control control;
    struct msghdr m = {.msg_iov = pieces.out, .msg_control = control.room};
    ssize_t sent;

    (void)sys;
    if (n < 0 || count < 1 || count > MAX_FDS)
        return -EINVAL;
    size_t size = (size_t)count * sizeof *fds;
    memset(&control, 0, CMSG_SPACE(size));
    m.msg_iovlen = (unsigned)n;
    m.msg_controllen = (socklen_t)CMSG_SPACE(size);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = (socklen_t)CMSG_LEN(size);
    memcpy(CMSG_DATA(c), fds, size);
    do
        sent = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

/* ---- who is at the other end ---- */

#if defined(SO_PEERCRED)
#ifdef __OpenBSD__
typedef struct sockpeercred peer_t;
#else
typedef struct ucred peer_t;
#endif

int eddy_sys_peercred(struct eddy_sys *sys, eddy_fd fd, struct eddy_peercred *ret)
{
    peer_t peer;
    socklen_t len = sizeof peer;

    (void)sys;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return -errno;
    *ret = (struct eddy_peercred){
        .pid = peer.pid > 0 ? peer.pid : -1, .uid = peer.uid, .gid = peer.gid};
    return 0;
}
#elif defined(LOCAL_PEERCRED) && defined(XUCRED_VERSION) /* FreeBSD, DragonFly, macOS */
int eddy_sys_peercred(struct eddy_sys *sys, eddy_fd fd, struct eddy_peercred *ret)
{
    struct xucred peer;
    socklen_t len = sizeof peer;
    pid_t pid = -1;

    (void)sys;
    if (getsockopt(fd, 0 /* SOL_LOCAL */, LOCAL_PEERCRED, &peer, &len) < 0)
        return -errno;
    if (len < sizeof peer || peer.cr_version != XUCRED_VERSION || peer.cr_ngroups < 1)
        return EDDY_ENOT_SUPPORTED;
#if defined(LOCAL_PEERPID)
    len = sizeof pid;
    if (getsockopt(fd, 0, LOCAL_PEERPID, &pid, &len) < 0)
        pid = -1;
#elif defined(__FreeBSD__) && __FreeBSD_version >= 1300030
    pid = peer.cr_pid;
#endif
    *ret = (struct eddy_peercred){
        .pid = pid > 0 ? pid : -1, .uid = peer.cr_uid, .gid = peer.cr_groups[0]};
    return 0;
}
#elif defined(__NetBSD__)
int eddy_sys_peercred(struct eddy_sys *sys, eddy_fd fd, struct eddy_peercred *ret)
{
    uid_t uid;
    gid_t gid;

    (void)sys;
    if (getpeereid(fd, &uid, &gid) < 0)
        return -errno;
    *ret = (struct eddy_peercred){.pid = -1, .uid = uid, .gid = gid};
    return 0;
}
#else
int eddy_sys_peercred(struct eddy_sys *sys, eddy_fd fd, struct eddy_peercred *ret)
{
    (void)sys;
    (void)fd;
    (void)ret;
    return EDDY_ENOT_SUPPORTED;
}
#endif
