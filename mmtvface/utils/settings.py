# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Settings as dataclasses: one place for their defaults, help and checks.

A class of settings is a frozen dataclass that derives from :class:`Settings`;
its fields are made by :func:`option`, or are settings themselves. Command
lines (:func:`add_options`, :func:`from_args`) and keyword arguments
(:func:`from_keywords`) are views of it. Nothing heavy is imported, so that
the help of a command is quick.
"""

import argparse
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from numbers import Integral, Real
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin

_KEY = 'option'
_NUMBERS = {int: 'a whole number', float: 'a finite number'}
T = TypeVar('T', bound='Settings')


class Option(NamedTuple):
    """What is known of a setting besides its type and default.

    Attributes:
        help: One sentence without a full stop; what None stands for is in it.
        choices: Names that are allowed; a function where they are registered.
        least: Smallest number that is allowed.
        above: Numbers must be larger than this one.
        below: Numbers must be smaller than this one.
        most: Largest number that is allowed.
        convert: From a name on the command line to the value.
        metavar: What the value is called on the command line.
        nargs: How many values there are, as argparse takes it.
        flag: Name on the command line, if it is another one; what is True
            unless the flag is given has a flag of the opposite meaning.
    """

    help: str
    choices: tuple[str, ...] | Callable[[], tuple[str, ...]] | None = None
    least: float | None = None
    above: float | None = None
    below: float | None = None
    most: float | None = None
    convert: Callable[[str], Any] | None = None
    metavar: str | tuple[str, ...] | None = None
    nargs: int | str | None = None
    flag: str = ''

    @property
    def names(self) -> tuple[str, ...] | None:
        """The choices, () if there are none; None if anything goes."""
        return self.choices() if callable(self.choices) else self.choices

    @property
    def bounds(self) -> str:
        """Words for the numbers that are allowed, '' if all are."""
        words = [] if self.above is None else [f'above {self.above:g}']
        if self.below is not None:
            words.append(f'{"and " * bool(words)}below {self.below:g}')
        if self.least is not None:
            words.append(f'from {self.least:g} '
                         + ('on' if self.most is None else
                            f'to {self.most:g}'))
        elif self.most is not None:
            words.append(f'up to {self.most:g}')
        return ' '.join(words)


def option(default: Any, help: str, **more: Any) -> Any:
    """A field of settings.

    Args:
        default: Of the field; a function makes a new one each time.
        help: See :class:`Option`.
        more: Further entries of :class:`Option`.
    """
    metadata = {_KEY: Option(help, **more)}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Base of settings: every value is checked when they are made.

    The help of the options says what they mean.

    Raises:
        ValueError: If a value is of another type, unknown or out of range.
    """

    def __post_init__(self) -> None:
        for entry in fields(self):
            if _KEY in entry.metadata:
                check_value(entry, getattr(self, entry.name))


def value_types(entry: Field) -> tuple[Any, ...]:
    """Types that a value may have, without those of a union's None."""
    kinds = (get_args(entry.type) if get_origin(entry.type) in (
        Union, UnionType) else (entry.type, ))
    return tuple(kind for kind in kinds if kind is not type(None))


def is_optional(entry: Field) -> bool:
    """Whether None is allowed."""
    return type(None) in get_args(entry.type)


def check_value(entry: Field, value: Any) -> None:
    """Check the value of a field.

    Raises:
        ValueError: If it is of another type, unknown or out of range; the
            message says what is expected.
    """
    if value is None and is_optional(entry):
        return
    kinds, info = value_types(entry), entry.metadata[_KEY]
    if get_origin(kinds[0]) is tuple:
        if isinstance(value, str) or not hasattr(value, '__iter__'):
            raise ValueError(f'{entry.name} must be several values, but it '
                             f'is {value!r}.')
        kind, *rest = get_args(kinds[0])
        if rest != [Ellipsis] and len(value) != 1 + len(rest):
            raise ValueError(f'{entry.name} must be {1 + len(rest)} values, '
                             f'but it is {value!r}.')
        for part in value:
            _check_one(entry.name, kind, info, part, '')
        return
    if len(kinds) > 1 and not isinstance(value, str):
        return  # the other kinds are nobody's choice
    _check_one(entry.name, kinds[0], info, value,
               'None or ' * is_optional(entry))


def _check_one(name: str, kind: Any, info: Option, value: Any,
               none: str) -> None:
    names = info.names
    if names is not None and value not in names:
        raise ValueError(f'{name} must be {none}one of {names}, but it is '
                         f'{value!r}.')
    if kind in _NUMBERS:
        fits = isinstance(value, Integral if kind is int else Real) and (
            not isinstance(value, bool)) and math.isfinite(value)
        if not fits or (
                (info.least is not None and value < info.least)
                or (info.above is not None and value <= info.above)
                or (info.below is not None and value >= info.below)
                or (info.most is not None and value > info.most)):
            words = f'{_NUMBERS[kind]} {info.bounds}'.rstrip()
            raise ValueError(f'{name} must be {words}, but it is {value!r}.')
    elif kind in (bool, str, dict) and not isinstance(value, (
            kind if kind is not str else object)):
        raise ValueError(f'{name} must be of the type {kind.__name__}, but '
                         f'it is {value!r}.')


def is_settings(kind: Any) -> bool:
    """Whether a field holds settings itself."""
    return isinstance(kind, type) and issubclass(kind, Settings)


def all_options(settings: type[Settings]) -> Iterator[Field]:
    """Fields of a tree that are options, from the top to the bottom."""
    for entry in fields(settings):
        if is_settings(entry.type):
            yield from all_options(entry.type)
        elif _KEY in entry.metadata:
            yield entry


def default_of(entry: Field) -> Any:
    """Default of a field."""
    return (entry.default if entry.default_factory is MISSING
            else entry.default_factory())


def from_values(settings: T, values: Mapping[str, Any]) -> T:
    """Settings with other values of some options, by their names.

    Args:
        settings: A tree.
        values: Name of an option -> value; others are left alone.
    """
    made = {entry.name: from_values(getattr(settings, entry.name), values)
            if is_settings(entry.type) else values[entry.name]
            for entry in fields(settings)
            if is_settings(entry.type) or entry.name in values}
    return dataclasses.replace(settings, **made)


def from_keywords(settings: type[T], values: Mapping[str, Any]) -> T:
    """The same of a call's keyword arguments.

    Raises:
        TypeError: If there is no such option.
        ValueError: If a value is not allowed.
    """
    known = [entry.name for entry in all_options(settings)]
    if unknown := sorted(set(values) - set(known)):
        raise TypeError(f'There are no settings {unknown}; there are '
                        f'{known}.')
    return from_values(settings(), values)


def from_args(settings: type[T], args: argparse.Namespace) -> T:
    """The same of a parsed command line."""
    return from_values(settings(), vars(args))


def add_options(parser: argparse.ArgumentParser,
                settings: type[Settings] | Settings) -> None:
    """Give a command the options of a tree, with defaults and checks.

    Args:
        parser: Of the command.
        settings: With the defaults.
    """
    made = settings() if isinstance(settings, type) else settings
    for entry in fields(made):
        value = getattr(made, entry.name)
        if is_settings(entry.type):
            add_options(parser, value)
        elif _KEY in entry.metadata:
            _add_option(parser, entry, value)


def _add_option(parser: argparse.ArgumentParser, entry: Field,
                default: Any) -> None:
    info, kind = entry.metadata[_KEY], value_types(entry)[0]
    flag = f'--{(info.flag or entry.name).replace("_", "-")}'
    text = info.help.replace('%', '%%')
    if kind is bool:
        parser.add_argument(
            flag, action='store_false' if default else 'store_true',
            dest=entry.name, help=text)
        return
    several = get_origin(kind) is tuple
    if several:
        kind, *rest = get_args(kind)
    if default is not None:
        shown = (' '.join(f'{part:g}' if isinstance(part, float) else
                          str(part) for part in default)
                 if several else f'{default:g}' if isinstance(default, float)
                 else str(default))
        text += f' (default: {shown})'.replace('%', '%%')
    choices = None if info.metavar else info.names
    more = {} if not several else dict(
        nargs=info.nargs or (1 + len(rest) if rest != [Ellipsis] else '+'))
    parser.add_argument(
        flag, help=text, default=default, choices=choices, dest=entry.name,
        metavar=info.metavar, type=_parser_of(kind, info), **more)


def _parser_of(kind: Any, info: Option) -> Callable[[str], Any]:
    """A function that reads one value for argparse."""
    def parse(text: str) -> Any:
        value = info.convert(text) if info.convert else (
            kind(text) if kind in _NUMBERS else text)
        if kind in _NUMBERS or info.metavar:
            try:
                _check_one('it', kind, info, value, '')
            except ValueError as error:
                raise argparse.ArgumentTypeError(
                    str(error).removeprefix('it ')) from None
        return value

    parse.__name__ = getattr(kind, '__name__', 'value')
    return parse
