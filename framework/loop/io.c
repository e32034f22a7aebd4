/* Endpoints, and the table that knows them by descriptor. */
#include "framework/base/alloc.h"
#include "framework/loop/loop.h"
#include <limits.h>
#include <string.h>

int eddy_loop_reserve_fd(struct eddy_loop *loop, eddy_fd fd)
{
    if (fd < loop->ios_room)
        return 0;
    int room = loop->ios_room ? loop->ios_room : 64;
    while (room <= fd) {
        if (room > INT_MAX / 2)
            return -ENOMEM;
        room *= 2;
    }
    struct eddy_io **grown = eddy_realloc(loop->ios, (size_t)room * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    memset(grown + loop->ios_room, 0, (size_t)(room - loop->ios_room) * sizeof *grown);
    loop->ios = grown;
    loop->ios_room = room;
    return 0;
}

/* The descriptor is io's now. A watch that is still there was not removed before its descriptor was
 * closed: what the selector knows of it must not stand in the way. */
static void enter(struct eddy_io *io)
{
    struct eddy_loop *loop = io->loop;
    struct eddy_io *shell = loop->ios[io->fd];

    if (shell)
        loop->backend->cls->watch(loop->backend, shell, 0);
    loop->ios[io->fd] = io;
}

int eddy_io_attach(struct eddy_io *io, eddy_fd fd)
{
    struct eddy_loop *loop = io->loop;
    int rc = eddy_loop_reserve_fd(loop, fd);

    if (rc == 0)
        rc = loop->backend->cls->attach(loop->backend, io, fd);
    if (rc < 0)
        return rc;
    loop->open_ios++;
    enter(io);
    return 0;
}

int eddy_io_connect(struct eddy_io *io, const struct eddy_addr *to, const struct eddy_addr *local)
{
    struct eddy_loop *loop = io->loop;
    int rc = loop->backend->cls->connect(loop->backend, io, to, local);

    if (rc < 0)
        return rc;
    loop->open_ios++;
    if (eddy_loop_reserve_fd(loop, io->fd) == 0) /* the reactor has seen to it */
        enter(io);
    return 0;
}

void eddy_io_cancel(struct eddy_io *io)
{
    io->loop->backend->cls->cancel(io->loop->backend, io);
}

void eddy_io_close(struct eddy_io *io)
{
    struct eddy_loop *loop = io->loop;

    if (eddy_loop_io(loop, io->fd) == io)
        loop->ios[io->fd] = NULL;
    loop->backend->cls->close(loop->backend, io);
}
