/* Lines, however they come, against a plain loop over all of the stream. */
#include "tests/fuzz/support/cut.h"

#include <eddy/line.h>

/* Byte 0: bit 0 keep_cr, bits 1-2 the longest line. */
static const size_t limits[] = {1, 5, 64, 0};

static size_t longest(uint8_t kind)
{
    size_t limit = limits[kind >> 1 & 3];

    return limit ? limit : 65536;
}

static void expect(uint8_t kind, const uint8_t *bytes, size_t len)
{
    bool keep_cr = kind & 1;
    size_t start = 0;

    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\n')
            continue;
        size_t n = i - start;
        if (!keep_cr && n > 0 && bytes[i - 1] == '\r')
            n--;
        if (n > longest(kind)) {
            cut_expect_end(-EMSGSIZE);
            return;
        }
        cut_expect_piece(start, n, i + 1);
        start = i + 1;
    }
    if (len - start > longest(kind)) {
        cut_expect_end(-EMSGSIZE);
        return;
    }
    if (start < len)
        cut_expect_piece(start, len - start, len);
    cut_expect_end(0);
}

/* ---- the protocol ---- */

struct subject {
    struct eddy_line line;
};

static void made(struct eddy_line *l, struct eddy_transport *t)
{
    (void)l;
    cut_made(t);
}

static void line_received(struct eddy_line *l, const char *line, size_t len)
{
    (void)l;
    cut_piece(line, len);
}

static bool eof_received(struct eddy_line *l)
{
    (void)l;
    return cut_eof();
}

static void lost(struct eddy_line *l, const struct eddy_error *err)
{
    (void)l;
    cut_lost(err);
}

static void finished(struct eddy_line *l)
{
    (void)l;
    cut_fini();
}

static void data_received(struct eddy_protocol *p, const void *data, size_t len)
{
    cut_received_begin();
    eddy_line_data_received_(p, data, len);
    cut_received_end();
}

static struct eddy_protocol *prepare(uint8_t kind)
{
    static struct subject subject;
    static struct eddy_line_class cls;
    const struct eddy_line_class all = {
        EDDY_LINE_CLASS(struct subject, line),
        .longest = limits[kind >> 1 & 3],
        .keep_cr = kind & 1,
        .line_received = line_received,
        .fini = finished,
        .connection_made = made,
        .eof_received = eof_received,
        .connection_lost = lost,
    };

    cls = all;
    cls.base.data_received = data_received;
    eddy_line_init(&subject.line, &cls);
    return &subject.line.base;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cut_target target = {prepare, expect};

    return cut_run(&target, data, size);
}
