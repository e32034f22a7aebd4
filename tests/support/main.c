/* The main of every test program: all cases, or those whose names contain the argument. */
#include "tests/support/test.h"
#include <CUnit/Basic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Who starts us may ignore some (nohup, a shell's background), and children would go on to. */
static void receive_signals(void)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD, SIGPIPE};

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], SIG_DFL);
}

static long live_before;
static int descriptors_before;

static void before_case(void)
{
    test_fail_allocation(0);
    test_log_begin();
    test_reset_peak_bytes();
    live_before = test_live_allocations();
    descriptors_before = test_open_descriptors();
}

/* Contract D5. */
static void after_case(void)
{
    test_fail_allocation(0);
    test_log_end();
    long live = test_live_allocations();
    if (live != live_before)
        FAIL("%ld allocations are live, %ld before the case", live, live_before);
    int descriptors = test_open_descriptors();
    if (descriptors != descriptors_before)
        FAIL("%d descriptors are open, %d before the case", descriptors, descriptors_before);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int run(const char *program, const char *filter)
{
    CU_pSuite suite = CU_add_suite_with_setup_and_teardown(base_name(program), NULL, NULL,
                                                           before_case, after_case);
    if (!suite)
        return 1;
    for (const struct test_case *c = test_cases; c->name; c++) {
        if (filter && !strstr(c->name, filter))
            continue;
        if (!CU_add_test(suite, c->name, c->fn))
            return 1;
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    if (CU_basic_run_tests() != CUE_SUCCESS)
        return 1;
    if (CU_get_number_of_tests_run() == 0) {
        fprintf(stderr, "no case has a name with: %s\n", filter ? filter : "");
        return 1;
    }
    return CU_get_number_of_failures() > 0;
}

/* Whether this system lets us have the backend under test at all. */
static bool can_run(void)
{
    struct eddy_error error = {.code = 0};
    struct eddy_loop *loop;

    if (!test_backend() || test_is_sim())
        return true;
    int rc = eddy_loop_new(EDDY_LOOP(.backend = test_backend(), .error = &error), &loop);
    if (rc == EDDY_ENOT_SUPPORTED)
        printf("skipped: %s\n", error.text);
    if (rc < 0)
        return rc != EDDY_ENOT_SUPPORTED;
    eddy_loop_close(loop);
    eddy_loop_unref(loop);
    return true;
}

int main(int argc, char **argv)
{
    /* A program that is killed for hanging shall have said in which case. */
    setvbuf(stdout, NULL, _IONBF, 0);
    receive_signals();
    test_checks_begin();
    test_memory_install();
    if (!can_run())
        return 77;
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    int result = run(argv[0], argc > 1 ? argv[1] : NULL);
    CU_cleanup_registry();
    return result;
}
