/* Guards: what a traced function found in the world around it, compared at each call.
 *
 * See nets.frontend.world.guards for what the kinds mean. Objects are compared by identity, plain
 * values (numbers, texts, tuples of them) by value; what C does not know is left to a function of
 * Python's. A dict that has not been changed since it was last compared is told by its version.
 */
#include "dispatch.h"

#if PY_VERSION_HEX < 0x030C0000
#define DICT_VERSION(dict) (((PyDictObject *)(dict))->ma_version_tag)
#else /* There is no version that others do not use as well: every key is compared. */
#define DICT_VERSION(dict) ((uint64_t)0)
#endif

typedef enum { ITEM, CELL, ALL_ITEMS, ALL_OF_LIST, CALL, ELEMENTS_OF, MADE_OF, CLASS } GuardKind;

typedef struct {
    GuardKind kind;
    PyObject *target, *key, *expected;
    uint64_t version; /* of the dict when it last held what is expected; 0 for none */
} Guard;

typedef struct {
    PyObject_HEAD
    Guard *guards;
    Py_ssize_t count;
    PyObject *skip, *missing, *same; /* what does not matter; an empty place; the rest of equality */
} Guards;

/* ---- comparisons --------------------------------------------------------------------------- */

static int is_same(const Guards *self, PyObject *found, PyObject *expected);

static int is_same_tuple(const Guards *self, PyObject *found, PyObject *expected) {
    if (PyTuple_GET_SIZE(found) != PyTuple_GET_SIZE(expected)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(found); i++) {
        if (!is_same(self, PyTuple_GET_ITEM(found, i), PyTuple_GET_ITEM(expected, i))) {
            return 0;
        }
    }
    return 1;
}

static int has_parts_or_attributes(PyTypeObject *type) {
    return type->tp_dictoffset != 0 || (type->tp_flags & Py_TPFLAGS_HEAPTYPE);
}

/* The same object, or the same plain value. Errors count as a difference. */
static int is_same(const Guards *self, PyObject *found, PyObject *expected) {
    if (found == expected || expected == self->skip) {
        return 1;
    }
    if (Py_TYPE(found) != Py_TYPE(expected)) {
        return 0;
    }
    if (PyFloat_CheckExact(expected)) {
        double a = PyFloat_AS_DOUBLE(found), b = PyFloat_AS_DOUBLE(expected);
        return memcmp(&a, &b, sizeof a) == 0;
    }
    if (PyLong_CheckExact(expected) || PyUnicode_CheckExact(expected) ||
        PyBytes_CheckExact(expected)) {
        return PyObject_RichCompareBool(found, expected, Py_EQ) == 1;
    }
    if (PyTuple_CheckExact(expected)) {
        return is_same_tuple(self, found, expected);
    }
    if (has_parts_or_attributes(Py_TYPE(expected)) && !PyTuple_Check(expected)) {
        return 0; /* an object of some class: another one */
    }
    PyObject *answer = PyObject_CallFunctionObjArgs(self->same, found, expected, NULL);
    int same = answer == Py_True;
    Py_XDECREF(answer);
    return same;
}

static int same_items(const Guards *self, const Guard *guard) {
    Py_ssize_t position = 0, i = 0, size = PyTuple_GET_SIZE(guard->key);
    PyObject *key, *value;
    if (PyDict_GET_SIZE(guard->target) != size) {
        return 0;
    }
    while (PyDict_Next(guard->target, &position, &key, &value) && i < size) {
        PyObject *expected = PyTuple_GET_ITEM(guard->expected, i);
        if (key != PyTuple_GET_ITEM(guard->key, i) &&
            !is_same(self, key, PyTuple_GET_ITEM(guard->key, i))) {
            return 0;
        }
        if (value != expected && expected != self->skip) {
            Py_INCREF(value); /* the comparison may run code of Python's */
            int same = is_same(self, value, expected);
            Py_DECREF(value);
            if (!same) {
                return 0;
            }
        }
        i++;
    }
    return i == size;
}

static int same_list(const Guards *self, const Guard *guard) {
    if (PyList_GET_SIZE(guard->target) != PyTuple_GET_SIZE(guard->expected)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(guard->expected); i++) {
        if (i >= PyList_GET_SIZE(guard->target)) {
            return 0;
        }
        PyObject *found = Py_NewRef(PyList_GET_ITEM(guard->target, i));
        int same = is_same(self, found, PyTuple_GET_ITEM(guard->expected, i));
        Py_DECREF(found);
        if (!same) {
            return 0;
        }
    }
    return 1;
}

/* The elements of two arrays of one dtype and shape, of which the second is contiguous. */
static int same_elements(const Guard *guard) {
    PyArrayObject *array = (PyArrayObject *)guard->target;
    PyArrayObject *expected = (PyArrayObject *)guard->expected;
    if (PyArray_NDIM(array) != PyArray_NDIM(expected) ||
        !PyArray_CompareLists(PyArray_DIMS(array), PyArray_DIMS(expected), PyArray_NDIM(array)) ||
        PyArray_TYPE(array) != PyArray_TYPE(expected)) {
        return 0;
    }
    PyArrayObject *flat = (PyArrayObject *)PyArray_GETCONTIGUOUS(array);
    if (flat == NULL) {
        return 0;
    }
    int same = memcmp(PyArray_DATA(flat), PyArray_DATA(expected), PyArray_NBYTES(flat)) == 0;
    Py_DECREF(flat);
    return same;
}

/* Code and defaults of a function. */
static int same_function(const Guard *guard) {
    PyObject *parts[] = {PyFunction_GET_CODE(guard->target), PyFunction_GET_DEFAULTS(guard->target),
                         PyFunction_GET_KW_DEFAULTS(guard->target)};
    for (Py_ssize_t i = 0; i < 3; i++) {
        if ((parts[i] == NULL ? Py_None : parts[i]) != PyTuple_GET_ITEM(guard->expected, i)) {
            return 0;
        }
    }
    return 1;
}

static int same_class(const Guard *guard) {
    PyObject *target = PyObject_CallNoArgs(guard->target); /* of the weak reference */
    int same = target != NULL && (PyObject *)Py_TYPE(target) == guard->expected;
    Py_XDECREF(target);
    return same;
}

/* What a single place holds, owned; null for nothing or an error. */
static PyObject *found_at(const Guard *guard) {
    switch (guard->kind) {
    case ITEM:
        return Py_XNewRef(PyDict_GetItemWithError(guard->target, guard->key));
    case CELL:
        return PyCell_Get(guard->target);
    default:
        return PyObject_CallOneArg(guard->target, guard->key);
    }
}

static int same_place(const Guards *self, const Guard *guard) {
    PyObject *found = found_at(guard);
    if (found == NULL) {
        return !PyErr_Occurred() && guard->expected == self->missing;
    }
    int same = is_same(self, found, guard->expected);
    Py_DECREF(found);
    return same;
}

static int holds(const Guards *self, Guard *guard) {
    if (guard->kind == ALL_ITEMS) {
        uint64_t version = DICT_VERSION(guard->target);
        if (version != 0 && version == guard->version) {
            return 1;
        }
        int same = same_items(self, guard);
        guard->version = same ? version : 0;
        return same;
    }
    switch (guard->kind) {
    case ALL_OF_LIST:
        return same_list(self, guard);
    case ELEMENTS_OF:
        return same_elements(guard);
    case MADE_OF:
        return same_function(guard);
    case CLASS:
        return same_class(guard);
    default:
        return same_place(self, guard);
    }
}

int guards_hold(PyObject *guards) {
    Guards *self = (Guards *)guards;
    for (Py_ssize_t i = 0; i < self->count; i++) {
        if (!holds(self, &self->guards[i])) {
            PyErr_Clear();
            return 0;
        }
    }
    return 1;
}

/* ---- making and ending --------------------------------------------------------------------- */

static const char *const kind_names[] = {"item",  "cell",     "dict",  "list", "call",
                                         "array", "function", "class", NULL};

int guards_tables(PyObject *tables) {
    return add_table(tables, "guard", kind_names);
}

static int kind_named(const char *name) {
    for (int kind = ITEM; kind <= CLASS; kind++) {
        if (strcmp(kind_names[kind], name) == 0) {
            return kind;
        }
    }
    return -1;
}

/* Is the target what comparisons of that kind take it for? */
static int fits(const Guard *guard) {
    switch (guard->kind) {
    case ITEM:
        return PyDict_Check(guard->target);
    case CELL:
        return PyCell_Check(guard->target);
    case ALL_ITEMS:
        return PyDict_Check(guard->target) && PyTuple_Check(guard->key) &&
               PyTuple_Check(guard->expected) &&
               PyTuple_GET_SIZE(guard->key) == PyTuple_GET_SIZE(guard->expected);
    case ALL_OF_LIST:
        return PyList_Check(guard->target) && PyTuple_Check(guard->expected);
    case ELEMENTS_OF:
        return PyArray_Check(guard->target) && PyArray_Check(guard->expected) &&
               PyArray_IS_C_CONTIGUOUS((PyArrayObject *)guard->expected);
    case MADE_OF:
        return PyFunction_Check(guard->target) && PyTuple_Check(guard->expected) &&
               PyTuple_GET_SIZE(guard->expected) == 3;
    case CLASS:
        return PyWeakref_CheckRefExact(guard->target);
    default:
        return PyCallable_Check(guard->target);
    }
}

static int guard_init(Guard *guard, PyObject *from) {
    const char *name;
    if (!PyTuple_Check(from) || !PyArg_ParseTuple(from, "sOOO", &name, &guard->target, &guard->key,
                                                  &guard->expected)) {
        return -1;
    }
    int kind = kind_named(name);
    guard->kind = (GuardKind)kind;
    guard->version = 0;
    Py_INCREF(guard->target);
    Py_INCREF(guard->key);
    Py_INCREF(guard->expected);
    return kind < 0 || !fits(guard) ? -1 : 0;
}

static int guards_init(Guards *self, PyObject *args, PyObject *kwargs) {
    PyObject *table;
    if (self->guards != NULL || kwargs != NULL ||
        !PyArg_ParseTuple(args, "O!OOO", &PyTuple_Type, &table, &self->skip, &self->missing,
                          &self->same)) {
        PyErr_SetString(PyExc_TypeError, "Guards(table, skip, missing, same) are made once");
        return -1;
    }
    Py_INCREF(self->skip);
    Py_INCREF(self->missing);
    Py_INCREF(self->same);
    self->guards = PyMem_Calloc((size_t)PyTuple_GET_SIZE(table) + 1, sizeof(Guard));
    if (self->guards == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(table); i++) {
        int failed = guard_init(&self->guards[i], PyTuple_GET_ITEM(table, i));
        self->count += self->guards[i].target != NULL;
        if (failed < 0) {
            PyErr_SetString(PyExc_TypeError, "not a table of guards");
            return -1;
        }
    }
    return 0;
}

static PyObject *guards_hold_method(PyObject *self, PyObject *Py_UNUSED(ignored)) {
    return PyBool_FromLong(guards_hold(self));
}

static int guards_traverse(Guards *self, visitproc visit, void *arg) {
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Py_VISIT(self->guards[i].target);
        Py_VISIT(self->guards[i].key);
        Py_VISIT(self->guards[i].expected);
    }
    Py_VISIT(self->same);
    return 0;
}

/* No tp_clear, as for plans: calls may be comparing meanwhile. */
static void guards_dealloc(Guards *self) {
    PyObject_GC_UnTrack(self);
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Py_DECREF(self->guards[i].target);
        Py_DECREF(self->guards[i].key);
        Py_DECREF(self->guards[i].expected);
    }
    PyMem_Free(self->guards);
    Py_XDECREF(self->skip);
    Py_XDECREF(self->missing);
    Py_XDECREF(self->same);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef methods[] = {
    {"hold", guards_hold_method, METH_NOARGS, "Does every place still hold what it did?"},
    {NULL, NULL, 0, NULL},
};

PyTypeObject Guards_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "nets._dispatch.Guards",
    .tp_doc = "Guards(table, skip, missing, same)\n\n(kind, target, key, expected) of each guard.",
    .tp_basicsize = sizeof(Guards),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)guards_init,
    .tp_dealloc = (destructor)guards_dealloc,
    .tp_traverse = (traverseproc)guards_traverse,
    .tp_methods = methods,
};
