"""Settings: the only place that reads the environment. `docs/configuration.md` is generated from here."""

import errno
import hashlib
import os
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from access_log.checkpoint import VerifierKey
from access_log.errors import FormatError

LOG_ORIGIN: Final = r"^[a-z0-9.-]+(/[A-Za-z0-9._-]+)*$"
"""What the name of a log looks like."""


def default_home() -> Path:
    """Where the vault keeps its files: /var/lib/creditvault as root, else the user's data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/creditvault")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "creditvault"


def is_loopback(host: str) -> bool:
    """Whether the host of a URL is this machine's own, by address or as `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


SHARED_COUNTS = "PROMETHEUS_MULTIPROC_DIR"
"""By which a supervisor names the folder its workers count in; prometheus_client reads it too."""


def shared_counts() -> Path | None:
    """The folder in which the workers of one supervisor count together; None for a worker alone."""
    named = os.environ.get(SHARED_COUNTS)
    return Path(named) if named else None


def archive_of(root: Path, number: int, origin: str) -> Path:
    """Where the entries of a log are archived: those of each later one in a folder by its name."""
    return root if number == 1 else root / _digest(origin)


def _digest(origin: str) -> str:
    """The name of a log as the name of a file."""
    return hashlib.sha256(origin.encode()).hexdigest()


class Settings(BaseSettings):
    """Everything an operator may set, each as `CREDITVAULT_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="CREDITVAULT_", extra="ignore")

    home: Path = Field(
        default_factory=default_home,
        description="Folder for the keyring, the outside lock and the embedded database.",
    )
    database_url: str | None = Field(
        None,
        description="PostgreSQL of the application role, `postgresql+psycopg://…`. "
        "Unset: an embedded PostgreSQL under `home`.",
    )
    owner_database_url: str | None = Field(
        None, description="The same database as its owner; used by `creditvault migrate` alone."
    )
    database_pool: int = Field(16, ge=2, le=200, description="Connections each worker keeps open.")
    issuer: str = Field(
        "http://127.0.0.1:8440",
        description="Public base URL: issuer of tokens, `htu` of proofs. https outside loopback.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8440, ge=1, le=65535, description="Port to listen on.")
    proxies: str = Field(
        "",
        description="Addresses of the reverse proxies, separated by commas, whose X-Forwarded-For is "
        "believed: failed authentications are counted per address. Unset: the connection's address counts.",
    )
    workers: int = Field(1, ge=1, le=64, description="Server processes.")
    log_origin: str = Field(
        "creditvault.example/log/2026",
        pattern=LOG_ORIGIN,
        description="Name of the log and of its signing key; fixed once the log holds an entry. After "
        "`creditvault log close` it is that of the new log.",
    )
    log_ml_dsa: bool = Field(
        False,
        description="Whether checkpoints are signed with ML-DSA-44 too, beside Ed25519: a receipt then holds "
        "against quantum computers, and is 3,300 characters longer.",
    )
    roots_minutes: int = Field(
        10, ge=1, le=30, description="Minutes between two roots of the labels of the log (FORMAT 4.3)."
    )
    auditor_keys: str = Field(
        "",
        description="Verifier keys of the auditors that cosign the log of roots, separated by commas. "
        "Labels are then proved against roots that one of them cosigned.",
    )
    outside_lock: Path | None = Field(
        None,
        description="File that remembers the newest released log size; beside it, with `.endings` behind its "
        "name, stands what keeps withdrawals and revocations through a restore. Those of logs opened later "
        "stand beside them. Keep all apart from the database and its backups. Unset: `home`/outside.lock.",
    )
    publish_dir: Path | None = Field(
        None,
        description="Folder the log is published into, for any static web server; the worker keeps it up "
        "with the log. Unset: the log is served by `creditvault serve` alone.",
    )
    archive_dir: Path | None = Field(
        None,
        description="Folder of the entries that were taken out of the database (`creditvault log archive`). "
        "Unset: everything is in the database.",
    )
    published_log: str | None = Field(
        None,
        description="Folder or web address of the published log; its checkpoint is compared with the "
        "database at each start. Unset: `publish_dir`, if that is set.",
    )
    witness_policy: Path | None = Field(
        None,
        description="Policy file (c2sp.org/tlog-policy) whose witnesses are asked to cosign checkpoints. "
        "Unset: none is asked.",
    )
    witness_mode: str = Field(
        "async",
        pattern="^(async|sync)$",
        description="`async`: the worker asks every few seconds. `sync`: nothing is released before the "
        "policy's quorum cosigned, too.",
    )
    witness_timeout_seconds: float = Field(
        5.0, gt=0, le=60, description="How long one request to a witness may take."
    )
    key_provider: str = Field(
        "file",
        pattern="^(file|openbao|pkcs11)$",
        description="What holds the root keys: `file`, the keyring below; `openbao`, the transit engine of "
        "an OpenBao or HashiCorp Vault server; `pkcs11`, a hardware module.",
    )
    former_key_provider: str | None = Field(
        None,
        pattern="^(file|openbao|pkcs11)$",
        description="While a vault moves: the provider that made its keys until now, by its own settings. "
        "`creditvault keys move` moves them to `key_provider`, and says when this may be unset.",
    )
    key_cache_seconds: float = Field(
        5.0,
        ge=0,
        le=60,
        description="For how long what a key server or module opened is used again without asking it; each "
        "use has its line in the journal. A key destroyed elsewhere may serve so much longer.",
    )
    openbao_url: str | None = Field(
        None, description="Address of the key server, `https://…`; plain http on loopback alone."
    )
    openbao_mount: str = Field(
        "transit",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$",
        description="Where its transit engine is mounted.",
    )
    openbao_prefix: str = Field(
        "creditvault",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,50}$",
        description="What the names of this vault's keys there begin with; each vault has its own.",
    )
    openbao_token_file: Path | None = Field(
        None,
        description="File (mode 0600) with the token, which an agent may renew: it is read again when it "
        "changes. Unset: the systemd credential `creditvault-openbao-token`.",
    )
    openbao_role_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="In place of a token: the id of an AppRole, with which the vault logs in by itself.",
    )
    openbao_secret_id_file: Path | None = Field(
        None,
        description="File (mode 0600) with the secret id of that role. Unset: the systemd credential "
        "`creditvault-openbao-secret-id`.",
    )
    openbao_ca_file: Path | None = Field(
        None, description="PEM file of the authority that signed its certificate. Unset: the system's."
    )
    openbao_namespace: str | None = Field(None, description="Its namespace, where it has some.")
    openbao_timeout_seconds: float = Field(
        5.0, gt=0, le=60, description="How long one request to it may take."
    )
    pkcs11_library: Path | None = Field(
        None, description="Shared library of the hardware module, as its maker names it."
    )
    pkcs11_token: str | None = Field(None, description="Label of its token.")
    pkcs11_pin_file: Path | None = Field(
        None,
        description="File (mode 0600) with the PIN of the token's user. Unset: the systemd credential "
        "`creditvault-pkcs11-pin`.",
    )
    pkcs11_prefix: str = Field(
        "creditvault",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,50}$",
        description="What the labels of this vault's keys there begin with; each vault has its own.",
    )
    keyring: Path | None = Field(
        None,
        description="File of the root keys; the journal of unwraps stands beside it, whatever holds the "
        "keys. Unset: `home`/keyring.",
    )
    passphrase_file: Path | None = Field(
        None,
        description="File that holds the keyring's passphrase. Unset: the systemd credential "
        "`creditvault-passphrase`, if there is one.",
    )
    pack: str = Field("cn", description="Jurisdiction pack: the catalogue and its clocks.")
    payload_years: int = Field(
        10, ge=5, le=50, description="Years the sealed payloads of the log live (SZ 45: 5, ZJ 20: 10)."
    )
    expiry_grace_days: int = Field(
        3,
        ge=2,
        le=28,
        description="Days between the end of a month and the destruction of its expiry key.",
    )
    backup_days: int = Field(
        35,
        ge=0,
        le=3660,
        description="For how many days backups of database, write-ahead log and keyring are kept. What was "
        "destroyed or erased is final only after them; entries and certificates state the date.",
    )
    provider_may_keep_keys: bool = Field(
        False,
        description="Whether the vault starts with a key provider that never destroys a key: then nothing "
        "expires for whoever holds that provider and an old backup, and every entry says so.",
    )
    max_body: int = Field(
        65_536, ge=1024, description="Largest request body in bytes; batches of records excepted."
    )
    max_batch_body: int = Field(16_777_216, ge=1024, description="Largest batch of records in bytes.")
    batch_window_ms: float = Field(
        2.0, ge=0, le=100, description="How long a query waits for others to share one transaction."
    )
    batch_max: int = Field(64, ge=1, le=1000, description="Most queries in one transaction.")
    body_queries_per_minute: int = Field(
        6_000,
        ge=1,
        le=10_000_000,
        description="How fast one body may ask, through all workers together; as many may come at once.",
    )
    officer_queries_per_minute: int = Field(
        300, ge=1, le=10_000_000, description="The same for one officer of a body."
    )
    watch_first_hour: int = Field(
        7, ge=0, le=23, description="From which hour on queries are no longer flagged as out of hours (K)."
    )
    watch_last_hour: int = Field(
        21, ge=1, le=24, description="From which hour on they are again; weekends always (K)."
    )
    watch_many_persons: int = Field(
        60, ge=2, description="Persons asked about by one officer in ten minutes that are flagged (K)."
    )
    watch_same_person: int = Field(
        5, ge=2, description="Queries of one body about one person in ten minutes that are flagged (K)."
    )
    watch_neighbours: int = Field(
        5,
        ge=2,
        description="Neighbouring identity numbers of one officer in ten minutes, flagged (K).",
    )
    statement_timeout_ms: int = Field(10_000, ge=100, description="Longest database statement.")
    sign_in_issuer: str | None = Field(
        None,
        description="OpenID provider for citizens. Unset: nobody can sign in (demo mode brings its own).",
    )
    sign_in_client: str | None = Field(None, description="Our client id at that provider.")
    sign_in_secret: SecretStr | None = Field(
        None, description="Our client secret at that provider, for a trial: an environment is easily read."
    )
    sign_in_secret_file: Path | None = Field(
        None,
        description="File (mode 0600) with that secret. Unset: the systemd credential "
        "`creditvault-sign-in-secret`, if there is one.",
    )
    sign_in_identifiers: str = Field(
        "id_number=cn-ric",
        pattern=r"^[^=,\s]+=[a-z][a-z0-9-]*(,[^=,\s]+=[a-z][a-z0-9-]*)*$",
        description="Claims of the id_token that can hold the identity number, each with its identifier "
        "scheme, separated by commas. The first that is there counts.",
    )
    sign_in_acr: str = Field(
        "",
        pattern=r"^([a-z]+=[^=,\s]+( [^=,\s]+)*(,[a-z]+=[^=,\s]+( [^=,\s]+)*)*)?$",
        description="Which `acr` the provider must state for what, any of those named, for instance "
        "`read=low high,grant=high`. One can `read`, `grant` a consent, `unfreeze` them, `appoint` a "
        "representative, and take the log's `keys`; what is not named here needs what `read` needs.",
    )
    sign_in_fresh_seconds: int = Field(
        300,
        ge=30,
        le=3600,
        description="How long ago a person may have proved who they are for what is sensitive (all of the "
        "above but `read`); after that they do it again.",
    )
    session_idle_minutes: int = Field(
        15, ge=1, le=240, description="After how long without a request a citizen's session is over."
    )
    session_minutes: int = Field(60, ge=1, le=720, description="After how long it is over in any case.")
    proof_nonces: bool = Field(
        False, description="Whether every DPoP proof must carry a nonce of ours (RFC 9449 §8)."
    )
    operator_code: str = Field(
        "91999999MA00000079", description="Unified social credit code of whoever runs this vault."
    )
    operator_name: str = Field("Example Credit Registry", description="Its name.")
    operator_address: str = Field("1 Example Road", description="Its address.")
    operator_contact: str = Field("privacy@creditvault.example", description="Its contact for citizens.")
    demo: bool = Field(
        False, description="Demo mode: fictitious people, their identity provider and the scheme `demo-id`."
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level written.")

    @field_validator("issuer")
    @classmethod
    def _issuer_is_https(cls, value: str) -> str:
        value = value.rstrip("/")
        # The host is what counts, not how the text begins: http://127.0.0.1.elsewhere.example is elsewhere.
        parts = urlsplit(value)
        host, port = parts.hostname or "", "" if parts.port is None else f":{parts.port}"
        if not host or parts.netloc.lower() != (f"[{host}]" if ":" in host else host) + port:
            raise ValueError("must be https://host or https://host:port")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
            raise ValueError("must be https outside loopback")
        return value

    @field_validator("openbao_url")
    @classmethod
    def _key_server_is_https(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        loopback = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if value is not None and (not parts.hostname or (parts.scheme != "https" and not loopback)):
            raise ValueError("must be https://host:port, or http on loopback")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must be an address alone")
        return value

    @field_validator("proxies")
    @classmethod
    def _proxies_are_addresses(cls, value: str) -> str:
        try:
            for address in filter(None, value.split(",")):
                ip_network(address.strip())
        except ValueError:
            raise ValueError("must be addresses or networks, separated by commas") from None
        return value

    @field_validator("auditor_keys")
    @classmethod
    def _auditors_are_keys(cls, value: str) -> str:
        for key in filter(None, value.split(",")):
            try:
                VerifierKey.parse(key.strip())
            except FormatError as error:
                raise ValueError(f"must be verifier keys of auditors: {error}") from None
        return value

    @property
    def auditors(self) -> tuple[VerifierKey, ...]:
        """The auditors' keys."""
        return tuple(VerifierKey.parse(key.strip()) for key in filter(None, self.auditor_keys.split(",")))

    @property
    def key_providers(self) -> tuple[str, ...]:
        """The key provider, and the former one while the vault moves."""
        former = self.former_key_provider
        return (self.key_provider,) if former is None else (self.key_provider, former)

    @property
    def keyring_path(self) -> Path:
        """Where the keyring file stands."""
        return self.keyring or self.home / "keyring"

    @property
    def outside_lock_path(self) -> Path:
        """Where the outside lock of the first log stands."""
        return self.outside_lock or self.home / "outside.lock"

    def outside_lock_of(self, number: int, origin: str) -> Path:
        """Where the outside lock of a log stands: that of each later one beside the first, by its name."""
        first = self.outside_lock_path
        return first if number == 1 else first.with_name(f"{first.name}.{_digest(origin)}")

    def endings_of(self, number: int, origin: str) -> Path:
        """Where withdrawals, revocations and the like are kept, beside the outside lock of their log."""
        lock = self.outside_lock_of(number, origin)
        return lock.with_name(f"{lock.name}.endings")

    @property
    def endings_owed(self) -> Path:
        """What is there while `migrate` owes a vault that is older than it the first file of endings."""
        lock = self.outside_lock_path
        return lock.with_name(f"{lock.name}.endings-owed")

    def read_passphrase(self) -> str | None:
        """The keyring's passphrase from its file or a systemd credential; None if neither is named.

        Raises:
            OSError: the named file cannot be read, or others can read it.
        """
        return _read_secret(self.passphrase_file, "creditvault-passphrase")

    @staticmethod
    def read_new_passphrase(file: Path | None) -> str | None:
        """The passphrase that a keyring is to have from now on; None if neither file nor credential is there.

        Raises:
            OSError: the named file cannot be read, or others can read it.
        """
        return _read_secret(file, "creditvault-new-passphrase")

    def read_sign_in_secret(self) -> str | None:
        """Our client secret at the provider for sign-in; None if nothing says.

        Raises:
            OSError: the named file cannot be read, or others can read it.
        """
        given = self.sign_in_secret
        if given is not None:
            return given.get_secret_value()
        return _read_secret(self.sign_in_secret_file, "creditvault-sign-in-secret")

    @property
    def secrets_in_environment(self) -> tuple[str, ...]:
        """Which settings are secrets, or have one in them, that a look at the environment shows."""
        urls = {"DATABASE_URL": self.database_url, "OWNER_DATABASE_URL": self.owner_database_url}
        found = [name for name, url in urls.items() if url is not None and urlsplit(url).password]
        if self.sign_in_secret is not None:
            found.append("SIGN_IN_SECRET")
        return tuple(f"CREDITVAULT_{name}" for name in found)

    @property
    def openbao_token_path(self) -> Path | None:
        """Where the key server's token is; None if nothing says."""
        return self.openbao_token_file or _credential("creditvault-openbao-token")

    @property
    def openbao_secret_id_path(self) -> Path | None:
        """Where the secret id of the role is; None if nothing says."""
        return self.openbao_secret_id_file or _credential("creditvault-openbao-secret-id")

    @property
    def pkcs11_pin_path(self) -> Path | None:
        """Where the token's PIN is; None if nothing says."""
        return self.pkcs11_pin_file or _credential("creditvault-pkcs11-pin")


def _read_secret(path: Path | None, credential: str) -> str | None:
    """What a file nobody else can read holds, or a systemd credential; None if neither is there."""
    if path is not None and path.stat().st_mode & 0o077:
        raise PermissionError(errno.EACCES, "others can read it: chmod 600", str(path))
    path = path or _credential(credential)
    return path.read_text().rstrip("\n") if path is not None else None


def _credential(name: str) -> Path | None:
    """A systemd credential, if the unit has it."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / name if folder else None
    return path if path is not None and path.exists() else None
