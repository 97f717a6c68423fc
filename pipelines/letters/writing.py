"""Writing a letter: a Word template that staff edit, filled in.

Belongs here: which template, filling it in, the file. Does not belong here: what the letter says.

A template is a document that somebody else may have written, so what it says in braces runs in Jinja's sandbox and sees only text. What a
letter says is escaped: a name with < or & in it stands in the letter as it is written.
"""

from __future__ import annotations

import os
import uuid
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipelines.letters.kinds import Kind
from rate_tables.config_file import ConfigError
from validations.workspace import Workspace

SHIPPED = Path(__file__).parent / "templates"
_MOST_BYTES_UNPACKED = 50_000_000


def own_template(workspace: Workspace, kind: Kind) -> Path:
    """Where the office keeps its own template of a kind."""
    return workspace.folder / "letters" / f"{kind}.docx"


class Template:
    """The template of a kind: the workspace's own, else the one that ships. ConfigError if it cannot be used."""

    def __init__(self, workspace: Workspace, kind: Kind) -> None:
        own = own_template(workspace, kind)
        self._path = own if own.is_file() else SHIPPED / own.name
        self.shown = f"letters/{own.name}"
        try:
            with zipfile.ZipFile(self._path) as parts:
                if sum(part.file_size for part in parts.infolist()) > _MOST_BYTES_UNPACKED:
                    raise ConfigError(
                        f"{self.shown}: the template is larger than {_MOST_BYTES_UNPACKED // 1_000_000} MB unpacked."
                    )
            self._content = self._path.read_bytes()
        except (zipfile.BadZipFile, OSError):
            raise ConfigError(f"{self.shown}: the template is no Word document (.docx).") from None

    def filled_in(self, context: dict[str, Any]) -> bytes:
        """The letter as a .docx. ConfigError naming what the template asks for and does not get."""
        from docxtpl import DocxTemplate
        from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError
        from jinja2.exceptions import SecurityError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        written = BytesIO()
        try:
            document = DocxTemplate(BytesIO(self._content))
            document.render(
                context, ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=True), autoescape=True
            )
            document.save(written)
        except (TemplateSyntaxError, UndefinedError, SecurityError) as error:
            allowed = ", ".join(sorted(context))
            raise ConfigError(
                f"{self.shown}: {str(error).rstrip('.')}; what a template of this kind can name: {allowed}."
            ) from None
        except Exception as error:
            # Whatever else goes wrong may quote what was being filled in, a name or an address.
            raise ConfigError(f"{self.shown}: the template cannot be filled in ({type(error).__name__}).") from None
        return written.getvalue()


def file_name(kind: Kind, billing_year: int, service_id: str) -> str:
    """The letter's name; characters of an id that are more than letters, digits and ``_.-~`` are written as %XX."""
    return f"{kind}_{billing_year}_{quote(service_id, safe='')}.docx"


def put(content: bytes, target: Path) -> bool:
    """Write a letter whole, or not at all; False if there is one of that name already, which is never overwritten."""
    beside = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        beside.write_bytes(content)
        os.link(beside, target)
    except FileExistsError:
        return False
    finally:
        beside.unlink(missing_ok=True)
    return True


def copy_template(workspace: Workspace, kind: Kind) -> Path:
    """Put the template that ships into the workspace, to be edited. ConfigError if the office has one already."""
    target = own_template(workspace, kind)
    target.parent.mkdir(exist_ok=True)
    if not put((SHIPPED / target.name).read_bytes(), target):
        raise ConfigError(f"letters/{target.name}: there is a template of that name already; it is not overwritten.")
    return target
