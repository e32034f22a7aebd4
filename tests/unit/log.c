#include "framework/base/log.h"
#include "tests/support/test.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* What the default sink writes to standard error while fn runs. */
static void capture(void (*fn)(void), char *buf, size_t size)
{
    int ends[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    REQUIRE(saved >= 0);
    REQUIRE(pipe(ends) == 0);
    REQUIRE(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    REQUIRE(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    eddy_set_log(NULL, NULL);
    fn();
    eddy_set_log(test_log, NULL);
    dup2(saved, STDERR_FILENO);
    n = read(ends[0], buf, size - 1);
    buf[n > 0 ? n : 0] = '\0';
    close(saved);
    close(ends[0]);
    close(ends[1]);
}

static void log_each_level(void)
{
    eddy_log_text(EDDY_LOG_DEBUG, "loop", "a detail");
    eddy_log_text(EDDY_LOG_INFO, "loop", "news");
    eddy_log_text(EDDY_LOG_WARNING, "loop", "not good");
    eddy_log_text(EDDY_LOG_ERROR, "server", "bad");
}

static void G30_default_sink_prints_warnings_and_errors(void)
{
    char text[512];

    capture(log_each_level, text, sizeof(text));
    CHECK_STR(text, "eddy: warning: loop: not good\neddy: error: server: bad\n");
}

static char long_line[2000];

static void log_long_line(void)
{
    eddy_log_text(EDDY_LOG_ERROR, "test", long_line);
}

static void default_sink_does_not_cut(void)
{
    static char text[3000];

    memset(long_line, 'x', sizeof(long_line) - 1);
    capture(log_long_line, text, sizeof(text));
    CHECK_INT(strlen(text), strlen("eddy: error: test: ") + sizeof(long_line) - 1 + 1);
}

static struct {
    int count;
    enum eddy_log_level level;
    char component[32], text[64];
} seen;

static void remember(void *user, enum eddy_log_level level, const char *component, const char *text)
{
    CHECK(user == &seen);
    seen.count++;
    seen.level = level;
    strncpy(seen.component, component, sizeof(seen.component) - 1);
    strncpy(seen.text, text, sizeof(seen.text) - 1);
}

static void G31_sink_is_replaceable_and_gets_all_levels(void)
{
    eddy_set_log(remember, &seen);
    eddy_log_text(EDDY_LOG_DEBUG, "loop", "uses epoll");
    CHECK_INT(seen.count, 1);
    CHECK_INT(seen.level, EDDY_LOG_DEBUG);
    CHECK_STR(seen.component, "loop");
    CHECK_STR(seen.text, "uses epoll");
    eddy_log_text(EDDY_LOG_ERROR, "server", "is gone");
    CHECK_INT(seen.count, 2);
    CHECK_INT(seen.level, EDDY_LOG_ERROR);
    eddy_set_log(test_log, NULL);
}

const struct test_case test_cases[] = {
    TEST(G30_default_sink_prints_warnings_and_errors),
    TEST(default_sink_does_not_cut),
    TEST(G31_sink_is_replaceable_and_gets_all_levels),
    TEST_END,
};
