/* Which servers are asked: those of the options, those of resolv.conf, and what it says now. */
/* backends: select poll epoll io_uring */
#include "tests/contract/names_dns.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct dns second;
static char folder[64], file[96];

/* In resolv.conf servers have no ports: what goes to port 53 of their addresses goes to them. */
int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sockaddr_in to;

    if (addr->sa_family == AF_INET && len >= sizeof to) {
        memcpy(&to, addr, sizeof to);
        if (to.sin_port == htons(53)) {
            uint32_t host = ntohl(to.sin_addr.s_addr);
            to.sin_port = htons((uint16_t)(host == 0x7f000001   ? dns.port
                                           : host == 0x7f000002 ? second.port
                                                                : 53));
        }
        return (int)syscall(SYS_connect, fd, &to, sizeof to);
    }
    return (int)syscall(SYS_connect, fd, addr, len);
}

/* ours at 127.0.0.1, the second at 127.0.0.2; they know the name by other addresses. */
static void open_two(void)
{
    open_server();
    REQUIRE(dns_open(&second, "127.0.0.2") == 0);
    dns_add(&dns, "www.test", DNS_A, 60, "192.0.2.1");
    dns_add(&second, "www.test", DNS_A, 60, "192.0.2.2");
}

static void begin_two(const struct eddy_resolver_opts *opts)
{
    begin_loop(opts);
    REQUIRE(dns_serve(&second, loop) == 0);
}

static void end_two(void)
{
    end();
    dns_close(&second);
}

/* ---- the options ---- */

static const char *both_servers(void)
{
    static char text[160];
    snprintf(text, sizeof text, "%s,%s", dns.servers, second.servers);
    return text;
}

static void L78_the_first_server_is_asked_first(void)
{
    open_two();
    begin_two(EDDY_RESOLVER(.servers = both_servers()));
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    CHECK_INT(second.asked, 0);
    end_two();
}

static void L78_the_second_server_is_asked_when_the_first_is_silent(void)
{
    open_two();
    begin_two(EDDY_RESOLVER(.servers = both_servers(), .try_timeout = EDDY_MSEC(20)));
    dns_behave(&dns, DNS_MANNER(NULL, .how = DNS_SILENCE));
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.2");
    CHECK(dns.asked > 0);
    end_two();
}

static void L78_the_second_server_is_asked_when_the_first_is_not_there(void)
{
    open_two();
    begin_two(EDDY_RESOLVER(.servers = both_servers(), .try_timeout = EDDY_SEC(20)));
    dns_close_udp(&dns);
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.2");
    end_two();
}

static void L78_the_second_server_is_asked_when_the_first_refuses(void)
{
    open_two();
    begin_two(EDDY_RESOLVER(.servers = both_servers(), .try_timeout = EDDY_SEC(20)));
    dns_behave(&dns, DNS_MANNER(NULL, .rcode = DNS_REFUSED));
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.2");
    end_two();
}

/* No such name is an answer. */
static void L78_the_second_server_is_not_asked_when_the_first_says_no(void)
{
    open_two();
    begin_two(EDDY_RESOLVER(.servers = both_servers()));
    dns_behave(&dns, DNS_MANNER(NULL, .rcode = DNS_NXDOMAIN));
    CHECK_NO_LOOKUP("www.test", AF_INET, EDDY_EDNS, EAI_NONAME);
    CHECK_INT(second.asked, 0);
    end_two();
}

static void L78_servers_that_are_none_are_refused(void)
{
    struct eddy_error error = {.code = 0};
    struct asker a = {.query = {.host = "www.test", .done = asker_done}};
    open_two();
    begin_two(EDDY_RESOLVER(.servers = "not a server"));
    CHECK_INT(eddy_query_start(loop, &a.query, &error), -EINVAL);
    CHECK_INT(error.code, -EINVAL);
    CHECK(!eddy_query_is_pending(&a.query));
    end_two();
}

/* ---- resolv.conf ---- */

/* As those who manage it do: a new file takes the old one's place. */
static void write_config(const char *text)
{
    char fresh[128];
    snprintf(fresh, sizeof fresh, "%s.new", file);
    FILE *f = fopen(fresh, "w");
    REQUIRE(f != NULL);
    fputs(text, f);
    fclose(f);
    REQUIRE(rename(fresh, file) == 0);
}

static void begin_config(const char *text)
{
    open_two();
    strcpy(folder, "/tmp/eddy-test-XXXXXX");
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/resolv.conf", folder);
    if (text)
        write_config(text);
    begin_two(EDDY_RESOLVER(.resolv_conf = file, .servers = "", .try_timeout = EDDY_SEC(20)));
}

static void end_config(void)
{
    end_two();
    unlink(file);
    CHECK_INT(rmdir(folder), 0);
}

static void L78_resolv_conf_names_the_server(void)
{
    begin_config("nameserver 127.0.0.2\n");
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.2");
    CHECK_INT(dns.asked, 0);
    end_config();
}

static void L78_resolv_conf_has_a_domain_to_search(void)
{
    begin_config("nameserver 127.0.0.1\nsearch test\n");
    CHECK_LOOKUP("www", AF_INET, "192.0.2.1");
    end_config();
}

static void L78_the_canonical_name_is_found_by_the_domain_too(void)
{
    struct asker a = {
        .query = {.host = "alias", .family = AF_INET, .type = SOCK_STREAM, .flags = AI_CANONNAME}};
    begin_config("nameserver 127.0.0.1\nsearch test\n");
    dns_add(&dns, "alias.test", DNS_CNAME, 60, "www.test");
    start(&a);
    wait_for(&a);
    CHECK_ADDRESSES(&a, "192.0.2.1");
    if (CHECK(a.answer != NULL))
        CHECK_STR(((struct eddy_addresses *)a.answer)->canonical_name, "www.test");
    forget(&a);
    end_config();
}

static bool is_at(const char *address)
{
    struct asker a;
    wait_for(ask(&a, "www.test", AF_INET));
    bool same = strcmp(addresses_of(&a), address) == 0;
    forget(&a);
    return same;
}

/* The file is looked at once a second at most. */
static void wait_until_at(const char *address)
{
    eddy_nsec end = eddy_loop_time(loop) + TEST_DEADLINE;
    while (!is_at(address) && eddy_loop_time(loop) < end)
        CHECK_INT(eddy_loop_run_once(loop, EDDY_MSEC(20)), 0);
    CHECK_LOOKUP("www.test", AF_INET, address);
}

static void check_changes_to(const char *text, const char *address)
{
    write_config(text);
    wait_until_at(address);
}

/* What was kept of the old server's answers is dropped: their time would not be over yet. */
static void L78_a_changed_resolv_conf_is_noticed(void)
{
    begin_config("nameserver 127.0.0.1\n");
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.1");
    test_run_steps(loop, 3);
    long live = test_live_allocations();
    check_changes_to("nameserver 127.0.0.2\n", "192.0.2.2");
    check_changes_to("# again\nnameserver 127.0.0.1\n", "192.0.2.1");
    test_run_steps(loop, 3);
    CHECK_INT(test_live_allocations(), live); /* nothing of the old ones stays */
    end_config();
}

static void L78_what_was_asked_before_the_change_is_answered_by_the_old_server(void)
{
    struct asker a;
    begin_config("nameserver 127.0.0.1\n");
    dns_add(&dns, "old.test", DNS_A, 60, "192.0.2.9");
    dns_behave(&dns, DNS_MANNER("old.test", .how = DNS_HOLD));
    ask(&a, "old.test", AF_INET);
    wait_until_held(1);
    check_changes_to("nameserver 127.0.0.2\n", "192.0.2.2");
    CHECK_INT(a.calls, 0);
    dns_release(&dns);
    wait_for(&a);
    CHECK_ADDRESSES(&a, "192.0.2.9");
    forget(&a);
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.2");
    end_config();
}

/* Who asks now has no use for what the old server says. */
static void L78_a_late_answer_of_the_old_server_is_not_kept(void)
{
    struct asker a;
    begin_config("nameserver 127.0.0.1\n");
    dns_add(&dns, "late.test", DNS_A, 60, "192.0.2.8");
    dns_add(&second, "late.test", DNS_A, 60, "192.0.2.9");
    dns_behave(&dns, DNS_MANNER("late.test", .how = DNS_HOLD));
    ask(&a, "late.test", AF_INET);
    wait_until_held(1);
    check_changes_to("nameserver 127.0.0.2\n", "192.0.2.2");
    dns_release(&dns);
    wait_for(&a);
    CHECK_ADDRESSES(&a, "192.0.2.8");
    forget(&a);
    CHECK_LOOKUP("late.test", AF_INET, "192.0.2.9");
    end_config();
}

static void L78_a_look_up_may_be_cancelled_after_the_change(void)
{
    struct asker a;
    begin_config("nameserver 127.0.0.1\n");
    dns_behave(&dns, DNS_MANNER("old.test", .how = DNS_HOLD));
    ask(&a, "old.test", AF_INET);
    wait_until_held(1);
    check_changes_to("nameserver 127.0.0.2\n", "192.0.2.2");
    eddy_query_cancel(&a.query);
    test_run_steps(loop, 3);
    CHECK_INT(a.calls, 0);
    end_config();
}

/* Without it the server of this machine is asked, as the system's resolver would. */
static void L78_a_resolv_conf_that_goes_and_comes(void)
{
    begin_config("nameserver 127.0.0.2\n");
    CHECK_LOOKUP("www.test", AF_INET, "192.0.2.2");
    CHECK_INT(unlink(file), 0);
    wait_until_at("192.0.2.1");
    check_changes_to("nameserver 127.0.0.2\n", "192.0.2.2");
    end_config();
}

const struct test_case test_cases[] = {
    TEST(L78_the_first_server_is_asked_first),
    TEST(L78_the_second_server_is_asked_when_the_first_is_silent),
    TEST(L78_the_second_server_is_asked_when_the_first_is_not_there),
    TEST(L78_the_second_server_is_asked_when_the_first_refuses),
    TEST(L78_the_second_server_is_not_asked_when_the_first_says_no),
    TEST(L78_servers_that_are_none_are_refused),
    TEST(L78_resolv_conf_names_the_server),
    TEST(L78_resolv_conf_has_a_domain_to_search),
    TEST(L78_the_canonical_name_is_found_by_the_domain_too),
    TEST(L78_a_changed_resolv_conf_is_noticed),
    TEST(L78_what_was_asked_before_the_change_is_answered_by_the_old_server),
    TEST(L78_a_late_answer_of_the_old_server_is_not_kept),
    TEST(L78_a_look_up_may_be_cancelled_after_the_change),
    TEST(L78_a_resolv_conf_that_goes_and_comes),
    TEST_END,
};
