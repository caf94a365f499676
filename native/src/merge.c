/* Merge: sorted runs, a frame of each at a time, into groups of values by key.
 *
 * Rows are taken from a heap of runs in the order of keys, then of runs, so that values of a key
 * stay in input order. They gather in a window until it is full; the caller feeds the next frame
 * of a run whenever one is needed, so of each run one frame is in memory.
 */
#include "merge.h"

enum { STEP_FULL = -1, STEP_DONE = -2 };

static uint32_t size_at(const Py_buffer *column, uint32_t row)
{
    uint32_t size;
    memcpy(&size, (const char *)column->buf + 4 * (size_t)row, 4);
    return size;
}

static uint64_t ordered_prefix(int kind, const char *key, uint32_t size)
{
    uint64_t word = load_upto8(key, size);
    if (kind == KIND_INT) {
        return word ^ (1ull << 63);
    }
    if (kind == KIND_FLOAT) {
        return word >> 63 ? ~word : word | (1ull << 63);
    }
    return __builtin_bswap64(word);
}

static void load_row(const Merge *self, Run *run)
{
    run->key_size = has_cells(self->key_kind) ? size_at(&run->keys, run->row)
                                              : width_of(self->key_kind);
    run->value_size = has_cells(run->value_kind) ? size_at(&run->values, run->row)
                                                 : width_of(run->value_kind);
    run->prefix = ordered_prefix(self->key_kind, run->key, run->key_size);
}

static inline int comes_first(const Merge *self, uint32_t a, uint32_t b)
{
    const Run *x = &self->runs[a], *y = &self->runs[b];
    if (x->prefix != y->prefix) {
        return x->prefix < y->prefix;
    }
    if (has_cells(self->key_kind)) {
        int order = compare_bytes(x->key, x->key_size, y->key, y->key_size);
        if (order) {
            return order < 0;
        }
    }
    return a < b;
}

static void sift_down(Merge *self)
{
    uint32_t at = 0, moved = self->heap[0], size = self->heap_size;
    for (uint32_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && comes_first(self, self->heap[child + 1], self->heap[child])) {
            child++;
        }
        if (comes_first(self, moved, self->heap[child])) {
            break;
        }
        self->heap[at] = self->heap[child];
    }
    self->heap[at] = moved;
}

static void push(Merge *self, uint32_t run)
{
    uint32_t at = self->heap_size++;
    while (at && comes_first(self, run, self->heap[(at - 1) / 2])) {
        self->heap[at] = self->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    self->heap[at] = run;
}

static void pop(Merge *self)
{
    self->heap[0] = self->heap[--self->heap_size];
    if (self->heap_size) {
        sift_down(self);
    }
}

static int is_last_key(const Merge *self, const Run *run)
{
    if (!self->group_count) {
        return 0;
    }
    const Group *group = &self->groups[self->group_count - 1];
    return group->prefix == run->prefix && group->key_size == run->key_size &&
           (!has_cells(self->key_kind) ||
            !memcmp(self->keys.bytes + group->key, run->key, run->key_size));
}

static int begin_group(Merge *self, const Run *run)
{
    if (self->group_count == self->group_room) {
        size_t room = self->group_room ? 2 * (size_t)self->group_room : 1024;
        Group *groups = realloc(self->groups, room * sizeof *groups);
        if (!groups) {
            return 0;
        }
        self->groups = groups;
        self->group_room = (uint32_t)room;
    }
    Group group = {run->prefix, 0, run->key_size, self->row_count};
    if (!arena_reserve(&self->keys, run->key_size)) {
        return 0;
    }
    group.key = arena_append(&self->keys, run->key, run->key_size);
    self->groups[self->group_count++] = group;
    return 1;
}

static int take_row(Merge *self, const Run *run)
{
    if (self->row_count == self->row_room) {
        size_t room = self->row_room ? 2 * (size_t)self->row_room : 1024;
        MergedValue *rows = realloc(self->rows, room * sizeof *rows);
        if (!rows) {
            return 0;
        }
        self->rows = rows;
        self->row_room = (uint32_t)room;
    }
    if (!is_last_key(self, run) && !begin_group(self, run)) {
        return 0;
    }
    MergedValue *row = &self->rows[self->row_count];
    row->kind = (uint32_t)run->value_kind;
    row->value.i = 0;
    if (has_cells(run->value_kind)) {
        if (self->values.used > UINT32_MAX || !arena_reserve(&self->values, run->value_size)) {
            return 0;
        }
        size_t at = arena_append(&self->values, run->value, run->value_size);
        row->value.cell = (Cell){(uint32_t)at, run->value_size};
    } else {
        memcpy(&row->value, run->value, run->value_size);
    }
    self->row_count++;
    return 1;
}

/* Without the key that comes first, which stays while its values come and go: if it counted, one
 * that is larger than a window would leave no room for any row. */
static size_t window_bytes(const Merge *self)
{
    size_t first = self->group_count ? self->groups[0].key_size : 0;
    return self->keys.used - first + self->values.used + self->row_count * sizeof(MergedValue);
}

/* step(most_rows, most_bytes) -> the run to feed, STEP_FULL or STEP_DONE */
static PyObject *merge_step(PyObject *object, PyObject *args)
{
    Merge *self = (Merge *)object;
    unsigned int most_rows;
    Py_ssize_t most_bytes;
    if (!PyArg_ParseTuple(args, "In", &most_rows, &most_bytes)) {
        return NULL;
    }
    if (self->waiting >= 0) {
        return PyLong_FromLongLong(self->waiting);
    }
    while (self->heap_size) {
        if (self->row_count >= most_rows || window_bytes(self) >= (size_t)most_bytes) {
            return PyLong_FromLong(STEP_FULL);
        }
        Run *run = &self->runs[self->heap[0]];
        if (!take_row(self, run)) {
            return PyErr_NoMemory();
        }
        run->key += run->key_size;
        run->value += run->value_size;
        if (++run->row == run->rows) {
            self->waiting = self->heap[0];
            return PyLong_FromLongLong(self->waiting);
        }
        load_row(self, run);
        sift_down(self);
    }
    return PyLong_FromLong(STEP_DONE);
}

static void let_go(Run *run)
{
    if (run->keys.obj) {
        PyBuffer_Release(&run->keys);
    }
    if (run->values.obj) {
        PyBuffer_Release(&run->values);
    }
    run->rows = run->row = 0;
}

/* Whether a column holds exactly `rows` cells. */
static int is_column(const Py_buffer *column, int kind, uint32_t rows)
{
    size_t size = (size_t)column->len;
    if (!has_cells(kind)) {
        return size == (size_t)rows * width_of(kind);
    }
    size_t cells = 4 * (size_t)rows;
    for (uint32_t row = 0; row < rows && cells <= size; row++) {
        cells += size >= 4 * ((size_t)row + 1) ? size_at(column, row) : size + 1;
    }
    return cells == size;
}

/* feed(run, value_kind, rows, keys, values): the next frame of a run */
static PyObject *merge_feed(PyObject *object, PyObject *args)
{
    Merge *self = (Merge *)object;
    unsigned int number, rows;
    int value_kind;
    PyObject *keys, *values;
    if (!PyArg_ParseTuple(args, "IiIOO", &number, &value_kind, &rows, &keys, &values)) {
        return NULL;
    }
    if (number >= self->run_count || !rows || (self->waiting >= 0 && self->waiting != number)) {
        PyErr_SetString(PyExc_ValueError, "expected the frame that was asked for");
        return NULL;
    }
    Run *run = &self->runs[number];
    let_go(run);
    if (PyObject_GetBuffer(keys, &run->keys, PyBUF_SIMPLE) < 0 ||
        PyObject_GetBuffer(values, &run->values, PyBUF_SIMPLE) < 0) {
        let_go(run);
        return NULL;
    }
    if (!is_column(&run->keys, self->key_kind, rows) ||
        !is_column(&run->values, value_kind, rows)) {
        let_go(run);
        PyErr_SetString(PyExc_ValueError, "a column does not hold its rows");
        return NULL;
    }
    run->value_kind = value_kind;
    run->rows = rows;
    run->key = (const char *)run->keys.buf + (has_cells(self->key_kind) ? 4 * (size_t)rows : 0);
    run->value = (const char *)run->values.buf + (has_cells(value_kind) ? 4 * (size_t)rows : 0);
    load_row(self, run);
    if (self->waiting >= 0) {
        self->waiting = -1;
        sift_down(self);
    } else {
        push(self, number);
    }
    Py_RETURN_NONE;
}

/* end(): the run that a frame was asked of has no more */
static PyObject *merge_end(PyObject *object, PyObject *unused)
{
    (void)unused;
    Merge *self = (Merge *)object;
    if (self->waiting < 0) {
        PyErr_SetString(PyExc_ValueError, "no frame was asked for");
        return NULL;
    }
    let_go(&self->runs[self->waiting]);
    self->waiting = -1;
    pop(self);
    Py_RETURN_NONE;
}

static PyObject *get_groups(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(((Merge *)object)->group_count);
}

static PyObject *get_nbytes(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(window_bytes((Merge *)object));
}

static PyObject *merge_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    static char *known[] = {"runs", "key_kind", NULL};
    unsigned int runs;
    int key_kind;
    if (!PyArg_ParseTupleAndKeywords(args, names, "Ii", known, &runs, &key_kind)) {
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Merge *self = (Merge *)allocate(type, 0);
    if (!self) {
        return NULL;
    }
    self->key_kind = key_kind;
    self->waiting = -1;
    self->runs = calloc(runs + 1, sizeof *self->runs);
    self->heap = calloc(runs + 1, sizeof *self->heap);
    if (!self->runs || !self->heap) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->run_count = runs;
    return (PyObject *)self;
}

static void merge_dealloc(PyObject *object)
{
    Merge *self = (Merge *)object;
    PyTypeObject *type = Py_TYPE(object);
    for (uint32_t i = 0; i < self->run_count; i++) {
        let_go(&self->runs[i]);
    }
    free(self->runs);
    free(self->heap);
    free(self->groups);
    free(self->rows);
    free(self->keys.bytes);
    free(self->values.bytes);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"feed", merge_feed, METH_VARARGS, "feed(run, value_kind, rows, keys, values)"},
    {"end", merge_end, METH_NOARGS, "the run that was asked for has no more frames"},
    {"step", merge_step, METH_VARARGS, "step(most_rows, most_bytes) -> run to feed, -1, -2"},
    {"keys", merge_keys, METH_O, "keys(groups)"},
    {"lists", merge_lists, METH_VARARGS, "lists(groups, unpack)"},
    {"columns", merge_columns, METH_O, "columns(groups)"},
    {"sums", merge_sums, METH_O, "sums(groups)"},
    {"text", merge_text, METH_VARARGS, "text(groups, summed)"},
    {"rows", merge_rows, METH_O, "rows(groups)"},
    {"drop", merge_drop, METH_O, "drop(groups)"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef members[] = {
    {"groups", get_groups, NULL, "groups in the window; the last may go on", NULL},
    {"nbytes", get_nbytes, NULL, "bytes of the window but its first key", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, merge_new},
    {Py_tp_dealloc, merge_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, members},
    {Py_tp_doc, "Sorted runs merged into groups; see the stub."},
    {0, NULL},
};

PyType_Spec merge_spec = {"gomr_native.Merge", sizeof(Merge), 0, Py_TPFLAGS_DEFAULT, slots};
