/*
 * Redis's hiredis on a loop. Its asynchronous half comes without one: it says by five hooks when it
 * wants to read and to write, and when it is about to close its socket. So each connection has two
 * watches, one for each direction, which come and go with these hooks.
 */
#include "common.h"
#include "foreign.h"

#include <eddy/eddy.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

/* ---- an adapter: hiredis on any loop ---- */

static void readable(struct eddy_watch *w, unsigned events)
{
    (void)events;
    redisAsyncHandleRead(EDDY_CONTAINER_OF(w, struct redis_link, reader)->context);
}

/* Not called when reading has just ended the connection: then the watch was removed by the hook. */
static void writable(struct eddy_watch *w, unsigned events)
{
    (void)events;
    redisAsyncHandleWrite(EDDY_CONTAINER_OF(w, struct redis_link, writer)->context);
}

/* The hooks have no way to fail, and hiredis is not to be freed inside them. */
static void add(struct redis_link *l, struct eddy_watch *w, unsigned events)
{
    struct eddy_loop *loop = l->redis->base.loop;
    int rc = eddy_loop_add_watch(loop, w, l->context->c.fd, events);

    if (rc < 0 && rc != -EEXIST) { /* hiredis asks again for what it has got */
        l->error = rc;
        eddy_loop_call_soon(loop, &l->broken);
    }
}

static void add_read(void *arg)
{
    struct redis_link *l = arg;
    add(l, &l->reader, EDDY_READ);
}

static void del_read(void *arg)
{
    struct redis_link *l = arg;
    eddy_watch_remove(&l->reader);
}

static void add_write(void *arg)
{
    struct redis_link *l = arg;
    add(l, &l->writer, EDDY_WRITE);
}

static void del_write(void *arg)
{
    struct redis_link *l = arg;
    eddy_watch_remove(&l->writer);
}

#if HIREDIS_MAJOR >= 1 /* time-outs: redisAsyncSetTimeout */
static void timed_out(struct eddy_timer *t)
{
    redisAsyncHandleTimeout(EDDY_CONTAINER_OF(t, struct redis_link, timer)->context);
}

static void schedule_timer(void *arg, struct timeval tv)
{
    struct redis_link *l = arg;
    eddy_loop_call_later(l->redis->base.loop, &l->timer,
                         EDDY_SEC(tv.tv_sec) + EDDY_MSEC(tv.tv_usec) / 1000);
}
#endif

/* The last call: the socket is closed after it, and the context freed. */
static void clean_up(void *arg)
{
    struct redis_link *l = arg;

    eddy_watch_remove(&l->reader);
    eddy_watch_remove(&l->writer);
    eddy_timer_cancel(&l->timer);
    eddy_handle_cancel(&l->broken);
    l->context = NULL;
}

static void attach(struct redis_link *l)
{
    l->reader.fn = readable;
    l->writer.fn = writable;
    l->context->data = l;
    l->context->ev.data = l;
    l->context->ev.addRead = add_read;
    l->context->ev.delRead = del_read;
    l->context->ev.addWrite = add_write;
    l->context->ev.delWrite = del_write;
    l->context->ev.cleanup = clean_up;
#if HIREDIS_MAJOR >= 1
    l->timer.fn = timed_out;
    l->context->ev.scheduleTimer = schedule_timer;
#endif
}

/* ---- the end ---- */

static void close_link(struct redis_link *l)
{
    if (l->context)
        redisAsyncFree(l->context);
}

/* Inside a reply's callback hiredis waits for its end, before it frees that context. */
void redis_close(struct redis *r)
{
    r->failed = true; /* what comes in the meantime is nobody's business */
    close_link(&r->commands);
    close_link(&r->messages);
}

static void fail(struct redis *r, const char *why)
{
    if (r->failed)
        return;
    r->failed = true;
    r->base.failed(&r->base, why);
    redis_close(r);
}

static void broken(struct eddy_handle *h)
{
    struct redis_link *l = EDDY_CONTAINER_OF(h, struct redis_link, broken);
    fail(l->redis, eddy_strerror(l->error));
}

/* ---- answers ---- */

static void print_reply(const char *name, const redisReply *reply)
{
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        printf("%s: %lld\n", name, reply->integer);
        break;
    case REDIS_REPLY_NIL:
        printf("%s: (nil)\n", name);
        break;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->elements; i++)
            print_reply(name, reply->element[i]);
        break;
    default:
        printf("%s: %s\n", name, reply->str ? reply->str : "(?)");
    }
}

/* One more of what has to come has come. */
static void came(struct redis *r)
{
    if (r->waiting > 0 && --r->waiting == 0)
        r->base.done(&r->base);
}

/* NULL: the connection ends before there is an answer. Why, is told elsewhere. */
static bool is_good(struct redis *r, const redisReply *reply)
{
    if (!reply || r->failed)
        return false;
    if (reply->type == REDIS_REPLY_ERROR)
        fail(r, reply->str);
    return reply->type != REDIS_REPLY_ERROR;
}

static void got_answer(redisAsyncContext *context, void *reply, void *arg)
{
    struct redis *r = arg;

    (void)context;
    if (is_good(r, reply)) {
        print_reply(r->base.name, reply);
        came(r);
    }
}

static void got_data(redisAsyncContext *context, void *arg_reply, void *arg)
{
    struct redis *r = arg;
    const redisReply *reply = arg_reply;

    (void)context;
    if (!is_good(r, reply))
        return;
    if (reply->type != REDIS_REPLY_STRING || reply->len != r->base.len ||
        memcmp(reply->str, r->base.data, r->base.len) != 0) {
        fail(r, "the data came back changed");
        return;
    }
    printf("%s: %zu bytes there and back\n", r->base.name, r->base.len);
    came(r);
}

static void ask(struct redis *r, int sent)
{
    if (sent != REDIS_OK)
        fail(r, "the command was not taken");
    else
        r->waiting++;
}

static void published(redisAsyncContext *context, void *reply, void *arg)
{
    (void)context;
    is_good(arg, reply);
}

/* What a subscriber gets: {"subscribe", channel, 1} first, then each {"message", channel, text}. */
static void got_message(redisAsyncContext *context, void *arg_reply, void *arg)
{
    struct redis *r = arg;
    const redisReply *reply = arg_reply;

    (void)context;
    if (!is_good(r, reply) || reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return;
    const char *text = reply->element[2]->str;
    if (text) {
        printf("%s: message on %s: %s\n", r->base.name, reply->element[1]->str, text);
        came(r);
    } else if (r->commands.context &&
               redisAsyncCommand(r->commands.context, published, r,
                                 "PUBLISH " FOREIGN_CHANNEL " hello") != REDIS_OK) {
        fail(r, "the message was not taken");
    }
}

/* ---- connecting ---- */

static void connected(const redisAsyncContext *context, int status)
{
    struct redis_link *l = context->data;

    if (status == REDIS_OK) {
        if (l == &l->redis->commands)
            printf("%s: connected\n", l->redis->base.name);
        return;
    }
    l->context = NULL; /* hiredis frees it when we return */
    fail(l->redis, context->errstr);
}

static void disconnected(const redisAsyncContext *context, int status)
{
    struct redis_link *l = context->data;
    fail(l->redis, status == REDIS_OK ? "disconnected" : context->errstr);
}

/* "/run/redis.sock", or "127.0.0.1:6379" */
static redisAsyncContext *connect_to(const char *address)
{
    struct eddy_addr addr;
    char host[64];
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : sizeof(host);
    int port;

    if (address[0] == '/')
        return redisAsyncConnectUnix(address);
    if (len >= sizeof(host) || option_port(colon + 1, &port) != NULL)
        return NULL;
    memcpy(host, address, len);
    host[len] = '\0';
    return eddy_addr_parse(host, port, &addr) < 0 ? NULL : redisAsyncConnect(host, port);
}

static bool open_link(struct redis *r, struct redis_link *l)
{
    l->redis = r;
    l->broken.fn = broken;
    l->context = connect_to(r->base.address);
    if (!l->context) {
        fail(r, "expected ADDRESS:PORT or /PATH");
        return false;
    }
    attach(l);
    if (l->context->err) {
        fail(r, l->context->errstr);
        return false;
    }
    redisAsyncSetConnectCallback(l->context, connected);
    redisAsyncSetDisconnectCallback(l->context, disconnected);
    return true;
}

/* The request is words, up to 32 of them, with blanks between. */
static int send_request(struct redis *r)
{
    const char *words[32];
    size_t lens[32];
    int count = 0;
    const char *s = r->base.request;

    for (; *(s += strspn(s, " ")) && count < 32; s += lens[count++]) {
        words[count] = s;
        lens[count] = strcspn(s, " ");
    }
    if (count == 0 || *s)
        return REDIS_ERR;
    return redisAsyncCommandArgv(r->commands.context, got_answer, r, count, words, lens);
}

/* All is sent at once: hiredis keeps it until it is connected, and answers come in order. */
void redis_start(struct redis *r)
{
    if (!open_link(r, &r->commands) || !open_link(r, &r->messages))
        return;
    r->waiting = 1; /* for the message */
    ask(r, send_request(r));
    if (r->base.data && !r->failed)
        ask(r, redisAsyncCommand(r->commands.context, got_data, r, "ECHO %b", r->base.data,
                                 r->base.len));
    if (!r->failed && redisAsyncCommand(r->messages.context, got_message, r,
                                        "SUBSCRIBE " FOREIGN_CHANNEL) != REDIS_OK)
        fail(r, "the subscription was not taken");
}
