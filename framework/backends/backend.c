/* The backends of this build, best first. Which one a loop gets is decided here, by trying. */
#include "framework/backends/reactor.h"
#include "framework/backends/selectors.h"
#include "framework/loop/loop.h"
#include <stdlib.h>
#include <string.h>

static const struct eddy_selector_class *const selectors[] = {
#ifdef __linux__
    &eddy_epoll_selector,
#endif
    &eddy_poll_selector,
    &eddy_select_selector,
};

#define COUNT (sizeof selectors / sizeof selectors[0])

const char *eddy_backend_name(unsigned i)
{
    return i < COUNT ? selectors[i]->name : NULL;
}

static int open_selector(struct eddy_loop *loop, const struct eddy_selector_class *cls,
                         struct eddy_backend **ret)
{
    struct eddy_selector *s;
    int rc = cls->open(loop->sys, &s);

    if (rc < 0)
        return rc;
    rc = eddy_reactor_open(loop, s, ret);
    if (rc < 0)
        s->cls->close(s);
    return rc;
}

static int open_named(struct eddy_loop *loop, const char *name, const char *asked_by,
                      struct eddy_error *error, struct eddy_backend **ret)
{
    for (unsigned i = 0; i < COUNT; i++) {
        if (strcmp(selectors[i]->name, name) != 0)
            continue;
        int rc = open_selector(loop, selectors[i], ret);
        if (rc < 0)
            eddy_error_set(error, rc, "new loop", "backend \"%s\" cannot be used here: %s", name,
                           eddy_strerror(rc));
        return rc;
    }
    return eddy_error_set(error, -EINVAL, "new loop",
                          "unknown backend \"%s\"%s (this build has:"
#ifdef __linux__
                          " epoll,"
#endif
                          " poll, select)",
                          name, asked_by);
}

static int open_best(struct eddy_loop *loop, struct eddy_error *error, struct eddy_backend **ret)
{
    int rc = EDDY_ENOT_SUPPORTED;

    for (unsigned i = 0; i < COUNT; i++) {
        rc = open_selector(loop, selectors[i], ret);
        if (rc >= 0 || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE)
            break; /* for want of resources the next one would fail as well */
    }
    if (rc < 0)
        eddy_error_set(error, rc, "new loop", "no backend can be used here: %s", eddy_strerror(rc));
    return rc;
}

int eddy_backend_open(struct eddy_loop *loop, const struct eddy_loop_opts *opts,
                      struct eddy_backend **ret)
{
    const char *asked = getenv("EDDY_BACKEND");
    int rc;

    if (opts->selector || opts->backend_class) {
        rc = opts->selector ? eddy_reactor_open(loop, opts->selector, ret)
                            : opts->backend_class->open(loop, loop->sys, ret);
        if (rc < 0)
            eddy_error_set(opts->error, rc, "new loop", "the given %s cannot be used: %s",
                           opts->selector ? "selector" : "backend", eddy_strerror(rc));
    } else if (opts->backend) {
        rc = open_named(loop, opts->backend, "", opts->error, ret);
    } else if (asked && *asked) {
        rc = open_named(loop, asked, " in EDDY_BACKEND", opts->error, ret);
    } else {
        rc = open_best(loop, opts->error, ret);
    }
    return rc;
}
