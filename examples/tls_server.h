/* What the examples' encrypted servers share: a context with a certificate from files, or from
 * nothing. */
#ifndef EXAMPLES_TLS_SERVER_H
#define EXAMPLES_TLS_SERVER_H

#include "common.h"

#include <eddy/eddy.h>

#define OPTION_CERT(ret)                                                                \
    {                                                                                   \
        "--cert", "FILE", "our certificate and those above it, PEM", option_text, (ret) \
    }
#define OPTION_KEY(ret)                                                         \
    {                                                                           \
        "--key", "FILE", "its key (it is in the same file)", option_text, (ret) \
    }

/* Where a client gets it from, so that it can be told to trust it. */
static inline void print_throw_away(struct eddy_tls *tls, const char *names)
{
    char pem[8192];

    printf("a throw-away certificate for %s, which no client trusts unless told to:\n", names);
    if (eddy_tls_cert_pem(tls, pem, sizeof(pem)) == 0)
        printf("%s", pem);
}

/* Without .cert_file a certificate is made on the spot, for `host` and this machine, and printed.
 * Returns NULL if that cannot be, having said why. */
static inline struct eddy_tls *make_server_context(char **argv, const char *host,
                                                   const struct eddy_tls_opts *given)
{
    struct eddy_tls_opts opts = *given;
    struct eddy_error err;
    struct eddy_tls *tls;
    char names[300] = "localhost,127.0.0.1,::1";

    if (!strstr(names, host) && strlen(host) < 256)
        snprintf(names, sizeof(names), "localhost,127.0.0.1,::1,%s", host);
    if (!opts.cert_file)
        opts.throw_away = names;
    opts.error = &err;
    if (eddy_tls_new(&opts, &tls) < 0) {
        fprintf(stderr, "%s: %s\n", program_name(argv), error_text(&err));
        return NULL;
    }
    if (opts.throw_away)
        print_throw_away(tls, names);
    return tls;
}

#endif
