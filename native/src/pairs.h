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
    uint64_t mask, misses; /* misses: entries of other keys that were looked at */
    Secret secret;
    int key_kind, value_kind; /* KIND_ANY until the first pair */
    unsigned int key_mask;    /* a bit for each kind of keys to take */
    int counting;             /* a value counts as 1, whatever it is */
    int only_value;           /* KIND_ANY or the one to take */
    int summing, closed, sealed;
    uint64_t taken, added, trial; /* pairs; rows; pairs until summing must have paid */
    size_t limit;                 /* bytes until `full` is called */
    PyObject *other, *other_many, *other_count, *full;
    Py_buffer ticks_view;
    int64_t *ticks; /* a word that grows with every pair, or NULL */
} Pairs;

typedef struct {
    const char *bytes;
    Py_ssize_t size;
    char number[8]; /* where `bytes` points for an int */
    int kind;
    int padded; /* PADDING bytes can be read behind it */
} Key;

static inline uint64_t hash_of(const Pairs *self, const Key *key)
{
    size_t size = (size_t)key->size;
    return key->padded ? secret_hash(&self->secret, key->bytes, size, 1)
                       : secret_hash(&self->secret, key->bytes, size, 0);
}

/* take.c: 1 taken, 0 it has to go elsewhere, -1 an exception. */
int read_key(const Pairs *self, PyObject *object, Key *key);
int take(Pairs *self, const Key *key, PyObject *value);
int take_one(Pairs *self, const Key *key);
/* The same for a value as a cell of a column; `hash` is the key's, where rows are summed. */
int take_cell_of(Pairs *self, const Key *key, uint64_t hash, int kind, const char *cell,
                 Py_ssize_t size);

/* column.c */
PyObject *pairs_columns(PyObject *object, PyObject *args);

static inline int takes_key(const Pairs *self, const Key *key)
{
    return key->size <= MOST_CELL && (self->key_mask >> key->kind & 1) &&
           (self->key_kind == key->kind || self->key_kind == KIND_ANY);
}

static inline size_t held_bytes(const Pairs *self)
{
    size_t index = self->index ? (self->mask + 1) * sizeof(Entry) : 0;
    return self->store.arena.used + self->store.count * sizeof(Row) + index;
}

/* After a pair was taken: spill when much is held. 0, or -1 with an exception. */
static inline int settle(Pairs *self)
{
    if (self->ticks) {
        ++*self->ticks;
    }
    if (held_bytes(self) <= self->limit) {
        return 0;
    }
    PyObject *done = PyObject_CallNoArgs(self->full);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static inline int is_usable(const Pairs *self)
{
    if (self->sealed) {
        PyErr_SetString(PyExc_RuntimeError, "a pair was emitted while pairs are being stored");
        return 0;
    }
    return 1;
}

#endif
