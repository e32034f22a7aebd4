/* Selectors on their own: what every class has on top of its slots. */
#include "framework/backends/selectors.h"
#include "framework/base/alloc.h"

#include <eddy/backend.h>
#include <string.h>

enum state {
    STATE_OPEN, /* as authors zero it */
    STATE_LOOPS,
    STATE_CLOSED,
};

/* ---- making ---- */

static int open_selector(const struct eddy_selector_class *cls, struct eddy_selector **ret)
{
    return cls->open(eddy_sys_posix(), ret);
}

static int open_best(struct eddy_error *error, struct eddy_selector **ret)
{
    const struct eddy_selector_class *cls;
    int rc = EDDY_ENOT_SUPPORTED;

    for (unsigned i = 0; rc < 0 && (cls = eddy_selector_builtin(i)) != NULL; i++) {
        rc = open_selector(cls, ret);
        if (rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE)
            break; /* for want of resources the next one would fail as well */
    }
    if (rc < 0)
        eddy_error_set(error, rc, "new selector", "no selector can be used here: %s",
                       eddy_strerror(rc));
    return rc;
}

static int open_named(const char *name, struct eddy_error *error, struct eddy_selector **ret)
{
    const struct eddy_selector_class *cls;

    for (unsigned i = 0; (cls = eddy_selector_builtin(i)) != NULL; i++) {
        if (strcmp(cls->name, name) != 0)
            continue;
        int rc = open_selector(cls, ret);
        if (rc < 0)
            eddy_error_set(error, rc, "new selector", "selector \"%s\" cannot be used here: %s",
                           name, eddy_strerror(rc));
        return rc;
    }
    const char *why = eddy_backend_why_not(name);
    if (why != NULL)
        return eddy_error_set(error, EDDY_ENOT_SUPPORTED, "new selector",
                              "selector \"%s\" cannot be used here: %s", name, why);
    return eddy_error_set(error, -EINVAL, "new selector", "unknown selector \"%s\"", name);
}

int eddy_selector_new(const char *name, struct eddy_error *error, struct eddy_selector **ret)
{
    if (ret == NULL)
        return eddy_error_set(error, -EINVAL, "new selector", "nowhere to put the selector");
    if (name == NULL || strcmp(name, "default") == 0)
        return open_best(error, ret);
    return open_named(name, error, ret);
}

/* ---- ending ---- */

static void end(struct eddy_selector *s)
{
    s->state_ = STATE_CLOSED;
    eddy_selector_map_clear(&s->map_);
    if (s->cls->close != NULL)
        s->cls->close(s);
}

void eddy_selector_close(struct eddy_selector *s)
{
    if (s != NULL && s->state_ == STATE_OPEN)
        end(s);
}

void eddy_selector_free(struct eddy_selector *s)
{
    if (s == NULL)
        return;
    if (s->state_ != STATE_CLOSED)
        end(s);
    if (s->cls->free != NULL)
        s->cls->free(s);
}

/* ---- whose it is ---- */

/* Whether the calls of its user may touch it. */
static int check_usable(const struct eddy_selector *s)
{
    if (s == NULL)
        return -EINVAL;
    if (s->state_ == STATE_CLOSED)
        return EDDY_ECLOSED;
    return s->state_ == STATE_OPEN ? 0 : EDDY_EINVALID_STATE;
}

int eddy_selector_take(struct eddy_selector *s)
{
    int rc = check_usable(s);

    if (rc == 0 && s->map_.size_ > 0)
        rc = -EINVAL;
    if (rc == 0)
        s->state_ = STATE_LOOPS;
    return rc;
}

void eddy_selector_give_back(struct eddy_selector *s)
{
    s->state_ = STATE_OPEN;
}

/* ---- registering ---- */

/* A descriptor that was closed while a duplicate of it is open is reported on, by epoll, also after
 * its number was registered anew. */
static uint64_t cookie_of(uint32_t generation, eddy_fd fd)
{
    return (uint64_t)generation << 32 | (uint32_t)fd;
}

static struct eddy_selector_entry_ *find_cookie(struct eddy_selector *s, uint64_t cookie)
{
    struct eddy_selector_entry_ *entry =
        eddy_selector_map_find(&s->map_, (eddy_fd)(uint32_t)cookie);

    return entry != NULL && entry->generation == cookie >> 32 ? entry : NULL;
}

static bool are_events(unsigned events)
{
    return events != 0 && (events & ~(unsigned)(EDDY_READ | EDDY_WRITE)) == 0;
}

static void give_key(const struct eddy_selector_entry_ *entry, struct eddy_selector_key *ret_key)
{
    if (ret_key != NULL)
        *ret_key = entry->key;
}

static void forget(struct eddy_selector *s, struct eddy_selector_entry_ *entry)
{
    (void)s->cls->set(s, entry->key.fd, cookie_of(entry->generation, entry->key.fd),
                      entry->key.events, 0);
    entry->key.events = 0;
    s->map_.size_--;
}

int eddy_selector_register(struct eddy_selector *s, eddy_fd fd, unsigned events, void *data,
                           struct eddy_selector_key *ret_key)
{
    int rc = check_usable(s);

    if (rc < 0)
        return rc;
    if (fd < 0 || !are_events(events))
        return -EINVAL;
    if (eddy_selector_map_find(&s->map_, fd) != NULL)
        return -EEXIST;
    uint64_t cookie = cookie_of(s->generation_, fd);
    /* First of all: a wild number must not cost the memory of a map that reaches so far. */
    rc = s->cls->set(s, fd, cookie, 0, events);
    if (rc < 0)
        return rc;
    struct eddy_selector_entry_ *entry = eddy_selector_map_reserve(&s->map_, fd);
    if (entry == NULL) {
        (void)s->cls->set(s, fd, cookie, events, 0);
        return -ENOMEM;
    }
    entry->key = (struct eddy_selector_key){.fd = fd, .events = events, .data = data};
    entry->generation = s->generation_++;
    s->map_.size_++;
    give_key(entry, ret_key);
    return 0;
}

static int find(const struct eddy_selector *s, eddy_fd fd, struct eddy_selector_entry_ **ret)
{
    int rc = check_usable(s);

    if (rc < 0)
        return rc;
    struct eddy_selector_entry_ *entry = eddy_selector_map_find(&s->map_, fd);
    if (entry == NULL)
        return EDDY_ENOT_REGISTERED;
    *ret = entry;
    return 0;
}

int eddy_selector_modify(struct eddy_selector *s, eddy_fd fd, unsigned events, void *data,
                         struct eddy_selector_key *ret_key)
{
    struct eddy_selector_entry_ *entry;
    int rc = find(s, fd, &entry);

    if (rc < 0)
        return rc;
    if (!are_events(events))
        return -EINVAL;
    if (events != entry->key.events) {
        rc = s->cls->set(s, fd, cookie_of(entry->generation, fd), entry->key.events, events);
        if (rc < 0) {
            forget(s, entry);
            return rc;
        }
    }
    entry->key.events = events;
    entry->key.data = data;
    give_key(entry, ret_key);
    return 0;
}

int eddy_selector_unregister(struct eddy_selector *s, eddy_fd fd, struct eddy_selector_key *ret_key)
{
    struct eddy_selector_entry_ *entry;
    int rc = find(s, fd, &entry);

    if (rc < 0)
        return rc;
    give_key(entry, ret_key);
    forget(s, entry);
    return 0;
}

int eddy_selector_get_key(const struct eddy_selector *s, eddy_fd fd,
                          struct eddy_selector_key *ret_key)
{
    struct eddy_selector_entry_ *entry;
    int rc = find(s, fd, &entry);

    if (rc == 0)
        give_key(entry, ret_key);
    return rc;
}

const struct eddy_selector_map *eddy_selector_get_map(const struct eddy_selector *s)
{
    return s != NULL && s->state_ != STATE_CLOSED ? &s->map_ : NULL;
}

/* ---- waiting ---- */

static eddy_nsec now(const struct eddy_selector *s)
{
    struct eddy_sys *sys = s->sys != NULL ? s->sys : eddy_sys_posix();

    return sys->cls->now(sys);
}

/* Events become results, without those of registrations that are gone. Returns how many. */
static int collect(struct eddy_selector *s, const struct eddy_selector_event *events, int n,
                   struct eddy_selector_ready *ret_ready)
{
    int count = 0;

    for (int i = 0; i < n; i++) {
        const struct eddy_selector_entry_ *entry = find_cookie(s, events[i].cookie);
        unsigned ready = entry != NULL ? events[i].events & entry->key.events : 0;

        if (ready != 0)
            ret_ready[count++] = (struct eddy_selector_ready){entry->key, ready};
    }
    return count;
}

int eddy_selector_select(struct eddy_selector *s, eddy_nsec timeout, int max,
                         struct eddy_selector_ready *ret_ready, int *ret_count)
{
    struct eddy_selector_event events[EDDY_SELECT_MAX];
    int rc = check_usable(s);

    if (rc < 0)
        return rc;
    if (max < 1 || ret_ready == NULL || ret_count == NULL)
        return -EINVAL;
    bool limited = timeout > 0 && timeout != EDDY_FOREVER;
    eddy_nsec start = limited ? now(s) : 0, left = timeout;
    for (;;) {
        int n = s->cls->wait(s, left, events, max < EDDY_SELECT_MAX ? max : EDDY_SELECT_MAX);
        if (n < 0)
            return n;
        int count = collect(s, events, n, ret_ready);
        if (limited)
            left = timeout - (now(s) - start);
        if (count > 0 || left <= 0) {
            *ret_count = count;
            return 0;
        }
    }
}

/* ---- asking ---- */

int eddy_selector_fileno(struct eddy_selector *s)
{
    if (s == NULL)
        return -EINVAL;
    if (s->state_ == STATE_CLOSED)
        return EDDY_ECLOSED;
    return s->cls->fileno != NULL ? s->cls->fileno(s) : EDDY_ENOT_SUPPORTED;
}

const char *eddy_selector_name(const struct eddy_selector *s)
{
    return s != NULL ? s->cls->name : NULL;
}
