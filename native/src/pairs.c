/* Pairs: what `ctx.emit`, `ctx.emit_many` and `ctx.count` are in a map task.
 *
 * Keys and values go into one arena as they are emitted, so that nothing of a pair stays a Python
 * object. With `summing` a key has one row, whose value grows. Whatever does not fit (a key or
 * value of another type, a str that is not Unicode, a sum beyond 64 bits) goes to `other`.
 */
#include "pairs.h"

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

static PyObject *pairs_emit_many(PyObject *object, PyObject *const *args, Py_ssize_t count,
                                 PyObject *names)
{
    Pairs *self = (Pairs *)object;
    PyObject *source = iterate(args, count, names), *pair;
    if (!source) {
        return PyErr_Occurred() ? NULL : call_other(self->other_many, args, count, names);
    }
    while ((pair = PyIter_Next(source))) {
        int taken = emit_pair(self, pair);
        if (!taken) {
            taken = call_with_one(self->other_many, pair);
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
    if (self->closed || !read_key(self, object, &key)) {
        return 0;
    }
    int taken = take_one(self, &key);
    return taken > 0 && settle(self) < 0 ? -1 : taken;
}

static PyObject *pairs_count(PyObject *object, PyObject *const *args, Py_ssize_t count,
                             PyObject *names)
{
    Pairs *self = (Pairs *)object;
    PyObject *source = iterate(args, count, names), *one = NULL, *key = NULL;
    if (!source) {
        return PyErr_Occurred() ? NULL : call_other(self->other_count, args, count, names);
    }
    one = PyLong_FromLong(1);
    while (one && (key = PyIter_Next(source))) {
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
            uint64_t h = fixed_hash((uint64_t)self->key_kind, store->arena.bytes + key.at, key.size);
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
    free(store->arena.bytes);
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
    case 'w':
        return PyLong_FromUnsignedLongLong(self->store.work);
    case 'm':
        return PyLong_FromUnsignedLongLong(self->misses);
    case 'c':
        return PyBool_FromLong(self->closed);
    default:
        return PyLong_FromSize_t(held_bytes(self));
    }
}

static PyObject *pairs_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    static char *known[] = {"other", "other_many", "other_count", "full",    "limit",  "mode",
                            "keys",  "only",       "trial",       "ticks", "secret", NULL};
    PyObject *other, *other_many, *other_count, *full, *ticks;
    unsigned int key_mask;
    Py_ssize_t limit;
    const char *mode, *secret;
    Py_ssize_t secret_size;
    int only;
    unsigned long long trial;
    if (!PyArg_ParseTupleAndKeywords(args, names, "OOOOnsIiKOy#", known, &other, &other_many,
                                     &other_count, &full, &limit, &mode, &key_mask, &only, &trial,
                                     &ticks, &secret, &secret_size)) {
        return NULL;
    }
    if (secret_size != sizeof(Secret)) {
        PyErr_SetString(PyExc_ValueError, "expected a secret of 32 bytes");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Pairs *self = (Pairs *)allocate(type, 0);
    if (!self) {
        return NULL;
    }
    memcpy(&self->secret, secret, sizeof self->secret);
    self->limit = (size_t)limit;
    self->summing = strcmp(mode, "plain") != 0;
    self->counting = !strcmp(mode, "count");
    self->key_mask = key_mask;
    self->only_value = self->summing ? KIND_INT : only;
    self->trial = trial;
    self->other = Py_NewRef(other);
    self->other_many = Py_NewRef(other_many);
    self->other_count = Py_NewRef(other_count);
    self->full = Py_NewRef(full);
    if (ticks != Py_None) {
        if (PyObject_GetBuffer(ticks, &self->ticks_view, PyBUF_WRITABLE) < 0) {
            Py_DECREF(self);
            return NULL;
        }
        if (self->ticks_view.len < (Py_ssize_t)sizeof *self->ticks) {
            PyErr_SetString(PyExc_ValueError, "expected a word to count ticks in");
            Py_DECREF(self);
            return NULL;
        }
        self->ticks = self->ticks_view.buf;
    }
    return (PyObject *)self;
}

static int pairs_traverse(PyObject *object, visitproc visit, void *arg)
{
    Pairs *self = (Pairs *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->other);
    Py_VISIT(self->other_many);
    Py_VISIT(self->other_count);
    Py_VISIT(self->full);
    return 0;
}

static int pairs_drop(PyObject *object)
{
    Pairs *self = (Pairs *)object;
    Py_CLEAR(self->other);
    Py_CLEAR(self->other_many);
    Py_CLEAR(self->other_count);
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
    if (self->ticks_view.obj) {
        PyBuffer_Release(&self->ticks_view);
    }
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"emit", FAST(pairs_emit), METH_FASTCALL | METH_KEYWORDS, "emit(key, value)"},
    {"emit_many", FAST(pairs_emit_many), METH_FASTCALL | METH_KEYWORDS, "emit_many(pairs)"},
    {"count", FAST(pairs_count), METH_FASTCALL | METH_KEYWORDS,
     "count(keys): emit(key, 1) for each"},
    {"columns", pairs_columns, METH_VARARGS, "columns(keys, values, start, end) -> rows taken"},
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
    {"work", get_number, NULL, "bytes of keys that sorting looked at", "w"},
    {"misses", get_number, NULL, "entries of other keys that were looked at", "m"},
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
