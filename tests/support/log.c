/* The log sink under all tests, and what may appear in it; a recorder for on_problem. */
#include "tests/support/test.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MAX_LINES 512
#define MAX_EXPECTED 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
    enum eddy_log_level level;
    char text[320];
} lines[MAX_LINES];
static int n_lines;
static int n_lost;

static const char *expected[MAX_EXPECTED];
static int n_expected;

void test_log(void *user, enum eddy_log_level level, const char *component, const char *text)
{
    (void)user;
    pthread_mutex_lock(&lock);
    if (n_lines < MAX_LINES) {
        lines[n_lines].level = level;
        snprintf(lines[n_lines].text, sizeof lines[n_lines].text, "%s: %s", component, text);
        n_lines++;
    } else if (level >= EDDY_LOG_WARNING) {
        n_lost++;
    }
    pthread_mutex_unlock(&lock);
}

int test_count_log(const char *fragment)
{
    int count = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < n_lines; i++) {
        if (strstr(lines[i].text, fragment))
            count++;
    }
    pthread_mutex_unlock(&lock);
    return count;
}

void test_expect_log(const char *fragment)
{
    if (n_expected == MAX_EXPECTED)
        FAIL("too many expected log lines");
    else
        expected[n_expected++] = fragment;
}

void test_log_begin(void)
{
    pthread_mutex_lock(&lock);
    n_lines = 0;
    n_lost = 0;
    pthread_mutex_unlock(&lock);
    n_expected = 0;
    eddy_set_log(test_log, NULL);
}

static bool is_expected(const char *text)
{
    for (int i = 0; i < n_expected; i++) {
        if (strstr(text, expected[i]))
            return true;
    }
    return false;
}

void test_log_end(void)
{
    for (int i = 0; i < n_lines; i++) {
        if (lines[i].level >= EDDY_LOG_WARNING && !is_expected(lines[i].text))
            FAIL("unexpected log line: %s", lines[i].text);
    }
    for (int i = 0; i < n_expected; i++) {
        if (test_count_log(expected[i]) == 0)
            FAIL("nothing was logged with: %s", expected[i]);
    }
    if (n_lost > 0)
        FAIL("%d more warnings and errors were logged", n_lost);
}

void test_on_problem(struct eddy_loop *loop, const struct eddy_problem *problem, void *user)
{
    struct test_problems *seen = user;
    pthread_mutex_lock(&lock);
    seen->count++;
    snprintf(seen->message, sizeof seen->message, "%s", problem->message ? problem->message : "");
    snprintf(seen->text, sizeof seen->text, "%s", problem->error ? problem->error->text : "");
    snprintf(seen->site, sizeof seen->site, "%s", problem->site ? problem->site : "");
    seen->code = problem->error ? problem->error->code : 0;
    seen->fd = problem->fd;
    seen->loop = loop;
    seen->future = problem->future;
    seen->transport = problem->transport;
    seen->protocol = problem->protocol;
    seen->server = problem->server;
    pthread_mutex_unlock(&lock);
}
