/* The names that clients ask for and verify: contract X13. */
#include "tests/support/test.h"
#include "transports/tls/tls.h"
#include <string.h>

static void check_taken(const char *host, const char *expected)
{
    char buf[TLS_NAME];
    const char *why = "";
    CHECK_INT(tls_name_check(host, buf, &why), 0);
    CHECK(why == NULL);
    CHECK_STR(buf, expected);
}

static void check_refused(const char *host, const char *reason)
{
    char buf[TLS_NAME];
    const char *why = NULL;
    CHECK_INT(tls_name_check(host, buf, &why), -EINVAL);
    CHECK_STR(why, reason);
}

static void X13_names_and_addresses_are_taken(void)
{
    check_taken("example.org", "example.org");
    check_taken("Example.ORG", "Example.ORG");
    check_taken("xn--bcher-kva.example", "xn--bcher-kva.example");
    check_taken("_a-b.c1", "_a-b.c1");
    check_taken("localhost", "localhost");
    check_taken("127.0.0.1", "127.0.0.1");
    check_taken("::1", "::1");
}

static void X13_one_dot_at_the_end_is_cut_off(void)
{
    check_taken("example.org.", "example.org");
    check_refused("example.org..", "two dots in a row");
}

static void X13_the_scope_of_an_address_is_cut_off(void)
{
    check_taken("fe80::1%eth0", "fe80::1");
    check_taken("fe80::1%2", "fe80::1");
    check_refused("127.0.0.1%eth0", "a character that no name has");
    check_refused("example%eth0", "a character that no name has");
}

static void X13_what_is_no_name_is_refused(void)
{
    const char *no_character = "a character that no name has";
    check_refused(NULL, "empty");
    check_refused("", "empty");
    check_refused(".", "empty");
    check_refused(".example.org", "a dot at the beginning");
    check_refused("example..org", "two dots in a row");
    check_refused("b\xc3\xbc"
                  "cher.example",
                  "not in ASCII: names of other letters have a form with xn--");
    check_refused("example.org:443", no_character);
    check_refused("https://example.org", no_character);
    check_refused("[::1]", no_character);
    check_refused("*.example.org", no_character);
    check_refused("a b", no_character);
    check_refused("a\nb", no_character);
}

static void X13_long_names_are_refused(void)
{
    char name[300] = "";
    while (strlen(name) < 250)
        strcat(name, "abcdefghi.");
    check_taken(name, "abcdefghi.abcdefghi.abcdefghi.abcdefghi.abcdefghi.abcdefghi.abcdefghi."
                      "abcdefghi.abcdefghi.abcdefghi.abcdefghi.abcdefghi.abcdefghi.abcdefghi."
                      "abcdefghi.abcdefghi.abcdefghi.abcdefghi.abcdefghi.abcdefghi.abcdefghi."
                      "abcdefghi.abcdefghi.abcdefghi.abcdefghi");
    strcat(name, "abcd");
    check_refused(name, "too long");
    memset(name, 'a', 64);
    name[64] = '\0';
    check_refused(name, "too long between two dots");
    check_taken(name + 1, name + 1);
}

const struct test_case test_cases[] = {
    TEST(X13_names_and_addresses_are_taken),
    TEST(X13_one_dot_at_the_end_is_cut_off),
    TEST(X13_the_scope_of_an_address_is_cut_off),
    TEST(X13_what_is_no_name_is_refused),
    TEST(X13_long_names_are_refused),
    TEST_END,
};
