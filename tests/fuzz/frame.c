/* Frames, however they come, against a plain loop over all of the stream. */
#include "tests/fuzz/support/cut.h"

#include <eddy/frame.h>

/* Byte 0: bits 0-2 the prefix, 3-4 the longest frame. */
static const size_t limits[] = {1, 127, 300, SIZE_MAX};

static size_t longest(uint8_t kind)
{
    return limits[kind >> 3 & 3];
}

static enum eddy_frame_prefix prefix(uint8_t kind)
{
    static const enum eddy_frame_prefix kinds[] = {
        EDDY_FRAME_VARINT, EDDY_FRAME_U8,    EDDY_FRAME_U16BE,  EDDY_FRAME_U16LE,
        EDDY_FRAME_U32BE,  EDDY_FRAME_U32LE, EDDY_FRAME_VARINT, EDDY_FRAME_VARINT,
    };
    return kinds[kind & 7];
}

/* Whether the bytes begin with a whole prefix: its size in *size, what it says in *n, whether that
 * is more than 64 bits in *broken. */
static bool parse(uint8_t kind, const uint8_t *bytes, size_t len, size_t *size, uint64_t *n,
                  bool *broken)
{
    *broken = false;
    *n = 0;
    switch (prefix(kind)) {
    case EDDY_FRAME_U8:
        *size = 1;
        *n = len >= 1 ? bytes[0] : 0;
        break;
    case EDDY_FRAME_U16BE:
        *size = 2;
        *n = len >= 2 ? bytes[0] * 256u + bytes[1] : 0;
        break;
    case EDDY_FRAME_U16LE:
        *size = 2;
        *n = len >= 2 ? bytes[1] * 256u + bytes[0] : 0;
        break;
    case EDDY_FRAME_U32BE:
        *size = 4;
        *n = len >= 4 ? bytes[0] * 16777216u + bytes[1] * 65536u + bytes[2] * 256u + bytes[3] : 0;
        break;
    case EDDY_FRAME_U32LE:
        *size = 4;
        *n = len >= 4 ? bytes[3] * 16777216u + bytes[2] * 65536u + bytes[1] * 256u + bytes[0] : 0;
        break;
    case EDDY_FRAME_VARINT:
        *size = 1;
        while (*size <= len && *size < 10 && bytes[*size - 1] >= 128)
            ++*size;
        if (*size > len)
            return false;
        *broken = *size == 10 && bytes[9] > 1;
        for (size_t i = *size; i-- > 0;) /* from the highest bits down */
            *n = *n * 128 + bytes[i] % 128;
        break;
    }
    return *size <= len;
}

static void expect(uint8_t kind, const uint8_t *bytes, size_t len)
{
    size_t at = 0, size = 0;
    uint64_t n;
    bool broken;

    while (at < len) {
        if (!parse(kind, bytes + at, len - at, &size, &n, &broken)) {
            cut_expect_end(-EPROTO); /* the stream ends within a prefix */
            return;
        }
        if (broken || n > longest(kind)) {
            cut_expect_end(broken ? -EPROTO : -EMSGSIZE);
            return;
        }
        if (n > len - at - size) {
            cut_expect_end(-EPROTO); /* ... or within a frame */
            return;
        }
        cut_expect_piece(at + size, (size_t)n, at + size + (size_t)n);
        at += size + (size_t)n;
    }
    cut_expect_end(0);
}

/* ---- the protocol ---- */

struct subject {
    struct eddy_frame frame;
};

static void made(struct eddy_frame *f, struct eddy_transport *t)
{
    (void)f;
    cut_made(t);
}

static void frame_received(struct eddy_frame *f, const void *data, size_t len)
{
    (void)f;
    cut_piece(data, len);
}

static bool eof_received(struct eddy_frame *f)
{
    (void)f;
    return cut_eof();
}

static void lost(struct eddy_frame *f, const struct eddy_error *err)
{
    (void)f;
    cut_lost(err);
}

static void finished(struct eddy_frame *f)
{
    (void)f;
    cut_fini();
}

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    cut_received_begin();
    eddy_frame_data_received_(p, data, len);
    cut_received_end();
}

static struct eddy_protocol *prepare(uint8_t kind)
{
    static struct subject subject;
    static struct eddy_frame_class cls;
    const struct eddy_frame_class all = {
        EDDY_FRAME_CLASS(struct subject, frame),
        .prefix = prefix(kind),
        .longest = longest(kind),
        .frame_received = frame_received,
        .fini = finished,
        .connection_made = made,
        .eof_received = eof_received,
        .connection_lost = lost,
    };

    cls = all;
    cls.base.data_received = data_received;
    eddy_frame_init(&subject.frame, &cls);
    return &subject.frame.base;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cut_target target = {prepare, expect};

    return cut_run(&target, data, size);
}
