"""Rust: a module of safe functions over slices that allocates nothing and needs ``core`` alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nets.backend.library.callers.description import Buffer, Description, Function
from nets.backend.library.callers.files import Files
from nets.backend.library.callers.names import free_name, free_names, quoted
from nets.backend.library.callers.sizes import Words, spelled
from nets.backend.library.manifest import Member
from nets.backend.printing import DTYPE_NUMBERS
from nets.machine.machine import ALIGNMENT

_KEYWORDS: Final = """
Self abstract as async await become box break const continue crate do dyn else enum extern false
final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self
static struct super trait true try type typeof unsafe unsized use virtual where while yield
"""
_TAKEN: Final = (*_KEYWORDS.split(), "None", "Some", "Ok", "Err", "set_print", "_")
"""No name of a function or a buffer: keywords, and what patterns take for something else."""


def rust(library: Description, files: Files) -> dict[str, str]:
    """The module ``NAME.rs``, whose name can stand behind ``mod``."""
    special = ("lib", "main", "mod", "build")  # the roots of crates, and programs of cargo
    name = free_name(library.name, (*_KEYWORDS.split(), *special))
    return {f"{name}.rs": _module(library, files)}


def _module(library: Description, files: Files) -> str:
    names = free_names([function.name for function in library.functions], _TAKEN)
    functions = [_function(*x) for x in zip(names, library.functions, strict=True)]
    functions += [_twin(names, *x) for x in zip(names, library.functions, strict=True) if x[1].twin]
    functions += [_blocks_function(names, *x) for x in zip(names, library.functions, strict=True)]
    return f"""\
//! {library.name}: {", ".join(names)}. Made by nets {library.nets_version}.
//!
//! Declare it with `mod`, in a crate with or without `std`, of Rust 1.82 or later, and let the
//! linker find {_linked(files)} with `-L` or `cargo:rustc-link-search`. Arrays are slices in
//! row-major order, whose lengths are looked at first. The workspace is memory for the length of a
//! call, for each thread its own: [`Block::MOST`] blocks are enough for every function.
#![allow(dead_code, non_snake_case, clippy::all, clippy::pedantic)]

{_SUPPORT.format(most=-(-library.most_workspace // ALIGNMENT), alignment=ALIGNMENT)}
{_PARALLEL_FOR if library.threads else ""}{_state(library)}\
{_PRINTER.replace("LIBRARY", library.name) if library.prints else ""}\
{"".join(functions)}
mod ffi {{
    {_link(files)}
    unsafe extern "C" {{
        pub fn {library.name}_status_message(status: i32) -> *const core::ffi::c_char;
{_state_declarations(library)}{"".join(_declaration(f) for f in library.functions)}\
    }}
}}

{_DETAIL.replace("LIBRARY", library.name)}{_SHARING if library.threads else ""}"""


def _linked(files: Files) -> str:
    return files.archive if files.is_static else files.shared


def _link(files: Files) -> str:
    kind = "static" if files.is_static else "dylib"
    if files.prefix == "lib":
        return f'#[link(name = {quoted(files.stem)}, kind = "{kind}")]'
    return f'#[link(name = {quoted(_linked(files))}, kind = "{kind}", modifiers = "+verbatim")]'


_SUPPORT: Final = """\
/// A part of a workspace, at an address that is a multiple of {alignment}.
#[repr(C, align({alignment}))]
#[derive(Clone, Copy)]
pub struct Block {{
    bytes: [u8; {alignment}],
}}

impl Block {{
    /// To make workspaces of: `[Block::ZERO; Block::MOST]`, or a vector.
    pub const ZERO: Block = Block {{ bytes: [0; {alignment}] }};
    /// How many are enough for every function.
    pub const MOST: usize = {most};
}}

/// Why a function did nothing, or refused a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {{
    /// A slice has another length; nothing was done.
    Length {{ name: &'static str, given: usize, expected: usize }},
    /// A dimension is negative; nothing was done.
    Size {{ name: &'static str, given: i64 }},
    /// The workspace has too few blocks; nothing was done.
    Workspace {{ given: usize, expected: usize }},
    /// The library refused a value; the results are undefined, the state is as it was.
    Status(i32),
}}

impl core::fmt::Display for Error {{
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {{
        match *self {{
            Error::Length {{ name, given, expected }} => {{
                write!(f, "{{name}} has {{given}} elements, not {{expected}}")
            }}
            Error::Size {{ name, given }} => write!(f, "{{name}} is {{given}}"),
            Error::Workspace {{ given, expected }} => {{
                write!(f, "a workspace of {{given}} blocks, but {{expected}} are needed")
            }}
            Error::Status(status) => f.write_str(detail::message(status)),
        }}
    }}
}}

impl core::error::Error for Error {{}}
"""


_DETAIL: Final = """\
mod detail {
    pub fn length(name: &'static str, given: usize, expected: usize) -> Result<(), super::Error> {
        if given == expected {
            Ok(())
        } else {
            Err(super::Error::Length { name, given, expected })
        }
    }

    pub fn size(name: &'static str, given: i64) -> Result<(), super::Error> {
        if given >= 0 {
            Ok(())
        } else {
            Err(super::Error::Size { name, given })
        }
    }

    pub fn workspace(given: usize, expected: usize) -> Result<(), super::Error> {
        if given >= expected {
            Ok(())
        } else {
            Err(super::Error::Workspace { given, expected })
        }
    }

    pub fn status(status: i32) -> Result<(), super::Error> {
        if status == 0 {
            Ok(())
        } else {
            Err(super::Error::Status(status))
        }
    }

    pub fn message(status: i32) -> &'static str {
        let text = unsafe {
            core::ffi::CStr::from_ptr(super::ffi::LIBRARY_status_message(status))
        };
        text.to_str().unwrap_or("")
    }
}
"""

_PARALLEL_FOR: Final = """
/// Lets threads share a loop: gets a function that takes parts of it until none are left, calls
/// that on as many threads as it likes, and returns when all have ended. With `std`:
///
/// ```ignore
/// &|help| std::thread::scope(|threads| {
///     threads.spawn(help);
///     help();
/// })
/// ```
pub type ParallelFor<'a> = &'a dyn Fn(&(dyn Fn() + Sync));
"""

_SHARING: Final = """
mod sharing {
    use core::ffi::c_void;
    use core::sync::atomic::{AtomicUsize, Ordering};

    pub type Part = unsafe extern "C" fn(*mut c_void, i64);
    pub type Caller = unsafe extern "C" fn(*mut c_void, Part, *mut c_void, i64);

    struct Task(*mut c_void);
    unsafe impl Sync for Task {}

    // Each part is taken once, and all of them are, whatever the caller's function does.
    pub unsafe extern "C" fn run(caller: *mut c_void, part: Part, task: *mut c_void, count: i64) {
        let (task, next) = (Task(task), AtomicUsize::new(0));
        let help = || {
            let task = &task;
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= count as usize {
                    return;
                }
                unsafe { part(task.0, i as i64) }
            }
        };
        let caller = unsafe { *caller.cast::<super::ParallelFor<'_>>() };
        caller(&help);
        help();
    }
}
"""

# ----------------------------------------------------------------------------- functions


def _type(dtype: str) -> str:
    return dtype if dtype in ("bool", "f32", "f64") else f"{dtype[0]}{dtype[1:]}"


_WORDS: Final = Words(
    "{}.saturating_add({})",
    "{}.saturating_sub({})",
    "{}.saturating_mul({})",
    "{}.div_euclid({})",
    "{}.min({})",
    "{}i64",
)


def _count(function: Function, buffer: Buffer, dims: Sequence[str]) -> str:
    """The number of elements of a buffer, in Rust."""
    if isinstance(buffer.count, int):
        return str(buffer.count)
    names = dict(zip(function.dims, dims, strict=True))
    return f"{spelled(buffer.count, _WORDS, names)} as usize"


def _blocks(function: Function, dims: Sequence[str], *, is_twin: bool = False) -> str:
    """The number of blocks of its workspace, or of that of its twin."""
    size = function.twin_workspace_bytes if is_twin else function.workspace_bytes
    symbol = function.twin[1] if is_twin else function.workspace_symbol
    if size is not None:
        return str(-(-size // ALIGNMENT))
    return f"unsafe {{ ffi::{symbol}({', '.join(dims)}) }}.div_ceil({ALIGNMENT})"


def _twin(names: Sequence[str], name: str, function: Function) -> str:
    """The function whose loops threads share."""
    return _function(free_name(f"{name}_parallel", names), function, is_twin=True)


def _blocks_function(names: Sequence[str], name: str, function: Function) -> str:
    """A function that tells the blocks of a workspace, where they depend on dimensions."""
    dims = free_names(function.dims, _TAKEN)
    parameters = ", ".join(f"{dim}: i64" for dim in dims)
    own = (False, name, function.workspace_bytes)
    twin = (True, f"{name}_parallel", function.twin_workspace_bytes)
    return "".join(
        f"""
/// How many blocks `{word}` needs.
pub fn {free_name(f"{word}_blocks", names)}({parameters}) -> usize {{
    {_blocks(function, dims, is_twin=is_twin)}
}}
"""
        for is_twin, word, size in (own, twin)
        if size is None
    )


def _function(name: str, function: Function, *, is_twin: bool = False) -> str:
    buffers = function.buffers
    words = free_names([*function.dims, *(buffer.name for buffer in buffers)], _TAKEN)
    dims = words[: len(function.dims)]
    named = list(zip(words[len(dims) :], buffers, strict=True))
    inputs, outputs = named[: len(function.arguments)], named[len(function.arguments) :]
    parameters = [f"{dim}: i64" for dim in dims]
    parameters += [f"state: &{'mut ' if function.updates else ''}State"] * function.uses_state
    parameters += [_parameter(word, a, "") for word, a in inputs]
    parameters += [_parameter(word, a, "mut ") for word, a in outputs]
    parameters += ["workspace: &mut [Block]", *["parallel_for: ParallelFor<'_>"] * is_twin]
    checks = [f'    detail::size("{function.name}: {dim}", {dim})?;\n' for dim in dims]
    checks += [
        f'    detail::length("{function.name}: {a.name}", {word}.len(), '
        f"{_count(function, a, dims)})?;\n"
        for word, a in named
        if not a.is_single
    ]
    checks += [
        f"    detail::workspace(workspace.len(), {_blocks(function, dims, is_twin=is_twin)})?;\n"
    ]
    passed = [*dims, *(["state"] if function.uses_state else [])]
    passed += [f"&{word}" if a.is_single else f"{word}.as_ptr()" for word, a in inputs]
    passed += [word if a.is_single else f"{word}.as_mut_ptr()" for word, a in outputs]
    passed += ["workspace.as_mut_ptr()"]
    passed += ["sharing::run", "(&raw const parallel_for).cast_mut().cast()"] * is_twin
    call = f"ffi::{function.twin[0] if is_twin else function.symbol}({', '.join(passed)})"
    return f"""
/// {function.sentence.replace("[", "&#91;")}
pub fn {name}(
{"".join(f"    {parameter},{chr(10)}" for parameter in parameters)}) -> Result<(), Error> {{
{"".join(checks)}    detail::status(unsafe {{ {call} }})
}}
"""


def _parameter(word: str, buffer: Buffer, mutable: str) -> str:
    element = _type(buffer.dtype)
    if buffer.is_single:
        return f"{word}: {'&mut ' if mutable else ''}{element}"
    return f"{word}: &{mutable}[{element}]"


def _declaration(function: Function) -> str:
    pointers = ["i64"] * len(function.dims)
    pointers += [f"*{'mut' if function.updates else 'const'} super::State"] * function.uses_state
    pointers += [f"*const {_type(a.dtype)}" for a in function.arguments]
    pointers += [f"*mut {_type(a.dtype)}" for a in function.results]
    pointers += ["*mut super::Block"]
    parameters = ", ".join(f"_: {pointer}" for pointer in pointers)
    found = f"        pub fn {function.symbol}({parameters}) -> i32;\n"
    dims = ", ".join("_: i64" for _ in function.dims)
    if function.workspace_bytes is None:
        found += f"        pub fn {function.workspace_symbol}({dims}) -> usize;\n"
    if function.twin_workspace_bytes is None:
        found += f"        pub fn {function.twin[1]}({dims}) -> usize;\n"
    if function.twin:
        sharing = "_: super::sharing::Caller, _: *mut core::ffi::c_void"
        found += f"        pub fn {function.twin[0]}({parameters}, {sharing}) -> i32;\n"
    return found


# --------------------------------------------------------------------------------- state


def _state(library: Description) -> str:
    if not library.state:
        return ""
    names = free_names([member.name for member in library.state], _TAKEN)
    members = zip(names, library.state, strict=True)
    fields = "".join(f"    pub {word}: {_member(member)},\n" for word, member in members)
    return _STATE.format(fields=fields, name=library.name, size=library.state_bytes)


def _member(member: Member) -> str:
    # Bytes that are loaded may be any, which a bool may not.
    element = "u8" if member.dtype == "bool" else _type(member.dtype)
    return f"[{element}; {member.size}]" if member.shape else element


def _state_declarations(library: Description) -> str:
    rows: Sequence[tuple[str, str]] = (
        ("init_state", "_: *mut super::State"),
        ("save_state", "_: *const super::State, _: *mut u8"),
        ("load_state", "_: *mut super::State, _: *const u8"),
    )
    found = [
        f"        pub fn {library.name}_{word}({parameters}) -> i32;\n"
        for word, parameters in (rows if library.state else ())
    ]
    if library.prints:
        found += [
            f"        pub fn {library.name}_set_print("
            "_: Option<super::RawPrinter>, _: *mut core::ffi::c_void);\n"
        ]
    return "".join(found)


_STATE: Final = """
/// What the functions share; its members may be set between calls.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct State {{
{fields}}}

const _: () = assert!(core::mem::size_of::<State>() == State::BYTES);

impl State {{
    /// The length of a saved state.
    pub const BYTES: usize = {size};

    /// The state at the time of the export.
    pub fn new() -> Result<State, Error> {{
        let mut state: State = unsafe {{ core::mem::zeroed() }};
        state.init()?;
        Ok(state)
    }}

    /// Back to the state at the time of the export.
    pub fn init(&mut self) -> Result<(), Error> {{
        detail::status(unsafe {{ ffi::{name}_init_state(self) }})
    }}

    /// Write the state to that many bytes, in the form that C programs save it.
    pub fn save(&self, bytes: &mut [u8]) -> Result<(), Error> {{
        detail::length("a saved state", bytes.len(), State::BYTES)?;
        detail::status(unsafe {{ ffi::{name}_save_state(self, bytes.as_mut_ptr()) }})
    }}

    /// Take a saved state.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), Error> {{
        detail::length("a saved state", bytes.len(), State::BYTES)?;
        detail::status(unsafe {{ ffi::{name}_load_state(self, bytes.as_ptr()) }})
    }}
}}
"""

# -------------------------------------------------------------------------------- prints

_ARMS: Final = "".join(
    f"                {number} => Elements::{dtype.capitalize()}(slice(self.data, size)),\n"
    for dtype, number in DTYPE_NUMBERS.items()
)
_VARIANTS: Final = "".join(
    f"    {dtype.capitalize()}(&'a [{_type(dtype)}]),\n" for dtype in DTYPE_NUMBERS
)

_PRINTER: Final = f"""
/// The elements of a printed value.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {{
{_VARIANTS}}}

/// A printed value, there for the length of the call.
#[repr(C)]
pub struct Printed {{
    dtype: i32,
    rank: i32,
    shape: *const i64,
    data: *const core::ffi::c_void,
}}

impl Printed {{
    pub fn shape(&self) -> &[i64] {{
        if self.rank == 0 {{
            return &[];
        }}
        unsafe {{ core::slice::from_raw_parts(self.shape, self.rank as usize) }}
    }}

    pub fn elements(&self) -> Elements<'_> {{
        unsafe fn slice<'a, T>(data: *const core::ffi::c_void, size: usize) -> &'a [T] {{
            if size == 0 {{
                return &[];
            }}
            unsafe {{ core::slice::from_raw_parts(data.cast(), size) }}
        }}
        let size = self.shape().iter().product::<i64>() as usize;
        unsafe {{
            match self.dtype {{
{_ARMS}                _ => Elements::U8(&[]),
            }}
        }}
    }}
}}

/// Called where a function prints: the number of the site, its text with the fields of Python's
/// `str.format`, and the values.
pub type Printer = fn(site: i32, text: &str, values: &[Printed]);

type RawPrinter = unsafe extern "C" fn(
    *mut core::ffi::c_void,
    i32,
    *const core::ffi::c_char,
    i32,
    *const Printed,
);

/// Let functions call `printer` where they print; `None` for nothing.
///
/// # Safety
///
/// No call of the library may be running.
pub unsafe fn set_print(printer: Option<Printer>) {{
    unsafe extern "C" fn print(
        user: *mut core::ffi::c_void,
        site: i32,
        text: *const core::ffi::c_char,
        count: i32,
        values: *const Printed,
    ) {{
        let printer: Printer = unsafe {{ core::mem::transmute(user) }};
        let text = unsafe {{ core::ffi::CStr::from_ptr(text) }}.to_str().unwrap_or("");
        let values = match count {{
            0 => &[],
            _ => unsafe {{ core::slice::from_raw_parts(values, count as usize) }},
        }};
        printer(site, text, values)
    }}

    match printer {{
        None => unsafe {{ ffi::LIBRARY_set_print(None, core::ptr::null_mut()) }},
        Some(printer) => unsafe {{ ffi::LIBRARY_set_print(Some(print), printer as *mut _) }},
    }}
}}
"""
