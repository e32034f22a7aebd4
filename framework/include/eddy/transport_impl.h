/*
 * For authors of transports (its binary interface promises less than the other headers'): the base
 * class, which owns every state, all buffers and every call into a protocol. A concrete class
 * answers a handful of questions, and tells the base what happened; it never calls its protocol
 * itself.
 */
#ifndef EDDY_TRANSPORT_IMPL_H
#define EDDY_TRANSPORT_IMPL_H

#include <eddy/backend.h>
#include <eddy/loop.h>
#include <eddy/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_block;
struct eddy_limits;
struct eddy_transport_class;

/* In this order; changed in one function. */
enum eddy_transport_state {
    EDDY_TRANSPORT_NEW, /* connection_made is owed */
    EDDY_TRANSPORT_OPEN,
    EDDY_TRANSPORT_CLOSING,   /* sends what is queued; input is discarded */
    EDDY_TRANSPORT_LINGERING, /* all is sent; waits until it has arrived (contract T5) */
    EDDY_TRANSPORT_LOST,      /* silent; connection_lost is owed */
    EDDY_TRANSPORT_ENDED,     /* connection_lost was delivered; waits for `closed` */
};

/* Who a transport is accountable to, and whose storage it lives in: a server, or nobody else. */
struct eddy_owner {
    const struct eddy_owner_class *cls;
    const char *site; /* where it was opened, for reports; may be NULL */
};

struct eddy_owner_class {
    /* connection_lost has returned (contract R31). NULL: nothing to do. */
    void (*lost)(struct eddy_owner *o, struct eddy_transport *t);
    /* Nothing refers to the transport any more, nor to the instance beside it. */
    void (*free)(struct eddy_owner *o, struct eddy_transport *t);
};

/* An address in 24 bytes instead of 112. The system is asked for those that do not fit, which are
 * all but the internet's. */
struct eddy_packed_addr {
    uint16_t family;
    uint16_t port; /* network order, as the rest */
    uint32_t scope;
    union {
        uint8_t ip[16];
        void *extra; /* not of the internet: the concrete class's */
    } u;
};

/* The first 64 bytes are all that reading touches, the second 64 what writing does. Embedded first.
 */
struct eddy_transport {
    struct eddy_io io;
    struct eddy_protocol *protocol; /* never NULL: at worst one that ignores everything */
    uint16_t slow;                  /* why reading or writing is not the straight line */
    uint16_t flags;
    uint8_t state;     /* enum eddy_transport_state */
    uint8_t discarded; /* writes after close; stops counting at 255 */
    uint16_t reserved;

    struct eddy_block *head, *tail; /* bytes not yet taken by the kernel: corked, or refused */
    size_t queued;
    const struct eddy_transport_class *cls;
    const struct eddy_limits *limits;
    struct eddy_transport *cork_next, *deferred_next;
    struct eddy_owner *owner;

    void *pending; /* the bytes unread, then the error it was lost with */
    struct eddy_link link;
    struct eddy_timer timer;
    union {
        eddy_nsec heard;  /* OPEN: last time something was received */
        eddy_nsec until;  /* LINGERING */
        eddy_nsec reason; /* LOST: the error's code */
    } u;
    struct eddy_packed_addr peer;
};

/* How files are sent (sendfile.h). */
enum {
    EDDY_SENDFILE_NEVER,
    EDDY_SENDFILE_BY_CALL,    /* from file to descriptor: its bytes need nothing but to be sent */
    EDDY_SENDFILE_BY_COPYING, /* as any other bytes */
};

struct eddy_transport_class {
    const char *name; /* "tcp" */
    uint32_t abi_size;
    bool can_write_eof;
    uint8_t sendfile; /* EDDY_SENDFILE_* */
    bool secret; /* what is in its queue is wiped before the memory is used for anything else */
    size_t high_mark; /* where options say nothing; 0: 64 KiB */

    /* Take these bytes now, without blocking: the count, -EAGAIN, or a fatal error. NULL, both:
     * bytes cannot be written. */
    ssize_t (*send)(struct eddy_transport *t, const void *data, size_t len);
    ssize_t (*sendv)(struct eddy_transport *t, const struct iovec *iov, int n);
    /* There is a queue: pull it by eddy_transport_output and eddy_transport_sent. */
    void (*send_start)(struct eddy_transport *t);
    /* NULL, both: there is nothing to read, and write_eof closes. */
    void (*read_start)(struct eddy_transport *t);
    void (*read_stop)(struct eddy_transport *t);
    /* End the sending side; the queue is empty. NULL if it cannot be. */
    int (*shutdown)(struct eddy_transport *t);
    /* True if closing now could destroy bytes: something is unread, or sent and not acknowledged.
     * NULL: never. */
    bool (*unsettled)(struct eddy_transport *t);
    /* How many bytes were taken by `send` that the peer has not got. NULL: nobody knows, and only
     * room for more tells that the peer takes any. */
    int (*in_flight)(const struct eddy_transport *t);
    /* Silence: nothing is told any more but closed. */
    void (*cancel)(struct eddy_transport *t);
    /* Release what is below; eddy_transport_closed follows, later and last. NULL: nothing is. */
    void (*close)(struct eddy_transport *t);
    int (*sockname)(const struct eddy_transport *t, struct eddy_addr *ret);
    /* The transport that it stands on, for what it does not know itself. NULL: on none. */
    struct eddy_transport *(*below)(const struct eddy_transport *t);

    /* Close was called; what is written will still be sent. NULL: nothing to do. */
    void (*closing)(struct eddy_transport *t);
    /* Close was called, and all that was written is sent: the class does what is left to do, and
     * ends it by eddy_transport_fail, with 0 if all is well. NULL: nothing is left. */
    void (*wind_up)(struct eddy_transport *t);
    /* Whether a protocol of this class can be attached: as eddy_protocol_class_check, which NULL
     * is.
     */
    int (*check_protocol)(const struct eddy_protocol_class *cls, const char *op,
                          struct eddy_error *e);
    /* For a class that keeps what waits to be sent itself, and tells eddy_transport_waiting: since
     * when nothing of it was taken. */
    eddy_nsec (*waiting_since)(const struct eddy_transport *t);
};

/* ---- what a concrete class tells the base; the io_class slots of descriptor streams as they are
 * ---- */

EDDY_API void eddy_transport_received(struct eddy_io *io, const void *data, ssize_t n);
EDDY_API size_t eddy_transport_get_buffer(struct eddy_io *io, size_t hint, void **ret);
EDDY_API int eddy_transport_output(struct eddy_io *io, struct iovec *iov, int max);
EDDY_API void eddy_transport_sent(struct eddy_io *io, ssize_t n);
EDDY_API void eddy_transport_writable(struct eddy_io *io);
EDDY_API void eddy_transport_closed(struct eddy_io *io);

/* For a class that keeps what waits to be sent itself: so many bytes wait from now on, as more came
 * or some were `taken`. Calls pause_writing, or resume_writing, if that is due, and ends a closing
 * transport that has nothing left. Those that were taken are told from the loop. */
EDDY_API void eddy_transport_waiting(struct eddy_transport *t, size_t bytes, bool taken);

/* Whether files are in the queue, whose bytes t->queued does not count: for who counts them. */
EDDY_API bool eddy_transport_has_files(const struct eddy_transport *t);

/* ---- making one ---- */

/* Prepares zeroed memory. The limits are the default ones until eddy_transport_use_limits. */
EDDY_API void eddy_transport_init(struct eddy_transport *t, struct eddy_loop *loop,
                                  const struct eddy_transport_class *cls,
                                  const struct eddy_io_class *io_cls, struct eddy_owner *owner);

/* For one that was initialised, but never came to have an io: its storage goes. */
EDDY_API void eddy_transport_discard(struct eddy_transport *t);

/* Attaches p, makes t a member of `list` (the loop's or its server's), and calls connection_made:
 * from the loop only. p is attached even if it closes or aborts in it. */
EDDY_API void eddy_transport_made(struct eddy_transport *t, struct eddy_protocol *p,
                                  struct eddy_link *list);

/* ---- one over another ----
 *
 * Such a transport is the protocol of the one below, and answers for it: the lower one keeps its
 * storage, its place in the list of its server or loop is the upper one's, and its owner hears that
 * it is lost when the upper one has ended. */

/* From here on there is one above, and eddy_transport_write and its like are EDDY_EINVALID_STATE:
 * somebody's bytes in the middle of its stream would break it, or go out unencrypted. */
EDDY_API void eddy_transport_cover(struct eddy_transport *lower);
EDDY_API bool eddy_transport_is_covered(const struct eddy_transport *t);
/* As eddy_transport_write and eddy_transport_write_eof, by the transport above. */
EDDY_API int eddy_transport_write_below(struct eddy_transport *lower, const void *data, size_t len);
EDDY_API int eddy_transport_write_eof_below(struct eddy_transport *lower);
/* There is none any more: lower's connection_lost has returned, and so has the upper one's. */
EDDY_API void eddy_transport_uncover(struct eddy_transport *lower);
/* The same as cover, for a lower one that is open and has a protocol: it becomes `upper`'s, without
 * a callback, paused if it was, and `below` comes in its place. What it had given back by unread is
 * `below`'s. */
EDDY_API void eddy_transport_take_over(struct eddy_transport *upper, struct eddy_transport *lower,
                                       struct eddy_protocol *below);
/* Whether it has bytes given back by unread; whether an end of stream has come, or write_eof was
 * called. */
EDDY_API bool eddy_transport_has_unread(const struct eddy_transport *t);
EDDY_API bool eddy_transport_has_ended(const struct eddy_transport *t);

/* The peer's address, kept for eddy_transport_peername. */
EDDY_API void eddy_transport_set_peername(struct eddy_transport *t, const struct eddy_addr *a);

/* A fatal error, or 0 for a clean end: connection_lost with it follows from the loop. The first one
 * wins. */
EDDY_API void eddy_transport_fail(struct eddy_transport *t, int code, const char *op);

/* shutdown_requested, or close if the class has none; nothing unless open. From the loop only. */
EDDY_API void eddy_transport_request_shutdown(struct eddy_transport *t);
/* Aborts the members of a list as the loop closes (contract L16), each with a warning. */
EDDY_API void eddy_transports_loop_closing(struct eddy_loop *loop, struct eddy_link *list);

/* ---- limits and time-outs, shared by the connections of a server ---- */

struct eddy_limits {
    unsigned refs;
    size_t low, high, max;
    eddy_nsec idle, write, linger; /* 0: the default; EDDY_OFF: none */
};

/* The limits that options ask for: NULL in *ret if they are the defaults. `low`, `high` and `max`
 * are 0 for "not given". -EINVAL, -ENOMEM. */
EDDY_API int eddy_limits_new(size_t low, size_t high, size_t max, eddy_nsec idle, eddy_nsec write,
                             eddy_nsec linger, struct eddy_limits **ret);
/* NULL is fine. */
EDDY_API void eddy_limits_unref(const struct eddy_limits *l);
/* Takes a reference. NULL: the defaults. */
EDDY_API void eddy_transport_use_limits(struct eddy_transport *t, struct eddy_limits *l);

/* ---- protocols ---- */

/* Whether a class can serve a stream: 0; -EINVAL (no class, no way to receive, nonsense sizes);
 * -E2BIG (of a later version). With the reason in *e. */
EDDY_API int eddy_protocol_class_check(const struct eddy_protocol_class *cls, const char *op,
                                       struct eddy_error *e);

/* Where a server puts an instance: so many bytes behind its transport. */
EDDY_API size_t eddy_protocol_instance_offset(const struct eddy_protocol_class *cls);
/* Makes the instance behind t: zeroes it, sets its base, calls init. < 0: refused. */
EDDY_API int eddy_protocol_new_instance(struct eddy_transport *t,
                                        const struct eddy_protocol_class *cls, void *arg,
                                        struct eddy_protocol **ret);

/* An attempt to make a connection for a protocol that has no transport yet. */
struct eddy_attempt {
    /* Give up. `why`: connect_failed(why) from the loop; NULL: the protocol is gone, call nothing.
     */
    void (*give_up)(struct eddy_attempt *a, const struct eddy_error *why);
    bool *gone_; /* the base's */
};

/* -EINVAL: not initialised, or attached already. */
EDDY_API int eddy_protocol_begin_attempt(struct eddy_protocol *p, struct eddy_attempt *a);
/* Undoes it without a callback: the creating call fails after all, or made() comes next. */
EDDY_API void eddy_protocol_end_attempt(struct eddy_protocol *p);
/* connect_failed, then fini: from the loop only. */
EDDY_API void eddy_protocol_attempt_failed(struct eddy_protocol *p, struct eddy_loop *loop,
                                           const struct eddy_error *why);

#ifdef __cplusplus
}
#endif
#endif
