/*
 * A row of bytes that grows at its end and is used up from its front: what a protocol needs that
 * has to put together what the network has taken apart. Its memory is Eddy's.
 */
#ifndef EDDY_BYTES_H
#define EDDY_BYTES_H

#include <eddy/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed it is empty and owns nothing. Read the first three members; to fill the room in place,
 * write to data + len and call eddy_bytes_added. Not to be copied, but moved by eddy_bytes_take.
 * Any one thread at a time; nothing here calls back. */
struct eddy_bytes {
    char *data;   /* NULL while it owns no memory */
    size_t len;   /* bytes at data */
    size_t room;  /* bytes that fit behind them without another allocation */
    size_t gone_; /* bytes before data that were consumed */
};

/* Adds a copy of `len` bytes, which must not be the row's own. All appends together copy each byte
 * a bounded number of times. -ENOMEM: the row is as it was. */
EDDY_API int eddy_bytes_append(struct eddy_bytes *b, const void *data, size_t len);

/* Makes room for at least `more` bytes; may move data. -ENOMEM: the row is as it was. */
EDDY_API int eddy_bytes_reserve(struct eddy_bytes *b, size_t more);
/* The first `n` bytes of the room were filled: n <= room, more count as that. */
EDDY_API void eddy_bytes_added(struct eddy_bytes *b, size_t n);

/* Drops the first `n` bytes, or all if there are fewer, by moving data: nothing is copied. */
EDDY_API void eddy_bytes_consume(struct eddy_bytes *b, size_t n);

/* Drops all bytes and keeps the memory; or frees that too, after which the row may be used again.
 */
EDDY_API void eddy_bytes_clear(struct eddy_bytes *b);
EDDY_API void eddy_bytes_free(struct eddy_bytes *b);

/* Hands over bytes and memory, to be freed with what it returns, and leaves *b empty. */
EDDY_API struct eddy_bytes eddy_bytes_take(struct eddy_bytes *b);

#ifdef __cplusplus
}
#endif
#endif
