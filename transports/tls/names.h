/* Names of applications (ALPN) as the rest sees them. */
#ifndef EDDY_TRANSPORTS_TLS_NAMES_H
#define EDDY_TRANSPORTS_TLS_NAMES_H

#include <openssl/ssl.h>

/* What was agreed on; it lives as long as ssl. NULL: nothing. */
const char *tls_alpn_selected(const SSL *ssl);

#endif
