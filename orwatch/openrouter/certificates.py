"""Whose certificates are trusted, and what to do about one that is not."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import httpx

from orwatch.errors import CertificateError, SettingsError

# OpenSSL's numbers for what is wrong (X509_V_ERR_…); Python has no names for them.
_NOT_YET_VALID = 9
_EXPIRED = 10
_OTHER_HOSTS = frozenset({62, 64})  # another name, another address


def trusted_certificates() -> ssl.SSLContext:
    """Those that ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name, or where neither is set the usual ones.

    Raises ``SettingsError`` for a file or a folder that cannot be used.
    """
    file, folders = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folders:
        return httpx.create_ssl_context(trust_env=False)
    for folder in folders.split(os.pathsep) if folders else ():
        if not Path(folder).is_dir():
            raise _wrong("SSL_CERT_DIR", folder, "is not a folder", "Name one that `openssl rehash` prepared")
    try:
        return ssl.create_default_context(cafile=file or None, capath=folders or None)
    except OSError as error:
        why = (
            "has no certificate in it"
            if isinstance(error, ssl.SSLError)
            else f"cannot be read: {error.strerror}"
        )
        raise _wrong("SSL_CERT_FILE", file or "", why, "Name a file with certificates in PEM form") from error


def _wrong(name: str, value: str, why: str, advice: str) -> SettingsError:
    return SettingsError(f"{name}={value!r} {why}", f"{advice}, or unset {name}.", setting=name)


def certificate_error(host: str, error: ssl.SSLCertVerificationError) -> CertificateError:
    """What is wrong with the certificate of this host, and what to do."""
    if error.verify_code in {_NOT_YET_VALID, _EXPIRED}:
        wrong = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
        return CertificateError(
            f"the certificate of {host} {wrong}",
            f"Is this machine's clock right (`date -u`)? If it is, {host} needs a new certificate.",
        )
    if error.verify_code in _OTHER_HOSTS:
        return CertificateError(
            f"the certificate of {host} is one of another host",
            "Is ORWATCH_OPENROUTER_API_URL right? Is a login page or a proxy in between?",
        )
    return CertificateError(
        f"the certificate of {host} is not trusted: {error.verify_message}",
        "If a proxy of your company or a server of your own is in between, set SSL_CERT_FILE to a file (PEM) "
        "with the certificate of the authority that signs its certificates.",
    )
