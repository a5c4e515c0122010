"""Go: a package by cgo, whose folder holds the header and the library, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from nets.backend.library.c_header import C_TYPES
from nets.backend.library.callers.description import (
    Buffer,
    Description,
    Function,
    count,
)
from nets.backend.library.callers.files import Files
from nets.backend.library.callers.go_threads import ATOMIC, sharing, sharing_declaration
from nets.backend.library.callers.names import free_name, free_names
from nets.backend.library.callers.sizes import Words, spelled
from nets.backend.library.manifest import Member
from nets.backend.printing import DTYPE_NUMBERS
from nets.machine.machine import ALIGNMENT

_KEYWORDS: Final = """
break case chan const continue default defer else fallthrough for func go goto if import interface
map package range return select struct switch type var
"""
_PREDECLARED: Final = """
any append bool byte cap clear close comparable complex complex128 complex64 copy delete error
false float32 float64 imag int int16 int32 int64 int8 iota len make max min new nil panic print
println real recover rune string true uint uint16 uint32 uint64 uint8 uintptr
"""
_OWN: Final = """
C fmt sync unsafe aligned err failure least length memory pointer quotient reserved result size
state threads times workspaces _
"""
_TAKEN: Final = f"{_KEYWORDS}{_PREDECLARED}{_OWN}".split()
"""No names of parameters: keywords, and what the code of a function uses."""
_EXPORTED: Final = ("C", "Error", "State", "NewState", "SetPrint", "Printed", "SetThreads")
_PACKAGES: Final = (*_KEYWORDS.split(), "main", "documentation", "_")
_SYSTEMS: Final = """
aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris
wasip1 windows zos 386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le
mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm unix test
"""


def go(library: Description, files: Files) -> dict[str, str]:
    """The file ``NAME.go`` of the package."""
    return {go_file(files.stem): _package(library, files)}


def go_file(stem: str) -> str:
    """Its name: one that ends in a system, a processor or ``_test`` would be read by some builds
    alone, and one that begins with ``_`` or a dot by none."""
    stem = f"lib{stem}" if stem[0] in "_." else stem
    ends_otherwise = stem.rpartition("_")[2] in _SYSTEMS.split() and "_" in stem
    return f"{stem}_library.go" if ends_otherwise else f"{stem}.go"


def _package(library: Description, files: Files) -> str:
    name = library.name
    package = free_name(name, _PACKAGES)
    memory = str(library.most_workspace + ALIGNMENT)
    words = [_capital(function.name) for function in library.functions]
    names = free_names(words, (*_EXPORTED, *(f"{word}Results" for word in words)))
    intos = free_names([f"{word}Into" for word in names], (*_EXPORTED, *names))
    results = free_names([f"{word}Results" for word in names], (*_EXPORTED, *names, *intos))
    functions = [
        _function(*parts) for parts in zip(names, intos, results, library.functions, strict=True)
    ]
    return f"""\
// Package {package} calls the library {files.stem}: {", ".join(names)}.
//
// Arrays are slices in row-major order, whose lengths are looked at first. Goroutines may call at
// the same time{", each with a state of its own" if library.state else ""}.
// Made by nets {library.nets_version}, for Go 1.18 and later.
package {package}

/*
#cgo LDFLAGS: {_linked(files)}
#include "{files.header}"
{_print_declaration(library)}{sharing_declaration(library)}*/
import "C"

import (
	"fmt"
	"sync"
{ATOMIC if library.threads else ""}	"unsafe"
)

{_SUPPORT.replace("LIBRARY", name).replace("MEMORY", memory)}\
{sharing(library)}{_state(library)}{_printer(library)}{"".join(functions)}"""


_SUPPORT: Final = """\
// Error is a status other than 0: the library refused a value.
type Error struct {
	Status int32
}

func (e Error) Error() string {
	return C.GoString(C.LIBRARY_status_message(C.int32_t(e.Status)))
}

func failure(status C.int32_t) error {
	if status == 0 {
		return nil
	}
	return Error{int32(status)}
}

func length(name string, given, expected int) error {
	if given == expected {
		return nil
	}
	return fmt.Errorf("%s has %d elements, not %d", name, given, expected)
}

func size(name string, given int64) error {
	if given >= 0 {
		return nil
	}
	return fmt.Errorf("%s is %d", name, given)
}

func times(a, b int64) int64 {
	if a != 0 && a*b/a != b {
		return 1<<63 - 1
	}
	return a * b
}

func quotient(a, b int64) int64 {
	if a%b < 0 {
		return a/b - 1
	}
	return a / b
}

func least(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func pointer[T any](values []T) unsafe.Pointer {
	if len(values) == 0 {
		return nil
	}
	return unsafe.Pointer(&values[0])
}

var workspaces = sync.Pool{New: func() any {
	memory := make([]byte, MEMORY)
	return &memory
}}

func reserved(memory *[]byte, bytes C.size_t) *[]byte {
	if len(*memory) < int(bytes)+64 {
		*memory = make([]byte, int(bytes)+64)
	}
	return memory
}

func aligned(memory *[]byte) unsafe.Pointer {
	start := -uintptr(unsafe.Pointer(&(*memory)[0])) % 64
	return unsafe.Pointer(&(*memory)[start])
}
"""


def _linked(files: Files) -> str:
    if files.is_static:
        return f'"${{SRCDIR}}/{files.archive}"'
    return f'"${{SRCDIR}}/{files.shared}" "-Wl,-rpath,${{SRCDIR}}"'


def _capital(word: str) -> str:
    """``loss_and_grad`` as other packages can use it: ``LossAndGrad``."""
    joined = "".join(part[0].upper() + part[1:] for part in word.split("_") if part)
    return joined if joined[:1].isalpha() else f"X{joined}"


def _type(dtype: str) -> str:
    kinds = {"i": "int", "u": "uint", "f": "float"}
    return dtype if dtype == "bool" else f"{kinds[dtype[0]]}{dtype[1:]}"


# ----------------------------------------------------------------------------- functions

_WORDS: Final = Words(
    "({} + {})", "({} - {})", "times({}, {})", "quotient({}, {})", "least({}, {})"
)

_Named = Sequence[tuple[str, Buffer]]


def _named(buffers: Iterable[Buffer], names: Iterable[str]) -> _Named:
    return list(zip(names, buffers, strict=True))


def _count(function: Function, buffer: Buffer, dims: Sequence[str]) -> str:
    """The number of elements of a buffer, in Go."""
    if isinstance(buffer.count, int):
        return str(buffer.count)
    names = dict(zip(function.dims, dims, strict=True))
    return f"int({spelled(buffer.count, _WORDS, names)})"


def _checks(function: Function, dims: Sequence[str], named: _Named) -> str:
    """What returns an error where a dimension or a length is wrong."""
    found = [f'size("{function.name}: {dim}", {dim})' for dim in dims]
    found += [
        f'length("{function.name}: {a.name}", len({word}), {_count(function, a, dims)})'
        for word, a in named
        if not a.is_single
    ]
    return "".join(
        f"	if err := {check}; err != nil {{\n		return RETURNEDerr\n	}}\n"
        for check in found
    )


def _function(name: str, into: str, results: str, function: Function) -> str:
    """The function that writes to memory of the caller, and the one that returns what it made."""
    words = free_names([*function.dims, *(a.name for a in function.buffers)], _TAKEN)
    dims, named = words[: len(function.dims)], _named(function.buffers, words[len(function.dims) :])
    inputs, outputs = named[: len(function.arguments)], named[len(function.arguments) :]
    if not outputs:
        return _into(name, function, dims, inputs, outputs)
    returned = _returning(name, into, results, function, dims, inputs, outputs)
    return _into(into, function, dims, inputs, outputs) + returned


def _into(
    name: str, function: Function, dims: Sequence[str], inputs: _Named, outputs: _Named
) -> str:
    parameters = _leading(function, dims) + _parameters(inputs)
    parameters += [f"{w} {'*' if a.is_single else '[]'}{_type(a.dtype)}" for w, a in outputs]
    checks = _checks(function, dims, [*inputs, *outputs]).replace("RETURNED", "")
    told = [f"C.int64_t({dim})" for dim in dims]
    passed = [*told, *(["&state.c"] if function.uses_state else [])]
    passed += [_passed(a, f"unsafe.Pointer(&{word})", word) for word, a in inputs]
    passed += [_passed(a, f"unsafe.Pointer({word})", word) for word, a in outputs]
    twin = _twin(function, told, passed) if function.twin else ""
    passed += [_workspace(function.workspace_bytes, function.workspace_symbol, told)]
    return f"""
// {name} calls {function.symbol}, {function.sentence}
func {name}({", ".join(parameters)}) error {{
{checks}	memory := workspaces.Get().(*[]byte)
	defer workspaces.Put(memory)
{twin}	return failure(C.{function.symbol}(
{"".join(f"		{x},{chr(10)}" for x in passed)}	))
}}
"""


def _workspace(size: int | None, symbol: str, told: Sequence[str]) -> str:
    if size is not None:
        return "aligned(memory)"
    return f"aligned(reserved(memory, C.{symbol}({', '.join(told)})))"


def _twin(function: Function, told: Sequence[str], passed: Sequence[str]) -> str:
    """The call of the parallel twin, where goroutines are to share loops."""
    call, workspace_symbol = function.twin
    workspace = _workspace(function.twin_workspace_bytes, workspace_symbol, told)
    given = "".join(f"			{x},\n" for x in [*passed, workspace, "sharing", "nil"])
    return f"""\
	if threads > 1 {{
		return failure(C.{call}(
{given}		))
	}}
"""


def _leading(function: Function, dims: Sequence[str]) -> list[str]:
    """The parameters before those of buffers."""
    return [*(f"{dim} int64" for dim in dims), *["state *State"] * function.uses_state]


def _parameters(named: _Named) -> list[str]:
    return [f"{w} {'' if a.is_single else '[]'}{_type(a.dtype)}" for w, a in named]


def _passed(buffer: Buffer, single: str, word: str) -> str:
    return f"(*C.{C_TYPES[buffer.dtype]})({single if buffer.is_single else f'pointer({word})'})"


def _returning(
    name: str,
    into: str,
    results: str,
    function: Function,
    dims: Sequence[str],
    inputs: _Named,
    outputs: _Named,
) -> str:
    parameters = _leading(function, dims) + _parameters(inputs)
    given = [*dims, *["state"] * function.uses_state, *(word for word, _ in inputs)]
    definition, kind, places = "", _owned(outputs[0][1]), ["result"]
    if len(outputs) > 1:
        members = free_names([_capital(a.name) for a in function.results])
        width = max(map(len, members))
        fields = "".join(
            f"	{member:<{width}} {_owned(a)}\n"
            for member, (_, a) in zip(members, outputs, strict=True)
        )
        definition = (
            f"\n// {results} are the results of {name}.\ntype {results} struct {{\n{fields}}}\n"
        )
        kind, places = results, [f"result.{member}" for member in members]
    made = "".join(
        f"	{place} = make([]{_type(a.dtype)}, {_count(function, a, dims)})\n"
        for place, (_, a) in zip(places, outputs, strict=True)
        if not a.is_single
    )
    if dims:  # an array cannot have whatever size somebody tells
        made = _checks(function, dims, inputs).replace("RETURNED", "result, ") + made
    given += [
        f"&{place}" if a.is_single else place for place, (_, a) in zip(places, outputs, strict=True)
    ]
    return f"""{definition}
// {name} gives what {into} makes.
func {name}({", ".join(parameters)}) ({kind}, error) {{
	var result {kind}
{made}	err := {into}({", ".join(given)})
	return result, err
}}
"""


def _owned(buffer: Buffer) -> str:
    return f"{'' if buffer.is_single else '[]'}{_type(buffer.dtype)}"


# --------------------------------------------------------------------------------- state


def _state(library: Description) -> str:
    if not library.state:
        return ""
    names = free_names(
        [_capital(member.name) for member in library.state], ("Init", "Save", "Load")
    )
    members = [_member(*x) for x in zip(names, library.state, strict=True)]
    return _STATE.replace("LIBRARY", library.name) + "".join(members)


def _member(name: str, member: Member) -> str:
    element = _type(member.dtype)
    place = f"(*{element})(unsafe.Add(unsafe.Pointer(&state.c), {member.offset}))"
    if not member.shape:
        return f"""
// {name} is where a member of the state stands, which may be set between calls.
func (state *State) {name}() *{element} {{
	return {place}
}}
"""
    text = Buffer(member.name, member.dtype, member.shape).text
    return f"""
// {name} is a member of the state, {text}, whose elements may be set between calls.
func (state *State) {name}() []{element} {{
	return unsafe.Slice({place}, {member.size})[:{count(member)}]
}}
"""


_STATE: Final = """
// State is what the functions share.
type State struct {
	c C.LIBRARY_state
}

// NewState gives the state at the time of the export.
func NewState() (*State, error) {
	state := new(State)
	return state, state.Init()
}

// Init goes back to the state at the time of the export.
func (state *State) Init() error {
	return failure(C.LIBRARY_init_state(&state.c))
}

// Save gives the whole state, in the form that C programs save it.
func (state *State) Save() ([]byte, error) {
	saved := make([]byte, C.LIBRARY_state_bytes())
	return saved, failure(C.LIBRARY_save_state(&state.c, pointer(saved)))
}

// Load takes a saved state.
func (state *State) Load(saved []byte) error {
	if err := length("a saved state", len(saved), int(C.LIBRARY_state_bytes())); err != nil {
		return err
	}
	return failure(C.LIBRARY_load_state(&state.c, pointer(saved)))
}
"""

# -------------------------------------------------------------------------------- prints


def _print_declaration(library: Description) -> str:
    if not library.prints:
        return ""
    name = library.name
    return (
        f"extern void nets_go_print_{name}(void *, int32_t, char *, int32_t, {name}_printed *);\n"
    )


def _printer(library: Description) -> str:
    return _PRINTER.replace("LIBRARY", library.name) if library.prints else ""


_CASES: Final = "".join(
    f"""\
	case {number}:
		return append([]{_type(dtype)}{{}}, unsafe.Slice((*{_type(dtype)})(value.data), size)...)
"""
    for dtype, number in DTYPE_NUMBERS.items()
)

_PRINTER: Final = f"""
// Printed is a printed value: its shape, and a slice of its elements.
type Printed struct {{
	Shape    []int64
	Elements any
}}

var printer func(site int, text string, values []Printed)

// SetPrint lets functions call print where they print, with the number of the site, its text with
// the fields of Python's str.format, and the values; nil for nothing. No call may be running.
func SetPrint(print func(site int, text string, values []Printed)) {{
	printer = print
	if print == nil {{
		C.LIBRARY_set_print(nil, nil)
		return
	}}
	C.LIBRARY_set_print(C.LIBRARY_printer(C.nets_go_print_LIBRARY), nil)
}}

//export nets_go_print_LIBRARY
func nets_go_print_LIBRARY(
	user unsafe.Pointer, site C.int32_t, text *C.char, count C.int32_t, values *C.LIBRARY_printed,
) {{
	var found []Printed
	for _, value := range unsafe.Slice(values, int(count)) {{
		var shape []int64
		if value.rank > 0 {{
			shape = append(shape, unsafe.Slice((*int64)(value.shape), int(value.rank))...)
		}}
		found = append(found, Printed{{shape, elements(value, shape)}})
	}}
	printer(int(site), C.GoString(text), found)
}}

func elements(value C.LIBRARY_printed, shape []int64) any {{
	size := 1
	for _, n := range shape {{
		size *= int(n)
	}}
	switch value.dtype {{
{_CASES}	}}
	return nil
}}
"""
