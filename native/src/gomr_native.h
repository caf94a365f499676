/* Shared by the files of gomr_native: pairs in one arena and their order.
 *
 * Only the stable ABI of Python 3.11 is used, so one build serves every later Python.
 */
#ifndef GOMR_NATIVE_H
#define GOMR_NATIVE_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "hash.h"
#include "kinds.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GoMR's frames need a little-endian machine"
#endif

#define KIND_ANY 0 /* of nothing yet, or of everything */

/* Whether values of the kind differ in size, so that a column has a cell for each. */
static inline int has_cells(int kind)
{
    return kind != KIND_INT && kind != KIND_FLOAT && kind != KIND_BOOL && kind != KIND_NONE;
}

/* Bytes in an arena. */
typedef struct {
    uint32_t at, size;
} Cell;

typedef union {
    int64_t i;
    double d;
    Cell cell;
} Value;

/* A pair. The key is its order-preserving payload: an int is 8 big-endian bytes with the sign
 * flipped, a str its UTF-8. */
typedef struct {
    Value value;
    Cell key;
} Row;

/* An entry of the index from keys to rows; row 0 is no entry, row n is rows[n - 1]. */
typedef struct {
    uint32_t hash, row;
} Entry;

/* A row on its way to its place: `prefix` is 8 bytes of its key, as a big-endian number. */
typedef struct {
    uint64_t prefix;
    uint32_t row, size;
} Slot;

typedef struct {
    Row *rows;
    uint32_t count, room;
    Arena arena; /* keys and values that are cells */
    Slot *order; /* once sorted */
    uint64_t work; /* bytes of keys that sorting looked at */
} Store;

static inline uint64_t flip_sign(int64_t number)
{
    return __builtin_bswap64((uint64_t)number ^ (1ull << 63));
}

static inline int64_t unflip_sign(const char *payload)
{
    uint64_t w;
    memcpy(&w, payload, 8);
    return (int64_t)(__builtin_bswap64(w) ^ (1ull << 63));
}

static inline const char *key_of(const Store *store, uint32_t row)
{
    return store->arena.bytes + store->rows[row].key.at;
}

/* order.c: `where` has the partition of each row, NULL when there is one; `bounds` gets
 * partitions + 1 places in `order`. 0, or -1 without memory. */
int order_rows(Store *store, const uint32_t *where, uint32_t partitions, uint32_t *bounds);
/* Of three-way byte order, as keys have it. */
int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size);

/* frames.c: rows [start, end) in order as a frame's body, at most so many rows and bytes: a tuple
 * (rows taken, bytes of the key column, body). */
PyObject *frame_body(const Store *store, int key_kind, int value_kind, uint32_t start, uint32_t end,
                     uint32_t most_rows, size_t most_bytes);
/* A Python object from a key's payload or a value; NULL with an exception. */
PyObject *key_object(const Store *store, int kind, uint32_t row);
PyObject *value_object(const Store *store, int kind, uint32_t row);

/* text.c: a str or a 64-bit int as a text part has it, then `end`; 0 without memory. */
int text_cell(Arena *text, int kind, const char *cell, size_t size, char end);

/* module.c: call a Python function as we were called, by METH_FASTCALL | METH_KEYWORDS. */
PyObject *call_other(PyObject *other, PyObject *const *args, Py_ssize_t count, PyObject *names);
/* Call a Python function with an iterable of one thing: 1, or -1 with an exception. */
int call_with_one(PyObject *function, PyObject *thing);
/* What `emit_many` or `count` got, as an iterator. NULL without an exception: it is for Python to
 * refuse, for it is a str, a dict, or nothing that can be iterated over. */
PyObject *iterate(PyObject *const *args, Py_ssize_t count, PyObject *names);
#define FAST(function) ((PyCFunction)(void (*)(void))(function))

extern PyType_Spec pairs_spec, merge_spec, lines_spec;

#endif
