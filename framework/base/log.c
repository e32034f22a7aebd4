#include "framework/base/log.h"

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static struct iovec piece(const char *text)
{
    /* writev does not write to its bytes, but its type does not say so. */
    union {
        const char *in;
        void *out;
    } bytes = {.in = text};

    return (struct iovec){.iov_base = bytes.out, .iov_len = strlen(text)};
}

/* One call, so that lines of several threads and processes do not mix. */
static void print(void *user, enum eddy_log_level level, const char *component, const char *text)
{
    const struct iovec line[] = {
        piece("eddy: "),  piece(level == EDDY_LOG_ERROR ? "error: " : "warning: "),
        piece(component), piece(": "),
        piece(text),      piece("\n"),
    };
    ssize_t n;

    (void)user;
    if (level < EDDY_LOG_WARNING)
        return;
    do
        n = writev(STDERR_FILENO, line, sizeof(line) / sizeof(line[0]));
    while (n < 0 && errno == EINTR);
}

static eddy_log_fn *sink = print;
static void *sink_user;

void eddy_set_log(eddy_log_fn *log, void *user)
{
    sink = log != NULL ? log : print;
    sink_user = log != NULL ? user : NULL;
}

void eddy_log_text(enum eddy_log_level level, const char *component, const char *text)
{
    sink(sink_user, level, component, text);
}
