/* NativeCode: native code that takes and gives arrays. */
#include "dispatch.h"

int form_fits(const Form *form, PyArrayObject *array) {
    PyArray_Descr *descr = PyArray_DESCR(array);
    if (descr != form->descr &&
        (descr->type_num != form->descr->type_num || !PyArray_ISNBO(descr->byteorder))) {
        return 0;
    }
    const int readable = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED;
    if (PyArray_NDIM(array) != form->ndim || (PyArray_FLAGS(array) & readable) != readable) {
        return 0;
    }
    for (int i = 0; i < form->ndim; i++) {
        if (form->dims[i] != PyArray_DIM(array, i) && form->dims[i] >= 0) {
            return 0;
        }
    }
    return 1;
}

/* A new array for an output. */
static PyObject *new_output(NativeCode *code, const Form *form, const int64_t *sizes) {
    npy_intp dims[NPY_MAXDIMS];
    Form fixed;
    if (form->counts == NULL) {
        return array_new(form, &code->fresh_bytes);
    }
    return form_at(form, sizes, dims, &fixed) < 0 ? NULL : array_new(&fixed, &code->fresh_bytes);
}

int native_outputs(NativeCode *code, PyObject **outputs, void **buffers, const int64_t *sizes) {
    for (Py_ssize_t i = 0; i < code->outputs; i++) {
        if (outputs[i] != NULL) {
            continue;
        }
        outputs[i] = new_output(code, &code->forms[code->inputs + i], sizes);
        if (outputs[i] == NULL) {
            return -1;
        }
        code->arrays++;
        PyArrayObject *made = (PyArrayObject *)outputs[i];
        void **buffer = &buffers[code->places[i]];
        if (code->places[i] < code->inputs && PyArray_NBYTES(made) > 0) {
            memcpy(PyArray_DATA(made), *buffer, (size_t)PyArray_NBYTES(made));
        }
        *buffer = PyArray_DATA(made);
    }
    return 0;
}

/* The place of a waiting workspace with so many bytes; -1 where there is none. */
static int fitting_arena(const NativeCode *code, size_t bytes) {
    int i = code->arena_count - 1;
    while (i >= 0 && code->arenas[i].bytes < bytes) {
        i--;
    }
    return i;
}

static Arena remove_arena(NativeCode *code, int i) {
    Arena found = code->arenas[i];
    code->arenas[i] = code->arenas[--code->arena_count];
    return found;
}

/* A workspace for the call alone: nobody else has one that is not among those that wait. One that
 * is too small makes place for the new one. */
static int take_arena(NativeCode *code, size_t bytes, Arena *arena) {
    *arena = (Arena){NULL, bytes};
    if (bytes == 0) {
        return 0;
    }
    int i = fitting_arena(code, bytes);
    if (i >= 0) {
        *arena = remove_arena(code, i);
        return 0;
    }
    if (code->arena_count > 0) {
        Arena small = remove_arena(code, code->arena_count - 1);
        code->arena_free(small.memory, small.bytes);
    }
    arena->memory = code->arena_new(bytes);
    if (arena->memory == NULL) {
        PyErr_Format(PyExc_MemoryError, "no memory for a workspace of %zu bytes", bytes);
        return -1;
    }
    code->fresh_bytes += bytes;
    code->largest = bytes > code->largest ? bytes : code->largest;
    return 0;
}

static void give_arena(NativeCode *code, Arena arena) {
    if (arena.memory == NULL) {
        return;
    }
    if (code->arena_count < KEPT_ARENAS) {
        code->arenas[code->arena_count++] = arena;
    } else {
        code->arena_free(arena.memory, arena.bytes);
    }
}

/* Can the call of a job run Python? Not where the job is no more than an address. */
static int calls_back(PyObject *job) {
    return job != NULL && !PyLong_Check(job);
}

/* The ranks of a call, whose address becomes a buffer; null with an exception. */
static PyObject *begin_job(const NativeCode *code, void **buffers) {
    PyObject *job = PyObject_CallNoArgs(code->job);
    PyObject *number = calls_back(job) ? PyObject_GetAttrString(job, "number") : Py_XNewRef(job);
    void *address = number == NULL ? NULL : PyLong_AsVoidPtr(number);
    Py_XDECREF(number);
    if (address == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "a job has an address");
        }
        Py_CLEAR(job);
        return NULL;
    }
    buffers[code->buffers + (code->dims > 0)] = address;
    return job;
}

/* Ends a job. Is nothing under way any more that may still write to the memory of the call? */
static int end_job(PyObject *job, int32_t status) {
    int is_over = status == 0 || !calls_back(job);
    if (!is_over) {
        PyObject *found = PyObject_CallMethod(job, "leave", NULL);
        is_over = found != NULL && PyObject_IsTrue(found) == 1;
        Py_XDECREF(found);
        PyErr_Clear();
    }
    Py_DECREF(job);
    return is_over;
}

/* Lets arrays be there for ever. */
static void keep_arrays(PyObject *const *arrays, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_XINCREF(arrays[i]);
    }
}

int native_call(NativeCode *code, PyObject *const *inputs, PyObject *const *outputs, void **buffers,
                int64_t *sizes, int32_t *status) {
    Arena arena;
    int64_t bytes = 0;
    PyObject *job = NULL;
    if (!workspace_of(code, sizes, &bytes)) {
        PyErr_SetString(PyExc_MemoryError, "no memory for a workspace of that size");
        return -1;
    }
    if (code->job != NULL && (job = begin_job(code, buffers)) == NULL) {
        return -1;
    }
    if (take_arena(code, (size_t)bytes, &arena) < 0) {
        Py_XDECREF(job);
        return -1;
    }
    if (code->dims > 0) {
        buffers[code->buffers] = sizes;
    }
    code->calls++;
    if (code->brief && !calls_back(job)) {
        *status = code->call(code->entry, buffers, arena.memory, code->pool);
    } else {
        Py_BEGIN_ALLOW_THREADS
        *status = code->call_watched(code->entry, buffers, arena.memory, code->pool);
        Py_END_ALLOW_THREADS
    }
    if (job != NULL && !end_job(job, *status)) {
        keep_arrays(inputs, code->inputs);
        keep_arrays(outputs, code->outputs);
    } else {
        give_arena(code, arena);
    }
    return 0;
}

/* ---- from Python --------------------------------------------------------------------------- */

/* Notes where the elements of the inputs are, if native code can read all of them in place. */
static int read_inputs(NativeCode *code, PyObject *arrays, void **buffers, int64_t *sizes) {
    if (PyTuple_GET_SIZE(arrays) != code->inputs) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < code->inputs; i++) {
        PyObject *array = PyTuple_GET_ITEM(arrays, i);
        if (!PyArray_Check(array) || !form_fits(&code->forms[i], (PyArrayObject *)array)) {
            return 0;
        }
        buffers[i] = PyArray_DATA((PyArrayObject *)array);
    }
    return code->dims == 0 || sizes_told(code, ((PyTupleObject *)arrays)->ob_item, sizes);
}

/* The outputs as a list, the status where it is not 0, or null with an exception. */
static PyObject *run_to_list(NativeCode *code, PyObject *const *inputs, void **buffers,
                             int64_t *sizes) {
    PyObject *outputs = PyList_New(code->outputs);
    int32_t status = 0;
    if (outputs == NULL) {
        return NULL;
    }
    PyObject **items = ((PyListObject *)outputs)->ob_item;
    if (native_outputs(code, items, buffers, sizes) < 0 ||
        native_call(code, inputs, items, buffers, sizes, &status) < 0) {
        Py_DECREF(outputs);
        return NULL;
    }
    if (status != 0) {
        Py_DECREF(outputs);
        return PyLong_FromLong(status);
    }
    return outputs;
}

static PyObject *native_run(NativeCode *code, PyObject *sequence) {
    if (!code->is_ready) {
        PyErr_SetString(PyExc_TypeError, "the NativeCode was not made");
        return NULL;
    }
    PyObject *arrays = PySequence_Tuple(sequence); /* owns the arrays during the call */
    if (arrays == NULL) {
        return NULL;
    }
    void **buffers = PyMem_Calloc(native_buffers(code), sizeof *buffers);
    int64_t *sizes = PyMem_Calloc((size_t)code->dims + 1, sizeof *sizes);
    PyObject *result = NULL;
    if (buffers == NULL || sizes == NULL) {
        PyErr_NoMemory();
    } else if (read_inputs(code, arrays, buffers, sizes)) {
        result = run_to_list(code, ((PyTupleObject *)arrays)->ob_item, buffers, sizes);
    } else {
        result = Py_NewRef(Py_None);
    }
    PyMem_Free(sizes);
    PyMem_Free(buffers);
    Py_DECREF(arrays);
    return result;
}

/* ---- making and ending --------------------------------------------------------------------- */

/* One axis of a form: a number, or the program of a size. */
static int axis_init(Form *form, int axis, PyObject *size, Py_ssize_t dims) {
    if (PyTuple_Check(size)) {
        form->dims[axis] = -1;
        if (form->counts == NULL) {
            form->counts = PyMem_Calloc((size_t)form->ndim, sizeof *form->counts);
        }
        if (form->counts == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        return count_init(&form->counts[axis], size, dims);
    }
    form->dims[axis] = PyNumber_AsSsize_t(size, PyExc_OverflowError);
    if (form->dims[axis] < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "a form has no negative size");
    }
    return PyErr_Occurred() ? -1 : 0;
}

static int form_init(Form *form, PyObject *pair, Py_ssize_t dims) {
    PyObject *shape = NULL, *dtype = NULL;
    if (PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2) {
        shape = PyTuple_GET_ITEM(pair, 0), dtype = PyTuple_GET_ITEM(pair, 1);
    }
    if (shape == NULL || !PyTuple_Check(shape) || PyTuple_GET_SIZE(shape) > NPY_MAXDIMS ||
        !PyArray_DescrCheck(dtype) || PyDataType_REFCHK((PyArray_Descr *)dtype)) {
        PyErr_SetString(PyExc_TypeError, "a form is a pair (shape, dtype)");
        return -1;
    }
    form->descr = (PyArray_Descr *)Py_NewRef(dtype);
    form->dims = PyMem_Calloc((size_t)PyTuple_GET_SIZE(shape) + 1, sizeof *form->dims);
    if (form->dims == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    form->ndim = (int)PyTuple_GET_SIZE(shape);
    for (int i = 0; i < form->ndim; i++) {
        if (axis_init(form, i, PyTuple_GET_ITEM(shape, i), dims) < 0) {
            return -1;
        }
    }
    return 0;
}

static void form_clear(Form *form) {
    Py_XDECREF(form->descr);
    PyMem_Free(form->dims);
    for (int i = 0; form->counts != NULL && i < form->ndim; i++) {
        count_clear(&form->counts[i]);
    }
    PyMem_Free(form->counts);
}

static int forms_init(Form *forms, PyObject *tuple, Py_ssize_t dims) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
        if (form_init(&forms[i], PyTuple_GET_ITEM(tuple, i), dims) < 0) {
            return -1;
        }
    }
    return 0;
}

static int is_same_count(const Count *x, const Count *y) {
    return x->length == y->length &&
           (x->length == 0 || memcmp(x->words, y->words, sizeof *x->words * (size_t)x->length) == 0);
}

static int is_same_form(const Form *x, const Form *y) {
    if (x->descr != y->descr || x->ndim != y->ndim ||
        !PyArray_CompareLists(x->dims, y->dims, x->ndim)) {
        return 0;
    }
    for (int i = 0; x->counts != NULL && y->counts != NULL && i < x->ndim; i++) {
        if (!is_same_count(&x->counts[i], &y->counts[i])) {
            return 0;
        }
    }
    return 1;
}

/* Is an input the place of an output already? */
static int is_taken(const NativeCode *code, Py_ssize_t input) {
    for (Py_ssize_t i = 0; i < code->outputs; i++) {
        if (code->places[i] == input) {
            return 1;
        }
    }
    return 0;
}

/* Where the outputs are: `in_place` holds (output, input) pairs, the others come in their order. */
static int places_init(NativeCode *code, PyObject *in_place) {
    code->places = PyMem_Calloc((size_t)code->outputs + 1, sizeof *code->places);
    if (code->places == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < code->outputs; i++) {
        code->places[i] = -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(in_place); i++) {
        PyObject *pair = PyTuple_GET_ITEM(in_place, i);
        Py_ssize_t output = -1, input = -1;
        if (PyTuple_Check(pair) && !PyArg_ParseTuple(pair, "nn", &output, &input)) {
            return -1;
        }
        if (output < 0 || output >= code->outputs || input < 0 || input >= code->inputs) {
            PyErr_SetString(PyExc_ValueError, "an output in place of no input");
            return -1;
        }
        if (!is_same_form(&code->forms[input], &code->forms[code->inputs + output])) {
            PyErr_SetString(PyExc_ValueError, "an output in place of an input of another form");
            return -1;
        }
        if (code->places[output] >= 0 || is_taken(code, input)) {
            PyErr_SetString(PyExc_ValueError, "an output in place of two inputs, or two of one");
            return -1;
        }
        code->places[output] = input;
    }
    Py_ssize_t next = code->inputs;
    for (Py_ssize_t i = 0; i < code->outputs; i++) {
        if (code->places[i] < 0) {
            code->places[i] = next++;
        }
    }
    code->buffers = next;
    return 0;
}

/* The keywords of NativeCode(…), in the order in which native_init parses them. */
static char *native_names[] = {"entry",           "call",   "call_watched", "arena_new",
                               "arena_free",      "pool",   "workspace_bytes",
                               "inputs",          "outputs", "keep",        "in_place",
                               "dims",            "requirements",         "job",  NULL};

int native_tables(PyObject *tables) {
    return add_table(tables, "native", (const char *const *)native_names);
}

static int native_init(NativeCode *code, PyObject *args, PyObject *kwargs) {
    unsigned long long entry, call, call_watched, arena_new, arena_free, pool;
    PyObject *workspace, *inputs, *outputs, *keep, *in_place, *dims, *requirements, *job;
    if (code->forms != NULL) {
        PyErr_SetString(PyExc_TypeError, "NativeCode is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$KKKKKKO!O!O!OO!O!O!O", native_names, &entry, &call,
                                     &call_watched, &arena_new, &arena_free, &pool,
                                     &PyTuple_Type, &workspace, &PyTuple_Type, &inputs,
                                     &PyTuple_Type, &outputs, &keep, &PyTuple_Type, &in_place,
                                     &PyTuple_Type, &dims, &PyTuple_Type, &requirements, &job)) {
        return -1;
    }
    if (job != Py_None && !PyCallable_Check(job)) {
        PyErr_SetString(PyExc_TypeError, "a job is what gives one");
        return -1;
    }
    if (!entry || !call || !call_watched || !arena_new || !arena_free) {
        PyErr_SetString(PyExc_ValueError, "NativeCode has addresses");
        return -1;
    }
    code->entry = (nets_entry)(uintptr_t)entry;
    code->call = (int32_t(*)(nets_entry, void *const *, void *, nets_pool *))(uintptr_t)call;
    code->call_watched =
        (int32_t(*)(nets_entry, void *const *, void *, nets_pool *))(uintptr_t)call_watched;
    code->arena_new = (void *(*)(size_t))(uintptr_t)arena_new;
    code->arena_free = (void (*)(void *, size_t))(uintptr_t)arena_free;
    code->pool = (nets_pool *)(uintptr_t)pool;
    code->dims = PyTuple_GET_SIZE(dims);
    code->inputs = PyTuple_GET_SIZE(inputs);
    code->outputs = PyTuple_GET_SIZE(outputs);
    code->keep = Py_NewRef(keep);
    code->job = job == Py_None ? NULL : Py_NewRef(job);
    size_t count = (size_t)(code->inputs + code->outputs);
    code->forms = PyMem_Calloc(count + 1, sizeof(Form));
    if (code->forms == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (forms_init(code->forms, inputs, code->dims) < 0 ||
        forms_init(code->forms + code->inputs, outputs, code->dims) < 0 ||
        places_init(code, in_place) < 0 || count_init(&code->workspace, workspace, code->dims) < 0 ||
        sizes_init(code, dims, requirements) < 0) {
        return -1;
    }
    int64_t bytes;
    if (code->dims == 0 && !workspace_of(code, NULL, &bytes)) {
        PyErr_SetString(PyExc_ValueError, "NativeCode has a workspace of some size");
        return -1;
    }
    code->is_ready = 1;
    return 0;
}

static void native_dealloc(NativeCode *code) {
    while (code->arena_count > 0) {
        Arena arena = remove_arena(code, code->arena_count - 1);
        code->arena_free(arena.memory, arena.bytes);
    }
    for (Py_ssize_t i = 0; code->forms != NULL && i < code->inputs + code->outputs; i++) {
        form_clear(&code->forms[i]);
    }
    sizes_clear(code);
    PyMem_Free(code->forms);
    PyMem_Free(code->places);
    Py_XDECREF(code->keep);
    Py_XDECREF(code->job);
    Py_TYPE(code)->tp_free((PyObject *)code);
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)native_run, METH_O,
     "run(arrays)\n\nThe outputs for these inputs in fresh arrays; the status of the call where a "
     "run-time check failed;\nNone where an input is no array that native code can read in place."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"brief", T_BOOL, offsetof(NativeCode, brief), 0, "Is a call so short that it keeps the GIL?"},
    {"calls", T_PYSSIZET, offsetof(NativeCode, calls), READONLY, "Calls of the code so far."},
    {"arrays", T_PYSSIZET, offsetof(NativeCode, arrays), READONLY, "Arrays made for them."},
    {"largest", T_PYSSIZET, offsetof(NativeCode, largest), READONLY,
     "Bytes of the largest workspace of a call so far."},
    {"fresh_bytes", T_PYSSIZET, offsetof(NativeCode, fresh_bytes), READONLY,
     "Memory taken from the system for them: arrays and workspaces, unless used before."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject NativeCode_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "nets._dispatch.NativeCode",
    .tp_doc = "NativeCode(*, entry, call, call_watched, arena_new, arena_free, pool, "
              "workspace_bytes, inputs, outputs, keep, in_place, dims, requirements, job)\n\nNative code that takes and gives arrays.",
    .tp_basicsize = sizeof(NativeCode),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)native_init,
    .tp_dealloc = (destructor)native_dealloc,
    .tp_methods = methods,
    .tp_members = members,
};
