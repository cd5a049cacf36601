"""Speech to text."""

from __future__ import annotations

from ..connection import Connection, Progress, Recording
from .connection import connect


class Audio:
    """Recordings."""

    @staticmethod
    def transcribe(
        file: Recording,
        *,
        connection: Connection | None = None,
        model: str | None = None,
        language: str | None = None,
        prompt: str | None = None,
        temperature: float = 0.0,
        progress: Progress | None = None,
    ) -> str:
        """What is said in a recording; arguments and errors as of Connection.transcribe().

        Without a connection one is opened to the enclave that `blindbox up` started here, and closed again.
        """
        if connection is None:
            with connect() as own:
                return Audio.transcribe(file, connection=own, model=model, language=language, prompt=prompt,
                                        temperature=temperature, progress=progress)  # fmt: skip
        return connection.transcribe(
            file, model=model, language=language, prompt=prompt, temperature=temperature, progress=progress
        )
