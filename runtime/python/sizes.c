/* Sizes that a call tells: what computes them, and whether code takes the arrays of a call.
 *
 * A Count is a program for a stack of numbers, two words for each step: an Operation and a number
 * that belongs to it. It is checked when it is made, so that a run can neither leave the stack nor
 * name a dimension that is none. A size that 64 bits do not hold is none: the call is left to the
 * Python road, as is every other one that is refused, which says why.
 */
#include "dispatch.h"

typedef enum { NUMBER, DIMENSION, PLUS, TIMES, QUOTIENT, LEAST, OPERATIONS } Operation;

static const char *const operation_names[] = {"number", "dimension", "plus", "times",
                                              "quotient", "least", NULL};

enum { DEPTH = 16 };

/* How many numbers more the stack has after a step; 0 without change for one that is none. */
static int step_of(int64_t operation, int64_t number, Py_ssize_t dims, int *depth) {
    switch (operation) {
    case NUMBER:
        return (*depth)++ < DEPTH;
    case DIMENSION:
        return (*depth)++ < DEPTH && number >= 0 && number < dims;
    case QUOTIENT:
        return *depth >= 1 && number > 0;
    case PLUS:
    case TIMES:
    case LEAST:
        return (*depth)-- >= 2;
    default:
        return 0;
    }
}

static int is_program(const Count *count, Py_ssize_t dims) {
    int depth = 0;
    for (Py_ssize_t i = 0; i < count->length; i += 2) {
        if (!step_of(count->words[i], count->words[i + 1], dims, &depth)) {
            return 0;
        }
    }
    return depth == 1;
}

int count_init(Count *count, PyObject *program, Py_ssize_t dims) {
    Py_ssize_t length = PyTuple_GET_SIZE(program);
    count->words = PyMem_Calloc((size_t)length + 1, sizeof *count->words);
    if (count->words == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < length; i++) {
        count->words[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(program, i));
        if (count->words[i] == -1 && PyErr_Occurred()) {
            return -1;
        }
    }
    count->length = length;
    if (length % 2 != 0 || !is_program(count, dims)) {
        PyErr_SetString(PyExc_ValueError, "a size is a program for a stack of numbers");
        return -1;
    }
    return 0;
}

void count_clear(Count *count) {
    PyMem_Free(count->words);
}

static int64_t quotient(int64_t x, int64_t divisor) {
    return x / divisor - (x % divisor < 0);
}

int count_value(const Count *count, const int64_t *sizes, int64_t *value) {
    int64_t stack[DEPTH + 1], *top = stack; /* the first is below the stack */
    for (const int64_t *step = count->words; step < count->words + count->length; step += 2) {
        switch ((Operation)step[0]) {
        case NUMBER:
            *++top = step[1];
            break;
        case DIMENSION:
            *++top = sizes[step[1]];
            break;
        case QUOTIENT:
            *top = quotient(*top, step[1]);
            break;
        case PLUS:
            top--;
            if (__builtin_add_overflow(top[0], top[1], top)) {
                return 0;
            }
            break;
        case TIMES:
            top--;
            if (__builtin_mul_overflow(top[0], top[1], top)) {
                return 0;
            }
            break;
        default:
            top--;
            *top = top[1] < top[0] ? top[1] : top[0];
        }
    }
    *value = *top;
    return 1;
}

/* ---- the sizes of a call -------------------------------------------------------------------- */

/* The size of a dimension, from the axis that tells it. */
static int read_dimension(const Dimension *dim, PyObject *const *arrays, int64_t *size) {
    int64_t number = PyArray_DIM((PyArrayObject *)arrays[dim->input], (int)dim->axis), rest;
    if (__builtin_sub_overflow(number, dim->start, &rest) || rest % dim->slope != 0) {
        return 0;
    }
    *size = rest / dim->slope;
    return *size >= dim->lowest && *size <= dim->highest && *size % dim->multiple == 0;
}

static int form_has(const Form *form, PyObject *array, const int64_t *sizes) {
    for (int i = 0; form->counts != NULL && i < form->ndim; i++) {
        int64_t size;
        if (form->dims[i] < 0 && (!count_value(&form->counts[i], sizes, &size) ||
                                  size != PyArray_DIM((PyArrayObject *)array, i))) {
            return 0;
        }
    }
    return 1;
}

int sizes_told(const NativeCode *code, PyObject *const *arrays, int64_t *sizes) {
    int64_t value;
    for (Py_ssize_t i = 0; i < code->dims; i++) {
        if (!read_dimension(&code->dimensions[i], arrays, &sizes[i])) {
            return 0;
        }
    }
    for (Py_ssize_t i = 0; i < code->inputs; i++) {
        if (!form_has(&code->forms[i], arrays[i], sizes)) {
            return 0;
        }
    }
    for (Py_ssize_t i = 0; i < code->conditions; i++) {
        const Condition *condition = &code->requirements[i];
        if (!count_value(&condition->size, sizes, &value) ||
            (condition->is_zero ? value != 0 : value < 0)) {
            return 0;
        }
    }
    return workspace_of(code, sizes, &value);
}

int workspace_of(const NativeCode *code, const int64_t *sizes, int64_t *bytes) {
    return count_value(&code->workspace, sizes, bytes) && *bytes >= 0;
}

int form_at(const Form *form, const int64_t *sizes, npy_intp *dims, Form *fixed) {
    *fixed = (Form){form->descr, form->ndim, dims, NULL};
    for (int i = 0; i < form->ndim; i++) {
        int64_t size = form->dims[i];
        if (size < 0 && (!count_value(&form->counts[i], sizes, &size) || size < 0)) {
            PyErr_SetString(PyExc_MemoryError, "no memory for a result of that size");
            return -1;
        }
        dims[i] = (npy_intp)size;
    }
    return 0;
}

/* ---- making ---------------------------------------------------------------------------------- */

static int dimension_init(const NativeCode *code, Dimension *dim, PyObject *from) {
    long long low, high, multiple, slope, start;
    if (!PyTuple_Check(from)) {
        PyErr_SetString(PyExc_TypeError, "a dimension is a tuple of seven numbers");
        return -1;
    }
    if (!PyArg_ParseTuple(from, "LLLnnLL", &low, &high, &multiple, &dim->input, &dim->axis, &slope,
                          &start)) {
        return -1;
    }
    dim->lowest = low, dim->highest = high, dim->multiple = multiple;
    dim->slope = slope, dim->start = start;
    /* Any slope but these divides every number. */
    if (low < 0 || multiple < 1 || slope == 0 || slope == -1 || dim->input < 0 ||
        dim->input >= code->inputs || dim->axis < 0 ||
        dim->axis >= code->forms[dim->input].ndim) {
        PyErr_SetString(PyExc_ValueError, "a dimension that no axis tells");
        return -1;
    }
    return 0;
}

static int condition_init(const NativeCode *code, Condition *condition, PyObject *from) {
    PyObject *program;
    int is_zero;
    if (!PyTuple_Check(from)) {
        PyErr_SetString(PyExc_TypeError, "a requirement is a pair (is it zero?, size)");
        return -1;
    }
    if (!PyArg_ParseTuple(from, "pO!", &is_zero, &PyTuple_Type, &program)) {
        return -1;
    }
    condition->is_zero = is_zero;
    return count_init(&condition->size, program, code->dims);
}

int sizes_init(NativeCode *code, PyObject *dims, PyObject *requirements) {
    Py_ssize_t conditions = PyTuple_GET_SIZE(requirements);
    code->dimensions = PyMem_Calloc((size_t)code->dims + 1, sizeof *code->dimensions);
    code->requirements = PyMem_Calloc((size_t)conditions + 1, sizeof *code->requirements);
    if (code->dimensions == NULL || code->requirements == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < code->dims; i++) {
        if (dimension_init(code, &code->dimensions[i], PyTuple_GET_ITEM(dims, i)) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < conditions; i++) {
        code->conditions++;
        if (condition_init(code, &code->requirements[i], PyTuple_GET_ITEM(requirements, i)) < 0) {
            return -1;
        }
    }
    return 0;
}

void sizes_clear(NativeCode *code) {
    for (Py_ssize_t i = 0; i < code->conditions; i++) {
        count_clear(&code->requirements[i].size);
    }
    PyMem_Free(code->requirements);
    PyMem_Free(code->dimensions);
    count_clear(&code->workspace);
}

int sizes_tables(PyObject *tables) {
    return add_table(tables, "operation", operation_names);
}
