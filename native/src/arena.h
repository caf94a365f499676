/* Bytes that grow at their end. */
#ifndef GOMR_ARENA_H
#define GOMR_ARENA_H

#include <stddef.h>
#include <string.h>

typedef struct {
    char *bytes;
    size_t used, room;
} Arena;

/* arena.c: room for so many more bytes behind those used; 0 without memory. */
int arena_grow(Arena *arena, size_t more);

static inline int arena_reserve(Arena *arena, size_t more)
{
    return (arena->bytes && arena->room - arena->used >= more) || arena_grow(arena, more);
}

/* The bytes, copied behind those used; room for them must have been reserved. */
static inline size_t arena_append(Arena *arena, const char *bytes, size_t size)
{
    size_t at = arena->used;
    memcpy(arena->bytes + at, bytes, size);
    arena->used += size;
    return at;
}

#endif
