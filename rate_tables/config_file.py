"""Strict YAML: a mistake in a file that a person wrote becomes one sentence naming file, line, key and what is allowed.

Belongs here: reading a YAML file into a typed model. Used by schedules, the workspace and the district registry.
Does not belong here: what any particular file may say.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema, model_validator


class ConfigError(Exception):
    """A file that a person wrote cannot be used as it stands; the message is for that person."""


class NotAllowed(ValueError):
    """Raised by a model's validator about one of the keys below it: what is allowed, and where it is not so."""

    def __init__(self, allowed: str, *key: str | int) -> None:
        super().__init__(allowed)
        self.key = key


class UnknownKey(NotAllowed):
    """A key that the file may not have; what is allowed are the keys it may have."""


class Strict(BaseModel):
    """A part of a configuration file: unknown keys are refused, values are not changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, content: Any) -> Any:
        if isinstance(content, dict):
            unknown = [key for key in content if key not in cls.model_fields]
            if unknown:
                raise UnknownKey(", ".join(cls.model_fields), unknown[0])
        return content


_NUMBER = r"-?\d{1,12}(\.\d{1,9})?"


def _exact(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not re.fullmatch(_NUMBER, value, re.ASCII):
        raise ValueError('a number written as text, for example "30.03" with its quotes')
    return Decimal(value)


ExactNumber = Annotated[
    Decimal, BeforeValidator(_exact), WithJsonSchema({"type": "string", "pattern": rf"^{_NUMBER}$"})
]
"""A number written as text in YAML, so that no binary fraction ever stands between the page and the bill."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice; plain YAML would silently keep the last one."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # a day that no month has, for example
            raise yaml.constructor.ConstructorError(
                None, None, f"{getattr(node, 'value', '')!r} cannot be read; {error}", node.start_mark
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be text, not a list or a mapping", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice; each key is allowed once", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _found_in(root: yaml.Node | None, location: tuple[int | str, ...], is_missing: bool) -> tuple[str, int]:
    """``location`` as a key of the file, and its line (from 1); if it is missing, the line of what it is missing from.

    Steps that the file does not have are the model's own (which of several shapes was tried) and are left out.
    """
    node, line, key = root, 1, list[str]()
    for number, step in enumerate(location):
        following = None
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                if key_node.value == str(step):
                    following, line = value_node, key_node.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            following = node.value[step]
            line = following.start_mark.line + 1
        if following is not None:
            node = following
            key.append(str(step))
        elif is_missing and number == len(location) - 1:
            key.append(str(step))
    return ".".join(key) or "(the whole file)", line


def _allowed(error: dict[str, Any]) -> str:
    """What is allowed, in words, for one pydantic error."""
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "this key is required"
        case "literal_error" | "enum":
            return f"{error['input']!r} is not allowed; allowed: {context['expected']}"
        case "union_tag_invalid":
            return f"{context['tag']!r} is not allowed; allowed: {context['expected_tags']}"
        case "union_tag_not_found":
            return f"the key {context['discriminator'].strip(chr(39))} is required below it"
        case "value_error" if isinstance(context["error"], UnknownKey):
            return f"this key is not known. Allowed here: {context['error']}"
        case "value_error" if isinstance(context["error"], NotAllowed):
            return f"not allowed as it stands; allowed: {context['error']}"
        case "value_error" | "not_of_any_shape":
            return f"{error['input']!r} is not allowed; allowed: {context.get('error', error['msg'])}"
        case _:
            return f"{error['input']!r} is not allowed; {error['msg'][0].lower()}{error['msg'][1:]}"


Model = TypeVar("Model", bound=BaseModel)


def load_config(model: type[Model], path: Path, shown_as: str | None = None) -> Model:
    """Read ``path`` as ``model``.

    Errors: ConfigError with one sentence per mistake, each naming file, line, key and what is allowed.
    """
    name = shown_as or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{name}: the file does not exist; it is required.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: the file cannot be read as UTF-8 text ({error}).") from None
    try:
        root = yaml.compose(text, Loader=_UniqueKeyLoader)
        content = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}, line {line}: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not readable as YAML ({error}).") from None
    try:
        return model.model_validate(content if content is not None else {})
    except ValidationError as error:
        sentences = []
        for mistake in error.errors():
            reason = mistake.get("ctx", {}).get("error")
            below = reason.key if isinstance(reason, NotAllowed) else ()
            key, line = _found_in(root, (*mistake["loc"], *below), mistake["type"] == "missing")
            sentences.append(f"{name}, line {line}: key {key}: {_allowed(dict(mistake))}.")
        raise ConfigError("\n".join(sentences)) from None
