/* Pseudo-terminals, and the windows of terminals. */
#include <eddy/pipe.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#ifdef TIOCSWINSZ

/* Close-on-exec and non-blocking from birth where the flags are understood; they are POSIX's only
 * since 2024. */
static int open_master(void)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0 || errno != EINVAL)
        return fd < 0 ? -errno : fd;
    fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}

/* By the master where that goes: its name may lead elsewhere in this file system. */
static int open_slave(int master)
{
    int fd = -1;

    if (grantpt(master) < 0 || unlockpt(master) < 0)
        return -errno;
#ifdef TIOCGPTPEER
    fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 || (errno != EINVAL && errno != ENOTTY))
        return fd < 0 ? -errno : fd;
#endif
#ifdef __linux__
    char name[64];
    int rc = ptsname_r(master, name, sizeof name);

    if (rc != 0)
        return -rc;
#else
    const char *name = ptsname(master);

    if (!name)
        return -errno;
#endif
    fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int eddy_open_pty(const struct eddy_window_size *size, int *ret_master, int *ret_slave)
{
    if (!ret_master || !ret_slave)
        return -EINVAL;
    int master = open_master();
    if (master < 0)
        return master;
    int slave = open_slave(master);
    int rc = slave < 0 ? slave : size ? eddy_set_window_size(slave, size) : 0;
    if (rc < 0) {
        if (slave >= 0)
            close(slave);
        close(master);
        return rc;
    }
    *ret_master = master;
    *ret_slave = slave;
    return 0;
}

int eddy_get_window_size(int fd, struct eddy_window_size *ret)
{
    struct winsize w;

    if (!ret)
        return -EINVAL;
    if (ioctl(fd, TIOCGWINSZ, &w) < 0)
        return -errno;
    ret->rows = w.ws_row;
    ret->cols = w.ws_col;
    return 0;
}

int eddy_set_window_size(int fd, const struct eddy_window_size *size)
{
    if (!size)
        return -EINVAL;
    struct winsize w = {.ws_row = size->rows, .ws_col = size->cols};
    return ioctl(fd, TIOCSWINSZ, &w) < 0 ? -errno : 0;
}

#else

int eddy_open_pty(const struct eddy_window_size *size, int *ret_master, int *ret_slave)
{
    (void)size, (void)ret_master, (void)ret_slave;
    return EDDY_ENOT_SUPPORTED;
}

int eddy_get_window_size(int fd, struct eddy_window_size *ret)
{
    (void)fd, (void)ret;
    return EDDY_ENOT_SUPPORTED;
}

int eddy_set_window_size(int fd, const struct eddy_window_size *size)
{
    (void)fd, (void)size;
    return EDDY_ENOT_SUPPORTED;
}

#endif
