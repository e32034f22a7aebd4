/* What eddy_loop_new takes, and which backend it chooses. */
#include "tests/support/nodes.h"
#include "tests/support/script.h"
#include "tests/support/test.h"
#include <eddy/backend.h>
#include <eddy/future.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void check_backend(const char *expected)
{
    struct eddy_loop *loop = NULL;
    REQUIRE(eddy_loop_new(NULL, &loop) == 0);
    CHECK_STR(eddy_loop_backend_name(loop), expected);
    test_loop_free(loop);
}

static void P10_every_listed_backend_opens_by_its_name(void)
{
    unsigned n = 0;
    for (; eddy_backend_name(n); n++) {
        struct eddy_loop *loop = NULL;
        REQUIRE(eddy_loop_new(EDDY_LOOP(.backend = eddy_backend_name(n)), &loop) == 0);
        CHECK_STR(eddy_loop_backend_name(loop), eddy_backend_name(n));
        test_loop_free(loop);
    }
    CHECK(n >= 2);
    CHECK(eddy_backend_name(n + 1) == NULL);
    CHECK(eddy_backend_name(UINT32_MAX) == NULL);
}

static void P25_the_best_backend_is_the_default(void)
{
    unsetenv("EDDY_BACKEND");
    check_backend(eddy_backend_name(0));
    setenv("EDDY_BACKEND", "", 1);
    check_backend(eddy_backend_name(0));
    unsetenv("EDDY_BACKEND");
#ifdef __linux__
    CHECK_STR(eddy_backend_name(0), "epoll");
#endif
}

static void P10_the_environment_overrides_the_default(void)
{
    setenv("EDDY_BACKEND", "select", 1);
    check_backend("select");
    setenv("EDDY_BACKEND", "poll", 1);
    check_backend("poll");
    unsetenv("EDDY_BACKEND");
}

static void P10_options_override_the_environment(void)
{
    struct eddy_loop *loop = NULL;
    setenv("EDDY_BACKEND", "no-such-thing", 1);
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.backend = "poll"), &loop), 0);
    unsetenv("EDDY_BACKEND");
    REQUIRE(loop != NULL);
    CHECK_STR(eddy_loop_backend_name(loop), "poll");
    test_loop_free(loop);
}

static void P10_G1_G4_an_unknown_backend_is_refused_by_name(void)
{
    struct eddy_loop *loop = NULL;
    struct eddy_error error = {0};
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.backend = "kwikpoll", .error = &error), &loop), -EINVAL);
    CHECK(loop == NULL);
    CHECK_INT(error.code, -EINVAL);
    CHECK(strstr(error.text, "kwikpoll") != NULL);
    CHECK(strstr(error.text, "poll, select") != NULL);
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.backend = ""), &loop), -EINVAL);
    CHECK(loop == NULL);
}

static void G4_an_unknown_backend_in_the_environment_is_refused(void)
{
    struct eddy_loop *loop = NULL;
    struct eddy_error error = {0};
    setenv("EDDY_BACKEND", "kwikpoll", 1);
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.error = &error), &loop), -EINVAL);
    CHECK_INT(eddy_loop_new(NULL, &loop), -EINVAL);
    unsetenv("EDDY_BACKEND");
    CHECK(loop == NULL);
    CHECK(strstr(error.text, "kwikpoll") != NULL);
    CHECK(strstr(error.text, "EDDY_BACKEND") != NULL);
}

static void G4_contradicting_options_are_refused(void)
{
    struct test_script script;
    struct eddy_loop *loop = NULL, *other = NULL;
    struct eddy_error error = {0};
    REQUIRE(test_script_loop(&script, &loop) == 0);
    CHECK_INT(
        eddy_loop_new(EDDY_LOOP(.backend = "poll", .selector = &script.selector, .error = &error),
                      &other),
        -EINVAL);
    CHECK_INT(error.code, -EINVAL);
    CHECK(error.text[0] != '\0');
    CHECK(other == NULL);
    CHECK_INT(script.closes, 0);
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.slow_callback = -1), &other), -EINVAL);
    CHECK_INT(eddy_loop_new(NULL, NULL), -EINVAL);
    CHECK(other == NULL);
    test_loop_free(loop);
}

static void G4_missing_objects_are_refused(void)
{
    struct eddy_loop *loop = NULL;
    struct eddy_future *f = NULL;
    struct test_post p = TEST_POST(NULL, "p");
    struct test_watch w = TEST_WATCH(NULL, "w");
    struct test_signal s = TEST_SIGNAL(NULL, "s");
    struct test_done d = TEST_DONE(NULL, "d");
    CHECK_INT(eddy_loop_run_forever(NULL), -EINVAL);
    CHECK_INT(eddy_loop_run_once(NULL, 0), -EINVAL);
    CHECK_INT(eddy_loop_run_until_complete(NULL, NULL, NULL), -EINVAL);
    CHECK_INT(eddy_loop_close(NULL), -EINVAL);
    CHECK_INT(eddy_loop_forked(NULL), -EINVAL);
    CHECK_INT(eddy_loop_call_soon_threadsafe(NULL, &p.node), -EINVAL);
    CHECK_INT(eddy_loop_add_watch(NULL, &w.node, 0, EDDY_READ), -EINVAL);
    CHECK_INT(eddy_watch_modify(NULL, EDDY_READ), -EINVAL);
    CHECK_INT(eddy_loop_add_signal(NULL, &s.node, SIGUSR1), -EINVAL);
    CHECK_INT(eddy_future_new(NULL, &f), -EINVAL);
    CHECK(f == NULL);
    CHECK_INT(eddy_future_set_result(NULL, &f, NULL), -EINVAL);
    CHECK_INT(eddy_future_set_result_unless_cancelled(NULL, &f, NULL), -EINVAL);
    CHECK_INT(eddy_future_set_error(NULL, EDDY_ERROR(-EIO, "")), -EINVAL);
    CHECK_INT(eddy_future_result(NULL, NULL), -EINVAL);
    CHECK_INT(eddy_future_add_done_callback(NULL, &d.node), -EINVAL);
    REQUIRE(eddy_loop_new(NULL, &loop) == 0);
    CHECK_INT(eddy_future_new(loop, NULL), -EINVAL);
    CHECK_INT(eddy_loop_run_until_complete(loop, NULL, NULL), -EINVAL);
    test_loop_free(loop);
}

/* Options as a program built with a later version would hand them over. */
struct later_opts {
    struct eddy_loop_opts now;
    uint64_t later[2];
};

static void G8_options_of_a_later_version(void)
{
    struct eddy_loop *loop = NULL;
    struct later_opts opts = {0};
    opts.now.abi_size = sizeof opts;
    CHECK_INT(eddy_loop_new(&opts.now, &loop), 0);
    if (loop)
        test_loop_free(loop);
    loop = NULL;
    opts.later[1] = 1;
    CHECK_INT(eddy_loop_new(&opts.now, &loop), -E2BIG);
    CHECK(loop == NULL);
}

static void G8_options_without_their_size_are_refused(void)
{
    struct eddy_loop *loop = NULL;
    CHECK_INT(eddy_loop_new(&(struct eddy_loop_opts){.debug = true}, &loop), -EINVAL);
    CHECK(loop == NULL);
}

static void P26_G31_a_selector_of_ones_own_runs_the_loop(void)
{
    struct test_script script;
    struct eddy_loop *loop = NULL;
    REQUIRE(test_script_loop(&script, &loop) == 0);
    CHECK_STR(eddy_loop_backend_name(loop), "script");
    CHECK_INT(eddy_loop_time(loop), EDDY_SEC(1000));
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_INT(script.waits, 1);
    CHECK_INT(eddy_loop_fileno(loop), EDDY_ENOT_SUPPORTED);
    CHECK_INT(script.closes, 0);
    test_loop_free(loop);
    CHECK_INT(script.closes, 1);
}

static void L4_a_failing_wait_ends_the_run_with_its_code(void)
{
    struct test_script script;
    struct eddy_loop *loop = NULL;
    struct eddy_future *f = NULL;
    REQUIRE(test_script_loop(&script, &loop) == 0);
    REQUIRE(eddy_future_new(loop, &f) == 0);
    script.fail_wait = -EBADF;
    CHECK_INT(eddy_loop_run_forever(loop), -EBADF);
    CHECK(!eddy_loop_is_running(loop));
    CHECK(eddy_get_running_loop() == NULL);
    script.fail_wait = -EBADF;
    CHECK_INT(eddy_loop_run_once(loop, 0), -EBADF);
    CHECK(!eddy_loop_is_running(loop));
    script.fail_wait = -EBADF;
    CHECK_INT(eddy_loop_run_until_complete(loop, f, NULL), -EBADF);
    CHECK(!eddy_loop_is_running(loop));
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    eddy_future_unref(f);
    test_loop_free(loop);
}

struct line {
    int count;
    char text[200];
};

static void keep_line(void *user, enum eddy_log_level level, const char *component,
                      const char *text)
{
    struct line *line = user;
    if (level != EDDY_LOG_WARNING)
        return;
    line->count++;
    snprintf(line->text, sizeof line->text, "%s: %s", component, text);
}

static void G30_G31_a_loop_has_a_log_of_its_own(void)
{
    struct eddy_loop *loop = NULL;
    struct line line = {0};
    REQUIRE(eddy_loop_new(EDDY_LOOP(.log = keep_line, .user = &line), &loop) == 0);
    eddy_loop_unref(loop); /* without close: a warning */
    CHECK_INT(line.count, 1);
    CHECK(strstr(line.text, "unclosed event loop") != NULL);
    CHECK_INT(test_count_log("unclosed event loop"), 0);
}

static void new_loop_without_descriptors(void *user)
{
    (void)user;
    struct rlimit limit = {0};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    int before = test_open_descriptors();
    int lowest = dup(STDIN_FILENO);
    REQUIRE(lowest >= 0);
    close(lowest);
    int failed = 0;
    for (unsigned i = 0; eddy_backend_name(i); i++) {
        for (int more = 0;; more++) {
            struct eddy_loop *loop = NULL;
            struct eddy_error error = {0};
            struct rlimit lower = limit;
            lower.rlim_cur = (rlim_t)(lowest + more);
            REQUIRE(setrlimit(RLIMIT_NOFILE, &lower) == 0);
            int err =
                eddy_loop_new(EDDY_LOOP(.backend = eddy_backend_name(i), .error = &error), &loop);
            REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
            if (err == 0) {
                test_loop_free(loop);
                break;
            }
            failed++;
            CHECK_INT(err, -EMFILE);
            CHECK_INT(error.code, -EMFILE);
            CHECK(error.text[0] != '\0');
            CHECK(loop == NULL);
            CHECK_INT(test_open_descriptors(), before);
            REQUIRE(more < 10);
        }
    }
    CHECK(failed >= 2);
}

/* In a child: the limit is the process's. */
static void G3_new_loop_out_of_descriptors(void)
{
    test_in_child(new_loop_without_descriptors, NULL);
}

static void L49_the_environment_switches_debug_mode_on(void)
{
    static const struct {
        const char *value;
        bool debug;
    } cases[] = {{"1", true}, {"0", false}, {"", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct eddy_loop *loop = NULL;
        setenv("EDDY_DEBUG", cases[i].value, 1);
        REQUIRE(eddy_loop_new(NULL, &loop) == 0);
        CHECK_INT(eddy_loop_get_debug(loop), cases[i].debug);
        test_loop_free(loop);
    }
    unsetenv("EDDY_DEBUG");
}

static void G4_a_backend_class_without_open(void)
{
    static const struct eddy_backend_class cls = {.name = "none", .abi_size = sizeof cls};
    struct eddy_loop *loop = NULL;
    struct eddy_error error = {.code = 0};
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.backend_class = &cls, .error = &error), &loop), -EINVAL);
    CHECK_INT(error.code, -EINVAL);
    CHECK(loop == NULL);
}

const struct test_case test_cases[] = {
    TEST(P10_every_listed_backend_opens_by_its_name),
    TEST(P25_the_best_backend_is_the_default),
    TEST(P10_the_environment_overrides_the_default),
    TEST(P10_options_override_the_environment),
    TEST(P10_G1_G4_an_unknown_backend_is_refused_by_name),
    TEST(G4_an_unknown_backend_in_the_environment_is_refused),
    TEST(G4_contradicting_options_are_refused),
    TEST(G4_missing_objects_are_refused),
    TEST(G8_options_of_a_later_version),
    TEST(G8_options_without_their_size_are_refused),
    TEST(P26_G31_a_selector_of_ones_own_runs_the_loop),
    TEST(L4_a_failing_wait_ends_the_run_with_its_code),
    TEST(G30_G31_a_loop_has_a_log_of_its_own),
    TEST(G3_new_loop_out_of_descriptors),
    TEST(L49_the_environment_switches_debug_mode_on),
    TEST(G4_a_backend_class_without_open),
    TEST_END,
};
