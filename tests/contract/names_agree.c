/* The resolvers are exchangeable: they give the same answers, codes and orders (contract L83). */
/* backends: epoll */
/* labels: threads */
#include "tests/contract/executor.h"
#include "tests/contract/names.h"
#include <ctype.h>

#define FIRST "c-ares"
#define SECOND "threads"

static struct eddy_loop *loops[2];
static long live_before;

static bool has(const char *name)
{
    for (unsigned i = 0; eddy_resolver_name(i); i++) {
        if (strcmp(eddy_resolver_name(i), name) == 0)
            return true;
    }
    return false;
}

/* False: there are no two to be compared. */
static bool begin(void)
{
    live_before = test_live_allocations();
    if (!has(FIRST) || !has(SECOND))
        return false;
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.resolver = EDDY_RESOLVER(.name = FIRST)), &loops[0]) ==
            0);
    REQUIRE(test_loop_new_opts(EDDY_LOOP(.resolver = EDDY_RESOLVER(.name = SECOND)), &loops[1]) ==
            0);
    return true;
}

static void end(void)
{
    test_loop_free(loops[0]);
    test_loop_free(loops[1]);
    wait_for_allocations(live_before);
}

static const char *answer(struct eddy_loop *loop, struct asked a)
{
    ask_and_wait(loop, &a);
    const char *text = spell(&a);
    forget(&a);
    return text;
}

static bool compare(struct asked a, const char *file, int line)
{
    const char *first = answer(loops[0], a), *second = answer(loops[1], a);
    char what[256];

    snprintf(what, sizeof what, "%s and %s on %s:%s", FIRST, SECOND, a.q.host ? a.q.host : "NULL",
             a.q.service ? a.q.service : "");
    return test_check_str(first, second, what, file, line);
}

#define COMPARE(...) compare((struct asked)ASKED(__VA_ARGS__), __FILE__, __LINE__)

static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6};
static const struct {
    int type, protocol;
} kinds[] = {
    {0, 0},
    {SOCK_STREAM, 0},
    {SOCK_DGRAM, 0},
    {SOCK_STREAM, IPPROTO_TCP},
    {SOCK_STREAM, IPPROTO_UDP},
    {0, IPPROTO_UDP},
    {SOCK_RAW, 0},
    {SOCK_STREAM, 262},
};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static void compare_kinds(const char *host, const char *service, int family, int flags)
{
    for (size_t k = 0; k < COUNT(kinds); k++)
        COMPARE(.host = host, .service = service, .port = 7, .family = family,
                .type = kinds[k].type, .protocol = kinds[k].protocol, .flags = flags);
}

static void compare_all(const char *host, const char *service, int flags)
{
    for (size_t f = 0; f < COUNT(families); f++)
        compare_kinds(host, service, families[f], flags);
}

/* What the hosts file has. For another family name servers would be asked, or, for localhost alone
 * and by c-ares alone, nobody. */
static struct entry {
    char name[256];
    int family;
} entries[16];

static size_t read_hosts_file(void)
{
    struct hostent *h;
    size_t n = 0;

    sethostent(0);
    while (n < COUNT(entries) && (h = gethostent()) != NULL) {
        snprintf(entries[n].name, sizeof entries[n].name, "%s", h->h_name);
        entries[n++].family = h->h_addrtype;
    }
    endhostent();
    return n;
}

static void compare_entry(const struct entry *e, const char *service, int flags)
{
    compare_kinds(e->name, service, AF_UNSPEC, flags);
    compare_kinds(e->name, service, e->family, flags);
}

static void L83_on_numbers(void)
{
    static const char *const hosts[] = {"127.0.0.1",   "::1",     "fe80::1%lo",
                                        "127.1",       "1.2.3.4", "0x7f000001",
                                        "2001:db8::7", "1:2",     ""};
    if (!begin())
        return;
    for (size_t i = 0; i < COUNT(hosts); i++) {
        compare_all(hosts[i], NULL, 0);
        compare_all(hosts[i], "80", AI_NUMERICHOST);
        compare_all(hosts[i], "99999", 0);
    }
    end();
}

static void L83_on_no_host(void)
{
    static const char *const services[] = {NULL, "80", "http", "no-such-service"};
    if (!begin())
        return;
    for (size_t i = 0; i < COUNT(services); i++) {
        compare_all(NULL, services[i], 0);
        compare_all(NULL, services[i], AI_PASSIVE);
        compare_all(NULL, services[i], AI_NUMERICSERV);
    }
    end();
}

static void L83_on_services(void)
{
    static const char *const services[] = {"http", "domain", "tftp", "no-such-service", "80x"};
    size_t n = read_hosts_file();
    if (!begin())
        return;
    for (size_t i = 0; i < COUNT(services); i++) {
        compare_all("127.0.0.1", services[i], 0);
        compare_all("::1", services[i], 0);
        for (size_t e = 0; e < n; e++)
            compare_entry(&entries[e], services[i], 0);
    }
    end();
}

static void L83_on_names_of_the_hosts_file(void)
{
    size_t n = read_hosts_file();
    CHECK(n > 0);
    if (!begin())
        return;
    for (size_t e = 0; e < n; e++) {
        compare_entry(&entries[e], NULL, 0);
        compare_entry(&entries[e], "80", AI_CANONNAME);
        for (char *c = entries[e].name; *c; c++)
            *c = (char)toupper((unsigned char)*c);
        compare_entry(&entries[e], NULL, 0);
    }
    end();
}

/* Those that no name server need be asked for. */
static void L83_on_names_that_cannot_be(void)
{
    if (!begin())
        return;
    compare_all("two..dots.example.", NULL, 0);
    compare_all("fe80::1%no-such-interface", "http", 0);
    compare_all("example.org", "no-such-service", 0);
    end();
}

static void L83_on_names_of_addresses(void)
{
    static const int flags[] = {0,
                                NI_NUMERICSERV,
                                NI_NUMERICHOST,
                                NI_NUMERICHOST | NI_NUMERICSERV,
                                NI_NUMERICHOST | NI_NAMEREQD,
                                NI_DGRAM,
                                NI_NOFQDN};
    static const int ports[] = {80, 69, 0, 64999};
    if (!begin())
        return;
    for (size_t f = 0; f < COUNT(flags); f++) {
        for (size_t p = 0; p < COUNT(ports); p++) {
            COMPARE(.kind = EDDY_QUERY_NAMES, .addr = addr("127.0.0.1", ports[p]),
                    .flags = flags[f]);
            if (flags[f] & NI_NUMERICHOST)
                COMPARE(.kind = EDDY_QUERY_NAMES, .addr = addr("fe80::7%1", ports[p]),
                        .flags = flags[f]);
        }
    }
    end();
}

const struct test_case test_cases[] = {
    TEST(L83_on_numbers),
    TEST(L83_on_no_host),
    TEST(L83_on_services),
    TEST(L83_on_names_of_the_hosts_file),
    TEST(L83_on_names_that_cannot_be),
    TEST(L83_on_names_of_addresses),
    TEST_END,
};
