/* c-ares as a resolver: what is asked of it, and what becomes of its answers. */
#include "framework/resolver/cares.h"

#include "framework/base/alloc.h"
#include "framework/loop/loop.h"
#include "framework/resolver/resolver.h"
#include <ifaddrs.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define CLASS_IN 1
#define TYPE_SRV 33

/* Of the other names in an answer, which may be a lie of thousands. */
#define MOST_ALIASES 64
#define LONGEST_CHAIN 16

/* Tells whether a file has changed. */
struct stamp {
    struct timespec modified;
    off_t size;
    ino_t inode;
};

struct cares_resolver {
    struct eddy_resolver base;
    const struct eddy_resolver_opts *opts;
    struct eddy_cares_channel *channel;
    struct eddy_link old; /* retired channels that somebody waits for */
    struct stamp file;    /* resolv.conf, as the channel has read it */
    eddy_nsec looked;     /* at it, last */
};

/* ---- resolv.conf ---- */

/* One that is not there has a stamp as well. */
static struct stamp look_at_file(const struct cares_resolver *r)
{
    struct stat st;

    if (stat(r->opts->resolv_conf ? r->opts->resolv_conf : RESOLV_CONF, &st) < 0)
        return (struct stamp){.size = -1};
    return (struct stamp){st.st_mtim, st.st_size, st.st_ino};
}

static bool is_same(const struct stamp *a, const struct stamp *b)
{
    return a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec &&
           a->size == b->size && a->inode == b->inode;
}

/* ---- answers ---- */

/* As getaddrinfo would put it. */
static int eai_of(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME:
    case ARES_EBADNAME:
        return EAI_NONAME;
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
    case ARES_ENOTIMP:
    case ARES_ECONNREFUSED:
    case ARES_ETIMEOUT:
    case ARES_EBADRESP:
    case ARES_EOF:
        return EAI_AGAIN;
    case ARES_ESERVICE:
        return EAI_SERVICE;
    default:
        return EAI_FAIL;
    }
}

/* c-ares takes the want of a socket for a refusal. */
static void fail(struct eddy_cares_channel *ch, struct eddy_query *q, int status)
{
    if (status == ARES_ENOMEM)
        eddy_query_fail(q, -ENOMEM, 0, NULL);
    else if (status == ARES_ECONNREFUSED && ch->no_socket)
        eddy_query_fail(q, ch->no_socket, 0, NULL);
    else
        eddy_query_fail(q, EDDY_EDNS, eai_of(status), ares_strerror(status));
}

static bool copy_address(const struct ares_addrinfo_node *node, int port, struct eddy_addr *to)
{
    if (node->ai_addrlen > sizeof to->u)
        return false;
    to->len = node->ai_addrlen;
    memcpy(&to->u, node->ai_addr, node->ai_addrlen);
    eddy_answer_set_port(to, port);
    return true;
}

/* NULL: it is no alias. */
static const char *resolve_alias(const struct ares_addrinfo_cname *list, const char *name)
{
    for (int n = 0; list && n < MOST_ALIASES; n++, list = list->next)
        if (list->alias && list->name && strcasecmp(list->alias, name) == 0)
            return list->name;
    return NULL;
}

/* Where the aliases end, in whichever order they were sent. */
static const char *find_canonical(const struct ares_addrinfo *ai, const char *asked)
{
    const char *first = ai->name ? ai->name : asked, *name = first;

    for (int n = 0; n <= LONGEST_CHAIN; n++) {
        const char *next = resolve_alias(ai->cnames, name);

        if (!next)
            return name;
        name = next;
    }
    return first; /* they do not end */
}

/* 0 for what came from the hosts file. */
static eddy_nsec time_to_live(const struct ares_addrinfo *ai)
{
    int ttl = INT32_MAX;

    for (const struct ares_addrinfo_node *n = ai->nodes; n; n = n->ai_next)
        ttl = n->ai_ttl < ttl ? n->ai_ttl : ttl;
    for (const struct ares_addrinfo_cname *c = ai->cnames; c; c = c->next)
        ttl = c->ttl < ttl ? c->ttl : ttl;
    return EDDY_SEC(ttl);
}

static void give_addresses(const struct eddy_cares_channel *ch, struct eddy_query *q, int port,
                           const struct ares_addrinfo *ai)
{
    const char *canonical = q->flags & AI_CANONNAME ? find_canonical(ai, q->host) : NULL;
    eddy_nsec ttl = ch->outdated ? 0 : time_to_live(ai); /* the cache has been emptied since */
    size_t n = 0;

    for (const struct ares_addrinfo_node *node = ai->nodes; node; node = node->ai_next)
        n++;
    struct eddy_addr *list = eddy_alloc((n ? n : 1) * sizeof *list);
    if (!list) {
        eddy_query_fail(q, -ENOMEM, 0, NULL);
        return;
    }
    n = 0;
    for (const struct ares_addrinfo_node *node = ai->nodes; node; node = node->ai_next)
        n += copy_address(node, port, &list[n]);
    eddy_query_give_addresses(q, list, n, canonical, ttl);
    eddy_free(list);
}

static void got_addresses(void *user, int status, int timeouts, struct ares_addrinfo *ai)
{
    struct eddy_cares_request *rq = user;
    struct eddy_cares_channel *ch = rq->channel;
    int port = rq->port;
    struct eddy_query *q = eddy_cares_answered(rq);

    (void)timeouts;
    if (q && status == ARES_SUCCESS && ai)
        give_addresses(ch, q, port, ai);
    else if (q)
        fail(ch, q, status);
    if (ai)
        ares_freeaddrinfo(ai);
}

/* c-ares gives numbers a scope also where the address has none: "::1%0". */
static void cut_scope(const struct eddy_query *q, char *host)
{
    if (q->addr.u.sa.sa_family == AF_INET6 && !q->addr.u.in6.sin6_scope_id)
        host[strcspn(host, "%")] = '\0';
}

/* A name of no bytes is the root's, which is nobody's; a port of 0 has none at all. */
static void give_names(struct eddy_query *q, const char *host, const char *service)
{
    char number[NI_MAXHOST], port[8];

    if (*host == '\0' && getnameinfo(&q->addr.u.sa, q->addr.len, number, sizeof number, NULL, 0,
                                     NI_NUMERICHOST) == 0)
        host = number;
    snprintf(port, sizeof port, "%d", eddy_addr_port(&q->addr));
    eddy_query_give_names(q, host, service ? service : port);
}

static void got_names(void *user, int status, int timeouts, char *host, char *service)
{
    struct eddy_cares_channel *ch = ((struct eddy_cares_request *)user)->channel;
    struct eddy_query *q = eddy_cares_answered(user);

    (void)timeouts;
    if (!q)
        return;
    if (status != ARES_SUCCESS || !host) {
        fail(ch, q, status);
        return;
    }
    cut_scope(q, host);
    if (*host == '\0' && (q->flags & NI_NAMEREQD))
        fail(ch, q, ARES_ENOTFOUND);
    else
        give_names(q, host, service);
}

static void give_services(struct eddy_query *q, const struct ares_srv_reply *replies)
{
    size_t n = 0;

    for (const struct ares_srv_reply *s = replies; s; s = s->next)
        n++;
    struct eddy_service *list = eddy_alloc((n ? n : 1) * sizeof *list);
    if (!list) {
        eddy_query_fail(q, -ENOMEM, 0, NULL);
        return;
    }
    n = 0;
    for (const struct ares_srv_reply *s = replies; s; s = s->next)
        list[n++] = (struct eddy_service){s->priority, s->weight, s->port,
                                          s->host && *s->host ? s->host : "."};
    eddy_query_give_services(q, list, n);
    eddy_free(list);
}

static void got_services(void *user, int status, int timeouts, unsigned char *reply, int len)
{
    struct eddy_cares_channel *ch = ((struct eddy_cares_request *)user)->channel;
    struct eddy_query *q = eddy_cares_answered(user);
    struct ares_srv_reply *replies = NULL;

    (void)timeouts;
    if (!q)
        return;
    if (status == ARES_SUCCESS)
        status = ares_parse_srv_reply(reply, len, &replies);
    if (status == ARES_SUCCESS)
        give_services(q, replies);
    else
        fail(ch, q, status);
    if (replies)
        ares_free_data(replies);
}

/* ---- questions ---- */

/* True if its port was found. *ret_rc: why the list could not be read; 0: it could. */
static bool find_service(const char *name, const char *protocol, int *ret_port, int *ret_rc)
{
    struct servent entry, *found = NULL;
    char room[4096];

    int rc = getservbyname_r(name, protocol, &entry, room, sizeof room, &found);
    *ret_rc = rc == EMFILE || rc == ENFILE || rc == ENOMEM ? -rc : 0;
    if (found)
        *ret_port = ntohs((uint16_t)found->s_port);
    return found;
}

/* The port of a service by its name, as getaddrinfo finds it: false if that was the answer. */
static bool find_port(struct eddy_query *q, int *ret_port)
{
    bool tcp = q->type != SOCK_DGRAM && q->protocol != IPPROTO_UDP && q->type != SOCK_RAW;
    bool udp = q->type != SOCK_STREAM && q->protocol != IPPROTO_TCP && q->type != SOCK_RAW;
    int rc = 0;

    if (q->protocol && q->protocol != IPPROTO_TCP && q->protocol != IPPROTO_UDP) {
        eddy_query_fail(q, EDDY_EDNS, EAI_SOCKTYPE, "no services are known of this protocol");
        return false;
    }
    if (tcp && find_service(q->service, "tcp", ret_port, &rc))
        return true;
    if (udp && rc == 0 && find_service(q->service, "udp", ret_port, &rc))
        return true;
    if (rc < 0)
        eddy_query_fail(q, rc, 0, NULL);
    else
        eddy_query_fail(q, EDDY_EDNS, EAI_SERVICE, "no such service");
    return false;
}

/* Ports in numbers are set when the answer is given. */
static bool is_number(const char *service)
{
    return service[strspn(service, "0123456789")] == '\0';
}

/* Of a service by name only the port is looked up if the host is a number or none: true if that was
 * the answer. */
static bool answer_here(struct eddy_query *q, int port)
{
    struct eddy_query host_only = *q;
    struct eddy_addr list[2];
    const char *why;
    int detail;

    host_only.service = NULL;
    int n = eddy_query_numeric(&host_only, list, &detail, &why);
    for (int i = 0; i < n; i++)
        eddy_answer_set_port(&list[i], port);
    if (n < 0)
        eddy_query_fail(q, EDDY_EDNS, detail, why);
    else if (n > 0)
        eddy_query_give_addresses(q, list, (size_t)n, q->host, 0);
    return n != 0;
}

/* The families of which this machine has an address (AI_ADDRCONFIG, which c-ares ignores); loopback
 * does not count. */
static int find_own_families(bool *ret_4, bool *ret_6)
{
    struct ifaddrs *list;

    *ret_4 = *ret_6 = false;
    if (getifaddrs(&list) < 0)
        return -errno;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        const void *a = i->ifa_addr;

        if (a && i->ifa_addr->sa_family == AF_INET)
            *ret_4 |= ((const struct sockaddr_in *)a)->sin_addr.s_addr != htonl(INADDR_LOOPBACK);
        else if (a && i->ifa_addr->sa_family == AF_INET6)
            *ret_6 |= !IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
    }
    freeifaddrs(list);
    return 0;
}

/* The family to ask for; AF_UNSPEC: both. -errno, or 1: none. */
static int choose_family(const struct eddy_query *q, int *ret)
{
    bool has_4, has_6;

    *ret = q->family;
    if (!(q->flags & AI_ADDRCONFIG))
        return 0;
    int rc = find_own_families(&has_4, &has_6);
    if (rc < 0)
        return rc;
    if ((q->family == AF_INET && !has_4) || (q->family == AF_INET6 && !has_6))
        return 1;
    if (q->family == AF_UNSPEC && has_4 != has_6)
        *ret = has_4 ? AF_INET : AF_INET6;
    return 0;
}

static int ask_for_addresses(struct eddy_cares_channel *ch, struct eddy_query *q)
{
    struct ares_addrinfo_hints hints = {.ai_socktype = SOCK_STREAM}; /* each address once */
    bool by_name = q->service && !is_number(q->service);
    int port = 0;

    if (by_name && (!find_port(q, &port) || answer_here(q, port)))
        return 0;
    int rc = choose_family(q, &hints.ai_family);
    if (rc < 0)
        return rc;
    if (rc > 0) {
        eddy_query_fail(q, EDDY_EDNS, EAI_NONAME, "no address of this family here");
        return 0;
    }
    struct eddy_cares_request *rq = eddy_cares_ask(ch, q);
    if (!rq)
        return -ENOMEM;
    rq->port = port;
    if (q->flags & AI_CANONNAME)
        hints.ai_flags |= ARES_AI_CANONNAME;
    ares_getaddrinfo(ch->ares, q->host, NULL, &hints, got_addresses, rq); /* rq may be gone */
    return 0;
}

static int ask_for_names(struct eddy_cares_channel *ch, struct eddy_query *q)
{
    static const struct {
        int system, cares;
    } flags[] = {
        {NI_NUMERICHOST, ARES_NI_NUMERICHOST}, {NI_NUMERICSERV, ARES_NI_NUMERICSERV},
        {NI_NAMEREQD, ARES_NI_NAMEREQD},       {NI_DGRAM, ARES_NI_DGRAM},
        {NI_NOFQDN, ARES_NI_NOFQDN},
    };
    int asked = ARES_NI_LOOKUPHOST | ARES_NI_LOOKUPSERVICE;

    if ((q->flags & NI_NUMERICHOST) && (q->flags & NI_NAMEREQD)) {
        eddy_query_fail(q, EDDY_EDNS, EAI_NONAME, "a name is wanted, and numbers only");
        return 0;
    }
    struct eddy_cares_request *rq = eddy_cares_ask(ch, q);
    if (!rq)
        return -ENOMEM;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        asked |= q->flags & flags[i].system ? flags[i].cares : 0;
    ares_getnameinfo(ch->ares, &q->addr.u.sa, q->addr.len, asked, got_names, rq);
    return 0;
}

static int ask_for_services(struct eddy_cares_channel *ch, struct eddy_query *q)
{
    struct eddy_cares_request *rq = eddy_cares_ask(ch, q);

    if (!rq)
        return -ENOMEM;
    ares_query(ch->ares, q->host, CLASS_IN, TYPE_SRV, got_services, rq);
    return 0;
}

/* ---- which channel ---- */

/* Those that were retired before are told again: a loop that does not run, as its thread waits for
 * look-ups itself, settles none of them. */
static void retire_all(struct eddy_link *old)
{
    for (struct eddy_link *l = old->next, *next; l != old; l = next) {
        next = l->next;
        eddy_cares_retire(EDDY_CONTAINER_OF(l, struct eddy_cares_channel, link));
    }
}

/* Another one is asked from now on. */
static int replace_channel(struct cares_resolver *r)
{
    struct eddy_cares_channel *fresh;
    int rc = eddy_cares_open(r->base.loop, r->opts, NULL, &fresh);

    if (rc < 0)
        return rc;
    eddy_list_append(&r->old, &r->channel->link);
    r->channel = fresh;
    retire_all(&r->old);
    return 0;
}

/* What is still to be answered is the old servers'. */
static void mark_outdated(struct cares_resolver *r)
{
    for (struct eddy_link *l = r->old.next; l != &r->old; l = l->next)
        EDDY_CONTAINER_OF(l, struct eddy_cares_channel, link)->outdated = true;
}

/* One that is worn goes on if no other can be made. */
static int choose_channel(struct cares_resolver *r)
{
    if (eddy_cares_is_worn(r->channel) && replace_channel(r) < 0 && eddy_cares_is_full(r->channel))
        return -ENOBUFS;
    return 0;
}

/* ---- the class ---- */

/* c-ares reads resolv.conf once: when it has changed, another channel takes over. */
static void cares_refresh(struct eddy_resolver *base)
{
    struct cares_resolver *r = (struct cares_resolver *)base;
    eddy_nsec now = eddy_loop_clock(base->loop);

    if (now - r->looked < EDDY_SEC(1))
        return;
    r->looked = now;
    struct stamp file = look_at_file(r);
    if (is_same(&file, &r->file) || replace_channel(r) < 0)
        return;
    r->file = file;
    mark_outdated(r);
    eddy_resolver_forget(base);
}

static int cares_start(struct eddy_resolver *base, struct eddy_query *q)
{
    struct cares_resolver *r = (struct cares_resolver *)base;

    cares_refresh(base); /* there may be no cache */
    q->work = NULL;      /* set while c-ares has a record of it */
    int rc = choose_channel(r);
    if (rc < 0)
        return rc;
    switch (q->kind) {
    case EDDY_QUERY_NAMES:
        return ask_for_names(r->channel, q);
    case EDDY_QUERY_SERVICES:
        return ask_for_services(r->channel, q);
    default:
        return ask_for_addresses(r->channel, q);
    }
}

static void cares_cancel(struct eddy_resolver *base, struct eddy_query *q)
{
    (void)base;
    if (q->work)
        eddy_cares_cut_loose(q->work);
}

/* Real time, also where the loop has a clock of its own. */
static eddy_nsec time_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return EDDY_SEC(ts.tv_sec) + ts.tv_nsec;
}

static int cares_start_and_wait(struct eddy_resolver *base, struct eddy_query *q, eddy_nsec timeout)
{
    eddy_nsec begun = time_now();
    int rc = cares_start(base, q);

    while (rc == 0 && q->work) {
        eddy_nsec left = timeout - (time_now() - begun);
        const struct eddy_cares_request *rq = q->work;

        rc = left > 0 ? eddy_cares_wait(rq->channel, left) : -ETIMEDOUT;
    }
    if (rc < 0)
        cares_cancel(base, q);
    return rc;
}

static int library_status;

static void init_library(void)
{
    library_status = ares_library_init(ARES_LIB_INIT_ALL);
}

static int cares_open(struct eddy_loop *loop, const struct eddy_resolver_opts *opts,
                      struct eddy_error *error, struct eddy_resolver **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init_library);
    if (library_status != ARES_SUCCESS)
        return eddy_error_set(error, EDDY_EDNS, "resolve", "c-ares: %s",
                              ares_strerror(library_status));
    struct cares_resolver *r = eddy_zalloc(sizeof *r);
    if (!r)
        return eddy_error_set(error, -ENOMEM, "resolve", "no memory for c-ares");
    r->opts = opts;
    r->file = look_at_file(r);
    r->looked = eddy_loop_clock(loop);
    eddy_list_init(&r->old);
    int rc = eddy_cares_open(loop, opts, error, &r->channel);
    if (rc < 0)
        eddy_free(r);
    else
        *ret = &r->base;
    return rc;
}

static void cares_close(struct eddy_resolver *base)
{
    struct cares_resolver *r = (struct cares_resolver *)base;

    while (!eddy_list_empty(&r->old))
        eddy_cares_free(EDDY_CONTAINER_OF(r->old.next, struct eddy_cares_channel, link));
    eddy_cares_free(r->channel);
    eddy_free(r);
}

const struct eddy_resolver_class eddy_cares_resolver = {
    .name = "c-ares",
    .abi_size = sizeof(struct eddy_resolver_class),
    .open = cares_open,
    .close = cares_close,
    .start = cares_start,
    .cancel = cares_cancel,
    .start_and_wait = cares_start_and_wait,
    .refresh = cares_refresh,
};
