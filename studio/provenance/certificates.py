"""Certificates for signing pictures: made here, or the artist's own."""

import datetime
import os
from pathlib import Path

from studio.common.files import atomic_folder
from studio.errors import StudioError
from studio.settings import get_settings

_YEARS = 10
_CERTIFICATE, _KEY, _AUTHORITY = "certificate.pem", "key.pem", "authority.pem"
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_MISSING = ("Signing needs the packages c2pa-python and cryptography.", "Install them with: pip install c2pa-python cryptography")
_MAX_NAME = 64  # letters of a common name (RFC 5280, ub-common-name)


def own_files() -> tuple[Path, Path]:
    """Paths of the studio's own certificate (a chain: its issuer's follows it) and key, whether they exist or not."""
    folder = get_settings().home / "credentials"
    return folder / _CERTIFICATE, folder / _KEY


def make_certificate(artist: str, now: datetime.datetime | None = None) -> tuple[Path, Path]:
    """Make a certificate for a name, and its key, in home/credentials. Returns both paths. An older pair there is replaced.

    It is issued by an authority made for it alone, whose key is never stored, so that nobody can issue more certificates.
    Its signatures prove that a file was not changed, but not who signed it. ES256, valid for ten years.
    Raises StudioError without a name, if the packages are missing, and if the disk is full.
    """
    artist = " ".join(artist.split())
    if not artist or len(artist) > _MAX_NAME or not artist.isprintable():
        raise StudioError(
            "The name for the signature is missing." if not artist else "The name for the signature cannot be used.",
            f"Write the name that you want to be known by, at most {_MAX_NAME} letters.",
        )
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError:
        raise StudioError(*_MISSING) from None
    now = now or datetime.datetime.now(datetime.timezone.utc)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    unit = "Self-issued with GAN Studio"
    issuer, subject = (
        x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, name),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, artist),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            ]
        )
        for name in ("GAN Studio, local authority", artist)
    )

    def certificate(name: x509.Name, key, authority: bool) -> x509.Certificate:
        # C2PA's requirements for certificates: specification, "X.509 Certificates".
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
        )
        usage |= {"digital_signature": not authority, "key_cert_sign": authority, "crl_sign": authority}
        draft = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=round(365.25 * _YEARS)))
            .add_extension(x509.BasicConstraints(authority, 0 if authority else None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if not authority:
            draft = draft.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        return draft.sign(keys[0], hashes.SHA256())

    own, above = (certificate(*of).public_bytes(serialization.Encoding.PEM) for of in ((subject, keys[1], False), (issuer, keys[0], True)))
    secret = keys[1].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        with atomic_folder(own_files()[0].parent) as folder:
            os.chmod(folder, 0o700)
            for name, data, mode in ((_CERTIFICATE, own + above, 0o644), (_AUTHORITY, above, 0o644), (_KEY, secret, 0o600)):
                with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                    file.write(data)
    except OSError as e:
        raise StudioError(f"The certificate could not be saved: {e.strerror or e}.", "Free some space, then try again.") from None
    return own_files()


def algorithm_of(key: bytes) -> str:
    """C2PA's name for the signature algorithm of a private key (PEM). Raises StudioError for a key that cannot be used."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise StudioError(*_MISSING) from None
    try:
        found = load_pem_private_key(key, None)
    except TypeError:
        raise StudioError("The key has a password.", "Give a copy without a password that only you can read.") from None
    except ValueError:
        problem = "The key file is not a private key in PEM format."
        raise StudioError(problem, "Choose the .pem or .key that came with the certificate.") from None
    if isinstance(found, ec.EllipticCurvePrivateKey) and found.curve.name in _CURVES:
        return _CURVES[found.curve.name]
    if isinstance(found, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(found, rsa.RSAPrivateKey) and found.key_size >= 2048:
        return "ps256"
    raise StudioError("Content Credentials do not support this type of key.", "Use one for ES256, ES384, ES512, PS256 or Ed25519.")
