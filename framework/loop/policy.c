/*
 * Policies and current loops.
 *
 * What a thread holds is a list, one entry for each policy that has a current loop there, behind a
 * thread-specific key: its destructor gives the references back when the thread ends. Entries name
 * their policy by a number, not by its address, where another policy may be by now. That the main
 * thread has called set_event_loop needs no entry: it is noted in the policy, which only that
 * thread reads. So a thread without a current loop holds no memory.
 */
#include "framework/base/alloc.h"
#include "framework/base/log.h"
#include "framework/base/opts.h"
#include "framework/loop/loop.h"
#include <eddy/policy.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#elif !defined(__APPLE__)
#include <pthread_np.h>
#endif

struct current {
    struct current *next;
    uint64_t policy;
    unsigned generation; /* of the process that set it: a child has no current loop */
    struct eddy_loop *loop;
};

static pthread_key_t key; /* the first of a thread's entries */
static int key_error;

/* ---- entries ---- */

/* Dropping a last reference closes the loop, which may make callbacks that come back here. */
static void free_current(struct current *c)
{
    struct eddy_loop *loop = c->loop;

    eddy_free(c);
    eddy_loop_unref(loop);
}

static void end_thread(void *first)
{
    for (struct current *c = first, *next; c; c = next) {
        next = c->next;
        free_current(c);
    }
}

static void begin(void)
{
    key_error = -pthread_key_create(&key, end_thread);
    eddy_watch_forks();
}

static int prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, begin);
    return key_error;
}

static uint64_t id_of(struct eddy_policy *p)
{
    static atomic_ullong last;
    uint64_t id = __atomic_load_n(&p->id_, __ATOMIC_RELAXED);

    if (id == 0) {
        uint64_t fresh = ++last;

        if (__atomic_compare_exchange_n(&p->id_, &id, fresh, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            id = fresh;
    }
    return id;
}

static struct eddy_loop *find_current(struct eddy_policy *p)
{
    if (prepare() < 0)
        return NULL;
    for (struct current *c = pthread_getspecific(key); c; c = c->next) {
        if (c->policy == id_of(p) && c->generation == eddy_fork_generation())
            return c->loop;
    }
    return NULL;
}

/* Adds an entry in front of this thread's. */
static int add_current(struct eddy_policy *p, struct eddy_loop *loop, struct current **ret)
{
    int rc = prepare();
    struct current *c = rc == 0 ? eddy_alloc(sizeof *c) : NULL;

    if (!c)
        return rc < 0 ? rc : -ENOMEM;
    *c = (struct current){
        .next = pthread_getspecific(key),
        .policy = id_of(p),
        .generation = eddy_fork_generation(),
        .loop = loop,
    };
    rc = -pthread_setspecific(key, c);
    if (rc < 0) {
        eddy_free(c);
        return rc;
    }
    eddy_loop_ref(loop);
    *ret = c;
    return 0;
}

/* Takes the policy's entries but for `keep` out of this thread's list, also those that are the
 * parent's, and frees them when the list is whole. */
static void drop_current(struct eddy_policy *p, const struct current *keep)
{
    struct current *first = pthread_getspecific(key), *dropped = NULL, **at = &first;

    while (*at) {
        struct current *c = *at;

        if (c != keep && c->policy == id_of(p)) {
            *at = c->next;
            c->next = dropped;
            dropped = c;
        } else {
            at = &c->next;
        }
    }
    if (dropped)
        pthread_setspecific(key, first); /* cannot fail: it had a value, so there is room for one */
    end_thread(dropped);
}

/* ---- the default policy ---- */

static bool is_main_thread(void)
{
#ifdef __linux__
    return syscall(SYS_gettid) == getpid();
#else
    return pthread_main_np() != 0;
#endif
}

/* Noted with the process it happened in: what a child finds there is its parent's. */
static uint64_t this_process(void)
{
    return eddy_fork_generation() + UINT64_C(1);
}

static int set_current(struct eddy_policy *p, struct eddy_loop *loop)
{
    struct current *added = NULL;
    int rc = loop ? add_current(p, loop, &added) : prepare();

    if (rc < 0 && loop) /* else there is no key, and so nothing to drop */
        return rc;
    if (is_main_thread())
        p->set_in_ = this_process();
    if (rc == 0)
        drop_current(p, added);
    return 0;
}

/* Those who ask a policy cannot hand in an error to be filled: the reason goes to the log. */
static int new_loop(const char *backend, struct eddy_loop **ret)
{
    struct eddy_error error = {.code = 0};
    int rc = eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &error), ret);

    if (rc < 0)
        eddy_log_text(EDDY_LOG_ERROR, "policy", error.text[0] ? error.text : eddy_strerror(rc));
    return rc;
}

static int new_default(struct eddy_policy *p, struct eddy_loop **ret)
{
    (void)p;
    return new_loop(NULL, ret);
}

/* ---- slots, the user's or those above ---- */

static int call_set(struct eddy_policy *p, struct eddy_loop *loop)
{
    return p->cls->set_event_loop ? p->cls->set_event_loop(p, loop) : set_current(p, loop);
}

static int call_new(struct eddy_policy *p, struct eddy_loop **ret)
{
    return p->cls->new_event_loop ? p->cls->new_event_loop(p, ret) : new_default(p, ret);
}

static int make_current(struct eddy_policy *p)
{
    struct eddy_loop *loop = NULL;
    int rc = call_new(p, &loop);

    if (rc < 0)
        return rc;
    rc = call_set(p, loop);
    if (rc < 0)
        eddy_loop_close(loop);
    eddy_loop_unref(loop);
    return rc;
}

static int get_current(struct eddy_policy *p, struct eddy_loop **ret)
{
    struct eddy_loop *loop = find_current(p);

    if (!loop && is_main_thread() && p->set_in_ != this_process()) {
        int rc = make_current(p);

        if (rc < 0)
            return rc;
        loop = find_current(p);
    }
    if (!loop)
        return EDDY_ENO_LOOP;
    *ret = loop;
    return 0;
}

static int call_get(struct eddy_policy *p, struct eddy_loop **ret)
{
    return p->cls->get_event_loop ? p->cls->get_event_loop(p, ret) : get_current(p, ret);
}

static const struct eddy_policy_class default_class = {
    EDDY_POLICY_CLASS("default"),
    .get_event_loop = get_current,
    .set_event_loop = set_current,
    .new_event_loop = new_default,
};

const struct eddy_policy_class *eddy_default_policy_class(void)
{
    return &default_class;
}

/* ---- the policy of the process ---- */

static struct eddy_policy default_policy = {.cls = &default_class};
static _Atomic(struct eddy_policy *) installed = &default_policy;

static int check_class(const struct eddy_policy_class *cls)
{
    if (!cls)
        return -EINVAL;
    int rc = eddy_opts_check(cls, cls->abi_size, sizeof *cls);
    for (size_t i = 0; i < sizeof cls->reserved / sizeof cls->reserved[0] && rc == 0; i++)
        rc = cls->reserved[i] ? -E2BIG : 0;
    return rc;
}

struct eddy_policy *eddy_get_event_loop_policy(void)
{
    return atomic_load_explicit(&installed, memory_order_acquire);
}

int eddy_set_event_loop_policy(struct eddy_policy *p)
{
    int rc = p ? check_class(p->cls) : 0;

    if (rc == 0)
        atomic_store_explicit(&installed, p ? p : &default_policy, memory_order_release);
    return rc;
}

int eddy_get_event_loop(struct eddy_loop **ret)
{
    struct eddy_loop *loop = eddy_get_running_loop();

    if (!ret)
        return -EINVAL;
    int rc = loop ? 0 : call_get(eddy_get_event_loop_policy(), &loop);
    if (rc == 0)
        *ret = loop;
    return rc;
}

int eddy_set_event_loop(struct eddy_loop *loop)
{
    return call_set(eddy_get_event_loop_policy(), loop);
}

int eddy_new_event_loop(struct eddy_loop **ret)
{
    struct eddy_loop *loop = NULL;

    if (!ret)
        return -EINVAL;
    int rc = call_new(eddy_get_event_loop_policy(), &loop);
    if (rc == 0)
        *ret = loop;
    return rc;
}

/* ---- a policy by the name of a backend ---- */

static int new_named(struct eddy_policy *p, struct eddy_loop **ret)
{
    return new_loop(EDDY_CONTAINER_OF(p, struct eddy_backend_policy, base)->backend_, ret);
}

static void keep_quiet(void *user, enum eddy_log_level level, const char *component,
                       const char *text)
{
    (void)user;
    (void)level;
    (void)component;
    (void)text;
}

/* What it logs, the first loop that is used will log again. */
static int try_backend(const char *name, struct eddy_error *error)
{
    struct eddy_loop *loop;
    int rc = eddy_loop_new(
        EDDY_LOOP(.backend = name, .keep_sigpipe = true, .log = keep_quiet, .error = error), &loop);

    if (rc < 0)
        return rc;
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
    return 0;
}

int eddy_backend_policy_init(struct eddy_backend_policy *p, const char *name,
                             struct eddy_error *error)
{
    static const struct eddy_policy_class cls = {
        EDDY_POLICY_CLASS("backend"),
        .new_event_loop = new_named,
    };

    if (!p || !name)
        return eddy_error_set(error, -EINVAL, "new policy", "a policy needs a backend's name");
    int rc = try_backend(name, error);
    if (rc == 0)
        *p = (struct eddy_backend_policy){.base.cls = &cls, .backend_ = name};
    return rc;
}
