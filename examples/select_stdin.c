/*
 * A selector without a loop: waits for standard input, and calls what was stored with it as data.
 * Each line that is typed is shown with its escapes, until the input ends (Ctrl-D).
 *
 *     for key, mask in selector.select():
 *         key.data(key.fileobj)
 */
#include "common.h"

#include <eddy/eddy.h>

#include <unistd.h>

/* What the data of each key points to. (A pointer to a function does not fit into a void *.) */
struct callback {
    void (*fn)(struct callback *c, int fd);
};

struct input {
    struct callback callback;
    struct eddy_selector *selector;
    char *line; /* what has come of it */
    size_t len, room;
    int error;
};

/* As Python's repr does: in the quotes that need less escaping. */
static void print_repr(const char *text, size_t len)
{
    bool has_single = memchr(text, '\'', len), has_double = memchr(text, '"', len);
    char quote = has_single && !has_double ? '"' : '\'';

    putchar(quote);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n')
            fputs("\\n", stdout);
        else if (c == '\r')
            fputs("\\r", stdout);
        else if (c == '\t')
            fputs("\\t", stdout);
        else if (c == '\\' || c == (unsigned char)quote)
            printf("\\%c", c);
        else if (c < ' ' || c == 127)
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    putchar(quote);
}

static void got_line(const char *line, size_t len)
{
    printf("Got input from stdin: ");
    print_repr(line, len);
    putchar('\n');
}

/* Prints the lines that are complete, and keeps the rest. */
static void take_lines(struct input *in)
{
    char *start = in->line, *end = in->line + in->len, *newline;

    while ((newline = memchr(start, '\n', (size_t)(end - start)))) {
        newline++;
        got_line(start, (size_t)(newline - start));
        start = newline;
    }
    in->len = (size_t)(end - start);
    memmove(in->line, start, in->len);
}

static void stop_reading(struct input *in, int fd, int error)
{
    in->error = error;
    eddy_selector_unregister(in->selector, fd, NULL);
}

/* One read does not block, as something is there; a second one could. Making the descriptor
 * non-blocking would do so to everybody who shares it, such as the shell. */
static void read_stdin(struct callback *c, int fd)
{
    struct input *in = EDDY_CONTAINER_OF(c, struct input, callback);

    if (in->len == in->room) {
        size_t room = in->room ? in->room * 2 : 4096;
        char *line = realloc(in->line, room);
        if (!line) {
            stop_reading(in, fd, -ENOMEM);
            return;
        }
        in->line = line;
        in->room = room;
    }
    ssize_t n = read(fd, in->line + in->len, in->room - in->len);
    if (n > 0) {
        in->len += (size_t)n;
        take_lines(in);
    } else if (n == 0) {
        if (in->len > 0) /* without a newline */
            got_line(in->line, in->len);
        stop_reading(in, fd, 0);
    } else if (errno != EINTR && errno != EAGAIN) {
        stop_reading(in, fd, -errno);
    }
}

/* epoll does not take regular files, which are always ready; poll does. */
static int open_selector(const char *name, struct input *in, struct eddy_error *error)
{
    int rc = eddy_selector_new(name, error, &in->selector);

    if (rc < 0)
        return rc;
    rc = eddy_selector_register(in->selector, STDIN_FILENO, EDDY_READ, &in->callback, NULL);
    if (rc == -EPERM && !name) {
        eddy_selector_free(in->selector);
        return open_selector("poll", in, error);
    }
    if (rc < 0) {
        eddy_selector_free(in->selector);
        eddy_error_set(error, rc, "register", "%s does not take standard input: %s",
                       name ? name : "the selector", eddy_strerror(rc));
    }
    return rc;
}

/* Ends when nothing is registered any more. */
static int run(struct eddy_selector *selector)
{
    const struct eddy_selector_map *map = eddy_selector_get_map(selector);
    struct eddy_selector_ready ready[8];
    int n;

    while (eddy_selector_map_size(map) > 0) {
        int rc = eddy_selector_select(selector, EDDY_FOREVER, 8, ready, &n);
        if (rc < 0)
            return rc;
        for (int i = 0; i < n; i++) {
            struct callback *c = ready[i].key.data;
            c->fn(c, ready[i].key.fd);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *name = NULL;
    struct input in = {.callback.fn = read_stdin};
    struct eddy_error error = {0};
    const struct option_spec options[] = {OPTION_SELECTOR(&name), {0}};

    parse_options(argc, argv, "", "Shows each line of standard input.", options);
    int rc = open_selector(name, &in, &error);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", program_name(argv), error_text(&error));
        return 1;
    }
    rc = run(in.selector);
    if (rc == 0)
        rc = in.error;
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", program_name(argv), eddy_strerror(rc));
    eddy_selector_free(in.selector);
    free(in.line);
    return rc < 0;
}
