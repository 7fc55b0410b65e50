"""Certificates for servers of tests."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """The paths of a certificate for `name`, which is its own authority, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _begun(name, name, key).add_extension(_AUTHORITY, critical=True).sign(key, hashes.SHA256())
    return _written(folder / f"{name}.pem", certificate), _kept(folder / f"{name}.key", key)


def plainly_signed(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """The paths of an authority, of a certificate for `name` by it, and of that one's key, as private authorities often
    are: they say nothing of what keys are for, or which they are (RFC 5280, 4.2.1.1 to 4.2.1.3, asks for both)."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _begun("authority", "authority", authority_key).add_extension(_AUTHORITY, critical=True)
    certificate = _begun(name, "authority", key)
    return (
        _written(folder / "authority.pem", authority.sign(authority_key, hashes.SHA256())),
        _written(folder / f"{name}.pem", certificate.sign(authority_key, hashes.SHA256())),
        _kept(folder / f"{name}.key", key),
    )


_AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)


def _begun(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _written(path: Path, certificate: x509.Certificate) -> Path:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def _kept(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path
