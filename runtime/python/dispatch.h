/* The extension nets._dispatch: what a repeated call of a traced function needs, without Python.
 *
 *   arrays.c    Backing: the memory of large arrays, used again
 *   sizes.c     sizes that a call tells, computed and checked
 *   native.c    NativeCode: native code that takes and gives arrays
 *   nest.c      containers taken apart into leaves and put together again
 *   guards.c    Guards: what a traced function found in the world, compared at each call
 *   record.c    reads and makes tensors and their values
 *   plan.c      Plan: one signature of a traced function
 *   dispatch.c  Dispatch, the base of traced functions, which tries their plans; the module
 *
 * Unlike the runtime proper, these files know Python and NumPy (their public interfaces only) and
 * are no part of exported libraries. Whatever they do not expect they leave to the Python road,
 * which takes the same call from the start: nothing here has an effect before it is sure.
 *
 * References: every object that is used while foreign code may run (a lookup, the native code) is
 * owned meanwhile. Shared fields (lists of arenas and plans) are guarded by the GIL.
 */
#ifndef NETS_DISPATCH_H
#define NETS_DISPATCH_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL nets_dispatch_array_api
#ifndef NETS_DISPATCH_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>

#include "nets_runtime.h"

/* What an attempt comes to. */
typedef enum { MISS, HIT, FAILED /* an exception is set */ } Outcome;

/* ---- dispatch.c --------------------------------------------------------------------------- */

/* Adds the names that C and Python share in one place, the last one null, to a dict of all of them,
 * nets._dispatch.TABLES, which a test compares with Python's. Returns -1 with an exception. */
int add_table(PyObject *tables, const char *key, const char *const *names);
int sizes_tables(PyObject *tables);
int native_tables(PyObject *tables);
int guards_tables(PyObject *tables);
int record_tables(PyObject *tables);
int plan_tables(PyObject *tables);

/* ---- native.c ----------------------------------------------------------------------------- */

/* A size, as a program: see sizes.c. */
typedef struct {
    Py_ssize_t length;
    int64_t *words;
} Count;

/* Type and shape of an array. */
typedef struct {
    PyArray_Descr *descr;
    int ndim;
    npy_intp *dims; /* -1 where a call tells the size */
    Count *counts;  /* what it is there; null where a call tells none */
} Form;

/* What the size of a dimension may be, and which axis of which input tells it: that has
 * slope * size + start. */
typedef struct {
    int64_t lowest, highest, multiple;
    Py_ssize_t input, axis;
    int64_t slope, start;
} Dimension;

/* A size that must be 0, or else at least that. */
typedef struct {
    int is_zero;
    Count size;
} Condition;

/* A workspace that no call is using. */
typedef struct {
    void *memory;
    size_t bytes;
} Arena;

enum { KEPT_ARENAS = 8 };

typedef struct {
    PyObject_HEAD
    nets_entry entry;
    int32_t (*call)(nets_entry, void *const *, void *, nets_pool *);
    int32_t (*call_watched)(nets_entry, void *const *, void *, nets_pool *); /* of one not brief */
    void *(*arena_new)(size_t);
    void (*arena_free)(void *, size_t);
    nets_pool *pool;
    Count workspace;
    size_t largest; /* workspace of a call so far */
    char brief; /* so short a call that it keeps the GIL */
    Py_ssize_t inputs, outputs;
    Form *forms; /* of the inputs, then of the outputs */
    Py_ssize_t *places; /* which buffer each output is in: one of the inputs' if it is in place */
    Py_ssize_t buffers; /* of inputs and outputs */
    Py_ssize_t dims, conditions; /* of the sizes that a call tells; their address is one buffer more */
    Dimension *dimensions;
    Condition *requirements;
    char is_ready;
    PyObject *keep; /* what entry and pool live in */
    PyObject *job;  /* gives the ranks that a call talks to, or their address; null for none */
    Arena arenas[KEPT_ARENAS];
    int arena_count;
    Py_ssize_t calls, arrays; /* so far: calls of the code, arrays made for them */
    size_t fresh_bytes;       /* and memory that had not been used before */
} NativeCode;

extern PyTypeObject NativeCode_Type;

/* Can native code read the array in place, as an array of that form, whatever sizes a call tells? */
int form_fits(const Form *form, PyArrayObject *array);

/* Makes the output arrays and notes where their elements are. An output in place that is there
 * already is the array of its input; else it is a copy of that. Returns -1 with an exception. */
int native_outputs(NativeCode *code, PyObject **outputs, void **buffers, const int64_t *sizes);

/* Buffers of a call: inputs, outputs, sizes, communicator. */
static inline size_t native_buffers(const NativeCode *code) {
    return (size_t)(code->inputs + code->outputs) + 2;
}

/* Calls the code, whose arrays are these. Returns -1 with an exception, else 0 and the status. */
int native_call(NativeCode *code, PyObject *const *inputs, PyObject *const *outputs, void **buffers,
                int64_t *sizes, int32_t *status);

/* ---- sizes.c -------------------------------------------------------------------------------- */

/* Sizes from a tuple of words, and from the tuples of Python. Return -1 with an exception. */
int count_init(Count *count, PyObject *program, Py_ssize_t dims);
int sizes_init(NativeCode *code, PyObject *dims, PyObject *requirements);
void count_clear(Count *count);
void sizes_clear(NativeCode *code);

/* The value of a size; 0 where 64 bits do not hold it. */
int count_value(const Count *count, const int64_t *sizes, int64_t *value);

/* Reads the sizes that arrays tell, whose forms fit. Does the code take a call of these? */
int sizes_told(const NativeCode *code, PyObject *const *arrays, int64_t *sizes);

/* The bytes of a workspace; 0 where they cannot be counted. */
int workspace_of(const NativeCode *code, const int64_t *sizes, int64_t *bytes);

/* A form of these sizes, whose dims are stored there. Returns -1 with an exception. */
int form_at(const Form *form, const int64_t *sizes, npy_intp *dims, Form *fixed);

/* ---- arrays.c ------------------------------------------------------------------------------ */

extern PyTypeObject Backing_Type;

/* An array without elements stored yet; a large one in memory that was used before, if there is
 * some, else `*fresh` grows. Null with an exception. */
PyObject *array_new(const Form *form, size_t *fresh);

/* For Python: such an array of a shape and dtype. */
PyObject *empty(PyObject *module, PyObject *args);

/* Can the elements of an array be changed unseen, with so many references to it accounted for? */
int array_is_alone(PyObject *array, Py_ssize_t references);

/* ---- nest.c ------------------------------------------------------------------------------- */

typedef enum { LEAF, NONE, TUPLE, LIST, DICT, NAMED_TUPLE, FIELDS } TokenKind;

typedef struct {
    TokenKind kind;
    PyTypeObject *type;
    Py_ssize_t size;
    PyObject *keys;  /* of a dict, sorted; the names of fields; else null */
    PyObject *order; /* of a dict, the positions of its keys in their order; else null */
} Token;

/* A structure in depth-first order. */
typedef struct {
    Py_ssize_t count;
    Py_ssize_t leaves;
    Py_ssize_t depth; /* entries of the stack that a walk needs */
    Token *tokens;
} Nest;

/* From a tuple (tokens, orders): the tokens of nets.frontend.pytree, and a tuple of positions per
 * dict. `is_built`: is it put together, too? Returns -1 with an exception. */
int nest_init(Nest *nest, PyObject *structure, int is_built);
void nest_clear(Nest *nest);
int nest_visit(Nest *nest, visitproc visit, void *arg);

/* Takes `root` apart; the caller owns the leaves. Leaves null behind unless HIT. */
Outcome nest_flatten(const Nest *nest, PyObject *root, PyObject **leaves, PyObject **stack);

/* Puts leaves together, whose references it takes. Null with an exception. */
PyObject *nest_build(const Nest *nest, PyObject **leaves, PyObject **stack);

/* ---- record.c ----------------------------------------------------------------------------- */

/* Tells this module the classes of tensors and their values; see nets.frontend.calls.plans. */
PyObject *record_configure(PyObject *module, PyObject *args, PyObject *kwargs);

/* Is there what a trace needs to know, and is this thread outside every trace? */
int outside_traces(void);

/* Is it a type that values have? */
int is_tensor_type(PyObject *x);

/* Does this thread record operations? -1 with an exception. */
int is_recording(void);

/* If `x` is an eager tensor of that weakness: its elements, owned, and whether it requires a
 * gradient. Else null, without exception. */
PyObject *tensor_array(PyObject *x, int weak, int *requires_grad);
int is_tensor(PyObject *x);

/* A NumPy array, or the elements of a tensor, which are one in all but their errors. */
int is_plain_array(PyObject *x);

/* Is the tensor a view, which keeps no value in its slot? */
int is_view(PyObject *tensor);

/* Where the elements of a tensor, or those of its gradient, are kept. */
typedef enum { ELEMENTS, GRADIENT } Part;

/* The value of an eager tensor, borrowed; null for another one. */
PyObject *tensor_value(PyObject *tensor);

/* The array of a part of a value, borrowed: null while a call updates it, None for a gradient of
 * zeros. part_put puts an array there, whose reference it takes; -1 with an exception where there
 * is no memory for the place of a first gradient. */
PyObject *part_get(PyObject *value, Part part);
int part_put(PyObject *value, Part part, PyObject *array);

/* The object that has the slot of a part, borrowed; null for a gradient that has no place yet. */
PyObject *part_owner(PyObject *value, Part part);

/* Gives a tensor other elements; who holds its value keeps the old ones. Takes the reference of
 * the array. Returns -1 with an exception. */
int tensor_assign(PyObject *tensor, PyObject *array);

/* Takes the value of a tensor that has been given away. */
void tensor_consume(PyObject *tensor);

/* A type with another shape, whose reference it takes. Runs no Python code. Null with an
 * exception. */
PyObject *tensor_type_new(PyObject *like, PyObject *shape);

/* A tensor of an array, whose reference it takes. Null with an exception. */
PyObject *tensor_new(PyObject *array, PyObject *type);

/* The plans of a traced function, borrowed; null if there are none. */
PyObject *plans_of(PyObject *function);

/* ---- guards.c ----------------------------------------------------------------------------- */

extern PyTypeObject Guards_Type;

/* Does every place still hold what it did? Without exception. */
int guards_hold(PyObject *guards);

/* ---- plan.c ------------------------------------------------------------------------------- */

extern PyTypeObject Plan_Type;

/* The result of the traced function for these arguments. */
Outcome plan_run(PyObject *plan, PyObject *args, PyObject **result);

/* For Python: what a slot holds whose array a call has taken, if that is not to be waited for. */
PyObject *plan_taken(PyObject *module, PyObject *holder);

#endif
