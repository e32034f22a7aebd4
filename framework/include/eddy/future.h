/*
 * Futures: a result that is not there yet. Counted, of one loop, for that loop's thread.
 * (asyncio: Future; contract F1-F13.)
 *
 * NULL in the place of a future is harmless (contract G4): a call that can fail returns -EINVAL,
 * one that cannot does nothing, and what is asked for is false or NULL.
 */
#ifndef EDDY_FUTURE_H
#define EDDY_FUTURE_H

#include <eddy/base.h>
#include <eddy/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_future;

/* A node of yours that is called when the future is done: always from the loop, once, in the order
 * of adding. Remove it before you free it. */
struct eddy_done {
    void (*fn)(struct eddy_done *d, struct eddy_future *f);
    struct eddy_handle handle_;
    struct eddy_future *future_;
    struct eddy_link link_;
    void *reserved_;
};

/* A pending future; the caller gets one reference. -ENOMEM. */
EDDY_API int eddy_future_new(struct eddy_loop *loop, struct eddy_future **ret);
EDDY_API struct eddy_future *eddy_future_ref(struct eddy_future *f);
/* NULL is fine. Freeing one whose error nobody looked at is reported by on_problem (contract F10).
 */
EDDY_API void eddy_future_unref(struct eddy_future *f);

/* Complete it. `destroy` (may be NULL) is called with the value when the future is freed.
 * EDDY_EINVALID_STATE unless pending: the value is still the caller's. EDDY_ELOOP_CLOSED if the
 * loop is closed and callbacks were dropped for it: the state is set, and the value taken, all the
 * same. -EINVAL: no future, or an error whose code is not negative. */
EDDY_API int eddy_future_set_result(struct eddy_future *f, void *value,
                                    void (*destroy)(void *value));
EDDY_API int eddy_future_set_error(struct eddy_future *f, const struct eddy_error *error);
/* As set_result, but does nothing and returns 0 on a cancelled future: `destroy` is then called. */
EDDY_API int eddy_future_set_result_unless_cancelled(struct eddy_future *f, void *value,
                                                     void (*destroy)(void *value));

/* True if it was pending and is cancelled now. The message (may be NULL, is copied) shows in the
 * error's text. What the future stands for is given up. */
EDDY_API bool eddy_future_cancel(struct eddy_future *f, const char *message);

EDDY_API bool eddy_future_is_done(const struct eddy_future *f);
EDDY_API bool eddy_future_is_cancelled(const struct eddy_future *f);
/* 0 and the value, still the future's (ret may be NULL); the error's code; -ECANCELED;
 * EDDY_EINVALID_STATE while pending. */
EDDY_API int eddy_future_result(struct eddy_future *f, void **ret_value);
/* The error of a failed or cancelled future, lent while the future lives, else NULL. */
EDDY_API const struct eddy_error *eddy_future_error(struct eddy_future *f);
EDDY_API struct eddy_loop *eddy_future_loop(const struct eddy_future *f);

/* Calls d->fn from the loop when f is done; at once in the next iteration if it is. The future must
 * be kept alive until then (it is, from completion to the last call). -EINVAL: no fn; -EALREADY:
 * added; EDDY_ELOOP_CLOSED. */
EDDY_API int eddy_future_add_done_callback(struct eddy_future *f, struct eddy_done *d);
/* Final at once; harmless when not added. */
EDDY_API void eddy_future_remove_done_callback(struct eddy_done *d);

/* For those who make futures: called from inside eddy_future_cancel when it returns true, to give
 * up what the future stands for. One per future; NULL takes it away. */
EDDY_API void eddy_future_on_cancel(struct eddy_future *f,
                                    void (*fn)(struct eddy_future *f, void *user), void *user);

#ifdef __cplusplus
}
#endif
#endif
