/* The backends of this build, best first. Which one a loop gets is decided here, by trying. */
#include "framework/backends/reactor.h"
#include "framework/backends/selectors.h"
#include "framework/loop/loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct eddy_selector_class *const selectors[] = {
#ifdef __linux__
    &eddy_epoll_selector,
#endif
    &eddy_poll_selector,
    &eddy_select_selector,
};

/* By name only; ended by NULL. */
static const struct eddy_backend_class *const completing[] = {
#ifdef EDDY_HAVE_IO_URING
    &eddy_io_uring_backend,
#endif
    NULL,
};

#define COUNT (sizeof selectors / sizeof selectors[0])

const struct eddy_selector_class *eddy_selector_builtin(unsigned i)
{
    return i < COUNT ? selectors[i] : NULL;
}

const char *eddy_backend_name(unsigned i)
{
    const struct eddy_backend_class *const *cls = completing;

    if (i < COUNT)
        return selectors[i]->name;
    while (*cls && i-- > COUNT)
        cls++;
    return *cls ? (*cls)->name : NULL;
}

const char *eddy_backend_why_not(const char *name)
{
    static const struct {
        const char *name, *reason;
    } absent[] = {
#ifndef __linux__
        {"epoll", "it is Linux's"},
#endif
#ifndef EDDY_HAVE_IO_URING
        {"io_uring", "it was not there where Eddy was built"},
#endif
        {"kqueue", "it is macOS's and the BSDs'"},
        {"devpoll", "it is Solaris's"},
    };

    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        if (strcmp(absent[i].name, name) == 0)
            return absent[i].reason;
    return NULL;
}

/* ---- opening ---- */

static int cannot(struct eddy_error *error, int rc, const char *name, const char *why)
{
    return eddy_error_set(error, rc, "new loop", "backend \"%s\" cannot be used here: %s", name,
                          why ? why : eddy_strerror(rc));
}

static int open_selector(struct eddy_loop *loop, const struct eddy_selector_class *cls,
                         struct eddy_backend **ret)
{
    struct eddy_selector *s;
    int rc = cls->open(loop->sys, &s);

    if (rc < 0)
        return rc;
    rc = eddy_reactor_new(loop, s, ret);
    if (rc < 0)
        eddy_selector_free(s);
    return rc;
}

static int open_given_selector(struct eddy_loop *loop, struct eddy_selector *s,
                               struct eddy_error *error, struct eddy_backend **ret)
{
    int rc = eddy_selector_take(s);

    if (rc < 0)
        return eddy_error_set(error, rc, "new loop", "the given selector is %s",
                              rc == -EINVAL ? "in use: something is registered"
                                            : eddy_strerror(rc));
    rc = eddy_reactor_new(loop, s, ret);
    if (rc < 0) {
        eddy_selector_give_back(s);
        eddy_error_set(error, rc, "new loop", "the given selector cannot be used: %s",
                       eddy_strerror(rc));
    }
    return rc;
}

static int open_class(struct eddy_loop *loop, const struct eddy_backend_class *cls,
                      struct eddy_error *error, struct eddy_backend **ret)
{
    struct eddy_error said = {.code = 0};
    int rc = cls->open(loop, loop->sys, &said, ret);

    return rc < 0 ? cannot(error, rc, cls->name, said.text[0] ? said.text : NULL) : rc;
}

static bool for_want_of_resources(int rc)
{
    return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE;
}

static int open_best(struct eddy_loop *loop, struct eddy_error *error, struct eddy_backend **ret)
{
    int rc = EDDY_ENOT_SUPPORTED;

    for (unsigned i = 0; i < COUNT; i++) {
        rc = open_selector(loop, selectors[i], ret);
        if (rc >= 0 || for_want_of_resources(rc)) /* then the next one would fail as well */
            break;
    }
    if (rc < 0)
        eddy_error_set(error, rc, "new loop", "no backend can be used here: %s", eddy_strerror(rc));
    return rc;
}

/* A backend that completes where there is one (contract P29). */
static int open_proactor(struct eddy_loop *loop, struct eddy_error *error,
                         struct eddy_backend **ret)
{
    struct eddy_error why = {.text = "this build has no backend that completes operations"};
    int rc = EDDY_ENOT_SUPPORTED;

    for (unsigned i = 0; completing[i]; i++) {
        rc = open_class(loop, completing[i], &why, ret);
        if (rc >= 0)
            return rc;
        if (for_want_of_resources(rc)) {
            if (error)
                *error = why;
            return rc;
        }
    }
    rc = open_best(loop, error, ret);
    if (rc >= 0)
        eddy_loop_log(loop, EDDY_LOG_WARNING, "loop", "proactor over %s: %s", (*ret)->cls->name,
                      why.text);
    return rc;
}

static int unknown(struct eddy_error *error, const char *name, const char *asked_by)
{
    char known[128];
    size_t len = 0;
    const char *each;

    for (unsigned i = 0; (each = eddy_backend_name(i)) != NULL && len < sizeof known; i++)
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i > 0 ? ", " : "", each);
    return eddy_error_set(error, -EINVAL, "new loop",
                          "unknown backend \"%s\"%s (this build has: %s; and default, proactor)",
                          name, asked_by, known);
}

static int open_named(struct eddy_loop *loop, const char *name, const char *asked_by,
                      struct eddy_error *error, struct eddy_backend **ret)
{
    const char *why_not = eddy_backend_why_not(name);

    if (strcmp(name, "default") == 0)
        return open_best(loop, error, ret);
    if (strcmp(name, "proactor") == 0)
        return open_proactor(loop, error, ret);
    if (why_not)
        return cannot(error, EDDY_ENOT_SUPPORTED, name, why_not);
    for (unsigned i = 0; completing[i]; i++)
        if (strcmp(completing[i]->name, name) == 0)
            return open_class(loop, completing[i], error, ret);
    for (unsigned i = 0; i < COUNT; i++) {
        if (strcmp(selectors[i]->name, name) != 0)
            continue;
        int rc = open_selector(loop, selectors[i], ret);
        return rc < 0 ? cannot(error, rc, name, NULL) : rc;
    }
    return unknown(error, name, asked_by);
}

int eddy_backend_open(struct eddy_loop *loop, const struct eddy_loop_opts *opts,
                      struct eddy_backend **ret)
{
    const char *asked = getenv("EDDY_BACKEND");

    if (opts->selector)
        return open_given_selector(loop, opts->selector, opts->error, ret);
    if (opts->backend_class)
        return open_class(loop, opts->backend_class, opts->error, ret);
    if (opts->backend)
        return open_named(loop, opts->backend, "", opts->error, ret);
    if (asked && *asked)
        return open_named(loop, asked, " in EDDY_BACKEND", opts->error, ret);
    return open_best(loop, opts->error, ret);
}
