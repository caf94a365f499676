/* The buffer of emitted pairs: what its two files share. */
#ifndef GOMR_PAIRS_H
#define GOMR_PAIRS_H

#include "gomr_native.h"

#define MOST_CELL (1u << 30) /* bytes of a key or value; `other` takes larger ones */
#define MOST_ARENA ((size_t)3 << 30)

typedef struct {
    PyObject_HEAD
    Store store;
    Entry *index; /* of `mask` + 1; NULL when nothing is summed */
    uint64_t mask;
    int key_kind, value_kind; /* KIND_ANY until the first pair */
    int key_wanted;           /* KIND_ANY or the one to take */
    int counting;             /* a value counts as 1, whatever it is */
    int only_value;           /* KIND_ANY or the one to take */
    int summing, closed, sealed;
    uint64_t taken, added, trial; /* pairs; rows; pairs until summing must have paid */
    size_t limit;                 /* bytes until `full` is called */
    PyObject *other, *other_many, *full;
    Py_buffer monitor;
    int64_t *ticks;
} Pairs;

typedef struct {
    const char *bytes;
    Py_ssize_t size;
    char number[8]; /* where `bytes` points for an int */
    int kind;
} Key;

/* take.c: 1 taken, 0 it has to go elsewhere, -1 an exception. */
int read_key(const Pairs *self, PyObject *object, Key *key);
int take(Pairs *self, const Key *key, PyObject *value);
int take_one(Pairs *self, const Key *key);
size_t held_bytes(const Pairs *self);

#endif
