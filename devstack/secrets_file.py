"""The passwords and keys of one stack, in a file in the stack's directory. Only the owner can read
the file.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from pathlib import Path


class Secrets:
    """The secrets of one stack, by name. The first access to a secret generates the secret."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "secrets.json"
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> str:
        """Return the secret called `name`: 32 random bytes in URL-safe base64, the format of a
        Fernet key. Every call with the same name returns the same value.
        """
        with self._lock:
            known: dict[str, str] = json.loads(self._file.read_text()) if self._file.exists() else {}
            if name not in known:
                known[name] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
                partial = self._file.with_suffix(".part")
                partial.touch(mode=0o600)
                partial.write_text(json.dumps(known, indent=2))
                partial.rename(self._file)
            return known[name]
