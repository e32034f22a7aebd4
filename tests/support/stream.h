/*
 * What the tests of streams share: a protocol that does what a case tells it to and checks the
 * order of its own callbacks (contract R1, R2, G15, G22), a stage with a loop, a server and a
 * client, and raw sockets below Eddy for peers that misbehave.
 */
#ifndef TESTS_SUPPORT_STREAM_H
#define TESTS_SUPPORT_STREAM_H

#include "tests/support/test.h"
#include <eddy/backend.h>
#include <eddy/connection.h>
#include <eddy/future.h>
#include <eddy/server.h>
#include <eddy/transport.h>
#include <eddy/unix.h>

/* A row of test_cases. */
#define CASE(fn) \
    {            \
#fn, fn  \
    }

/* ---- actors ---- */

enum slot {
    ON_INIT,
    ON_MADE,
    ON_DATA,
    ON_GET_BUFFER,
    ON_BUFFER_UPDATED,
    ON_EOF,
    ON_PAUSE,
    ON_RESUME,
    ON_LOST,
    ON_FINI,
    ON_SHUTDOWN,
    ON_FAILED,
    SLOTS,
};

enum actor_state {
    ACTOR_IDLE,
    ACTOR_CONNECTING,
    ACTOR_OPEN,
    ACTOR_EOF,
    ACTOR_LOST,
};

struct actor;
struct stage;

/* The protocol in front of an actor: its own one, or the instance that a server has made. */
struct shell {
    struct eddy_protocol base;
    struct actor *actor;
};

struct actor {
    /* What to do. The hooks are called within their callback, after it was recorded. */
    void (*on[SLOTS])(struct actor *a);
    void (*on_done)(struct actor *a); /* in the done callback of the creating future */
    int init_result;
    bool keep_open; /* the answer of eof_received */
    void *window;   /* what get_buffer gives; NULL: a buffer of its own */
    size_t window_size;
    bool empty_window;        /* get_buffer answers 0 and NULL */
    uint64_t in_key, out_key; /* not 0: the streams of bytes that come in and go out */
    void *user;

    /* Good during a callback. */
    const uint8_t *data;
    size_t len;
    const struct eddy_error *err;

    /* Who it is. */
    struct stage *stage;
    struct eddy_protocol *p;    /* NULL unless attached */
    struct eddy_protocol *last; /* what p is or was, good in fini */
    struct eddy_transport *t;   /* from connection_made until connection_lost has returned */

    /* What has happened. */
    struct test_trace trace;
    int count[SLOTS];
    int attachments;    /* each of them owes one fini */
    int excused;        /* ... but for those that were detached */
    size_t received;    /* bytes */
    size_t largest;     /* the most in one callback */
    uint8_t head[4096]; /* the first of them */
    size_t sent;        /* bytes of out_key's stream given to write */
    int code;           /* of connection_lost or connect_failed */
    struct eddy_error error;
    bool done; /* the creating future; `status` is what it gave */
    int status;

    /* The order of callbacks. */
    enum actor_state state;
    bool paused, adopted, replaced, detached;
    bool asked; /* get_buffer was the last callback */
    size_t asked_size;

    struct shell own;
    struct eddy_future *future;
    struct eddy_done done_node;
    uint8_t buffer[4096];
};

/* Data to data_received, and to get_buffer and buffer_updated. All slots are filled: copy a class
 * and clear those that a case is about. */
extern const struct eddy_protocol_class actor_class;
extern const struct eddy_protocol_class actor_buffered_class;

void actor_init(struct actor *a, struct stage *s);
/* create_connection to s->port with s->connection_opts, and a future that traces RET; over a unix
 * socket create_unix_connection. */
int actor_connect(struct actor *a);
/* After any other call that took its own protocol: what comes of it is recorded as after
 * actor_connect; future: it has given a->future. */
void actor_begin(struct actor *a, bool future);
/* `to` takes the place of `from` by set_protocol; the code of that. */
int actor_switch(struct actor *from, struct actor *to, const struct eddy_protocol_class *cls);
void actor_detach(struct actor *a);
/* Writes the next len bytes of its stream; write's code. */
int actor_write(struct actor *a, size_t len);
/* Writes its stream until pause_writing; the bytes that it took. The peer must not be reading. */
size_t actor_fill(struct actor *a);

/* Bytes of the stream `key` from `offset` on. */
void stream_bytes(void *buf, size_t len, size_t offset, uint64_t key);
bool stream_matches(const void *buf, size_t len, size_t offset, uint64_t key);

/* Hooks that many cases want. */
void do_close(struct actor *a);
void do_abort(struct actor *a);        /* without a reason */
void do_abort_eproto(struct actor *a); /* with -EPROTO */
void do_pause(struct actor *a);
void do_resume(struct actor *a);
void do_write_eof(struct actor *a);
void do_echo(struct actor *a);

/* ---- roads ----
 *
 * A test marked with `roads: tcp unix tls tls2` runs over each: EDDY_TEST_ROAD. Over "unix" the
 * stage's server and clients, and raw sockets, are such; a port is the name of a socket file then.
 * Only what is asked for at 127.0.0.1 goes that way. Over "tls" the server and clients speak TLS
 * 1.3, over "tls2" TLS in TLS. Raw sockets do not: what makes one ends its case there, well. */

bool road_is_unix(void);
bool road_is_tls(void);    /* "tls" or "tls2" */
bool road_is_nested(void); /* "tls2" */
/* What a transport's kind is. */
const char *road_name(void);
/* Its marks by default. */
size_t road_low_mark(void), road_high_mark(void);
/* Whether a close has something to wait for: then an abort behind it still counts. */
bool road_waits_for_peer(void);
/* What the peer of an abort hears when nothing was unread: an end of stream as after a close, or,
 * if the road can tell them apart, that it was cut off. */
const char *road_end_of_abort(const char *as_close, const char *cut_off);
/* Whether raw_reset ends a connection by a reset whatever its state. On a unix socket it does so
 * only if something is unread at that end; otherwise the peer sees the end of stream. */
bool road_has_resets(void);

/* ---- the stage ---- */

#define STAGE_CAST 32

struct stage {
    struct eddy_loop *loop;
    struct eddy_sys *sys; /* what raw sockets are made of */
    struct test_problems problems;
    struct eddy_server *server;
    int port;
    char folder[32]; /* of socket files, which are named by ports; "": none so far */
    int last_port;
    struct actor client, peer;

    struct actor *guests[STAGE_CAST]; /* whom the server's connections go to; the peer first */
    unsigned guest_count, guest_next;
    struct actor *cast[STAGE_CAST]; /* everybody */
    unsigned cast_count;

    int descriptors; /* open before the server was made */
    int refusing;    /* a bound socket, or -1 */

    int expected_problems; /* calls of on_problem that stage_close accepts */

    const struct eddy_protocol_class *server_class, *client_class;
    struct eddy_server_opts server_opts;
    struct eddy_connection_opts connection_opts;
    unsigned max_fds; /* of both sides, over a unix socket */

    void (*inside)(struct stage *s);
    struct eddy_handle inside_node;
};

/* Everything at default; hooks and options may be set next. */
void stage_init(struct stage *s);
/* Makes the loop and the server. */
void stage_begin(struct stage *s);
/* create_server, or over a unix socket create_unix_server, with s->server_opts. */
int stage_create_server(struct stage *s, struct eddy_server **ret);
/* The client's side of it. */
int stage_create_connection(struct stage *s, struct eddy_protocol *p,
                            const struct eddy_connection_opts *opts, struct eddy_future **ret);
/* What stands for the port of a server's first address. */
int stage_port(const struct eddy_server *server);
/* ... and connects the client, until both have had connection_made. */
void stage_open(struct stage *s);
/* From now on connections go to a port that refuses them. */
void stage_refuse(struct stage *s);
/* Both actors check the bytes they get against what the other writes by actor_write. */
void stage_keyed(struct stage *s);
/* One more actor; as_guest: for the server's next connection. */
void stage_add(struct stage *s, struct actor *a, bool as_guest);
/* Ends what is still open, frees all, and checks that every attachment came to its end. */
void stage_close(struct stage *s);
/* Calls fn from a handle of the loop, in the ready batch of the next iteration. */
void stage_inside(struct stage *s, void (*fn)(struct stage *s));
/* Iterations after which whatever was on its way has arrived, for checks that nothing comes. */
void stage_settle(struct stage *s);
/* Runs the loop for so long by its clock. For the virtual one, or short. */
void stage_run_for(struct stage *s, eddy_nsec span);

/* True if nothing wakes the loop, which has nothing to do. */
bool stage_is_quiet(struct stage *s);
/* How many descriptors are open, on the kernel or the simulated one. */
int stage_descriptors(const struct stage *s);

/* When patience with the loop ends. */
eddy_nsec stage_patience(const struct stage *s);
/* One iteration of a few milliseconds at most; false when patience is over. */
bool stage_step(struct stage *s, eddy_nsec patience);

/* Runs the loop until the condition, any expression, holds. */
#define UNTIL(s, condition)                                  \
    do {                                                     \
        eddy_nsec patience_ = stage_patience(s);             \
        while (!(condition) && stage_step((s), patience_)) { \
        }                                                    \
        CHECK(condition);                                    \
    } while (0)

/* True for the backend that completes late and may refuse any send at first. */
bool stage_is_late(void);

/* ---- raw sockets: non-blocking, on the kernel or on the simulated network ---- */

/* The address that a port stands for. */
void raw_address(struct stage *s, int port, struct eddy_addr *ret);
/* A connection to the server; the loop runs until it is made. */
int raw_connect(struct stage *s);
/* stage_begin, and a raw socket in the client's place, until the peer has had connection_made. */
int stage_open_raw(struct stage *s);
/* The same, but at once: the loop has not run. */
int raw_connecting(struct stage *s);
/* How a connection to the server ends: 0, and it is closed again, or the error. */
int raw_result(struct stage *s);
/* A socket on 127.0.0.1 that does not listen; its port in *ret_port. */
int raw_bound(struct stage *s, int *ret_port);
/* A listener of its own; its port in *ret_port. */
int raw_listen(struct stage *s, int backlog, int *ret_port);
int raw_accept(struct stage *s, int listener);
/* Everything, running the loop while the socket is full; 0 or the error. */
int raw_send(struct stage *s, int fd, const void *data, size_t len);
/* Exactly len bytes, running the loop until they came; the count, less at the end of stream. */
size_t raw_recv(struct stage *s, int fd, void *buf, size_t len);
/* Receives to the end of stream: the count in *ret_len, 0 or the error that ended it. Bytes are
 * checked against the stream `key` unless that is 0. */
int raw_drain(struct stage *s, int fd, uint64_t key, size_t *ret_len);
void raw_shutdown(struct stage *s, int fd);
void raw_close(struct stage *s, int fd);
/* Closes by a reset. */
void raw_reset(struct stage *s, int fd);
/* Bytes that the descriptor, raw or a transport's, could read. */
int raw_unread(struct stage *s, int fd);

#endif
