/* Certificates in words: for errors, and for whoever asks. */
#ifndef EDDY_TRANSPORTS_TLS_WORDS_H
#define EDDY_TRANSPORTS_TLS_WORDS_H

#include <eddy/base.h>
#include <openssl/x509.h>

/* A text that is cut where the room ends, NUL included. `at` is where the next goes. */
struct words {
    char *at, *end;
};

void words_begin(struct words *w, char *buf, size_t size);
void words_put(struct words *w, const char *text);
void words_printf(struct words *w, const char *fmt, ...) EDDY_PRINTF(2, 3);
/* What somebody else has made up, at most `max` characters of it: nothing gets out that is not
 * printable, nor what would end a quotation. */
void words_quote(struct words *w, const void *data, size_t len, size_t max);
/* The name of a certificate's holder or issuer, in quotation marks. */
void words_put_name(struct words *w, const X509_NAME *name, size_t max);
void words_put_time(struct words *w, const ASN1_TIME *t);

/* As RFC 2253, ended by NUL, in a BIO that is the caller's; NULL: no memory. */
BIO *words_name(const X509_NAME *name);

/* The names and addresses that a certificate is for: its alternative names, and only where it has
 * none its common name is no name either. As many as `each` wants: it returns false to stop. */
typedef bool words_name_fn(void *user, const char *name, size_t len);
/* -ENOMEM, or 0. */
int words_each_name(const X509 *x, words_name_fn *each, void *user);

#endif
