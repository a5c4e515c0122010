/* Blocks: the memory of large arrays, used again when the last array on it is gone.
 *
 * Fresh pages cost more than most programs: the system clears each of them when it is touched
 * first. And a Block begins at a cache line, which NumPy's memory seldom does: each second access,
 * with AVX-512 each of them, would cross from one line into the next. An array of a Block has it
 * as its base, so views and everything else that can still reach the elements keep it alive, and
 * it is used again for certain only when nobody can. What waits in the pool is bounded; the pool
 * is guarded by the GIL.
 */
#include "dispatch.h"

typedef struct {
    PyObject_HEAD
    void *memory;
    size_t bytes;
} Block;

enum { MOST_WAITING = 128 };

/* From this size on the way of the elements to the processor takes longer than finding a Block. */
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

static void block_dealloc(Block *block) {
    if (block->memory != NULL && block->bytes > MOST_BYTES) {
        nets_arena_free(block->memory, block->bytes);
    } else if (block->memory != NULL) {
        while (waiting_count == MOST_WAITING || waiting_bytes + block->bytes > MOST_BYTES) {
            drop_oldest();
        }
        waiting[waiting_count++] = (Waiting){block->memory, block->bytes};
        waiting_bytes += block->bytes;
    }
    Py_TYPE(block)->tp_free((PyObject *)block);
}

PyTypeObject Block_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "nets._dispatch.Block",
    .tp_doc = "The memory of a large array; used again when the last array on it is gone.",
    .tp_basicsize = sizeof(Block),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)block_dealloc,
};

static PyObject *array_in_block(const Form *form, size_t bytes, size_t *fresh) {
    Block *block = PyObject_New(Block, &Block_Type);
    if (block == NULL) {
        return NULL;
    }
    int is_new = 0;
    block->bytes = bytes;
    block->memory = find_memory(bytes, &is_new);
    if (block->memory == NULL) {
        Py_DECREF(block);
        PyErr_Format(PyExc_MemoryError, "no memory for a result of %zu bytes", bytes);
        return NULL;
    }
    *fresh += is_new ? bytes : 0;
    Py_INCREF(form->descr); /* taken by the new array */
    PyObject *array = PyArray_NewFromDescr(&PyArray_Type, form->descr, form->ndim, form->dims,
                                           NULL, block->memory, NPY_ARRAY_CARRAY, NULL);
    if (array == NULL || PyArray_SetBaseObject((PyArrayObject *)array, (PyObject *)block) < 0) {
        if (array == NULL) {
            Py_DECREF(block);
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
        return array_in_block(form, bytes, fresh);
    }
    *fresh += bytes;
    Py_INCREF(form->descr); /* taken by the new array */
    return PyArray_NewFromDescr(&PyArray_Type, form->descr, form->ndim, form->dims, NULL, NULL, 0,
                                NULL);
}

PyObject *empty(PyObject *module, PyObject *args) {
    (void)module;
    PyArray_Dims shape = {NULL, 0};
    Form form = {NULL, 0, NULL};
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
    return base != NULL && Py_TYPE(base) == &Block_Type && Py_REFCNT(base) == 1;
}
