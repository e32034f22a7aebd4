/* Futures. */
/* backends: select poll epoll io_uring sim sim-late */
#include "tests/support/nodes.h"
#include "tests/support/test.h"
#include <stdlib.h>
#include <string.h>

static struct test_trace trace;
static struct test_problems problems;
static struct eddy_loop *loop;
static struct eddy_future *future;
static int destroyed;
static int value;

static void begin(void)
{
    trace_clear(&trace);
    problems = (struct test_problems){0};
    destroyed = 0;
    loop = NULL;
    future = NULL;
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.on_problem = test_on_problem, .user = &problems),
                               &loop) == 0);
    REQUIRE(eddy_future_new(loop, &future) == 0);
}

static void end(void)
{
    eddy_future_unref(future);
    future = NULL;
    test_loop_free(loop);
    loop = NULL;
}

static void count_destroyed(void *v)
{
    CHECK(v == &value);
    destroyed++;
}

/* ---- states ---- */

static void F1_F3_a_new_future_is_pending(void)
{
    begin();
    void *got = &trace;
    CHECK(!eddy_future_is_done(future));
    CHECK(!eddy_future_is_cancelled(future));
    CHECK_INT(eddy_future_result(future, &got), EDDY_EINVALID_STATE);
    CHECK(got == &trace);
    CHECK(eddy_future_error(future) == NULL);
    end();
}

static void F12_a_future_knows_its_loop(void)
{
    begin();
    CHECK(eddy_future_loop(future) == loop);
    end();
}

static void F1_F3_a_result(void)
{
    begin();
    void *got = NULL;
    CHECK_INT(eddy_future_set_result(future, &value, NULL), 0);
    CHECK(eddy_future_is_done(future));
    CHECK(!eddy_future_is_cancelled(future));
    CHECK_INT(eddy_future_result(future, &got), 0);
    CHECK(got == &value);
    CHECK_INT(eddy_future_result(future, NULL), 0);
    CHECK(eddy_future_error(future) == NULL);
    end();
}

static void F1_F3_an_error(void)
{
    begin();
    void *got = &trace;
    struct eddy_error error = {.code = -EPROTO, .detail = 7, .op = "test", .text = "as told"};
    CHECK_INT(eddy_future_set_error(future, &error), 0);
    memset(&error, 0, sizeof error); /* it was copied */
    CHECK(eddy_future_is_done(future));
    CHECK(!eddy_future_is_cancelled(future));
    CHECK_INT(eddy_future_result(future, &got), -EPROTO);
    CHECK(got == &trace);
    const struct eddy_error *kept = eddy_future_error(future);
    REQUIRE(kept != NULL);
    CHECK_INT(kept->code, -EPROTO);
    CHECK_INT(kept->detail, 7);
    CHECK_STR(kept->op, "test");
    CHECK_STR(kept->text, "as told");
    end();
    CHECK_INT(problems.count, 0);
}

static void F4_F3_cancelling(void)
{
    begin();
    void *got = &trace;
    CHECK(eddy_future_cancel(future, "no longer needed"));
    CHECK(eddy_future_is_done(future));
    CHECK(eddy_future_is_cancelled(future));
    CHECK_INT(eddy_future_result(future, &got), -ECANCELED);
    CHECK(got == &trace);
    const struct eddy_error *error = eddy_future_error(future);
    REQUIRE(error != NULL);
    CHECK_INT(error->code, -ECANCELED);
    CHECK(strstr(error->text, "no longer needed") != NULL);
    end();
}

static void F4_cancelling_without_a_message(void)
{
    begin();
    CHECK(eddy_future_cancel(future, NULL));
    CHECK_INT(eddy_future_result(future, NULL), -ECANCELED);
    end();
}

static void F4_only_a_pending_future_is_cancelled(void)
{
    begin();
    CHECK_INT(eddy_future_set_result(future, &value, NULL), 0);
    CHECK(!eddy_future_cancel(future, "too late"));
    CHECK(!eddy_future_is_cancelled(future));
    CHECK_INT(eddy_future_result(future, NULL), 0);
    eddy_future_unref(future);

    REQUIRE(eddy_future_new(loop, &future) == 0);
    CHECK(eddy_future_cancel(future, "first"));
    CHECK(!eddy_future_cancel(future, "second"));
    CHECK(strstr(eddy_future_error(future)->text, "first") != NULL);
    end();
}

/* ---- completing twice, and who owns the value ---- */

static void F2_a_future_is_completed_once(void)
{
    begin();
    void *got = NULL;
    CHECK_INT(eddy_future_set_result(future, &value, NULL), 0);
    CHECK_INT(eddy_future_set_result(future, &trace, count_destroyed), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EIO, "")), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_future_set_result_unless_cancelled(future, &trace, count_destroyed),
              EDDY_EINVALID_STATE);
    CHECK_INT(eddy_future_result(future, &got), 0);
    CHECK(got == &value);
    end();
    CHECK_INT(destroyed, 0);
}

static void F2_a_failed_future_keeps_its_error(void)
{
    begin();
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EIO, "first")), 0);
    CHECK_INT(eddy_future_set_result(future, &value, count_destroyed), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EPROTO, "second")), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_future_result(future, NULL), -EIO);
    CHECK_STR(eddy_future_error(future)->text, "first");
    end();
    CHECK_INT(destroyed, 0);
}

static void F2_a_cancelled_future_takes_no_result(void)
{
    begin();
    CHECK(eddy_future_cancel(future, NULL));
    CHECK_INT(eddy_future_set_result(future, &value, count_destroyed), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EIO, "")), EDDY_EINVALID_STATE);
    CHECK(eddy_future_is_cancelled(future));
    end();
    CHECK_INT(destroyed, 0);
}

static void F2_the_value_is_destroyed_with_the_future(void)
{
    begin();
    CHECK_INT(eddy_future_set_result(future, &value, count_destroyed), 0);
    eddy_future_ref(future);
    eddy_future_unref(future);
    CHECK_INT(destroyed, 0);
    end();
    CHECK_INT(destroyed, 1);
}

static void F13_set_result_unless_cancelled(void)
{
    begin();
    CHECK_INT(eddy_future_set_result_unless_cancelled(future, &value, count_destroyed), 0);
    CHECK_INT(eddy_future_result(future, NULL), 0);
    CHECK_INT(destroyed, 0);
    eddy_future_unref(future);
    CHECK_INT(destroyed, 1);

    REQUIRE(eddy_future_new(loop, &future) == 0);
    CHECK(eddy_future_cancel(future, NULL));
    CHECK_INT(eddy_future_set_result_unless_cancelled(future, &value, count_destroyed), 0);
    CHECK_INT(destroyed, 2); /* nobody else could */
    CHECK(eddy_future_is_cancelled(future));
    end();
    CHECK_INT(destroyed, 2);
}

static void G4_an_error_must_be_one(void)
{
    begin();
    CHECK_INT(eddy_future_set_error(future, NULL), -EINVAL);
    CHECK_INT(eddy_future_set_error(future, &(struct eddy_error){.code = 0}), -EINVAL);
    CHECK_INT(eddy_future_set_error(future, &(struct eddy_error){.code = 5}), -EINVAL);
    CHECK(!eddy_future_is_done(future));
    end();
}

static void G4_a_future_that_is_null_is_refused_and_has_nothing(void)
{
    struct eddy_done done = {.fn = NULL};
    CHECK(eddy_future_ref(NULL) == NULL);
    eddy_future_unref(NULL);
    CHECK_INT(eddy_future_set_result(NULL, NULL, NULL), -EINVAL);
    CHECK_INT(eddy_future_set_result_unless_cancelled(NULL, NULL, NULL), -EINVAL);
    CHECK_INT(eddy_future_set_error(NULL, EDDY_ERROR(-EPROTO, "no future")), -EINVAL);
    CHECK(!eddy_future_cancel(NULL, "no future"));
    CHECK(!eddy_future_is_done(NULL));
    CHECK(!eddy_future_is_cancelled(NULL));
    CHECK_INT(eddy_future_result(NULL, NULL), -EINVAL);
    CHECK(eddy_future_error(NULL) == NULL);
    CHECK(eddy_future_loop(NULL) == NULL);
    CHECK_INT(eddy_future_add_done_callback(NULL, &done), -EINVAL);
    eddy_future_remove_done_callback(NULL);
    eddy_future_on_cancel(NULL, NULL, NULL);
    CHECK_INT(eddy_future_new(NULL, NULL), -EINVAL);
}

static void G4_done_callbacks_need_a_function(void)
{
    begin();
    struct eddy_done d = {0};
    CHECK_INT(eddy_future_add_done_callback(future, &d), -EINVAL);
    CHECK_INT(eddy_future_add_done_callback(future, NULL), -EINVAL);
    eddy_future_remove_done_callback(&d);
    end();
}

static void G5_future_new_without_memory(void)
{
    begin();
    struct eddy_future *f = NULL;
    test_fail_allocation(1);
    CHECK_INT(eddy_future_new(loop, &f), -ENOMEM);
    CHECK(f == NULL);
    end();
}

static void G5_nothing_but_making_a_future_allocates(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "a"), b = TEST_DONE(&trace, "b");
    test_run_steps(loop, 1);
    long before = test_allocations();
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EIO, "")), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &b.node), 0);
    test_run_steps(loop, 1);
    CHECK_INT(eddy_future_result(future, NULL), -EIO);
    CHECK_INT(test_allocations(), before);
    CHECK_TRACE(trace, "a b");
    end();
}

/* ---- done callbacks ---- */

static void E34_F5_F6_callbacks_come_from_the_loop_in_order(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "1"), b = TEST_DONE(&trace, "2"),
                     c = TEST_DONE(&trace, "3");
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &b.node), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "");
    CHECK_INT(eddy_future_set_result(future, NULL, NULL), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &c.node), 0);
    test_trace(&trace, "code");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "code 1 2 3");
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "code 1 2 3");
    end();
}

static void F5_callbacks_queue_behind_what_is_ready(void)
{
    begin();
    struct test_done d = TEST_DONE(&trace, "d");
    struct test_handle a = TEST_HANDLE(&trace, "a"), b = TEST_HANDLE(&trace, "b");
    CHECK_INT(eddy_future_add_done_callback(future, &d.node), 0);
    eddy_loop_call_soon(loop, &a.node);
    CHECK_INT(eddy_future_set_result(future, NULL, NULL), 0);
    eddy_loop_call_soon(loop, &b.node);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a d b");
    end();
}

static void F5_callbacks_follow_errors_and_cancelling(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "a");
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EIO, "")), 0);
    CHECK_TRACE(trace, "");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a");
    CHECK_INT(eddy_future_result(future, NULL), -EIO);
    eddy_future_unref(future);

    REQUIRE(eddy_future_new(loop, &future) == 0);
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK(eddy_future_cancel(future, NULL));
    CHECK_TRACE(trace, "a");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a a");
    end();
}

static void F5_a_callback_is_added_once(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "a");
    struct eddy_future *other = NULL;
    REQUIRE(eddy_future_new(loop, &other) == 0);
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), -EALREADY);
    CHECK_INT(eddy_future_add_done_callback(other, &a.node), -EALREADY);
    CHECK_INT(eddy_future_set_result(future, NULL, NULL), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), -EALREADY);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a");
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a a");
    eddy_future_unref(other);
    end();
}

static void G14_a_removed_callback_does_not_come(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "a"), b = TEST_DONE(&trace, "b"),
                     c = TEST_DONE(&trace, "c");
    eddy_future_remove_done_callback(&a.node);
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &b.node), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &c.node), 0);
    eddy_future_remove_done_callback(&a.node);
    CHECK_INT(eddy_future_set_result(future, NULL, NULL), 0);
    eddy_future_remove_done_callback(&b.node); /* scheduled already */
    eddy_future_remove_done_callback(&b.node);
    test_run_steps(loop, 2);
    CHECK_TRACE(trace, "c");
    end();
}

static void remove_user(struct test_done *d)
{
    eddy_future_remove_done_callback(d->user);
}

static void add_user(struct test_done *d)
{
    CHECK_INT(eddy_future_add_done_callback(future, d->user), 0);
}

static void F8_callbacks_may_remove_and_add_others(void)
{
    begin();
    struct test_done late = TEST_DONE(&trace, "late"), b = TEST_DONE(&trace, "b");
    struct test_done a = TEST_DONE(&trace, "a", .then = remove_user, .user = &b.node);
    struct test_done c = TEST_DONE(&trace, "c", .then = add_user, .user = &late.node);
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &b.node), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &c.node), 0);
    CHECK_INT(eddy_future_set_result(future, NULL, NULL), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a c");
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a c late");
    end();
}

static void add_itself(struct test_done *d)
{
    eddy_future_remove_done_callback(&d->node);
    CHECK_INT(eddy_future_add_done_callback(future, &d->node), 0);
    if (trace_count(&trace, "a") == 3)
        eddy_future_remove_done_callback(&d->node);
}

static void F8_G13_a_callback_may_add_itself_again(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "a", .then = add_itself);
    CHECK_INT(eddy_future_set_result(future, NULL, NULL), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a");
    test_run_steps(loop, 5);
    CHECK_TRACE(trace, "a a a");
    end();
}

static void free_it(struct test_done *d)
{
    free(d);
}

static void G14_a_callback_may_free_itself(void)
{
    begin();
    struct test_done *d = malloc(sizeof *d);
    REQUIRE(d != NULL);
    *d = (struct test_done)TEST_DONE(&trace, "d", .then = free_it);
    CHECK_INT(eddy_future_add_done_callback(future, &d->node), 0);
    CHECK_INT(eddy_future_set_result(future, NULL, NULL), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "d");
    end();
}

/* ---- lifetime ---- */

static void G12_G16_a_completed_future_lives_until_its_last_callback(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "a"), b = TEST_DONE(&trace, "b");
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &b.node), 0);
    CHECK_INT(eddy_future_set_result(future, &value, count_destroyed), 0);
    eddy_future_unref(future);
    future = NULL;
    CHECK_INT(destroyed, 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a b");
    CHECK_INT(destroyed, 1);
    end();
}

static void drop_future(struct test_done *d)
{
    (void)d;
    eddy_future_unref(future);
    future = NULL;
}

static void G12_the_last_reference_may_go_inside_a_callback(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "a", .then = drop_future), b = TEST_DONE(&trace, "b");
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_future_add_done_callback(future, &b.node), 0);
    CHECK_INT(eddy_future_set_result(future, &value, count_destroyed), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a b");
    CHECK_INT(destroyed, 1);
    end();
}

static void G13_callbacks_of_a_freed_future_can_be_used_again(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "a");
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    eddy_future_unref(future);
    eddy_future_remove_done_callback(&a.node);
    REQUIRE(eddy_future_new(loop, &future) == 0);
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_future_set_result(future, NULL, NULL), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a");
    end();
}

static void F12_a_future_keeps_its_loop_alive(void)
{
    if (test_is_sim())
        return; /* there the loop must go before its simulator */
    struct eddy_future *f = NULL;
    REQUIRE(test_loop_new(&loop) == 0);
    REQUIRE(eddy_future_new(loop, &f) == 0);
    test_loop_free(loop);
    CHECK(eddy_future_loop(f) == loop);
    CHECK(eddy_loop_is_closed(eddy_future_loop(f)));
    eddy_future_unref(f);
    eddy_future_unref(NULL);
}

/* ---- errors nobody looks at ---- */

static void F10_an_error_nobody_looked_at_is_reported(void)
{
    begin();
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EPROTO, "unheard")), 0);
    test_run_steps(loop, 1);
    CHECK_INT(problems.count, 0);
    struct eddy_future *f = future;
    eddy_future_unref(future);
    future = NULL;
    CHECK_INT(problems.count, 1);
    CHECK_INT(problems.code, -EPROTO);
    CHECK(problems.future == f);
    CHECK(strstr(problems.message, "never retrieved") != NULL);
    CHECK_STR(problems.text, "unheard");
    end();
    CHECK_INT(problems.count, 1);
}

static void F10_looking_pays_the_debt(void)
{
    begin();
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EPROTO, "")), 0);
    CHECK_INT(eddy_future_result(future, NULL), -EPROTO);
    eddy_future_unref(future);
    REQUIRE(eddy_future_new(loop, &future) == 0);
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EPROTO, "")), 0);
    CHECK(eddy_future_error(future) != NULL);
    eddy_future_unref(future);
    REQUIRE(eddy_future_new(loop, &future) == 0);
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EPROTO, "")), 0);
    CHECK_INT(eddy_loop_run_until_complete(loop, future, NULL), -EPROTO);
    eddy_future_unref(future);
    REQUIRE(eddy_future_new(loop, &future) == 0);
    CHECK(eddy_future_cancel(future, NULL)); /* cancelling makes no debt */
    end();
    CHECK_INT(problems.count, 0);
}

/* ---- closed loops ---- */

static void F11_completing_on_a_closed_loop_drops_the_callbacks(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "a");
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_future_set_result(future, &value, count_destroyed), EDDY_ELOOP_CLOSED);
    CHECK(eddy_future_is_done(future));
    CHECK_INT(eddy_future_result(future, NULL), 0);
    eddy_future_remove_done_callback(&a.node);
    CHECK_INT(destroyed, 0);
    end();
    CHECK_INT(destroyed, 1);
    CHECK_TRACE(trace, "");
}

static void F11_completing_on_a_closed_loop_without_callbacks(void)
{
    begin();
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EIO, "")), 0);
    CHECK_INT(eddy_future_result(future, NULL), -EIO);
    eddy_future_unref(future);
    REQUIRE(eddy_future_new(loop, &future) == 0);
    CHECK(eddy_future_cancel(future, NULL));
    end();
}

/* The nodes are unlinked by close, and with them goes what they kept alive (L15). */
static void L15_F11_close_unlinks_callbacks_that_were_due(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "a");
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_future_set_result(future, &value, count_destroyed), 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    eddy_future_unref(future);
    future = NULL;
    CHECK_INT(destroyed, 1);
    end();
    CHECK_TRACE(trace, "");

    begin();
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    CHECK_INT(eddy_future_set_result(future, NULL, NULL), 0);
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "a");
    end();
}

/* ---- cancelling what a future stands for ---- */

static void on_cancel(struct eddy_future *f, void *user)
{
    CHECK(f == future);
    CHECK(eddy_future_is_cancelled(f));
    CHECK(!eddy_future_cancel(f, "again"));
    test_trace(user, "given up");
}

static void F4_on_cancel_is_called_inside_cancel(void)
{
    begin();
    struct test_done a = TEST_DONE(&trace, "a");
    CHECK_INT(eddy_future_add_done_callback(future, &a.node), 0);
    eddy_future_on_cancel(future, on_cancel, &trace);
    CHECK(eddy_future_cancel(future, NULL));
    CHECK_TRACE(trace, "given up");
    CHECK(!eddy_future_cancel(future, NULL));
    test_run_steps(loop, 1);
    CHECK_TRACE(trace, "given up a");
    end();
}

static void F4_on_cancel_is_not_called_otherwise(void)
{
    begin();
    eddy_future_on_cancel(future, on_cancel, &trace);
    CHECK_INT(eddy_future_set_result(future, NULL, NULL), 0);
    CHECK(!eddy_future_cancel(future, NULL));
    eddy_future_unref(future);
    REQUIRE(eddy_future_new(loop, &future) == 0);
    eddy_future_on_cancel(future, on_cancel, &trace);
    eddy_future_on_cancel(future, NULL, NULL);
    CHECK(eddy_future_cancel(future, NULL));
    end();
    CHECK_TRACE(trace, "");
}

/* ---- used directly ---- */

struct outsider {
    struct test_timer timer;
    struct eddy_future *future;
};

static void set_later(struct test_timer *t)
{
    struct outsider *o = EDDY_CONTAINER_OF(t, struct outsider, timer);
    value = 42;
    CHECK_INT(eddy_future_set_result(o->future, &value, NULL), 0);
}

static void cancel_later(struct test_timer *t)
{
    CHECK(eddy_future_cancel(EDDY_CONTAINER_OF(t, struct outsider, timer)->future, "outside"));
}

static void B6_a_result_set_later_by_a_timer(void)
{
    begin();
    void *got = NULL;
    struct test_done d = TEST_DONE(&trace, "d");
    struct outsider o = {.timer = TEST_TIMER(&trace, "t", .then = set_later), .future = future};
    CHECK_INT(eddy_future_add_done_callback(future, &d.node), 0);
    eddy_loop_call_later(loop, &o.timer.node, EDDY_MSEC(1));
    CHECK_INT(eddy_loop_run_until_complete(loop, future, &got), 0);
    REQUIRE(got != NULL);
    CHECK_INT(*(int *)got, 42);
    CHECK_TRACE(trace, "t d");
    end();
}

static void B6_cancelled_by_an_outside_party(void)
{
    begin();
    struct test_done d = TEST_DONE(&trace, "d");
    struct outsider o = {.timer = TEST_TIMER(&trace, "t", .then = cancel_later), .future = future};
    CHECK_INT(eddy_future_add_done_callback(future, &d.node), 0);
    eddy_loop_call_later(loop, &o.timer.node, EDDY_MSEC(1));
    CHECK_INT(eddy_loop_run_until_complete(loop, future, NULL), -ECANCELED);
    CHECK_TRACE(trace, "t d");
    end();
}

static void keep_future(struct eddy_loop *l, const struct eddy_problem *problem, void *user)
{
    (void)l;
    *(struct eddy_future **)user = eddy_future_ref(problem->future);
}

static void F10_G12_kept_by_who_is_told_of_its_error(void)
{
    begin();
    struct eddy_future *kept = NULL;
    eddy_loop_set_problem_handler(loop, keep_future, &kept);
    CHECK_INT(eddy_future_set_error(future, EDDY_ERROR(-EIO, "lost")), 0);
    eddy_future_unref(future);
    future = NULL;
    REQUIRE(kept != NULL);
    CHECK_INT(eddy_future_result(kept, NULL), -EIO);
    eddy_loop_set_problem_handler(loop, test_on_problem, &problems);
    eddy_future_unref(kept);
    CHECK_INT(problems.count, 0);
    end();
}

const struct test_case test_cases[] = {
    TEST(F1_F3_a_new_future_is_pending),
    TEST(F12_a_future_knows_its_loop),
    TEST(F1_F3_a_result),
    TEST(F1_F3_an_error),
    TEST(F4_F3_cancelling),
    TEST(F4_cancelling_without_a_message),
    TEST(F4_only_a_pending_future_is_cancelled),
    TEST(F2_a_future_is_completed_once),
    TEST(F2_a_failed_future_keeps_its_error),
    TEST(F2_a_cancelled_future_takes_no_result),
    TEST(F2_the_value_is_destroyed_with_the_future),
    TEST(F13_set_result_unless_cancelled),
    TEST(G4_an_error_must_be_one),
    TEST(G4_a_future_that_is_null_is_refused_and_has_nothing),
    TEST(G4_done_callbacks_need_a_function),
    TEST(G5_future_new_without_memory),
    TEST(G5_nothing_but_making_a_future_allocates),
    TEST(E34_F5_F6_callbacks_come_from_the_loop_in_order),
    TEST(F5_callbacks_queue_behind_what_is_ready),
    TEST(F5_callbacks_follow_errors_and_cancelling),
    TEST(F5_a_callback_is_added_once),
    TEST(G14_a_removed_callback_does_not_come),
    TEST(F8_callbacks_may_remove_and_add_others),
    TEST(F8_G13_a_callback_may_add_itself_again),
    TEST(G14_a_callback_may_free_itself),
    TEST(G12_G16_a_completed_future_lives_until_its_last_callback),
    TEST(G12_the_last_reference_may_go_inside_a_callback),
    TEST(G13_callbacks_of_a_freed_future_can_be_used_again),
    TEST(F12_a_future_keeps_its_loop_alive),
    TEST(F10_an_error_nobody_looked_at_is_reported),
    TEST(F10_looking_pays_the_debt),
    TEST(F11_completing_on_a_closed_loop_drops_the_callbacks),
    TEST(F11_completing_on_a_closed_loop_without_callbacks),
    TEST(L15_F11_close_unlinks_callbacks_that_were_due),
    TEST(F4_on_cancel_is_called_inside_cancel),
    TEST(F4_on_cancel_is_not_called_otherwise),
    TEST(B6_a_result_set_later_by_a_timer),
    TEST(B6_cancelled_by_an_outside_party),
    TEST(F10_G12_kept_by_who_is_told_of_its_error),
    TEST_END,
};
