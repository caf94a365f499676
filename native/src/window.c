/* The window of a merge: its groups as Python objects, sums or lines of text. */
#include "merge.h"

#define MOST_TEXT ((size_t)32 << 20) /* bytes of lines that are made at once */

static uint32_t end_of(const Merge *self, uint32_t group)
{
    return group + 1 < self->group_count ? self->groups[group + 1].start : self->row_count;
}

/* The number of groups in `argument`, at most as many as there are; -1 with an exception. */
static int64_t groups_in(const Merge *self, PyObject *argument)
{
    long long count = PyLong_AsLongLong(argument);
    if (count == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (count < 0 || count > self->group_count) {
        PyErr_SetString(PyExc_ValueError, "there are not so many groups");
        return -1;
    }
    return count;
}

static PyObject *merged_key(const Merge *self, uint32_t group)
{
    const char *bytes = self->keys.bytes + self->groups[group].key;
    Py_ssize_t size = self->groups[group].key_size;
    Value value;
    switch (self->key_kind) {
    case KIND_NONE:
        return Py_NewRef(Py_None);
    case KIND_BOOL:
        return PyBool_FromLong(*bytes);
    case KIND_INT:
        memcpy(&value, bytes, 8);
        return PyLong_FromLongLong(value.i);
    case KIND_FLOAT:
        memcpy(&value, bytes, 8);
        return PyFloat_FromDouble(value.d);
    case KIND_STR:
        return PyUnicode_DecodeUTF8(bytes, size, NULL);
    default:
        return PyBytes_FromStringAndSize(bytes, size);
    }
}

static PyObject *merged_value(const Merge *self, uint32_t row, PyObject *unpack)
{
    Value value = self->rows[row].value;
    uint32_t kind = self->rows[row].kind;
    const char *bytes = self->values.bytes + (kind > KIND_FLOAT ? value.cell.at : 0);
    switch (kind) {
    case KIND_NONE:
        return Py_NewRef(Py_None);
    case KIND_BOOL:
        return PyBool_FromLong(value.i != 0);
    case KIND_INT:
        return PyLong_FromLongLong(value.i);
    case KIND_FLOAT:
        return PyFloat_FromDouble(value.d);
    case KIND_STR:
        return PyUnicode_DecodeUTF8(bytes, value.cell.size, NULL);
    default:
        break;
    }
    PyObject *raw = PyBytes_FromStringAndSize(bytes, value.cell.size);
    if (!raw || kind == KIND_BYTES) {
        return raw;
    }
    PyObject *unpacked = PyObject_CallFunctionObjArgs(unpack, raw, NULL);
    Py_DECREF(raw);
    return unpacked;
}

PyObject *merge_keys(PyObject *object, PyObject *argument)
{
    Merge *self = (Merge *)object;
    int64_t count = groups_in(self, argument);
    PyObject *keys = count < 0 ? NULL : PyList_New(count);
    for (uint32_t i = 0; keys && i < count; i++) {
        PyObject *key = merged_key(self, i);
        if (!key) {
            Py_CLEAR(keys);
            break;
        }
        PyList_SetItem(keys, i, key);
    }
    return keys;
}

static PyObject *values_of(const Merge *self, uint32_t group, PyObject *unpack)
{
    uint32_t start = self->groups[group].start, end = end_of(self, group);
    PyObject *values = PyList_New(end - start);
    for (uint32_t row = start; values && row < end; row++) {
        PyObject *value = merged_value(self, row, unpack);
        if (!value) {
            Py_CLEAR(values);
            break;
        }
        PyList_SetItem(values, row - start, value);
    }
    return values;
}

/* lists(groups, unpack) -> the values of each */
PyObject *merge_lists(PyObject *object, PyObject *args)
{
    Merge *self = (Merge *)object;
    PyObject *argument, *unpack;
    if (!PyArg_ParseTuple(args, "OO", &argument, &unpack)) {
        return NULL;
    }
    int64_t count = groups_in(self, argument);
    PyObject *lists = count < 0 ? NULL : PyList_New(count);
    for (uint32_t i = 0; lists && i < count; i++) {
        PyObject *values = values_of(self, i, unpack);
        if (!values) {
            Py_CLEAR(lists);
            break;
        }
        PyList_SetItem(lists, i, values);
    }
    return lists;
}

/* The keys of the groups as a column of a frame. */
static PyObject *key_column(const Merge *self, uint32_t count)
{
    int cells = has_cells(self->key_kind);
    size_t size = cells ? 4 * (size_t)count : 0;
    for (uint32_t i = 0; i < count; i++) {
        size += self->groups[i].key_size;
    }
    PyObject *column = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    char *sizes = column ? PyBytes_AsString(column) : NULL;
    char *to = sizes + (cells ? 4 * (size_t)count : 0);
    for (uint32_t i = 0; column && i < count; i++) {
        const Group *group = &self->groups[i];
        if (cells) {
            memcpy(sizes + 4 * (size_t)i, &group->key_size, 4);
        }
        memcpy(to, self->keys.bytes + group->key, group->key_size);
        to += group->key_size;
    }
    return column;
}

static PyObject *value_column(const Merge *self, uint32_t rows, int kind)
{
    int cells = has_cells(kind);
    size_t size = cells ? 4 * (size_t)rows : (size_t)rows * width_of(kind);
    for (uint32_t row = 0; cells && row < rows; row++) {
        size += self->rows[row].value.cell.size;
    }
    PyObject *column = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    char *sizes = column ? PyBytes_AsString(column) : NULL;
    char *to = sizes + (cells ? 4 * (size_t)rows : 0);
    for (uint32_t row = 0; column && row < rows; row++) {
        const Value *value = &self->rows[row].value;
        if (cells) {
            memcpy(sizes + 4 * (size_t)row, &value->cell.size, 4);
            memcpy(to, self->values.bytes + value->cell.at, value->cell.size);
            to += value->cell.size;
        } else {
            memcpy(to, value, width_of(kind));
            to += width_of(kind);
        }
    }
    return column;
}

/* columns(groups) -> (value kind, rows, first row of each and the end, keys, values), columns as frames
 * have them. None where the values are not of one kind. */
PyObject *merge_columns(PyObject *object, PyObject *argument)
{
    Merge *self = (Merge *)object;
    int64_t count = groups_in(self, argument);
    if (count < 0) {
        return NULL;
    }
    uint32_t rows = count ? end_of(self, (uint32_t)count - 1) : 0;
    uint32_t kind = rows ? self->rows[0].kind : KIND_NONE;
    for (uint32_t row = 0; row < rows; row++) {
        if (self->rows[row].kind != kind) {
            Py_RETURN_NONE;
        }
    }
    PyObject *starts = PyBytes_FromStringAndSize(NULL, 4 * (Py_ssize_t)(count + 1));
    PyObject *keys = starts ? key_column(self, (uint32_t)count) : NULL;
    PyObject *values = keys ? value_column(self, rows, (int)kind) : NULL;
    if (!values) {
        Py_XDECREF(starts);
        Py_XDECREF(keys);
        return NULL;
    }
    char *to = PyBytes_AsString(starts);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(to + 4 * (size_t)i, &self->groups[i].start, 4);
    }
    memcpy(to + 4 * (size_t)count, &rows, 4);
    return Py_BuildValue("IINNN", kind, rows, starts, keys, values);
}

static int sum_of(const Merge *self, uint32_t group, int64_t *sum)
{
    *sum = 0;
    for (uint32_t row = self->groups[group].start; row < end_of(self, group); row++) {
        if (self->rows[row].kind != KIND_INT ||
            __builtin_add_overflow(*sum, self->rows[row].value.i, sum)) {
            return 0;
        }
    }
    return 1;
}

/* sums(groups) -> their sums; None where a value is no int or a sum leaves 64 bits */
PyObject *merge_sums(PyObject *object, PyObject *argument)
{
    Merge *self = (Merge *)object;
    int64_t count = groups_in(self, argument), sum;
    PyObject *sums = count < 0 ? NULL : PyList_New(count);
    for (uint32_t i = 0; sums && i < count; i++) {
        if (!sum_of(self, i, &sum)) {
            Py_DECREF(sums);
            Py_RETURN_NONE;
        }
        PyObject *number = PyLong_FromLongLong(sum);
        if (!number) {
            Py_CLEAR(sums);
            break;
        }
        PyList_SetItem(sums, i, number);
    }
    return sums;
}

/* Whether the lines take so little room that they may be made at once: a key is written with each
 * of its values. */
static int is_short_text(const Merge *self, int64_t count, int summed)
{
    size_t size = self->values.used;
    for (uint32_t i = 0; i < count && size <= MOST_TEXT; i++) {
        size_t lines = summed ? 1 : end_of(self, i) - self->groups[i].start;
        size += lines * ((size_t)self->groups[i].key_size + 24);
    }
    return size <= MOST_TEXT;
}

/* text(groups, summed) -> lines of a text part: the key with its sum, or with each value. None
 * where only Python knows how a key or value is written, or where it is too much at once. */
PyObject *merge_text(PyObject *object, PyObject *args)
{
    Merge *self = (Merge *)object;
    PyObject *argument;
    int summed;
    if (!PyArg_ParseTuple(args, "Op", &argument, &summed)) {
        return NULL;
    }
    int64_t count = groups_in(self, argument), sum;
    Arena text = {0};
    int fits = count >= 0 && (self->key_kind == KIND_STR || self->key_kind == KIND_INT) &&
               is_short_text(self, count, summed);
    for (uint32_t i = 0; fits && i < count; i++) {
        const char *key = self->keys.bytes + self->groups[i].key;
        uint32_t size = self->groups[i].key_size;
        if (summed) {
            fits = sum_of(self, i, &sum) && text_cell(&text, self->key_kind, key, size, '\t') &&
                   text_cell(&text, KIND_INT, (const char *)&sum, 8, '\n');
            continue;
        }
        for (uint32_t row = self->groups[i].start; fits && row < end_of(self, i); row++) {
            int kind = (int)self->rows[row].kind;
            const Value *value = &self->rows[row].value;
            const char *cell = (const char *)value;
            uint32_t cell_size = 8;
            if (kind == KIND_STR) {
                cell = self->values.bytes + value->cell.at;
                cell_size = value->cell.size;
            }
            fits = (kind == KIND_STR || kind == KIND_INT) &&
                   text_cell(&text, self->key_kind, key, size, '\t') &&
                   text_cell(&text, kind, cell, cell_size, '\n');
        }
    }
    PyObject *answer = NULL;
    if (count >= 0) {
        answer = fits ? PyBytes_FromStringAndSize(text.bytes, (Py_ssize_t)text.used)
                      : Py_NewRef(Py_None);
    }
    free(text.bytes);
    return answer;
}

static void drop_rows(Merge *self, uint32_t rows)
{
    self->row_count -= rows;
    memmove(self->rows, self->rows + rows, self->row_count * sizeof *self->rows);
    size_t first = self->values.used;
    for (uint32_t row = 0; row < self->row_count; row++) {
        if (has_cells((int)self->rows[row].kind)) {
            first = self->rows[row].value.cell.at;
            break;
        }
    }
    for (uint32_t row = 0; row < self->row_count; row++) {
        if (has_cells((int)self->rows[row].kind)) {
            self->rows[row].value.cell.at -= (uint32_t)first;
        }
    }
    self->values.used -= first;
    if (self->values.used) {
        memmove(self->values.bytes, self->values.bytes + first, self->values.used);
    }
}

/* drop(groups): forget the first ones. With 0, only the rows of the first: it goes on. */
PyObject *merge_drop(PyObject *object, PyObject *argument)
{
    Merge *self = (Merge *)object;
    int64_t count = groups_in(self, argument);
    if (count < 0) {
        return NULL;
    }
    if (!self->group_count) {
        Py_RETURN_NONE;
    }
    uint32_t dropped = end_of(self, count ? (uint32_t)count - 1 : 0);
    size_t keys = self->keys.used;
    if (count < self->group_count) {
        keys = self->groups[count].key;
    }
    drop_rows(self, dropped);
    self->group_count -= (uint32_t)count;
    memmove(self->groups, self->groups + count, self->group_count * sizeof *self->groups);
    for (uint32_t i = 0; i < self->group_count; i++) {
        self->groups[i].key -= keys;
        self->groups[i].start -= i || count ? dropped : 0;
    }
    self->keys.used -= keys;
    memmove(self->keys.bytes, self->keys.bytes + keys, self->keys.used);
    Py_RETURN_NONE;
}

/* rows(groups) -> how many rows they have */
PyObject *merge_rows(PyObject *object, PyObject *argument)
{
    Merge *self = (Merge *)object;
    int64_t count = groups_in(self, argument);
    if (count < 0) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(count ? end_of(self, (uint32_t)count - 1) : 0);
}
