/* Lines of text parts, `key<TAB>value`, as gomr_runtime.dataflow.output.part writes them. */
#include "column.h"

static char *put_number(char *to, int64_t number)
{
    char digits[20];
    int count = 0;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0) {
        *to++ = '-';
    }
    while (count) {
        *to++ = digits[--count];
    }
    return to;
}

static char *put_escaped(char *to, const char *cell, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = cell[i], short_name = c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : 0;
        if (short_name || c == '\\') {
            *to++ = '\\';
        }
        *to++ = short_name ? short_name : c;
    }
    return to;
}

static int needs_escapes(const char *cell, size_t size)
{
    int found = 0;
    for (size_t i = 0; i < size; i++) { /* without a way out, so that it is vectorised */
        found |= (cell[i] == '\\') | (cell[i] == '\t') | (cell[i] == '\n') | (cell[i] == '\r');
    }
    return found;
}

int text_cell(Arena *text, int kind, const char *cell, size_t size, char end)
{
    if (!arena_reserve(text, 2 * size + 24)) {
        return 0;
    }
    char *to = text->bytes + text->used;
    if (kind == KIND_INT) {
        int64_t number;
        memcpy(&number, cell, 8);
        to = put_number(to, number);
    } else if (needs_escapes(cell, size)) {
        to = put_escaped(to, cell, size);
    } else {
        memcpy(to, cell, size);
        to += size;
    }
    *to++ = end;
    text->used = (size_t)(to - text->bytes);
    return 1;
}

/* Lines: what `ctx.emit` is in a task that writes a text part. */
typedef struct {
    PyObject_HEAD
    Arena text;
    uint64_t records;
    size_t limit;
    int closed;
    PyObject *other, *other_many, *full;
} Lines;

/* 1 taken, 0 only Python knows how it is written, -1 an exception. */
static int take_object(Arena *text, PyObject *object, char end)
{
    if (PyUnicode_CheckExact(object)) {
        Py_ssize_t size;
        const char *bytes = PyUnicode_AsUTF8AndSize(object, &size);
        if (!bytes) {
            PyErr_Clear();
            return 0;
        }
        return text_cell(text, KIND_STR, bytes, (size_t)size, end) ? 1 : (PyErr_NoMemory(), -1);
    }
    if (!PyLong_CheckExact(object)) {
        return 0;
    }
    int overflow;
    int64_t number = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow) {
        return 0;
    }
    return text_cell(text, KIND_INT, (const char *)&number, 8, end) ? 1 : (PyErr_NoMemory(), -1);
}

/* After a line: hand on when there is much. 0, or -1 with an exception. */
static inline int settle_lines(Lines *self)
{
    if (self->text.used <= self->limit) {
        return 0;
    }
    PyObject *done = PyObject_CallNoArgs(self->full);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int take_line(Lines *self, PyObject *key, PyObject *value)
{
    size_t before = self->text.used;
    int taken = take_object(&self->text, key, '\t');
    if (taken > 0) {
        taken = take_object(&self->text, value, '\n');
    }
    if (taken <= 0) {
        self->text.used = before;
        return taken;
    }
    self->records++;
    return settle_lines(self) < 0 ? -1 : 1;
}

static PyObject *lines_emit(PyObject *object, PyObject *const *args, Py_ssize_t count,
                            PyObject *names)
{
    Lines *self = (Lines *)object;
    if (!self->closed && count == 2 && !names) {
        int taken = take_line(self, args[0], args[1]);
        if (taken < 0) {
            return NULL;
        }
        if (taken) {
            Py_RETURN_NONE;
        }
    }
    return call_other(self->other, args, count, names);
}

static PyObject *lines_emit_many(PyObject *object, PyObject *const *args, Py_ssize_t count,
                                 PyObject *names)
{
    Lines *self = (Lines *)object;
    PyObject *source = iterate(args, count, names), *pair;
    if (!source) {
        return PyErr_Occurred() ? NULL : call_other(self->other_many, args, count, names);
    }
    while ((pair = PyIter_Next(source))) {
        int taken = 0;
        if (!self->closed && PyTuple_CheckExact(pair) && PyTuple_Size(pair) == 2) {
            taken = take_line(self, PyTuple_GetItem(pair, 0), PyTuple_GetItem(pair, 1));
        }
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

/* columns(keys, values, start, end): a line for each row; the first row that was not written */
static PyObject *lines_columns(PyObject *object, PyObject *args)
{
    Lines *self = (Lines *)object;
    PyObject *given_keys, *given_values;
    Py_ssize_t row, end, size;
    Column keys = {0}, values = {0};
    if (!PyArg_ParseTuple(args, "OOnn", &given_keys, &given_values, &row, &end)) {
        return NULL;
    }
    if (row < 0 || row > end) {
        PyErr_SetString(PyExc_ValueError, "there are no such rows");
        return NULL;
    }
    int fits = open_column(&keys, given_keys, end) == 0 &&
               open_column(&values, given_values, end) == 0;
    int written = (keys.kind == KIND_STR || keys.kind == KIND_INT) &&
                  (values.kind == KIND_STR || values.kind == KIND_INT);
    while (fits && written && !self->closed && row < end) {
        const char *cell = column_cell(&keys, row, &size);
        fits = text_cell(&self->text, keys.kind, cell, (size_t)size, '\t');
        cell = column_cell(&values, row, &size);
        fits = fits && text_cell(&self->text, values.kind, cell, (size_t)size, '\n');
        if (!fits) {
            PyErr_NoMemory();
            break;
        }
        self->records++;
        row++;
        fits = settle_lines(self) == 0;
    }
    close_column(&keys);
    close_column(&values);
    return fits ? PyLong_FromSsize_t(row) : NULL;
}

/* take() -> (records, text), which is forgotten */
static PyObject *lines_take(PyObject *object, PyObject *unused)
{
    (void)unused;
    Lines *self = (Lines *)object;
    PyObject *taken = Py_BuildValue("Ky#", (unsigned long long)self->records, self->text.bytes ? self->text.bytes : "",
                                    (Py_ssize_t)self->text.used);
    if (taken) {
        self->text.used = 0;
        self->records = 0;
    }
    return taken;
}

static PyObject *lines_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    ((Lines *)object)->closed = 1;
    Py_RETURN_NONE;
}

static PyObject *lines_open(PyObject *object, PyObject *unused)
{
    (void)unused;
    ((Lines *)object)->closed = 0;
    Py_RETURN_NONE;
}

static PyObject *get_closed(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((Lines *)object)->closed);
}

static PyObject *lines_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    static char *known[] = {"other", "other_many", "full", "limit", NULL};
    PyObject *other, *other_many, *full;
    Py_ssize_t limit;
    if (!PyArg_ParseTupleAndKeywords(args, names, "OOOn", known, &other, &other_many, &full,
                                     &limit)) {
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Lines *self = (Lines *)allocate(type, 0);
    if (self) {
        self->other = Py_NewRef(other);
        self->other_many = Py_NewRef(other_many);
        self->full = Py_NewRef(full);
        self->limit = (size_t)limit;
    }
    return (PyObject *)self;
}

static int lines_traverse(PyObject *object, visitproc visit, void *arg)
{
    Lines *self = (Lines *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->other);
    Py_VISIT(self->other_many);
    Py_VISIT(self->full);
    return 0;
}

static int lines_drop(PyObject *object)
{
    Lines *self = (Lines *)object;
    Py_CLEAR(self->other);
    Py_CLEAR(self->other_many);
    Py_CLEAR(self->full);
    return 0;
}

static void lines_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    lines_drop(object);
    free(((Lines *)object)->text.bytes);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"emit", FAST(lines_emit), METH_FASTCALL | METH_KEYWORDS, "emit(key, value)"},
    {"emit_many", FAST(lines_emit_many), METH_FASTCALL | METH_KEYWORDS, "emit_many(pairs)"},
    {"columns", lines_columns, METH_VARARGS, "columns(keys, values, start, end) -> rows written"},
    {"take", lines_take, METH_NOARGS, "take() -> (records, text)"},
    {"close", lines_close, METH_NOARGS, "send every pair to `other`"},
    {"open", lines_open, METH_NOARGS, "take pairs again"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef members[] = {
    {"closed", get_closed, NULL, "whether every pair goes to `other`", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, lines_new},
    {Py_tp_dealloc, lines_dealloc},
    {Py_tp_traverse, lines_traverse},
    {Py_tp_clear, lines_drop},
    {Py_tp_methods, methods},
    {Py_tp_getset, members},
    {Py_tp_doc, "Lines of a text part; see the stub."},
    {0, NULL},
};

PyType_Spec lines_spec = {
    "gomr_native.Lines", sizeof(Lines), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};
