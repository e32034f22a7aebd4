/*
 * Eddy: an event loop with transports and protocols.
 *
 * What every other header needs: results and errors, time, logging, the allocator.
 *
 * Results are 0 or a negative code: `-errno`, or one of EDDY_E* below. No function sets `errno`.
 * Outputs come last, are named `ret_*`, and are written on success only.
 *
 * Option structs begin with .abi_size, which must be their sizeof: the macros set it (EDDY_LOOP,
 * EDDY_SERVER, EDDY_CONNECTION, EDDY_PROTOCOL_CLASS). Without it the call returns -EINVAL, and
 * cannot even find .error to say why.
 */
#ifndef EDDY_BASE_H
#define EDDY_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EDDY_VERSION_MAJOR 0
#define EDDY_VERSION_MINOR 1
#define EDDY_VERSION_PATCH 0

#if defined(__GNUC__)
#define EDDY_API __attribute__((visibility("default")))
#define EDDY_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define EDDY_API
#define EDDY_PRINTF(fmt, first)
#endif

/* The object of type `type` whose member `member` is at `ptr`; and a cast. C++ programs may be
 * compiled with -Wold-style-cast. */
#ifdef __cplusplus
#define EDDY_CONTAINER_OF(ptr, type, member)  \
    (static_cast<type *>(static_cast<void *>( \
        const_cast<char *>(reinterpret_cast<const char *>(ptr)) - offsetof(type, member))))
#define EDDY_NSEC_(n) static_cast<eddy_nsec>(n)
#else
#define EDDY_CONTAINER_OF(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define EDDY_NSEC_(n) ((eddy_nsec)(n))
#endif

/* A const struct made on the spot, by name of its members; and the alignment of a type. In C++ they
 * must be named in the order of declaration (C++20, before that an extension of gcc and clang), and
 * the struct is good until the end of the full expression. */
#ifdef __cplusplus
#define EDDY_LITERAL_(type, ...) (&static_cast<const type &>(type{__VA_ARGS__}))
#define EDDY_ALIGNOF_(type) alignof(type)
#else
#define EDDY_LITERAL_(type, ...) (&(const struct type){__VA_ARGS__})
#define EDDY_ALIGNOF_(type) _Alignof(type)
#endif

/* "file.c:123", recorded where a thing is started or opened, for the reports of debug mode. */
#define EDDY_STRINGIFY_(x) #x
#define EDDY_STRINGIFY(x) EDDY_STRINGIFY_(x)
#define EDDY_SITE __FILE__ ":" EDDY_STRINGIFY(__LINE__)

/* How nodes hang together; the library's. */
struct eddy_link {
    struct eddy_link *next, *prev;
};

/* ---- time ---- */

/* Nanoseconds of a monotonic clock of arbitrary origin, or a span of them (contract G9). */
typedef int64_t eddy_nsec;

#define EDDY_USEC(n) (EDDY_NSEC_(n) * 1000)
#define EDDY_MSEC(n) (EDDY_NSEC_(n) * 1000000)
#define EDDY_SEC(n) (EDDY_NSEC_(n) * 1000000000)
/* No time-out; a timer set so far never fires. */
#define EDDY_FOREVER INT64_MAX
/* In options where zero means "the default": none at all. The one negative value allowed there. */
#define EDDY_OFF EDDY_NSEC_(-1)

/* ---- errors ---- */

/* Codes of Eddy's own, outside errno's range. E_INVAL, E_NOMEM, E_TIMEOUT and E_CANCELLED of the
 * contract are -EINVAL, -ENOMEM, -ETIMEDOUT and -ECANCELED. */
enum {
    EDDY_ELOOP_CLOSED = -10001,    /* the loop is closed */
    EDDY_ELOOP_RUNNING = -10002,   /* this loop runs already */
    EDDY_EOTHER_LOOP = -10003,     /* another loop runs in this thread */
    EDDY_ENOT_COMPLETED = -10004,  /* the loop was stopped before the future completed */
    EDDY_ENO_LOOP = -10005,        /* no running or current loop in this thread */
    EDDY_ETHREAD = -10006,         /* called from a thread other than the loop's */
    EDDY_EFD_IN_USE = -10007,      /* the descriptor belongs to a transport, listener or the loop */
    EDDY_ENOT_REGISTERED = -10008, /* the descriptor is not registered */
    EDDY_ENOT_SUPPORTED = -10009,  /* this object, build or system cannot do that */
    EDDY_EINVALID_STATE = -10010,  /* not now: the object is in another state */
    EDDY_ECLOSED = -10011,         /* the transport, server or selector is closing or closed */
    EDDY_ESTALLED = -10012,        /* sim: nothing left that could ever wake the loop */
    EDDY_EEXECUTOR_SHUTDOWN = -10013, /* the executor takes no more jobs */
    EDDY_EDNS = -10014,               /* a name was not resolved; the detail is one of EAI_* */
    EDDY_EMULTIPLE = -10015,          /* several attempts failed, each with an error of its own */
    EDDY_ESENDFILE_NA = -10016, /* the system cannot send this file, and copying was ruled out */
    EDDY_ETLS = -10017,         /* TLS: the protocol, a context; OpenSSL's code as detail */
    EDDY_ETLS_CERT = -10018, /* TLS: the peer's certificate is not accepted; X509_V_* as detail */
};

#define EDDY_ERROR_TEXT 192

/* What went wrong, as a plain value: copying cannot fail. Given to callbacks it is lent until they
 * return; who keeps it longer copies it by eddy_error_copy. In option structs `.error` points at
 * one that a failing call fills in. */
struct eddy_error {
    int code;       /* negative: what the call returned, or would have */
    int detail;     /* a library's own code behind it, 0 if none; how many children there are */
    const char *op; /* the operation that failed, a static string such as "connect"; may be NULL */
    char text[EDDY_ERROR_TEXT]; /* one sentence with operation, address and cause; may be empty */
    /* EDDY_EMULTIPLE: `detail` errors, lent for as long as this one, and not to be looked at in a
     * plain copy of it. Otherwise not set. (Contract G2.) */
    const struct eddy_error *children;
};

/* An error made on the spot; `message` is a string literal. Good until the end of the block.
 *     eddy_transport_abort(t, EDDY_ERROR(-EPROTO, "frame longer than 64 KiB")); */
#define EDDY_ERROR(number, message) EDDY_LITERAL_(eddy_error, .code = (number), .text = message)

/* Fills *e and returns `code`. `e` may be NULL: then only the code is kept. Text that does not fit
 * is cut. `op` must be static. */
EDDY_API int eddy_error_set(struct eddy_error *e, int code, const char *op, const char *fmt, ...)
    EDDY_PRINTF(4, 5);

/* All of *from but the children, which are lent. */
EDDY_API void eddy_error_copy(struct eddy_error *to, const struct eddy_error *from);

/* A static text for any code that Eddy returns. Never NULL. [any thread] */
EDDY_API const char *eddy_strerror(int code);

/* ---- logging ---- */

enum eddy_log_level {
    EDDY_LOG_DEBUG,
    EDDY_LOG_INFO,
    EDDY_LOG_WARNING,
    EDDY_LOG_ERROR,
};

/* `component` is a static word such as "loop" or "server"; `text` is one line without its end,
 * lent. May be called from any thread that runs a loop; must not call into Eddy. */
typedef void eddy_log_fn(void *user, enum eddy_log_level level, const char *component,
                         const char *text);

/* The process-wide sink, used by loops that have none of their own. NULL restores the default,
 * which prints warnings and errors to standard error. Set it before loops run in other threads. */
EDDY_API void eddy_set_log(eddy_log_fn *log, void *user);

/* ---- memory ---- */

/* All of Eddy's memory comes from here. `alloc` and `realloc` may return NULL: that is an ordinary
 * error (-ENOMEM) everywhere. Called from every thread that uses Eddy. */
struct eddy_allocator {
    void *(*alloc)(void *user, size_t size);
    void *(*realloc)(void *user, void *ptr, size_t size);
    void (*free)(void *user, void *ptr); /* ptr is never NULL */
    void *user;
};

/* Replaces the allocator of the process; *a is copied, NULL restores malloc's. Must come before the
 * first use of Eddy: EDDY_EINVALID_STATE while memory is allocated. (Contract G5.) */
EDDY_API int eddy_set_allocator(const struct eddy_allocator *a);

#ifdef __cplusplus
}
#endif
#endif
