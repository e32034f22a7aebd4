/* What the name server knows, how it behaves, and what it says therefore. */
#include "tests/support/dns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADER 12
#define DATAGRAM 512 /* RFC 1035, when nothing else was agreed on */
#define LONGEST_CHAIN 20

struct dns_record {
    struct dns_record *next;
    enum dns_type type;
    unsigned ttl;
    const char *target; /* of a CNAME, in `value` */
    uint8_t data[300];
    size_t len;
    char name[256], value[300];
};

struct dns_rule {
    struct dns_rule *next;
    struct dns_manner manner;
    int left;
};

static void *new_zeroed(size_t size)
{
    void *p = calloc(1, size);

    if (!p)
        abort();
    return p;
}

/* ---- bytes ---- */

static size_t put16(uint8_t *at, unsigned v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
    return 2;
}

static size_t put32(uint8_t *at, unsigned v)
{
    put16(at, v >> 16);
    put16(at + 2, v & 0xffff);
    return 4;
}

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static size_t put_name(uint8_t *at, const char *name)
{
    size_t len = 0;

    while (*name && strcmp(name, ".") != 0) {
        size_t label = strcspn(name, ".");

        at[len++] = (uint8_t)label;
        memcpy(at + len, name, label);
        len += label;
        name += label + (name[label] == '.');
    }
    at[len++] = 0;
    return len;
}

static uint8_t random_byte(struct dns *d)
{
    d->seed ^= d->seed << 13;
    d->seed ^= d->seed >> 7;
    d->seed ^= d->seed << 17;
    return (uint8_t)(d->seed >> 24);
}

/* ---- what it knows ---- */

static void put_service(struct dns_record *r, const char *value)
{
    unsigned priority, weight, port;
    char target[256];

    if (sscanf(value, "%u %u %u %255s", &priority, &weight, &port, target) != 4)
        abort();
    r->len = put16(r->data, priority);
    r->len += put16(r->data + r->len, weight);
    r->len += put16(r->data + r->len, port);
    r->len += put_name(r->data + r->len, target);
}

void dns_add(struct dns *d, const char *name, enum dns_type type, unsigned ttl, const char *value)
{
    struct dns_record *r = new_zeroed(sizeof *r), **end = &d->records;

    r->type = type;
    r->ttl = ttl;
    snprintf(r->name, sizeof r->name, "%s", name);
    snprintf(r->value, sizeof r->value, "%s", value);
    if (type == DNS_A && inet_pton(AF_INET, value, r->data) == 1) {
        r->len = 4;
    } else if (type == DNS_AAAA && inet_pton(AF_INET6, value, r->data) == 1) {
        r->len = 16;
    } else if (type == DNS_CNAME || type == DNS_PTR) {
        r->len = put_name(r->data, value);
        r->target = r->value;
    } else if (type == DNS_SRV) {
        put_service(r, value);
    } else {
        abort();
    }
    while (*end)
        end = &(*end)->next;
    *end = r;
}

void dns_remove(struct dns *d, const char *name)
{
    struct dns_record **at = &d->records;

    while (*at) {
        struct dns_record *r = *at;

        if (name && strcasecmp(r->name, name) != 0) {
            at = &r->next;
        } else {
            *at = r->next;
            free(r);
        }
    }
}

const char *dns_reverse(const char *address, char buf[80])
{
    uint8_t a[16];
    size_t len = 0;

    if (inet_pton(AF_INET, address, a) == 1) {
        snprintf(buf, 80, "%d.%d.%d.%d.in-addr.arpa", a[3], a[2], a[1], a[0]);
        return buf;
    }
    if (inet_pton(AF_INET6, address, a) != 1)
        abort();
    for (int i = 15; i >= 0; i--)
        len += (size_t)snprintf(buf + len, 80 - len, "%x.%x.", a[i] & 15, a[i] >> 4);
    snprintf(buf + len, 80 - len, "ip6.arpa");
    return buf;
}

static bool owns(const struct dns_record *r, const char *name)
{
    size_t end = strlen(r->name), len = strlen(name);

    if (r->name[0] != '*')
        return strcasecmp(r->name, name) == 0;
    return len >= end && strcasecmp(name + len - (end - 1), r->name + 1) == 0;
}

/* As it is counted. */
static const char *owner_of(const struct dns *d, const char *name)
{
    for (const struct dns_record *r = d->records; r; r = r->next)
        if (owns(r, name))
            return r->name;
    return name;
}

/* ---- how it behaves ---- */

void dns_behave(struct dns *d, const struct dns_manner *m)
{
    struct dns_rule *rule = new_zeroed(sizeof *rule);

    rule->manner = *m;
    rule->left = m->times;
    rule->next = d->rules;
    d->rules = rule;
}

void dns_behave_well(struct dns *d)
{
    while (d->rules) {
        struct dns_rule *rule = d->rules;

        d->rules = rule->next;
        free(rule);
    }
}

static bool fits(const struct dns_manner *m, const struct dns_question *q)
{
    return (!m->name || strcasecmp(m->name, q->name) == 0) && (!m->type || m->type == q->type) &&
           (!m->road || m->road == (q->tcp ? DNS_TCP : DNS_UDP));
}

struct dns_manner dns_manner_for(struct dns *d, const struct dns_question *q)
{
    for (struct dns_rule *rule = d->rules; rule; rule = rule->next) {
        if (!fits(&rule->manner, q) || (rule->manner.times && rule->left == 0))
            continue;
        rule->left--;
        return rule->manner;
    }
    return (struct dns_manner){.how = DNS_ANSWER};
}

int dns_count(const struct dns *d, const char *name, enum dns_type type)
{
    int n = 0;

    for (size_t i = 0; i < sizeof d->counts / sizeof d->counts[0]; i++)
        if (strcasecmp(d->counts[i].name, name) == 0 && (!type || d->counts[i].type == type))
            n += d->counts[i].n;
    return n;
}

void dns_count_question(struct dns *d, const struct dns_question *q)
{
    const char *name = owner_of(d, q->name);

    d->asked++;
    d->by_tcp += q->tcp;
    for (size_t i = 0; i < sizeof d->counts / sizeof d->counts[0]; i++) {
        struct dns_count *c = &d->counts[i];

        if (c->n == 0) {
            snprintf(c->name, sizeof c->name, "%.63s", name);
            c->type = q->type;
        }
        if (c->type == q->type && strcasecmp(c->name, name) == 0) {
            c->n++;
            return;
        }
    }
}

/* ---- questions ---- */

/* The size of datagrams that whoever asks can take (RFC 6891), if that is said at `at`. */
static size_t room_for(const uint8_t *at, const uint8_t *end)
{
    bool said = end - at >= 11 && at[0] == 0 && get16(at + 1) == 41;

    return said && get16(at + 3) > DATAGRAM ? get16(at + 3) : DATAGRAM;
}

bool dns_read_question(struct dns_question *q, const uint8_t *bytes, size_t len, bool tcp)
{
    const uint8_t *at = bytes + HEADER, *end = bytes + len;
    size_t n = 0;

    if (len < HEADER || get16(bytes + 4) != 1)
        return false;
    while (at < end && *at) {
        size_t label = *at++;

        if (label > 63 || (size_t)(end - at) < label || n + label + 2 > sizeof q->name)
            return false;
        if (n)
            q->name[n++] = '.';
        memcpy(q->name + n, at, label);
        n += label;
        at += label;
    }
    if (end - at < 5)
        return false;
    q->name[n] = '\0';
    q->type = (enum dns_type)get16(at + 1);
    at += 5;
    q->id = (uint16_t)get16(bytes);
    q->wire_len = (size_t)(at - bytes) - HEADER;
    memcpy(q->wire, bytes + HEADER, q->wire_len);
    q->tcp = tcp;
    q->room = tcp ? 65535 : room_for(at, end);
    return true;
}

/* ---- answers ---- */

struct answer {
    uint8_t *bytes;
    size_t len;
    unsigned count;
    enum dns_rcode rcode;
    bool truncated;
};

static void put_address(uint8_t *at, const struct dns_record *r, const char *name)
{
    size_t digits = strcspn(name, "0123456789");
    uint32_t number;

    memcpy(at, r->data, r->len);
    if (r->name[0] != '*')
        return;
    memcpy(&number, at + r->len - 4, 4);
    number = htonl(ntohl(number) + (uint32_t)strtoul(name + digits, NULL, 10));
    memcpy(at + r->len - 4, &number, 4);
}

static void put_record(struct answer *a, const struct dns_record *r, const char *name)
{
    uint8_t *to = a->bytes + a->len;
    size_t len = put_name(to, name);

    len += put16(to + len, r->type);
    len += put16(to + len, 1);
    len += put32(to + len, r->ttl);
    len += put16(to + len, (unsigned)r->len);
    if (r->type == DNS_A || r->type == DNS_AAAA)
        put_address(to + len, r, name);
    else
        memcpy(to + len, r->data, r->len);
    a->len += len + r->len;
    a->count++;
}

/* Those of one name; where it is another's name, *ret_next is that. True if the name exists. */
static bool put_records(const struct dns *d, struct answer *a, const struct dns_question *q,
                        const char *name, const char **ret_next)
{
    bool exists = false;

    for (const struct dns_record *r = d->records; r; r = r->next) {
        if (!owns(r, name) || a->len > 60000)
            continue;
        exists = true;
        if (r->type == q->type || r->type == DNS_CNAME)
            put_record(a, r, name);
        if (r->type == DNS_CNAME && r->type != q->type)
            *ret_next = r->target;
    }
    return exists;
}

static void put_all(const struct dns *d, struct answer *a, const struct dns_question *q)
{
    const char *name = q->name;

    for (int i = 0; name && i < LONGEST_CHAIN; i++) {
        const char *next = NULL;

        if (!put_records(d, a, q, name, &next))
            a->rcode = DNS_NXDOMAIN;
        name = next;
    }
}

static void put_header(struct answer *a, const struct dns_question *q, unsigned questions)
{
    put16(a->bytes, q->id);
    put16(a->bytes + 2, 0x8180 | (a->truncated ? 0x0200u : 0) | (unsigned)a->rcode);
    put16(a->bytes + 4, questions);
    put16(a->bytes + 6, a->count);
    put16(a->bytes + 8, 0);
    put16(a->bytes + 10, 0);
}

static void put_answer(const struct dns *d, struct answer *a, const struct dns_question *q,
                       const struct dns_manner *m)
{
    bool repeats = m->how != DNS_NO_QUESTION;
    size_t before = HEADER + (repeats ? q->wire_len : 0);

    if (repeats)
        memcpy(a->bytes + HEADER, q->wire, q->wire_len);
    a->len = before;
    a->rcode = m->rcode;
    if (!m->rcode)
        put_all(d, a, q);
    if (a->len > q->room || (m->how == DNS_TRUNCATE && !q->tcp)) {
        a->truncated = true;
        a->len = before;
        a->count = 0;
        a->rcode = 0;
    }
    put_header(a, q, repeats);
}

/* Makes it what the manner says. */
static void distort(struct dns *d, struct answer *a, const struct dns_question *q,
                    const struct dns_manner *m)
{
    switch (m->how) {
    case DNS_GARBAGE:
        a->len = 20 + random_byte(d) % 100u;
        for (size_t i = 0; i < a->len; i++)
            a->bytes[i] = random_byte(d);
        break;
    case DNS_EMPTY:
        a->len = 0;
        break;
    case DNS_CUT:
        a->len = m->bytes < a->len ? m->bytes : a->len;
        break;
    case DNS_WRONG_ID:
        a->bytes[1] ^= 0x55;
        break;
    case DNS_WRONG_QUESTION:
        a->bytes[HEADER + 1] ^= 1; /* the first letter */
        break;
    case DNS_ECHO:
        a->len = HEADER + q->wire_len;
        put16(a->bytes + 2, 0x0100);
        put16(a->bytes + 6, 0);
        break;
    default:
        break;
    }
}

size_t dns_write_answer(struct dns *d, const struct dns_question *q, const struct dns_manner *m)
{
    struct answer a = {.bytes = d->buffer};

    if (d->craft)
        return d->craft(d, q, d->buffer);
    put_answer(d, &a, q, m);
    distort(d, &a, q, m);
    return a.len;
}
