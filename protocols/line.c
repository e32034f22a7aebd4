/* Lines out of pieces. A line that is whole in what was read is delivered from there; only the
 * beginning of one whose end has not come is copied, and kept. */
#include "protocols/delivery.h"

#include <eddy/line.h>
#include <string.h>

#define LONGEST ((size_t)64 * 1024)

static struct eddy_line *line_of(struct eddy_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct eddy_line, base);
}

static const struct eddy_line_class *class_of(const struct eddy_line *l)
{
    return (const struct eddy_line_class *)l->base.cls;
}

void eddy_line_init(struct eddy_line *l, const struct eddy_line_class *cls)
{
    memset(l, 0, sizeof *l);
    eddy_protocol_init(&l->base, &cls->base);
}

size_t eddy_line_partial(const struct eddy_line *l, const char **ret)
{
    *ret = l->kept_.data;
    return l->kept_.len;
}

void eddy_line_detach(struct eddy_line *l)
{
    eddy_bytes_free(&l->kept_);
    eddy_protocol_detach(&l->base); /* l may be gone: a server's instance */
}

/* ---- lines ---- */

/* Whether a line of `len` bytes so far, the last of which may be a CR that is not part of it, can
 * still become one that is allowed; else it aborts. */
static bool fits(struct eddy_line *l, size_t len, bool without_cr)
{
    size_t longest = class_of(l)->longest ? class_of(l)->longest : LONGEST;
    struct eddy_error e;

    if (len - without_cr <= longest)
        return true;
    eddy_error_set(&e, -EMSGSIZE, "line", "a line is longer than %zu bytes", longest);
    eddy_transport_abort(l->base.transport, &e);
    return false;
}

/* Whether there is a CR that would go with an LF behind it: the last byte of what is kept and
 * `more`. */
static bool ends_with_cr(const struct eddy_line *l, const char *more, size_t len)
{
    if (class_of(l)->keep_cr)
        return false;
    if (len > 0)
        return more[len - 1] == '\r';
    return l->kept_.len > 0 && l->kept_.data[l->kept_.len - 1] == '\r';
}

static bool keep(struct eddy_line *l, const char *more, size_t len)
{
    if (eddy_bytes_append(&l->kept_, more, len) == 0)
        return true;
    eddy_transport_abort(l->base.transport, EDDY_ERROR(-ENOMEM, "no memory for a line"));
    return false;
}

static void call(struct eddy_line *l, const char *line, size_t len)
{
    if (class_of(l)->line_received)
        class_of(l)->line_received(l, line, len);
}

/* The line must outlive whatever the callback does with l. */
static void call_with_kept(struct eddy_line *l, size_t without)
{
    struct eddy_bytes line = eddy_bytes_take(&l->kept_);

    call(l, line.data, line.len - without); /* l may be gone */
    eddy_bytes_free(&line);
}

/* The bytes up to an LF. */
static void end_line(struct eddy_line *l, const char *last, size_t len)
{
    bool cr = ends_with_cr(l, last, len);

    if (!fits(l, l->kept_.len + len, cr))
        return;
    if (l->kept_.len == 0)
        call(l, last, len - cr);
    else if (keep(l, last, len))
        call_with_kept(l, cr);
}

void eddy_line_data_received_(struct eddy_protocol *p, const void *data, size_t len)
{
    struct eddy_line *l = line_of(p);
    struct delivery d;
    const char *at = data, *lf;
    const char *end = at + len;

    delivery_begin(&d, p, &l->in_use_);
    while ((lf = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        end_line(l, at, (size_t)(lf - at)); /* l may be gone */
        at = lf + 1;
        if (!delivery_goes_on(&d, at, (size_t)(end - at)))
            return;
    }
    len = (size_t)(end - at);
    if (len > 0 && fits(l, l->kept_.len + len, ends_with_cr(l, at, len)))
        keep(l, at, len);
}

bool eddy_line_eof_received_(struct eddy_protocol *p)
{
    struct eddy_line *l = line_of(p);

    if (l->kept_.len > 0) {
        struct delivery d;

        if (!fits(l, l->kept_.len, false)) /* a CR at its end belongs to it after all */
            return false;
        delivery_begin(&d, p, &l->in_use_);
        call_with_kept(l, 0); /* l may be gone */
        if (eddy_transport_is_closing(d.t))
            return false;
        /* The end of stream comes once, and now: after a switch it is the new protocol's. */
        if (!delivery_is_ours(&d)) {
            p = eddy_transport_protocol(d.t);
            return p->cls->eof_received && p->cls->eof_received(p);
        }
    }
    return class_of(l)->eof_received && class_of(l)->eof_received(l);
}

/* ---- the other slots: what is derived has its own ---- */

int eddy_line_init_(struct eddy_protocol *p, void *arg)
{
    struct eddy_line *l = line_of(p);

    return class_of(l)->init ? class_of(l)->init(l, arg) : 0;
}

void eddy_line_fini_(struct eddy_protocol *p)
{
    struct eddy_line *l = line_of(p);

    eddy_bytes_free(&l->kept_);
    if (class_of(l)->fini)
        class_of(l)->fini(l);
}

void eddy_line_connection_made_(struct eddy_protocol *p, struct eddy_transport *t)
{
    struct eddy_line *l = line_of(p);

    if (class_of(l)->connection_made)
        class_of(l)->connection_made(l, t);
}

void eddy_line_connect_failed_(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct eddy_line *l = line_of(p);

    if (class_of(l)->connect_failed)
        class_of(l)->connect_failed(l, err);
}

void eddy_line_pause_writing_(struct eddy_protocol *p)
{
    struct eddy_line *l = line_of(p);

    if (class_of(l)->pause_writing)
        class_of(l)->pause_writing(l);
}

void eddy_line_resume_writing_(struct eddy_protocol *p)
{
    struct eddy_line *l = line_of(p);

    if (class_of(l)->resume_writing)
        class_of(l)->resume_writing(l);
}

void eddy_line_connection_lost_(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct eddy_line *l = line_of(p);

    if (class_of(l)->connection_lost)
        class_of(l)->connection_lost(l, err);
}

void eddy_line_shutdown_requested_(struct eddy_protocol *p)
{
    struct eddy_line *l = line_of(p);

    if (class_of(l)->shutdown_requested)
        class_of(l)->shutdown_requested(l);
    else
        eddy_transport_close(p->transport);
}
