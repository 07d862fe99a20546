"""The passwords and keys of one stack. They are stored in a file that only its owner can read."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from pathlib import Path


class Secrets:
    """The secrets of one stack, by name. A secret is generated when it is first read."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "secrets.json"
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> str:
        """Return the secret called `name`: 32 random bytes in URL-safe base64, the format of a
        Fernet key.
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
