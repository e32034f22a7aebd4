/*
 * A conversation with a program: a script goes to the standard input of an interpreter, which
 * begins with it at the end of file; the lines that it prints come back. The pipe for its output
 * gets a protocol of its own, which cuts it at newlines.
 */
#include "common.h"

#include <eddy/eddy.h>

static const char python_script[] = "import math\n"
                                    "x = 2 ** 8\n"
                                    "y = math.sqrt(x)\n"
                                    "z = math.sqrt(y)\n"
                                    "print('x: %d' % x)\n"
                                    "print('y: %d' % y)\n"
                                    "print('z: %d' % z)\n"
                                    "for i in range(int(z)):\n"
                                    "    print('i: %d' % i)\n";

struct interpreter {
    struct eddy_subprocess_protocol sub;
    struct eddy_line output;
    struct eddy_loop *loop;
    const char *script;
    int exit_code;
};

static struct interpreter *interpreter_of(struct eddy_subprocess_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct interpreter, sub);
}

static void print_line(struct eddy_line *l, const char *line, size_t len)
{
    (void)l;
    printf("%.*s\n", (int)len, line);
}

static const struct eddy_line_class output_protocol = {
    EDDY_LINE_CLASS(struct interpreter, output),
    .line_received = print_line,
};

static void connection_made(struct eddy_subprocess_protocol *p, struct eddy_transport *t)
{
    struct interpreter *me = interpreter_of(p);
    struct eddy_transport *in = eddy_transport_get_pipe_transport(t, 0);

    eddy_transport_set_protocol(eddy_transport_get_pipe_transport(t, 1), &me->output.base);
    /* What the pipe does not take waits in the transport, and goes before the end of file. */
    eddy_transport_write(in, me->script, strlen(me->script));
    eddy_transport_write_eof(in);
}

static void start_failed(struct eddy_subprocess_protocol *p, const struct eddy_error *err)
{
    fprintf(stderr, "run_script: %s\n", error_text(err));
    interpreter_of(p)->exit_code = 1;
}

static void process_exited(struct eddy_subprocess_protocol *p)
{
    int code = eddy_transport_get_returncode(p->base.transport);

    interpreter_of(p)->exit_code = code < 0 ? 128 - code : code; /* by a signal: as shells say it */
}

/* All is over: the process has ended, and all that it has printed was received. */
static void fini(struct eddy_subprocess_protocol *p)
{
    eddy_loop_stop(interpreter_of(p)->loop);
}

static const struct eddy_subprocess_protocol_class interpreter_protocol = {
    EDDY_SUBPROCESS_PROTOCOL_CLASS(struct interpreter, sub),
    .connection_made = connection_made,
    .start_failed = start_failed,
    .process_exited = process_exited,
    .fini = fini,
};

int main(int argc, char **argv)
{
    const char *backend = NULL;
    const struct option_spec options[] = {OPTION_BACKEND(&backend), {0}};
    int words = parse_options(
        argc, argv, "[COMMAND [SCRIPT]]",
        "Feeds a script to an interpreter (python3), and prints what that prints.", options);
    if (words > 2)
        bad_usage(argv, "what is meant by '%s'?", argv[3]);
    const char *command = words > 0 ? argv[1] : "python3";
    struct interpreter me = {.script = words > 1 ? argv[2] : python_script};

    struct eddy_error err;
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &err), &me.loop) < 0) {
        fprintf(stderr, "run_script: %s\n", error_text(&err));
        return 1;
    }
    eddy_line_init(&me.output, &output_protocol);
    eddy_subprocess_protocol_init(&me.sub, &interpreter_protocol);
    int res =
        eddy_subprocess_shell(me.loop, &me.sub, command,
                              EDDY_SUBPROCESS(.std_err = EDDY_STDIO_INHERIT, .error = &err), NULL);
    if (res < 0)
        fprintf(stderr, "run_script: %s\n", error_text(&err));
    else
        res = eddy_loop_run_forever(me.loop);
    eddy_loop_close(me.loop);
    eddy_loop_unref(me.loop);
    return res < 0 ? 1 : me.exit_code;
}
