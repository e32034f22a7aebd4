/*
 * Frames: a protocol for messages of any bytes, each behind a prefix that says how long it is. You
 * subclass it as <eddy/line.h> shows in full:
 *
 *     struct client {
 *         struct eddy_frame frame;
 *         ...
 *     };
 *
 *     static void frame_received(struct eddy_frame *f, const void *data, size_t len)
 *     {
 *         eddy_frame_send(f, data, len);
 *     }
 *
 *     static const struct eddy_frame_class echo = {
 *         EDDY_FRAME_CLASS(struct client, frame),
 *         .prefix = EDDY_FRAME_U16BE,
 *         .frame_received = frame_received,
 *     };
 *
 * The slots of the base class are frame's own; you fill those below, which are called as their
 * namesakes in <eddy/protocol.h>, in the order given there, with frame_received in the place of
 * data_received. All of it is for the loop's thread.
 *
 * In frame_received pause_reading, set_protocol, close, abort and detach take effect with this
 * frame, as they do with lines: no other frame comes, and the bytes behind it wait, go to the new
 * protocol, or are dropped. eddy_transport_unread is not for frame_received.
 */
#ifndef EDDY_FRAME_H
#define EDDY_FRAME_H

#include <eddy/bytes.h>
#include <eddy/protocol.h>
#include <eddy/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the number of a frame's bytes, the prefix not counted, stands before it. */
enum eddy_frame_prefix {
    EDDY_FRAME_U32BE, /* four bytes, the highest first: network order */
    EDDY_FRAME_U32LE,
    EDDY_FRAME_U16BE,
    EDDY_FRAME_U16LE,
    EDDY_FRAME_U8,
    /* Seven bits a byte, the lowest first, with the highest bit set in all bytes but the last: as
     * protocol buffers do (LEB128). At most ten bytes and 2^64 - 1, else -EPROTO. More bytes than a
     * number needs are accepted, as other readers do: writers leave room for a length this way.
     * eddy_frame_send uses no more than are needed. */
    EDDY_FRAME_VARINT,
};

/* Embed it, zeroed; eddy_frame_init() prepares those that no server makes. */
struct eddy_frame {
    struct eddy_protocol base; /* f->base.transport is the way to the transport */
    struct eddy_bytes kept_;
    bool in_use_; /* has delivered something; not so if made anew */
    void *reserved_[2];
};

struct eddy_frame_class {
    struct eddy_protocol_class base; /* by EDDY_FRAME_CLASS */

    enum eddy_frame_prefix prefix;
    size_t longest; /* most bytes of a frame that is received; 0: 64 KiB, SIZE_MAX: no limit */

    /* The bytes behind a prefix, lent for the call; 0 is a number as well. A frame that is too long
     * aborts with -EMSGSIZE as soon as its prefix is there, one that there is no memory for with
     * -ENOMEM; memory is taken for bytes that came, not for those that were announced. A stream
     * that ends within a frame or prefix aborts with -EPROTO, instead of eof_received. NULL: frames
     * are dropped. */
    void (*frame_received)(struct eddy_frame *f, const void *data, size_t len);

    int (*init)(struct eddy_frame *f, void *arg);
    void (*fini)(struct eddy_frame *f); /* frame's own part is done with: f may be freed */
    void (*connection_made)(struct eddy_frame *f, struct eddy_transport *t);
    void (*connect_failed)(struct eddy_frame *f, const struct eddy_error *err);
    bool (*eof_received)(struct eddy_frame *f); /* between two frames */
    void (*pause_writing)(struct eddy_frame *f);
    void (*resume_writing)(struct eddy_frame *f);
    void (*connection_lost)(struct eddy_frame *f, const struct eddy_error *err);
    void (*shutdown_requested)(struct eddy_frame *f);

    void (*reserved[4])(void);
};

/* For the start of a class: `type` is your struct, which has a struct eddy_frame as `member`. */
#define EDDY_FRAME_CLASS(type, member)                       \
    .base = {EDDY_PROTOCOL_CLASS(type, member.base),         \
             .init = eddy_frame_init_,                       \
             .fini = eddy_frame_fini_,                       \
             .connection_made = eddy_frame_connection_made_, \
             .connect_failed = eddy_frame_connect_failed_,   \
             .data_received = eddy_frame_data_received_,     \
             .eof_received = eddy_frame_eof_received_,       \
             .pause_writing = eddy_frame_pause_writing_,     \
             .resume_writing = eddy_frame_resume_writing_,   \
             .connection_lost = eddy_frame_connection_lost_, \
             .shutdown_requested = eddy_frame_shutdown_requested_}

/* Prepares an instance that you allocate yourself; it then is a protocol, &f->base, for
 * eddy_create_connection or eddy_transport_set_protocol. Not while it is attached; from fini on it
 * may be attached again without. Calls nothing. */
EDDY_API void eddy_frame_init(struct eddy_frame *f, const struct eddy_frame_class *cls);

/* Sends a frame: `len` bytes behind the prefix of f's class. -EMSGSIZE: the prefix cannot say so
 * many; -EINVAL: NULL data, or an unknown prefix; else as eddy_transport_writev, EDDY_ECLOSED also
 * when not connected. The bytes are sent or copied, all or none. May call pause_writing. */
EDDY_API int eddy_frame_send(struct eddy_frame *f, const void *data, size_t len);

/* The beginning of a frame whose end has not come yet, its prefix included: its bytes in *ret, good
 * until the next callback, and their number. Whoever switches protocols elsewhere than in
 * frame_received passes them on; in frame_received there are none. */
EDDY_API size_t eddy_frame_partial(const struct eddy_frame *f, const char **ret);

/* In the place of eddy_protocol_detach, which would leave the beginning of a frame in memory. */
EDDY_API void eddy_frame_detach(struct eddy_frame *f);

/* What EDDY_FRAME_CLASS fills the base slots with; not to be called. */
EDDY_API int eddy_frame_init_(struct eddy_protocol *p, void *arg);
EDDY_API void eddy_frame_fini_(struct eddy_protocol *p);
EDDY_API void eddy_frame_connection_made_(struct eddy_protocol *p, struct eddy_transport *t);
EDDY_API void eddy_frame_connect_failed_(struct eddy_protocol *p, const struct eddy_error *err);
EDDY_API void eddy_frame_data_received_(struct eddy_protocol *p, const void *data, size_t len);
EDDY_API bool eddy_frame_eof_received_(struct eddy_protocol *p);
EDDY_API void eddy_frame_pause_writing_(struct eddy_protocol *p);
EDDY_API void eddy_frame_resume_writing_(struct eddy_protocol *p);
EDDY_API void eddy_frame_connection_lost_(struct eddy_protocol *p, const struct eddy_error *err);
EDDY_API void eddy_frame_shutdown_requested_(struct eddy_protocol *p);

#ifdef __cplusplus
}
#endif
#endif
