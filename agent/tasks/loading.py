"""A user's own piece, named in the job file as `package.module:Name`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from agent.errors import JobFileError

_FOLDERS: list[str] = []


def look_in(folder: Path) -> None:
    """Search a folder for a user's own modules as well: that of the job file, where every other path begins too."""
    if str(folder) not in _FOLDERS:
        _FOLDERS.append(str(folder))


def load_named(name: str, key: str) -> Any:
    """The object `Name` of `package.module`; the working folder is searched too, as `python -m` would, and after it
    the folders of `look_in`.

    Raises JobFileError that names `key` of the job file. An error inside the module itself keeps its traceback.
    """
    module_name, _, attribute = name.partition(":")
    if not attribute or not all(part.isidentifier() for part in module_name.split(".")):
        raise JobFileError("job", [(0, f"`{key}`: {name!r} is no package.module:Name")])
    here = str(Path.cwd())
    sys.path.extend(place for place in (here, *_FOLDERS) if place not in sys.path)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            places = " or ".join(dict.fromkeys([here, *_FOLDERS]))
            said = f"`{key}`: no module {module_name!r} in {places} or among the installed packages"
            raise JobFileError("job", [(0, said)]) from None
        raise
    if not hasattr(module, attribute):
        raise JobFileError("job", [(0, f"`{key}`: module {module_name!r} has no {attribute!r}")])
    return getattr(module, attribute)
