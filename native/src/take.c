/* A pair into the buffer: its key and value read, its row found or made. */
#include "pairs.h"

/* 1 with the key read, 0 when it has to go elsewhere. `key` must not move while it is used. */
int read_key(const Pairs *self, PyObject *object, Key *key)
{
    key->padded = 0;
    if (PyUnicode_CheckExact(object)) {
        key->kind = KIND_STR;
        key->bytes = PyUnicode_AsUTF8AndSize(object, &key->size);
        if (!key->bytes) {
            PyErr_Clear();
            return 0;
        }
    } else if (PyLong_CheckExact(object)) {
        int overflow;
        int64_t number = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (overflow) {
            return 0;
        }
        uint64_t flipped = flip_sign(number);
        memcpy(key->number, &flipped, 8);
        key->bytes = key->number;
        key->size = 8;
        key->kind = KIND_INT;
    } else if (PyBytes_CheckExact(object)) {
        char *bytes;
        PyBytes_AsStringAndSize(object, &bytes, &key->size);
        key->bytes = bytes;
        key->kind = KIND_BYTES;
    } else {
        return 0;
    }
    return takes_key(self, key);
}

static int room_for_row(Store *store)
{
    if (store->count < store->room) {
        return 1;
    }
    if (store->count == UINT32_MAX - 1) {
        return 0;
    }
    size_t room = store->room < 256 ? 256 : (size_t)store->room + store->room / 2;
    if (room > UINT32_MAX - 1) {
        room = UINT32_MAX - 1;
    }
    Row *rows = realloc(store->rows, room * sizeof *rows);
    if (!rows) {
        return 0;
    }
    store->rows = rows;
    store->room = (uint32_t)room;
    return 1;
}

/* Bytes into the arena, with PADDING behind them that may be read. */
static inline int put_bytes(Store *store, const char *bytes, size_t size, Cell *cell)
{
    if (store->arena.used + size > MOST_ARENA || !arena_reserve(&store->arena, size + PADDING)) {
        return 0;
    }
    *cell = (Cell){(uint32_t)arena_append(&store->arena, bytes, size), (uint32_t)size};
    return 1;
}

static int grow_index(Pairs *self, uint64_t entries)
{
    Entry *index = calloc(entries, sizeof *index);
    if (!index) {
        return 0;
    }
    uint64_t mask = entries - 1;
    for (uint64_t i = 0; self->index && i <= self->mask; i++) {
        Entry entry = self->index[i];
        if (entry.row) {
            Cell key = self->store.rows[entry.row - 1].key;
            uint64_t h = secret_hash(&self->secret, self->store.arena.bytes + key.at, key.size, 1);
            uint64_t at = h & mask;
            while (index[at].row) {
                at = (at + 1) & mask;
            }
            index[at] = entry;
        }
    }
    free(self->index);
    self->index = index;
    self->mask = mask;
    return 1;
}

static void stop_summing(Pairs *self)
{
    free(self->index);
    self->index = NULL;
    self->summing = 0;
}

static inline int is_key(const Key *key, const char *stored)
{
    size_t size = (size_t)key->size;
    return key->padded && size <= 8 ? load_padded(key->bytes, size) == load_padded(stored, size)
                                    : !memcmp(stored, key->bytes, size);
}

/* 1: the value was added to its key's row. 0: there is no such row, and *at is free in the index.
 * -1: the sum would leave 64 bits. */
static inline int add_to_row(Pairs *self, const Key *key, int64_t more, uint64_t hash, uint64_t *at)
{
    uint64_t i = hash & self->mask;
    const Entry *index = self->index;
    for (; index[i].row; i = (i + 1) & self->mask) {
        if (index[i].hash != (uint32_t)(hash >> 32)) {
            self->misses++;
            continue;
        }
        Row *row = &self->store.rows[index[i].row - 1];
        if (row->key.size == (size_t)key->size &&
            is_key(key, self->store.arena.bytes + row->key.at)) {
            int64_t sum;
            if (__builtin_add_overflow(row->value.i, more, &sum)) {
                return -1;
            }
            row->value.i = sum;
            return 1;
        }
        self->misses++;
    }
    *at = i;
    return 0;
}

/* A new row; `at` is its place in the index. 0 without memory. */
static int add_row(Pairs *self, const Key *key, Value value, uint64_t hash, uint64_t at)
{
    Store *store = &self->store;
    Cell cell;
    if (!room_for_row(store) || !put_bytes(store, key->bytes, (size_t)key->size, &cell)) {
        return 0;
    }
    store->rows[store->count++] = (Row){value, cell};
    self->added++;
    if (self->summing) {
        self->index[at] = (Entry){(uint32_t)(hash >> 32), store->count};
        if (self->taken > self->trial && self->added > self->taken / 5 * 4) {
            stop_summing(self);
        } else if (store->count > self->mask / 2) {
            return grow_index(self, 2 * (self->mask + 1));
        }
    }
    return 1;
}

/* 1: taken. 0: it has to go elsewhere. -1: an exception. `hash`: the key's, while summing. */
static inline int take_hashed(Pairs *self, const Key *key, uint64_t hash, int kind, Value value)
{
    uint64_t at = 0;
    if (self->summing) {
        if (!self->index && !grow_index(self, 4096)) {
            PyErr_NoMemory();
            return -1;
        }
        int found = add_to_row(self, key, value.i, hash, &at);
        if (found) {
            self->taken += found > 0;
            return found > 0;
        }
    }
    self->key_kind = key->kind;
    self->value_kind = kind;
    self->taken++;
    if (!add_row(self, key, value, hash, at)) {
        PyErr_NoMemory();
        return -1;
    }
    return 1;
}

static inline int take_number(Pairs *self, const Key *key, int kind, Value value)
{
    uint64_t hash = 0;
    if (self->summing) {
        hash = hash_of(self, key);
    }
    return take_hashed(self, key, hash, kind, value);
}

static int take_cell(Pairs *self, const Key *key, int kind, const char *bytes, Py_ssize_t size)
{
    Value value;
    if (size > MOST_CELL) {
        return 0;
    }
    if (!put_bytes(&self->store, bytes, (size_t)size, &value.cell)) {
        PyErr_NoMemory();
        return -1;
    }
    return take_number(self, key, kind, value);
}

static inline int takes_value(const Pairs *self, int kind)
{
    return (self->value_kind == KIND_ANY || self->value_kind == kind) &&
           (self->only_value == KIND_ANY || self->only_value == kind);
}

/* As take_number, for any value. */
int take(Pairs *self, const Key *key, PyObject *object)
{
    Value value;
    if (self->counting) {
        value.i = 1;
        int known = PyLong_CheckExact(object) || PyFloat_CheckExact(object) || object == Py_None ||
                    object == Py_True || object == Py_False;
        return known ? take_number(self, key, KIND_INT, value) : 0;
    }
    if (PyLong_CheckExact(object)) {
        int overflow;
        value.i = PyLong_AsLongLongAndOverflow(object, &overflow);
        return !overflow && takes_value(self, KIND_INT) ? take_number(self, key, KIND_INT, value)
                                                        : 0;
    }
    if (PyFloat_CheckExact(object)) {
        value.d = PyFloat_AsDouble(object);
        return takes_value(self, KIND_FLOAT) ? take_number(self, key, KIND_FLOAT, value) : 0;
    }
    Py_ssize_t size;
    if (PyUnicode_CheckExact(object) && takes_value(self, KIND_STR)) {
        const char *bytes = PyUnicode_AsUTF8AndSize(object, &size);
        if (!bytes) {
            PyErr_Clear();
            return 0;
        }
        return take_cell(self, key, KIND_STR, bytes, size);
    }
    if (PyBytes_CheckExact(object) && takes_value(self, KIND_BYTES)) {
        char *bytes;
        PyBytes_AsStringAndSize(object, &bytes, &size);
        return take_cell(self, key, KIND_BYTES, bytes, size);
    }
    return 0;
}

int take_one(Pairs *self, const Key *key)
{
    if (!self->counting && !takes_value(self, KIND_INT)) {
        return 0;
    }
    return take_number(self, key, KIND_INT, (Value){.i = 1});
}

int take_cell_of(Pairs *self, const Key *key, uint64_t hash, int kind, const char *cell,
                 Py_ssize_t size)
{
    Value value = {.i = 1};
    int counted = self->counting && (kind == KIND_INT || kind == KIND_FLOAT);
    if (!counted && (self->counting || !takes_value(self, kind))) {
        return 0;
    }
    if (kind == KIND_STR || kind == KIND_BYTES) {
        return take_cell(self, key, kind, cell, size);
    }
    if (!counted) {
        memcpy(&value, cell, 8);
    }
    return take_hashed(self, key, hash, counted ? KIND_INT : kind, value);
}
