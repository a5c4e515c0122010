/* Plan: one signature of a traced function, from a tuple of arguments to its result.
 *
 * A plan answers only calls whose every detail it has checked: structure and classes of the
 * containers, class, dtype, shape and layout of each leaf, the guards and forms of the captured
 * tensors, and that nothing has to be recorded for a gradient.
 */
#include "dispatch.h"

#include <unistd.h>

/* What stands where an input of the code comes from: see PlanInput in nets.frontend.calls.plans. */
typedef enum { IS_WEAK, IS_DONATED, IS_GRADIENT, IS_REQUIRED, FLAGS } Flag;

static const char *const input_names[] = {"source", "weak", "donated", "gradient", "required", NULL};

typedef struct {
    PyObject *source; /* the captured tensor or NumPy array; null for a leaf of the arguments */
    char flags[FLAGS];
    Py_ssize_t update; /* the output in its place, or -1 */
} Input;

typedef struct {
    PyObject_HEAD
    NativeCode *code;
    PyObject *failure;  /* gives the exception for a status */
    Nest arguments;     /* the structure of the tuple of arguments */
    Input *inputs;      /* the leaves of the arguments, then what is captured */
    PyObject *cleared;  /* tensors whose gradient is cleared by a call */
    PyObject *guards;
    Nest results;
    PyObject *types;    /* the type of each result, for any sizes of a call */
    PyObject *of_sizes; /* those of the sizes of the latest call; null where calls tell none */
    int64_t *latest;    /* these sizes */
    int changes;        /* something is updated, cleared or given away */
    int detached;       /* results take no part in gradients whatever the arguments are */
    Py_ssize_t words;   /* of the memory that a call needs; 0 until the plan is made */
} Plan;

/* The memory of one call. */
typedef struct {
    PyObject **stack;
    PyObject **inputs;  /* what the buffers of the inputs belong to, owned */
    PyObject **outputs; /* owned */
    void **buffers;
    PyObject **holders; /* the values whose array the call has taken out meanwhile, owned */
    PyObject **donors;  /* the tensors that are given away, owned */
    union {
        npy_bool boolean;
        npy_int64 integer;
        double real;
        void *word;
    } *numbers; /* the elements of Python and NumPy scalars */
    int64_t *sizes; /* of the dimensions, which the call tells */
} Frame;

enum { WORDS_ON_STACK = 384 };

/* A call that has taken arrays out of the values that hold them. */
typedef struct Call {
    const Plan *plan;
    const Frame *frame;
    unsigned long thread;
    pid_t process;
    struct Call *outer;
} Call;

static Call *calls; /* those under way in all threads, the latest first */

/* ---- leaves -------------------------------------------------------------------------------- */

static int read_python_number(PyObject *x, int type_num, void *to) {
    if (PyFloat_CheckExact(x) && type_num == NPY_DOUBLE) {
        *(double *)to = PyFloat_AS_DOUBLE(x);
        return 1;
    }
    if (PyBool_Check(x) && type_num == NPY_BOOL) {
        *(npy_bool *)to = x == Py_True;
        return 1;
    }
    if (PyLong_CheckExact(x) && type_num == NPY_INT64) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(x, &overflow);
        *(npy_int64 *)to = value;
        return !overflow;
    }
    return 0;
}

/* A number: its element is copied. */
static int read_number(PyObject *x, const Form *form, int weak, void *to) {
    if (form->ndim != 0) {
        return 0;
    }
    if (weak) {
        return read_python_number(x, form->descr->type_num, to);
    }
    if (Py_TYPE(x) != form->descr->typeobj || PyDataType_ELSIZE(form->descr) > 8) {
        return 0;
    }
    PyArray_ScalarAsCtype(x, to);
    return 1;
}

/* Input number i, whose place holds a tensor: the gradient of that, zeros if it has none yet. */
static int read_gradient(const Plan *plan, Frame *frame, Py_ssize_t i) {
    const Form *form = &plan->code->forms[i];
    PyObject *value = tensor_value(frame->inputs[i]);
    PyObject *array = value == NULL ? NULL : Py_XNewRef(part_get(value, GRADIENT));
    if (array == Py_None) {
        Py_DECREF(array);
        Py_INCREF(form->descr); /* taken by the new array */
        array = PyArray_Zeros(form->ndim, form->dims, form->descr, 0);
        PyErr_Clear();
    }
    if (array == NULL) {
        return 0;
    }
    Py_SETREF(frame->inputs[i], array);
    if (!PyArray_Check(array) || !form_fits(form, (PyArrayObject *)array)) {
        return 0;
    }
    frame->buffers[i] = PyArray_DATA((PyArrayObject *)array);
    return 1;
}

/* Input number i for the object in its place, which is replaced by what keeps the elements. */
static int read_leaf(const Plan *plan, Frame *frame, Py_ssize_t i, int *requires_grad) {
    PyObject *x = frame->inputs[i];
    const Form *form = &plan->code->forms[i];
    int weak = plan->inputs[i].flags[IS_WEAK];
    if (is_tensor(x)) {
        if (plan->inputs[i].flags[IS_DONATED] && is_view(x)) {
            return 0; /* Python knows what a view has to give away */
        }
        PyObject *array = tensor_array(x, weak, requires_grad);
        if (array == NULL) {
            return 0;
        }
        frame->inputs[i] = array;
        if (plan->inputs[i].flags[IS_DONATED]) {
            frame->donors[i] = x;
        } else {
            Py_DECREF(x);
        }
        x = array;
    } else if (!is_plain_array(x)) {
        frame->buffers[i] = &frame->numbers[i];
        return read_number(x, form, weak, frame->buffers[i]);
    } else if (weak) {
        return 0;
    }
    frame->buffers[i] = PyArray_DATA((PyArrayObject *)x);
    return PyArray_Check(x) && form_fits(form, (PyArrayObject *)x);
}

/* Which part of its tensor an input is. */
static Part part_of(const Plan *plan, Py_ssize_t i) {
    return plan->inputs[i].flags[IS_GRADIENT] ? GRADIENT : ELEMENTS;
}

static PyObject *tensor_of(const Plan *plan, const Frame *frame, Py_ssize_t i) {
    PyObject *source = plan->inputs[i].source;
    return source == NULL ? frame->donors[i] : source;
}

/* A function that differentiates itself was traced for the tensors that required a gradient. */
static int is_required_as_before(const Plan *plan, Py_ssize_t i, int requires) {
    const Input *input = &plan->inputs[i];
    return !plan->detached || input->source == NULL || input->flags[IS_GRADIENT] ||
           requires == input->flags[IS_REQUIRED];
}

/* All inputs: the leaves of the arguments, and the captured tensors. */
static Outcome read_inputs(const Plan *plan, Frame *frame, PyObject *args) {
    int requires_grad = 0;
    if (!guards_hold(plan->guards) ||
        nest_flatten(&plan->arguments, args, frame->inputs, frame->stack) != HIT) {
        return MISS;
    }
    for (Py_ssize_t i = plan->arguments.leaves; i < plan->code->inputs; i++) {
        frame->inputs[i] = Py_NewRef(plan->inputs[i].source);
    }
    for (Py_ssize_t i = 0; i < plan->code->inputs; i++) {
        int requires = 0;
        int is_read = part_of(plan, i) == GRADIENT ? read_gradient(plan, frame, i)
                                                   : read_leaf(plan, frame, i, &requires);
        if (!is_read || !is_required_as_before(plan, i, requires)) {
            return MISS;
        }
        requires_grad |= requires;
    }
    if (plan->code->dims > 0 && !sizes_told(plan->code, frame->inputs, frame->sizes)) {
        return MISS;
    }
    if (!requires_grad || plan->detached) {
        return HIT;
    }
    int recording = is_recording();
    return recording < 0 ? FAILED : recording ? MISS : HIT;
}

/* ---- a call -------------------------------------------------------------------------------- */

static void set_failure(const Plan *plan, int32_t status) {
    PyObject *error = PyObject_CallFunction(plan->failure, "i", (int)status);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
}

/* Before a call that updates inputs in place: takes their arrays out of the values that hold them,
 * where nobody else does. While they are gone, who wants to read them waits (Variable.__getattr__).
 * Nothing here runs Python code, so that no other thread comes between the test and the taking. */
static void take_updated(const Plan *plan, Frame *frame) {
    for (Py_ssize_t i = 0; i < plan->code->inputs; i++) {
        Py_ssize_t output = plan->inputs[i].update;
        PyObject *tensor = output < 0 ? NULL : tensor_of(plan, frame, i);
        PyObject *value = tensor == NULL ? NULL : tensor_value(tensor);
        if (value == NULL) {
            continue;
        }
        /* Not held is a gradient of zeros that read_gradient has made. */
        int is_held = part_get(value, part_of(plan, i)) == frame->inputs[i];
        if (array_is_alone(frame->inputs[i], is_held ? 2 : 1) &&
            (!is_held || Py_REFCNT(value) == 1)) {
            frame->outputs[output] = frame->inputs[i];
            frame->holders[i] = is_held ? value : NULL;
        }
    }
    /* References change only now, when all have been counted. */
    for (Py_ssize_t i = 0; i < plan->code->inputs; i++) {
        if (plan->inputs[i].update >= 0) {
            Py_XINCREF(frame->outputs[plan->inputs[i].update]);
        }
        if (frame->holders[i] != NULL) {
            Py_INCREF(frame->holders[i]);
            part_put(frame->holders[i], part_of(plan, i), NULL);
        }
    }
}

static void call_begin(Call *call, const Plan *plan, const Frame *frame) {
    *call = (Call){plan, frame, PyThread_get_thread_ident(), getpid(), calls};
    calls = call;
}

static void call_end(const Call *call) {
    Call **link = &calls;
    while (*link != call) {
        link = &(*link)->outer;
    }
    *link = call->outer;
}

/* A signal's handler may run on top of a call of its own thread, and must not wait for that: native
 * code has not written to the array yet, or no handler would run (nets_commit). In a forked child
 * there is nobody to wait for. */
static PyObject *taken_from(const Call *call, PyObject *holder) {
    for (Py_ssize_t i = 0; i < call->plan->code->inputs; i++) {
        PyObject *value = call->frame->holders[i];
        if (value == NULL || part_owner(value, part_of(call->plan, i)) != holder) {
            continue;
        }
        if (call->thread == PyThread_get_thread_ident()) {
            return PyArray_NewCopy((PyArrayObject *)call->frame->inputs[i], NPY_CORDER);
        }
        return Py_NewRef(call->process == getpid() ? Py_None : Py_False);
    }
    return NULL;
}

PyObject *plan_taken(PyObject *Py_UNUSED(module), PyObject *holder) {
    for (const Call *call = calls; call != NULL; call = call->outer) {
        PyObject *found = taken_from(call, holder);
        if (found != NULL || PyErr_Occurred()) {
            return found;
        }
    }
    Py_RETURN_NONE;
}

/* Puts back the arrays that were taken; those of tensors that have been given away are gone. */
static void put_back(const Plan *plan, Frame *frame, int is_done) {
    for (Py_ssize_t i = 0; i < plan->code->inputs; i++) {
        if (frame->holders[i] != NULL) {
            int is_gone = is_done && i < plan->arguments.leaves;
            part_put(frame->holders[i], part_of(plan, i),
                     Py_NewRef(is_gone ? Py_None : frame->inputs[i]));
        }
    }
}

/* Gives the other updated tensors, or their gradients, the arrays that were made for them. */
static int assign_part(const Plan *plan, Frame *frame, Part part) {
    for (Py_ssize_t i = plan->arguments.leaves; i < plan->code->inputs; i++) {
        if (plan->inputs[i].update < 0 || frame->holders[i] != NULL || part_of(plan, i) != part) {
            continue;
        }
        PyObject *array = frame->outputs[plan->inputs[i].update];
        PyObject *tensor = tensor_of(plan, frame, i);
        if (part == ELEMENTS) {
            if (tensor_assign(tensor, Py_NewRef(array)) < 0) {
                return -1;
            }
        } else if (tensor_value(tensor) != NULL &&
                   part_put(tensor_value(tensor), GRADIENT, Py_NewRef(array)) < 0) {
            return -1;
        }
    }
    return 0;
}

/* What the function changed outside itself. Returns -1 with an exception. */
static int write_state(const Plan *plan, Frame *frame) {
    if (!plan->changes) {
        return 0;
    }
    put_back(plan, frame, 1);
    /* Gradients last: they belong to the value a tensor holds. */
    if (assign_part(plan, frame, ELEMENTS) < 0 || assign_part(plan, frame, GRADIENT) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(plan->cleared); i++) {
        PyObject *value = tensor_value(PyTuple_GET_ITEM(plan->cleared, i));
        if (value != NULL && part_get(value, GRADIENT) != Py_None &&
            part_put(value, GRADIENT, Py_NewRef(Py_None)) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < plan->arguments.leaves; i++) {
        if (frame->donors[i] != NULL) {
            tensor_consume(frame->donors[i]);
        }
    }
    return 0;
}

/* The type of a result, of the sizes of a call. */
static PyObject *type_at(PyObject *type, const Form *form, const int64_t *sizes) {
    npy_intp dims[NPY_MAXDIMS];
    Form fixed;
    if (form->counts == NULL) {
        return Py_NewRef(type);
    }
    if (form_at(form, sizes, dims, &fixed) < 0) {
        return NULL;
    }
    PyObject *shape = PyArray_IntTupleFromIntp(fixed.ndim, dims);
    return shape == NULL ? NULL : tensor_type_new(type, shape);
}

/* The types of the results of a call, owned; calls of the same sizes share them. */
static PyObject *types_of(Plan *plan, const int64_t *sizes) {
    const NativeCode *code = plan->code;
    size_t bytes = (size_t)code->dims * sizeof *sizes;
    if (code->dims == 0) {
        return Py_NewRef(plan->types);
    }
    if (plan->of_sizes != NULL && memcmp(plan->latest, sizes, bytes) == 0) {
        return Py_NewRef(plan->of_sizes);
    }
    PyObject *types = PyTuple_New(code->outputs);
    for (Py_ssize_t i = 0; types != NULL && i < code->outputs; i++) {
        PyObject *type = PyTuple_GET_ITEM(plan->types, i);
        PyObject *made = type_at(type, &code->forms[code->inputs + i], sizes);
        if (made == NULL) {
            Py_CLEAR(types);
        } else {
            PyTuple_SET_ITEM(types, i, made);
        }
    }
    if (types != NULL) {
        memcpy(plan->latest, sizes, bytes);
        Py_XSETREF(plan->of_sizes, Py_NewRef(types));
    }
    return types;
}

/* Makes tensors of the results, in their places. Returns -1 with an exception. */
static int make_results(Plan *plan, Frame *frame) {
    PyObject *types = types_of(plan, frame->sizes);
    int failed = types == NULL;
    for (Py_ssize_t i = 0; !failed && i < plan->results.leaves; i++) {
        frame->outputs[i] = tensor_new(frame->outputs[i], PyTuple_GET_ITEM(types, i));
        failed = frame->outputs[i] == NULL;
    }
    Py_XDECREF(types);
    return failed ? -1 : 0;
}

static Outcome run(Plan *plan, Frame *frame, PyObject *args, PyObject **result) {
    Outcome outcome = read_inputs(plan, frame, args);
    if (outcome != HIT) {
        return outcome;
    }
    int32_t status;
    Call call;
    if (plan->changes) {
        take_updated(plan, frame);
        call_begin(&call, plan, frame);
    }
    int failed = native_outputs(plan->code, frame->outputs, frame->buffers, frame->sizes) < 0 ||
                 native_call(plan->code, frame->inputs, frame->outputs, frame->buffers,
                             frame->sizes, &status) < 0;
    if (plan->changes) {
        call_end(&call);
    }
    if (failed) {
        put_back(plan, frame, 0);
        return FAILED;
    }
    if (status != 0) {
        put_back(plan, frame, 0);
        set_failure(plan, status);
        return FAILED;
    }
    if (write_state(plan, frame) < 0 || make_results(plan, frame) < 0) {
        return FAILED;
    }
    *result = nest_build(&plan->results, frame->outputs, frame->stack);
    return *result == NULL ? FAILED : HIT;
}

static Frame frame_in(const Plan *plan, void **memory) {
    Frame frame;
    Py_ssize_t in = plan->code->inputs, out = plan->code->outputs;
    frame.inputs = (PyObject **)memory;
    frame.holders = frame.inputs + in;
    frame.donors = frame.holders + in;
    frame.outputs = frame.donors + in;
    frame.buffers = (void **)(frame.outputs + out);
    frame.numbers = (void *)(frame.buffers + native_buffers(plan->code));
    frame.sizes = (int64_t *)(frame.numbers + in);
    frame.stack = (PyObject **)(frame.sizes + plan->code->dims);
    return frame;
}

Outcome plan_run(PyObject *self, PyObject *args, PyObject **result) {
    Plan *plan = (Plan *)self;
    if (plan->words == 0 || PyTuple_GET_SIZE(args) != plan->arguments.tokens[0].size) {
        return MISS;
    }
    void *on_stack[WORDS_ON_STACK];
    void **memory = on_stack;
    if (plan->words > WORDS_ON_STACK) {
        memory = PyMem_Malloc((size_t)plan->words * sizeof *memory);
        if (memory == NULL) {
            PyErr_NoMemory();
            return FAILED;
        }
    }
    memset(memory, 0, (size_t)plan->words * sizeof *memory);
    Frame frame = frame_in(plan, memory);
    Outcome outcome = run(plan, &frame, args, result);
    for (Py_ssize_t i = 0; i < 3 * plan->code->inputs + plan->code->outputs; i++) {
        Py_XDECREF(frame.inputs[i]); /* holders, donors and outputs follow the inputs */
    }
    if (memory != on_stack) {
        PyMem_Free(memory);
    }
    return outcome;
}

/* ---- making and ending --------------------------------------------------------------------- */

/* An input from the record of its five fields, whose reference to a source it takes. */
static int input_init(Input *input, PyObject *from) {
    input->update = -1;
    if (!PyTuple_Check(from) || PyTuple_GET_SIZE(from) != 1 + FLAGS) {
        PyErr_SetString(PyExc_TypeError, "an input is a record of five fields");
        return -1;
    }
    for (int flag = 0; flag < FLAGS; flag++) {
        PyObject *given = PyTuple_GET_ITEM(from, 1 + flag);
        if (!PyBool_Check(given)) {
            PyErr_Format(PyExc_TypeError, "%s of an input is a bool", input_names[1 + flag]);
            return -1;
        }
        input->flags[flag] = given == Py_True;
    }
    PyObject *source = PyTuple_GET_ITEM(from, 0);
    input->source = source == Py_None ? NULL : Py_NewRef(source);
    return 0;
}

static int inputs_init(Plan *plan, PyObject *inputs) {
    const NativeCode *code = plan->code;
    if (!code->is_ready || PyTuple_GET_SIZE(inputs) != code->inputs) {
        PyErr_SetString(PyExc_ValueError, "a plan has the inputs of its code");
        return -1;
    }
    plan->inputs = PyMem_Calloc((size_t)code->inputs + 1, sizeof *plan->inputs);
    if (plan->inputs == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < code->inputs; i++) {
        if (input_init(&plan->inputs[i], PyTuple_GET_ITEM(inputs, i)) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < code->outputs; i++) {
        if (code->places[i] < code->inputs) {
            plan->inputs[code->places[i]].update = i;
        }
    }
    return 0;
}

/* A leaf of the arguments: what takes its place is a result. */
static int is_leaf(const Plan *plan, const Input *input) {
    return input->source == NULL && !input->flags[IS_GRADIENT] && !input->flags[IS_REQUIRED] &&
           input->update < plan->results.leaves;
}

/* Something captured, of a known size, and what takes its place is no result. Only tensors have
 * gradients, and can take other elements. */
static int is_capture(const Plan *plan, const Input *input) {
    if (input->source == NULL || input->flags[IS_DONATED] ||
        plan->code->forms[input - plan->inputs].counts != NULL ||
        (input->update >= 0 && input->update < plan->results.leaves)) {
        return 0;
    }
    return is_tensor(input->source) || (PyArray_Check(input->source) && input->update < 0 &&
                                        !input->flags[IS_GRADIENT] && !input->flags[IS_WEAK]);
}

/* Do the parts fit together, so that no call reads beyond one of them? */
static int is_consistent(const Plan *plan, PyObject *types) {
    const NativeCode *code = plan->code;
    Py_ssize_t updated = 0; /* outputs that are no results but state */
    for (Py_ssize_t i = 0; i < code->inputs; i++) {
        const Input *input = &plan->inputs[i];
        if (i < plan->arguments.leaves ? !is_leaf(plan, input) : !is_capture(plan, input)) {
            return 0;
        }
        updated += input->source != NULL && input->update >= 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(plan->cleared); i++) {
        if (!is_tensor(PyTuple_GET_ITEM(plan->cleared, i))) {
            return 0;
        }
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(types); i++) {
        if (!is_tensor_type(PyTuple_GET_ITEM(types, i))) {
            return 0;
        }
    }
    return plan->arguments.tokens[0].kind == TUPLE && plan->arguments.leaves <= code->inputs &&
           plan->results.leaves + updated == code->outputs &&
           PyTuple_GET_SIZE(types) == code->outputs && PyCallable_Check(plan->failure);
}

/* The keywords of Plan(…), in the order in which plan_init parses them. */
static char *plan_names[] = {"code",  "failure", "arguments", "inputs",   "cleared",
                             "guards",  "results", "types",     "detached", NULL};

static int plan_init(Plan *plan, PyObject *args, PyObject *kwargs) {
    PyObject *code, *failure, *arguments, *inputs, *cleared, *guards, *results, *types;
    int detached;
    if (plan->code != NULL || !outside_traces()) {
        PyErr_SetString(PyExc_TypeError, "a Plan is made once, after configure");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$O!OO!O!O!O!O!O!p", plan_names, &NativeCode_Type,
                                     &code, &failure, &PyTuple_Type, &arguments, &PyTuple_Type,
                                     &inputs, &PyTuple_Type, &cleared, &Guards_Type, &guards,
                                     &PyTuple_Type, &results, &PyTuple_Type, &types, &detached)) {
        return -1;
    }
    plan->code = (NativeCode *)Py_NewRef(code);
    plan->failure = Py_NewRef(failure);
    plan->cleared = Py_NewRef(cleared);
    plan->guards = Py_NewRef(guards);
    plan->types = Py_NewRef(types);
    plan->detached = detached;
    if (inputs_init(plan, inputs) < 0 || nest_init(&plan->arguments, arguments, 0) < 0 ||
        nest_init(&plan->results, results, 1) < 0) {
        return -1;
    }
    if (!is_consistent(plan, types)) {
        PyErr_SetString(PyExc_ValueError, "the parts of the plan do not fit together");
        return -1;
    }
    Py_ssize_t depth = plan->arguments.depth;
    depth = plan->results.depth > depth ? plan->results.depth : depth;
    plan->changes = PyTuple_GET_SIZE(plan->cleared) > 0;
    for (Py_ssize_t i = 0; i < plan->code->inputs; i++) {
        plan->changes |= plan->inputs[i].update >= 0 || plan->inputs[i].flags[IS_DONATED];
    }
    plan->latest = PyMem_Calloc((size_t)plan->code->dims + 1, sizeof *plan->latest);
    if (plan->latest == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    plan->words = 5 * plan->code->inputs + 2 * plan->code->outputs + 2 + plan->code->dims + depth;
    return 0;
}

int plan_tables(PyObject *tables) {
    return add_table(tables, "plan", (const char *const *)plan_names) < 0 ||
                   add_table(tables, "input", input_names) < 0
               ? -1
               : 0;
}

static int plan_traverse(Plan *plan, visitproc visit, void *arg) {
    Py_VISIT(plan->failure);
    for (Py_ssize_t i = 0; plan->inputs != NULL && i < plan->code->inputs; i++) {
        Py_VISIT(plan->inputs[i].source);
    }
    Py_VISIT(plan->types);
    Py_VISIT(plan->of_sizes);
    Py_VISIT(plan->cleared);
    Py_VISIT(plan->guards);
    int stopped = nest_visit(&plan->arguments, visit, arg);
    return stopped ? stopped : nest_visit(&plan->results, visit, arg);
}

/* No tp_clear: a plan cannot change, since calls may be running in it. Cycles through it also pass
 * through the list of plans of a function, or through its dictionary, which can be cleared. */
static void plan_dealloc(Plan *plan) {
    PyObject_GC_UnTrack(plan);
    for (Py_ssize_t i = 0; plan->inputs != NULL && i < plan->code->inputs; i++) {
        Py_XDECREF(plan->inputs[i].source);
    }
    PyMem_Free(plan->inputs);
    nest_clear(&plan->arguments);
    nest_clear(&plan->results);
    Py_XDECREF(plan->code);
    Py_XDECREF(plan->failure);
    Py_XDECREF(plan->cleared);
    Py_XDECREF(plan->guards);
    Py_XDECREF(plan->types);
    Py_XDECREF(plan->of_sizes);
    PyMem_Free(plan->latest);
    Py_TYPE(plan)->tp_free((PyObject *)plan);
}

PyTypeObject Plan_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "nets._dispatch.Plan",
    .tp_doc = "Plan(*, code, failure, arguments, inputs, cleared, guards, results, types, "
              "detached)\n\nOne signature of a traced function; see nets.frontend.calls.plans.",
    .tp_basicsize = sizeof(Plan),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)plan_init,
    .tp_dealloc = (destructor)plan_dealloc,
    .tp_traverse = (traverseproc)plan_traverse,
};
