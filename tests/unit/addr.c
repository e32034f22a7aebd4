#include "tests/support/test.h"
#include <eddy/addr.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static const char *format(const struct eddy_addr *a)
{
    static char text[EDDY_ADDR_TEXT];

    return eddy_addr_format(a, text, sizeof(text));
}

static const char *parsed(const char *host, int port)
{
    struct eddy_addr a;

    return eddy_addr_parse(host, port, &a) == 0 ? format(&a) : "refused";
}

static struct eddy_addr unix_addr(const char *path, size_t len)
{
    struct eddy_addr a = {.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)};

    a.u.un.sun_family = AF_UNIX;
    memcpy(a.u.un.sun_path, path, len);
    return a;
}

static void numeric_addresses_are_parsed(void)
{
    struct eddy_addr a;

    CHECK_STR(parsed("127.0.0.1", 80), "127.0.0.1:80");
    CHECK_STR(parsed("0.0.0.0", 0), "0.0.0.0:0");
    CHECK_STR(parsed("255.255.255.255", 65535), "255.255.255.255:65535");
    CHECK_STR(parsed("::1", 80), "[::1]:80");
    CHECK_STR(parsed("::", 0), "[::]:0");
    CHECK_STR(parsed("2001:DB8:0:0:0:0:0:1", 443), "[2001:db8::1]:443");
    CHECK_STR(parsed("::ffff:192.0.2.1", 1), "[::ffff:192.0.2.1]:1");

    REQUIRE(eddy_addr_parse("127.0.0.1", 80, &a) == 0);
    CHECK_INT(a.len, sizeof(struct sockaddr_in));
    CHECK_INT(a.u.in.sin_family, AF_INET);
    CHECK_INT(ntohs(a.u.in.sin_port), 80);
    REQUIRE(eddy_addr_parse("::1", 80, &a) == 0);
    CHECK_INT(a.len, sizeof(struct sockaddr_in6));
    CHECK_INT(a.u.in6.sin6_family, AF_INET6);
    CHECK_INT(ntohs(a.u.in6.sin6_port), 80);
}

static void scopes_are_parsed(void)
{
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE], name[IF_NAMESIZE], expected[EDDY_ADDR_TEXT];

    CHECK_STR(parsed("fe80::1%2", 80), "[fe80::1%2]:80");
    CHECK_STR(parsed("fe80::1%4294967295", 80), "[fe80::1%4294967295]:80");
    CHECK_STR(parsed("fe80::1%0", 80), "[fe80::1]:80");
    CHECK_STR(parsed("fe80::1%4294967296", 80), "refused");
    CHECK_STR(parsed("fe80::1%99999999999999999999999", 80), "refused");
    CHECK_STR(parsed("fe80::1%", 80), "refused");
    CHECK_STR(parsed("fe80::1%no-such-if", 80), "refused");
    CHECK_STR(parsed("fe80::1%-1", 80), "refused");
    CHECK_STR(parsed("127.0.0.1%1", 80), "refused");
    if (if_indextoname(1, name) == NULL)
        return;
    snprintf(host, sizeof(host), "fe80::1%%%s", name);
    snprintf(expected, sizeof(expected), "[fe80::1%%1]:80");
    CHECK_STR(parsed(host, 80), expected);
}

static void everything_else_is_refused(void)
{
    static const char *const hosts[] = {
        "",
        " ",
        "localhost",
        "127.0.0.1 ",
        " 127.0.0.1",
        "127.1",
        "256.0.0.1",
        "1.2.3.4.5",
        "[::1]",
        "::1::",
        ":::",
        "12345::",
        "1:2:3:4:5:6:7:8:9",
        "%1",
        "::1 %1",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
    };
    struct eddy_addr a = {.len = 77};

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        CHECK_STR(parsed(hosts[i], 80), "refused");
    CHECK_INT(eddy_addr_parse("localhost", 80, &a), -EINVAL);
    CHECK_INT(eddy_addr_parse(NULL, 80, &a), -EINVAL);
    CHECK_INT(eddy_addr_parse("127.0.0.1", -1, &a), -EINVAL);
    CHECK_INT(eddy_addr_parse("127.0.0.1", 65536, &a), -EINVAL);
    CHECK_INT(eddy_addr_parse("::1", 65536, &a), -EINVAL);
    CHECK_INT(a.len, 77); /* written on success only */
    CHECK_INT(a.u.sa.sa_family, AF_UNSPEC);
}

static void unix_addresses_are_formatted(void)
{
    struct eddy_addr a = unix_addr("/run/x", 7);

    CHECK_STR(format(&a), "unix:/run/x");
    a = unix_addr("/run/x", 6); /* as some callers pass it: without the NUL */
    CHECK_STR(format(&a), "unix:/run/x");
    a = unix_addr("\0name", 5);
    CHECK_STR(format(&a), "unix:@name");
    a = unix_addr("\0n\0m", 4);
    CHECK_STR(format(&a), "unix:@n@m");
    a = unix_addr("/a\nb\x7f", 6);
    CHECK_STR(format(&a), "unix:/a?b?");
    a = unix_addr("", 0);
    CHECK_STR(format(&a), "unnamed");
    a.len = 0;
    CHECK_STR(format(&a), "unnamed");
}

static void longest_unix_path_is_formatted(void)
{
    struct eddy_addr a = {.len = sizeof(struct sockaddr_un)};
    char expected[EDDY_ADDR_TEXT] = "unix:";

    a.u.un.sun_family = AF_UNIX;
    memset(a.u.un.sun_path, 'p', sizeof(a.u.un.sun_path));
    memset(expected + 5, 'p', sizeof(a.u.un.sun_path));
    expected[5 + sizeof(a.u.un.sun_path)] = '\0';
    CHECK_STR(format(&a), expected);
}

static void text_is_cut_to_the_room(void)
{
    struct eddy_addr a;
    char text[8] = "zzzzzzz";

    REQUIRE(eddy_addr_parse("127.0.0.1", 80, &a) == 0);
    CHECK(eddy_addr_format(&a, text, sizeof(text)) == text);
    CHECK_STR(text, "127.0.0");
    eddy_addr_format(&a, text, 1);
    CHECK_STR(text, "");
    text[0] = 'z';
    eddy_addr_format(&a, text, 0);
    CHECK_INT(text[0], 'z');
}

static void port_is_that_of_internet_addresses(void)
{
    struct eddy_addr a;

    REQUIRE(eddy_addr_parse("127.0.0.1", 80, &a) == 0);
    CHECK_INT(eddy_addr_port(&a), 80);
    REQUIRE(eddy_addr_parse("::1", 65535, &a) == 0);
    CHECK_INT(eddy_addr_port(&a), 65535);
    a = unix_addr("/run/x", 7);
    CHECK_INT(eddy_addr_port(&a), -1);
    a.len = 0;
    CHECK_INT(eddy_addr_port(&a), -1);
}

static bool equal(const char *a, int port_a, const char *b, int port_b)
{
    struct eddy_addr x, y;

    REQUIRE(eddy_addr_parse(a, port_a, &x) == 0);
    REQUIRE(eddy_addr_parse(b, port_b, &y) == 0);
    memset(x.u.in.sin_zero, 0, x.u.sa.sa_family == AF_INET ? sizeof(x.u.in.sin_zero) : 0);
    memset(y.u.in.sin_zero, 1, y.u.sa.sa_family == AF_INET ? sizeof(y.u.in.sin_zero) : 0);
    CHECK_INT(eddy_addr_equal(&x, &y), eddy_addr_equal(&y, &x));
    return eddy_addr_equal(&x, &y);
}

static void equality_is_of_endpoints(void)
{
    struct eddy_addr a, b;

    CHECK(equal("127.0.0.1", 80, "127.0.0.1", 80));
    CHECK(!equal("127.0.0.1", 80, "127.0.0.1", 81));
    CHECK(!equal("127.0.0.1", 80, "127.0.0.2", 80));
    CHECK(!equal("127.0.0.1", 80, "::ffff:127.0.0.1", 80));
    CHECK(equal("::1", 80, "0:0::1", 80));
    CHECK(!equal("::1", 80, "::1", 81));
    CHECK(!equal("::1", 80, "::2", 80));
    CHECK(!equal("fe80::1%1", 80, "fe80::1%2", 80));

    a = unix_addr("/run/x", 7);
    b = unix_addr("/run/x", 6);
    CHECK(eddy_addr_equal(&a, &b));
    b = unix_addr("/run/y", 7);
    CHECK(!eddy_addr_equal(&a, &b));
    b = unix_addr("/run/xy", 8);
    CHECK(!eddy_addr_equal(&a, &b));
    a = unix_addr("\0a\0b", 4);
    b = unix_addr("\0a\0c", 4);
    CHECK(!eddy_addr_equal(&a, &b));
    CHECK(eddy_addr_equal(&a, &a));
    b = unix_addr("\0a\0b\0", 5);
    CHECK(!eddy_addr_equal(&a, &b));
    a = b = (struct eddy_addr){.len = 0};
    b.u.sa.sa_family = AF_INET;
    CHECK(eddy_addr_equal(&a, &b));
}

const struct test_case test_cases[] = {
    TEST(numeric_addresses_are_parsed),
    TEST(scopes_are_parsed),
    TEST(everything_else_is_refused),
    TEST(unix_addresses_are_formatted),
    TEST(longest_unix_path_is_formatted),
    TEST(text_is_cut_to_the_room),
    TEST(port_is_that_of_internet_addresses),
    TEST(equality_is_of_endpoints),
    TEST_END,
};
