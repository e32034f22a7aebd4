/*
 * Standard input through a program to standard output: `sort`, or what the command line says. Four
 * pipes at work at the same time, and backpressure all the way: whoever is full stops whoever fills
 * him, so any amount goes through a few buffers. The program's exit status is passed on.
 */
#include "common.h"

#include <eddy/eddy.h>

#include <sys/stat.h>

struct filter {
    struct eddy_subprocess_protocol sub;
    struct eddy_protocol source, sink; /* our standard input and output */
    struct eddy_loop *loop;
    struct eddy_transport *child_in, *child_out;
    int exit_code;
};

static int complain(const struct eddy_error *err)
{
    fprintf(stderr, "sort_lines: %s\n", error_text(err));
    return 1;
}

/* The loop ends when nobody is left; each says so when it has gone. */
static void check_end(struct filter *f)
{
    if (!eddy_protocol_is_attached(&f->sub.base) && !eddy_protocol_is_attached(&f->source) &&
        !eddy_protocol_is_attached(&f->sink))
        eddy_loop_stop(f->loop);
}

/* ---- our standard input ---- */

static void source_data(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(EDDY_PROTOCOL_SELF(p, struct filter, source)->child_in, data, len);
}

static void source_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct filter *f = EDDY_PROTOCOL_SELF(p, struct filter, source);

    if (err)
        f->exit_code = complain(err);
    eddy_transport_write_eof(f->child_in);
}

static void source_fini(struct eddy_protocol *p)
{
    check_end(EDDY_PROTOCOL_SELF(p, struct filter, source));
}

static const struct eddy_protocol_class source_protocol = {
    EDDY_PROTOCOL_CLASS(struct filter, source),
    .data_received = source_data,
    .connection_lost = source_lost,
    .fini = source_fini,
};

/* ---- our standard output ---- */

static void sink_pause(struct eddy_protocol *p)
{
    eddy_transport_pause_reading(EDDY_PROTOCOL_SELF(p, struct filter, sink)->child_out);
}

static void sink_resume(struct eddy_protocol *p)
{
    eddy_transport_resume_reading(EDDY_PROTOCOL_SELF(p, struct filter, sink)->child_out);
}

/* Nobody wants the output any more: nor do we. */
static void sink_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct filter *f = EDDY_PROTOCOL_SELF(p, struct filter, sink);

    if (err)
        f->exit_code = complain(err);
    eddy_transport_close(f->child_out);
}

static void sink_fini(struct eddy_protocol *p)
{
    check_end(EDDY_PROTOCOL_SELF(p, struct filter, sink));
}

static const struct eddy_protocol_class sink_protocol = {
    EDDY_PROTOCOL_CLASS(struct filter, sink),
    .pause_writing = sink_pause,
    .resume_writing = sink_resume,
    .connection_lost = sink_lost,
    .fini = sink_fini,
};

/* ---- the program between them ---- */

static struct filter *filter_of(struct eddy_subprocess_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct filter, sub);
}

static void connection_made(struct eddy_subprocess_protocol *p, struct eddy_transport *t)
{
    struct filter *f = filter_of(p);
    struct eddy_error err;

    f->child_in = eddy_transport_get_pipe_transport(t, 0);
    f->child_out = eddy_transport_get_pipe_transport(t, 1);
    if (f->child_out && !eddy_protocol_is_attached(&f->sink))
        eddy_transport_close(t); /* our output has ended already */
    else if (f->child_in && eddy_connect_read_pipe(f->loop, &f->source,
                                                   EDDY_PIPE(.fd = 0, .error = &err), NULL) < 0)
        eddy_transport_abort(t, &err);
}

static void start_failed(struct eddy_subprocess_protocol *p, const struct eddy_error *err)
{
    filter_of(p)->exit_code = complain(err);
    eddy_protocol_abort(&filter_of(p)->sink, NULL);
}

static void output_received(struct eddy_subprocess_protocol *p, int fd, const void *data,
                            size_t len)
{
    (void)fd;
    eddy_transport_write(filter_of(p)->sink.transport, data, len);
}

static void input_full(struct eddy_subprocess_protocol *p)
{
    eddy_transport_pause_reading(filter_of(p)->source.transport);
}

static void input_ready(struct eddy_subprocess_protocol *p)
{
    eddy_transport_resume_reading(filter_of(p)->source.transport);
}

/* (A program may end its input early, as `head` does: that is no error.) */
static void pipe_ended(struct eddy_subprocess_protocol *p, int fd, const struct eddy_error *err)
{
    struct filter *f = filter_of(p);

    (void)err;
    if (fd == 0)
        eddy_protocol_abort(&f->source, NULL);
    else
        eddy_transport_close(f->sink.transport);
}

static void process_exited(struct eddy_subprocess_protocol *p)
{
    int code = eddy_transport_get_returncode(p->base.transport);

    if (code != 0)
        filter_of(p)->exit_code = code < 0 ? 128 - code : code; /* by a signal: as shells say it */
}

static void connection_lost(struct eddy_subprocess_protocol *p, const struct eddy_error *err)
{
    struct filter *f = filter_of(p);

    if (err)
        f->exit_code = complain(err);
    f->child_in = f->child_out = NULL;
}

static void fini(struct eddy_subprocess_protocol *p)
{
    check_end(filter_of(p));
}

static const struct eddy_subprocess_protocol_class filter_protocol = {
    EDDY_SUBPROCESS_PROTOCOL_CLASS(struct filter, sub),
    .connection_made = connection_made,
    .start_failed = start_failed,
    .pipe_data_received = output_received,
    .pause_writing = input_full,
    .resume_writing = input_ready,
    .pipe_connection_lost = pipe_ended,
    .process_exited = process_exited,
    .connection_lost = connection_lost,
    .fini = fini,
};

/* ---- the beginning ---- */

/* Files are no pipes, and never full, or empty for a while: the program gets them as they are. */
static enum eddy_stdio stream_for(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? EDDY_STDIO_INHERIT : EDDY_STDIO_PIPE;
}

static int start(struct filter *f, const char *const *command, struct eddy_error *err)
{
    enum eddy_stdio in = stream_for(0), out = stream_for(1);

    eddy_protocol_init(&f->source, &source_protocol);
    eddy_protocol_init(&f->sink, &sink_protocol);
    eddy_subprocess_protocol_init(&f->sub, &filter_protocol);
    if (out == EDDY_STDIO_PIPE) { /* it must be there when the program's output comes */
        int res =
            eddy_connect_write_pipe(f->loop, &f->sink, EDDY_PIPE(.fd = 1, .error = err), NULL);
        if (res < 0)
            return res;
    }
    return eddy_subprocess_exec(f->loop, &f->sub,
                                EDDY_SUBPROCESS(.argv = command, .std_in = in, .std_out = out,
                                                .std_err = EDDY_STDIO_INHERIT, .error = err),
                                NULL);
}

int main(int argc, char **argv)
{
    static const char *const sort[] = {"sort", NULL};
    const char *backend = NULL;
    const struct option_spec options[] = {OPTION_BACKEND(&backend), {0}};
    int words =
        parse_options(argc, argv, "[--] [PROGRAM [ARGUMENT...]]",
                      "Standard input through a program (sort) to standard output.", options);
    struct filter filter = {.exit_code = 0};
    struct eddy_error err;

    argv[words + 1] = NULL;
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &filter.loop) < 0)
        return complain(&err);
    int res = start(&filter, words > 0 ? (const char *const *)argv + 1 : sort, &err);
    if (res == 0)
        res = eddy_loop_run_forever(filter.loop);
    else
        complain(&err);
    eddy_loop_close(filter.loop);
    eddy_loop_unref(filter.loop);
    return res < 0 ? 1 : filter.exit_code;
}
