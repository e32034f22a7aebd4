/* Objects of one size, cut from larger pieces: connections lie side by side, and cost no header
 * each. Pieces that have become empty are given back, but for one. */
#ifndef EDDY_BASE_SLAB_H
#define EDDY_BASE_SLAB_H

#include <stddef.h>

struct eddy_slab;

/* `align` is a power of two, at most 4096. NULL: no memory. */
struct eddy_slab *eddy_slab_new(size_t size, size_t align);
/* Every object must have been freed. NULL is fine. */
void eddy_slab_destroy(struct eddy_slab *slab);
/* Not cleared. NULL: no memory. */
void *eddy_slab_alloc(struct eddy_slab *slab);
void eddy_slab_free(struct eddy_slab *slab, void *object);

#endif
