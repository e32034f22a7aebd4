/*
 * Looks up names, all at once: together they take as long as the slowest of them. It shows queries,
 * which are nodes inside objects of ours: one struct per question, one callback for its end.
 */
#define _POSIX_C_SOURCE 200809L /* AI_*, NI_*: netdb.h */

#include "common.h"

#include <eddy/eddy.h>
#include <eddy/resolver.h>

#include <netdb.h>

struct program {
    struct eddy_loop *loop;
    struct question *questions; /* room for as many as there are arguments */
    size_t count, open, failed;
    int family;
    eddy_nsec timeout;
};

struct question {
    struct eddy_query query;
    struct program *program;
    const char *text; /* as it was asked */
    eddy_nsec asked;
};

/* ---- answers ---- */

/* Names are whatever somebody else has entered somewhere: no control characters to the terminal. */
static void put_text(const char *text, FILE *file)
{
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' || *text == 127 ? '?' : *text, file);
}

static void print_error(const struct eddy_error *err)
{
    fputs("resolve: ", stderr);
    put_text(error_text(err), stderr);
    fputc('\n', stderr);
}

static void put_addresses(const struct eddy_addresses *answer)
{
    char text[EDDY_ADDR_TEXT];

    for (size_t i = 0; i < answer->count; i++) {
        const struct eddy_addr *a = &answer->list[i].addr;
        if (getnameinfo(&a->u.sa, a->len, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0)
            printf(" %s", text);
    }
}

static void put_services(const struct eddy_services *answer)
{
    for (size_t i = 0; i < answer->count; i++) {
        const struct eddy_service *s = &answer->list[i];
        fputc(' ', stdout);
        put_text(s->target, stdout);
        printf(":%d (priority %d, weight %d)", s->port, s->priority, s->weight);
    }
}

static void print_answer(const struct question *q, const void *answer)
{
    eddy_nsec took = eddy_loop_time(q->program->loop) - q->asked;

    printf("%s:", q->text);
    switch (q->query.kind) {
    case EDDY_QUERY_ADDRESSES:
        put_addresses(answer);
        break;
    case EDDY_QUERY_NAMES:
        fputc(' ', stdout);
        put_text(((const struct eddy_names *)answer)->host, stdout);
        break;
    case EDDY_QUERY_SERVICES:
        put_services(answer);
        break;
    }
    printf(" in %.3f s\n", (double)took / 1e9);
}

static void done(struct eddy_query *query, void *answer, const struct eddy_error *err)
{
    struct question *q = EDDY_CONTAINER_OF(query, struct question, query);
    struct program *program = q->program;

    if (err) {
        program->failed++;
        print_error(err);
    } else {
        print_answer(q, answer);
        eddy_answer_free(answer);
    }
    if (--program->open == 0)
        eddy_loop_stop(program->loop);
}

/* ---- questions ---- */

static struct question *add_question(struct program *program, enum eddy_query_kind kind,
                                     const char *text)
{
    struct question *q = &program->questions[program->count++];

    q->program = program;
    q->text = text;
    q->query.done = done;
    q->query.kind = kind;
    q->query.host = text;
    q->query.type = SOCK_STREAM; /* else each address comes once for every type */
    return q;
}

static const char *option_reverse(const char *text, void *ret)
{
    struct eddy_addr addr;

    if (eddy_addr_parse(text, 0, &addr) < 0)
        return "a numeric address";
    struct question *q = add_question(ret, EDDY_QUERY_NAMES, text);
    q->query.addr = addr;
    q->query.flags = NI_NAMEREQD;
    return NULL;
}

static const char *option_srv(const char *text, void *ret)
{
    add_question(ret, EDDY_QUERY_SERVICES, text);
    return NULL;
}

static void ask(struct program *program, struct question *q)
{
    struct eddy_error err;

    q->query.timeout = program->timeout;
    if (q->query.kind == EDDY_QUERY_ADDRESSES)
        q->query.family = program->family;
    q->asked = eddy_loop_time(program->loop);
    if (eddy_query_start(program->loop, &q->query, &err) < 0) {
        program->failed++;
        print_error(&err);
    } else {
        program->open++;
    }
}

static int run(struct program *program)
{
    eddy_nsec start = eddy_loop_time(program->loop);
    int res = 0;

    for (size_t i = 0; i < program->count; i++)
        ask(program, &program->questions[i]);
    if (program->open)
        res = eddy_loop_run_forever(program->loop);
    if (program->count > 1)
        printf("%zu of %zu answered in %.3f s\n", program->count - program->failed, program->count,
               (double)(eddy_loop_time(program->loop) - start) / 1e9);
    return res;
}

/* ---- the program ---- */

static int resolve(struct program *program, const char *backend,
                   const struct eddy_resolver_opts *resolver)
{
    struct eddy_error err;

    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err, .resolver = resolver),
                      &program->loop) < 0) {
        fprintf(stderr, "resolve: %s\n", error_text(&err));
        return 1;
    }
    int res = run(program);
    if (res < 0)
        fprintf(stderr, "resolve: %s\n", eddy_strerror(res));
    eddy_loop_close(program->loop);
    eddy_loop_unref(program->loop);
    return res < 0 || program->failed;
}

int main(int argc, char **argv)
{
    const char *backend = NULL, *resolver = NULL, *servers = NULL;
    bool ipv4 = false, ipv6 = false;
    struct program program = {.questions = calloc((size_t)argc, sizeof(struct question))};
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        {"--resolver", "NAME", "who is asked: c-ares, or threads, which ask the system",
         option_text, &resolver},
        {"--servers", "LIST", "name servers: 192.0.2.1,[2001:db8::1]:5353 (c-ares)", option_text,
         &servers},
        {"--timeout", "SECONDS", "for each answer (30)", option_seconds, &program.timeout},
        {"--reverse", "ADDRESS", "what is the name of this address? may be repeated",
         option_reverse, &program},
        {"--srv", "NAME", "who serves _imaps._tcp.example.org? may be repeated", option_srv,
         &program},
        {"-4", NULL, "only IPv4 addresses", option_flag, &ipv4},
        {"-6", NULL, "only IPv6 addresses", option_flag, &ipv6},
        {0},
    };
    if (!program.questions) {
        perror("resolve");
        return 1;
    }
    int words =
        parse_options(argc, argv, "[NAME...]",
                      "Looks up all names at once, and prints each answer when it comes.", options);
    for (int i = 1; i <= words; i++)
        add_question(&program, EDDY_QUERY_ADDRESSES, argv[i]);
    if (program.count == 0)
        bad_usage(argv, "nothing to look up");
    if (ipv4 != ipv6)
        program.family = ipv4 ? AF_INET : AF_INET6;

    int exit_code = resolve(&program, backend, EDDY_RESOLVER(.name = resolver, .servers = servers));
    free(program.questions);
    return end_of_output("resolve", exit_code);
}
