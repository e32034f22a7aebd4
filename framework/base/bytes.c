#include "framework/base/alloc.h"

#include <eddy/bytes.h>
#include <string.h>

#define LEAST 64

static char *block_of(const struct eddy_bytes *b)
{
    return b->data ? b->data - b->gone_ : NULL;
}

/* To the front of the block: only when at least as much was consumed as there is to move, so that
 * moving costs no more than consuming did. */
static void move_to_front(struct eddy_bytes *b)
{
    char *block = block_of(b);

    memmove(block, b->data, b->len);
    b->room += b->gone_;
    b->data = block;
    b->gone_ = 0;
}

static int grow(struct eddy_bytes *b, size_t more)
{
    if (more > SIZE_MAX / 2 - b->len)
        return -ENOMEM;
    size_t size = b->len + more + b->len; /* at least twice as much as now */
    char *block;

    if (size < LEAST)
        size = LEAST;
    if (b->gone_ == 0) {
        block = eddy_realloc(b->data, size);
        if (!block)
            return -ENOMEM;
    } else {
        block = eddy_alloc(size);
        if (!block)
            return -ENOMEM;
        memcpy(block, b->data, b->len);
        eddy_free(block_of(b));
    }
    b->data = block;
    b->room = size - b->len;
    b->gone_ = 0;
    return 0;
}

int eddy_bytes_reserve(struct eddy_bytes *b, size_t more)
{
    if (more <= b->room)
        return 0;
    if (b->gone_ >= b->len && more <= b->room + b->gone_) {
        move_to_front(b);
        return 0;
    }
    return grow(b, more);
}

void eddy_bytes_added(struct eddy_bytes *b, size_t n)
{
    if (n > b->room)
        n = b->room;
    b->len += n;
    b->room -= n;
}

int eddy_bytes_append(struct eddy_bytes *b, const void *data, size_t len)
{
    if (len == 0)
        return 0;
    int rc = eddy_bytes_reserve(b, len);
    if (rc < 0)
        return rc;
    memcpy(b->data + b->len, data, len);
    eddy_bytes_added(b, len);
    return 0;
}

void eddy_bytes_consume(struct eddy_bytes *b, size_t n)
{
    if (n >= b->len) {
        eddy_bytes_clear(b);
        return;
    }
    b->data += n;
    b->gone_ += n;
    b->len -= n;
}

void eddy_bytes_clear(struct eddy_bytes *b)
{
    b->data = block_of(b);
    b->room += b->gone_ + b->len;
    b->gone_ = 0;
    b->len = 0;
}

void eddy_bytes_free(struct eddy_bytes *b)
{
    eddy_free(block_of(b));
    *b = (struct eddy_bytes){0};
}

struct eddy_bytes eddy_bytes_take(struct eddy_bytes *b)
{
    struct eddy_bytes taken = *b;

    *b = (struct eddy_bytes){0};
    return taken;
}
