/* The reactor: a backend made of a selector and system calls. */
#ifndef EDDY_BACKENDS_REACTOR_H
#define EDDY_BACKENDS_REACTOR_H

#include <eddy/backend.h>

/* Owns `s` on success; the loop's sys is used. */
int eddy_reactor_open(struct eddy_loop *loop, struct eddy_selector *s, struct eddy_backend **ret);

#endif
