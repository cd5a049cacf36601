"""Text from text: no BlindBox service has a model for it yet."""

from __future__ import annotations

from typing import NoReturn

from ..connection import Connection
from ..errors import ModelError


class Completion:
    """Continuations of a text."""

    @staticmethod
    def create(prompt: str, *, connection: Connection) -> NoReturn:
        """Raises ModelError: services of this version have a speech model only. The prompt is not sent."""
        raise ModelError(f"no text model here ({connection.address}): this version of BlindBox serves speech only",
                         "BB_ERR_UNSUPPORTED")  # fmt: skip
