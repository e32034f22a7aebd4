/* Frames out of pieces. A frame that is whole in what was read is delivered from there; only the
 * beginning of one whose end has not come is copied, with its prefix, and kept. */
#include "protocols/delivery.h"

#include <eddy/frame.h>
#include <string.h>

#define LONGEST ((size_t)64 * 1024)
#define LONGEST_PREFIX 10

static struct eddy_frame *frame_of(struct eddy_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct eddy_frame, base);
}

static const struct eddy_frame_class *class_of(const struct eddy_frame *f)
{
    return (const struct eddy_frame_class *)f->base.cls;
}

void eddy_frame_init(struct eddy_frame *f, const struct eddy_frame_class *cls)
{
    memset(f, 0, sizeof *f);
    eddy_protocol_init(&f->base, &cls->base);
}

size_t eddy_frame_partial(const struct eddy_frame *f, const char **ret)
{
    *ret = f->kept_.data;
    return f->kept_.len;
}

void eddy_frame_detach(struct eddy_frame *f)
{
    eddy_bytes_free(&f->kept_);
    eddy_protocol_detach(&f->base); /* f may be gone: a server's instance */
}

/* ---- prefixes ---- */

/* Bytes of a prefix of fixed size; 0: a varint; < 0: unknown. */
static int fixed_size(enum eddy_frame_prefix prefix)
{
    switch (prefix) {
    case EDDY_FRAME_U32BE:
    case EDDY_FRAME_U32LE:
        return 4;
    case EDDY_FRAME_U16BE:
    case EDDY_FRAME_U16LE:
        return 2;
    case EDDY_FRAME_U8:
        return 1;
    case EDDY_FRAME_VARINT:
        return 0;
    }
    return -EINVAL;
}

static bool is_little(enum eddy_frame_prefix prefix)
{
    return prefix == EDDY_FRAME_U32LE || prefix == EDDY_FRAME_U16LE;
}

/* The varint at `bytes`: how many bytes it has, 0 if there are more to come, or -EPROTO. */
static int read_varint(const uint8_t *bytes, size_t len, uint64_t *ret)
{
    uint64_t n = 0;

    for (int i = 0; i < LONGEST_PREFIX; i++) {
        if ((size_t)i == len)
            return 0;
        if (i == LONGEST_PREFIX - 1 && bytes[i] > 1)
            break; /* beyond 64 bits */
        n |= (uint64_t)(bytes[i] & 0x7f) << (7 * i);
        if (bytes[i] < 0x80) {
            *ret = n;
            return i + 1;
        }
    }
    return -EPROTO;
}

/* The same for a prefix of any kind; -EINVAL: there is no such kind. */
static int read_prefix(enum eddy_frame_prefix prefix, const void *data, size_t len, uint64_t *ret)
{
    const uint8_t *bytes = data;
    int size = fixed_size(prefix);
    uint64_t n = 0;

    if (size < 0)
        return size;
    if (size == 0)
        return read_varint(bytes, len, ret);
    if (len < (size_t)size)
        return 0;
    for (int i = 0; i < size; i++)
        n = n << 8 | bytes[is_little(prefix) ? size - 1 - i : i];
    *ret = n;
    return size;
}

/* Its size, or -EMSGSIZE: n is too large for it, or -EINVAL. */
static int write_prefix(enum eddy_frame_prefix prefix, uint64_t n, uint8_t bytes[LONGEST_PREFIX])
{
    int size = fixed_size(prefix);
    int i = 0;

    if (size < 0)
        return size;
    if (size == 0) {
        for (; n >= 0x80; n >>= 7)
            bytes[i++] = (uint8_t)(n | 0x80);
        bytes[i++] = (uint8_t)n;
        return i;
    }
    if (n >> (8 * size))
        return -EMSGSIZE;
    for (; i < size; i++, n >>= 8)
        bytes[is_little(prefix) ? i : size - 1 - i] = (uint8_t)n;
    return size;
}

int eddy_frame_send(struct eddy_frame *f, const void *data, size_t len)
{
    uint8_t prefix[LONGEST_PREFIX];
    int size = write_prefix(class_of(f)->prefix, len, prefix);

    if (size < 0)
        return size;
    union {
        const void *from;
        void *base; /* an iovec is for reading to as well, and therefore not const */
    } payload = {.from = data};
    const struct iovec iov[2] = {{prefix, (size_t)size}, {payload.base, len}};

    return eddy_transport_writev(f->base.transport, iov, 2);
}

/* ---- frames ---- */

/* The size of the prefix at `bytes`, and of the frame behind it, if it is there: *ret_size is 0 as
 * long as it is not. False: it is a wrong one, and the transport aborted. */
static bool read_head(struct eddy_frame *f, const void *bytes, size_t len, size_t *ret_size,
                      size_t *ret_len)
{
    const struct eddy_frame_class *cls = class_of(f);
    size_t longest = cls->longest ? cls->longest : LONGEST;
    uint64_t n = 0;
    int size = read_prefix(cls->prefix, bytes, len, &n);
    struct eddy_error e;

    if (size >= 0 && n <= longest) {
        *ret_size = (size_t)size;
        *ret_len = (size_t)n;
        return true;
    }
    if (size == -EINVAL)
        eddy_error_set(&e, size, "frame", "a class of frames has an unknown kind of prefix");
    else if (size < 0)
        eddy_error_set(&e, size, "frame", "the length of a frame is beyond 64 bits");
    else
        eddy_error_set(&e, -EMSGSIZE, "frame", "a frame of %llu bytes, at most %zu are allowed",
                       (unsigned long long)n, longest);
    eddy_transport_abort(f->base.transport, &e);
    return false;
}

static bool keep(struct eddy_frame *f, const char *more, size_t len)
{
    if (eddy_bytes_append(&f->kept_, more, len) == 0)
        return true;
    eddy_transport_abort(f->base.transport, EDDY_ERROR(-ENOMEM, "no memory for a frame"));
    return false;
}

static void call(struct eddy_frame *f, const char *data, size_t len)
{
    if (class_of(f)->frame_received)
        class_of(f)->frame_received(f, data, len);
}

/* The frame at `data`: delivers it if it is whole, else keeps what there is of it. Returns how many
 * bytes were its own, 0 after an error. */
static size_t take_whole(struct eddy_frame *f, const char *data, size_t len)
{
    size_t head, size;

    if (!read_head(f, data, len, &head, &size))
        return 0;
    if (head == 0 || len - head < size)
        return keep(f, data, len) ? len : 0;
    call(f, data + head, size); /* f may be gone */
    return head + size;
}

/* The same for the frame that has begun with what is kept. */
static size_t take_rest(struct eddy_frame *f, const char *data, size_t len)
{
    size_t head, size;

    if (!read_head(f, f->kept_.data, f->kept_.len, &head, &size))
        return 0;
    size_t missing = head == 0 ? 1 : size - (f->kept_.len - head);
    size_t n = missing < len ? missing : len;

    if (!keep(f, data, n) || !read_head(f, f->kept_.data, f->kept_.len, &head, &size))
        return 0;
    if (head > 0 && f->kept_.len - head == size) {
        struct eddy_bytes frame = eddy_bytes_take(&f->kept_); /* to outlive f */

        call(f, frame.data + head, size); /* f may be gone */
        eddy_bytes_free(&frame);
    }
    return n;
}

void eddy_frame_data_received_(struct eddy_protocol *p, const void *data, size_t len)
{
    struct eddy_frame *f = frame_of(p);
    struct delivery d;
    const char *at = data;

    delivery_begin(&d, p, &f->in_use_);
    while (len > 0) {
        size_t n = f->kept_.len > 0 ? take_rest(f, at, len) : take_whole(f, at, len);

        at += n;
        len -= n;
        if (!delivery_goes_on(&d, at, len))
            return;
    }
}

bool eddy_frame_eof_received_(struct eddy_protocol *p)
{
    struct eddy_frame *f = frame_of(p);

    if (f->kept_.len > 0) {
        eddy_transport_abort(p->transport, EDDY_ERROR(-EPROTO, "the stream ends within a frame"));
        return false;
    }
    return class_of(f)->eof_received && class_of(f)->eof_received(f);
}

/* ---- the other slots: what is derived has its own ---- */

int eddy_frame_init_(struct eddy_protocol *p, void *arg)
{
    struct eddy_frame *f = frame_of(p);

    return class_of(f)->init ? class_of(f)->init(f, arg) : 0;
}

void eddy_frame_fini_(struct eddy_protocol *p)
{
    struct eddy_frame *f = frame_of(p);

    eddy_bytes_free(&f->kept_);
    if (class_of(f)->fini)
        class_of(f)->fini(f);
}

void eddy_frame_connection_made_(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct eddy_frame *f = frame_of(p);

    if (class_of(f)->connection_made)
        class_of(f)->connection_made(f, t);
}

void eddy_frame_connect_failed_(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct eddy_frame *f = frame_of(p);

    if (class_of(f)->connect_failed)
        class_of(f)->connect_failed(f, err);
}

void eddy_frame_pause_writing_(struct eddy_protocol *p)
{
    struct eddy_frame *f = frame_of(p);

    if (class_of(f)->pause_writing)
        class_of(f)->pause_writing(f);
}

void eddy_frame_resume_writing_(struct eddy_protocol *p)
{
    struct eddy_frame *f = frame_of(p);

    if (class_of(f)->resume_writing)
        class_of(f)->resume_writing(f);
}

void eddy_frame_connection_lost_(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct eddy_frame *f = frame_of(p);

    if (class_of(f)->connection_lost)
        class_of(f)->connection_lost(f, err);
}

void eddy_frame_shutdown_requested_(struct eddy_protocol *p)
{
    struct eddy_frame *f = frame_of(p);

    if (class_of(f)->shutdown_requested)
        class_of(f)->shutdown_requested(f);
    else
        eddy_transport_close(p->transport);
}
