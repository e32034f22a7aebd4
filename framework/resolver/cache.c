/* Answers for addresses, within their time to live. Of too many, the least recently used one goes.
 */
#include "framework/resolver/resolver.h"

#include "framework/base/alloc.h"
#include "framework/base/list.h"
#include <netdb.h>
#include <string.h>

#define MOST_BUCKETS 65536
/* What an answer depends on. */
#define FLAGS (AI_CANONNAME | AI_ADDRCONFIG)

struct entry {
    struct eddy_link link; /* of the cache's */
    struct entry *next;    /* in its bucket */
    uint32_t hash;
    int family, type, protocol, flags;
    const char *host, *service, *canonical_name; /* behind the list; may be NULL */
    eddy_nsec until;
    size_t n;
    struct eddy_addr list[];
};

struct eddy_cache {
    struct eddy_link entries; /* the least recently used first */
    unsigned count, most;
    uint32_t mask; /* of the buckets */
    struct entry *buckets[];
};

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* FNV-1a; names differ from each other in case only if they are the same. */
static uint32_t hash_text(uint32_t hash, const char *text)
{
    for (; text && *text; text++)
        hash = (hash ^ lower(*text)) * 16777619u;
    return hash;
}

static uint32_t hash_of(const struct eddy_query *q)
{
    uint32_t hash = hash_text(hash_text(2166136261u, q->host) * 31, q->service);

    return hash ^ (uint32_t)(q->family * 31 + q->type * 7 + q->protocol);
}

static bool is_same_text(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    while (*a && lower(*a) == lower(*b))
        a++, b++;
    return lower(*a) == lower(*b);
}

static bool answers(const struct entry *e, const struct eddy_query *q)
{
    return e->family == q->family && e->type == q->type && e->protocol == q->protocol &&
           e->flags == (q->flags & FLAGS) && is_same_text(e->host, q->host) &&
           is_same_text(e->service, q->service);
}

/* Where the entry is linked, or would be. */
static struct entry **find(struct eddy_cache *c, uint32_t hash, const struct eddy_query *q)
{
    struct entry **at = &c->buckets[hash & c->mask];

    while (*at && !((*at)->hash == hash && answers(*at, q)))
        at = &(*at)->next;
    return at;
}

static void drop(struct eddy_cache *c, struct entry **at)
{
    struct entry *e = *at;

    *at = e->next;
    eddy_link_remove(&e->link);
    eddy_free(e);
    c->count--;
}

static void drop_oldest(struct eddy_cache *c)
{
    struct entry *e = EDDY_CONTAINER_OF(c->entries.next, struct entry, link);
    struct entry **at = &c->buckets[e->hash & c->mask];

    while (*at != e)
        at = &(*at)->next;
    drop(c, at);
}

static size_t room(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *put_text(char **at, const char *text)
{
    size_t size = room(text);

    if (!size)
        return NULL;
    char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

static struct entry *new_entry(const struct eddy_query *q, const struct eddy_addr *list, size_t n,
                               const char *canonical_name)
{
    struct entry *e = eddy_zalloc(sizeof *e + n * sizeof *list + room(q->host) + room(q->service) +
                                  room(canonical_name));

    if (!e)
        return NULL;
    e->family = q->family;
    e->type = q->type;
    e->protocol = q->protocol;
    e->flags = q->flags & FLAGS;
    e->n = n;
    memcpy(e->list, list, n * sizeof *list);
    char *at = (char *)&e->list[n];
    e->host = put_text(&at, q->host);
    e->service = put_text(&at, q->service);
    e->canonical_name = put_text(&at, canonical_name);
    return e;
}

struct eddy_cache *eddy_cache_new(unsigned most)
{
    uint32_t buckets = 16;

    while (buckets < most && buckets < MOST_BUCKETS)
        buckets *= 2;
    struct eddy_cache *c = eddy_zalloc(sizeof *c + buckets * sizeof *c->buckets);
    if (!c)
        return NULL;
    eddy_list_init(&c->entries);
    c->most = most;
    c->mask = buckets - 1;
    return c;
}

void eddy_cache_free(struct eddy_cache *c)
{
    if (c)
        eddy_cache_clear(c);
    eddy_free(c);
}

void eddy_cache_put(struct eddy_cache *c, const struct eddy_query *q, const struct eddy_addr *list,
                    size_t n, const char *canonical_name, eddy_nsec until)
{
    uint32_t hash = hash_of(q);
    struct entry **at = find(c, hash, q);

    if (*at)
        drop(c, at);
    struct entry *e = c->most ? new_entry(q, list, n, canonical_name) : NULL;
    if (!e)
        return;
    if (c->count == c->most)
        drop_oldest(c);
    e->hash = hash;
    e->until = until;
    e->next = c->buckets[hash & c->mask];
    c->buckets[hash & c->mask] = e;
    eddy_list_append(&c->entries, &e->link);
    c->count++;
}

bool eddy_cache_get(struct eddy_cache *c, const struct eddy_query *q, eddy_nsec now,
                    const struct eddy_addr **ret_list, size_t *ret_n, const char **ret_canonical)
{
    struct entry **at = find(c, hash_of(q), q), *e = *at;

    if (!e)
        return false;
    if (now >= e->until) {
        drop(c, at);
        return false;
    }
    eddy_link_remove(&e->link);
    eddy_list_append(&c->entries, &e->link);
    *ret_list = e->list;
    *ret_n = e->n;
    *ret_canonical = e->canonical_name;
    return true;
}

void eddy_cache_clear(struct eddy_cache *c)
{
    while (c->count)
        drop_oldest(c);
}
