/*
 * A piece is one allocation that holds a run of frames, aligned to their size, so that an object
 * leads to its frame by masking its address, and the frame to its piece:
 *
 *     | struct piece, bit mask | gap | frame: piece, objects ... | frame: piece, objects ... |
 *
 * Aligning costs at most one frame of addresses per piece, none of which is ever touched. Free
 * places are used from the lowest up, and pieces from the oldest on, so that memory no object has
 * lain in stays without pages, and pieces become empty.
 */
#include "framework/base/slab.h"
#include "framework/base/alloc.h"
#include "framework/base/list.h"

#include <eddy/base.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN /* free places are as forbidden as freed memory */
#include <sanitizer/asan_interface.h>
#define FORBID(ptr, size) __asan_poison_memory_region((ptr), (size))
#define PERMIT(ptr, size) __asan_unpoison_memory_region((ptr), (size))
#else
#define FORBID(ptr, size) ((void)(ptr), (void)(size))
#define PERMIT(ptr, size) ((void)(ptr), (void)(size))
#endif

#define FRAME_SIZE ((size_t)32 * 1024)
#define FRAMES 16
/* Objects larger than this are allocated one by one: a frame would hold too few of them. */
#define OBJECT_MAX ((size_t)4096)

struct eddy_slab {
    size_t size, align;
    size_t stride;            /* from one object to the next; 0: not in pieces */
    size_t start;             /* of the first object in a frame */
    size_t per_frame, places; /* objects in a frame, and in a piece */
    size_t mask_words;
    struct eddy_link partial; /* pieces with both objects and free places, oldest first */
    struct piece *spare;      /* an empty piece: objects come and go around a boundary */
};

struct piece {
    struct eddy_link link;
    char *frames;
    size_t used;
    size_t first_word; /* no place is free in the words of the mask before it */
    uint64_t free[];   /* bit mask; the bits past the last place come last, and are never reached */
};

struct frame {
    struct piece *piece;
};

static size_t round_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

/* ---- large objects: the allocation's own address stands before each ---- */

static void *alloc_large(struct eddy_slab *slab)
{
    char *base, *object;

    if (slab->size > SIZE_MAX / 2)
        return NULL;
    base = eddy_alloc(slab->size + sizeof(void *) + slab->align - 1);
    if (base == NULL)
        return NULL;
    object = base + sizeof(void *);
    object += (0 - (uintptr_t)object) & (slab->align - 1);
    memcpy(object - sizeof(void *), &base, sizeof(base));
    return object;
}

static void free_large(void *object)
{
    char *base;

    memcpy(&base, (char *)object - sizeof(void *), sizeof(base));
    eddy_free(base);
}

/* ---- pieces ---- */

static struct piece *piece_new(struct eddy_slab *slab)
{
    size_t head = sizeof(struct piece) + slab->mask_words * sizeof(uint64_t);
    struct piece *p = eddy_alloc(head + FRAME_SIZE - 1 + FRAMES * FRAME_SIZE);

    if (p == NULL)
        return NULL;
    memset(p, 0, sizeof(*p));
    p->frames = (char *)p + head;
    p->frames += (0 - (uintptr_t)p->frames) & (FRAME_SIZE - 1);
    memset(p->free, 0xff, slab->mask_words * sizeof(uint64_t));
    FORBID(p->frames, FRAMES * FRAME_SIZE);
    return p;
}

static void piece_free(struct piece *p)
{
    PERMIT(p->frames, FRAMES * FRAME_SIZE);
    eddy_free(p);
}

/* ---- the slab ---- */

struct eddy_slab *eddy_slab_new(size_t size, size_t align)
{
    struct eddy_slab *s = eddy_zalloc(sizeof(*s));

    if (s == NULL)
        return NULL;
    if (align < sizeof(void *))
        align = sizeof(void *);
    if (size == 0)
        size = 1;
    s->size = size;
    s->align = align;
    eddy_list_init(&s->partial);
    if (size <= OBJECT_MAX) {
        s->stride = round_up(size, align);
        s->start = round_up(sizeof(struct frame), align);
        s->per_frame = (FRAME_SIZE - s->start) / s->stride;
        s->places = s->per_frame * FRAMES;
        s->mask_words = (s->places + 63) / 64;
    }
    return s;
}

void eddy_slab_destroy(struct eddy_slab *slab)
{
    if (slab == NULL)
        return;
    if (slab->spare != NULL)
        piece_free(slab->spare);
    eddy_free(slab);
}

static unsigned lowest_bit(uint64_t word)
{
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(word);
#else
    unsigned bit = 0;

    while ((word >> bit & 1) == 0)
        bit++;
    return bit;
#endif
}

static struct piece *piece_with_place(struct eddy_slab *slab)
{
    struct piece *p = slab->spare;

    if (!eddy_list_empty(&slab->partial))
        return EDDY_CONTAINER_OF(slab->partial.next, struct piece, link);
    slab->spare = NULL;
    if (p == NULL)
        p = piece_new(slab);
    if (p != NULL)
        eddy_list_append(&slab->partial, &p->link);
    return p;
}

void *eddy_slab_alloc(struct eddy_slab *slab)
{
    struct piece *p;
    char *frame, *object;
    size_t place;

    if (slab->stride == 0)
        return alloc_large(slab);
    p = piece_with_place(slab);
    if (p == NULL)
        return NULL;
    while (p->free[p->first_word] == 0)
        p->first_word++;
    place = p->first_word * 64 + lowest_bit(p->free[p->first_word]);
    p->free[p->first_word] &= p->free[p->first_word] - 1;
    if (++p->used == slab->places)
        eddy_link_remove(&p->link);

    frame = p->frames + place / slab->per_frame * FRAME_SIZE;
    object = frame + slab->start + place % slab->per_frame * slab->stride;
    PERMIT(frame, sizeof(struct frame));
    ((struct frame *)(void *)frame)->piece = p;
    PERMIT(object, slab->size);
    return object;
}

void eddy_slab_free(struct eddy_slab *slab, void *object)
{
    char *frame;
    struct piece *p;
    size_t place;

    if (slab->stride == 0) {
        free_large(object);
        return;
    }
    frame = (char *)object - ((uintptr_t)object & (FRAME_SIZE - 1));
    p = ((struct frame *)(void *)frame)->piece;
    place = (size_t)(frame - p->frames) / FRAME_SIZE * slab->per_frame +
            ((size_t)((char *)object - frame) - slab->start) / slab->stride;
    p->free[place / 64] |= UINT64_C(1) << place % 64;
    if (place / 64 < p->first_word)
        p->first_word = place / 64;
    FORBID(object, slab->size);

    if (p->used-- == slab->places)
        eddy_list_append(&slab->partial, &p->link);
    if (p->used > 0)
        return;
    eddy_link_remove(&p->link);
    if (slab->spare == NULL)
        slab->spare = p;
    else
        piece_free(p);
}
