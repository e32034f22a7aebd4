/* Answers: each in one piece of memory, strings included. */
#include "framework/base/alloc.h"
#include "framework/resolver/resolver.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/random.h>
#endif

void eddy_answer_free(void *answer)
{
    eddy_free(answer);
}

/* ---- addresses ---- */

struct kind {
    int type, protocol;
};

static const struct kind kinds[] = {
    {SOCK_STREAM, IPPROTO_TCP},
    {SOCK_DGRAM, IPPROTO_UDP},
    {SOCK_RAW, 0},
};

#define KINDS (sizeof kinds / sizeof *kinds)

static bool is_known(int protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static bool fits(const struct kind *k, const struct eddy_query *q)
{
    return (!q->type || q->type == k->type) &&
           (!q->protocol || !k->protocol || q->protocol == k->protocol);
}

/* What an address is good for, as getaddrinfo has it: all kinds if none was asked for, else the
 * first that fits. What has no row here is taken as it is asked for, multipath TCP for one. Returns
 * their number. */
static size_t find_kinds(const struct eddy_query *q, struct kind ret[KINDS])
{
    if (!q->type && !q->protocol) {
        memcpy(ret, kinds, sizeof kinds);
        return KINDS;
    }
    for (size_t i = 0; i < KINDS; i++) {
        if (fits(&kinds[i], q)) {
            ret[0] = kinds[i];
            if (!ret[0].protocol)
                ret[0].protocol = q->protocol;
            return 1;
        }
    }
    ret[0] = (struct kind){q->type, q->protocol};
    return is_known(q->protocol) ? 0 : 1;
}

void eddy_answer_set_port(struct eddy_addr *a, long port)
{
    if (a->u.sa.sa_family == AF_INET6)
        a->u.in6.sin6_port = htons((uint16_t)port);
    else
        a->u.in.sin_port = htons((uint16_t)port);
}

/* -1: the service is a name, and the addresses have ports of their own. */
static long port_of(const struct eddy_query *q)
{
    if (!q->service)
        return q->port;
    return q->service[strspn(q->service, "0123456789")] ? -1 : strtol(q->service, NULL, 10);
}

struct eddy_addresses *eddy_addresses_new(const struct eddy_query *q, const struct eddy_addr *list,
                                          size_t n, const char *canonical_name)
{
    struct kind asked[KINDS];
    size_t each = find_kinds(q, asked);
    size_t name = (q->flags & AI_CANONNAME) && canonical_name ? strlen(canonical_name) + 1 : 0;
    long port = port_of(q);
    struct eddy_addresses *as =
        eddy_zalloc(sizeof *as + n * each * sizeof(struct eddy_addrinfo) + name);

    if (!as)
        return NULL;
    struct eddy_addrinfo *to = (struct eddy_addrinfo *)(as + 1);
    as->list = to;
    as->count = n * each;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < each; k++, to++) {
            *to = (struct eddy_addrinfo){list[i], asked[k].type, asked[k].protocol};
            if (port >= 0)
                eddy_answer_set_port(&to->addr, port);
        }
    }
    if (name)
        as->canonical_name = memcpy(to, canonical_name, name);
    return as;
}

static int cannot(int *ret_detail, const char **ret_why, int detail, const char *why)
{
    *ret_detail = detail;
    *ret_why = why;
    return -1;
}

/* Contract L80. */
static int nobody_named(const struct eddy_query *q, struct eddy_addr ret[2])
{
    bool passive = q->flags & AI_PASSIVE;
    int n = 0;

    if (q->family != AF_INET)
        eddy_addr_parse(passive ? "::" : "::1", 0, &ret[n++]);
    if (q->family != AF_INET6)
        eddy_addr_parse(passive ? "0.0.0.0" : "127.0.0.1", 0, &ret[n++]);
    return n;
}

/* Whatever getaddrinfo takes for an address, "127.1" and "0x7f000001" too, so that no resolver goes
 * and asks for it as a name. */
static bool parse_host(const char *host, struct eddy_addr *ret)
{
    struct in_addr in;

    if (eddy_addr_parse(host, 0, ret) == 0)
        return true;
    if (strpbrk(host, " \t\n\v\f\r") || !inet_aton(host, &in))
        return false;
    eddy_addr_parse("0.0.0.0", 0, ret);
    ret->u.in.sin_addr = in;
    return true;
}

int eddy_query_numeric(const struct eddy_query *q, struct eddy_addr ret[2], int *ret_detail,
                       const char **ret_why)
{
    struct kind asked[KINDS];
    long port = port_of(q);
    int n = 1;

    if (find_kinds(q, asked) == 0)
        return cannot(ret_detail, ret_why, EAI_SOCKTYPE, "the protocol is not of this type");
    if (port > 65535)
        return cannot(ret_detail, ret_why, EAI_SERVICE, "the port is out of range");
    if (port < 0 && (q->flags & AI_NUMERICSERV))
        return cannot(ret_detail, ret_why, EAI_NONAME, "the service is not a number");
    if (!q->host)
        n = nobody_named(q, ret);
    else if (*q->host == '\0')
        return cannot(ret_detail, ret_why, EAI_NONAME, "the name is empty");
    else if (!parse_host(q->host, &ret[0])) {
        if (strchr(q->host, ':')) /* nor can it be a name */
            return cannot(ret_detail, ret_why, EAI_NONAME, "neither a name nor an address");
        n = 0;
    } else if (q->family && q->family != ret[0].u.sa.sa_family)
        return cannot(ret_detail, ret_why, EAI_NONAME, "the address is of another family");
    if (n == 0 && (q->flags & AI_NUMERICHOST))
        return cannot(ret_detail, ret_why, EAI_NONAME, "not a numeric address");
    return port < 0 ? 0 : n;
}

/* ---- names ---- */

struct eddy_names *eddy_names_new(const char *host, const char *service)
{
    size_t len = strlen(host) + 1;
    struct eddy_names *names = eddy_alloc(sizeof *names + len + strlen(service) + 1);

    if (!names)
        return NULL;
    char *at = (char *)(names + 1);
    names->host = memcpy(at, host, len);
    names->service = strcpy(at + len, service);
    return names;
}

/* ---- services (RFC 2782) ---- */

static int by_priority(const void *a, const void *b)
{
    const struct eddy_service *x = a, *y = b;

    return x->priority != y->priority ? (x->priority > y->priority) - (x->priority < y->priority)
                                      : (x->weight > y->weight) - (x->weight < y->weight);
}

/* Not random(), which starts alike in every program: all clients would try the same server first.
 */
static uint64_t dice(void)
{
    uint64_t n;

    return getentropy(&n, sizeof n) == 0 ? n : (uint64_t)random();
}

/* The next among `n` of one priority: those of weight 0, which are first, have a small chance. */
static size_t draw(const struct eddy_service *list, size_t n)
{
    uint64_t sum = 0, mark;

    for (size_t i = 0; i < n; i++)
        sum += list[i].weight;
    mark = dice() % (sum + 1);
    for (size_t i = 0; i < n; i++) {
        if (mark <= list[i].weight)
            return i;
        mark -= list[i].weight;
    }
    return 0;
}

static void move_to_front(struct eddy_service *list, size_t i)
{
    struct eddy_service s = list[i];

    memmove(list + 1, list, i * sizeof *list);
    list[0] = s;
}

static void put_in_order(struct eddy_service *list, size_t n)
{
    qsort(list, n, sizeof *list, by_priority);
    for (size_t i = 0; i < n; i++) {
        size_t equals = 1;

        while (i + equals < n && list[i + equals].priority == list[i].priority)
            equals++;
        move_to_front(list + i, draw(list + i, equals));
    }
}

struct eddy_services *eddy_services_new(const struct eddy_service *list, size_t n)
{
    size_t names = 0;

    for (size_t i = 0; i < n; i++)
        names += strlen(list[i].target) + 1;
    struct eddy_services *ss = eddy_alloc(sizeof *ss + n * sizeof *list + names);
    if (!ss)
        return NULL;
    struct eddy_service *to = memcpy(ss + 1, list, n * sizeof *list);
    char *at = (char *)(to + n);
    for (size_t i = 0; i < n; i++) {
        to[i].target = at;
        at = stpcpy(at, list[i].target) + 1;
    }
    put_in_order(to, n);
    ss->count = n;
    ss->list = to;
    return ss;
}
