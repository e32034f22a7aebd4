/*
 * A name server for tests: UDP and TCP on one port of a loopback address, on a loop of the test's.
 * It answers what its records say, as a server that recurses does, unless it was told to behave
 * otherwise; and it counts what it is asked.
 *
 *     static struct dns dns;
 *     dns_open(&dns, NULL);
 *     dns_serve(&dns, loop);
 *     dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
 *     dns_behave(&dns, DNS_MANNER(.name = "www.test", .type = DNS_AAAA, .delay = EDDY_MSEC(20)));
 *
 * Nothing here is allocated by the library's hook, and nothing checks: benchmarks use it as well.
 */
#ifndef TESTS_SUPPORT_DNS_H
#define TESTS_SUPPORT_DNS_H

#include <eddy/loop.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns_type {
    DNS_ANY = 0, /* in manners and counts: whatever is asked */
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_PTR = 12,
    DNS_AAAA = 28,
    DNS_SRV = 33,
};

enum dns_rcode {
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
};

enum dns_how {
    DNS_ANSWER,         /* what the records say, or .rcode */
    DNS_HOLD,           /* the same, when dns_release is called */
    DNS_SILENCE,        /* nothing */
    DNS_HANG_UP,        /* TCP: the connection is closed; UDP: nothing */
    DNS_TRUNCATE,       /* UDP: "ask by TCP"; TCP: as DNS_ANSWER */
    DNS_GARBAGE,        /* bytes at random */
    DNS_EMPTY,          /* a datagram of no bytes */
    DNS_CUT,            /* the first .bytes of the answer */
    DNS_WRONG_ID,       /* the answer to a question that was not asked */
    DNS_WRONG_QUESTION, /* the same by its name */
    DNS_NO_QUESTION,    /* an answer that does not repeat the question */
    DNS_ECHO,           /* the question itself */
};

enum dns_road { DNS_BOTH_ROADS, DNS_UDP, DNS_TCP };

struct dns_manner {
    const char *name; /* not copied; NULL: every name */
    enum dns_type type;
    enum dns_road road;
    enum dns_how how;
    enum dns_rcode rcode;
    size_t bytes;
    eddy_nsec delay;
    int copies; /* more than one of the answer */
    int times;  /* for so many questions; 0: all */
};

#define DNS_MANNER(...) (&(struct dns_manner){__VA_ARGS__})

struct dns_question {
    char name[256];
    enum dns_type type;
    uint16_t id;
    uint8_t wire[300]; /* as it was asked, from the name to the class */
    size_t wire_len;
    size_t room; /* for the answer */
    bool tcp;
};

struct dns_record;
struct dns_rule;
struct dns_reply;
struct dns_peer;

/* How often was asked for what. */
struct dns_count {
    char name[64];
    enum dns_type type;
    int n;
};

struct dns {
    int port;
    char servers[64];  /* "127.0.0.1:5353", as resolvers want it */
    int asked, by_tcp; /* questions */
    int accepted;      /* connections */
    int held;
    /* Answers in place of everything else: fills in at most q->room bytes and returns how many; 0:
     * says nothing. */
    size_t (*craft)(struct dns *d, const struct dns_question *q, uint8_t *reply);

    struct eddy_loop *loop;
    int udp, listener;
    struct eddy_watch udp_watch, listener_watch;
    struct dns_record *records;
    struct dns_rule *rules;
    struct dns_reply *replies;
    struct dns_peer *peers;
    struct dns_count counts[64];
    uint64_t seed;
    uint8_t buffer[65536 + 2];
};

/* On `address`, NULL: 127.0.0.1, and a free port. 0 or -errno. */
int dns_open(struct dns *d, const char *address);
/* Nothing is answered before. 0 or a negative code. */
int dns_serve(struct dns *d, struct eddy_loop *loop);
/* Also after its loop was closed. */
void dns_close(struct dns *d);
/* From now on its port refuses datagrams; connections. */
void dns_close_udp(struct dns *d);
void dns_close_tcp(struct dns *d);

/* value: "192.0.2.1", "2001:db8::1", "other.test", or for SRV "10 20 5060 target.test". A name of
 * "*.many.test" stands for all below; the number in n17.many.test is then added to the address. */
void dns_add(struct dns *d, const char *name, enum dns_type type, unsigned ttl, const char *value);
void dns_remove(struct dns *d, const char *name);
/* The name under which names of an address are asked for, "1.2.0.192.in-addr.arpa". */
const char *dns_reverse(const char *address, char buf[80]);

/* The last one given that fits a question is followed. */
void dns_behave(struct dns *d, const struct dns_manner *m);
void dns_behave_well(struct dns *d);
/* Sends what was held, the oldest first. */
void dns_release(struct dns *d);

/* How often a name was asked for: one of the first 64, with the star of its record. */
int dns_count(const struct dns *d, const char *name, enum dns_type type);

/* ---- between dns.c and dns_zone.c ---- */

/* False: it is none, or too strange to be answered. */
bool dns_read_question(struct dns_question *q, const uint8_t *bytes, size_t len, bool tcp);
void dns_count_question(struct dns *d, const struct dns_question *q);
struct dns_manner dns_manner_for(struct dns *d, const struct dns_question *q);
/* Into d->buffer; returns how many bytes. */
size_t dns_write_answer(struct dns *d, const struct dns_question *q, const struct dns_manner *m);

/* ---- in a thread, for those who block ---- */

struct dns_thread {
    struct dns dns;
    struct eddy_loop *loop;
    pthread_t thread;
};

/* `script` adds the records. 0 or a negative code. Nothing of it may be touched until the stop. */
int dns_thread_start(struct dns_thread *t, void (*script)(struct dns *d));
/* Its counts remain. */
void dns_thread_stop(struct dns_thread *t);

#endif
