"""A user's own piece, named in the job file as `package.module:Name`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from agent.errors import JobFileError


def load_named(name: str, key: str) -> Any:
    """The object `Name` of `package.module`; the working folder is searched too, as `python -m` would.

    Raises JobFileError that names `key` of the job file. An error inside the module itself keeps its traceback.
    """
    module_name, _, attribute = name.partition(":")
    if not attribute or not all(part.isidentifier() for part in module_name.split(".")):
        raise JobFileError("job", [(0, f"`{key}`: {name!r} is no package.module:Name")])
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            said = f"`{key}`: no module {module_name!r} in {here} or among the installed packages"
            raise JobFileError("job", [(0, said)]) from None
        raise
    if not hasattr(module, attribute):
        raise JobFileError("job", [(0, f"`{key}`: module {module_name!r} has no {attribute!r}")])
    return getattr(module, attribute)
