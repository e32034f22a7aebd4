/*
 * Transports own a descriptor and all its buffers, and call your protocol.
 *
 * A transport is the library's: your pointer is good from connection_made until connection_lost
 * returns, and there is nothing to free. A closing transport may be used: the calls then return
 * EDDY_ECLOSED or do nothing; so do those for writing, pausing, limits, switching and ending with
 * NULL, which is what p->transport is afterwards. Every function is for the loop's thread.
 */
#ifndef EDDY_TRANSPORT_H
#define EDDY_TRANSPORT_H

#include <eddy/addr.h>
#include <eddy/base.h>
#include <eddy/protocol.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_loop;

/* For eddy_transport_set_write_buffer_limits: not given. */
#define EDDY_DEFAULT SIZE_MAX

/* ---- writing ----
 *
 * Bytes are sent in the order of the calls. Writes made from callbacks are collected and sent
 * together when the transport's own read callback, or the loop's present phase, ends, at 16 KiB, or
 * by flush, write_eof and close; outside a run they go to the kernel at once (contract T10).
 *
 * It is safe to ignore the results: bytes that cannot be kept (-ENOMEM; -ENOBUFS when more than
 * write_max, 64 MiB, wait already) force-close the transport with that code, so a stream never has
 * a hole. EDDY_ECLOSED: closing, the bytes are dropped, which is logged once when it goes on;
 * EDDY_EINVALID_STATE: after write_eof, or what TLS was started on; -EINVAL: NULL data. */

/* The bytes are sent or copied before it returns. (asyncio: Transport.write) */
EDDY_API int eddy_transport_write(struct eddy_transport *t, const void *data, size_t len);
/* Equals a write of the pieces one after the other. -EINVAL: negative count. (asyncio: writelines)
 */
EDDY_API int eddy_transport_writev(struct eddy_transport *t, const struct iovec *iov, int n);
EDDY_API int eddy_transport_printf(struct eddy_transport *t, const char *fmt, ...)
    EDDY_PRINTF(2, 3);
/* Without a copy: `release(user)` is called exactly once, on the loop's thread, when the bytes are
 * not needed any more - also when the call fails, and possibly from inside the call. NULL: they
 * live for ever. */
EDDY_API int eddy_transport_write_owned(struct eddy_transport *t, const void *data, size_t len,
                                        void (*release)(void *user), void *user);
/* What was collected goes to the kernel now. */
EDDY_API void eddy_transport_flush(struct eddy_transport *t);
/* Sends what is buffered, then ends our side; reading goes on. Again, or on a closing transport:
 * nothing. EDDY_ENOT_SUPPORTED where there is no half-close; EDDY_EINVALID_STATE: TLS stands on it.
 */
EDDY_API int eddy_transport_write_eof(struct eddy_transport *t);
EDDY_API bool eddy_transport_can_write_eof(const struct eddy_transport *t);

/* ---- flow control ---- */

/* pause_writing comes when more than `high` bytes are left after a flush, resume_writing at `low`
 * or less. Defaults 64 KiB and 16 KiB; EDDY_DEFAULT for one derives it from the other (low = high /
 * 4). -EINVAL, with the limits unchanged, if high < low; -ENOMEM. (asyncio:
 * set_write_buffer_limits; contract T22) */
EDDY_API int eddy_transport_set_write_buffer_limits(struct eddy_transport *t, size_t low,
                                                    size_t high);
EDDY_API void eddy_transport_get_write_buffer_limits(const struct eddy_transport *t,
                                                     size_t *ret_low, size_t *ret_high);
/* Most bytes that may wait to be sent (64 MiB); see above. 0 restores the default. -ENOMEM. */
EDDY_API int eddy_transport_set_write_max(struct eddy_transport *t, size_t max);
/* Bytes not yet handed to the kernel. */
EDDY_API size_t eddy_transport_get_write_buffer_size(const struct eddy_transport *t);
/* True between pause_writing and resume_writing. */
EDDY_API bool eddy_transport_is_writing_paused(const struct eddy_transport *t);

/* ---- reading ---- */

/* No data_received or eof_received after this until resume_reading; the peer is slowed down by its
 * own full buffer. Both are idempotent and do nothing on a closing transport. */
EDDY_API void eddy_transport_pause_reading(struct eddy_transport *t);
EDDY_API void eddy_transport_resume_reading(struct eddy_transport *t);
/* True unless paused, ended by the peer, or closing. */
EDDY_API bool eddy_transport_is_reading(const struct eddy_transport *t);

/* From data_received or buffer_updated: the tail not consumed. It is copied and delivered first,
 * from the loop, to the then current protocol, when reading is not paused. -ENOMEM: force-closed;
 * -EINVAL: more than 256 KiB; EDDY_EINVALID_STATE: something is unread already, or not in such a
 * callback; EDDY_ECLOSED. */
EDDY_API int eddy_transport_unread(struct eddy_transport *t, const void *data, size_t len);

/* ---- time-outs; -EINVAL: a negative span other than EDDY_OFF ---- */

/* Nothing received for so long: connection_lost(-ETIMEDOUT). 0 or EDDY_OFF: none (the default). The
 * clock stands still while reading is paused, begins anew when it resumes, and ends with the peer's
 * end of stream. -ENOMEM. */
EDDY_API int eddy_transport_set_idle_timeout(struct eddy_transport *t, eddy_nsec span);
/* Bytes wait and the peer takes none for so long: connection_lost(-ETIMEDOUT). 0: none while open,
 * 60 s while closing (the default); EDDY_OFF: never. -ENOMEM. */
EDDY_API int eddy_transport_set_write_timeout(struct eddy_transport *t, eddy_nsec span);
/* How long a closed transport waits for its last bytes to be acknowledged (contract T5): 0: 2 s,
 * EDDY_OFF: not at all. -ENOMEM. */
EDDY_API int eddy_transport_set_linger(struct eddy_transport *t, eddy_nsec span);

/* ---- ending ---- */

/* Ends delivery at once, sends what is buffered, then connection_lost(NULL). Nothing that was
 * accepted for writing is destroyed by it (contract T5). */
EDDY_API void eddy_transport_close(struct eddy_transport *t);
/* Drops what is buffered; connection_lost(why) follows from the loop; a clean one if there is no
 * why, or its code is not negative. The first reason wins. */
EDDY_API void eddy_transport_abort(struct eddy_transport *t, const struct eddy_error *why);
/* True from close, abort, a fatal error, or the end of stream that closes it. Never goes back. */
EDDY_API bool eddy_transport_is_closing(const struct eddy_transport *t);

/* ---- what it is ---- */

EDDY_API struct eddy_loop *eddy_transport_loop(const struct eddy_transport *t);
EDDY_API struct eddy_protocol *eddy_transport_protocol(const struct eddy_transport *t);
/* Who gets the next callback. The old one gets fini from the loop, and neither gets connection_made
 * or connection_lost for it (contract R36-R39). -EINVAL: no data_received in the class, or p is
 * attached elsewhere (nothing is done for the present one); EDDY_EINVALID_STATE: TLS was started on
 * t, and p->transport is another one; EDDY_ECLOSED: connection_lost was delivered or is due. */
EDDY_API int eddy_transport_set_protocol(struct eddy_transport *t, struct eddy_protocol *p);

/* Extra info, typed (asyncio: get_extra_info). EDDY_ENOT_SUPPORTED where there is none; all answer
 * until connection_lost returns. */
EDDY_API int eddy_transport_peername(const struct eddy_transport *t, struct eddy_addr *ret);
EDDY_API int eddy_transport_sockname(const struct eddy_transport *t, struct eddy_addr *ret);
/* A view of the descriptor, for socket options and the like; -1 if there is none or it is closed.
 * Do not read, write, close or watch it. */
EDDY_API int eddy_transport_fd(const struct eddy_transport *t);
/* "tcp", "unix", "read pipe", "subprocess" ... */
EDDY_API const char *eddy_transport_kind(const struct eddy_transport *t);
/* One line for people: kind, addresses, state, buffered bytes. Returns buf. */
EDDY_API const char *eddy_transport_describe(const struct eddy_transport *t, char *buf,
                                             size_t size);

#ifdef __cplusplus
}
#endif
#endif
