/*
 * What the examples share and what has nothing to do with Eddy: command lines, errors as text.
 *
 * Exit codes: 0 all went well, 1 something failed while running, 2 the command line was wrong.
 */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <eddy/eddy.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One option. A program's table of them ends with an empty one:
 *     {"--port", "PORT", "where to listen; 0: the kernel chooses", option_port, &port}, {0} */
struct option_spec {
    const char *name;
    const char *value; /* what --help calls its value; NULL: it takes none */
    const char *help;
    /* Stores what `text` says in *ret; otherwise returns what it should have said. */
    const char *(*parse)(const char *text, void *ret);
    void *ret;
};

/* ---- kinds of values ---- */

static inline const char *option_flag(const char *text, void *ret)
{
    (void)text;
    *(bool *)ret = true;
    return NULL;
}

static inline const char *option_text(const char *text, void *ret)
{
    *(const char **)ret = text;
    return NULL;
}

static inline bool parse_long(const char *text, long min, long max, long *ret)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (end == text || *end || errno || n < min || n > max)
        return false;
    *ret = n;
    return true;
}

static inline const char *option_port(const char *text, void *ret)
{
    long port;
    if (!parse_long(text, 0, 65535, &port))
        return "a number from 0 to 65535";
    *(int *)ret = (int)port;
    return NULL;
}

static inline const char *option_count(const char *text, void *ret)
{
    return parse_long(text, 1, 1000000000, ret) ? NULL : "a number from 1 to 1000000000";
}

static inline const char *option_seconds(const char *text, void *ret)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds >= 0.001 && seconds <= 1e6)) /* true for NaN as well */
        return "a number of seconds from 0.001 to 1000000";
    *(eddy_nsec *)ret = (eddy_nsec)(seconds * 1e9);
    return NULL;
}

static inline const char *option_bytes(const char *text, void *ret)
{
    static const char units[] = "KMG";
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end != text && *end && strchr(units, *end)) {
        int shift = 10 * (int)(strchr(units, *end) - units + 1);
        n = n <= INT64_MAX >> shift ? n * (1LL << shift) : 0;
        end++;
    }
    if (end == text || *end || errno || n < 1)
        return "a number of bytes such as 4096, 64K, 10M or 1G";
    *(int64_t *)ret = n;
    return NULL;
}

/* ---- the command line ---- */

/* argv[0] without its folder, for messages. */
static inline const char *program_name(char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    return slash ? slash + 1 : argv[0];
}

/* Ends the program: the command line is wrong. */
static inline _Noreturn void bad_usage(char **argv, const char *fmt, ...) EDDY_PRINTF(2, 3);

static inline _Noreturn void bad_usage(char **argv, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s: ", program_name(argv));
    vfprintf(stderr, fmt, args);
    fprintf(stderr, " (--help tells more)\n");
    va_end(args);
    exit(2);
}

static inline _Noreturn void print_help(char **argv, const char *arguments, const char *about,
                                        const struct option_spec *specs)
{
    printf("usage: %s [OPTION...]%s%s\n%s\n\n", program_name(argv), *arguments ? " " : "",
           arguments, about);
    for (; specs->name; specs++) {
        char left[32];
        snprintf(left, sizeof(left), "%s %s", specs->name, specs->value ? specs->value : "");
        printf("  %-20s %s\n", left, specs->help);
    }
    printf("  %-20s %s\n", "--help", "this text");
    exit(0);
}

/* Parses the option argv[i], and returns the index of the last word that belongs to it. */
static inline int parse_option(int argc, char **argv, int i, const struct option_spec *specs)
{
    const char *text = strchr(argv[i], '=');
    size_t len = text ? (size_t)(text - argv[i]) : strlen(argv[i]);
    const struct option_spec *spec = specs;
    while (spec->name && (strlen(spec->name) != len || memcmp(spec->name, argv[i], len) != 0))
        spec++;
    if (!spec->name)
        bad_usage(argv, "unknown option %.*s", (int)len, argv[i]);
    if (text && !spec->value)
        bad_usage(argv, "%s takes no value", spec->name);
    if (text)
        text++;
    else if (spec->value && ++i == argc)
        bad_usage(argv, "%s needs a value: %s", spec->name, spec->value);
    else
        text = argv[i];
    const char *expected = spec->parse(text, spec->ret);
    if (expected)
        bad_usage(argv, "%s %s: expected %s", spec->name, text, expected);
    return i;
}

/* Reads the command line. Words that are no options move to the front of argv, behind the name of
 * the program; returns how many there are. Answers --help and mistakes itself, by ending the
 * program. `arguments` names those other words, `about` says what the program is for. */
/* The exit code, unless what was printed is lost. */
static inline int end_of_output(const char *name, int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    fprintf(stderr, "%s: standard output: %s\n", name, strerror(errno));
    return 1;
}

static inline int parse_options(int argc, char **argv, const char *arguments, const char *about,
                                const struct option_spec *specs)
{
    /* Whoever reads our output through a pipe sees each line when it is printed. */
    setvbuf(stdout, NULL, _IOLBF, 0);

    int words = 0;
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        if (only_words || argv[i][0] != '-' || !argv[i][1])
            argv[++words] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (strcmp(argv[i], "--help") == 0)
            print_help(argv, arguments, about, specs);
        else
            i = parse_option(argc, argv, i, specs);
    }
    if (words && !*arguments)
        bad_usage(argv, "what is meant by '%s'?", argv[1]);
    return words;
}

/* Options that mean the same in every program. */
#define OPTION_BACKEND(ret)                                                                   \
    {                                                                                         \
        "--backend", "NAME", "select, poll, epoll, io_uring, proactor, default", option_text, \
            (ret)                                                                             \
    }
#define OPTION_SELECTOR(ret)                                                                \
    {                                                                                       \
        "--backend", "NAME", "a selector: select, poll, epoll, default", option_text, (ret) \
    }
#define OPTION_HOST(ret)                                                         \
    {                                                                            \
        "--host", "HOST", "a name or an address (127.0.0.1)", option_text, (ret) \
    }
#define OPTION_LISTEN_PORT(ret)                                                        \
    {                                                                                  \
        "--port", "PORT", "where to listen; 0: the kernel chooses", option_port, (ret) \
    }
#define OPTION_CONNECT_PORT(ret)                                         \
    {                                                                    \
        "--port", "PORT", "where the server listens", option_port, (ret) \
    }

/* ---- messages ---- */

static inline const char *error_text(const struct eddy_error *err)
{
    return err->text[0] ? err->text : eddy_strerror(err->code);
}

/* "listening on 127.0.0.1:7000", one line per address. */
static inline void print_addresses(const struct eddy_server *server)
{
    struct eddy_addr addr;
    char text[EDDY_ADDR_TEXT];
    for (unsigned i = 0; eddy_server_sockname(server, i, &addr) == 0; i++)
        printf("listening on %s\n", eddy_addr_format(&addr, text, sizeof(text)));
}

#endif
