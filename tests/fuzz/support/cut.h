/*
 * Fuzzing protocols that cut a stream to pieces: the bytes come from a peer on a simulated network
 * in portions of any size, the protocol is paused, switched, closed or left without memory in any
 * piece, and what it delivers must be what a plain loop over all the bytes says - however they
 * came. An input is three bytes that choose all that, then the stream:
 *
 *     0   for the target: which kind of protocol
 *     1   bits 0-2 what happens (enum action), 3-4 the portions, 5 a rough network,
 *         6 the late backend, 7 the peer ends by a reset
 *     2   in which piece it happens, the seed of portions and network, the allocation that fails
 */
#ifndef TESTS_FUZZ_SUPPORT_CUT_H
#define TESTS_FUZZ_SUPPORT_CUT_H

#include <eddy/eddy.h>

/* ---- what a target provides ---- */

struct cut_target {
    /* An instance for a connection. Its class is one whose slots call the functions below. */
    struct eddy_protocol *(*prepare)(uint8_t kind);
    /* Reports by cut_expect_piece and cut_expect_end what the stream ought to give. */
    void (*expect)(uint8_t kind, const uint8_t *bytes, size_t len);
};

/* One input; aborts when the protocol does something else than expected. */
int cut_run(const struct cut_target *target, const uint8_t *input, size_t size);

/* A piece at bytes[start], after which the next one begins at bytes[next]. */
void cut_expect_piece(size_t start, size_t len, size_t next);
/* What ends the connection: 0, after eof_received, or a code. */
void cut_expect_end(int code);

/* ---- for the slots ---- */

void cut_made(struct eddy_transport *t);
/* Around the base class's data_received: memory may be short within. */
void cut_received_begin(void);
void cut_received_end(void);
void cut_piece(const void *data, size_t len);
bool cut_eof(void);
void cut_lost(const struct eddy_error *err);
void cut_fini(void);

/* libFuzzer's entry. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
