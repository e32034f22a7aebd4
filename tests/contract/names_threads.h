/*
 * What the tests of names by threads share: a system whose resolver does as it is told. What is not
 * for it goes to the real one.
 */
#ifndef TESTS_CONTRACT_NAMES_THREADS_H
#define TESTS_CONTRACT_NAMES_THREADS_H

#include "tests/contract/executor.h"
#include "tests/contract/names.h"
#include <dlfcn.h>
#include <errno.h>

static struct gate gate;
static atomic_int system_calls, lists; /* of the system's, not freed yet */
static char thread_name[16];           /* of who asked for localhost last */

/* Names that the system has an answer for, and whether it takes its time with it. */
static const struct {
    const char *host;
    int outcome, system;
    bool waits;
} told[] = {
    {"gate.example", 0, 0, true},
    {"late.example", EAI_AGAIN, 0, true},
    {"again.example", EAI_AGAIN, 0, false},
    {"fail.example", EAI_FAIL, 0, false},
    {"none.example", EAI_NONAME, 0, false},
    {"data.example", EAI_NODATA, 0, false},
    {"other.example", EAI_ADDRFAMILY, 0, false},
    {"memory.example", EAI_MEMORY, 0, false},
    {"files.example", EAI_SYSTEM, EMFILE, false},
    {"what.example", EAI_SYSTEM, 0, false},
};

static inline void *real(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    REQUIRE(f != NULL);
    return f;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    int (*system)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

    atomic_fetch_add(&system_calls, 1);
    if (host && strcmp(host, "localhost") == 0)
        pthread_getname_np(pthread_self(), thread_name, sizeof thread_name);
    *(void **)&system = real("getaddrinfo");
    for (size_t i = 0; host && i < sizeof told / sizeof told[0]; i++) {
        if (strcmp(host, told[i].host) != 0)
            continue;
        if (told[i].waits)
            gate_pass(&gate);
        errno = told[i].system;
        if (told[i].outcome != 0)
            return told[i].outcome;
        host = "192.0.2.1";
    }
    int outcome = system(host, service, hints, ret);
    if (outcome == 0)
        atomic_fetch_add(&lists, 1);
    return outcome;
}

void freeaddrinfo(struct addrinfo *list)
{
    void (*system)(struct addrinfo *);

    atomic_fetch_sub(&lists, 1);
    *(void **)&system = real("freeaddrinfo");
    system(list);
}

#endif
