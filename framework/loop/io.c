/* Endpoints, and the table that knows them by descriptor. */
#include "framework/base/alloc.h"
#include "framework/loop/loop.h"
#include <string.h>

/* Chunks never move. One array that doubles leaves its former self in the heap: 7 bytes for each of
 * 10,000 connections, besides room for 6,000 more. A number that no descriptor has ever had must
 * not cost the memory of all below it. */
int eddy_loop_reserve_fd(struct eddy_loop *loop, eddy_fd fd)
{
    int i = fd / EDDY_IOS_CHUNK;

    if (i >= loop->io_chunks_room) {
        int room = i * 2 + 2; /* fits: the chunk is larger than 2 */
        struct eddy_io ***grown = eddy_realloc(loop->io_chunks, (size_t)room * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        memset(grown + loop->io_chunks_room, 0,
               (size_t)(room - loop->io_chunks_room) * sizeof *grown);
        loop->io_chunks = grown;
        loop->io_chunks_room = room;
    }
    if (!loop->io_chunks[i])
        loop->io_chunks[i] = eddy_zalloc(EDDY_IOS_CHUNK * sizeof **loop->io_chunks);
    return loop->io_chunks[i] ? 0 : -ENOMEM;
}

struct eddy_io *eddy_loop_find_io(const struct eddy_loop *loop, eddy_fd *fd)
{
    for (int i = *fd / EDDY_IOS_CHUNK; i < loop->io_chunks_room; i++) {
        for (int j = *fd % EDDY_IOS_CHUNK; loop->io_chunks[i] && j < EDDY_IOS_CHUNK; j++) {
            if (loop->io_chunks[i][j]) {
                *fd = i * EDDY_IOS_CHUNK + j;
                return loop->io_chunks[i][j];
            }
        }
        *fd = 0; /* of the next chunk */
    }
    return NULL;
}

void eddy_loop_free_ios(struct eddy_loop *loop)
{
    for (int i = 0; i < loop->io_chunks_room; i++)
        eddy_free(loop->io_chunks[i]);
    eddy_free(loop->io_chunks);
    loop->io_chunks = NULL;
    loop->io_chunks_room = 0;
}

/* The descriptor is io's now. A watch that is still there was not removed before its descriptor was
 * closed: what the selector knows of it must not stand in the way. */
static void enter(struct eddy_io *io)
{
    struct eddy_loop *loop = io->loop;
    struct eddy_io *shell = eddy_loop_io(loop, io->fd);

    if (shell)
        loop->backend->cls->watch(loop->backend, shell, 0);
    eddy_loop_set_io(loop, io->fd, io);
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
        eddy_loop_set_io(loop, io->fd, NULL);
    loop->backend->cls->close(loop->backend, io);
}
