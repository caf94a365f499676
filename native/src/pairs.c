/* Pairs: what `ctx.emit`, `ctx.emit_many` and `ctx.count` are in a map task.
 *
 * Keys and values go into one arena as they are emitted, so that nothing of a pair stays a Python
 * object. With `summing` a key has one row, whose value grows. Whatever does not fit (a key or
 * value of another type, a str that is not Unicode, a sum beyond 64 bits) goes to `other`.
 */
#include "gomr_native.h"

#define MOST_CELL (1u << 30) /* bytes of a key or value; `other` takes larger ones */
#define MOST_ARENA ((size_t)3 << 30)
#define TICKS 4 /* of gomr_runtime.execution: its slot in the monitor */

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

static size_t held_bytes(const Pairs *self)
{
    size_t index = self->index ? (self->mask + 1) * sizeof(Entry) : 0;
    return self->store.used + self->store.count * sizeof(Row) + index;
}

/* 1 with the key read, 0 when it has to go elsewhere. `key` must not move while it is used. */
static inline int read_key(const Pairs *self, PyObject *object, Key *key)
{
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
    return key->size <= MOST_CELL && (self->key_kind == key->kind || self->key_kind == KIND_ANY);
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

static inline int put_bytes(Store *store, const char *bytes, size_t size, Cell *cell)
{
    if (store->arena_room - store->used < size) {
        size_t room = store->arena_room + store->arena_room / 2 + size + 4096;
        char *arena = store->used + size <= MOST_ARENA ? realloc(store->arena, room) : NULL;
        if (!arena) {
            return 0;
        }
        store->arena = arena;
        store->arena_room = room;
    }
    memcpy(store->arena + store->used, bytes, size);
    *cell = (Cell){(uint32_t)store->used, (uint32_t)size};
    store->used += size;
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
            uint64_t h = fixed_hash((uint64_t)self->key_kind, self->store.arena + key.at, key.size);
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

/* 1: the value was added to its key's row. 0: there is no such row, and *at is free in the index.
 * -1: the sum would leave 64 bits. */
static inline int add_to_row(Pairs *self, const Key *key, int64_t more, uint64_t hash, uint64_t *at)
{
    uint64_t i = hash & self->mask;
    const Entry *index = self->index;
    for (; index[i].row; i = (i + 1) & self->mask) {
        if (index[i].hash != (uint32_t)(hash >> 32)) {
            continue;
        }
        Row *row = &self->store.rows[index[i].row - 1];
        if (row->key.size == (size_t)key->size &&
            !memcmp(self->store.arena + row->key.at, key->bytes, row->key.size)) {
            int64_t sum;
            if (__builtin_add_overflow(row->value.i, more, &sum)) {
                return -1;
            }
            row->value.i = sum;
            return 1;
        }
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

/* 1: taken. 0: it has to go elsewhere. -1: an exception. */
static inline int take_number(Pairs *self, const Key *key, int kind, Value value)
{
    uint64_t hash = 0, at = 0;
    if (self->summing) {
        if (!self->index && !grow_index(self, 4096)) {
            PyErr_NoMemory();
            return -1;
        }
        hash = fixed_hash((uint64_t)key->kind, key->bytes, (size_t)key->size);
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
static inline int take(Pairs *self, const Key *key, PyObject *object)
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

/* After a pair was taken: spill when much is held. -1 with an exception. */
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

static int is_usable(const Pairs *self)
{
    if (self->sealed) {
        PyErr_SetString(PyExc_RuntimeError, "a pair was emitted while pairs are being stored");
        return 0;
    }
    return 1;
}

static PyObject *call_other(PyObject *other, PyObject *const *args, Py_ssize_t count,
                            PyObject *names)
{
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;
    PyObject *tuple = PyTuple_New(count), *by_name = named ? PyDict_New() : NULL, *answer = NULL;
    if (!tuple || (named && !by_name)) {
        goto end;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_INCREF(args[i]);
        PyTuple_SetItem(tuple, i, args[i]);
    }
    for (Py_ssize_t i = 0; i < named; i++) {
        if (PyDict_SetItem(by_name, PyTuple_GetItem(names, i), args[count + i]) < 0) {
            goto end;
        }
    }
    answer = PyObject_Call(other, tuple, by_name);
end:
    Py_XDECREF(tuple);
    Py_XDECREF(by_name);
    return answer;
}

static PyObject *pairs_emit(PyObject *object, PyObject *const *args, Py_ssize_t count,
                            PyObject *names)
{
    Pairs *self = (Pairs *)object;
    Key key;
    if (!self->closed && count == 2 && !names) {
        if (!is_usable(self)) {
            return NULL;
        }
        int taken = read_key(self, args[0], &key) ? take(self, &key, args[1]) : 0;
        if (taken < 0 || (taken && settle(self) < 0)) {
            return NULL;
        }
        if (taken) {
            Py_RETURN_NONE;
        }
    }
    return call_other(self->other, args, count, names);
}

/* 1 taken, 0 not, -1 an exception. */
static int emit_pair(Pairs *self, PyObject *pair)
{
    Key key;
    if (self->closed || !PyTuple_CheckExact(pair) || PyTuple_Size(pair) != 2) {
        return 0;
    }
    if (!is_usable(self)) {
        return -1;
    }
    if (!read_key(self, PyTuple_GetItem(pair, 0), &key)) {
        return 0;
    }
    int taken = take(self, &key, PyTuple_GetItem(pair, 1));
    return taken > 0 && settle(self) < 0 ? -1 : taken;
}

static PyObject *pairs_emit_many(PyObject *object, PyObject *pairs)
{
    Pairs *self = (Pairs *)object;
    PyObject *source = PyObject_GetIter(pairs), *pair;
    if (!source) {
        return NULL;
    }
    while ((pair = PyIter_Next(source))) {
        int taken = emit_pair(self, pair);
        if (!taken) {
            PyObject *done = PyObject_CallFunctionObjArgs(self->other_many, pair, NULL);
            taken = done ? 1 : -1;
            Py_XDECREF(done);
        }
        Py_DECREF(pair);
        if (taken < 0) {
            break;
        }
    }
    Py_DECREF(source);
    if (PyErr_Occurred()) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* emit(key, 1); as emit_pair. */
static int count_key(Pairs *self, PyObject *object)
{
    Key key;
    if (!is_usable(self)) {
        return -1;
    }
    if (self->closed || !read_key(self, object, &key) ||
        !(self->counting || takes_value(self, KIND_INT))) {
        return 0;
    }
    int taken = take_number(self, &key, KIND_INT, (Value){.i = 1});
    return taken > 0 && settle(self) < 0 ? -1 : taken;
}

static PyObject *pairs_count(PyObject *object, PyObject *keys)
{
    Pairs *self = (Pairs *)object;
    PyObject *source = PyObject_GetIter(keys), *one = PyLong_FromLong(1), *key = NULL;
    while (source && one && (key = PyIter_Next(source))) {
        int taken = count_key(self, key);
        if (!taken) {
            PyObject *done = PyObject_CallFunctionObjArgs(self->other, key, one, NULL);
            taken = done ? 1 : -1;
            Py_XDECREF(done);
        }
        Py_DECREF(key);
        if (taken < 0) {
            break;
        }
    }
    Py_XDECREF(source);
    Py_XDECREF(one);
    if (PyErr_Occurred()) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* sort(partitions, where=None) -> the partitions' bounds; see the stub. */
static PyObject *pairs_sort(PyObject *object, PyObject *args)
{
    Pairs *self = (Pairs *)object;
    unsigned int partitions;
    PyObject *given = Py_None, *answer = NULL;
    Py_buffer view = {0};
    if (!PyArg_ParseTuple(args, "I|O", &partitions, &given)) {
        return NULL;
    }
    if (given != Py_None && PyObject_GetBuffer(given, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    Store *store = &self->store;
    uint32_t *bounds = malloc((partitions + 1) * sizeof *bounds), *hashed = NULL;
    const uint32_t *where = view.buf;
    if (!where && partitions > 1) {
        where = hashed = malloc((store->count + 1) * sizeof *hashed);
        for (uint32_t row = 0; hashed && row < store->count; row++) {
            Cell key = store->rows[row].key;
            uint64_t h = fixed_hash((uint64_t)self->key_kind, store->arena + key.at, key.size);
            hashed[row] = (uint32_t)((h >> 32) * partitions >> 32);
        }
    }
    int fits = !view.obj || view.len == (Py_ssize_t)store->count * 4;
    for (uint32_t row = 0; fits && where && row < store->count; row++) {
        fits = where[row] < partitions;
    }
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "expected a partition for each row");
    } else if (!bounds || (partitions > 1 && !where) ||
               order_rows(store, where, partitions, bounds) < 0) {
        PyErr_NoMemory();
    } else {
        self->sealed = 1;
        answer = PyList_New(partitions + 1);
        for (uint32_t p = 0; answer && p <= partitions; p++) {
            PyList_SetItem(answer, p, PyLong_FromUnsignedLong(bounds[p]));
        }
    }
    if (view.obj) {
        PyBuffer_Release(&view);
    }
    free(bounds);
    free(hashed);
    return answer;
}

static PyObject *pairs_body(PyObject *object, PyObject *args)
{
    Pairs *self = (Pairs *)object;
    unsigned int start, end, most_rows;
    Py_ssize_t most_bytes;
    if (!PyArg_ParseTuple(args, "IIIn", &start, &end, &most_rows, &most_bytes)) {
        return NULL;
    }
    if (!self->sealed || start >= end || end > self->store.count || !most_rows) {
        PyErr_SetString(PyExc_ValueError, "expected sorted rows and a range of them");
        return NULL;
    }
    return frame_body(&self->store, self->key_kind, self->value_kind, start, end, most_rows,
                      (size_t)most_bytes);
}

/* lower(payload) -> how many keys are below it, of one partition's sorted rows. */
static PyObject *pairs_lower(PyObject *object, PyObject *payload)
{
    Pairs *self = (Pairs *)object;
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(payload, &bytes, &size) < 0) {
        return NULL;
    }
    if (!self->sealed) {
        PyErr_SetString(PyExc_ValueError, "expected sorted rows");
        return NULL;
    }
    uint32_t low = 0, high = self->store.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        Slot slot = self->store.order[middle];
        int below = compare_bytes(key_of(&self->store, slot.row), slot.size, bytes, (size_t)size);
        if (below < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return PyLong_FromUnsignedLong(low);
}

/* Rows [start, end) as they were emitted: a list of keys and one of values. */
static PyObject *pairs_lists(PyObject *object, PyObject *args)
{
    Pairs *self = (Pairs *)object;
    unsigned int start, end;
    if (!PyArg_ParseTuple(args, "II", &start, &end)) {
        return NULL;
    }
    if (start > end || end > self->store.count) {
        PyErr_SetString(PyExc_ValueError, "expected a range of rows");
        return NULL;
    }
    PyObject *keys = PyList_New(end - start), *values = PyList_New(end - start);
    for (uint32_t i = 0; keys && values && i < end - start; i++) {
        PyObject *key = key_object(&self->store, self->key_kind, start + i);
        PyObject *value = value_object(&self->store, self->value_kind, start + i);
        if (!key || !value) {
            Py_XDECREF(key);
            Py_XDECREF(value);
            Py_DECREF(keys);
            Py_DECREF(values);
            return NULL;
        }
        PyList_SetItem(keys, i, key);
        PyList_SetItem(values, i, value);
    }
    if (!keys || !values) {
        Py_XDECREF(keys);
        Py_XDECREF(values);
        return NULL;
    }
    return Py_BuildValue("NN", keys, values);
}

static void forget(Pairs *self)
{
    Store *store = &self->store;
    free(store->rows);
    free(store->arena);
    free(store->order);
    free(self->index);
    memset(store, 0, sizeof *store);
    self->index = NULL;
    self->mask = 0;
    self->key_kind = self->value_kind = KIND_ANY;
    self->sealed = 0;
}

static PyObject *pairs_clear(PyObject *object, PyObject *unused)
{
    (void)unused;
    forget((Pairs *)object);
    Py_RETURN_NONE;
}

static PyObject *pairs_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    ((Pairs *)object)->closed = 1;
    Py_RETURN_NONE;
}

static PyObject *pairs_open(PyObject *object, PyObject *unused)
{
    (void)unused;
    ((Pairs *)object)->closed = 0;
    Py_RETURN_NONE;
}

static PyObject *get_number(PyObject *object, void *which)
{
    const Pairs *self = (const Pairs *)object;
    switch (*(const char *)which) {
    case 'r':
        return PyLong_FromUnsignedLong(self->store.count);
    case 't':
        return PyLong_FromUnsignedLongLong(self->taken);
    case 'k':
        return PyLong_FromLong(self->key_kind);
    case 'v':
        return PyLong_FromLong(self->value_kind);
    case 's':
        return PyBool_FromLong(self->summing);
    case 'c':
        return PyBool_FromLong(self->closed);
    default:
        return PyLong_FromSize_t(held_bytes(self));
    }
}

static PyObject *pairs_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    static char *known[] = {"other", "other_many", "full",  "limit", "mode",
                            "only",  "trial",      "monitor", NULL};
    PyObject *other, *other_many, *full, *monitor;
    Py_ssize_t limit;
    const char *mode;
    int only;
    unsigned long long trial;
    if (!PyArg_ParseTupleAndKeywords(args, names, "OOOnsiKO", known, &other, &other_many, &full,
                                     &limit, &mode, &only, &trial, &monitor)) {
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Pairs *self = (Pairs *)allocate(type, 0);
    if (!self) {
        return NULL;
    }
    self->limit = (size_t)limit;
    self->summing = strcmp(mode, "plain") != 0;
    self->counting = !strcmp(mode, "count");
    self->only_value = self->summing ? KIND_INT : only;
    self->trial = trial;
    self->other = Py_NewRef(other);
    self->other_many = Py_NewRef(other_many);
    self->full = Py_NewRef(full);
    if (monitor != Py_None) {
        if (PyObject_GetBuffer(monitor, &self->monitor, PyBUF_WRITABLE) < 0) {
            Py_DECREF(self);
            return NULL;
        }
        if (self->monitor.len >= (TICKS + 1) * 8) {
            self->ticks = (int64_t *)self->monitor.buf + TICKS;
        }
    }
    return (PyObject *)self;
}

static int pairs_traverse(PyObject *object, visitproc visit, void *arg)
{
    Pairs *self = (Pairs *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->other);
    Py_VISIT(self->other_many);
    Py_VISIT(self->full);
    return 0;
}

static int pairs_drop(PyObject *object)
{
    Pairs *self = (Pairs *)object;
    Py_CLEAR(self->other);
    Py_CLEAR(self->other_many);
    Py_CLEAR(self->full);
    return 0;
}

static void pairs_dealloc(PyObject *object)
{
    Pairs *self = (Pairs *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    pairs_drop(object);
    forget(self);
    if (self->monitor.obj) {
        PyBuffer_Release(&self->monitor);
    }
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

#define FAST(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef methods[] = {
    {"emit", FAST(pairs_emit), METH_FASTCALL | METH_KEYWORDS, "emit(key, value)"},
    {"emit_many", pairs_emit_many, METH_O, "emit_many(pairs)"},
    {"count", pairs_count, METH_O, "count(keys): emit(key, 1) for each"},
    {"sort", pairs_sort, METH_VARARGS, "sort(partitions, where=None) -> bounds"},
    {"body", pairs_body, METH_VARARGS, "body(start, end, most_rows, most_bytes)"},
    {"lower", pairs_lower, METH_O, "lower(payload) -> rows below it"},
    {"lists", pairs_lists, METH_VARARGS, "lists(start, end) -> (keys, values)"},
    {"clear", pairs_clear, METH_NOARGS, "forget every row"},
    {"close", pairs_close, METH_NOARGS, "send every pair to `other`"},
    {"open", pairs_open, METH_NOARGS, "take pairs again"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef members[] = {
    {"rows", get_number, NULL, "rows held", "r"},
    {"taken", get_number, NULL, "pairs taken so far", "t"},
    {"key_kind", get_number, NULL, "the kind of the keys held, 0 for none", "k"},
    {"value_kind", get_number, NULL, "the kind of the values held, 0 for none", "v"},
    {"summing", get_number, NULL, "whether a key still has one row", "s"},
    {"closed", get_number, NULL, "whether every pair goes to `other`", "c"},
    {"nbytes", get_number, NULL, "bytes held", "b"},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, pairs_new},
    {Py_tp_dealloc, pairs_dealloc},
    {Py_tp_traverse, pairs_traverse},
    {Py_tp_clear, pairs_drop},
    {Py_tp_methods, methods},
    {Py_tp_getset, members},
    {Py_tp_doc, "Pairs of one key kind and one value kind; see the stub."},
    {0, NULL},
};

PyType_Spec pairs_spec = {
    "gomr_native.Pairs", sizeof(Pairs), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};
