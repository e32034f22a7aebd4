/*
 * A relay puts two stream transports back to back: what comes in on one goes out on the other, both
 * ways, until both directions have ended. Port forwarders and proxies are made of it.
 *
 *     static void ended(struct eddy_relay *r, const struct eddy_error *why) { free(r); }
 *
 *     static void connection_made(struct eddy_protocol *p, struct eddy_transport *t)
 *     {
 *         struct eddy_relay *r = calloc(1, sizeof *r);
 *         ...
 *         r->done = ended;
 *         if (eddy_relay_connect(r, t, EDDY_CONNECTION(.host = "192.0.2.7", .port = 80)) < 0)
 *             ...
 *     }
 *
 * What it promises:
 *
 * - Bytes pass in order and unchanged. They are copied only if the other side does not take them at
 *   once.
 * - Memory is bounded: while one side has more than its high mark left unsent, the other is not
 *   read (contract R32, T21). What waits on a side is at most that mark, what pause_writing was too
 *   late for (two reads, of 256 KiB at most), and what waited before.
 * - The end of one side's stream becomes write_eof on the other, behind the bytes before it; the
 *   other direction goes on. When both have ended, both are closed. A transport without half-close
 *   is closed in place of write_eof.
 * - When one side is lost with an error, what was taken from it is still sent to the other, which
 *   is given a minute for that; then the other is aborted with that error: its peer must not take
 *   half a stream for a whole one. (Over TLS it sees that; over plain TCP a reset if it was still
 *   sending, else an end of stream like any other.) What comes in from it meanwhile is thrown away.
 *   When one side ends without an error before both directions have (somebody closes its transport,
 *   or gives it another protocol), the other is closed.
 * - A server that drains (eddy_server_drain) does not cut relays short: they go on until they have
 *   ended, or the drain's time is over. Call eddy_relay_close if that is not wanted.
 *
 * The relay is the protocol of both transports. Their time-outs and limits may be set; leave
 * writing, pausing and write_eof to the relay. Every function is for the loop's thread; none of
 * them calls back.
 */
#ifndef EDDY_RELAY_H
#define EDDY_RELAY_H

#include <eddy/connection.h>
#include <eddy/loop.h>
#include <eddy/protocol.h>
#include <eddy/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_relay;

/* One of the two protocols; the relay's. */
struct eddy_relay_end {
    struct eddy_protocol base_;
    struct eddy_relay *relay_;
    bool eof_, over_, draining_;
    void *reserved_[2];
};

/* Embed it, zeroed but for done. It must stay where it is until done is called, or
 * eddy_relay_cancel; to free it, or to start it again, is fine from then on, also from inside done.
 *
 * An instance that a server has made may embed the relay of its own connection if it is held for so
 * long: eddy_protocol_hold after the start, eddy_protocol_release in done. */
struct eddy_relay {
    /* Called once for each start that returned 0, from the loop (or from eddy_loop_close), when
     * both transports have had their connection_lost, and the last thing done with the relay. NULL:
     * both directions ended well, or the relay was closed or aborted without a reason; else the
     * first error of either side, lent for the call. Required. */
    void (*done)(struct eddy_relay *r, const struct eddy_error *why);

    /* Read-only: bytes taken for sending to the far side, and to the near side, since the start. If
     * a side was lost before it had sent them, its peer has got fewer. */
    uint64_t to_far, to_near;

    struct eddy_relay_end near_, far_;
    struct eddy_timer patience_; /* with the rest of a side, when the other was lost */
    unsigned open_;
    struct eddy_error why_; /* code 0: none so far */
    void *reserved_[2];
};

/* Starts it on two open transports of one loop, also from inside a callback of either, such as the
 * data_received that has seen enough: bytes that were not for it go to eddy_transport_unread,
 * before or after. The protocols there are replaced (eddy_transport_set_protocol: they get fini).
 * Reading is resumed where it was paused, and an end of stream that came before is passed on. If
 * write_eof has ended our side of one before, the other's first bytes end the relay with
 * EDDY_EINVALID_STATE.
 * -EINVAL: NULL, no done, one transport twice, or two loops; EDDY_EINVALID_STATE: it runs already;
 * EDDY_ECLOSED: one of them is closing. On failure nothing was done. */
EDDY_API int eddy_relay_join(struct eddy_relay *r, struct eddy_transport *near_side,
                             struct eddy_transport *far_side);

/* The same with a far side that is yet to be connected: eddy_create_connection with `opts`. Until
 * then the near side is not read. If connecting fails the near side is aborted with that error, and
 * done is told. To answer the near side first (a proxy's reply) connect with a protocol of your
 * own, and join in its connection_made.
 * As eddy_relay_join, and what eddy_create_connection returns. On failure nothing was done; the
 * near side is still its protocol's, which may want to abort it. */
EDDY_API int eddy_relay_connect(struct eddy_relay *r, struct eddy_transport *near_side,
                                const struct eddy_connection_opts *opts);

/* Closes both transports: nothing more is read, what was taken is sent, then done. A far side that
 * is being connected is given up. Nothing if it does not run. */
EDDY_API void eddy_relay_close(struct eddy_relay *r);

/* Aborts both transports: what waits is dropped, done comes soon. `why` (may be NULL) is what done
 * is told, unless there was an error before. Nothing if it does not run. */
EDDY_API void eddy_relay_abort(struct eddy_relay *r, const struct eddy_error *why);

/* Final at once: done is not called any more and the relay may be freed. The transports, which
 * nobody hears of from now on, close when written out; abort before, if they should not. Nothing if
 * it does not run. (eddy_protocol_detach) */
EDDY_API void eddy_relay_cancel(struct eddy_relay *r);

/* True from a start that returned 0 until done is called, or cancel. */
EDDY_API bool eddy_relay_is_active(const struct eddy_relay *r);

#ifdef __cplusplus
}
#endif
#endif
