"""Secrets at rest: Fernet (AES-128-CBC with HMAC-SHA256), under one or several encryption keys.

The only user of ``cryptography``, which is imported when a secret is opened or sealed and not before.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from orwatch.errors import EncryptionKeyError
from orwatch.redaction import keep_api_key, keep_secret

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


MAX_SECRET_LENGTH = 512


def generate_encryption_key() -> str:
    """A new Fernet key: 32 random bytes in URL-safe base64, the format that Fernet's specification gives."""
    key = base64.urlsafe_b64encode(os.urandom(32)).decode("ascii")
    keep_secret(key)
    return key


def hash_secret(secret: str) -> str:
    """SHA-256 of the secret in lower-case hex: what OpenRouter calls the key's ``hash``."""
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()


def clean_secret(text: str) -> str:
    """The secret without the white space and line ends around it.

    Raises ``ValueError``, without the text in it, when what is left cannot be an API key.
    """
    secret = text.strip()
    if not secret:
        raise ValueError("the secret is empty")
    if not secret.isprintable():
        raise ValueError("the secret has control characters or line ends inside it")
    if not secret.isascii() or " " in secret:
        raise ValueError("the secret has spaces or other characters that no API key has")
    if len(secret) > MAX_SECRET_LENGTH:
        raise ValueError(f"the secret has {len(secret):,} characters; API keys have fewer than 100")
    keep_api_key(secret)
    return secret


class Vault:
    """Opens and seals secrets. The first encryption key seals; any of them opens."""

    def __init__(self, encryption_keys: Sequence[str]) -> None:
        """Raises ``EncryptionKeyError`` when there is no key or one is malformed."""
        if not encryption_keys:
            raise EncryptionKeyError(
                "ORWATCH_ENCRYPTION_KEY is not set, and there are stored keys that need it. "
                "Put back the one they were stored with; without it, remove and add them again."
            )
        for key in encryption_keys:
            keep_secret(key)
        self._fernet = _multi_fernet(encryption_keys)

    def seal(self, secret: str) -> str:
        """The secret as a Fernet token."""
        return self._fernet.encrypt(secret.encode("utf-8")).decode("ascii")

    def open(self, token: str) -> str:
        """The secret in the token. Raises ``EncryptionKeyError`` when no encryption key opens it."""
        from cryptography.fernet import InvalidToken

        try:
            secret = self._fernet.decrypt(token.encode("ascii")).decode("utf-8")
        except (InvalidToken, UnicodeError):
            raise EncryptionKeyError(
                "ORWATCH_ENCRYPTION_KEY does not open the stored secret. "
                "Put back the one it was stored with; without it, remove and add the key again."
            ) from None
        keep_api_key(secret)
        return secret

    def open_all(
        self, tokens: Mapping[int, str | None]
    ) -> tuple[dict[int, str], dict[int, EncryptionKeyError]]:
        """The secrets by the numbers of their tokens, and why the others do not open.

        Raises ``EncryptionKeyError`` when there are some and none of them opens.
        """
        secrets, unopened = {}, {}
        for number, token in tokens.items():
            try:
                secrets[number] = self.open(token or "")
            except EncryptionKeyError as error:
                unopened[number] = error
        if unopened and not secrets:
            raise next(reversed(unopened.values()))
        return secrets, unopened


class Keyring:
    """The encryption keys, newest first, as they were last read. A rotation may change them meanwhile."""

    def __init__(self, keys: Sequence[str], read: Callable[[], Sequence[str]] | None = None) -> None:
        """``read`` reads them anew; None: they cannot change."""
        self.keys = tuple(keys)
        self._read = read

    def vault(self) -> Vault:
        """What opens and seals with them. Raises as ``Vault`` does."""
        return Vault(self.keys)

    def read_again(self) -> bool:
        """Read them anew; whether they are others now. Raises ``SettingsError``."""
        before = self.keys
        if self._read is not None:
            self.keys = tuple(self._read())
        return self.keys != before


def _multi_fernet(encryption_keys: Sequence[str]) -> MultiFernet:
    from cryptography.fernet import Fernet, MultiFernet

    try:
        return MultiFernet([Fernet(key) for key in encryption_keys])
    except ValueError:
        raise EncryptionKeyError(
            "ORWATCH_ENCRYPTION_KEY is not a Fernet key (32 bytes in URL-safe base64; several with commas). "
            "Put back the one that orwatch wrote; an empty value has a new one made where nothing is stored."
        ) from None
