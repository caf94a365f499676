"""Where options come from: argv by argparse, the environment, `gomr.toml`.

An option is a dataclass field; its metadata holds `description`, `group`, `inline`, `metavar`,
`short` and `check` (raises ValueError or UsageError for a value that is not allowed).
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from gomr_runtime.errors import UsageError, one_line
from gomr_runtime.system import compiled
from gomr_runtime.system.settings import (
    SETTINGS,
    check_s3_table,
    near_name,
    read_file,
    variables,
)
from gomr_runtime.system.streams import answer
from gomr_runtime.version import __version__

Option = dataclasses.Field[Any]

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are UsageErrors, and that knows the options of the other commands."""

    command = ""  # what errors begin with
    elsewhere: Mapping[str, str] = {}  # the command that takes an option which this one does not

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.command}{message} (see --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        answer(message.rstrip("\n"))

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        given, left = self.parse_known_args(args, namespace)
        if left:
            self.error(self._unexpected(left))
        return given

    def _unexpected(self, left: list[str]) -> str:
        """What is said of arguments that nobody takes."""
        flags = [word.partition("=")[0] for word in left if word.startswith("-") and word != "-"]
        if not flags and "--input" not in self._option_string_actions:
            return f"unexpected argument {left[0]}"
        if not flags:
            return (
                f"unexpected argument {left[0]}: one --input takes one path; repeat --input, or "
                "quote a pattern so that the shell does not expand it"
            )
        if flags[0] in self.elsewhere:
            return f"{flags[0]} is an option of `{self.elsewhere[flags[0]]}`"
        known = [name for name in self._option_string_actions if name.startswith("--")]
        near = near_name(flags[0].lstrip("-"), [name[2:] for name in known])
        return f"there is no option {flags[0]}" + (f": did you mean --{near}?" if near else "")


_EPILOG = """\
Every option can also be set as GOMR_<NAME> in the environment or as name = value in ./gomr.toml.
Progress goes to stderr, results to stdout.
Exit codes: 0 ok, 1 the job failed, 2 usage, 3 environment, 4 deadline, 5 run id or output in use,
129, 130 and 143 ended by a signal."""
_IN_PROCESS = """\
Run a MapReduce job in this one process, where a debugger stops in your code and prints are seen.
With --workers N it runs in N worker processes of this machine instead, which survive what your code
does to them and whose data is kept for --resume."""
_CLEAN = "\nclean up:  python -m flows.gomr clean [--all]\n"


def build_parser(fields: Iterable[Option], inline: bool) -> Parser:
    """The parser of `python worker.py` (inline) or `python -m flows.gomr`; defaults are absent."""
    parser = Parser(
        prog=one_line(Path(sys.argv[0]).name) if inline else "python -m flows.gomr",
        usage="%(prog)s --input PATH [options]" + ("" if inline else " WORKER.py"),
        description=_IN_PROCESS if inline else "Run a MapReduce job.",
        epilog=_EPILOG if inline else _EPILOG + _CLEAN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=_installed(), help="say what is installed and exit"
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in fields:
        if option.name == "worker":
            parser.add_argument(
                "worker", metavar="WORKER.py", nargs="?", help=option.metadata["description"]
            )
            continue
        name = option.metadata["group"]
        if name not in groups:
            groups[name] = parser.add_argument_group(name)
        add_argument(groups[name], option)
    return parser


def _installed() -> str:
    """All that decides about behaviour and speed."""
    part = "with" if compiled.native else "without"
    python = ".".join(str(number) for number in sys.version_info[:3])
    return f"gomr {__version__} ({part} its compiled part), Python {python}"


def add_argument(group: argparse._ActionsContainer, option: Option) -> None:
    """Let a parser, or a group of one, take the option; it has no default there."""
    flags = [s for s in (option.metadata["short"], flag(option)) if s]
    description = option.metadata["description"]
    if isinstance(option.default, bool):
        action = "store_false" if option.default else "store_true"
        told = option.metadata["off"] if option.default else description
        group.add_argument(*flags, dest=option.name, action=action, help=told)
        return
    if option.default not in {dataclasses.MISSING, None, "", 0}:
        description += f" (default: {option.default})"
    group.add_argument(
        *flags,
        dest=option.name,
        action=_Collect if option.name in {"input", "param"} else "store",
        type=_argument_type(option),
        choices=_choices(option) or None,
        metavar=option.metadata["metavar"] or (None if _choices(option) else "N"),
        help=description,
    )


class _Collect(argparse.Action):
    """A repeatable option: tuples are joined, dicts are merged."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest, None)
        if isinstance(values, dict):
            setattr(namespace, self.dest, (before or {}) | values)
        else:
            setattr(namespace, self.dest, (before or ()) + values)


def _argument_type(option: Option) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            value = (text,) if option.name == "input" else _from_text(option, text)
            check_value(option, value)
        except (ValueError, UsageError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return value

    return convert


def read_environment(
    fields: Iterable[Option], known: Iterable[str] = (), environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Read the options that are set as `GOMR_<NAME>`; lists are split as a shell would.

    Args:
        fields: The options to look for.
        known: Further names that are allowed and passed over.
        environ: The variables, by default those of this process.

    Returns:
        The value of each option that is set, by the option's name.

    Raises:
        UsageError: A variable looks like an option but is in neither `fields` nor `known`.
    """
    given = list(fields)
    environ = variables() if environ is None else environ
    _check_variables(environ, [*(option.name for option in given), *known])
    found = {}
    for option in given:
        name, variable = option.name, f"GOMR_{option.name.upper()}"
        text = environ.get(variable, "")
        if text:
            try:
                found[name] = _from_text(option, text)
                check_value(option, found[name])
            except (ValueError, UsageError) as error:
                raise UsageError(f"environment variable {variable}: {error}") from None
    return found


def _check_variables(environ: Mapping[str, str], options: Iterable[str]) -> None:
    """A variable of nobody is nobody's business, except where it is one of ours misspelt."""
    ours = {f"GOMR_{name.upper()}" for name in options}
    ours |= {setting.variable for setting in SETTINGS.values()}
    ours |= {f"{setting.variable}_FILE" for setting in SETTINGS.values() if setting.by_file}
    ours = {name for name in ours if name.startswith("GOMR_")}
    for variable in sorted(environ):
        if not variable.startswith("GOMR_") or variable in ours:
            continue
        near = near_name(variable.removeprefix("GOMR_"), (name[5:] for name in sorted(ours)))
        if near:
            raise UsageError(
                f"environment variable {variable}: nothing reads it: did you mean GOMR_{near}?"
            )


def read_settings(
    path: Path, fields: Iterable[Option], known: Iterable[str] = ()
) -> dict[str, Any]:
    """Read the options that a TOML file sets.

    Args:
        path: The file; without it nothing is set.
        fields: The options to look for.
        known: Further names that are allowed and passed over.

    Returns:
        The value of each option that is set, by the option's name.

    Raises:
        UsageError: A name is in neither `fields` nor `known`. That covers the table `[s3]`, whose
            values are read where the store is opened.
    """
    by_name = {option.name: option for option in fields}
    names = {*by_name, *known}
    found = {}
    for key, value in read_file(path).items():
        name = key.replace("-", "_")
        if name == "s3":
            check_s3_table(path, value)
            continue
        if name not in names:
            near = near_name(name, sorted(names)).replace("_", "-" if "-" in key else "_")
            raise UsageError(
                f"{path}: there is no option {key!r}"
                + (f": did you mean {near!r}?" if near else "")
            )
        if name in by_name:
            try:
                found[name] = _from_setting(by_name[name], value)
                check_value(by_name[name], found[name])
            except (ValueError, UsageError) as error:
                raise UsageError(f"{path}: {key}: {error}") from None
    return found


def _from_text(option: Option, text: str) -> Any:
    if option.name == "input":
        return tuple(shlex.split(text))
    if option.name == "param":
        return dict(_pair(word) for word in ([text] if "=" in text else shlex.split(text)))
    if isinstance(option.default, bool):
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError(f"{text!r} is neither true nor false")
        return is_true(text)
    if "ge" in option.metadata:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            option.metadata["check"](text)
        return int(text)
    return text


def is_true(text: str) -> bool:
    """Whether the text of a variable stands for true."""
    return text.lower() in _TRUE


def _from_setting(option: Option, value: Any) -> Any:
    """A value from TOML, where a list, a table or a bare number may stand for the text."""
    if option.name == "param" and isinstance(value, dict):
        return {name: str(item) for name, item in value.items()}
    if option.name == "input":
        return tuple([value] if isinstance(value, str) else value)
    if isinstance(option.default, str) and type(value) in {int, float}:
        return str(value)
    return value


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    return name, value


def check_value(option: Option, value: Any) -> None:
    """ValueError or UsageError when `option` cannot have `value`, by type, choices or bounds."""
    if value == option.default and type(value) is type(option.default):
        return
    expected = _python_type(option)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        if option.metadata["check"] and expected is int:
            option.metadata["check"](value)
        raise ValueError(f"{value!r} should be {expected.__name__}")
    if isinstance(value, tuple) and not all(isinstance(item, str) for item in value):
        raise ValueError(f"{value!r} should be a list of strings")
    if choices := _choices(option):
        if value not in choices:
            raise ValueError(f"{value!r} is none of {', '.join(choices)}")
    elif option.metadata["check"]:
        option.metadata["check"](value)


def _python_type(option: Option) -> type:
    if "ge" in option.metadata:
        return int
    if option.name == "input":
        return tuple
    if option.name == "param":
        return dict
    return bool if isinstance(option.default, bool) else str


def _choices(option: Option) -> tuple[str, ...]:
    found: tuple[str, ...] = option.metadata["choices"]
    return found


def flag(option: Option) -> str:
    """How the option is written on the command line: `--max-record`."""
    if option.name == "worker":
        return "WORKER.py"
    return ("--no-" if option.default is True else "--") + option.name.replace("_", "-")
