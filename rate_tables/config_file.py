"""Strict YAML: a mistake in a file that a person wrote becomes one sentence naming file, line, key and what is allowed.

Belongs here: reading a YAML file into a typed model. Used by schedules, the workspace and the district registry.
Does not belong here: what any particular file may say.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError


class ConfigError(Exception):
    """A file that a person wrote cannot be used as it stands; the message is for that person."""


class Strict(BaseModel):
    """A part of a configuration file: unknown keys are refused, values are not changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _exact(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"-?\d{1,12}(\.\d{1,9})?", value):
        raise ValueError('a number written as text, for example "30.03" with its quotes')
    return Decimal(value)


ExactNumber = Annotated[Decimal, BeforeValidator(_exact)]
"""A number written as text in YAML, so that no binary fraction ever stands between the page and the bill."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice; plain YAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice; each key is allowed once", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _line_of(root: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """Line (from 1) of the deepest part of ``location`` that the file has."""
    node, line = root, 1
    for step in location:
        following = None
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                if key_node.value == str(step):
                    following, line = value_node, key_node.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            following = node.value[step]
            line = following.start_mark.line + 1
        if following is None:
            break
        node = following
    return line


def _allowed(error: dict[str, Any]) -> str:
    """What is allowed, in words, for one pydantic error."""
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return "this key is not known"
        case "missing":
            return "this key is required"
        case "literal_error" | "enum":
            return f"{error['input']!r} is not allowed; allowed: {context['expected']}"
        case "union_tag_invalid":
            return f"{context['tag']!r} is not allowed; allowed: {context['expected_tags']}"
        case "value_error":
            return f"{error['input']!r} is not allowed; allowed: {context['error']}"
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
            location = mistake["loc"]
            key = ".".join(str(step) for step in location) or "(the whole file)"
            sentences.append(f"{name}, line {_line_of(root, location)}: key {key}: {_allowed(dict(mistake))}.")
        raise ConfigError("\n".join(sentences)) from None
