"""Models inside enclaves: connect, then ask.

client = blindbox.ai.connection.connect(addr="enclave.example.com", measurements="measurements.json")
text = blindbox.ai.Audio.transcribe("taunt.wav", connection=client)
"""

from . import connection
from .audio import Audio
from .completion import Completion

__all__ = ["Audio", "Completion", "connection"]
