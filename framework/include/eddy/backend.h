/*
 * The seam to the outside world, for authors of backends and simulators. (Users need none of it;
 * its binary interface promises less than the other headers'.)
 *
 * Upwards there is one interface, eddy_io_class: what a backend tells a transport, listener or
 * watch. Downwards there are three: eddy_sys (system calls), eddy_selector (readiness, selector.h)
 * and eddy_backend. The reactor makes a backend of the first two; a backend of another kind fills
 * in every slot of its class, but those for which NULL is said to mean something.
 *
 * The rules:
 *
 *  a  Downcalls come from the loop's thread (but `wake`), from inside any upcall, on any endpoint.
 *
 *  b  Upcalls come from `dispatch` alone, never from inside a downcall.
 *
 *  c  But for get_buffer and output: these are questions, answered at once. They may still close,
 *     abort or pause: a backend reads io->want and io->flags again after every upcall.
 *
 *  d  An io is the backend's memory from attach or connect until its `closed` upcall returns. That
 *     comes once, last, at the quiet point at the end of dispatch: no frame below refers to any io.
 *
 *  e  User memory is never given to an operation that pends: reads into it are bound late
 *     (get_buffer, read, received with nothing between); writes from it happen within try_send.
 *     What pends is the backend's memory (reads) or the transport's queue (writes), whose blocks
 *     never move.
 *
 *  f  An error comes by return code or by upcall, never both. A failed downcall changed nothing.
 *     EINTR never gets out. What a void slot cannot do, its operation reports: received(<0),
 *     sent(<0), accepted(<0), connected(<0).
 *
 *  g  Starts and stops are wishes (io->want): on upcalls at once, on the kernel at the next wait.
 *     Watches are the exception: what is wrong with a new one is said inside the call, and one that
 *     is taken away is out of the kernel when the call returns.
 */
#ifndef EDDY_BACKEND_H
#define EDDY_BACKEND_H

#include <eddy/addr.h>
#include <eddy/base.h>
#include <eddy/selector.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_loop;
struct eddy_io;
struct eddy_backend;

/* ---- system calls ---- */

/* One datagram. To receive: room of `len` bytes at `data`; a call that returns sets the rest, len
 * to what came. To send: all of it is only read; addr.len 0 is the address the socket is connected
 * to.
 */
struct eddy_message {
    void *data;
    size_t len;
    bool truncated; /* received: it did not fit, and its end is lost */
    struct eddy_addr addr;
};

/* Every call returns >= 0 or -errno, never -EINTR. Descriptors are born non-blocking and
 * close-on-exec. A test fails or scripts each of them by a table of its own. */
struct eddy_sys_class {
    const char *name;
    uint32_t abi_size; /* sizeof(struct eddy_sys_class) */

    int (*socket)(struct eddy_sys *sys, int family, int type, int protocol);
    int (*close)(struct eddy_sys *sys, eddy_fd fd);
    /* Takes over a descriptor made elsewhere: makes it non-blocking and close-on-exec. */
    int (*adopt)(struct eddy_sys *sys, eddy_fd fd);
    int (*bind)(struct eddy_sys *sys, eddy_fd fd, const struct eddy_addr *a);
    int (*listen)(struct eddy_sys *sys, eddy_fd fd, int backlog);
    /* The new descriptor; *ret_peer is its address. */
    int (*accept)(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret_peer);
    /* 0, or -EINPROGRESS: then the descriptor becomes writable and `error` tells. */
    int (*connect)(struct eddy_sys *sys, eddy_fd fd, const struct eddy_addr *a);
    /* The pending error of a socket (SO_ERROR) as 0 or -errno. */
    int (*error)(struct eddy_sys *sys, eddy_fd fd);
    int (*sockname)(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret);
    int (*peername)(struct eddy_sys *sys, eddy_fd fd, struct eddy_addr *ret);
    int (*getsockopt)(struct eddy_sys *sys, eddy_fd fd, int level, int name, int *ret);
    int (*setsockopt)(struct eddy_sys *sys, eddy_fd fd, int level, int name, int value);
    ssize_t (*recv)(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len);
    /* Neither raises SIGPIPE. */
    ssize_t (*send)(struct eddy_sys *sys, eddy_fd fd, const void *data, size_t len);
    ssize_t (*sendv)(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n);
    int (*shutdown)(struct eddy_sys *sys, eddy_fd fd, int how);
    /* From here to peercred: NULL where there are no such things, and then no pipes and unix
     * sockets.
     *
     * For what is no socket. writev raises no SIGPIPE where the system can help it. */
    ssize_t (*read)(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len);
    ssize_t (*writev)(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n);
    /* Unix sockets: as recv and sendv, with descriptors. Those received are the caller's,
     * close-on-exec, and at most *count, which is set to their number; -EMSGSIZE: there were more,
     * -EMFILE: the process has no room for them; then all that came are closed, the bytes lost. To
     * send takes at least one byte. */
    ssize_t (*recv_fds)(struct eddy_sys *sys, eddy_fd fd, void *buf, size_t len, eddy_fd *fds,
                        int *count);
    ssize_t (*send_fds)(struct eddy_sys *sys, eddy_fd fd, const struct iovec *iov, int n,
                        const eddy_fd *fds, int count);
    int (*peercred)(struct eddy_sys *sys, eddy_fd fd, struct eddy_peercred *ret);
    /* Datagrams: how many of the n were received or sent, at least 1, else the first one's error.
     * An error of receiving may be about one sent before: then m->addr, of length 0 before the
     * call, says where that went to. 0: the peer has ended a connection of messages. NULL, both:
     * there are no datagrams. */
    int (*recv_messages)(struct eddy_sys *sys, eddy_fd fd, struct eddy_message *m, int n);
    int (*send_messages)(struct eddy_sys *sys, eddy_fd fd, const struct eddy_message *m, int n);
    /* Up to len bytes of a file from `offset` on, or, if that is negative, from where it stands; 0:
     * the end. It may wait for the disk. NULL: as the system itself does it. */
    ssize_t (*read_file)(struct eddy_sys *sys, eddy_fd file, void *buf, size_t len, int64_t offset);
    /* The same from the file to the stream socket `fd`, which does not block: -EAGAIN. The file's
     * position stays. Raises no SIGPIPE. NULL: there is no such call; files are copied. */
    ssize_t (*sendfile)(struct eddy_sys *sys, eddy_fd fd, eddy_fd file, int64_t offset, size_t len);
    /* How many bytes the kernel holds that we have not read (*ret_in), and that the peer has not
     * acknowledged (*ret_out; 0 where the system cannot tell). */
    int (*pending)(struct eddy_sys *sys, eddy_fd fd, int *ret_in, int *ret_out);
    /* The wake-up: fds[0] is readable after kick(fds[1]) until drain(fds[0]). Both may be the same.
     * A full one counts as kicked. kick: [any thread, async-signal-safe]. */
    int (*waker)(struct eddy_sys *sys, eddy_fd fds[2]);
    void (*kick)(struct eddy_sys *sys, eddy_fd fd);
    void (*drain)(struct eddy_sys *sys, eddy_fd fd);
    eddy_nsec (*now)(struct eddy_sys *sys);
};

/* Embed first and extend. Must outlive the loops that use it. */
struct eddy_sys {
    const struct eddy_sys_class *cls;
};

/* The system itself. */
EDDY_API struct eddy_sys *eddy_sys_posix(void);

/* ---- endpoints ---- */

enum eddy_io_kind {
    EDDY_IO_STREAM,
    EDDY_IO_LISTENER,
    EDDY_IO_WATCH,
    EDDY_IO_DATAGRAM,
};

/* io->flags */
enum {
    EDDY_IO_OWNBUF = 1 << 0, /* the owner's: reads go to get_buffer's memory; LISTENER: always */
    EDDY_IO_CONNECTING = 1 << 1, /* connected() is still owed */
    EDDY_IO_CANCELLED = 1 << 2,  /* silent: no upcall but closed() */
    EDDY_IO_CLOSING = 1 << 3,    /* close was asked for: closed() is owed */
    EDDY_IO_DIRTY = 1 << 4,      /* on the list of those whose want and armed differ */
    EDDY_IO_OWN_CALLS = 1 << 5,  /* the owner's, at any time: its class's recv and sendv; DATAGRAM:
                                    always */
};

/* Embedded first in what the backend serves. The owner zeroes it, sets cls, loop and kind, and then
 * touches nothing but want and the flags that are the owner's, by the calls below. */
struct eddy_io {
    const struct eddy_io_class *cls;
    struct eddy_loop *loop;
    eddy_fd fd;    /* -1 before attach and from `closed` on */
    uint8_t kind;  /* enum eddy_io_kind */
    uint8_t want;  /* EDDY_READ, EDDY_WRITE: the owner's wishes; the backend only clears */
    uint8_t armed; /* what selector or kernel has been told */
    uint8_t flags; /* EDDY_IO_* */
    struct eddy_io *dirty_next; /* the backend's */
    uint64_t backend_word;      /* the backend's */
};

struct eddy_io_class {
    const char *name;

    /* STREAM. n > 0: bytes, lent for the call; 0: end of stream; < 0: a read error. n <= 0 comes
     * once, last, and want.READ is cleared for good. Never after read_stop, cancel or close
     * returned; never nested. May call down in any way. */
    void (*received)(struct eddy_io *io, const void *data, ssize_t n);

    /* STREAM with EDDY_IO_OWNBUF: where to read to. Asked directly before a read that cannot block.
     * Returns the room, 0 for "not now": then nothing is read. A question (rule c). */
    size_t (*get_buffer)(struct eddy_io *io, size_t hint, void **ret);

    /* STREAM: what is to be sent next, as up to `max` pieces; they stay put until `sent`. Returns
     * their number; 0 clears want.WRITE; < 0: the owner sends by itself, and wants `writable` when
     * there is room, which it says only where there is try_sendfile. A question (rule c). */
    int (*output)(struct eddy_io *io, struct iovec *iov, int max);

    /* STREAM: n bytes of the last output were taken; < 0: the error of sending, fatal. */
    void (*sent)(struct eddy_io *io, ssize_t n);

    /* STREAM with EDDY_IO_OWN_CALLS: how its descriptor is read and written, for what is no socket,
     * or brings more than bytes. As the calls of eddy_sys: they do not block, and return the count,
     * 0 for the end of stream, -EAGAIN or an error. Such a stream is served by readiness. */
    ssize_t (*recv)(struct eddy_io *io, void *buf, size_t len);
    ssize_t (*sendv)(struct eddy_io *io, const struct iovec *iov, int n);

    /* DATAGRAM: one message, lent for the call; or an error of receiving or of something sent
     * before, which ends nothing, and m NULL or only the address it is about; or NULL and 0, the
     * end of a connection of messages. Never after cancel or close returned; after read_stop those
     * still come, once, that were fetched together with the one in whose upcall it was called. */
    void (*datagram)(struct eddy_io *io, const struct eddy_message *m, int error);

    /* DATAGRAM, once after send_start: there may be room to send again. STREAM: the same, each time
     * that output was negative. */
    void (*writable)(struct eddy_io *io);

    /* LISTENER: a new descriptor, the owner's from here on, and its peer; or < 0, an error of
     * accept (lent address NULL). On those for want of resources the owner stops and retries by a
     * timer. */
    void (*accepted)(struct eddy_io *io, int res, const struct eddy_addr *peer);

    /* STREAM, once after `connect`: 0, or the error; then only `closed` can follow. */
    void (*connected)(struct eddy_io *io, int err);

    /* How much to take at once. LISTENER: most connections before others have their turn.
     * DATAGRAM: most messages in one fetch, which share its room; NULL: as the backend likes. A
     * question (rule c). */
    unsigned (*batch)(const struct eddy_io *io);

    /* WATCH: level-triggered, read and write in one call. */
    void (*ready)(struct eddy_io *io, unsigned events);

    /* The backend is done with the io (rule d): it may be freed here. */
    void (*closed)(struct eddy_io *io);
};

/* ---- backends ---- */

struct eddy_backend_class {
    const char *name;
    uint32_t abi_size; /* sizeof(struct eddy_backend_class) */

    /* Makes the backend of `loop`, or fails with the reason why it cannot work here, in *error too
     * if one sentence says more than the code. Must try, not assume. */
    int (*open)(struct eddy_loop *loop, struct eddy_sys *sys, struct eddy_error *error,
                struct eddy_backend **ret);
    /* Every io had its `closed`. */
    void (*free)(struct eddy_backend *b);

    /* The loop's clock. */
    eddy_nsec (*now)(struct eddy_backend *b);

    /* Applies wishes, sleeps at most `timeout`, collects what happened; calls nobody. Does not
     * sleep while an io is being closed. 0 or a negative code, which ends the run; dispatch may
     * still be called then, for the quiet point. */
    int (*wait)(struct eddy_backend *b, eddy_nsec timeout);
    /* Makes the upcalls for what was collected, then the quiet point. */
    void (*dispatch)(struct eddy_backend *b);
    /* [any thread, async-signal-safe] The wait in progress, or the next one, returns at once. */
    void (*wake)(struct eddy_backend *b);
    /* After fork, in the child: drop the inherited kernel object without altering it, open anew,
     * and re-arm every io from want. */
    int (*forked)(struct eddy_backend *b);
    /* The descriptor to embed the loop elsewhere, or EDDY_ENOT_SUPPORTED. */
    int (*fileno)(struct eddy_backend *b);
    /* Whether the next wait has something to do before it sleeps: wishes that the kernel has not
     * heard of, an io that is being closed. Who embeds the loop must not sleep then. NULL: never.
     */
    bool (*busy)(struct eddy_backend *b);

    /* The io serves fd from here on, which then is the backend's to close. -EINVAL: this backend
     * cannot hold that descriptor; it is still the caller's. */
    int (*attach)(struct eddy_backend *b, struct eddy_io *io, eddy_fd fd);
    /* Makes a stream socket, binds it to `local` (NULL: anywhere) and connects it: connected(). */
    int (*connect)(struct eddy_backend *b, struct eddy_io *io, const struct eddy_addr *to,
                   const struct eddy_addr *local);
    /* Silence from here on: no upcall but `closed`. The descriptor stays open, for its names. */
    void (*cancel)(struct eddy_backend *b, struct eddy_io *io);
    /* cancel; closes the descriptor when the last operation has left the kernel; then `closed`. A
     * listener's address is free when this returns (contract S33). */
    void (*close)(struct eddy_backend *b, struct eddy_io *io);

    void (*read_start)(struct eddy_backend *b, struct eddy_io *io);
    /* Final at once. What the kernel already took is held, and comes first after the next start. */
    void (*read_stop)(struct eddy_backend *b, struct eddy_io *io);
    /* Sends now what can be sent without blocking: the count, -EAGAIN (always allowed), or an
     * error. Never while output is pending. */
    ssize_t (*try_send)(struct eddy_io *io, const void *data, size_t len);
    ssize_t (*try_sendv)(struct eddy_io *io, const struct iovec *iov, int n);
    /* The same with a part of a file, as the call of eddy_sys: 0 is its end. NULL: this backend
     * cannot, and files are copied. */
    ssize_t (*try_sendfile)(struct eddy_io *io, eddy_fd file, int64_t offset, size_t len);
    /* "There is a queue": output and sent follow until output returns 0. */
    void (*send_start)(struct eddy_backend *b, struct eddy_io *io);
    /* DATAGRAM: as the call of eddy_sys; after -EAGAIN send_start asks for `writable`. NULL:
     * this backend knows no datagrams. */
    int (*try_send_messages)(struct eddy_io *io, const struct eddy_message *m, int n);
    /* Ends the sending side. Never while output is pending. */
    int (*shutdown)(struct eddy_backend *b, struct eddy_io *io);
    /* WATCH: these events from now on; 0: none, and the descriptor may be closed next. Cannot fail
     * when it only takes bits away. */
    int (*watch)(struct eddy_backend *b, struct eddy_io *io, unsigned events);
};

/* Embed first and extend. `open` fills it in. */
struct eddy_backend {
    const struct eddy_backend_class *cls;
    struct eddy_loop *loop;
    struct eddy_sys *sys;
};

/* The backends of this build, best first, for listing: NULL when i is past the last. */
EDDY_API const char *eddy_backend_name(unsigned i);

#ifdef __cplusplus
}
#endif
#endif
