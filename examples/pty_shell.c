/*
 * A shell in a pseudo-terminal of its own: what is typed goes there, what it prints comes back, and
 * the program in it thinks that it has the terminal for itself. Our terminal is in raw mode
 * meanwhile, and as it was afterwards, whatever ends us. The window's size follows, and the exit
 * status is passed on.
 */
#define _DEFAULT_SOURCE /* cfmakeraw */

#include "common.h"

#include <eddy/eddy.h>

#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};

enum { ENDS = sizeof(ends) / sizeof(ends[0]) };

struct ending {
    struct eddy_signal signal;
    struct session *session;
};

struct session {
    struct eddy_subprocess_protocol shell;
    struct eddy_protocol keyboard, screen; /* our standard input and output */
    struct eddy_signal resized;
    struct ending endings[ENDS];
    struct eddy_loop *loop;
    struct eddy_transport *pty;
    int terminal; /* our standard input too, but not the transport's; -1: it is none */
    struct termios saved;
    int exit_code, ended_by;
    struct eddy_error error;
};

/* Told when the terminal is as it was. */
static void fail(struct session *s, const struct eddy_error *err)
{
    s->error = *err;
    s->exit_code = 1;
}

/* The loop ends when nobody is left; each says so when it has gone. */
static void check_end(struct session *s)
{
    if (!eddy_protocol_is_attached(&s->shell.base) && !eddy_protocol_is_attached(&s->keyboard) &&
        !eddy_protocol_is_attached(&s->screen))
        eddy_loop_stop(s->loop);
}

/* ---- our terminal ---- */

static struct eddy_window_size window_size(const struct session *s)
{
    struct eddy_window_size size = {24, 80};

    if (s->terminal >= 0)
        eddy_get_window_size(s->terminal, &size);
    return size;
}

/* The transport will close standard input, and we want to restore it after that. */
static void make_raw(struct session *s)
{
    struct termios raw;

    if (tcgetattr(0, &s->saved) < 0)
        return;
    s->terminal = fcntl(0, F_DUPFD_CLOEXEC, 3);
    raw = s->saved;
    cfmakeraw(&raw);
    tcsetattr(0, TCSADRAIN, &raw);
}

static void restore(struct session *s)
{
    if (s->terminal < 0)
        return;
    tcsetattr(s->terminal, TCSADRAIN, &s->saved);
    close(s->terminal);
}

static void window_resized(struct eddy_signal *signal, int signum)
{
    struct session *s = EDDY_CONTAINER_OF(signal, struct session, resized);
    struct eddy_window_size size = window_size(s);

    (void)signum;
    if (s->pty)
        eddy_set_window_size(eddy_transport_fd(s->pty), &size);
}

/* ---- what is typed ---- */

static void key_pressed(struct eddy_protocol *p, const void *data, size_t len)
{
    eddy_transport_write(EDDY_PROTOCOL_SELF(p, struct session, keyboard)->pty, data, len);
}

/* Input that is no terminal has ended: the shell is told as a terminal would (Ctrl-D). */
static bool input_ended(struct eddy_protocol *p)
{
    eddy_transport_write(EDDY_PROTOCOL_SELF(p, struct session, keyboard)->pty, "\004", 1);
    return false;
}

/* A terminal that is gone takes its shell with it. */
static void keyboard_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct session *s = EDDY_PROTOCOL_SELF(p, struct session, keyboard);

    if (err)
        eddy_transport_close(s->shell.base.transport);
}

static void keyboard_fini(struct eddy_protocol *p)
{
    check_end(EDDY_PROTOCOL_SELF(p, struct session, keyboard));
}

static const struct eddy_protocol_class keyboard_protocol = {
    EDDY_PROTOCOL_CLASS(struct session, keyboard),
    .data_received = key_pressed,
    .eof_received = input_ended,
    .connection_lost = keyboard_lost,
    .fini = keyboard_fini,
};

/* ---- what is shown ---- */

static void screen_full(struct eddy_protocol *p)
{
    eddy_transport_pause_reading(EDDY_PROTOCOL_SELF(p, struct session, screen)->pty);
}

static void screen_ready(struct eddy_protocol *p)
{
    eddy_transport_resume_reading(EDDY_PROTOCOL_SELF(p, struct session, screen)->pty);
}

static void screen_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    struct session *s = EDDY_PROTOCOL_SELF(p, struct session, screen);

    (void)err;
    eddy_transport_close(s->shell.base.transport);
}

static void screen_fini(struct eddy_protocol *p)
{
    check_end(EDDY_PROTOCOL_SELF(p, struct session, screen));
}

static const struct eddy_protocol_class screen_protocol = {
    EDDY_PROTOCOL_CLASS(struct session, screen),
    .pause_writing = screen_full,
    .resume_writing = screen_ready,
    .connection_lost = screen_lost,
    .fini = screen_fini,
};

/* ---- the shell between them ---- */

static struct session *session_of(struct eddy_subprocess_protocol *p)
{
    return EDDY_CONTAINER_OF(p, struct session, shell);
}

static void shell_started(struct eddy_subprocess_protocol *p, struct eddy_transport *t)
{
    struct session *s = session_of(p);
    struct eddy_error err;

    s->pty = eddy_transport_get_pipe_transport(t, 0);
    if (!eddy_protocol_is_attached(&s->screen))
        eddy_transport_close(t); /* our output has ended already */
    else if (eddy_connect_read_pipe(s->loop, &s->keyboard, EDDY_PIPE(.fd = 0, .error = &err),
                                    NULL) < 0)
        eddy_transport_abort(t, &err);
}

static void start_failed(struct eddy_subprocess_protocol *p, const struct eddy_error *err)
{
    fail(session_of(p), err);
    eddy_protocol_abort(&session_of(p)->screen, NULL);
}

static void printed(struct eddy_subprocess_protocol *p, int fd, const void *data, size_t len)
{
    (void)fd;
    eddy_transport_write(session_of(p)->screen.transport, data, len);
}

static void typed_too_fast(struct eddy_subprocess_protocol *p)
{
    eddy_transport_pause_reading(session_of(p)->keyboard.transport);
}

static void ready_for_more(struct eddy_subprocess_protocol *p)
{
    eddy_transport_resume_reading(session_of(p)->keyboard.transport);
}

/* When the shell has ended it is over, even if what it has left behind still has the terminal. */
static void shell_exited(struct eddy_subprocess_protocol *p)
{
    struct session *s = session_of(p);
    int code = eddy_transport_get_returncode(p->base.transport);

    s->exit_code = s->ended_by ? 128 + s->ended_by : code < 0 ? 128 - code : code;
}

static void shell_lost(struct eddy_subprocess_protocol *p, const struct eddy_error *err)
{
    struct session *s = session_of(p);

    if (err)
        fail(s, err);
    s->pty = NULL;
    eddy_transport_close(s->screen.transport);
    eddy_protocol_abort(&s->keyboard, NULL);
}

static void shell_fini(struct eddy_subprocess_protocol *p)
{
    check_end(session_of(p));
}

static const struct eddy_subprocess_protocol_class shell_protocol = {
    EDDY_SUBPROCESS_PROTOCOL_CLASS(struct session, shell),
    .connection_made = shell_started,
    .start_failed = start_failed,
    .pipe_data_received = printed,
    .pause_writing = typed_too_fast,
    .resume_writing = ready_for_more,
    .process_exited = shell_exited,
    .connection_lost = shell_lost,
    .fini = shell_fini,
};

/* ---- the beginning and the end ---- */

/* (In raw mode no key sends one: these come from other programs.) */
static void be_told(struct eddy_signal *signal, int signum)
{
    struct session *s = EDDY_CONTAINER_OF(signal, struct ending, signal)->session;

    s->ended_by = signum;
    eddy_transport_close(s->shell.base.transport);
}

static int catch_signals(struct session *s)
{
    s->resized.fn = window_resized;
    int res = eddy_loop_add_signal(s->loop, &s->resized, SIGWINCH);
    for (int i = 0; i < ENDS && res == 0; i++) {
        s->endings[i] = (struct ending){.signal.fn = be_told, .session = s};
        res = eddy_loop_add_signal(s->loop, &s->endings[i].signal, ends[i]);
    }
    return res;
}

static int start(struct session *s, const char *const *command, struct eddy_error *err)
{
    eddy_protocol_init(&s->keyboard, &keyboard_protocol);
    eddy_protocol_init(&s->screen, &screen_protocol);
    eddy_subprocess_protocol_init(&s->shell, &shell_protocol);
    int res = eddy_connect_write_pipe(s->loop, &s->screen, EDDY_PIPE(.fd = 1, .error = err), NULL);
    if (res < 0)
        return res;
    return eddy_subprocess_exec(
        s->loop, &s->shell,
        EDDY_SUBPROCESS(.argv = command, .pty = true, .pty_size = window_size(s), .error = err),
        NULL);
}

static void run(struct session *s, const char *const *command)
{
    struct eddy_error err;
    int res = catch_signals(s);

    if (res == 0 && start(s, command, &err) < 0)
        fail(s, &err);
    else if (res == 0)
        res = eddy_loop_run_forever(s->loop);
    if (res < 0)
        fail(s, EDDY_ERROR(res, ""));
}

int main(int argc, char **argv)
{
    const char *backend = NULL, *shell = getenv("SHELL");
    const char *const default_command[] = {shell && *shell ? shell : "/bin/sh", NULL};
    const struct option_spec options[] = {OPTION_BACKEND(&backend), {0}};
    int words = parse_options(argc, argv, "[--] [PROGRAM [ARGUMENT...]]",
                              "A shell, or another program, in a pseudo-terminal.", options);
    struct session session = {.exit_code = 1, .terminal = -1};

    argv[words + 1] = NULL;
    if (eddy_loop_new(EDDY_LOOP(.backend = backend, .error = &session.error), &session.loop) == 0) {
        make_raw(&session);
        run(&session, words > 0 ? (const char *const *)argv + 1 : default_command);
        eddy_loop_close(session.loop);
        restore(&session);
        eddy_loop_unref(session.loop);
    }
    if (session.error.code < 0)
        fprintf(stderr, "pty_shell: %s\n", error_text(&session.error));
    return session.exit_code;
}
