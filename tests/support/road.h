/*
 * The roads over TLS. One pair of a certificate and its key does for all, so that nothing has to be
 * made; its signatures have one length, so that a seed of the simulator stays what it is.
 */
#ifndef TESTS_SUPPORT_ROAD_H
#define TESTS_SUPPORT_ROAD_H

#include <eddy/connection.h>
#include <eddy/server.h>
#include <eddy/tls.h>

struct stage;

/* A context with these options and that certificate, for 127.0.0.1 and localhost: a server has it,
 * a client trusts it alone. The caller's. Ends the case if there is none. */
struct eddy_tls *road_context_with(const struct eddy_tls_opts *opts);
/* The one of the roads, without sessions, which would make one connection depend on another. */
struct eddy_tls *road_context(bool server);

/* create_server and create_connection over TLS, or, on the road "tls2", over TLS in TLS: what is
 * made is upgraded once more, and only then the protocol hears of it, and the future. Without .tls
 * they take a context of their own. */
int road_create_server(struct stage *s, const struct eddy_protocol_class *cls,
                       const struct eddy_server_opts *o, struct eddy_server **ret);
int road_create_connection(struct stage *s, struct eddy_protocol *p,
                           const struct eddy_connection_opts *o, struct eddy_future **ret);

#endif
