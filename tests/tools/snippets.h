/*
 * What comes before the C in documents that is no program of its own: tests/tools/check_snippets.
 * A fragment, the inside of a function, also has the variables below.
 */
#ifndef TESTS_TOOLS_SNIPPETS_H
#define TESTS_TOOLS_SNIPPETS_H

#include <eddy/eddy.h>
#include <eddy/sim.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#ifdef SNIPPET_FRAGMENT
extern int fd, res;
extern const void *data;
extern size_t len;
extern struct eddy_error err, *why;
extern struct eddy_future *future;
extern struct eddy_loop *loop;
extern struct eddy_protocol *p;
extern const struct eddy_protocol_class cls;
extern struct eddy_server *server;
extern struct eddy_sim *sim;
extern struct eddy_timer timer;
extern struct eddy_transport *t;
#endif

#endif
