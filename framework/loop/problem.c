/* What a loop has to tell people: its log, problems without a caller, and what debug mode finds. */
#include "framework/base/log.h"
#include "framework/loop/loop.h"
#include <stdarg.h>
#include <stdio.h>

static void log_text(struct eddy_loop *loop, enum eddy_log_level level, const char *component,
                     const char *text)
{
    if (loop->log)
        loop->log(loop->user, level, component, text);
    else
        eddy_log_text(level, component, text);
}

void eddy_loop_log(struct eddy_loop *loop, enum eddy_log_level level, const char *component,
                   const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_text(loop, level, component, text);
}

void eddy_loop_problem(struct eddy_loop *loop, const struct eddy_problem *p)
{
    if (loop->on_problem) {
        loop->on_problem(loop, p, loop->problem_user);
        return;
    }
    const char *cause = p->error ? p->error->text : "";

    if (p->error && !*cause)
        cause = eddy_strerror(p->error->code);
    eddy_loop_log(loop, EDDY_LOG_ERROR, "loop", "%s%s%s%s%s%s",
                  p->message ? p->message : "Unhandled problem in event loop", *cause ? ": " : "",
                  cause, p->site ? " (opened at " : "", p->site ? p->site : "", p->site ? ")" : "");
}

void eddy_callback_report(struct eddy_loop *loop, eddy_nsec begin, const char *what,
                          const char *name)
{
    eddy_nsec took = eddy_loop_clock(loop) - begin;

    if (took >= loop->slow_callback)
        eddy_loop_log(loop, EDDY_LOG_WARNING, "loop", "slow callback: %s %s took %.3f seconds",
                      what, name ? name : "(unnamed)", (double)took / 1e9);
}

static void report_misuse(struct eddy_loop *loop, int code, const char *call, const char *site)
{
    struct eddy_error error;

    eddy_error_set(&error, code, call, "%s: %s%s", call, eddy_strerror(code),
                   code == EDDY_ETHREAD ? "; use eddy_loop_call_soon_threadsafe" : "");
    eddy_loop_problem(
        loop, &(struct eddy_problem){
                  .message = "Misuse of the event loop", .error = &error, .fd = -1, .site = site});
}

bool eddy_loop_may_call(struct eddy_loop *loop, const char *call, const char *site)
{
    if (!loop->debug || !eddy_loop_is_running(loop) || eddy_get_running_loop() == loop)
        return true;
    report_misuse(loop, EDDY_ETHREAD, call, site);
    return false;
}

bool eddy_loop_may_schedule(struct eddy_loop *loop, const char *call, const char *site)
{
    if (loop->closing)
        return false;
    if (!loop->closed)
        return eddy_loop_may_call(loop, call, site);
    report_misuse(loop, EDDY_ELOOP_CLOSED, call, site);
    return false;
}
