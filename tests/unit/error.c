#include "tests/support/test.h"
#include <string.h>

static void set_fills_the_error_and_returns_its_code(void)
{
    struct eddy_error e = {.detail = 7};

    CHECK_INT(eddy_error_set(&e, -ECONNREFUSED, "connect", "to %s: %d", "here", 42), -ECONNREFUSED);
    CHECK_INT(e.code, -ECONNREFUSED);
    CHECK_INT(e.detail, 0);
    CHECK_STR(e.op, "connect");
    CHECK_STR(e.text, "to here: 42");
}

static void G2_no_error_wanted_loses_the_text_only(void)
{
    CHECK_INT(eddy_error_set(NULL, -EPIPE, "send", "%s", "lost"), -EPIPE);
}

static void text_that_does_not_fit_is_cut(void)
{
    struct eddy_error e;
    char longer[2 * EDDY_ERROR_TEXT];

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    eddy_error_set(&e, -EINVAL, NULL, "%s", longer);
    CHECK_INT(strlen(e.text), EDDY_ERROR_TEXT - 1);
    CHECK(e.op == NULL);
}

static void arguments_may_come_from_the_error_itself(void)
{
    struct eddy_error e;

    eddy_error_set(&e, -EIO, "read", "disk on fire");
    eddy_error_set(&e, -EPROTO, "parse", "no header: %s", e.text);
    CHECK_STR(e.text, "no header: disk on fire");
}

static void text_may_be_left_out(void)
{
    struct eddy_error e = {.text = "old"};
    const char *none = NULL;

    eddy_error_set(&e, -EIO, "read", none, 0);
    CHECK_STR(e.text, "");
}

static void error_on_the_spot(void)
{
    const struct eddy_error *e = EDDY_ERROR(-EPROTO, "frame too long");

    CHECK_INT(e->code, -EPROTO);
    CHECK_STR(e->text, "frame too long");
}

static void G2_a_copy_has_all_but_the_children(void)
{
    const struct eddy_error children[2] = {{.code = -EIO}, {.code = -EPERM}};
    struct eddy_error e, copy;

    eddy_error_set(&e, -EIO, "connect", "text");
    CHECK(e.children == NULL);
    e.detail = 7;
    eddy_error_copy(&copy, &e);
    CHECK_INT(copy.code, -EIO);
    CHECK_INT(copy.detail, 7);
    CHECK_STR(copy.op, "connect");
    CHECK_STR(copy.text, "text");

    e.code = EDDY_EMULTIPLE;
    e.detail = 2;
    e.children = children;
    eddy_error_copy(&copy, &e);
    CHECK_INT(copy.code, EDDY_EMULTIPLE);
    CHECK_STR(copy.text, "text");
    CHECK_INT(copy.detail, 0);
    CHECK(copy.children == NULL);
    eddy_error_copy(&e, &e); /* onto itself */
    CHECK_INT(e.detail, 0);
    CHECK_STR(e.text, "text");
}

static void strerror_knows_every_code_of_eddy(void)
{
    for (int code = EDDY_ELOOP_CLOSED; code >= EDDY_ETLS_CERT; code--) {
        CHECK(strcmp(eddy_strerror(code), "unknown error") != 0);
        for (int other = EDDY_ELOOP_CLOSED; other > code; other--)
            CHECK(strcmp(eddy_strerror(code), eddy_strerror(other)) != 0);
    }
}

static void strerror_knows_the_systems_codes(void)
{
    CHECK_STR(eddy_strerror(0), "success");
    CHECK_STR(eddy_strerror(-ECONNRESET), strerror(ECONNRESET));
    CHECK_STR(eddy_strerror(-ENOMEM), strerror(ENOMEM));
    CHECK_STR(eddy_strerror(-ETIMEDOUT), strerror(ETIMEDOUT));
}

static void strerror_has_a_text_for_anything(void)
{
    const int strange[] = {1, EINVAL, -9999, -10000, EDDY_ETLS_CERT - 1, INT32_MAX, INT32_MIN};

    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
        CHECK_STR(eddy_strerror(strange[i]), "unknown error");
    for (int code = 0; code > -4096; code--)
        CHECK(eddy_strerror(code) != NULL);
}

const struct test_case test_cases[] = {
    TEST(set_fills_the_error_and_returns_its_code),
    TEST(G2_no_error_wanted_loses_the_text_only),
    TEST(text_that_does_not_fit_is_cut),
    TEST(arguments_may_come_from_the_error_itself),
    TEST(text_may_be_left_out),
    TEST(error_on_the_spot),
    TEST(G2_a_copy_has_all_but_the_children),
    TEST(strerror_knows_every_code_of_eddy),
    TEST(strerror_knows_the_systems_codes),
    TEST(strerror_has_a_text_for_anything),
    TEST_END,
};
