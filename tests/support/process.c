/* Descriptors and child processes. */
#include "tests/support/test.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void test_socketpair(int fds[2])
{
    fds[0] = fds[1] = -1;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    for (int i = 0; i < 2; i++) {
        REQUIRE(fcntl(fds[i], F_SETFL, O_NONBLOCK) == 0);
        REQUIRE(fcntl(fds[i], F_SETFD, FD_CLOEXEC) == 0);
    }
}

int test_open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir) {
        while (readdir(dir))
            count++;
        closedir(dir);
        return count - 3; /* ".", ".." and the directory's own */
    }
    for (int fd = 0; fd < 1024; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            count++;
    }
    return count;
}

/* The parent cannot see what fails in the child's books. */
static void print_failures(unsigned skip)
{
    for (const CU_FailureRecord *f = CU_get_failure_list(); f; f = f->pNext) {
        if (skip > 0) {
            skip--;
            continue;
        }
        dprintf(STDERR_FILENO, "\n    in the child: %s:%u: %s\n", f->strFileName, f->uiLineNumber,
                f->strCondition);
    }
}

static void run_child(void (*fn)(void *user), void *user)
{
    unsigned failures_before = CU_get_number_of_failures();
    fn(user);
    bool failed = CU_get_number_of_failures() != failures_before;
    if (failed)
        print_failures(failures_before);
    _exit(failed);
}

void test_in_child(void (*fn)(void *user), void *user)
{
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        run_child(fn, user);
    int status = 0;
    pid_t got;
    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    CHECK_INT(got, pid);
    CHECK_INT(status, 0);
}
