/* The one way in which memory for keys, values and lines grows: by half, so that each byte is moved
 * a few times at most. */
#include "arena.h"

#include <stdlib.h>

#define LEAST_ROOM 4096

int arena_grow(Arena *arena, size_t more)
{
    size_t room = arena->room + arena->room / 2 + more + LEAST_ROOM;
    char *bytes = realloc(arena->bytes, room);
    if (!bytes) {
        return 0;
    }
    arena->bytes = bytes;
    arena->room = room;
    return 1;
}
