/*
 * Selectors on their own: what is registered, and whose a selector is (contract P12-P16, P22, P23,
 * P25, P26). Every case over each of Eddy's selectors, over one that watches another, and over
 * those of extra_selectors.
 *
 *     cc selectors_alone.c AN_OBJECT_WITH_extra_selectors.c $(pkg-config --cflags --libs eddy)
 *
 * builds it anywhere (tests/outside/counting_selector.c is such an object), as it does
 * selectors_select.c. The program takes a part of a name: then it runs those cases only.
 */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif
#include "selectors_alone.h"

#include <limits.h>
#include <sys/resource.h>
#include <sys/select.h>

static int first, second; /* data to tell apart by their addresses */

/* ---- registering ---- */

static void P12_registering_gives_the_key(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_key key = {0};
    int fds[2];

    make_pair(fds);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_READ, &first, &key), 0);
    CHECK_KEY(key, fds[0], EDDY_READ, &first);
    CHECK_INT(eddy_selector_register(s, fds[1], BOTH, NULL, NULL), 0);
    CHECK_REGISTERED(s, fds[0], EDDY_READ, &first);
    CHECK_REGISTERED(s, fds[1], BOTH, NULL);
    CHECK_READY(s, fds[1], EDDY_WRITE);
    eddy_selector_free(s);
    close_pair(fds);
}

static void P12_G4_wrong_arguments_change_nothing(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_key key = {.fd = 77};
    int fds[2];

    make_pair(fds);
    CHECK_INT(eddy_selector_register(s, fds[0], 0, NULL, &key), -EINVAL);
    CHECK_INT(eddy_selector_register(s, fds[0], 4, NULL, &key), -EINVAL);
    CHECK_INT(eddy_selector_register(s, fds[0], BOTH | 8, NULL, &key), -EINVAL);
    CHECK_INT(eddy_selector_register(s, -1, EDDY_READ, NULL, &key), -EINVAL);
    CHECK_INT(eddy_selector_register(s, INT_MIN, EDDY_READ, NULL, &key), -EINVAL);
    CHECK_INT(eddy_selector_register(NULL, fds[0], EDDY_READ, NULL, &key), -EINVAL);
    CHECK_INT(size_of(s), 0);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_READ, &first, NULL), 0);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_WRITE, &second, &key), -EEXIST);
    CHECK_INT(eddy_selector_modify(s, fds[0], 0, &second, &key), -EINVAL);
    CHECK_INT(eddy_selector_modify(s, fds[0], 16, &second, &key), -EINVAL);
    CHECK_INT(key.fd, 77);
    CHECK_REGISTERED(s, fds[0], EDDY_READ, &first);
    CHECK_INT(size_of(s), 1);
    CHECK_READY(s, fds[0], 0);
    eddy_selector_free(s);
    close_pair(fds);
}

static void P13_refused_descriptor_is_not_in_the_map(void)
{
    struct spy spy;
    struct eddy_selector *s = spy_open(&spy);
    struct eddy_selector_key key = {.fd = 77};
    int fds[2];

    make_pair(fds);
    spy.refuse = -EPERM;
    CHECK_INT(eddy_selector_register(s, fds[1], EDDY_WRITE, NULL, &key), -EPERM);
    CHECK_INT(key.fd, 77);
    CHECK_INT(size_of(s), 0);
    CHECK_INT(eddy_selector_get_key(s, fds[1], &key), EDDY_ENOT_REGISTERED);
    CHECK_READY(s, fds[1], 0);
    CHECK_INT(eddy_selector_register(s, fds[1], EDDY_WRITE, NULL, NULL), 0);
    CHECK_READY(s, fds[1], EDDY_WRITE);
    eddy_selector_free(s);
    close_pair(fds);
}

static void P13_closed_descriptor_is_refused_or_noticed_later(void)
{
    struct eddy_selector *s = open_current();
    int fds[2], others, rc;

    make_pair(fds);
    close_pair(fds);
    rc = eddy_selector_register(s, fds[0], EDDY_READ, NULL, NULL);
    CHECK(rc == 0 || rc == -EBADF);
    CHECK_INT(size_of(s), rc == 0);
    ready_of(s, fds[0], &others);
    CHECK_INT(others, 0);
    CHECK_INT(eddy_selector_unregister(s, fds[0], NULL), rc == 0 ? 0 : EDDY_ENOT_REGISTERED);
    eddy_selector_free(s);
}

static void P14_unregistering_gives_the_key_that_was(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_key key = {.fd = 77};
    int fds[2];

    make_pair(fds);
    CHECK_INT(eddy_selector_unregister(s, fds[0], &key), EDDY_ENOT_REGISTERED);
    CHECK_INT(eddy_selector_unregister(s, -1, &key), EDDY_ENOT_REGISTERED);
    CHECK_INT(eddy_selector_unregister(s, INT_MAX, &key), EDDY_ENOT_REGISTERED);
    CHECK_INT(key.fd, 77);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_WRITE, &first, NULL), 0);
    CHECK_READY(s, fds[0], EDDY_WRITE);
    CHECK_INT(eddy_selector_unregister(s, fds[0], &key), 0);
    CHECK_KEY(key, fds[0], EDDY_WRITE, &first);
    CHECK_READY(s, fds[0], 0);
    CHECK_INT(eddy_selector_unregister(s, fds[0], NULL), EDDY_ENOT_REGISTERED);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_WRITE, NULL, NULL), 0);
    CHECK_READY(s, fds[0], EDDY_WRITE);
    eddy_selector_free(s);
    close_pair(fds);
}

static void P14_closed_descriptor_is_unregistered_without_error(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_key key = {0};
    int fds[2];

    make_pair(fds);
    CHECK_INT(eddy_selector_register(s, fds[0], BOTH, &first, NULL), 0);
    close_pair(fds);
    CHECK_INT(eddy_selector_unregister(s, fds[0], &key), 0);
    CHECK_KEY(key, fds[0], BOTH, &first);
    CHECK_READY(s, fds[0], 0);
    eddy_selector_free(s);
}

/* A duplicate keeps the closed one's file open, and what the kernel knows of it alive. */
static void P14_P17_number_used_anew_is_not_taken_for_the_old_one(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_ready ready[2];
    int old[2], anew[2], copy, n = -1;
    eddy_nsec start;

    make_pair(old);
    make_pair(anew);
    CHECK_INT(eddy_selector_register(s, old[0], EDDY_READ, &first, NULL), 0);
    REQUIRE((copy = dup(old[0])) >= 0);
    close(old[0]);
    CHECK_INT(eddy_selector_unregister(s, old[0], NULL), 0);
    REQUIRE(dup2(anew[0], old[0]) == old[0]);
    CHECK_INT(eddy_selector_register(s, old[0], EDDY_READ, &second, NULL), 0);
    CHECK_INT(write(old[1], "x", 1), 1); /* which is copy's */
    CHECK_READY(s, old[0], 0);
    start = now();
    CHECK_INT(eddy_selector_select(s, EDDY_MSEC(2), 2, ready, &n), 0);
    CHECK_INT(n, 0);
    CHECK(now() - start >= EDDY_MSEC(2));
    CHECK_INT(write(anew[1], "x", 1), 1);
    CHECK_READY(s, old[0], EDDY_READ);
    eddy_selector_free(s);
    close_pair(old);
    close_pair(anew);
    close(copy);
}

static void P15_modify_changes_events_and_data(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_key key = {.fd = 77};
    int fds[2];

    make_pair(fds);
    CHECK_INT(eddy_selector_modify(s, fds[0], EDDY_READ, NULL, &key), EDDY_ENOT_REGISTERED);
    CHECK_INT(key.fd, 77);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_READ, &first, NULL), 0);
    CHECK_READY(s, fds[0], 0);
    CHECK_INT(eddy_selector_modify(s, fds[0], EDDY_WRITE, &second, &key), 0);
    CHECK_KEY(key, fds[0], EDDY_WRITE, &second);
    CHECK_REGISTERED(s, fds[0], EDDY_WRITE, &second);
    CHECK_READY(s, fds[0], EDDY_WRITE);
    CHECK_INT(write(fds[1], "x", 1), 1);
    CHECK_READY(s, fds[0], EDDY_WRITE);
    CHECK_INT(eddy_selector_modify(s, fds[0], BOTH, &second, NULL), 0);
    CHECK_READY(s, fds[0], BOTH);
    CHECK_INT(eddy_selector_modify(s, fds[0], EDDY_READ, NULL, &key), 0);
    CHECK_KEY(key, fds[0], EDDY_READ, NULL);
    CHECK_READY(s, fds[0], EDDY_READ);
    CHECK_INT(size_of(s), 1);
    eddy_selector_free(s);
    close_pair(fds);
}

static void P15_changing_only_data_asks_nobody(void)
{
    struct spy spy;
    struct eddy_selector *s = spy_open(&spy);
    struct eddy_selector_ready ready[1];
    int fds[2], n = 0;

    make_pair(fds);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_WRITE, &first, NULL), 0);
    CHECK_INT(spy.sets, 1);
    CHECK_INT(eddy_selector_modify(s, fds[0], EDDY_WRITE, &second, NULL), 0);
    CHECK_INT(eddy_selector_modify(s, fds[0], EDDY_WRITE, &second, NULL), 0);
    CHECK_INT(spy.sets, 1);
    CHECK_INT(eddy_selector_select(s, 0, 1, ready, &n), 0);
    CHECK_INT(n, 1);
    CHECK_KEY(ready[0].key, fds[0], EDDY_WRITE, &second);
    CHECK_INT(eddy_selector_modify(s, fds[0], EDDY_READ, &second, NULL), 0);
    CHECK_INT(spy.sets, 2);
    eddy_selector_free(s);
    close_pair(fds);
}

static void P15_refused_modification_drops_the_registration(void)
{
    struct spy spy;
    struct eddy_selector *s = spy_open(&spy);
    struct eddy_selector_key key = {.fd = 77};
    int fds[2];

    make_pair(fds);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_WRITE, &first, NULL), 0);
    spy.refuse = -ENOSPC;
    CHECK_INT(eddy_selector_modify(s, fds[0], BOTH, &second, &key), -ENOSPC);
    CHECK_INT(key.fd, 77);
    CHECK_INT(eddy_selector_get_key(s, fds[0], NULL), EDDY_ENOT_REGISTERED);
    CHECK_INT(size_of(s), 0);
    CHECK_READY(s, fds[0], 0); /* the system knows nothing of it either */
    CHECK_INT(eddy_selector_unregister(s, fds[0], NULL), EDDY_ENOT_REGISTERED);
    CHECK_INT(eddy_selector_register(s, fds[0], BOTH, &first, NULL), 0);
    CHECK_READY(s, fds[0], EDDY_WRITE);
    eddy_selector_free(s);
    close_pair(fds);
}

/* ---- the map ---- */

static void P16_map_is_a_live_view_in_order_of_descriptors(void)
{
    enum { COUNT = 5 };
    static const int numbers[COUNT] = {300, 900, 128, 301, 127};
    static const int ordered[COUNT] = {127, 128, 300, 301, 900};
    struct eddy_selector *s = open_current();
    const struct eddy_selector_map *map = eddy_selector_get_map(s);
    struct eddy_selector_key key = {.fd = -1};
    int fds[2], n = 0;

    make_pair(fds);
    CHECK_INT(eddy_selector_map_size(map), 0);
    CHECK(!eddy_selector_map_next(map, &key));
    CHECK_INT(key.fd, -1);
    for (int i = 0; i < COUNT; i++) {
        REQUIRE(dup2(fds[0], numbers[i]) == numbers[i]);
        CHECK_INT(eddy_selector_register(s, numbers[i], EDDY_READ, &first, NULL), 0);
        CHECK_INT(eddy_selector_map_size(map), i + 1);
    }
    CHECK(eddy_selector_map_get(map, 301, &key));
    CHECK_KEY(key, 301, EDDY_READ, &first);
    CHECK(!eddy_selector_map_get(map, 302, &key) && !eddy_selector_map_get(map, -1, &key) &&
          !eddy_selector_map_get(map, INT_MAX, NULL));
    CHECK_INT(key.fd, 301);
    for (key.fd = -1; eddy_selector_map_next(map, &key) && n < COUNT; n++)
        CHECK_KEY(key, ordered[n], EDDY_READ, &first);
    CHECK_INT(n, COUNT);
    CHECK_INT(key.fd, 900);
    key.fd = INT_MAX;
    CHECK(!eddy_selector_map_next(map, &key));
    for (key.fd = -1, n = 0; eddy_selector_map_next(map, &key); n++) { /* with changes between */
        CHECK_INT(eddy_selector_unregister(s, key.fd, NULL), 0);
        if (key.fd == 128)
            CHECK_INT(eddy_selector_unregister(s, 300, NULL), 0);
    }
    CHECK_INT(n, COUNT - 1);
    CHECK_INT(eddy_selector_map_size(map), 0);
    eddy_selector_free(s);
    for (int i = 0; i < COUNT; i++)
        close(numbers[i]);
    close_pair(fds);
}

static void P16_P23_closed_selector_knows_nothing(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_key key = {.fd = 77};
    struct eddy_selector_ready ready[1];
    int fds[2], n = 77;

    make_pair(fds);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_WRITE, &first, NULL), 0);
    eddy_selector_close(s);
    CHECK(eddy_selector_get_map(s) == NULL);
    CHECK_INT(eddy_selector_map_size(NULL), 0);
    CHECK(!eddy_selector_map_get(NULL, fds[0], &key));
    CHECK(!eddy_selector_map_next(NULL, &key));
    CHECK_INT(eddy_selector_get_key(s, fds[0], &key), EDDY_ECLOSED);
    CHECK_INT(eddy_selector_register(s, fds[1], EDDY_READ, NULL, &key), EDDY_ECLOSED);
    CHECK_INT(eddy_selector_modify(s, fds[0], EDDY_READ, NULL, &key), EDDY_ECLOSED);
    CHECK_INT(eddy_selector_unregister(s, fds[0], &key), EDDY_ECLOSED);
    CHECK_INT(eddy_selector_select(s, 0, 1, ready, &n), EDDY_ECLOSED);
    CHECK_INT(eddy_selector_fileno(s), EDDY_ECLOSED);
    CHECK_INT(key.fd, 77);
    CHECK_INT(n, 77);
    CHECK(eddy_selector_name(s) != NULL);
    CHECK(fcntl(fds[0], F_GETFD) >= 0); /* still its user's */
    eddy_selector_close(s);
    eddy_selector_free(s);
    close_pair(fds);
}

static void P23_system_object_is_released_once(void)
{
    struct spy spy;
    struct eddy_selector *s = spy_open(&spy);
    int fd;

    eddy_selector_close(s);
    eddy_selector_close(s);
    eddy_selector_free(s);
    CHECK_INT(spy.closes, 1);
    eddy_selector_close(NULL);
    eddy_selector_free(NULL);
    s = open_current();
    fd = eddy_selector_fileno(s);
    eddy_selector_close(s);
    CHECK(fd < 0 || (fcntl(fd, F_GETFD) < 0 && errno == EBADF));
    eddy_selector_free(s);
}

/* ---- many descriptors ---- */

static bool fits(struct eddy_selector *s, int fd)
{
    return s->cls->fits == NULL || s->cls->fits(s, fd) == 0;
}

static void P22_G3_wild_numbers_are_refused_without_harm(void)
{
    static const int wild[] = {FD_SETSIZE, 100000, INT_MAX - 1, INT_MAX};
    struct eddy_selector *s = open_current();
    int fds[2];

    make_pair(fds);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_WRITE, NULL, NULL), 0);
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        if (fcntl(wild[i], F_GETFD) < 0) {
            int rc = eddy_selector_register(s, wild[i], EDDY_READ, NULL, NULL);

            CHECK_INT(rc, fits(s, wild[i]) ? -EBADF : -EINVAL);
        }
    }
    CHECK_INT(size_of(s), 1);
    CHECK_READY(s, fds[0], EDDY_WRITE);
    eddy_selector_free(s);
    close_pair(fds);
}

static void P22_thousands_are_registered_where_they_fit(void)
{
    enum { MOST = 3000 };
    struct eddy_selector *s = open_current();
    struct rlimit limit;
    static int copies[MOST];
    int fds[2], count = 0, kept = 0, others;

    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < MOST + 100 && limit.rlim_max >= MOST + 100) {
        limit.rlim_cur = MOST + 100;
        REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    make_pair(fds);
    while (count < MOST && (copies[count] = dup(fds[0])) >= 0)
        count++;
    for (int i = 0; i < count; i++) {
        bool fit = fits(s, copies[i]);

        CHECK_INT(eddy_selector_register(s, copies[i], EDDY_READ, NULL, NULL), fit ? 0 : -EINVAL);
        kept += fit;
    }
    CHECK_INT(size_of(s), kept);
    CHECK_INT(write(fds[1], "x", 1), 1);
    CHECK_INT(ready_of(s, copies[0], &others) == EDDY_READ ? others + 1 : others,
              kept < EDDY_SELECT_MAX ? kept : EDDY_SELECT_MAX);
    for (int i = 0; i < count; i += 2)
        (void)eddy_selector_unregister(s, copies[i], NULL);
    CHECK(size_of(s) <= (size_t)(kept / 2 + 1));
    eddy_selector_free(s);
    for (int i = 0; i < count; i++)
        close(copies[i]);
    close_pair(fds);
}

/* ---- names ---- */

static void P25_names(void)
{
    static const char *const absent[] = {"kqueue", "devpoll", "epoll"};
    struct eddy_selector *s = open_current(), *other = NULL;
    struct eddy_error error = {0};

    CHECK(strcmp(eddy_selector_name(s), current.name) == 0);
    CHECK(eddy_selector_name(NULL) == NULL);
    eddy_selector_free(s);
    CHECK_INT(eddy_selector_new("nonsense", &error, &other), -EINVAL);
    CHECK_INT(error.code, -EINVAL);
    CHECK(strstr(error.text, "nonsense") != NULL);
    CHECK_INT(eddy_selector_new("", NULL, &other), -EINVAL);
    CHECK_INT(eddy_selector_new(NULL, NULL, NULL), -EINVAL);
    CHECK(other == NULL);
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        error.text[0] = '\0';
        if (eddy_selector_new(absent[i], &error, &other) == 0)
            eddy_selector_free(other);
        else
            CHECK(error.code == EDDY_ENOT_SUPPORTED && strstr(error.text, absent[i]) != NULL);
    }
    for (int i = 0; i < 2; i++) {
        REQUIRE(eddy_selector_new(i == 0 ? NULL : "default", NULL, &other) == 0);
        CHECK(strcmp(eddy_selector_name(other), eddy_backend_name(0)) == 0); /* the best */
        eddy_selector_free(other);
    }
}

/* ---- given to a loop ---- */

struct watching {
    struct eddy_watch watch;
    struct eddy_loop *loop;
    int calls;
};

static void on_ready(struct eddy_watch *w, unsigned events)
{
    struct watching *watching = EDDY_CONTAINER_OF(w, struct watching, watch);

    CHECK_INT(events, EDDY_READ);
    watching->calls++;
    eddy_watch_remove(w);
    eddy_loop_stop(watching->loop);
}

static void check_is_a_loops(struct eddy_selector *s, int fd)
{
    struct eddy_selector_ready ready[1];
    struct eddy_loop *other = NULL;
    int n = 0;

    CHECK_INT(eddy_selector_register(s, fd, EDDY_READ, NULL, NULL), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_selector_modify(s, fd, EDDY_READ, NULL, NULL), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_selector_unregister(s, fd, NULL), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_selector_select(s, 0, 1, ready, &n), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_selector_get_key(s, fd, NULL), EDDY_EINVALID_STATE);
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.selector = s), &other), EDDY_EINVALID_STATE);
    CHECK(other == NULL);
    eddy_selector_close(s); /* does nothing */
}

static void P26_loop_runs_over_it_and_owns_it(void)
{
    struct spy spy;
    struct eddy_selector *s = spy_open(&spy);
    struct watching watching = {.watch.fn = on_ready};
    int fds[2];

    make_pair(fds);
    REQUIRE(eddy_loop_new(EDDY_LOOP(.selector = s), &watching.loop) == 0);
    CHECK(strcmp(eddy_loop_backend_name(watching.loop), "spy") == 0);
    check_is_a_loops(s, fds[0]);
    CHECK_INT(spy.closes, 0);
    CHECK_INT(eddy_loop_add_watch(watching.loop, &watching.watch, fds[0], EDDY_READ), 0);
    CHECK_INT(write(fds[1], "x", 1), 1);
    CHECK_INT(eddy_loop_run_forever(watching.loop), 0);
    CHECK_INT(watching.calls, 1);
    CHECK(spy.waits > 0 && spy.sets > 1);
    CHECK_INT(eddy_loop_close(watching.loop), 0);
    eddy_loop_unref(watching.loop);
    CHECK_INT(spy.closes, 1);
    close_pair(fds);
}

static void P26_selector_in_use_is_not_taken(void)
{
    struct spy spy;
    struct eddy_selector *s = spy_open(&spy);
    struct eddy_loop *loop = NULL;
    struct eddy_error error = {0};
    int fds[2];

    make_pair(fds);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_WRITE, &first, NULL), 0);
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.selector = s, .error = &error), &loop), -EINVAL);
    CHECK_INT(error.code, -EINVAL);
    CHECK(error.text[0] != '\0');
    CHECK_REGISTERED(s, fds[0], EDDY_WRITE, &first);
    CHECK_READY(s, fds[0], EDDY_WRITE);
    CHECK_INT(eddy_selector_unregister(s, fds[0], NULL), 0);
    spy.refuse = -ENOSPC; /* the wake-up's */
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.selector = s), &loop), -ENOSPC);
    CHECK_INT(spy.closes, 0);
    CHECK_INT(eddy_selector_register(s, fds[0], EDDY_WRITE, NULL, NULL), 0); /* it is ours again */
    eddy_selector_close(s);
    CHECK_INT(eddy_loop_new(EDDY_LOOP(.selector = s), &loop), EDDY_ECLOSED);
    CHECK(loop == NULL);
    eddy_selector_free(s);
    close_pair(fds);
}

/* ---- memory ---- */

static void G5_registering_without_memory_changes_nothing(void)
{
    struct eddy_selector *s = open_current();
    struct eddy_selector_key key = {.fd = 77};
    int fds[2], refused = 0, rc = -ENOMEM;

    make_pair(fds);
    for (long nth = 1; rc == -ENOMEM && nth < 20; nth++) {
        fail_at = nth;
        rc = eddy_selector_register(s, fds[0], EDDY_WRITE, &first, &key);
        fail_at = 0;
        if (rc < 0) {
            refused++;
            CHECK_INT(key.fd, 77);
            CHECK_INT(size_of(s), 0);
            CHECK_READY(s, fds[0], 0);
        }
    }
    CHECK_INT(rc, 0);
    CHECK(refused >= 2); /* the map is Eddy's in every class */
    CHECK_READY(s, fds[0], EDDY_WRITE);
    eddy_selector_free(s);
    close_pair(fds);
}

static const struct test_case cases[] = {
    TEST(P12_registering_gives_the_key),
    TEST(P12_G4_wrong_arguments_change_nothing),
    TEST(P13_refused_descriptor_is_not_in_the_map),
    TEST(P13_closed_descriptor_is_refused_or_noticed_later),
    TEST(P14_unregistering_gives_the_key_that_was),
    TEST(P14_closed_descriptor_is_unregistered_without_error),
    TEST(P14_P17_number_used_anew_is_not_taken_for_the_old_one),
    TEST(P15_modify_changes_events_and_data),
    TEST(P15_changing_only_data_asks_nobody),
    TEST(P15_refused_modification_drops_the_registration),
    TEST(P16_map_is_a_live_view_in_order_of_descriptors),
    TEST(P16_P23_closed_selector_knows_nothing),
    TEST(P23_system_object_is_released_once),
    TEST(P22_G3_wild_numbers_are_refused_without_harm),
    TEST(P22_thousands_are_registered_where_they_fit),
    TEST(P25_names),
    TEST(P26_loop_runs_over_it_and_owns_it),
    TEST(P26_selector_in_use_is_not_taken),
    TEST(G5_registering_without_memory_changes_nothing),
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    return run_cases(cases, argc > 1 ? argv[1] : NULL);
}
