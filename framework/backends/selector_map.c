/* What is registered with a selector, by descriptor. */
#include "framework/backends/selectors.h"
#include "framework/base/alloc.h"

#include <limits.h>
#include <string.h>

/* Entries never move, and a large number costs little more than a small one: see loop/io.c. */
#define CHUNK 128

struct eddy_selector_entry_ *eddy_selector_map_find(const struct eddy_selector_map *map, eddy_fd fd)
{
    if (fd < 0 || fd / CHUNK >= map->room_ || map->chunks_[fd / CHUNK] == NULL)
        return NULL;
    struct eddy_selector_entry_ *entry = &map->chunks_[fd / CHUNK][fd % CHUNK];

    return entry->key.events != 0 ? entry : NULL;
}

struct eddy_selector_entry_ *eddy_selector_map_reserve(struct eddy_selector_map *map, eddy_fd fd)
{
    int i = fd / CHUNK;

    if (i >= map->room_) {
        int room = i * 2 + 2; /* fits: a chunk is larger than 2 */
        struct eddy_selector_entry_ **chunks =
            eddy_realloc(map->chunks_, (size_t)room * sizeof *chunks);

        if (chunks == NULL)
            return NULL;
        memset(chunks + map->room_, 0, (size_t)(room - map->room_) * sizeof *chunks);
        map->chunks_ = chunks;
        map->room_ = room;
    }
    if (map->chunks_[i] == NULL)
        map->chunks_[i] = eddy_zalloc(CHUNK * sizeof **map->chunks_);
    return map->chunks_[i] != NULL ? &map->chunks_[i][fd % CHUNK] : NULL;
}

void eddy_selector_map_clear(struct eddy_selector_map *map)
{
    for (int i = 0; i < map->room_; i++)
        eddy_free(map->chunks_[i]);
    eddy_free(map->chunks_);
    *map = (struct eddy_selector_map){0};
}

size_t eddy_selector_map_size(const struct eddy_selector_map *map)
{
    return map != NULL ? (size_t)map->size_ : 0;
}

bool eddy_selector_map_get(const struct eddy_selector_map *map, eddy_fd fd,
                           struct eddy_selector_key *ret_key)
{
    const struct eddy_selector_entry_ *entry = map != NULL ? eddy_selector_map_find(map, fd) : NULL;

    if (entry != NULL && ret_key != NULL)
        *ret_key = entry->key;
    return entry != NULL;
}

bool eddy_selector_map_next(const struct eddy_selector_map *map, struct eddy_selector_key *key)
{
    if (map == NULL || key == NULL || key->fd == INT_MAX)
        return false;
    eddy_fd fd = key->fd < 0 ? 0 : key->fd + 1;

    for (int i = fd / CHUNK; i < map->room_; i++, fd = i * CHUNK) {
        if (map->chunks_[i] == NULL)
            continue;
        for (int k = fd % CHUNK; k < CHUNK; k++) {
            if (map->chunks_[i][k].key.events == 0)
                continue;
            *key = map->chunks_[i][k].key;
            return true;
        }
    }
    return false;
}
