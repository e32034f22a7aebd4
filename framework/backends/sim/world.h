/* The inside of a simulated world: clock, dice, network, descriptors. */
#ifndef EDDY_BACKENDS_SIM_WORLD_H
#define EDDY_BACKENDS_SIM_WORLD_H

#include "framework/base/list.h"
#include <eddy/sim.h>
#include <stdatomic.h>

/* ---- schedule.c: what is due when ---- */

/* Embedded in what waits for its time. `fn` is set once; index 0 is not queued. */
struct sim_event {
    void (*fn)(struct eddy_sim *sim, struct sim_event *e);
    eddy_nsec when;
    uint64_t seq;
    size_t index;
};

struct sim_schedule {
    struct sim_event **heap; /* from 1 on */
    size_t len, room;
    size_t promised; /* events that may be queued at once: starting one never allocates */
    uint64_t next_seq;
};

/* Room for n more events, before they exist; -ENOMEM. */
int eddy_sim_promise(struct eddy_sim *sim, size_t n);
void eddy_sim_unpromise(struct eddy_sim *sim, size_t n);
/* Queued already: nothing happens. */
void eddy_sim_start(struct eddy_sim *sim, struct sim_event *e, eddy_nsec when);
void eddy_sim_cancel(struct eddy_sim *sim, struct sim_event *e);
/* EDDY_FOREVER: nothing. */
eddy_nsec eddy_sim_next(const struct eddy_sim *sim);
void eddy_sim_run_due(struct eddy_sim *sim);
/* `span` from now, without overflow. */
eddy_nsec eddy_sim_after(const struct eddy_sim *sim, eddy_nsec span);
/* Moves the clock to the next event or to `until`, whichever is first, and runs what is due.
 * EDDY_ESTALLED: neither will ever be. */
int eddy_sim_sleep(struct eddy_sim *sim, eddy_nsec until);

/* ---- conn.c: a TCP connection, as the two hosts see it ---- */

/* One direction: bytes [head, arrived) are in the receiver's buffer, [arrived, tail) in the
 * sender's. */
struct sim_pipe {
    uint8_t *ring;
    size_t size; /* a power of two, or 0 */
    uint64_t head, arrived, tail;
};

enum sim_end_state {
    SIM_END_NONE,    /* the other host does not know of the connection yet */
    SIM_END_PENDING, /* waits to be accepted */
    SIM_END_OPEN,
    SIM_END_CLOSED,
};

struct sim_end {
    struct sim_conn *conn;
    enum sim_end_state state;
    bool shut_read, shut_write;
    bool ended;     /* our FIN is with the peer */
    bool resetting; /* a reset is under way to the peer */
    bool dead;      /* was reset, or never came to be */
    bool frozen;
    int error; /* to be told once, 0 or negative */
    struct sim_pipe out;
    struct sim_event travel; /* takes bytes, FIN and RST of this end to the peer */
    struct eddy_addr addr;
};

struct sim_conn {
    struct eddy_link link;     /* of sim->conns */
    struct eddy_link queued;   /* of `listener` */
    struct sim_sock *listener; /* that is to accept it; NULL: none does */
    struct sim_end ends[2];    /* 0 has connected */
    struct sim_event handshake;
    struct sim_event breakdown; /* eddy_sim_reset */
    bool connecting;            /* ends[0] does not know the outcome yet */
    int outcome;                /* 1: still on the way there; then 0 or the error on the way back */
    int attempts;
    eddy_nsec delay; /* the outcome takes so long; 0: as long as the ways there and back */
};

static inline struct sim_end *eddy_sim_peer(struct sim_end *end)
{
    return &end->conn->ends[end == &end->conn->ends[0]];
}

/* This end does not know yet whether there is a connection. */
static inline bool eddy_sim_is_connecting(const struct sim_end *end)
{
    return end->conn->connecting && end == &end->conn->ends[0];
}

/* Bytes that wait to be read at this end; bytes of ours that the peer does not have; room for more
 * of them. */
size_t eddy_sim_unread(struct sim_end *end);
size_t eddy_sim_unsent(const struct sim_end *end);
size_t eddy_sim_room(const struct eddy_sim *sim, const struct sim_end *end);

/* ends[0] is open and connects to `to`; -ENOMEM. */
int eddy_sim_conn_new(struct eddy_sim *sim, const struct eddy_addr *from,
                      const struct eddy_addr *to, struct sim_conn **ret);
/* The way to the other host begins. */
void eddy_sim_conn_begin(struct eddy_sim *sim, struct sim_conn *conn);
/* No one has an end of it any more, or ever will. */
void eddy_sim_conn_free(struct eddy_sim *sim, struct sim_conn *conn);
/* Copies up to len bytes; the count, or -errno. */
ssize_t eddy_sim_conn_recv(struct eddy_sim *sim, struct sim_end *end, void *buf, size_t len);
ssize_t eddy_sim_conn_send(struct eddy_sim *sim, struct sim_end *end, const struct iovec *iov,
                           int n);
int eddy_sim_conn_shutdown(struct eddy_sim *sim, struct sim_end *end, int how);
/* The descriptor is gone. May free the connection. */
void eddy_sim_conn_close(struct eddy_sim *sim, struct sim_end *end);
/* The same for an end that nobody will accept: its peer is reset. */
void eddy_sim_conn_turn_away(struct eddy_sim *sim, struct sim_end *end);
/* Goes on after a standstill. */
void eddy_sim_conn_thaw(struct eddy_sim *sim, struct sim_end *end);
int eddy_sim_take_error(struct sim_end *end);

/* ---- datagram.c: datagrams, under way and arrived ---- */

struct sim_sock;
struct sim_datagram;

/* Of a datagram socket. */
struct sim_mail {
    struct eddy_link arrived; /* struct sim_datagram, by link */
    size_t unread;            /* bytes of them */
    size_t under_way;         /* bytes sent that are not there yet */
    eddy_nsec last;           /* when the last one arrives: none overtakes it */
    int error;                /* to be told once, 0 or negative */
    int reported;             /* the same for receiving alone, where IP_RECVERR asks for it */
    struct eddy_addr about;   /* the address of the datagram that has failed */
    struct eddy_addr peer;    /* connected to; len 0: to nobody */
};

int eddy_sim_datagram_connect(struct eddy_sim *sim, struct sim_sock *s, const struct eddy_addr *a);
/* Each as the calls of eddy_sys, for one message: 1 or -errno. */
int eddy_sim_datagram_send(struct eddy_sim *sim, eddy_fd fd, const struct eddy_message *m);
int eddy_sim_datagram_recv(struct eddy_sim *sim, struct sim_sock *s, struct eddy_message *m);
unsigned eddy_sim_datagram_ready(const struct eddy_sim *sim, const struct sim_sock *s);
int eddy_sim_datagram_take_error(struct sim_sock *s);
/* The socket is being closed. */
void eddy_sim_datagram_close(struct eddy_sim *sim, struct sim_sock *s);
/* Those under way, at the end of the world. */
void eddy_sim_datagram_drop_all(struct eddy_sim *sim);

/* ---- descriptor.c, socket.c: descriptors, and the calls on them ---- */

enum sim_kind {
    SIM_FRESH,
    SIM_LISTENING,
    SIM_STREAM,
    SIM_WAKER,
    SIM_DATAGRAM,
};

struct sim_option {
    int level, name, value;
};

enum { SIM_MAX_OPTIONS = 16 };

struct sim_sock {
    enum sim_kind kind;
    uint64_t generation; /* tells two sockets with one number apart */
    int family;
    bool bound; /* by bind, or by listen */
    struct eddy_addr local;
    struct sim_end *end;    /* STREAM */
    struct eddy_link queue; /* LISTENING: struct sim_conn, by queued */
    int queue_len, backlog;
    struct sim_mail mail; /* DATAGRAM */
    struct sim_option options[SIM_MAX_OPTIONS];
    int option_count;
};

extern const struct eddy_sys_class eddy_sim_sys_class;

/* Takes the lowest free number, or returns -EMFILE, -ENOMEM. */
int eddy_sim_sock_new(struct eddy_sim *sim, enum sim_kind kind, struct sim_sock **ret);
struct sim_sock *eddy_sim_sock(const struct eddy_sim *sim, eddy_fd fd); /* NULL: not open */
void eddy_sim_sock_close(struct eddy_sim *sim, eddy_fd fd);
/* A listener is only bound again, as shutdown makes it on Linux. */
void eddy_sim_stop_listening(struct eddy_sim *sim, struct sim_sock *s);
struct sim_waker *eddy_sim_waker(struct eddy_sim *sim, eddy_fd fd); /* NULL: it is none */
/* EDDY_READ, EDDY_WRITE: what a level-triggered selector would say. */
unsigned eddy_sim_ready(struct eddy_sim *sim, eddy_fd fd);
void eddy_sim_close_all(struct eddy_sim *sim);

/* ---- address.c: who may bind what ---- */

struct eddy_addr eddy_sim_addr_any(int family);
bool eddy_sim_addr_is_any(const struct eddy_addr *a);
void eddy_sim_addr_set_port(struct eddy_addr *a, int port);
/* Nobody connects to "any" address: that is the host itself. */
struct eddy_addr eddy_sim_loopback_if_any(const struct eddy_addr *a);
/* Chooses a port for a socket of that kind; -EADDRINUSE. */
int eddy_sim_choose_port(struct eddy_sim *sim, enum sim_kind kind, struct eddy_addr *a);
bool eddy_sim_addr_in_use(struct eddy_sim *sim, const struct sim_sock *s,
                          const struct eddy_addr *a);
/* Whoever listens there; NULL: nobody. */
struct sim_sock *eddy_sim_listener(struct eddy_sim *sim, const struct eddy_addr *to);
/* Who gets a datagram; NULL: nobody. */
struct sim_sock *eddy_sim_datagram_receiver(struct eddy_sim *sim, const struct eddy_addr *from,
                                            const struct eddy_addr *to);
int eddy_sim_sock_option(const struct sim_sock *s, int level, int name);
/* But for the ports. */
bool eddy_sim_same_host(const struct eddy_addr *a, const struct eddy_addr *b);
enum eddy_sim_host eddy_sim_host_at(const struct eddy_sim *sim, const struct eddy_addr *a);
eddy_nsec eddy_sim_host_delay(const struct eddy_sim *sim, const struct eddy_addr *a);

/* ---- names.c: who has which addresses ---- */

struct eddy_resolver_class;

extern const struct eddy_resolver_class eddy_sim_resolver_class; /* .user is the sim */
void eddy_sim_free_names(struct eddy_sim *sim);

/* ---- selector.c ---- */

struct sim_selector;

/* The descriptor is being closed. */
void eddy_sim_selectors_forget(struct eddy_sim *sim, eddy_fd fd);

/* ---- the world itself ---- */

struct sim_failure {
    enum eddy_sim_call call;
    unsigned long left;
    int error;
};

struct sim_host {
    struct eddy_addr addr;
    enum eddy_sim_host behaviour;
    eddy_nsec delay;
};

/* Kicked from any thread, so these never move. */
struct sim_waker {
    atomic_int fd; /* -1: free */
    atomic_bool kicked;
};

enum { SIM_MAX_WAKERS = 16, SIM_FIRST_FD = 3, SIM_MAX_SPINS = 100000 };

struct eddy_sim {
    struct eddy_sys sys; /* first */
    struct eddy_sim_opts opts;
    eddy_nsec now;
    uint64_t dice;
    uint64_t hash;
    struct sim_schedule schedule;
    struct sim_sock **socks; /* by descriptor */
    int socks_room;
    int next_port;
    uint64_t next_generation;
    struct sim_waker wakers[SIM_MAX_WAKERS];
    struct eddy_link conns;
    struct eddy_link datagrams; /* under way: struct sim_datagram, by link */
    struct eddy_link selectors; /* struct sim_selector, by link */
    struct eddy_link promises;  /* eddy_sim_at's */
    struct eddy_link names;     /* struct sim_name, by link */
    int64_t name_count;
    struct sim_host *hosts;
    size_t host_count;
    struct sim_failure *failures;
    size_t failure_count;
    unsigned long calls[EDDY_SIM_CALLS];
    struct eddy_sim_stats stats;
    unsigned spins; /* wake-ups in a row without progress */
    unsigned violations;
    const char *first_violation;
};

bool eddy_sim_chance(struct eddy_sim *sim, unsigned per_mille);
/* latency + jitter */
eddy_nsec eddy_sim_travel_time(struct eddy_sim *sim);
bool eddy_sim_is_instant(const struct eddy_sim *sim);
/* The dice want -EAGAIN. */
bool eddy_sim_falsely_blocked(struct eddy_sim *sim);
/* One thing that happened, for the hash and the trace. */
void eddy_sim_note(struct eddy_sim *sim, const char *what, int64_t a, int64_t b);
/* `what` is static. */
void eddy_sim_violate(struct eddy_sim *sim, const char *what);
/* Counts the call; negative: it is to fail so. */
int eddy_sim_called(struct eddy_sim *sim, enum eddy_sim_call call);
/* After a wait with a time-out that was cut short by readiness: EDDY_ESTALLED when that has led
 * nowhere too often. */
int eddy_sim_count_spin(struct eddy_sim *sim);

#endif
