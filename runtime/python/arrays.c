/* Backings: the memory of large arrays, used again when the last array on it is gone.
 *
 * Fresh pages cost more than most programs: the system clears each of them when it is touched
 * first. And a Backing begins at a cache line, which NumPy's memory seldom does: each second
 * access, with AVX-512 each of them, would cross from one line into the next. An array of a Backing
 * has it as its base, so views and everything else that can still reach the elements keep it alive, and
 * it is used again for certain only when nobody can. What waits in the pool is bounded; the pool
 * is guarded by the GIL.
 */
#include "dispatch.h"

typedef struct {
    PyObject_HEAD
    void *memory;
    size_t bytes;
} Backing;

enum { MOST_WAITING = 128 };

/* From this size on the way of the elements to the processor takes longer than finding memory. */
static const size_t POOLED_FROM = (size_t)1 << 14;
static const size_t MOST_BYTES = (size_t)256 << 20;

typedef struct {
    void *memory;
    size_t bytes;
} Waiting;

static Waiting waiting[MOST_WAITING]; /* the latest last */
static int waiting_count;
static size_t waiting_bytes;

static Waiting take_waiting(int i) {
    Waiting found = waiting[i];
    waiting_count--;
    waiting_bytes -= found.bytes;
    memmove(&waiting[i], &waiting[i + 1], (size_t)(waiting_count - i) * sizeof *waiting);
    return found;
}

static void drop_oldest(void) {
    Waiting oldest = take_waiting(0);
    nets_arena_free(oldest.memory, oldest.bytes);
}

/* Memory of that size; `*is_new` unless it was used before. Null if there is none. */
static void *find_memory(size_t bytes, int *is_new) {
    for (int i = waiting_count - 1; i >= 0; i--) {
        if (waiting[i].bytes == bytes) {
            *is_new = 0;
            return take_waiting(i).memory;
        }
    }
    *is_new = 1;
    void *memory = nets_arena_new(bytes);
    while (memory == NULL && waiting_count > 0) {
        drop_oldest();
        memory = nets_arena_new(bytes);
    }
    return memory;
}

static void backing_dealloc(Backing *backing) {
    if (backing->memory != NULL && backing->bytes > MOST_BYTES) {
        nets_arena_free(backing->memory, backing->bytes);
    } else if (backing->memory != NULL) {
        while (waiting_count == MOST_WAITING || waiting_bytes + backing->bytes > MOST_BYTES) {
            drop_oldest();
        }
        waiting[waiting_count++] = (Waiting){backing->memory, backing->bytes};
        waiting_bytes += backing->bytes;
    }
    Py_TYPE(backing)->tp_free((PyObject *)backing);
}

PyTypeObject Backing_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "nets._dispatch.Backing",
    .tp_doc = "The memory of a large array; used again when the last array on it is gone.",
    .tp_basicsize = sizeof(Backing),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)backing_dealloc,
};

static PyObject *array_in_backing(const Form *form, size_t bytes, size_t *fresh) {
    Backing *backing = PyObject_New(Backing, &Backing_Type);
    if (backing == NULL) {
        return NULL;
    }
    int is_new = 0;
    backing->bytes = bytes;
    backing->memory = find_memory(bytes, &is_new);
    if (backing->memory == NULL) {
        Py_DECREF(backing);
        PyErr_Format(PyExc_MemoryError, "no memory for a result of %zu bytes", bytes);
        return NULL;
    }
    *fresh += is_new ? bytes : 0;
    Py_INCREF(form->descr); /* taken by the new array */
    PyObject *array = PyArray_NewFromDescr(&PyArray_Type, form->descr, form->ndim, form->dims,
                                           NULL, backing->memory, NPY_ARRAY_CARRAY, NULL);
    if (array == NULL || PyArray_SetBaseObject((PyArrayObject *)array, (PyObject *)backing) < 0) {
        if (array == NULL) {
            Py_DECREF(backing);
        }
        Py_XDECREF(array);
        return NULL;
    }
    return array;
}

PyObject *array_new(const Form *form, size_t *fresh) {
    size_t bytes = (size_t)PyArray_MultiplyList(form->dims, form->ndim) *
                   (size_t)PyDataType_ELSIZE(form->descr);
    if (bytes >= POOLED_FROM) {
        return array_in_backing(form, bytes, fresh);
    }
    *fresh += bytes;
    Py_INCREF(form->descr); /* taken by the new array */
    return PyArray_NewFromDescr(&PyArray_Type, form->descr, form->ndim, form->dims, NULL, NULL, 0,
                                NULL);
}

PyObject *empty(PyObject *module, PyObject *args) {
    (void)module;
    PyArray_Dims shape = {NULL, 0};
    Form form = {NULL, 0, NULL, NULL};
    size_t fresh = 0;
    PyObject *array = NULL;
    if (PyArg_ParseTuple(args, "O&O&", PyArray_IntpConverter, &shape, PyArray_DescrConverter,
                         &form.descr)) {
        form.ndim = shape.len;
        form.dims = shape.ptr;
        if (PyDataType_REFCHK(form.descr)) {
            PyErr_SetString(PyExc_TypeError, "elements cannot be Python objects");
        } else {
            array = array_new(&form, &fresh);
        }
    }
    PyDimMem_FREE(shape.ptr);
    Py_XDECREF(form.descr);
    return array;
}

int array_is_alone(PyObject *array, Py_ssize_t references) {
    if (!PyArray_CheckExact(array) || Py_REFCNT(array) != references ||
        !PyArray_ISWRITEABLE((PyArrayObject *)array)) {
        return 0;
    }
    if (PyArray_FLAGS((PyArrayObject *)array) & NPY_ARRAY_OWNDATA) {
        return 1;
    }
    PyObject *base = PyArray_BASE((PyArrayObject *)array);
    return base != NULL && Py_TYPE(base) == &Backing_Type && Py_REFCNT(base) == 1;
}
