/* Structs of options carry their own size (contract G8). */
#ifndef EDDY_BASE_OPTS_H
#define EDDY_BASE_OPTS_H

#include <eddy/base.h>

/* `size` is the abi_size of *opts, `known` the size of the struct that this library was built with.
 * A longer one is of a later version: good as long as nothing is asked for by what is not known
 * here. */
static inline int eddy_opts_check(const void *opts, size_t size, size_t known)
{
    const char *bytes = (const char *)opts;

    if (size < known)
        return -EINVAL;
    for (size_t i = known; i < size; i++) {
        if (bytes[i])
            return -E2BIG;
    }
    return 0;
}

#endif
