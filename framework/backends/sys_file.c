/* Files that are sent: by one call from file to socket where the system has it. */
#include "framework/backends/sys.h"

#include <errno.h>
#include <unistd.h>
#ifdef __linux__
#include <pthread.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <time.h>
#endif

_Static_assert(sizeof(off_t) == 8, "files may be longer than memory");

ssize_t eddy_sys_read_file(struct eddy_sys *sys, eddy_fd file, void *buf, size_t len,
                           int64_t offset)
{
    ssize_t n;

    (void)sys;
    do
        n = offset < 0 ? read(file, buf, len) : pread(file, buf, len, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

#ifdef __linux__
static ssize_t send_part(eddy_fd fd, eddy_fd file, int64_t offset, size_t len)
{
    off_t at = (off_t)offset;
    ssize_t n;

    do
        n = sendfile(fd, file, &at, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* The call knows no MSG_NOSIGNAL. The signal is this thread's, and pending when the call returns.
 */
static ssize_t send_part_quietly(eddy_fd fd, eddy_fd file, int64_t offset, size_t len)
{
    sigset_t pipe, before, pending;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    ssize_t n = send_part(fd, file, offset, len);
    if (n == -EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return n;
}

ssize_t eddy_sys_sendfile(struct eddy_sys *sys, eddy_fd fd, eddy_fd file, int64_t offset,
                          size_t len)
{
    struct sigaction act;

    (void)sys;
    if (sigaction(SIGPIPE, NULL, &act) == 0 && act.sa_handler == SIG_IGN)
        return send_part(fd, file, offset, len);
    return send_part_quietly(fd, file, offset, len);
}
#endif
