/* Checks with both values in the message, traces, names of codes. */
#include "tests/support/test.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* CUnit keeps its books for one thread only. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void take_lock(void)
{
    pthread_mutex_lock(&lock);
}

static void give_lock(void)
{
    pthread_mutex_unlock(&lock);
}

void test_checks_begin(void)
{
    pthread_atfork(take_lock, give_lock, give_lock);
}

static bool report(bool held, const char *message, const char *file, int line)
{
    take_lock();
    CU_assertImplementation(held, (unsigned)line, message, file, "", CU_FALSE);
    give_lock();
    return held;
}

bool test_check(bool held, const char *what, const char *file, int line)
{
    return report(held, what, file, line);
}

bool test_check_int(long long actual, long long expected, const char *what, const char *file,
                    int line)
{
    char message[512];
    if (actual == expected)
        return report(true, what, file, line);
    snprintf(message, sizeof message, "%s: it is %lld, expected %lld", what, actual, expected);
    return report(false, message, file, line);
}

bool test_check_str(const char *actual, const char *expected, const char *what, const char *file,
                    int line)
{
    char message[2048];
    if (actual && expected && strcmp(actual, expected) == 0)
        return report(true, what, file, line);
    snprintf(message, sizeof message, "%s is \"%s\", expected \"%s\"", what,
             actual ? actual : "(null)", expected ? expected : "(null)");
    return report(false, message, file, line);
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    char message[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    report(false, message, file, line);
}

void test_end_case(void)
{
    longjmp(*CU_get_current_test()->pJumpBuf, 1);
}

/* ---- traces ---- */

void test_trace(struct test_trace *trace, const char *fmt, ...)
{
    size_t room = sizeof trace->text - trace->len;
    if (room < 80)
        return; /* is compared as it is, and so noticed */
    char *at = trace->text + trace->len;
    if (trace->len > 0) {
        *at++ = ' ';
        room--;
    }
    va_list args;
    va_start(args, fmt);
    vsnprintf(at, room, fmt, args);
    va_end(args);
    trace->len += strlen(trace->text + trace->len);
}

const char *trace_text(const struct test_trace *trace)
{
    return trace->text;
}

void trace_clear(struct test_trace *trace)
{
    trace->len = 0;
    trace->text[0] = '\0';
}

static size_t word_length(const char *s)
{
    return strcspn(s, " ");
}

static const char *next_word(const char *s)
{
    s += word_length(s);
    return s + strspn(s, " ");
}

int trace_count(const struct test_trace *trace, const char *prefix)
{
    int count = 0;
    for (const char *s = trace->text; *s; s = next_word(s)) {
        if (strncmp(s, prefix, strlen(prefix)) == 0)
            count++;
    }
    return count;
}

static bool begins_with(const char *word, const char *prefix, size_t len)
{
    return strncmp(word, prefix, len) == 0;
}

/* Tokens taken greedily: a starred word is never followed by a plain one with its prefix. */
static bool trace_matches(const char *actual, const char *expected)
{
    for (; *expected; expected = next_word(expected)) {
        size_t len = word_length(expected);
        char last = expected[len - 1];
        if (last == '*' || last == '+') {
            const char *start = actual;
            while (*actual && begins_with(actual, expected, len - 1))
                actual = next_word(actual);
            if (last == '+' && actual == start)
                return false;
        } else {
            if (word_length(actual) != len || !begins_with(actual, expected, len))
                return false;
            actual = next_word(actual);
        }
    }
    return *actual == '\0';
}

bool test_check_trace(const struct test_trace *trace, const char *expected, const char *what,
                      const char *file, int line)
{
    char message[2048];
    if (trace_matches(trace->text, expected))
        return report(true, what, file, line);
    snprintf(message, sizeof message, "%s is \"%.900s\", expected \"%.900s\"", what, trace->text,
             expected);
    return report(false, message, file, line);
}

/* ---- codes ---- */

const char *test_code(int code)
{
    static const struct {
        int code;
        const char *name;
    } names[] = {
        {0, "0"},
        {EDDY_ELOOP_CLOSED, "ELOOP_CLOSED"},
        {EDDY_ELOOP_RUNNING, "ELOOP_RUNNING"},
        {EDDY_EOTHER_LOOP, "EOTHER_LOOP"},
        {EDDY_ENOT_COMPLETED, "ENOT_COMPLETED"},
        {EDDY_ENO_LOOP, "ENO_LOOP"},
        {EDDY_ETHREAD, "ETHREAD"},
        {EDDY_EFD_IN_USE, "EFD_IN_USE"},
        {EDDY_ENOT_REGISTERED, "ENOT_REGISTERED"},
        {EDDY_ENOT_SUPPORTED, "ENOT_SUPPORTED"},
        {EDDY_EINVALID_STATE, "EINVALID_STATE"},
        {EDDY_ECLOSED, "ECLOSED"},
        {EDDY_ESTALLED, "ESTALLED"},
        {EDDY_EEXECUTOR_SHUTDOWN, "EEXECUTOR_SHUTDOWN"},
        {EDDY_EDNS, "EDNS"},
        {EDDY_EMULTIPLE, "EMULTIPLE"},
        {EDDY_ESENDFILE_NA, "ESENDFILE_NA"},
        {EDDY_ETLS, "ETLS"},
        {EDDY_ETLS_CERT, "ETLS_CERT"},
        {-EACCES, "EACCES"},
        {-EADDRINUSE, "EADDRINUSE"},
        {-EADDRNOTAVAIL, "EADDRNOTAVAIL"},
        {-EAGAIN, "EAGAIN"},
        {-EALREADY, "EALREADY"},
        {-EBADF, "EBADF"},
        {-ECANCELED, "ECANCELED"},
        {-ECONNABORTED, "ECONNABORTED"},
        {-ECONNREFUSED, "ECONNREFUSED"},
        {-ECONNRESET, "ECONNRESET"},
        {-EEXIST, "EEXIST"},
        {-EHOSTUNREACH, "EHOSTUNREACH"},
        {-EINTR, "EINTR"},
        {-EINVAL, "EINVAL"},
        {-EIO, "EIO"},
        {-EMFILE, "EMFILE"},
        {-EMSGSIZE, "EMSGSIZE"},
        {-ENFILE, "ENFILE"},
        {-ENOBUFS, "ENOBUFS"},
        {-ENOMEM, "ENOMEM"},
        {-ENOTCONN, "ENOTCONN"},
        {-EPERM, "EPERM"},
        {-EPIPE, "EPIPE"},
        {-EPROTO, "EPROTO"},
        {-ETIMEDOUT, "ETIMEDOUT"},
        {-E2BIG, "E2BIG"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].code == code)
            return names[i].name;
    }
    return "?";
}
