"""What build systems find a library by: pkg-config and CMake, from any folder it is copied to."""

from __future__ import annotations

from nets.backend.library.callers.description import Description
from nets.backend.library.callers.files import Files


def pkg_config(library: Description, files: Files) -> dict[str, str]:
    """``NAME.pc``, under the name that the library has in C."""
    name = library.name
    linked = files.shared if "so" in files.formats else files.archive
    return {
        f"{name}.pc": f"""\
prefix=${{pcfiledir}}
archive=${{prefix}}/{_escaped(files.archive)}

Name: {name}
Description: {", ".join(f.name for f in library.functions)}, made by nets {library.nets_version}
Version: {library.abi}
Cflags: -I${{prefix}}
Libs: ${{prefix}}/{_escaped(linked)}
"""
    }


def _escaped(file: str) -> str:
    """A file name as pkg-config reads it: as a shell would, with its own variables."""
    plain = "".join(c if c.isalnum() or c in "._-+" else f"\\{c}" for c in file)
    return plain.replace("$", "$$")


def cmake(library: Description, files: Files) -> dict[str, str]:
    """``NAMEConfig.cmake``, with the targets ``NAME::NAME`` and ``NAME::static``."""
    name = library.name
    shared, archive = f"{name}::{name}", f"{name}::static"
    return {
        f"{name}Config.cmake": f"""\
# {name}::{name}, the shared library, or the static one where that is all there is, and
# {name}::static. Made by nets {library.nets_version}.
set({name}_VERSION {library.abi})
set({name}_FOUND TRUE)
{_target(shared, "SHARED", files.shared)}{_target(archive, "STATIC", files.archive)}\
if(NOT TARGET {shared} AND TARGET {archive})
  add_library({shared} INTERFACE IMPORTED)
  set_target_properties({shared} PROPERTIES INTERFACE_LINK_LIBRARIES {archive})
endif()
if(NOT TARGET {shared})
  set({name}_FOUND FALSE)
  set({name}_NOT_FOUND_MESSAGE "there is no library beside ${{CMAKE_CURRENT_LIST_FILE}}")
endif()
"""
    }


def _target(target: str, kind: str, file: str) -> str:
    """An imported library of a file, if that is there."""
    place = f"${{CMAKE_CURRENT_LIST_DIR}}/{_quoted(file)}"
    return f"""\
if(NOT TARGET {target} AND EXISTS "{place}")
  add_library({target} {kind} IMPORTED)
  set_target_properties({target} PROPERTIES
    IMPORTED_LOCATION "{place}"
    INTERFACE_INCLUDE_DIRECTORIES "${{CMAKE_CURRENT_LIST_DIR}}")
endif()
"""


def _quoted(text: str) -> str:
    return "".join(f"\\{c}" if c in '"\\$' else c for c in text)
