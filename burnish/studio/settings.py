"""The settings of a studio: where it keeps its data, where it listens, and its limits."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from burnish.config import setting, settings

DATABASE_FILE = "studio.db"


@settings
class StudioSettings:
    """What a studio needs to know before it starts."""

    folder: str = setting("runs/studio", "folder of the database, the secret and the backups")
    database: str = setting("", "address of a PostgreSQL database, postgresql://...; SQLite in the folder if empty")
    host: str = setting("127.0.0.1", "address to listen on; beyond this machine only once a secret was set")
    port: int = setting(8017, "port to listen on; 0 takes a free one", ge=0, le=65535)
    address: str = setting("", "how browsers reach it, such as https://studio.example; http://HOST:PORT if empty")
    models: str = setting("", "YAML file of the arena's models: name -> url, model, key_variable")
    session_days: int = setting(14, "how long somebody stays signed in", unit="days", ge=1, le=365)
    invitation_days: int = setting(7, "how long a link of invitation is good", unit="days", ge=1, le=90)
    max_upload_mb: int = setting(64, "largest file that may be imported in the browser", unit="MB", ge=1, le=4096)

    def __post_init__(self) -> None:
        if self.address and not self.address.startswith(("http://", "https://")):
            raise ValueError(f"address: '{self.address}' does not begin with http:// or https://")
        if self.database and not self.database.startswith(("postgresql://", "postgresql+pg8000://")):
            raise ValueError("database: expected postgresql://USER:PASSWORD@HOST/NAME, or nothing for SQLite")

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)

    @property
    def origin(self) -> str:
        """Scheme, host and port as a browser's `Origin` header has them."""
        if self.address:
            return "/".join(self.address.split("/")[:3])
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach it over https, so that cookies are for https alone."""
        return self.origin.startswith("https://")

    @property
    def is_local(self) -> bool:
        """Whether it listens on this machine alone."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def database_url(self) -> str:
        """The database as SQLAlchemy names it."""
        if not self.database:
            return f"sqlite:///{self.path.absolute() / DATABASE_FILE}"
        return self.database.replace("postgresql://", "postgresql+pg8000://", 1)
