/* Policies, and the current loop of the main thread. */
/* backends: select poll epoll io_uring */
#include "tests/support/nodes.h"
#include "tests/support/test.h"
#include <eddy/backend.h>
#include <eddy/policy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* A policy whose factory makes loops of the backend under test. Each case has one of its own, since
 * a policy remembers that set_event_loop has been called. */
struct own_policy {
    struct eddy_policy base;
    int made, got, set;
    int fail_new;
    void *user; /* of the loops that it makes */
};

static struct own_policy *self_of(struct eddy_policy *p)
{
    return EDDY_CONTAINER_OF(p, struct own_policy, base);
}

static int own_new(struct eddy_policy *p, struct eddy_loop **ret)
{
    struct own_policy *self = self_of(p);
    self->made++;
    if (self->fail_new)
        return self->fail_new;
    return eddy_loop_new(EDDY_LOOP(.backend = test_backend(), .user = self), ret);
}

static const struct eddy_policy_class factory_only = {
    EDDY_POLICY_CLASS("factory only"),
    .new_event_loop = own_new,
};

static void install(struct own_policy *policy, const struct eddy_policy_class *cls)
{
    *policy = (struct own_policy){.base.cls = cls};
    REQUIRE(eddy_set_event_loop_policy(&policy->base) == 0);
}

static void uninstall(void)
{
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    CHECK_INT(eddy_set_event_loop_policy(NULL), 0);
}

static struct eddy_loop *current(void)
{
    struct eddy_loop *loop = NULL;
    int err = eddy_get_event_loop(&loop);
    CHECK(err == 0 || loop == NULL);
    return loop;
}

static struct eddy_loop *new_loop(void)
{
    struct eddy_loop *loop = NULL;
    REQUIRE(test_loop_new(&loop) == 0);
    return loop;
}

static void check_no_loop(void)
{
    struct eddy_loop *loop = NULL;
    CHECK_INT(eddy_get_event_loop(&loop), EDDY_ENO_LOOP);
    CHECK(loop == NULL);
}

/* ---- the policy of the process ---- */

static void P1_there_is_a_policy_and_null_restores_it(void)
{
    struct own_policy policy;
    struct eddy_policy *before = eddy_get_event_loop_policy();
    REQUIRE(before != NULL);
    CHECK_STR(before->cls->name, "default");
    install(&policy, &factory_only);
    CHECK(eddy_get_event_loop_policy() == &policy.base);
    CHECK_INT(eddy_set_event_loop_policy(NULL), 0);
    CHECK(eddy_get_event_loop_policy() == before);
    CHECK_INT(eddy_set_event_loop_policy(before), 0);
    CHECK(eddy_get_event_loop_policy() == before);
}

static void some_slot(void)
{
}

static void P1_G4_what_is_no_policy_is_refused(void)
{
    struct eddy_policy *before = eddy_get_event_loop_policy();
    struct eddy_policy_class cls = {.name = "without its size", .new_event_loop = own_new};
    struct eddy_policy policy = {.cls = NULL};
    CHECK_INT(eddy_set_event_loop_policy(&policy), -EINVAL);
    policy.cls = &cls;
    CHECK_INT(eddy_set_event_loop_policy(&policy), -EINVAL);
    cls = (struct eddy_policy_class){EDDY_POLICY_CLASS("slots of a later version")};
    cls.reserved[3] = some_slot;
    CHECK_INT(eddy_set_event_loop_policy(&policy), -E2BIG);
    CHECK(eddy_get_event_loop_policy() == before);
    CHECK_INT(eddy_get_event_loop(NULL), -EINVAL);
    CHECK_INT(eddy_new_event_loop(NULL), -EINVAL);
}

static void P1_G8_a_class_of_a_later_version(void)
{
    struct {
        struct eddy_policy_class now;
        void *later[2];
    } cls = {.now = {EDDY_POLICY_CLASS("later")}};
    struct eddy_policy policy = {.cls = &cls.now};
    cls.now.abi_size = sizeof cls;
    CHECK_INT(eddy_set_event_loop_policy(&policy), 0);
    CHECK_INT(eddy_set_event_loop_policy(NULL), 0);
    cls.later[1] = &cls;
    CHECK_INT(eddy_set_event_loop_policy(&policy), -E2BIG);
}

/* ---- a user's policy ---- */

static void P2_P5_A10_a_policy_may_override_the_factory_alone(void)
{
    struct own_policy policy;
    install(&policy, &factory_only);
    struct eddy_loop *loop = current();
    REQUIRE(loop != NULL);
    CHECK(eddy_loop_user(loop) == &policy);
    CHECK(eddy_get_event_loop_policy() == &policy.base);
    CHECK(current() == loop);
    CHECK_INT(policy.made, 1);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    check_no_loop(); /* P6 holds for it as well */
    CHECK_INT(policy.made, 1);
    uninstall();
}

static int own_get(struct eddy_policy *p, struct eddy_loop **ret)
{
    self_of(p)->got++;
    return eddy_default_policy_class()->get_event_loop(p, ret);
}

static int own_set(struct eddy_policy *p, struct eddy_loop *loop)
{
    self_of(p)->set++;
    return eddy_default_policy_class()->set_event_loop(p, loop);
}

static const struct eddy_policy_class all_slots = {
    EDDY_POLICY_CLASS("all slots"),
    .get_event_loop = own_get,
    .set_event_loop = own_set,
    .new_event_loop = own_new,
};

static void P2_slots_may_go_on_to_those_of_the_default(void)
{
    struct own_policy policy;
    install(&policy, &all_slots);
    struct eddy_loop *loop = current();
    REQUIRE(loop != NULL);
    CHECK_INT(policy.got, 1);
    CHECK_INT(policy.made, 1);
    CHECK_INT(policy.set, 1); /* what get makes becomes current by the policy's own slot */
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    CHECK_INT(policy.set, 2);
    uninstall();
}

static int refuse_get(struct eddy_policy *p, struct eddy_loop **ret)
{
    *ret = self_of(p)->user;
    return -EPERM;
}

static int refuse_set(struct eddy_policy *p, struct eddy_loop *loop)
{
    (void)loop;
    self_of(p)->set++;
    return -EPERM;
}

static void P2_G1_what_a_slot_refuses_is_the_answer(void)
{
    static const struct eddy_policy_class refusing = {
        EDDY_POLICY_CLASS("refusing"),
        .get_event_loop = refuse_get,
        .set_event_loop = refuse_set,
        .new_event_loop = refuse_get,
    };
    struct own_policy policy;
    struct eddy_loop *loop = NULL;
    install(&policy, &refusing);
    policy.user = &policy;
    CHECK_INT(eddy_get_event_loop(&loop), -EPERM);
    CHECK(loop == NULL);
    CHECK_INT(eddy_new_event_loop(&loop), -EPERM);
    CHECK(loop == NULL);
    CHECK_INT(eddy_set_event_loop(NULL), -EPERM);
    CHECK_INT(eddy_set_event_loop_policy(NULL), 0);
}

static void P2_a_loop_that_cannot_be_made_current_is_closed(void)
{
    static const struct eddy_policy_class refusing = {
        EDDY_POLICY_CLASS("refusing set"),
        .set_event_loop = refuse_set,
        .new_event_loop = own_new,
    };
    struct own_policy policy;
    struct eddy_loop *loop = NULL;
    install(&policy, &refusing);
    CHECK_INT(eddy_get_event_loop(&loop), -EPERM);
    CHECK(loop == NULL);
    CHECK_INT(policy.made, 1);
    CHECK_INT(policy.set, 1);
    CHECK_INT(eddy_set_event_loop_policy(NULL), 0);
}

static void P3_new_event_loop_does_not_make_it_current(void)
{
    struct own_policy policy;
    struct eddy_loop *loop = NULL;
    install(&policy, &factory_only);
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    CHECK_INT(eddy_new_event_loop(&loop), 0);
    REQUIRE(loop != NULL);
    CHECK(eddy_loop_user(loop) == &policy);
    check_no_loop();
    test_loop_free(loop);
    uninstall();
}

/* ---- inside a run ---- */

static void look_and_stop(struct test_handle *h)
{
    struct eddy_loop *loop = h->user;
    CHECK(current() == loop);
    eddy_loop_stop(loop);
}

static void P4_inside_a_run_it_is_the_running_loop(void)
{
    struct own_policy policy;
    struct test_trace trace = {0};
    struct eddy_loop *running = new_loop(), *other = new_loop();
    struct test_handle h = TEST_HANDLE(&trace, "h", .then = look_and_stop, .user = running);
    install(&policy, &all_slots);
    CHECK_INT(eddy_set_event_loop(other), 0);
    eddy_loop_call_soon(running, &h.node);
    CHECK_INT(eddy_loop_run_forever(running), 0);
    CHECK_INT(policy.got, 0);
    CHECK(current() == other);
    CHECK_INT(policy.got, 1);
    uninstall();
    test_loop_free(running);
    test_loop_free(other);
}

/* ---- the main thread's loop ---- */

static void use_default_policy(void *user)
{
    (void)user;
    struct eddy_loop *loop = current();
    REQUIRE(loop != NULL);
    CHECK(current() == loop);
    CHECK(!eddy_loop_is_closed(loop));
    CHECK_INT(eddy_loop_run_once(loop, 0), 0);
    CHECK_INT(eddy_loop_close(loop), 0);
    CHECK(current() == loop); /* also when closed, until another is set */
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    check_no_loop();
    CHECK_INT(test_live_allocations(), 0);
}

/* In a child, where nobody has called set_event_loop yet. */
static void P5_P6_the_main_thread_gets_a_loop_when_it_first_asks(void)
{
    test_in_child(use_default_policy, NULL);
}

static void P5_none_is_made_once_set_event_loop_was_called(void)
{
    struct own_policy policy;
    struct eddy_loop *loop = new_loop();
    install(&policy, &factory_only);
    CHECK_INT(eddy_set_event_loop(loop), 0);
    CHECK(current() == loop);
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    check_no_loop();
    CHECK_INT(policy.made, 0);
    uninstall();
    test_loop_free(loop);
}

static void P5_a_factory_that_fails_is_asked_again(void)
{
    struct own_policy policy;
    struct eddy_loop *loop = NULL;
    install(&policy, &factory_only);
    policy.fail_new = -EMFILE;
    CHECK_INT(eddy_get_event_loop(&loop), -EMFILE);
    CHECK(loop == NULL);
    policy.fail_new = 0;
    CHECK_INT(eddy_get_event_loop(&loop), 0);
    REQUIRE(loop != NULL);
    CHECK_INT(policy.made, 2);
    CHECK_INT(eddy_loop_close(loop), 0);
    uninstall();
}

static void P5_G3_G5_each_allocation_of_get_event_loop_fails_once(void)
{
    struct own_policy policy;
    long n = 1;
    for (; n < 100; n++) {
        struct eddy_loop *loop = NULL;
        long live = test_live_allocations();
        int descriptors = test_open_descriptors();
        install(&policy, &factory_only);
        test_fail_allocation(n);
        int err = eddy_get_event_loop(&loop);
        bool failed = test_allocation_failed();
        test_fail_allocation(0);
        CHECK_INT(err, failed ? -ENOMEM : 0);
        if (err < 0) {
            CHECK(loop == NULL);
            CHECK_INT(test_live_allocations(), live);
            CHECK_INT(test_open_descriptors(), descriptors);
            loop = current(); /* it was not counted as set: the next one works */
            REQUIRE(loop != NULL);
        }
        CHECK_INT(eddy_loop_close(loop), 0);
        uninstall();
        if (!failed)
            break;
    }
    CHECK(n > 2 && n < 100);
}

/* ---- each policy has its own ---- */

static void P7_each_policy_keeps_a_current_loop_of_its_own(void)
{
    struct own_policy first, second;
    struct eddy_loop *one = new_loop(), *two = new_loop();
    install(&first, &factory_only);
    CHECK_INT(eddy_set_event_loop(one), 0);
    install(&second, &factory_only);
    CHECK_INT(eddy_set_event_loop(two), 0);
    CHECK(current() == two);
    CHECK_INT(eddy_set_event_loop_policy(&first.base), 0);
    CHECK(current() == one);
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    check_no_loop();
    CHECK_INT(eddy_set_event_loop_policy(&second.base), 0);
    CHECK(current() == two);
    CHECK_INT(first.made + second.made, 0);
    uninstall();
    test_loop_free(one);
    test_loop_free(two);
}

static void P7_a_policy_where_another_was_has_no_current_loop(void)
{
    struct own_policy policy;
    struct eddy_loop *loop = new_loop();
    install(&policy, &factory_only);
    struct eddy_policy before = policy.base;
    CHECK_INT(eddy_set_event_loop(loop), 0);
    struct eddy_policy old = policy.base;
    policy.base = before;
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    check_no_loop();
    policy.base = old;
    CHECK(current() == loop);
    uninstall();
    test_loop_free(loop);
}

/* ---- references ---- */

static void P8_the_current_loop_is_kept_alive_and_let_go(void)
{
    struct own_policy policy;
    install(&policy, &factory_only);
    long live = test_live_allocations();
    struct eddy_loop *loop = new_loop();
    CHECK_INT(eddy_set_event_loop(loop), 0);
    CHECK_INT(eddy_set_event_loop(loop), 0); /* again: still one reference */
    CHECK_INT(eddy_loop_close(loop), 0);
    eddy_loop_unref(loop);
    CHECK(test_live_allocations() > live);
    CHECK(current() == loop);
    CHECK(eddy_loop_is_closed(loop));
    CHECK_INT(eddy_set_event_loop(NULL), 0);
    CHECK_INT(test_live_allocations(), live);
    uninstall();
}

static void P8_a_loop_that_is_replaced_stays_open(void)
{
    struct own_policy policy;
    struct eddy_loop *one = new_loop(), *two = new_loop();
    install(&policy, &factory_only);
    CHECK_INT(eddy_set_event_loop(one), 0);
    CHECK_INT(eddy_set_event_loop(two), 0);
    CHECK(current() == two);
    CHECK(!eddy_loop_is_closed(one));
    CHECK_INT(eddy_loop_run_once(one, 0), 0);
    uninstall();
    CHECK(!eddy_loop_is_closed(two));
    test_loop_free(one);
    test_loop_free(two);
}

static void P8_G3_G5_set_event_loop_without_memory(void)
{
    struct own_policy policy;
    struct eddy_loop *one = new_loop(), *two = new_loop();
    install(&policy, &factory_only);
    CHECK_INT(eddy_set_event_loop(one), 0);
    test_fail_allocation(1);
    CHECK_INT(eddy_set_event_loop(two), -ENOMEM);
    CHECK(current() == one);
    test_fail_allocation(1);
    CHECK_INT(eddy_set_event_loop(NULL), 0); /* needs none */
    CHECK(!test_allocation_failed());
    test_fail_allocation(0);
    check_no_loop();
    uninstall();
    test_loop_free(one);
    test_loop_free(two);
}

struct returning {
    struct eddy_post post;
    struct eddy_loop *next;
};

static void set_the_next(struct eddy_post *p, int status)
{
    struct returning *r = EDDY_CONTAINER_OF(p, struct returning, post);
    CHECK_INT(status, EDDY_ELOOP_CLOSED);
    check_no_loop();
    CHECK_INT(eddy_set_event_loop(r->next), 0);
}

static void P8_G12_a_callback_of_the_loop_that_goes_may_set_another(void)
{
    struct own_policy policy;
    struct eddy_loop *loop = new_loop();
    struct returning r = {.post.fn = set_the_next, .next = new_loop()};
    install(&policy, &factory_only);
    test_expect_log("unclosed event loop");
    CHECK_INT(eddy_set_event_loop(loop), 0);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &r.post), 0);
    eddy_loop_unref(loop);
    CHECK_INT(eddy_set_event_loop(NULL), 0); /* the last reference: the post is refused in here */
    CHECK(current() == r.next);
    uninstall();
    test_loop_free(r.next);
}

/* ---- by the name of a backend ---- */

static void P10_a_backend_policy_makes_loops_of_its_backend(void)
{
    for (unsigned i = 0; eddy_backend_name(i); i++) {
        struct eddy_backend_policy policy;
        struct eddy_loop *loop = NULL;
        REQUIRE(eddy_backend_policy_init(&policy, eddy_backend_name(i), NULL) == 0);
        REQUIRE(eddy_set_event_loop_policy(&policy.base) == 0);
        setenv("EDDY_BACKEND", "no-such-thing", 1); /* is for those who leave the choice open */
        CHECK_INT(eddy_new_event_loop(&loop), 0);
        unsetenv("EDDY_BACKEND");
        REQUIRE(loop != NULL);
        CHECK_STR(eddy_loop_backend_name(loop), eddy_backend_name(i));
        test_loop_free(loop);
        loop = current(); /* all else is the default's */
        REQUIRE(loop != NULL);
        CHECK_STR(eddy_loop_backend_name(loop), eddy_backend_name(i));
        CHECK_INT(eddy_loop_close(loop), 0);
        uninstall();
    }
}

static void check_refused(const char *name, int expected, const char *fragment)
{
    static const struct eddy_backend_policy untouched = {.backend_ = "untouched"};
    struct eddy_backend_policy policy = untouched;
    struct eddy_error error = {.code = 0};
    CHECK_INT(eddy_backend_policy_init(&policy, name, &error), expected);
    CHECK_INT(error.code, expected);
    CHECK(strstr(error.text, fragment) != NULL);
    CHECK(policy.base.cls == NULL);
    CHECK(policy.backend_ == untouched.backend_);
    CHECK_INT(eddy_backend_policy_init(&policy, name, NULL), expected);
}

static void P10_G4_an_unknown_name_is_refused_where_it_is_written(void)
{
    check_refused("kwikpoll", -EINVAL, "kwikpoll");
    check_refused("", -EINVAL, "unknown backend");
    check_refused(NULL, -EINVAL, "name");
    CHECK_INT(eddy_backend_policy_init(NULL, "poll", NULL), -EINVAL);
}

#ifdef __linux__
static void P10_what_other_systems_have_is_refused_with_its_reason(void)
{
    check_refused("kqueue", EDDY_ENOT_SUPPORTED, "kqueue");
    check_refused("devpoll", EDDY_ENOT_SUPPORTED, "devpoll");
}
#endif

static void check_made(const char *name, const char *expected)
{
    struct eddy_backend_policy policy;
    struct eddy_loop *loop = NULL;
    REQUIRE(eddy_backend_policy_init(&policy, name, NULL) == 0);
    REQUIRE(eddy_set_event_loop_policy(&policy.base) == 0);
    CHECK_INT(eddy_new_event_loop(&loop), 0);
    REQUIRE(loop != NULL);
    CHECK_STR(eddy_loop_backend_name(loop), expected);
    test_loop_free(loop);
    uninstall();
}

static void P10_the_names_that_leave_the_choice_open(void)
{
    struct eddy_loop *loop = NULL;
    int err = eddy_loop_new(EDDY_LOOP(.backend = "io_uring"), &loop);
    if (err == 0)
        test_loop_free(loop);
    else
        test_expect_log("proactor over"); /* each loop says so, but not the trial of the name */
    check_made("proactor", err == 0 ? "io_uring" : eddy_backend_name(0));
    if (err < 0)
        CHECK_INT(test_count_log("proactor over"), 1);
    check_made("default", eddy_backend_name(0));
}

static void init_without_descriptors(void *user)
{
    (void)user;
    struct rlimit none = {0};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &none) == 0);
    none.rlim_cur = 0;
    struct eddy_backend_policy policy;
    struct eddy_loop *loop = NULL;
    REQUIRE(eddy_backend_policy_init(&policy, test_backend(), NULL) == 0);
    REQUIRE(eddy_set_event_loop_policy(&policy.base) == 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    check_refused(test_backend(), -EMFILE, test_backend());
    test_log_begin();
    test_expect_log(test_backend());
    CHECK_INT(eddy_new_event_loop(&loop), -EMFILE);
    test_log_end();
    CHECK(loop == NULL);
}

static void P10_G3_a_backend_policy_without_descriptors(void)
{
    test_in_child(init_without_descriptors, NULL);
}

static void P10_G5_each_allocation_of_a_backend_policy_fails_once(void)
{
    long n = 1;
    for (bool failed = true; failed && n < 100; n++) {
        struct eddy_backend_policy policy;
        long live = test_live_allocations();
        test_fail_allocation(n);
        int err = eddy_backend_policy_init(&policy, test_backend(), NULL);
        failed = test_allocation_failed();
        test_fail_allocation(0);
        CHECK_INT(err, failed ? -ENOMEM : 0);
        CHECK_INT(test_live_allocations(), live);
    }
    CHECK(n > 2 && n < 100);
}

static void P10_the_default_policy_says_why_it_makes_no_loop(void)
{
    struct eddy_loop *loop = NULL;
    test_expect_log("kwikpoll");
    setenv("EDDY_BACKEND", "kwikpoll", 1);
    CHECK_INT(eddy_new_event_loop(&loop), -EINVAL);
    unsetenv("EDDY_BACKEND");
    CHECK(loop == NULL);
}

/* ---- and what such a loop can do ---- */

static void P11_the_loop_of_a_policy_is_one_like_any_other(void)
{
    struct own_policy policy;
    struct test_trace trace = {0};
    int fds[2];
    install(&policy, &factory_only);
    struct eddy_loop *loop = current();
    REQUIRE(loop != NULL);
    test_socketpair(fds);
    struct test_handle h = TEST_HANDLE(&trace, "h");
    struct test_post p = TEST_POST(&trace, "p");
    struct test_watch w = TEST_WATCH(&trace, "w");
    struct test_timer t = TEST_TIMER(&trace, "t", .then = test_timer_stop, .user = loop);
    eddy_loop_call_soon(loop, &h.node);
    CHECK_INT(eddy_loop_call_soon_threadsafe(loop, &p.node), 0);
    CHECK_INT(eddy_loop_add_watch(loop, &w.node, fds[0], EDDY_WRITE), 0);
    eddy_loop_call_later(loop, &t.node, 0);
    CHECK_INT(eddy_loop_run_forever(loop), 0);
    CHECK_TRACE(trace, "h p w(W) t");
    CHECK_INT(eddy_loop_close(loop), 0);
    uninstall();
    close(fds[0]);
    close(fds[1]);
}

const struct test_case test_cases[] = {
    TEST(P1_there_is_a_policy_and_null_restores_it),
    TEST(P1_G4_what_is_no_policy_is_refused),
    TEST(P1_G8_a_class_of_a_later_version),
    TEST(P2_P5_A10_a_policy_may_override_the_factory_alone),
    TEST(P2_slots_may_go_on_to_those_of_the_default),
    TEST(P2_G1_what_a_slot_refuses_is_the_answer),
    TEST(P2_a_loop_that_cannot_be_made_current_is_closed),
    TEST(P3_new_event_loop_does_not_make_it_current),
    TEST(P4_inside_a_run_it_is_the_running_loop),
    TEST(P5_P6_the_main_thread_gets_a_loop_when_it_first_asks),
    TEST(P5_none_is_made_once_set_event_loop_was_called),
    TEST(P5_a_factory_that_fails_is_asked_again),
    TEST(P5_G3_G5_each_allocation_of_get_event_loop_fails_once),
    TEST(P7_each_policy_keeps_a_current_loop_of_its_own),
    TEST(P7_a_policy_where_another_was_has_no_current_loop),
    TEST(P8_the_current_loop_is_kept_alive_and_let_go),
    TEST(P8_a_loop_that_is_replaced_stays_open),
    TEST(P8_G3_G5_set_event_loop_without_memory),
    TEST(P8_G12_a_callback_of_the_loop_that_goes_may_set_another),
    TEST(P10_a_backend_policy_makes_loops_of_its_backend),
    TEST(P10_G4_an_unknown_name_is_refused_where_it_is_written),
#ifdef __linux__
    TEST(P10_what_other_systems_have_is_refused_with_its_reason),
#endif
    TEST(P10_the_names_that_leave_the_choice_open),
    TEST(P10_G3_a_backend_policy_without_descriptors),
    TEST(P10_G5_each_allocation_of_a_backend_policy_fails_once),
    TEST(P10_the_default_policy_says_why_it_makes_no_loop),
    TEST(P11_the_loop_of_a_policy_is_one_like_any_other),
    TEST_END,
};
