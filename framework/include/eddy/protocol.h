/*
 * Protocols: what you subclass. A class is a const struct of callbacks; an instance is a struct
 * eddy_protocol anywhere inside a struct of yours.
 *
 * The order of callbacks (contract R1, R2), all of them on the loop's thread:
 *
 *     connection_made (data_received | pause_writing | resume_writing)*
 *         [eof_received (pause_writing | resume_writing)*] connection_lost
 *
 * connection_made comes first and once, connection_lost last and once. If a client's connection
 * cannot be made, connect_failed comes instead. Each attachment - an accepted
 * eddy_create_connection, eddy_transport_set_protocol, or a server's accept - ends in exactly one
 * `fini` after its last callback. A callback that fails says so by eddy_transport_abort(t, why);
 * connection_lost then carries `why`.
 */
#ifndef EDDY_PROTOCOL_H
#define EDDY_PROTOCOL_H

#include <eddy/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_transport;
struct eddy_protocol_class;

/* Embed it, zeroed; eddy_protocol_init() sets cls. The members that end in _ are the library's. */
struct eddy_protocol {
    const struct eddy_protocol_class *cls;
    struct eddy_transport *transport; /* read-only; NULL unless connected */
    void *link_;
    uint32_t holds_;
    uint8_t phase_;
    uint8_t flags_;
    uint16_t reserved_;
};

/* The kinds of classes, in kind_. */
enum {
    EDDY_STREAM_CLASS_,
    EDDY_DATAGRAM_CLASS_,
    EDDY_SUBPROCESS_CLASS_,
};

struct eddy_protocol_class {
    size_t abi_size; /* these five by EDDY_PROTOCOL_CLASS */
    size_t instance_size;
    size_t instance_align;
    size_t base_offset;
    const char *name;

    /* A server has made an instance, zeroed but for its base; `arg` is the server's .arg. < 0
     * refuses the connection: it is closed, which only debug mode reports, and fini is not called.
     * NULL: accepts. */
    int (*init)(struct eddy_protocol *p, void *arg);

    /* The end of this attachment: no callback of it comes any more, p->transport is NULL. Free p,
     * or attach it again; the instances of a server are freed by it afterwards. */
    void (*fini)(struct eddy_protocol *p);

    /* Connected: `t` may be used from here on, until connection_lost returns. Anything goes, close
     * and abort included. */
    void (*connection_made)(struct eddy_protocol *p, struct eddy_transport *t);

    /* The connection could not be made, or its creation was cancelled (-ECANCELED). Only fini
     * follows. */
    void (*connect_failed)(struct eddy_protocol *p, const struct eddy_error *err);

    /* 1 or more bytes, at most 256 KiB, lent for the call. Message boundaries are not kept.
     * Required, unless there are get_buffer and buffer_updated, which are used instead where given.
     */
    void (*data_received)(struct eddy_protocol *p, const void *data, size_t len);

    /* Where to read to: returns the size of *ret_buf, which must stay valid until buffer_updated,
     * the next get_buffer, connection_lost or a switch of protocols. `hint` is the size wanted, 0
     * if none. An empty buffer is a fatal error (-EINVAL). May stand alone when nothing could be
     * read. */
    size_t (*get_buffer)(struct eddy_protocol *p, size_t hint, void **ret_buf);
    /* The first len >= 1 bytes of the buffer are filled. */
    void (*buffer_updated)(struct eddy_protocol *p, size_t len);

    /* The peer has ended its side; all its bytes were delivered. At most once. True keeps our side
     * open for writing, and closing is up to you, even if write_eof has ended it as well; false, or
     * NULL, closes when written out. */
    bool (*eof_received)(struct eddy_protocol *p);

    /* More than the high mark was left unsent: please write no more until resume_writing, which
     * comes at or below the low mark. They alternate. May be called from inside a write. */
    void (*pause_writing)(struct eddy_protocol *p);
    void (*resume_writing)(struct eddy_protocol *p);

    /* The end. NULL: clean - by close, abort without a reason, or the peer's orderly end; else why.
     * Always a later callback, never inside a call of yours (but eddy_loop_close). */
    void (*connection_lost)(struct eddy_protocol *p, const struct eddy_error *err);

    /* The server drains: finish what you are at, then close. NULL: close when written out. */
    void (*shutdown_requested)(struct eddy_protocol *p);

    uintptr_t kind_; /* of transport that it is for: the library's, 0 for streams */
    void (*reserved[3])(void);
};

/* For the start of a class: .instance_size and friends, for a struct that has a struct
 * eddy_protocol as member `member`.
 *
 *     static const struct eddy_protocol_class chat = {
 *         EDDY_PROTOCOL_CLASS(struct chat, base),
 *         .data_received = chat_data,
 *     };
 */
#define EDDY_PROTOCOL_CLASS(type, member)                                          \
    .abi_size = sizeof(struct eddy_protocol_class), .instance_size = sizeof(type), \
    .instance_align = EDDY_ALIGNOF_(type), .base_offset = offsetof(type, member), .name = #type

/* The same for a class without members of its own. */
#define EDDY_STATELESS_PROTOCOL_CLASS(class_name)                                                  \
    .abi_size = sizeof(struct eddy_protocol_class), .instance_size = sizeof(struct eddy_protocol), \
    .instance_align = EDDY_ALIGNOF_(struct eddy_protocol), .base_offset = 0, .name = (class_name)

/* The instance that contains the base `p`. */
#define EDDY_PROTOCOL_SELF(p, type, member) EDDY_CONTAINER_OF(p, type, member)

/* Prepares an instance that you allocate yourself (a client's). Not while it is attached. */
EDDY_API void eddy_protocol_init(struct eddy_protocol *p, const struct eddy_protocol_class *cls);

/* True from an accepted creating call to the end of the attachment. */
EDDY_API bool eddy_protocol_is_attached(const struct eddy_protocol *p);

/* Ends the attachment at once, in any phase: no callback comes any more, no fini, and p may be
 * freed. The transport closes as by eddy_transport_close, an attempt to connect is given up. The
 * instances of a server are freed with their transport. */
EDDY_API void eddy_protocol_detach(struct eddy_protocol *p);

/* In any phase: connect_failed(why) while connecting, connection_lost(why) once connected; both
 * from the loop. No why, or one whose code is not negative: -ECANCELED, or a clean end. */
EDDY_API void eddy_protocol_abort(struct eddy_protocol *p, const struct eddy_error *why);

/* Delays fini, and the storage of a server's instance, until as many releases: for those who keep a
 * pointer to p beyond its connection. fini then comes from the loop, or, if that is closed by then,
 * from inside the last release. A held protocol keeps its loop's memory. Inside fini it is too late
 * to hold. */
EDDY_API void eddy_protocol_hold(struct eddy_protocol *p);
EDDY_API void eddy_protocol_release(struct eddy_protocol *p);

#ifdef __cplusplus
}
#endif
#endif
