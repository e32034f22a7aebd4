/* backends: poll epoll io_uring */
/* timeout: 300 */
/* labels: slow */
/* serial */
/*
 * 10,000 idle connections, the clients in processes of their own: contract S25, G16. All of them
 * stand at once, some say something now and then, and all end.
 */
#include "tests/support/stream.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CONNECTIONS = 10000,
    PROCESSES = 5,
    EACH = CONNECTIONS / PROCESSES,
    SPARE = 100,  /* descriptors for everything else */
    SKIPPED = 77, /* the exit status that ctest knows */
};

static int made, lost, errors;
static size_t received;

static void guest_made(struct eddy_protocol *p, struct eddy_transport *t)
{
    (void)p, (void)t;
    made++;
}

static void guest_data(struct eddy_protocol *p, const void *data, size_t len)
{
    received += len;
    eddy_transport_write(p->transport, data, len);
}

static void guest_lost(struct eddy_protocol *p, const struct eddy_error *err)
{
    (void)p;
    lost++;
    errors += err != NULL;
}

static const struct eddy_protocol_class guest_class = {
    EDDY_STATELESS_PROTOCOL_CLASS("guest"),
    .connection_made = guest_made,
    .data_received = guest_data,
    .connection_lost = guest_lost,
};

/* Raises the soft limit, if the hard one allows. */
static bool may_open(rlim_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    if (limit.rlim_cur >= wanted)
        return true;
    if (limit.rlim_max < wanted)
        return false;
    limit.rlim_cur = wanted;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* ---- a process of clients: 0 if all went as it should ---- */

static int connect_one(int port)
{
    struct eddy_addr to;
    struct timeval limit = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || eddy_addr_parse("127.0.0.1", port, &to) < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return connect(fd, &to.u.sa, to.len) < 0 ? -1 : fd;
}

static int be_clients(int port, int go)
{
    static int fds[EACH];
    char byte;
    for (int i = 0; i < EACH; i++) {
        fds[i] = connect_one(port);
        if (fds[i] < 0)
            return 2;
    }
    if (read(go, &byte, 1) != 1) /* all 10,000 stand */
        return 3;
    for (int i = 0; i < EACH; i += 100) {
        if (send(fds[i], "x", 1, MSG_NOSIGNAL) != 1 || recv(fds[i], &byte, 1, 0) != 1)
            return 4;
    }
    for (int i = 0; i < EACH; i++)
        close(fds[i]);
    return 0;
}

static void start_clients(const struct stage *s, pid_t *pids, int go[2])
{
    REQUIRE(pipe(go) == 0);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        REQUIRE(pids[i] >= 0);
        if (pids[i] == 0) {
            close(go[1]);
            _exit(be_clients(s->port, go[0]));
        }
    }
    close(go[0]);
}

static void B12_S25_G16_ten_thousand_idle_connections(void)
{
    struct stage s;
    pid_t pids[PROCESSES];
    int go[2];
    if (!may_open(CONNECTIONS + SPARE)) {
        printf("skipped: the limit of open descriptors is below %d\n", CONNECTIONS + SPARE);
        exit(SKIPPED);
    }
    stage_init(&s);
    s.server_class = &guest_class;
    s.server_opts.backlog = 4096;
    stage_begin(&s);
    start_clients(&s, pids, go);
    UNTIL(&s, made == CONNECTIONS);
    CHECK_INT(eddy_server_connections(s.server), CONNECTIONS);

    /* nothing happens, and nothing is busy with it */
    test_run_steps(s.loop, 3);
    CHECK_INT(made, CONNECTIONS);
    CHECK_INT(lost, 0);

    CHECK_INT(write(go[1], "12345", PROCESSES), PROCESSES);
    close(go[1]);
    UNTIL(&s, lost == CONNECTIONS);
    CHECK_INT(received, CONNECTIONS / 100);
    CHECK_INT(errors, 0);
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        CHECK_INT(waitpid(pids[i], &status, 0), pids[i]);
        CHECK_INT(status, 0);
    }
    stage_close(&s);
}

const struct test_case test_cases[] = {
    CASE(B12_S25_G16_ten_thousand_idle_connections),
    {NULL, NULL},
};
