/*
 * Lines: a protocol that cuts what it receives at each newline. You subclass it as it subclasses
 * struct eddy_protocol:
 *
 *     struct client {
 *         struct eddy_line line;
 *         ...
 *     };
 *
 *     static void line_received(struct eddy_line *l, const char *line, size_t len)
 *     {
 *         struct client *c = EDDY_CONTAINER_OF(l, struct client, line);
 *         eddy_transport_printf(l->base.transport, "%zu bytes\n", len);
 *     }
 *
 *     static const struct eddy_line_class chat = {
 *         EDDY_LINE_CLASS(struct client, line),
 *         .line_received = line_received,
 *     };
 *
 *     eddy_create_server(loop, &chat.base, EDDY_SERVER(.port = 7000), &server);
 *
 * The slots of the base class are line's own; you fill those below, which are called as their
 * namesakes in <eddy/protocol.h>, in the order given there, with line_received in the place of
 * data_received. All of it is for the loop's thread.
 *
 * What may be done in line_received, in the middle of all the lines that came with one read:
 *
 *   - eddy_transport_pause_reading: no further line comes before resume_reading, and then the next.
 *   - eddy_transport_set_protocol: the line was the last one; every byte behind it goes to the new
 *     protocol.
 *   - close, abort, detach: the line was the last one, and what is behind it is dropped.
 *
 * It uses eddy_transport_unread for that, which therefore is not for line_received.
 */
#ifndef EDDY_LINE_H
#define EDDY_LINE_H

#include <eddy/bytes.h>
#include <eddy/protocol.h>
#include <eddy/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Embed it, zeroed; eddy_line_init() prepares those that no server makes. */
struct eddy_line {
    struct eddy_protocol base; /* l->base.transport is the way to the transport */
    struct eddy_bytes kept_;
    bool in_use_; /* has delivered something; not so if made anew */
    void *reserved_[2];
};

struct eddy_line_class {
    struct eddy_protocol_class base; /* by EDDY_LINE_CLASS */

    size_t longest; /* most bytes of a line, its end not counted; 0: 64 KiB */
    bool keep_cr;   /* CR LF ends a line as LF does, but the CR is part of the line */

    /* A line without its LF, or CR LF. Any byte but LF may be in it, NUL too; a CR elsewhere than
     * directly before LF is part of it. `line` is lent for the call and not ended by NUL. A last
     * line without an end comes when the peer has ended the stream, before eof_received. A line
     * that is too long aborts with -EMSGSIZE as soon as it is, one that there is no memory for with
     * -ENOMEM. NULL: lines are dropped. */
    void (*line_received)(struct eddy_line *l, const char *line, size_t len);

    int (*init)(struct eddy_line *l, void *arg);
    void (*fini)(struct eddy_line *l); /* line's own part is done with: l may be freed */
    void (*connection_made)(struct eddy_line *l, struct eddy_transport *t);
    void (*connect_failed)(struct eddy_line *l, const struct eddy_error *err);
    /* Comes directly after a last line without an end, even if that has paused reading; not if it
     * has closed, aborted or detached. After a switch in that line the new protocol gets it. */
    bool (*eof_received)(struct eddy_line *l);
    void (*pause_writing)(struct eddy_line *l);
    void (*resume_writing)(struct eddy_line *l);
    void (*connection_lost)(struct eddy_line *l, const struct eddy_error *err);
    void (*shutdown_requested)(struct eddy_line *l);

    void (*reserved[4])(void);
};

/* For the start of a class: `type` is your struct, which has a struct eddy_line as `member`; that
 * may also be a member of a member, `base.line`.
 *
 * To derive a class that others derive from, begin your class with a struct eddy_line_class and
 * fill it by a macro of yours, which names functions of yours for the slots that you need:
 *
 *     struct smtp_class {
 *         struct eddy_line_class base;
 *         void (*command_received)(struct smtp *s, const char *verb, const char *argument);
 *     };
 *     #define SMTP_CLASS(type, member) \
 *         .base = {EDDY_LINE_CLASS(type, member.line), .line_received = smtp_line}
 *
 * smtp_line finds the class as `(const struct smtp_class *)l->base.cls`. */
#define EDDY_LINE_CLASS(type, member)                       \
    .base = {EDDY_PROTOCOL_CLASS(type, member.base),        \
             .init = eddy_line_init_,                       \
             .fini = eddy_line_fini_,                       \
             .connection_made = eddy_line_connection_made_, \
             .connect_failed = eddy_line_connect_failed_,   \
             .data_received = eddy_line_data_received_,     \
             .eof_received = eddy_line_eof_received_,       \
             .pause_writing = eddy_line_pause_writing_,     \
             .resume_writing = eddy_line_resume_writing_,   \
             .connection_lost = eddy_line_connection_lost_, \
             .shutdown_requested = eddy_line_shutdown_requested_}

/* Prepares an instance that you allocate yourself; it then is a protocol, &l->base, for
 * eddy_create_connection or eddy_transport_set_protocol. Not while it is attached; from fini on it
 * may be attached again without. Calls nothing. */
EDDY_API void eddy_line_init(struct eddy_line *l, const struct eddy_line_class *cls);

/* The beginning of a line whose end has not come yet: its bytes in *ret, good until the next
 * callback, and their number. Whoever switches protocols elsewhere than in line_received passes
 * them on; in line_received there are none. */
EDDY_API size_t eddy_line_partial(const struct eddy_line *l, const char **ret);

/* In the place of eddy_protocol_detach, which would leave the beginning of a line in memory. */
EDDY_API void eddy_line_detach(struct eddy_line *l);

/* What EDDY_LINE_CLASS fills the base slots with; not to be called. */
EDDY_API int eddy_line_init_(struct eddy_protocol *p, void *arg);
EDDY_API void eddy_line_fini_(struct eddy_protocol *p);
EDDY_API void eddy_line_connection_made_(struct eddy_protocol *p, struct eddy_transport *t);
EDDY_API void eddy_line_connect_failed_(struct eddy_protocol *p, const struct eddy_error *err);
EDDY_API void eddy_line_data_received_(struct eddy_protocol *p, const void *data, size_t len);
EDDY_API bool eddy_line_eof_received_(struct eddy_protocol *p);
EDDY_API void eddy_line_pause_writing_(struct eddy_protocol *p);
EDDY_API void eddy_line_resume_writing_(struct eddy_protocol *p);
EDDY_API void eddy_line_connection_lost_(struct eddy_protocol *p, const struct eddy_error *err);
EDDY_API void eddy_line_shutdown_requested_(struct eddy_protocol *p);

#ifdef __cplusplus
}
#endif
#endif
