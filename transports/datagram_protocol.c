/* Datagram protocols: a class of their own over the base class. */
#include "framework/base/opts.h"
#include "transports/datagram.h"
#include <string.h>

static struct eddy_datagram_protocol *self(struct eddy_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct eddy_datagram_protocol, base);
}

static const struct eddy_datagram_protocol_class *class_of(const struct eddy_protocol *p)
{
    return (const struct eddy_datagram_protocol_class *)p->cls;
}

void eddy_datagram_protocol_init(struct eddy_datagram_protocol *p,
                                 const struct eddy_datagram_protocol_class *cls)
{
    memset(p, 0, sizeof *p);
    eddy_protocol_init(&p->base, &cls->base);
}

static int refuse(struct eddy_error *e, int code, const char *op, const char *name, const char *why)
{
    return eddy_error_set(e, code, op, "%s: protocol class \"%s\" %s", op, name ? name : "?", why);
}

int eddy_datagram_check_class(const struct eddy_protocol_class *cls, const char *op,
                              struct eddy_error *e)
{
    const struct eddy_datagram_protocol_class *mine =
        (const struct eddy_datagram_protocol_class *)cls;

    if (!cls)
        return eddy_error_set(e, -EINVAL, op, "%s: no protocol class", op);
    int rc = eddy_opts_check(cls, cls->abi_size, sizeof *cls);
    if (rc < 0)
        return refuse(e, rc, op, cls->name, "is of another version");
    /* What takes bytes is a stream's. */
    if (cls->data_received || cls->get_buffer || cls->buffer_updated || cls->eof_received)
        return refuse(e, -EINVAL, op, cls->name, "is for streams, not for datagrams");
    if (cls->kind_ != EDDY_DATAGRAM_CLASS_)
        return refuse(e, -EINVAL, op, cls->name,
                      "is no datagram class; begin it with EDDY_DATAGRAM_PROTOCOL_CLASS()");
    rc = eddy_opts_check(cls, mine->datagram_size, sizeof *mine);
    return rc < 0 ? refuse(e, rc, op, cls->name, "is of another version") : 0;
}

/* ---- the base slots ---- */

void eddy_datagram_fini_(struct eddy_protocol *p)
{
    if (class_of(p)->fini)
        class_of(p)->fini(self(p));
}

void eddy_datagram_connection_made_(struct eddy_protocol *p, struct eddy_transport *t)
{
    if (class_of(p)->connection_made)
        class_of(p)->connection_made(self(p), t);
}

void eddy_datagram_connect_failed_(struct eddy_protocol *p, const struct eddy_error *err)
{
    if (class_of(p)->connect_failed)
        class_of(p)->connect_failed(self(p), err);
}

void eddy_datagram_pause_writing_(struct eddy_protocol *p)
{
    if (class_of(p)->pause_writing)
        class_of(p)->pause_writing(self(p));
}

void eddy_datagram_resume_writing_(struct eddy_protocol *p)
{
    if (class_of(p)->resume_writing)
        class_of(p)->resume_writing(self(p));
}

void eddy_datagram_connection_lost_(struct eddy_protocol *p, const struct eddy_error *err)
{
    if (class_of(p)->connection_lost)
        class_of(p)->connection_lost(self(p), err);
}

void eddy_datagram_shutdown_(struct eddy_protocol *p)
{
    if (class_of(p)->shutdown_requested)
        class_of(p)->shutdown_requested(self(p));
    else
        eddy_transport_close(p->transport);
}
