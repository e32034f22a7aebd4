/* Sessions and tickets: how long they are good, and by which clock. */
#ifndef EDDY_TRANSPORTS_TLS_SESSION_H
#define EDDY_TRANSPORTS_TLS_SESSION_H

#include <eddy/tls.h>

/* time(2), or a test's. */
typedef time_t tls_clock_fn(time_t *ret);

/* In seconds. */
time_t tls_session_lifetime(const struct eddy_tls_opts *o);

/* Of a client's cache; of a server's ticket keys. */
void tls_session_set_clock(struct eddy_tls *tls, tls_clock_fn *clock);
void tls_tickets_set_clock(struct eddy_tls *tls, tls_clock_fn *clock);

#endif
